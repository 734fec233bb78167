"""Bytes, raw or as base64: encoded once, decoded only when they are read.

The other modules of `glmv.media` neither encode nor decode base64, and do not open the files of callers.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from glmv.errors import InvalidRequestError, LimitExceeded, UnsupportedContent
from glmv.media.text import human_size, kind_of, shown
from glmv.media.urls import looks_like_host, scheme_of, with_scheme

Read = Callable[[int, int], bytes]
"""An offset and a number of bytes -> at most that many bytes, read from the offset."""

DIGEST_LENGTH = 12
"""Hex digits of a short SHA-256: 48 bits are enough to distinguish the media of one program."""

_ENCODED = 3 << 14  # raw bytes that are encoded at a time; a multiple of 3
_EVERYTHING = 1 << 62  # more bytes than any file has
_STEP = 3 << 18  # raw bytes at a time; a multiple of 3, so that base64 can be cut there
_WHITESPACE = b" \t\r\n\v\f"
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_LIKE_BASE64 = re.compile(r"[A-Za-z0-9+/_-][A-Za-z0-9+/_\s-]{120,}={0,2}")
_DATA_URI = re.compile(rb"\s*data:([^,;]*)((?:;[^,;]*)*),", re.IGNORECASE)
_ESCAPE = re.compile(rb"%(2[0BFbf]|3[Dd]|0[9AaDd])")  # spaces, +, / and = as forms and query strings encode them


class Blob:
    """Immutable bytes, stored raw until they are encoded and as base64 after that (never both for long).

    Attributes:
        size: length of the raw bytes.
    """

    __slots__ = ("_encoded", "_raw", "_sha256", "size")

    def __init__(self, raw: bytes | None, encoded: bytes | None, size: int) -> None:
        self._raw = raw
        self._encoded = encoded
        self._sha256: str | None = None
        self.size = size

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, cap: int, what: str) -> Blob:
        """Make a blob from raw bytes. Raises `LimitExceeded` above `cap` bytes."""
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidRequestError(f"{what} from bytes needs bytes; got {kind_of(data)}")
        raw = bytes(data)
        _check_size(len(raw), cap, what)
        return cls(raw, None, len(raw))

    @classmethod
    def from_base64(cls, data: str | bytes, *, cap: int, what: str) -> Blob:
        """Make a blob from base64 text, which stays encoded.

        Whitespace is removed, because the platform sometimes refuses base64 with whitespace (error 1210). A `data:`
        prefix is removed, even if it is doubled. The URL-safe alphabet, escapes such as %2B and missing padding are
        corrected.

        Raises:
            LimitExceeded: the decoded data has more than `cap` bytes.
            InvalidRequestError: the text is not base64.
        """
        if isinstance(data, str):
            try:
                data = data.encode("ascii")
            except UnicodeEncodeError:
                raise InvalidRequestError(f"{what}: this is not base64: it has non-ASCII characters.") from None
        elif not isinstance(data, bytes | bytearray):
            raise InvalidRequestError(f"{what} from base64 needs str or bytes; got {type(data).__name__}.")
        start = 0
        while prefix := _DATA_URI.match(data, start):
            if b"base64" not in prefix[2].lower():
                raise UnsupportedContent(f'{what}: a data: URI must contain ";base64"; this one has plain text.')
            start = prefix.end()
        # A quarter more than the smallest encoding allows for line breaks; longer text is refused unread.
        if len(data) - start > cap * 5 // 3 + 1024:
            _check_size((len(data) - start) * 3 // 4, cap, what)
        text = bytes(memoryview(data)[start:] if start else data).translate(_URL_SAFE, _WHITESPACE)
        if b"%" in text:
            text = _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), text).translate(None, _WHITESPACE)
        del data  # a video is large: keep at most two copies at a time
        end = len(text)
        while end and end > len(text) - 4 and text[end - 1] == ord("="):
            end -= 1
        if text.translate(None, _ALPHABET) != text[end:] or end % 4 == 1:
            wrong = text[:end].translate(None, _ALPHABET)[:1]
            reason = f"It has the character {wrong.decode('ascii', 'replace')!r}, which base64 does not use."
            if not wrong:
                reason = "It is cut short." if end % 4 == 1 else "It continues after its end (=)."
            raise InvalidRequestError(f"{what}: this is not base64 ({end:,} characters). {reason}")
        size = end * 3 // 4
        _check_size(size, cap, what)
        padding = b"=" * (-end % 4)
        return cls(None, text if text[end:] == padding else text[:end] + padding, size)

    @classmethod
    def from_path(cls, path: str | os.PathLike[str], *, cap: int, what: str) -> Blob:
        """Read a regular file, following links. Other kinds of files are not opened.

        Raises:
            InvalidRequestError: the file does not exist, is not a regular file or cannot be read.
            LimitExceeded: the file has more than `cap` bytes. This is checked before reading.
        """
        try:
            path = home(path)
            if not stat.S_ISREG(Path(path).stat().st_mode):  # checked first: opening a device can have effects
                raise UnsupportedContent(f"{what} {shown(os.fspath(path))} is not a regular file.")
            # If the file is replaced by a FIFO meanwhile, O_NONBLOCK lets the open return at once.
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
            with open(os.open(path, flags), "rb") as file:  # noqa: PTH123 - Path.open takes no flags
                facts = os.fstat(file.fileno())
                if not stat.S_ISREG(facts.st_mode):
                    raise UnsupportedContent(f"{what} {shown(os.fspath(path))} is not a regular file.")
                _check_size(facts.st_size, cap, f"{what} {shown(os.fspath(path))}")
                raw = file.read(facts.st_size)
        except FileNotFoundError:
            raise InvalidRequestError(
                _no_base64(path, what) or f"{what}: the file {shown(os.fspath(path))} does not exist.{_url_hint(path)}"
            ) from None
        except (OSError, ValueError, TypeError) as error:
            if isinstance(error, InvalidRequestError):
                raise
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            message = _no_base64(path, what) or f"{what}: the file {shown(path)} cannot be read ({reason})."
            raise InvalidRequestError(message) from None
        return cls(raw, None, len(raw))

    @staticmethod
    def read_file(file: Any, *, cap: int, what: str) -> bytes:
        """Read an open file from its start, then seek back to the start; if it is not seekable, read the rest of it.

        Raises:
            InvalidRequestError: the file is closed, was opened as text, or cannot be read.
            LimitExceeded: the file has more than `cap` bytes. Reading stops there if the file's
                `read` accepts a size argument.
        """
        try:
            goes_back = _goes_back(file)
            if goes_back:
                file.seek(0)
            data = _content_of(file, cap)
            if goes_back:
                file.seek(0)
        except Exception as error:  # an archive or a download raises anything
            reason = shown(str(error) or type(error).__name__)
            raise InvalidRequestError(f"the open file cannot be read as bytes ({reason}).") from error
        if isinstance(data, str):
            raise InvalidRequestError('the open file cannot be read as bytes: open it with open(path, "rb").')
        if not isinstance(data, bytes | bytearray | memoryview):
            raise InvalidRequestError(
                f"{what}: read() of {type(file).__name__} returns {type(data).__name__}, not bytes."
            )
        if len(data) > cap:
            raise LimitExceeded(f"{what} is larger than the limit of {human_size(cap)}. Make it smaller.")
        return bytes(data)

    def read(self, offset: int, size: int) -> bytes:
        """Up to `size` raw bytes from `offset`. Only these are decoded."""
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
        """Base64 as ASCII bytes without line breaks. The raw bytes are dropped, because base64 can be decoded again."""
        encoded = self._encoded
        if encoded is None:
            raw = memoryview(self.data())
            # In steps that fit into the processor's cache, because b2a_base64 allocates twice the length of what it
            # encodes; into a buffer of the final size. `getvalue` of a BytesIO returns this buffer, not a copy.
            out = io.BytesIO(bytes((len(raw) + 2) // 3 * 4))
            for offset in range(0, len(raw), _ENCODED):
                out.write(binascii.b2a_base64(raw[offset : offset + _ENCODED], newline=False))
            encoded = out.getvalue()
            self._encoded = encoded  # before the raw bytes are dropped, so that other threads have one of them
            self._raw = None
        return encoded

    @property
    def _text(self) -> bytes:
        assert self._encoded is not None
        return self._encoded

    def begins(self, text: bytes) -> int | None:
        """The index in `text` at which this blob's base64 begins; None if `text` does not end with this base64."""
        start = len(text) - len(self._encoded or b"")
        return start if self._encoded and start >= 0 and text.endswith(self._encoded) else None

    @property
    def digest(self) -> str:
        """The first hex digits of the SHA-256 of the raw bytes."""
        return self.sha256[:DIGEST_LENGTH]

    @property
    def sha256(self) -> str:
        """The SHA-256 of the raw bytes, in hex."""
        if self._sha256 is None:
            sha = hashlib.sha256()
            for offset in range(0, self.size, _STEP):
                sha.update(self.read(offset, _STEP))
            self._sha256 = sha.hexdigest()
        return self._sha256


