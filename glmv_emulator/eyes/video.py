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

    ``width`` and ``height`` are as players show it: a phone's upright video is stored lying, with a turn.
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
    found, seconds, turned = _watched(data)
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
        frames=found,
    )


@lru_cache(maxsize=8)
def _watched(data: bytes) -> tuple[tuple[Frame, ...], float, bool | None]:
    """Some frames, the seconds up to the end, and whether frames are shown after a quarter turn (None: not known)."""
    try:
        import av
    except ImportError:  # PyAV belongs to an extra of its own
        return (), 0.0, None
    try:
        with av.open(io.BytesIO(data)) as opened:
            length = _seconds(opened)
            found, turned = _decode(opened, length)
            return tuple(found), length, turned
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


def _decode(opened: Any, length: float) -> tuple[list[Frame], bool | None]:
    stream = opened.streams.video[0]
    found: list[Frame] = []
    turned: bool | None = None
    for number in range(FRAMES_LOOKED_AT):
        target = length * number / FRAMES_LOOKED_AT
        if number:
            opened.seek(int(target * 1_000_000))
        for frame in opened.decode(stream):
            at = float(frame.time or 0)
            if at + 1e-3 >= target:
                turned = round(frame.rotation or 0) % 180 != 0
                if not found or at > found[-1].at:
                    found.append(_measure(frame.to_image(), at))
                break
    return found, turned


def _measure(picture: Image, at: float) -> Frame:
    factor = -(-max(picture.size) // SAMPLE_SIDE)
    small = picture.convert("RGB").reduce(factor)
    return Frame(at, colours_of(small), brightness_of(small))
