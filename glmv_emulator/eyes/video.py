"""Measures a video: its container, and its frames if PyAV is installed."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from glmv_emulator.eyes.colours import SAMPLE_SIDE, Colour, brightness_of, colours_of
from glmv_emulator.eyes.container import read_container
from glmv_emulator.eyes.picture import Unreadable

if TYPE_CHECKING:
    from PIL.Image import Image

FRAMES_LOOKED_AT = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame: its time in seconds, its colours, its brightness (0-1)."""

    at: float
    colours: tuple[Colour, ...]
    brightness: float


@dataclass(frozen=True, slots=True)
class SeenVideo:
    """The measurements of a video. ``frames`` is empty if PyAV is not installed.

    ``width`` and ``height`` are the size in which players show the video: after its rotation, if it has one.
    ``duration`` is in seconds; it is 0 if the header does not state it and PyAV is not installed to measure it.
    """

    container: str
    duration: float
    width: int
    height: int
    codec: str
    size_bytes: int
    sha256: str
    frames: tuple[Frame, ...]

    @property
    def colours(self) -> tuple[Colour, ...]:
        """The colours of the first frame."""
        return self.frames[0].colours if self.frames else ()


def look_video(data: bytes) -> SeenVideo:
    """Measure a video file. Raises `Unreadable` if it is not a video or is incomplete."""
    if not data:
        raise Unreadable("it is empty")
    header = read_container(data)
    frames, seconds, turned = _measure_frames(data)
    sides = (header.width, header.height)
    width, height = sides[::-1] if (header.turned if turned is None else turned) else sides
    return SeenVideo(
        container=header.name,
        duration=header.duration or seconds,
        width=width,
        height=height,
        codec=header.codec,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        frames=frames,
    )


@lru_cache(maxsize=8)
def _measure_frames(data: bytes) -> tuple[tuple[Frame, ...], float, bool | None]:
    """The measured frames, the duration in seconds, and whether players rotate frames by 90 degrees (None: unknown)."""
    try:
        import av
    except ImportError:  # PyAV is in the extra `video`
        return (), 0.0, None
    try:
        with av.open(io.BytesIO(data)) as container:
            length = _seconds(container)
            frames, turned = _decode(container, length)
            return tuple(frames), length, turned
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Unreadable(f"its frames cannot be decoded ({error})") from None


def _seconds(container: Any) -> float:  # PyAV's container class has no stable public type
    """The duration in the header, or the end of the last packet if the header has none."""
    if container.duration:
        return float(container.duration) / 1_000_000
    stream = container.streams.video[0]
    ends = [packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
    container.seek(0)
    return float(max(ends, default=0) * stream.time_base)


def _decode(container: Any, length: float) -> tuple[list[Frame], bool | None]:
    stream = container.streams.video[0]
    frames: list[Frame] = []
    turned: bool | None = None
    for number in range(FRAMES_LOOKED_AT):
        target = length * number / FRAMES_LOOKED_AT
        if number:
            container.seek(int(target * 1_000_000))
        for frame in container.decode(stream):
            at = float(frame.time or 0)
            if at + 1e-3 >= target:
                turned = round(frame.rotation or 0) % 180 != 0
                if not frames or at > frames[-1].at:
                    frames.append(_measure(frame.to_image(), at))
                break
    return frames, turned


def _measure(picture: Image, at: float) -> Frame:
    factor = -(-max(picture.size) // SAMPLE_SIDE)
    small = picture.convert("RGB").reduce(factor)
    return Frame(at, colours_of(small), brightness_of(small))
