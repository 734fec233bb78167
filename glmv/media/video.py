"""Videos as values, measured from their container without decoding."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING

from glmv.catalog.row import MIB
from glmv.errors import UnsupportedContent
from glmv.media import containers, headers
from glmv.media.base import Medium, refuse_path
from glmv.media.blob import Blob, checked_url, head_of, scheme_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glmv.media.image import Image

MAX_VIDEO_BYTES = 200 * MIB
"""Bytes of a video that are read at most: the most any model takes (bigmodel.cn docs, video_url: 200M)."""


class Video(Medium):
    """A video: bytes at hand, measured from their container, or a URL that the platform fetches.

    Equal when the content is. MP4, QuickTime (MOV), Matroska (MKV) and WebM are told by their first bytes.
    """

    __slots__ = ("_facts_read",)

    _facts_read: containers.Container | None

    def __init__(self, *_: object, **__: object) -> None:
        raise TypeError("Make a video with glmv.Video.from_path, from_bytes, from_base64, from_url or of.")

    @classmethod
    def _make(cls, blob: Blob | None, *, url: str | None = None, name: str | None = None) -> Video:
        facts = None
        if blob is not None:
            facts = containers.measure(blob.read, blob.size)
            if facts is None:
                raise UnsupportedContent(f"{name or 'the video'}: {_found(blob.read(0, 512))}")
        self = cls.__new__(cls)
        self._blob, self._url, self._name, self._facts_read = blob, url, name, facts
        return self

    @classmethod
    def from_path(cls, path: str | os.PathLike[str]) -> Video:
        """Read a video file. Links are followed; only a regular file that sniffs as a video is taken.

        Raises:
            InvalidRequestError: there is no such file, or it cannot be read.
            UnsupportedContent: it is no regular file, or no video.
            LimitExceeded: it has more than `MAX_VIDEO_BYTES`.
        """
        return cls._make(Blob.from_path(path, cap=MAX_VIDEO_BYTES, what="video"), name=PurePath(path).name)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview, *, name: str | None = None) -> Video:
        """Take the bytes of a video file; `name` is for messages only."""
        return cls._make(Blob.from_bytes(data, cap=MAX_VIDEO_BYTES, what=name or "video"), name=name)

    @classmethod
    def from_base64(cls, data: str | bytes, *, name: str | None = None) -> Video:
        """Take base64 or a base64 `data:` URI. It is kept as it is; only its tables are decoded."""
        return cls._make(Blob.from_base64(data, cap=MAX_VIDEO_BYTES, what=name or "video"), name=name)

    @classmethod
    def from_url(cls, url: str) -> Video:
        """Take an http or https URL for the platform to fetch, or a base64 `data:` URI."""
        if isinstance(url, str) and scheme_of(url) == "data":
            return cls.from_base64(url.strip())
        return cls._make(None, url=checked_url(url, "video"))

    @classmethod
    def from_message(cls, text: str) -> Video:
        """Take what a message says about a video, which nobody vouches for: no file is opened for it.

        Args:
            text: an http or https URL, a base64 `data:` URI, or base64 of a video, which is the platform's
                own wire form.

        Raises:
            UnsupportedContent: anything else, such as a path.
        """
        if scheme_of(text) is None and containers.container_of(head_of(text)) is not None:
            return cls.from_base64(text)
        if scheme_of(text) is None:
            refuse_path(text, "video", "Video")
        return cls.from_url(text)

    @classmethod
    def of(cls, source: str | os.PathLike[str] | bytes | bytearray | memoryview | Video) -> Video:
        """Take whatever the programmer has: a URL, a path (opened!), bytes, or a `Video`."""
        match source:
            case Video():
                return source
            case str() if scheme_of(source) is not None:
                return cls.from_url(source)
            case str() | os.PathLike():
                return cls.from_path(source)
            case bytes() | bytearray() | memoryview():
                return cls.from_bytes(source)
            case _:
                raise UnsupportedContent(
                    f"A video is a URL, a path, bytes or a glmv.Video; got {type(source).__name__}."
                )

    @property
    def container(self) -> str | None:
        """ "mp4", "mov", "mkv" or "webm"; None for a URL."""
        return None if self._facts_read is None else self._facts_read.format

    @property
    def mime(self) -> str | None:
        """The media type, such as "video/mp4"; None for a URL."""
        return None if self._facts_read is None else containers.MIME[self._facts_read.format]

    @property
    def duration(self) -> float | None:
        """Seconds; None when unknown (a URL, or a live recording that does not say)."""
        return None if self._facts_read is None else self._facts_read.duration

    @property
    def width(self) -> int | None:
        """Pixels across as displayed; None when unknown."""
        return None if self._facts_read is None else self._facts_read.width

    @property
    def height(self) -> int | None:
        """Pixels down as displayed; None when unknown."""
        return None if self._facts_read is None else self._facts_read.height

    def frames(self, n: int) -> list[Image]:
        """`n` pictures evenly spaced over the video (the middle of each n-th), for models that take no video.

        Fewer when the video has fewer frames. They are upright JPEGs of the video's own size.

        Raises:
            UnsupportedContent: PyAV (extra `video`) is missing, it is a URL, or nothing decodes.
        """
        from glmv.media.frames import frames
        from glmv.media.image import Image

        label = self._name or "video"
        return [
            Image.from_bytes(data, name=f"{label} at {seconds:.1f} s")
            for seconds, data in frames(self.data(), n, label, self.duration)
        ]

    def _facts(self) -> Sequence[str]:
        facts = self._facts_read
        if facts is None:
            return ()
        sides = f" {facts.width}x{facts.height}" if facts.width else ""
        return (f"{facts.format.upper()}{sides}", f"{facts.duration:.1f} s" if facts.duration else "")


def _found(head: bytes) -> str:
    if containers.container_of(head) is not None:
        return "this video has no table of contents (moov): the recording or the download was cut short."
    kind = headers.format_of(head)
    what = f"a picture ({kind}); use glmv.Image" if kind else headers.describe(head)
    return f"this is no video, it is {what}. Videos are MP4, MOV, MKV and WEBM, told by their first bytes."
