"""Videos in messages, recognized by their container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from glmv.catalog.row import MIB
from glmv.errors import UnsupportedContent
from glmv.media import containers, frames, headers
from glmv.media.base import VisualMedium
from glmv.media.formats import format_of
from glmv.media.frames import Measured
from glmv.media.text import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glmv.media.image import Image

_KINDS = "MP4, MOV, MKV and WEBM (and AVI, FLV, WMV, MPG and TS, but only to take frames from them)"

MAX_VIDEO_BYTES = 200 * MIB
"""The most bytes of a video file: the largest limit of any model (bigmodel.cn docs, video_url: 200M)."""


class Video(VisualMedium):
    """A video: its bytes, measured by reading their container, or a URL that the platform fetches.

    Two videos are equal if their contents are equal. MP4, QuickTime (MOV), Matroska (MKV) and WebM are recognized by
    their first bytes. So are AVI, FLV, WMV, MPEG and MPEG-TS: no model accepts these, but `frames` takes pictures from
    them. The constructors read at most `MAX_VIDEO_BYTES`.
    """

    __slots__ = ("_container", "_measured")

    _container: containers.Container | None
    _measured: Measured | None

    suffixes = containers.SUFFIXES

    _noun = "video"
    _constructors = "from_path, from_bytes, from_base64, from_url or of"
    _sources = "a URL, a path, bytes, base64, an open file or a glmv.Video"

    @classmethod
    def _max_bytes(cls) -> int:
        return MAX_VIDEO_BYTES

    @classmethod
    def _recognizes(cls, head: bytes) -> bool:
        return containers.container_of(head) is not None

    @classmethod
    def _knows(cls, head: bytes) -> bool:
        return headers.is_known(head)

    def _read(self) -> None:
        self._container = self._measured = None
        if self._blob is not None:
            self._container = containers.measure(self._blob.read, self._blob.size)
            misfit = self._container.misfit if self._container else _misfit(self._blob.read(0, 512))
            if misfit:
                raise UnsupportedContent(f"{shortened(self._name or 'the video', 120)}: {misfit}")

    @property
    def container(self) -> str | None:
        """ "mp4", "mov", "mkv", "webm", "avi", "flv", "wmv", "mpg" or "ts"; None for a URL."""
        return None if self._container is None else self._container.format

    @property
    def mime(self) -> str | None:
        """The media type, such as "video/mp4"; None for a URL."""
        return None if self._container is None else containers.KINDS[self._container.format].mime

    @property
    def duration(self) -> float | None:
        """The duration in seconds.

        None for a URL, and for a file whose duration is unknown, such as a live recording. Without PyAV (extra `video`)
        only MP4 and QuickTime files have a duration, if it is in their header.
        """
        return (self._container and self._container.duration) or self._by_pyav.duration

    @property
    def width(self) -> int | None:
        """The width in pixels as displayed; None if it is unknown or PyAV (extra `video`) is missing."""
        return self._by_pyav.width

    @property
    def height(self) -> int | None:
        """The height in pixels as displayed; None if it is unknown or PyAV (extra `video`) is missing."""
        return self._by_pyav.height

    @property
    def frame_rate(self) -> float | None:
        """Frames a second, on average; None if the rate is unknown or PyAV (extra `video`) is missing."""
        return self._by_pyav.frame_rate

    @property
    def _by_pyav(self) -> Measured:
        """What PyAV measures. The file is measured at the first access, because most calls do not need this."""
        if self._measured is None:
            if self._blob is None or self._container is None:
                return Measured()
            self._measured = frames.measure(self._blob.read, self._blob.size, self._container.format)
        return self._measured

    def frames(self, n: int) -> list[Image]:
        """`n` pictures evenly spaced over the video, for models that do not accept videos.

        They show the middles of `n` equal parts, and are upright JPEGs of the video's size. There are fewer if the
        video has fewer frames.

        Raises:
            InvalidRequestError: `n` is not 1 to 150.
            UnsupportedContent: PyAV or Pillow (extras `video` and `images`) is missing, the video is a URL, or no frame
                can be decoded.
        """
        from glmv.media.image import Image

        label = shortened(self._name or "video", 120)
        return [
            Image.from_bytes(data, name=f"{label} at {seconds:.1f} s")
            for seconds, data in frames.frames(self.data(), n, label, self.duration, str(self.container))
        ]

    def _facts(self) -> Sequence[str]:
        if self._container is None:
            return ()
        sides = f" {self.width}x{self.height}" if self.width else ""
        return (f"{self._container.format.upper()}{sides}", f"{self.duration:.1f} s" if self.duration else "")


def _misfit(head: bytes) -> str:
    """The end of the error message for content that is not a video."""
    kind = format_of(head)
    content = f"a picture ({kind}); use glmv.Image" if kind else headers.describe(head)
    return (
        f"this is not a video, but {content}. Supported formats are {_KINDS}; they are recognized by the content, "
        "not by the name."
    )
