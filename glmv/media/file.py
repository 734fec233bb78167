"""Documents in messages: a URL, the id of an uploaded file, or bytes."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Self

from glmv.catalog.row import MIB
from glmv.errors import InvalidRequestError
from glmv.media.base import Medium
from glmv.media.urls import checked_url, scheme_of

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FILE_BYTES = 50 * MIB
"""The most bytes of a document (docs.z.ai, chat completion, file: 50 MB each)."""

# The documented formats of file_url (pdf, txt, word, jsonl, xlsx, pptx) and similar ones. The standard library's
# `mimetypes` would read system files, and its results differ between machines.
_MIME = {
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".html": "text/html",
    ".doc": "application/msword",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".xls": "application/vnd.ms-excel",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".ppt": "application/vnd.ms-powerpoint",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}
_UNKNOWN = "application/octet-stream"


class File(Medium):
    """A document for the model. Two documents are equal if their contents and their names are equal."""

    __slots__ = ("_id", "_mime")

    _id: str | None
    _mime: str | None

    _noun = "file"
    _constructors = "from_path, from_bytes, from_base64, from_url or from_id"

    @classmethod
    def _max_bytes(cls) -> int:
        return MAX_FILE_BYTES

    def _read(self) -> None:
        self._id = None
        self._mime = None if self._blob is None else mime_of(self._name, self._blob.read(0, 5))

    @classmethod
    def from_bytes(
        cls, data: bytes | bytearray | memoryview, *, name: str | None = None, mime: str | None = None
    ) -> Self:
        """Make a document from bytes; the platform recognizes its format by the ending of `name`."""
        self = super().from_bytes(data, name=name)
        self._mime = mime or self._mime
        return self

    @classmethod
    def from_base64(cls, data: str | bytes, *, name: str | None = None, mime: str | None = None) -> Self:
        """Make a document from base64 or a base64 `data:` URI, whose media type is used."""
        text = data[:100] if isinstance(data, str) else bytes(data[:100]).decode("latin-1")
        if mime is None and scheme_of(text) == "data":
            mime = text.partition(":")[2].partition(",")[0].partition(";")[0].strip().lower()
        self = super().from_base64(data, name=name)
        self._mime = mime or self._mime
        return self

    @classmethod
    def from_url(cls, url: str, *, name: str | None = None) -> Self:
        """Make a document from an http or https URL, which the platform fetches, or from a base64 `data:` URI."""
        if isinstance(url, str) and scheme_of(url) == "data":
            return cls.from_base64(url.strip(), name=name)
        return cls._make(url=checked_url(url, cls._noun), name=name)

    @classmethod
    def from_id(cls, file_id: str) -> Self:
        """Make a document from the id of a file that was uploaded to the platform with purpose "user_data"."""
        if not isinstance(file_id, str) or not file_id.strip():
            raise InvalidRequestError("A file id is the non-empty string that the upload returned.")
        self = cls._make()
        self._id = file_id
        return self

    @property
    def file_id(self) -> str | None:
        """The id of an uploaded file, or None."""
        return self._id

    @property
    def mime(self) -> str | None:
        """The media type, or None for a URL or an id."""
        return self._mime

    @property
    def _key(self) -> tuple[str | None, ...]:
        return self._url, self._id, self.digest, self._name

    def _facts(self) -> Sequence[str]:
        return (f"id {self._id}",) if self._id else (self._mime or "",)


def mime_of(name: str | None, head: bytes) -> str:
    """The media type of a document, by its first bytes or its name."""
    if head == b"%PDF-":
        return "application/pdf"
    return _MIME.get(PurePath(name or "").suffix.lower(), _UNKNOWN)
