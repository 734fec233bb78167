"""Base classes of pictures, videos and files: a URL that the platform fetches, or bytes."""

from __future__ import annotations

import inspect
import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media.blob import Blob, head_of, is_file
from glmv.media.text import human_size, kind_of, shortened
from glmv.media.urls import checked_url, looks_like_host, public_url, scheme_of, with_scheme

if TYPE_CHECKING:
    from collections.abc import Sequence


_HEAD = 1200  # enough first bytes to recognize a format, also in base64


@runtime_checkable
class Readable(Protocol):
    """An open file or a similar object: `io.BytesIO`, an upload of a web framework, a member of an archive."""

    def read(self, size: int = ..., /) -> Any:
        """Returns up to `size` bytes."""


class Medium:
    """A URL that the platform fetches, or bytes.

    A subclass defines `_noun` (its name in error messages), `_constructors` (a list of its constructors for error
    messages), `_max_bytes`, and `_read`, which reads properties such as the format from the bytes.
    """

    __slots__ = ("_blob", "_name", "_url")

    _blob: Blob | None
    _name: str | None
    _url: str | None

    _noun: ClassVar[str]
    _constructors: ClassVar[str]

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError(f"Make a {self._noun} with glmv.{type(self).__name__}.{self._constructors}.")

    @classmethod
    def _make(cls, blob: Blob | None = None, *, url: str | None = None, name: str | None = None) -> Self:
        self = cls.__new__(cls)
        self._blob, self._url, self._name = blob, url, name
        self._read()
        return self

    @classmethod
    def _max_bytes(cls) -> int:
        """The maximum size of the content in bytes."""
        raise NotImplementedError

    def _read(self) -> None:
        """Set the attributes of the subclass, from the bytes if there are any.

        Raises:
            UnsupportedContent, LimitExceeded: the bytes are not valid content of this class.
        """
        raise NotImplementedError

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> Self:
        """Read a regular file. Links are followed. Pictures and videos are recognized by their first bytes.

        Raises:
            InvalidRequestError: the file does not exist or cannot be read.
            UnsupportedContent: the path is not a regular file, or the file has no format of this class.
            LimitExceeded: the file is larger than the limit of this class.
        """
        return cls._make(Blob.from_path(path, cap=cls._max_bytes(), what=cls._noun), name=PurePath(path).name)

    @classmethod
    def from_file(cls, file: Readable, *, name: str | None = None) -> Self:
        """Read an open file from its start, then seek back to the start, so that it can be read again.

        Args:
            file: opened in binary mode; an upload of Streamlit or FastAPI is accepted, too.
            name: the name in error messages and notes; None means the name of the file, if it has one.

        Raises:
            InvalidRequestError: the file was opened as text, is closed, or its `read` is asynchronous.
            UnsupportedContent: the file has no format of this class.
            LimitExceeded: the file is larger than the limit of this class.
        """
        if not isinstance(file, Readable):
            raise InvalidRequestError(f"{cls._noun} from a file needs an open file; got {kind_of(file)}")
        # The `read` of Starlette's upload is asynchronous, but the upload has an open file with a blocking one.
        inner = getattr(file, "file", None) if inspect.iscoroutinefunction(getattr(file, "read", None)) else file
        if inner is None:
            raise InvalidRequestError(
                f"{cls._noun}: the read() of this {type(file).__name__} is asynchronous: use "
                f"glmv.{cls.__name__}.from_bytes(await file.read())."
            )
        named = name or getattr(file, "filename", None) or getattr(file, "name", None)
        name = PurePath(named).name if isinstance(named, str) and named else None
        return cls.from_bytes(Blob.read_file(inner, cap=cls._max_bytes(), what=cls._noun), name=name)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, name: str | None = None) -> Self:
        """Make a content part from the bytes of a file; `name` is for error messages and notes."""
        return cls._make(Blob.from_bytes(data, cap=cls._max_bytes(), what=_named(name, cls._noun)), name=name)

    @classmethod
    def from_base64(cls, data: str | bytes, *, name: str | None = None) -> Self:
        """Make a content part from base64 or a base64 `data:` URI. Only the header of the content is decoded.

        The media type of a `data:` URI is ignored: the first bytes decide the format.
        """
        return cls._make(Blob.from_base64(data, cap=cls._max_bytes(), what=_named(name, cls._noun)), name=name)

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Make a content part from an http or https URL, which the platform fetches, or from a base64 `data:` URI.

        Raises:
            UnsupportedContent: the scheme of the URL is not http, https or data, or the URL is not valid.
        """
        if isinstance(url, str) and scheme_of(url) == "data":
            return cls.from_base64(url.strip())
        return cls._make(url=checked_url(url, cls._noun))

    @property
    def url(self) -> str | None:
        """The URL that the platform will fetch, or None for bytes."""
        return self._url

    @property
    def name(self) -> str | None:
        """The file name, or None."""
        return self._name

    @property
    def size(self) -> int | None:
        """Bytes of the file (not of its base64), or None for a URL."""
        return None if self._blob is None else self._blob.size

    @property
    def digest(self) -> str | None:
        """The first 12 hex digits of the content's SHA-256, or None for a URL."""
        return None if self._blob is None else self._blob.digest

    @property
    def sha256(self) -> str | None:
        """The content's SHA-256 as 64 hex digits, or None for a URL."""
        return None if self._blob is None else self._blob.sha256

    def base64(self) -> bytes:
        """The content as base64: ASCII, no line breaks, no `data:` prefix. It is encoded once.

        Raises:
            UnsupportedContent: for a URL, because its content is not fetched here.
        """
        return self._at_hand.base64()

    def data(self) -> bytes:
        """The content's raw bytes.

        Raises:
            UnsupportedContent: for a URL, because its content is not fetched here.
        """
        return self._at_hand.data()

    @property
    def _at_hand(self) -> Blob:
        if self._blob is None:
            raise UnsupportedContent(f"The bytes of {self!r} are not available: only the platform fetches the URL.")
        return self._blob

    @property
    def _key(self) -> tuple[str | None, ...]:
        return self._url, self.digest

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, Medium) and other._key == self._key

    def __hash__(self) -> int:
        return hash((type(self), self._key))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        facts = [public_url(self._url)] if self._url else [shortened(self._name or "", 120), *self._facts()]
        if self._blob is not None:
            facts += [human_size(self._blob.size), f"sha256 {self.digest}"]
        return f"{type(self).__name__}({', '.join(fact for fact in facts if fact)})"

    def _facts(self) -> Sequence[str]:
        return ()


