"""Recognizes the container of a video by its first bytes, and reads from MP4 and QuickTime how long it lasts.

The frames (`mdat`) are not read: a reader jumps over them. What else a video says of itself, PyAV reads (`frames`).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from glmv.media.headers import MAX_SEGMENTS, STILL_BRANDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glmv.media.blob import Read


class Container(NamedTuple):
    """The format of a container, and seconds if its header is MP4's or QuickTime's and says them."""

    format: str
    duration: float | None


MIME = {"mp4": "video/mp4", "mov": "video/quicktime", "mkv": "video/x-matroska", "webm": "video/webm"}

_EBML = b"\x1a\x45\xdf\xa3"


def container_of(head: bytes) -> str | None:
    """The container that the first 64 bytes announce ("mp4", "mov", "mkv", "webm"), or None."""
    if head.startswith(_EBML):
        return "webm" if b"webm" in head else "mkv"
    match head[4:8]:
        case b"ftyp" if head[8:12] in STILL_BRANDS or head[8:11] == b"M4A":
            return None
        case b"ftyp":
            return "mov" if head[8:12] == b"qt  " else "mp4"
        case b"moov" | b"wide" | b"mdat" | b"skip":  # QuickTime before `ftyp` was invented
            return "mov"
        case _:
            return None


def measure(read: Read, size: int) -> Container | None:
    """Recognize a video.

    Args:
        read: reads up to n bytes at an offset.
        size: bytes of the file.

    Returns:
        Its container, or None when it is not a video of these containers, or an MP4 or QuickTime file without a
        readable table of contents (`moov`).
    """
    kind = container_of(read(0, 64))
    if kind not in {"mp4", "mov"}:
        return None if kind is None else Container(kind, None)
    for name, start, end in _boxes(read, 0, size):
        if name == b"moov":
            try:
                return Container(kind, _duration(read, start, end))
            except struct.error:  # it is cut short
                return None
    return None


def _duration(read: Read, start: int, end: int) -> float | None:
    """Seconds by the `mvhd` of a `moov`; None when unknown, as in recordings by fragments (ISO/IEC 14496-12, 8.2.2)."""
    for name, low, _ in _boxes(read, start, end):
        if name == b"mvhd":
            # Version 1 has a duration of 64 bits. All ones mean unknown, and so does 0.
            if read(low, 1) == b"\x01":
                scale, ticks = struct.unpack(">IQ", read(low + 20, 12))
                unknown = 2**64 - 1
            else:
                scale, ticks = struct.unpack(">II", read(low + 12, 8))
                unknown = 2**32 - 1
            return ticks / scale if scale and ticks not in {0, unknown} else None
    return None


def _boxes(read: Read, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two offsets: type, start and end of the payload (ISO/IEC 14496-12, 4.2)."""
    for _ in range(MAX_SEGMENTS):
        header = read(start, 16) if start < end else b""
        if len(header) < 8:
            return
        size, skip = int.from_bytes(header[:4], "big"), 8
        if size == 1:
            size, skip = int.from_bytes(header[8:16], "big"), 16
        stop = end if size == 0 else start + size
        if stop < start + skip:
            return
        yield header[4:8], start + skip, min(stop, end)
        start = stop
