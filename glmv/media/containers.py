"""Measures a video from its container: MP4 and QuickTime boxes, Matroska and WebM elements.

Only the tables are read, never the frames (`mdat`, `Cluster`): a reader jumps over them.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from glmv.media.fragments import length as fragments_length
from glmv.media.headers import MAX_SEGMENTS, Read, boxes

if TYPE_CHECKING:
    from collections.abc import Iterator


class Container(NamedTuple):
    """What a container's header says; a fact that it does not tell is None."""

    format: str
    duration: float | None
    width: int | None
    height: int | None


MIME = {"mp4": "video/mp4", "mov": "video/quicktime", "mkv": "video/x-matroska", "webm": "video/webm"}

_STILL = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}
_EBML = b"\x1a\x45\xdf\xa3"


def container_of(head: bytes) -> str | None:
    """The container that the first 64 bytes announce ("mp4", "mov", "mkv", "webm"), or None."""
    if head.startswith(_EBML):
        return "webm" if b"webm" in head else "mkv"
    match head[4:8]:
        case b"ftyp" if head[8:12] in _STILL or head[8:11] == b"M4A":
            return None
        case b"ftyp":
            return "mov" if head[8:12] == b"qt  " else "mp4"
        case b"moov" | b"wide" | b"mdat" | b"skip":  # QuickTime before `ftyp` was invented
            return "mov"
        case _:
            return None


def measure(read: Read, size: int) -> Container | None:
    """Measure a video.

    Args:
        read: reads up to n bytes at an offset.
        size: bytes of the file.

    Returns:
        Its facts, or None when it is no video of these containers or has no readable table of contents.
    """
    kind = container_of(read(0, 64))
    if kind is None:
        return None
    try:
        return _ebml(read, size, kind) if kind in {"mkv", "webm"} else _mp4(read, size, kind)
    except (struct.error, IndexError):
        return None


def _mp4(read: Read, size: int, kind: str) -> Container | None:
    """`mvhd` tells the duration, `tkhd` the frame size (ISO/IEC 14496-12, 8.2.2 and 8.3.2)."""
    for name, start, end in boxes(read, 0, size):
        if name != b"moov":
            continue
        duration: float | None = None
        sides: tuple[int, int] | None = None
        scale = 0
        for inner, low, high in boxes(read, start, end):
            if inner == b"mvhd":
                scale, length = _times(read, low)
                duration = length / scale if scale and length else duration
            elif inner == b"trak":
                sides = sides or _frame(read, low, high)
        if duration is None:
            duration = fragments_length(read, (start, end), size, scale)
        return Container(kind, duration, *(sides or (None, None)))
    return None


def _times(read: Read, start: int) -> tuple[int, int]:
    """Ticks a second and duration in ticks; version 1 has 64-bit times, all ones mean unknown."""
    if read(start, 1) == b"\x01":
        scale, length = struct.unpack(">IQ", read(start + 20, 12))
        return scale, 0 if length == 2**64 - 1 else length
    scale, length = struct.unpack(">II", read(start + 12, 8))
    return scale, 0 if length == 2**32 - 1 else length


def _frame(read: Read, start: int, end: int) -> tuple[int, int] | None:
    """Width and height of a video track as displayed; None for sound and other tracks."""
    sides = None
    for name, low, high in boxes(read, start, end):
        if name == b"tkhd":
            at = low + (88 if read(low, 1) == b"\x01" else 76)
            width, height = (value >> 16 for value in struct.unpack(">II", read(at, 8)))
            across, turn = struct.unpack(">ii", read(at - 36, 8))  # matrix a and b: a quarter turn has a = 0
            sides = (height, width) if across == 0 and turn != 0 else (width, height)
        elif name == b"mdia":
            for inner, inner_low, _ in boxes(read, low, high):
                if inner == b"hdlr" and read(inner_low + 8, 4) != b"vide":
                    return None
    return sides if sides and all(sides) else None


_SEGMENT, _INFO, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0
_SCALE, _DURATION, _WIDTH, _HEIGHT = 0x2AD7B1, 0x4489, 0xB0, 0xBA


def _ebml(read: Read, size: int, kind: str) -> Container | None:
    """`Info` tells scale and duration, `Tracks` the frame size (RFC 9559, 5.1.2 and 5.1.4)."""
    for identity, start, end in _elements(read, 0, size):
        if identity != _SEGMENT:
            continue
        duration: float | None = None
        sides: tuple[int, int] | None = None
        for inner, low, high in _elements(read, start, end):
            if inner == _INFO:
                duration = _duration(read, low, high)
            elif inner == _TRACKS:
                for entry, entry_low, entry_high in _elements(read, low, high):
                    if entry == _ENTRY:
                        sides = sides or _pixels(read, entry_low, entry_high)
            if duration is not None and sides is not None:
                break
        return Container(kind, duration, *(sides or (None, None)))
    return None


def _duration(read: Read, start: int, end: int) -> float | None:
    scale, length = 1_000_000, None  # nanoseconds a tick, when the file does not say
    for identity, low, high in _elements(read, start, end):
        if identity == _SCALE:
            scale = _whole(read, low, high)
        elif identity == _DURATION:
            (length,) = struct.unpack(">d" if high - low == 8 else ">f", read(low, high - low))
    return None if length is None or not 0 < length < 1e18 else length * scale / 1e9


def _pixels(read: Read, start: int, end: int) -> tuple[int, int] | None:
    for identity, low, high in _elements(read, start, end):
        if identity == _VIDEO:
            found = {inner: _whole(read, *span) for inner, *span in _elements(read, low, high)}
            if found.get(_WIDTH) and found.get(_HEIGHT):
                return found[_WIDTH], found[_HEIGHT]
    return None


def _whole(read: Read, start: int, end: int) -> int:
    return int.from_bytes(read(start, min(end - start, 8)), "big")


def _elements(read: Read, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The EBML elements between two offsets: id, start and end of the payload (RFC 8794, 4 to 6)."""
    for _ in range(MAX_SEGMENTS):
        head = read(start, 12) if start < end else b""
        if len(head) < 2 or not head[0]:
            return
        id_length = 9 - head[0].bit_length()
        if id_length > 4 or len(head) <= id_length or not head[id_length]:
            return
        size_length = 9 - head[id_length].bit_length()
        raw = head[id_length : id_length + size_length]
        size = int.from_bytes(raw, "big") & ((1 << 7 * size_length) - 1)
        low = start + id_length + size_length
        # All ones: a live recording did not know its size; the element lasts as long as its parent.
        stop = end if size == (1 << 7 * size_length) - 1 else low + size
        yield int.from_bytes(head[:id_length], "big"), low, min(stop, end)
        start = stop
