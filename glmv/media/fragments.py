"""The length of an MP4 that was written in fragments, as recorders and streams write it: its head does not know.

ISO/IEC 14496-12: `mehd` tells it when it was known at the start (8.8.2). Else the last fragments of a track say when
they begin (`tfdt`, 8.8.12) and how long their samples last (`trun`, 8.8.8; else `tfhd`, 8.8.7, or `trex`, 8.8.3).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from glmv.media.headers import Read, boxes

if TYPE_CHECKING:
    from collections.abc import Iterator

LAST_FRAGMENTS = 16
"""Fragments at the end of the file that are looked at: tracks take turns, so each has one among them."""


def length(read: Read, moov: tuple[int, int], size: int, scale: int) -> float | None:
    """Seconds of a fragmented file, None when it does not say.

    Args:
        read: reads up to n bytes at an offset.
        moov: start and end of the payload of its `moov`.
        size: bytes of the file.
        scale: ticks a second of the whole.
    """
    try:
        return _length(read, moov, size, scale)
    except struct.error:  # it breaks off: what can be seen of it is no shorter for that
        return None


def _length(read: Read, moov: tuple[int, int], size: int, scale: int) -> float | None:
    seconds: dict[int, int] = {}  # track -> ticks of a second
    usual: dict[int, int] = {}  # track -> ticks of a sample, unless a fragment says otherwise
    for name, low, high in boxes(read, *moov):
        if name == b"trak":
            seconds |= _second(read, low, high)
        elif name == b"mvex":
            for inner, at, _ in boxes(read, low, high):
                if inner == b"mehd" and scale and (told := _long(read, at)):
                    return told / scale
                if inner == b"trex":
                    track, _, ticks = struct.unpack(">III", read(at + 4, 12))
                    usual[track] = ticks
    fragments, walked = [], 0
    for name, low, high in boxes(read, moov[1], size):
        walked = high
        if name == b"moof":
            fragments.append((low, high))
    if walked < size:  # more of them than are walked: the last one seen is not the last
        return None
    begins: dict[int, int] = {}
    ends: dict[int, int] = {}
    for low, high in [*fragments[:1], *fragments[-LAST_FRAGMENTS:]]:
        for track, begin, lasting in _runs(read, low, high, usual):
            begins.setdefault(track, begin)
            ends[track] = max(ends.get(track, 0), begin + lasting)
    return (
        max(((end - begins[track]) / seconds[track] for track, end in ends.items() if seconds.get(track)), default=0)
        or None
    )


def _long(read: Read, at: int) -> int:
    """A number behind version and flags: of 8 bytes in version 1, else of 4."""
    return int.from_bytes(read(at + 4, 8 if read(at, 1) == b"\x01" else 4), "big")


def _second(read: Read, start: int, end: int) -> dict[int, int]:
    """A `trak` -> its number and the ticks of a second (8.3.2 and 8.4.2)."""
    track = ticks = 0
    for name, low, high in boxes(read, start, end):
        if name == b"tkhd":
            track = int.from_bytes(read(low + (20 if read(low, 1) == b"\x01" else 12), 4), "big")
        elif name == b"mdia":
            for inner, at, _ in boxes(read, low, high):
                if inner == b"mdhd":
                    ticks = int.from_bytes(read(at + (20 if read(at, 1) == b"\x01" else 12), 4), "big")
    return {track: ticks}


def _runs(read: Read, start: int, end: int, usual: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    """The tracks of a `moof`: number, when the fragment begins, and how long it lasts, in ticks."""
    for name, low, high in boxes(read, start, end):
        if name != b"traf":
            continue
        track = begin = lasting = sample = 0
        for inner, at, stop in boxes(read, low, high):
            match inner:
                case b"tfhd":
                    flags, track = struct.unpack(">II", read(at, 8))
                    sample = usual.get(track, 0)
                    if flags & 0x08:
                        before = 8 * bool(flags & 0x01) + 4 * bool(flags & 0x02)
                        (sample,) = struct.unpack(">I", read(at + 8 + before, 4))
                case b"tfdt":
                    begin = _long(read, at)
                case b"trun":
                    lasting += _lasting(read, at, stop, sample)
                case _:
                    continue
        yield track, begin, lasting


def _lasting(read: Read, at: int, stop: int, sample: int) -> int:
    """Ticks of the samples of a `trun`: each says its own, or all last as long as `sample`."""
    flags, count = (int.from_bytes(read(at + place, 4), "big") for place in (0, 4))
    if not flags & 0x100:
        return count * sample
    begin = at + 8 + 4 * bool(flags & 0x01) + 4 * bool(flags & 0x04)
    stride = 4 * sum(bool(flags & field) for field in (0x100, 0x200, 0x400, 0x800))
    table = read(begin, min(count * stride, stop - begin))
    return sum(int.from_bytes(table[place : place + 4], "big") for place in range(0, len(table), stride))
