"""Which proxy a request goes through: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, never for this machine."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from glmv.errors import InvalidRequestError

# What a proxy's URL begins with -> how the HTTP library calls it, and the port where none is given. "socks" is what
# GNOME, Clash and V2RayN write. The library's SOCKS proxies look names up themselves, as "socks5h" asks for.
_SCHEMES = {
    "http": ("http", 80),
    "https": ("https", 443),
    "socks": ("socks5", 1080),
    "socks5": ("socks5", 1080),
    "socks5h": ("socks5", 1080),
}
# A shorter password is found in words that have nothing to do with it.
_SHORTEST = 4
_SYSTEM = "the system's settings"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy.

    Attributes:
        url: with user name and password, so it is in no repr.
        place: host and port, for messages.
        scheme: "http", "https" or "socks5".
        named_by: the environment variable that names it, or that the operating system does.
    """

    url: str = field(repr=False)
    place: str
    scheme: str
    named_by: str

    def __str__(self) -> str:
        return f"the proxy {self.place} ({self.named_by})"

    @property
    def host(self) -> str:
        """Its host name or address, in lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def has_user(self) -> bool:
        """Whether a user name is given for it."""
        return "@" in urlsplit(self.url).netloc

    def mask(self, text: str) -> str:
        """A text without the proxy's password, as it stands in the URL and as it was meant."""
        password = urlsplit(self.url).password or ""
        for secret in (password, unquote(password)):
            text = text.replace(secret, "***") if len(secret) >= _SHORTEST else text
        return text


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: "localhost", a name below it, 127.0.0.0/8 or ::1 (RFC 6761, RFC 1122)."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A short form of an address, as "127.1": the system reads those, too.
        return host.startswith("127.") and host.replace(".", "").isdigit()
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def proxy_for(url: str) -> Proxy | None:
    """The proxy of a URL, as the environment and the operating system's settings say, or None.

    Args:
        url: where requests go. For this machine there is never a proxy.

    Raises:
        InvalidRequestError: what the environment says names no proxy that can be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or host in ("0.0.0.0", "::"):  # noqa: S104 - asked, not listened on
        return None
    found = _named(parts.scheme, f"{host}:{parts.port}" if parts.port else host)
    if isinstance(found, str):
        raise settings_failed(found)
    return found


def _named(scheme: str, place: str) -> Proxy | str | None:
    """The proxy, or what is wrong with it: whoever raises holds no password in its variables."""
    proxies = getproxies()
    kind = scheme if proxies.get(scheme) else "all"
    value = proxies.get(kind, "").strip()
    if not value or proxy_bypass(place):
        return None
    return _read(value if "://" in value else f"http://{value}", _variable(kind))


def _variable(kind: str) -> str:
    """The name of the variable that says what proxy a scheme has. `getproxies` prefers names in lower case."""
    name = f"{kind}_proxy"
    if os.environ.get(name):
        return name
    return next((found for found in os.environ if found.lower() == name and os.environ[found]), _SYSTEM)


def _read(value: str, named_by: str) -> Proxy | str:
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    # Nothing of the value is repeated: where it is cut wrongly, a part of the password stands for the port.
    if not host or "@" in value.partition("://")[2].removeprefix(parts.netloc):
        return (
            f"The proxy that {named_by} names cannot be used: write it as http://host:port or "
            "http://user:password@host:port, with special characters of the password percent-encoded (# is %23, "
            "/ is %2F, @ is %40)."
        )
    scheme, default = _SCHEMES.get(parts.scheme, ("", 0))
    if not scheme:
        return (
            f"The proxy that {named_by} names cannot be used: it begins with {parts.scheme[:20]}://, and http://, "
            "https://, socks5:// and socks5h:// are known."
        )
    shown = f"[{host}]" if ":" in host else host
    return Proxy(f"{scheme}://{value.partition('://')[2]}", f"{shown}:{port or default}", scheme, named_by)


def settings_failed(message: str) -> InvalidRequestError:
    """The error for a setting of this machine with which no connection can be made."""
    error = InvalidRequestError(message)
    error.kind = "settings"
    return error