class BlobFile(io.RawIOBase):
    """A binary file that gets its content from a function, for libraries that take files. Only needed parts are read.

    Args:
        read: reads up to `size` bytes at an offset, as `Blob.read`.
        size: number of bytes, or None. With None, seeking from the end reads everything.
    """

    def __init__(self, read: Read, size: int | None = None) -> None:
        self._read = read
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        data = self._read(self._position, _EVERYTHING)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        match whence:
            case io.SEEK_SET:
                base = 0
            case io.SEEK_CUR:
                base = self._position
            case _:
                if self._size is None:
                    self._size = len(self._read(0, _EVERYTHING))
                base = self._size
        if base + offset < 0:
            raise ValueError(f"The position {base + offset} is before the start of the file.")
        self._position = base + offset
        return self._position


def is_file(path: str) -> bool:
    """Whether the path is a file on this machine. Nothing is opened, and no other machine is contacted."""
    if path.startswith(("//", "\\\\")):  # a share of another machine, to which Windows would log in
        return False
    try:
        return Path(home(path)).is_file()
    except (OSError, ValueError):
        return False


def home(path: Any) -> Any:
    """A path with its `~` replaced by the user's folder, as a shell does."""
    name = os.fspath(path)
    return os.path.expanduser(name) if isinstance(name, str) and name.startswith("~") else path  # noqa: PTH111