class VisualMedium(Medium):
    """Base class of pictures and videos, whose formats are recognized by their first bytes.

    A subclass lists in `_sources` what `of` accepts, and recognizes its formats in `_recognizes`.
    """

    __slots__ = ()

    _sources: ClassVar[str]

    suffixes: ClassVar[tuple[str, ...]]
    """Endings of the names of such files, in lower case. The format itself is recognized by the first bytes."""

    @classmethod
    def _recognizes(cls, head: bytes) -> bool:
        """Whether a file has a format of this class, by its first 600 bytes, or all bytes of a shorter file."""
        raise NotImplementedError

    @classmethod
    def _knows(cls, head: bytes) -> bool:
        """Whether these first bytes show the format of a file, even if it is not a format of this class."""
        raise NotImplementedError

    @classmethod
    def _is_base64(cls, text: str) -> bool:
        """Whether a text is base64 of content in a known format, and not the path of a file."""
        head = head_of(text)
        return (cls._recognizes(head) or cls._knows(head)) and not (len(text) < 1024 and is_file(text))

    @classmethod
    def from_message(cls, text: str) -> Self:
        """Make a content part from a string in a message. Such a string is not trusted: no file is opened.

        Args:
            text: an http or https URL, a base64 `data:` URI, or plain base64, which the platform itself uses.

        Raises:
            UnsupportedContent: the string is something else, such as a path.
        """
        if not isinstance(text, str):
            raise InvalidRequestError(f"{cls._noun} from a message needs a str; got {kind_of(text)}")
        if scheme_of(text) is not None:
            return cls.from_url(text)
        if cls._recognizes(head_of(text)):
            return cls.from_base64(text)
        text = text.strip()
        hint = (
            f"Did you mean {with_scheme(text)}?"
            if looks_like_host(text)
            else f"A path in a message is never opened: use glmv.{cls.__name__}.from_path."
        )
        raise UnsupportedContent(
            f"{cls._noun} from a message needs an http(s) URL, a data: URI or base64; got {shortened(text)!r}. " + hint
        )

    @classmethod
    def of(cls, source: str | os.PathLike[str] | bytes | bytearray | memoryview | Readable | Self) -> Self:
        """Make a content part from any source: a URL, a path, bytes, base64, an open file, or an object of this class.

        A str with a scheme is a URL; one that decodes to a known format is base64; any other is a path, which is
        opened. So do not pass strings from a message. Bytes may be base64, too. An open file is read from its start;
        afterwards its position is the start again.
        """
        if isinstance(source, cls):
            return source
        match source:
            case str() if scheme_of(source) is not None:
                return cls.from_url(source)
            case str() if cls._is_base64(source):
                return cls.from_base64(source)  # for content of another kind, its error says what the content is
            case str() | os.PathLike():
                return cls.from_path(source)
            case bytes() | bytearray() | memoryview():
                head = bytes(source[:_HEAD])
                if not cls._recognizes(head) and cls._recognizes(head_of(head.decode("latin-1"))):
                    return cls.from_base64(bytes(source))  # as `base64.b64encode` returns it
                return cls.from_bytes(source)
            case Readable():
                return cls.from_file(source)
            case _:
                raise UnsupportedContent(f"A {cls._noun} is {cls._sources}; got {kind_of(source)}")


def _named(name: str | None, noun: str) -> str:
    return shortened(name, 120) if name else noun
