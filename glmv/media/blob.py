"""Bytes at hand, raw or as base64: encoded once, decoded only where somebody looks.

The only room that imports `base64`'s engine and the only one that opens a file a programmer named.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import os
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

from glmv.errors import InvalidRequestError, LimitExceeded, UnsupportedContent

DIGEST_LENGTH = 12
"""Hex digits of the SHA-256 that name content: 48 bits, plenty to tell the media of one program apart."""

_ENCODED = 3 << 14  # raw bytes that are encoded at a time; a multiple of 3
_STEP = 3 << 18  # raw bytes at a time; a multiple of 3, so that base64 can be cut there
_WHITESPACE = b" \t\r\n\v\f"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_DATA_URI = re.compile(rb"data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)


class Blob:
    """Immutable bytes, kept raw until they are encoded and as base64 from then on (never both for long).

    Attributes:
        size: length of the raw bytes.
    """

    __slots__ = ("_digest", "_encoded", "_raw", "size")

    def __init__(self, raw: bytes | None, encoded: bytes | None, size: int) -> None:
        self._raw = raw
        self._encoded = encoded
        self._digest: str | None = None
        self.size = size

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, cap: int, what: str) -> Blob:
        """Take raw bytes. Raises `LimitExceeded` above `cap` bytes."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidRequestError(f"{what} from bytes needs bytes; got {type(data).__name__}.")
        raw = bytes(data)
        _within(len(raw), cap, what)
        return cls(raw, None, len(raw))

    @classmethod
    def from_base64(cls, data: str | bytes, *, cap: int, what: str) -> Blob:
        """Take base64 text as people have it and keep it encoded.

        Whitespace is removed (the platform answers 1210 to it now and then), a `data:` prefix is dropped, the
        URL-safe alphabet and missing padding are mended.

        Raises:
            LimitExceeded: above `cap` decoded bytes.
            InvalidRequestError: when it is no base64.
        """
        if isinstance(data, str):
            try:
                data = data.encode("ascii")
            except UnicodeEncodeError:
                raise InvalidRequestError(f"{what}: this is no base64, it holds non-ASCII characters.") from None
        elif not isinstance(data, bytes | bytearray):
            raise InvalidRequestError(f"{what} from base64 needs str or bytes; got {type(data).__name__}.")
        start = 0
        if prefix := _DATA_URI.match(data):
            if b"base64" not in prefix[2].lower():
                raise UnsupportedContent(f"{what}: a data: URI must say ;base64, this one holds plain text.")
            start = prefix.end()
        # A quarter more than the smallest encoding leaves room for line breaks and refuses the rest unread.
        if len(data) - start > cap * 5 // 3 + 1024:
            _within((len(data) - start) * 3 // 4, cap, what)
        text = bytes(memoryview(data)[start:] if start else data).translate(_URL_SAFE, _WHITESPACE)
        del data  # a video is large: at most two copies live at a time
        end = len(text)
        while end and end > len(text) - 4 and text[end - 1] == ord("="):
            end -= 1
        if text.translate(None, _ALPHABET) != text[end:] or end % 4 == 1:
            reason = "It is cut short." if end % 4 == 1 else "It holds characters outside its alphabet."
            raise InvalidRequestError(f"{what}: this is no base64 ({end:,} characters). {reason}")
        size = end * 3 // 4
        _within(size, cap, what)
        padding = b"=" * (-end % 4)
        return cls(None, text if text[end:] == padding else text[:end] + padding, size)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], *, cap: int, what: str) -> Blob:
        """Read a regular file, following links. Nothing is read of anything else.

        Raises:
            InvalidRequestError: when there is no such file, it is not a regular file or may not be read.
            LimitExceeded: above `cap` bytes, before reading.
        """
        try:
            if not stat.S_ISREG(Path(path).stat().st_mode):  # asked first: opening a device can have effects
                raise UnsupportedContent(f"{what} {os.fspath(path)!r} is not a regular file.")
            # Should it be exchanged for a FIFO meanwhile, O_NONBLOCK lets the open return at once.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - Path.open takes no flags
                facts = os.fstat(file.fileno())
                if not stat.S_ISREG(facts.st_mode):
                    raise UnsupportedContent(f"{what} {os.fspath(path)!r} is not a regular file.")
                _within(facts.st_size, cap, f"{what} {os.fspath(path)!r}")
                raw = file.read(facts.st_size)
        except FileNotFoundError:
            raise InvalidRequestError(f"{what}: there is no file {os.fspath(path)!r}.{_maybe_url(path)}") from None
        except (OSError, ValueError, TypeError) as error:
            if isinstance(error, InvalidRequestError):
                raise
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise InvalidRequestError(f"{what}: the file {path!r} cannot be read ({reason}).") from None
        return cls(raw, None, len(raw))

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` raw bytes from `offset`, decoding no more than these."""
        raw = self._raw
        if raw is not None:
            return raw[offset : offset + size]
        lead = offset % 3
        stop = offset + size
        window = self._text[(offset - lead) // 3 * 4 : -(-stop // 3) * 4]
        return binascii.a2b_base64(window)[lead : lead + size]

    def data(self) -> bytes:
        """The raw bytes."""
        raw = self._raw
        return raw if raw is not None else binascii.a2b_base64(self._text)

    def base64(self) -> bytes:
        """Base64 as ASCII bytes without line breaks. The raw bytes are let go: it can be decoded again."""
        encoded = self._encoded
        if encoded is None:
            raw = memoryview(self.data())
            # In steps that stay in the processor's cache, because b2a_base64 sets aside twice the length of what it
            # is given; into a buffer of the final size; the value of a BytesIO is its own buffer, not a copy.
            out = io.BytesIO(bytes((len(raw) + 2) // 3 * 4))
            for offset in range(0, len(raw), _ENCODED):
                out.write(binascii.b2a_base64(raw[offset : offset + _ENCODED], newline=False))
            encoded = out.getvalue()
            self._encoded = encoded  # set before the raw bytes go, so that another thread always finds one
            self._raw = None
        return encoded

    @property
    def _text(self) -> bytes:
        assert self._encoded is not None
        return self._encoded

    @property
    def digest(self) -> str:
        """The first hex digits of the SHA-256 of the raw bytes."""
        if self._digest is None:
            sha = hashlib.sha256()
            for offset in range(0, self.size, _STEP):
                sha.update(self.read(offset, _STEP))
            self._digest = sha.hexdigest()[:DIGEST_LENGTH]
        return self._digest


def head_of(text: str, size: int = 64) -> bytes:
    """The first bytes that base64 text would decode to, b"" when it is none."""
    try:
        return Blob.from_base64(text[: size // 3 * 4], cap=size * 2, what="").data()
    except InvalidRequestError:
        return b""


_SCHEME = re.compile(r"\s*([a-zA-Z][a-zA-Z0-9+.-]+):")  # two letters at least: C:\ is a Windows drive
_HOST_LIKE = re.compile(r"(?://)?[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}(:\d+)?(/\S*)?", re.IGNORECASE)
_FILE_LIKE = re.compile(r"[^/]*\.(jpe?g|png|webp|gif|bmp|tiff?|hei[cf]|avif|mp4|mov|mkv|webm|pdf|txt)", re.IGNORECASE)


def scheme_of(text: str) -> str | None:
    """The lower-case scheme of a URL, or None."""
    match = _SCHEME.match(text[:40])
    return match[1].lower() if match else None


def looks_like_host(text: str) -> bool:
    """Whether this is a URL whose scheme was forgotten ("example.com/cat.jpg", but not "cat.jpg")."""
    return bool(_HOST_LIKE.fullmatch(text[:2000])) and not _FILE_LIKE.fullmatch(text)


def checked_url(url: str, what: str) -> str:
    """A URL the platform may fetch, as it came (but for blanks around it). It is never fetched here.

    Raises:
        UnsupportedContent: when it is no http or https URL.
    """
    if not isinstance(url, str):
        raise InvalidRequestError(f"{what} from a URL needs a str; got {type(url).__name__}.")
    url = url.strip()
    shown = short(url)
    scheme = scheme_of(url)
    if scheme is None or looks_like_host(url):
        hint = f" Did you mean {'https://' + shown.lstrip('/')!r}?" if looks_like_host(url) else ""
        raise UnsupportedContent(f"{what}: {shown!r} has no scheme; a URL begins with https:// or http://.{hint}")
    if scheme not in {"http", "https"}:
        raise UnsupportedContent(
            f"{what}: the platform fetches http and https URLs only, not {scheme}: ({shown!r}). "
            "For a local file use from_path, for bytes from_bytes."
        )
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    if not host or any(ord(letter) < 0x20 for letter in url):
        raise UnsupportedContent(f"{what}: {shown!r} is no URL that could be fetched.")
    return url


def short(text: str, size: int = 60) -> str:
    """Text for an error message: never a whole blob."""
    return text if len(text) <= size else text[: size - 1] + "…"


def public(url: str) -> str:
    """A URL for a repr: without user, password, query and fragment, which may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{short(parts.path)}"


def human(size: int) -> str:
    """A size in bytes for a person, e.g. "31 kB"."""
    for unit, scale in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= scale:
            return f"{size / scale:.1f} {unit}" if size < 100 * scale and scale > 1000 else f"{size / scale:.0f} {unit}"
    return f"{size} bytes"


def _within(size: int, cap: int, what: str) -> None:
    if size > cap:
        raise LimitExceeded(f"{what} has {human(size)}; more than {human(cap)} is not read. Make it smaller.")


def _maybe_url(path: object) -> str:
    text = str(path)
    if scheme_of(text) in {"http", "https", "data"}:
        return " This is a URL: give it to from_url."
    return f" Did you mean {'https://' + short(text.lstrip('/'))!r}?" if looks_like_host(text) else ""
