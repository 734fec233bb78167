"""The structure of picture and video files, and whether a file was cut short. Nothing is decoded."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from glmv.media.blob import Read

MAX_SEGMENTS = 4096
"""The most header segments that are read. Most pictures have dozens; a PNG of 30 MB in chunks of 8 kB has 3,700."""

START_OF_SCAN = 0xDA
_STEP = 1 << 16  # bytes at a time, from the end


def cut_short(read: Read, size: int, kind: str) -> str | None:
    """Checks whether a picture or video file is complete.

    Args:
        read: reads up to n bytes at an offset.
        size: bytes of the file.
        kind: its format, as `formats` and `containers` name it.

    Returns:
        A message with the number of bytes, and the expected number if the file says it; None for a complete file, and
        for a format that does not say where it ends.
    """
    judge = _JUDGES.get(kind)
    return None if judge is None else judge(read, size)


def _jpeg(read: Read, size: int) -> str | None:
    """Looks for the end marker after the start of the pixels. Pixels never contain the marker (T.81, B.1.1.5)."""
    try:
        start = next((offset for marker, offset, _ in segments(read) if marker == START_OF_SCAN), None)
    except struct.error:
        start = None
    if start is None:
        return f"it ends after {size:,} bytes, before its pixels"
    stop = size
    while stop > start:
        low = max(start, stop - _STEP)
        if b"\xff\xd9" in read(low, stop - low + 1):
            return None
        stop = low
    return f"it ends after {size:,} bytes, in the middle of its pixels"


def _png(read: Read, size: int) -> str | None:
    offset = 8
    for _ in range(MAX_SEGMENTS):
        header = read(offset, 8)
        if len(header) < 8:
            return f"it ends after {size:,} bytes, without its end (IEND)"
        if header[4:] == b"IEND":
            return None
        end = offset + 12 + int.from_bytes(header[:4], "big")
        if end > size:
            return f"it ends after {size:,} bytes, but its chunk {header[4:].decode('latin-1')!r} ends at byte {end:,}"
        offset = end
    return None


def _webp(read: Read, size: int) -> str | None:
    end = 8 + int.from_bytes(read(4, 4), "little")
    return None if end <= size else f"it has {size:,} of {end:,} bytes"


def _boxed(read: Read, size: int) -> str | None:
    """Checks a file that consists of boxes (HEIC, AVIF, MP4). A fragmented recording is complete wherever it ends."""
    for name, _, end in boxes(read, 0, size, whole=False):
        if name == b"moof":
            return None
        if end > size and name in {b"mdat", b"moov", b"meta", b"idat"}:  # other data at the end may be junk
            return f"it has {size:,} bytes, but by its headers at least {end:,}"
    return None


_JUDGES = {"jpg": _jpeg, "png": _png, "webp": _webp, **dict.fromkeys(["heic", "avif", "mp4", "mov"], _boxed)}


def boxes(read: Read, start: int, end: int, *, whole: bool = True) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two offsets: type, start and end of the payload (ISO/IEC 14496-12, 4.2).

    With `whole`, the end of a payload is at most `end`. Without it, the end is the one in the header of the box; it
    may be later than `end`.
    """
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
        yield header[4:8], start + skip, min(stop, end) if whole else stop
        start = stop


def segments(read: Read) -> Iterator[tuple[int, int, int]]:
    """The segments of a JPEG up to the start of its pixels (ITU-T T.81, B.1.1): marker, offset and length of each."""
    offset = 2
    for _ in range(MAX_SEGMENTS):
        lead, marker = struct.unpack(">BB", read(offset, 2))
        if lead != 0xFF:
            return
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers without a length
            offset += 2
            continue
        (length,) = struct.unpack(">H", read(offset + 2, 2))
        if marker == 0xD9 or length < 2:
            return
        yield marker, offset, length
        if marker == START_OF_SCAN:
            return
        offset += 2 + length