def _content_of(file: Any, cap: int) -> Any:
    """The rest of an open file; at most `cap` + 1 bytes of it if the file's `read` accepts a size argument."""
    if isinstance(file, io.RawIOBase):  # it may return less than requested
        buffered = io.BufferedReader(file)
        try:
            return buffered.read(cap + 1)
        finally:
            buffered.detach()
    try:
        return file.read(cap + 1)
    except TypeError:  # a response of an HTTP library: its `read` takes no size
        return file.read()


def _goes_back(file: Any) -> bool:
    seekable = getattr(file, "seekable", None)
    return bool(seekable()) if callable(seekable) else hasattr(file, "seek")


def head_of(text: str, size: int = 600) -> bytes:
    """The first bytes that a base64 text decodes to; b"" if the text is not base64."""
    start = "".join(unquote(text[: size * 2]).split())
    for length in (size // 3 * 4, 60):  # 60: only the first line may be base64
        try:
            return Blob.from_base64(start[:length], cap=size * 2, what="").data()
        except InvalidRequestError:
            continue
    return b""


def _check_size(size: int, cap: int, what: str) -> None:
    if size > cap:
        raise LimitExceeded(f"{what} is {human_size(size)}; the limit is {human_size(cap)}. Make it smaller.")


def _no_base64(path: object, what: str) -> str | None:
    """The message for a text that looks like base64 and is not the path of a file; None for any other text."""
    text = path.decode("latin-1") if isinstance(path, bytes) else path
    if not isinstance(text, str) or not _LIKE_BASE64.fullmatch(text.strip()):
        return None
    return (
        f"{what}: the text {shown(text, 60)} ({len(text):,} characters) is not a file. If it is base64, give it to "
        "from_base64."
    )


def _url_hint(path: object) -> str:
    text = str(path)[:2000]
    if scheme_of(text) in {"http", "https", "data"}:
        return " This is a URL: give it to from_url."
    return f" Did you mean {with_scheme(text)}?" if looks_like_host(text) else ""
