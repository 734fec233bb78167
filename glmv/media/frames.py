"""Reads the duration, sides, frame rate and frames of a video with PyAV (extra `video`).

No other module of `glmv` imports PyAV.
"""

from __future__ import annotations

import io
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media.blob import BlobFile
from glmv.media.containers import KINDS
from glmv.media.pixels import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glmv.media.blob import Read

MAX_FRAMES = 150
"""The most frames to take: the largest documented number of pictures in one request."""


_ODDEST = 8
"""The largest ratio of a pixel's sides that is accepted; damaged recordings may have any value."""


class Measured(NamedTuple):
    """What PyAV reads from a video: seconds, sides in pixels as displayed, frames a second; None means unknown."""

    duration: float | None = None
    width: int | None = None
    height: int | None = None
    frame_rate: float | None = None


def measure(read: Read, size: int, kind: str) -> Measured:
    """Measure a video. Its first frame is decoded, because the rotation is in the frames.

    Args:
        read: reads up to n bytes at an offset.
        size: bytes of the file.
        kind: its container, as `containers` names it.

    Returns:
        The values that could be read; all None if PyAV is missing or the video is damaged.
    """
    try:
        av: Any = import_module("av")
    except ImportError:
        return Measured()
    try:
        with av.open(BlobFile(read, size), format=KINDS[kind].demuxer, **_lenient(av)) as container:
            duration = container.duration / 1e6 if container.duration else None
            if not container.streams.video:
                return Measured(duration)
            stream = container.streams.video[0]
            rate = float(stream.average_rate) if stream.average_rate else None
            return Measured(duration, *_sides(av, container, stream), rate)
    except Exception:  # noqa: BLE001 - decoders raise any error for damaged files; the video is sent unmeasured
        return Measured()


def _lenient(av: Any) -> dict[str, str]:
    """Options for PyAV, so that a title that is not UTF-8 raises no error. From PyAV 19 on, there is no such option."""
    return {"metadata_errors": "ignore"} if int(av.__version__.partition(".")[0]) < 19 else {}


def _sides(av: Any, container: Any, stream: Any) -> tuple[int | None, int | None]:
    width, height = stream.codec_context.width, stream.codec_context.height
    if not width or not height:
        return None, None
    if width * height > MAX_PIXELS:  # decoding it could use up the memory
        return width, height
    try:
        frame = next(container.decode(stream), None)
    except av.FFmpegError:  # the table of contents is valid, but the frame is not
        frame = None
    width, height = _displayed_sides(stream, width, height)
    return (height, width) if frame is not None and round(frame.rotation or 0) % 180 else (width, height)


def _displayed_sides(stream: Any, width: int, height: int) -> tuple[int, int]:
    """The sides as displayed, which differ from `width` and `height` if pixels are not square (anamorphic video)."""
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    if not ratio or ratio == 1 or not 1 / _ODDEST <= ratio <= _ODDEST:
        return width, height
    return max(1, round(width * ratio)), height


def frames(data: bytes, n: int, label: str, duration: float | None, kind: str) -> Iterator[tuple[float, bytes]]:
    """The frames nearest to the middles of `n` equal parts of a video.

    Args:
        data: the video file; `label` names it in errors.
        n: how many, 1 to `MAX_FRAMES`.
        duration: seconds; if it is None, PyAV determines it.
        kind: its container, as `containers` names it.

    Yields:
        Seconds from the start, and the frame as a JPEG. Fewer than `n` when the video has fewer frames.
    """
    if not 1 <= n <= MAX_FRAMES:
        raise InvalidRequestError(f"The number of frames must be 1 to {MAX_FRAMES}; got {n}.")
    try:
        av: Any = import_module("av")
        import_module("PIL")
    except ImportError:
        raise UnsupportedContent(
            f'{label}: frames of a video need PyAV and Pillow: pip install "glmv[video,images]".'
        ) from None
    try:
        with av.open(io.BytesIO(data), format=KINDS[kind].demuxer) as container:
            if not container.streams.video:
                raise UnsupportedContent(f"{label}: it has sound but no picture.")
            count = 0
            for frame in _pick(container, n, duration):
                count += 1
                yield frame
            if not count:
                raise UnsupportedContent(f"{label}: none of its frames can be decoded. It is damaged or cut short.")
    except av.FFmpegError as error:
        raise UnsupportedContent(f"{label}: it cannot be decoded ({error.strerror}). Is it damaged?") from error


def _pick(container: Any, n: int, duration: float | None) -> Iterator[tuple[float, bytes]]:
    from glmv.media import pixels

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    first = float((stream.start_time or 0) * stream.time_base)
    length = duration or (container.duration or 0) / 1e6 or _length(container, stream, first)
    wanted = [length * (2 * i + 1) / (2 * n) for i in range(n)]
    last = -1.0
    for target in wanted:
        at, frame = _frame_at(container, stream, first, target)
        if frame is not None and at > last:
            sides = _displayed_sides(stream, frame.width, frame.height)
            yield at, pixels.encode_frame(frame.to_image(), frame.rotation or 0, sides)
            last = at


_BACK = 3.0
"""A second search begins this many seconds before the wanted frame: broadcasts have a key frame each second or two."""


def _frame_at(container: Any, stream: Any, first: float, target: float) -> tuple[float, Any]:
    """The time and the frame that is shown `target` seconds after `first`; the frame is None if the video ends before.

    Seeking jumps to the key frame before the wanted frame, and decoding continues from there. In a stream without an
    index, such as MPEG-TS, seeking may jump to a frame after the wanted one, even if the wanted one is the first.
    Then the search is repeated from an earlier time, and at last from a time before the start.
    """
    half = 0.5 / float(stream.average_rate or 25)
    for start in (target, target - _BACK, -_BACK):
        container.seek(int((first + start) / stream.time_base), stream=stream)
        early = False  # whether a frame before the wanted one was decoded: this start was early enough
        for frame in container.decode(stream):
            at = float(frame.pts * stream.time_base) - first if frame.pts is not None else target
            if not early and at - half > target and start > -_BACK:
                break
            if at + half >= target:
                return at, frame
            early = True
        if early:
            break
    return target, None


def _length(container: Any, stream: Any, first: float) -> float:
    """Seconds of a recording whose header has no duration: the end of its last packet. Nothing is decoded."""
    ends = [packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
    return float(max(ends, default=0) * stream.time_base) - first
