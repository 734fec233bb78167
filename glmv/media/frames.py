"""Frames of a video as pictures: the one room that decodes videos (extra `video`)."""

from __future__ import annotations

import io
from importlib import import_module
from typing import TYPE_CHECKING, Any

from glmv.errors import InvalidRequestError, UnsupportedContent

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_FRAMES = 150
"""Frames that are taken at most: the most pictures that any model is documented to take in one request."""


def frames(data: bytes, n: int, label: str, duration: float | None) -> Iterator[tuple[float, bytes]]:
    """The frames nearest to the middles of `n` equal parts of a video.

    Args:
        data: the video file; `label` names it in errors.
        n: how many, 1 to `MAX_FRAMES`.
        duration: seconds, or None to have the decoder find out.

    Yields:
        Seconds from the start, and the frame as a JPEG. Fewer than `n` when the video has fewer frames.
    """
    if not 1 <= n <= MAX_FRAMES:
        raise InvalidRequestError(f"frames takes 1 to {MAX_FRAMES}; got {n}.")
    try:
        av: Any = import_module("av")
        import_module("PIL")
    except ImportError:
        raise UnsupportedContent(
            f'{label}: frames of a video need PyAV and Pillow: pip install "glmv[video,images]".'
        ) from None
    try:
        with av.open(io.BytesIO(data)) as container:
            if not container.streams.video:
                raise UnsupportedContent(f"{label}: it has sound but no picture.")
            yield from _pick(container, n, duration)
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
        # Seeking jumps to the key frame before; decoding goes on from there to the frame that is wanted.
        container.seek(int((first + target) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            at = float(frame.pts * stream.time_base) - first if frame.pts is not None else target
            half = 0.5 / float(stream.average_rate or 25)
            if at + half >= target:
                if at > last:
                    yield at, pixels.encode_frame(frame.to_image(), frame.rotation or 0)
                    last = at
                break


def _length(container: Any, stream: Any, first: float) -> float:
    """Seconds of a recording that does not say how long it is: where its last packet ends. Nothing is decoded."""
    ends = [packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
    return float(max(ends, default=0) * stream.time_base) - first
