"""Looks at one video: its container, and its frames where PyAV is installed."""

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
    """One frame: when it is shown (seconds), its colours, its light (0-1)."""

    at: float
    colours: tuple[Colour, ...]
    brightness: float


@dataclass(frozen=True, slots=True)
class SeenVideo:
    """What was measured of one video. ``frames`` is empty where PyAV is not installed.

    ``duration`` is 0 where the container does not tell it and PyAV is not there to find its end.
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
    """Measure a video file. Raises `Unreadable` when it is no video or breaks off."""
    if not data:
        raise Unreadable("there are no bytes in it")
    header = read_container(data)
    found, seconds = _watched(data)
    return SeenVideo(
        container=header.name,
        duration=header.duration or seconds,
        width=header.width,
        height=header.height,
        codec=header.codec,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        frames=found,
    )


@lru_cache(maxsize=8)
def _watched(data: bytes) -> tuple[tuple[Frame, ...], float]:
    """Some frames, and the seconds up to the end."""
    try:
        import av
    except ImportError:  # PyAV belongs to an extra of its own
        return (), 0.0
    try:
        with av.open(io.BytesIO(data)) as opened:
            length = _seconds(opened)
            return tuple(_decode(opened, length)), length
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise Unreadable(f"its frames cannot be decoded ({error})") from None


def _seconds(opened: Any) -> float:  # PyAV's container class has no stable public type
    """What its head says; of recordings and streams whose head does not know, where the last packet ends."""
    if opened.duration:
        return float(opened.duration) / 1_000_000
    stream = opened.streams.video[0]
    ends = [packet.pts + (packet.duration or 0) for packet in opened.demux(stream) if packet.pts is not None]
    opened.seek(0)
    return float(max(ends, default=0) * stream.time_base)


def _decode(opened: Any, length: float) -> list[Frame]:
    stream = opened.streams.video[0]
    found: list[Frame] = []
    for number in range(FRAMES_LOOKED_AT):
        target = length * number / FRAMES_LOOKED_AT
        if number:
            opened.seek(int(target * 1_000_000))
        for frame in opened.decode(stream):
            at = float(frame.time or 0)
            if at + 1e-3 >= target:
                if not found or at > found[-1].at:
                    found.append(_measure(frame.to_image(), at))
                break
    return found


def _measure(picture: Image, at: float) -> Frame:
    factor = -(-max(picture.size) // SAMPLE_SIDE)
    small = picture.convert("RGB").reduce(factor)
    return Frame(at, colours_of(small), brightness_of(small))
