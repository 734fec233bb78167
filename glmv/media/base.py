"""What pictures, videos and files have in common: a URL for the platform to fetch, or bytes at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Self

from glmv.errors import UnsupportedContent
from glmv.media.blob import human, looks_like_host, public, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glmv.media.blob import Blob


class Medium:
    """What the three have in common: a URL for the platform to fetch, or bytes at hand."""

    __slots__ = ("_blob", "_name", "_url")

    _blob: Blob | None
    _name: str | None
    _url: str | None

    @property
    def url(self) -> str | None:
        """The URL that the platform will fetch, or None when the bytes are at hand."""
        return self._url

    @property
    def name(self) -> str | None:
        """The file name, if there is one."""
        return self._name

    @property
    def size(self) -> int | None:
        """Bytes of the file (not of its base64), or None for a URL."""
        return None if self._blob is None else self._blob.size

    @property
    def digest(self) -> str | None:
        """The first 12 hex digits of the content's SHA-256, or None for a URL."""
        return None if self._blob is None else self._blob.digest

    def base64(self) -> bytes:
        """The content as base64: ASCII, no line breaks, no `data:` prefix. Encoded once and kept.

        Raises:
            UnsupportedContent: for a URL, whose content is not at hand.
        """
        return self._at_hand.base64()

    def data(self) -> bytes:
        """The content's raw bytes.

        Raises:
            UnsupportedContent: for a URL, whose content is not at hand.
        """
        return self._at_hand.data()

    @property
    def _at_hand(self) -> Blob:
        if self._blob is None:
            raise UnsupportedContent(f"{self!r} holds no bytes: the platform fetches it, this library does not.")
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
        told = [public(self._url)] if self._url else [self._name or "", *self._facts()]
        if self._blob is not None:
            told += [human(self._blob.size), f"sha256 {self._blob.digest}"]
        return f"{type(self).__name__}({', '.join(fact for fact in told if fact)})"

    def _facts(self) -> Sequence[str]:
        return ()


def refuse_path(text: str, what: str, kind: str) -> NoReturn:
    """Refuse a string out of a message that is neither a URL nor content; nothing is opened for it."""
    shown = short(text.strip())
    raise UnsupportedContent(
        f"{what}: a message gives it by http(s) URL, data: URI or base64, and {shown!r} is none. "
        + (
            f"Did you mean {'https://' + shown.lstrip('/')!r}?"
            if looks_like_host(text.strip())
            else f"No file is opened because a message says so: make it with glmv.{kind}.from_path."
        )
    )
