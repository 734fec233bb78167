"""Checks URLs of media, which the platform fetches, and shortens them for messages. Nothing is fetched here."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media import containers, formats
from glmv.media.text import shortened

_SCHEME = re.compile(r"\s*([a-zA-Z][a-zA-Z0-9+.-]+):")  # two letters at least: C:\ is a Windows drive
_HOST_LIKE = re.compile(r"(?://)?[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}(:\d+)?(/\S*)?", re.IGNORECASE)
_FILE_ENDINGS = (*formats.SUFFIXES, *containers.SUFFIXES, ".pdf", ".txt")


def scheme_of(text: str) -> str | None:
    """The lower-case scheme of a URL, or None."""
    match = _SCHEME.match(text[:40])
    return match[1].lower() if match else None


def looks_like_host(text: str) -> bool:
    """Whether this is a URL whose scheme was forgotten ("example.com/cat.jpg", but not "cat.jpg")."""
    return bool(_HOST_LIKE.fullmatch(text[:2000])) and not ("/" not in text and text.lower().endswith(_FILE_ENDINGS))


def with_scheme(text: str) -> str:
    """A URL whose scheme was forgotten, quoted and with https, as a suggestion in an error message."""
    return repr("https://" + shortened(text).lstrip("/"))


def checked_url(url: str, what: str) -> str:
    """Checks a URL that the platform will fetch, and returns it without surrounding spaces. Fetches nothing itself.

    Raises:
        InvalidRequestError: `url` is not a str.
        UnsupportedContent: `url` is not an http or https URL.
    """
    if not isinstance(url, str):
        raise InvalidRequestError(f"{what} from a URL needs a str; got {type(url).__name__}.")
    url = url.strip()
    short = shortened(url)
    scheme = scheme_of(url)
    if scheme is None or looks_like_host(url):
        hint = f" Did you mean {with_scheme(url)}?" if looks_like_host(url) else ""
        raise UnsupportedContent(f"{what}: {short!r} has no scheme; a URL begins with https:// or http://.{hint}")
    if scheme not in {"http", "https"}:
        raise UnsupportedContent(
            f"{what}: the platform fetches http and https URLs only, not {scheme} ({short!r}). "
            f"For a local file use {_maker(what, 'from_path')}, for bytes {_maker(what, 'from_bytes')}."
        )
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host or any(ord(letter) < 0x20 for letter in url):
        raise UnsupportedContent(f"{what}: {short!r} is not a valid http or https URL.")
    return url


def _maker(what: str, name: str) -> str:
    """The name of a constructor for an error message. Adapters replace `glmv.Image.from_path` by their own function."""
    kind = {"picture": "Image", "video": "Video"}.get(what)
    return f"glmv.{kind}.{name}" if kind else name


def public_url(url: str) -> str:
    """A URL for a repr or a log: without user, password, query and fragment, which may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{shortened(parts.netloc.rpartition('@')[2], 120)}{shortened(parts.path)}"


# Host names that do not exist in public DNS (RFC 6761, 6762, 8375; ICANN's .internal), and those of home routers.
_OWN_NAMES = (".localhost", ".local", ".internal", ".intranet", ".lan", ".home.arpa", ".home", ".corp", ".test")


def is_private(host: str) -> bool:
    """Whether a host is this machine or in a private network, judged by its name. No DNS query is made."""
    host = host.lower().rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_OWN_NAMES)


def host_of(url: str) -> str:
    """The host of a URL in lower case, without the port; "" if it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
