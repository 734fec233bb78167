"""Tells a picture by its first bytes and measures it from its header, without decoding and without Pillow.

Every function reads through `read(offset, size) -> bytes`, so that a file, bytes and base64 text are measured
alike and only the few bytes that matter are touched. Damaged headers end in `None`, never in an exception.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

Read = Callable[[int, int], bytes]

MAX_SEGMENTS = 4096
"""Header segments walked at most; pictures have dozens, a PNG of 30 MB in 8 kB chunks has 3,700."""

MAX_META_BYTES = 1 << 20
"""Bytes of a HEIC or AVIF `meta` box that are read at most; phones write 4 to 40 kB."""

# HEVC codes blocks of 64 pixels a side at most (ITU-T H.265, 7.4.3.2).
MAX_HEIF_PADDING = 64


class Picture(NamedTuple):
    """What a picture's header says. Sides are in pixels as displayed, after the EXIF orientation."""

    format: str
    width: int
    height: int
    orientation: int = 1


MIME = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "gif": "image/gif",
    "bmp": "image/bmp",
    "tiff": "image/tiff",
    "heic": "image/heic",
    "avif": "image/avif",
}

# Brands that may stand in the `ftyp` box of a still picture (ISO/IEC 23008-12, AV1 Image File Format).
_BRANDS = {
    **dict.fromkeys([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"], "heic"),
    **dict.fromkeys([b"avif", b"avis"], "avif"),
}


def format_of(head: bytes) -> str | None:
    """The picture format that the first 16 bytes announce ("jpg", "png", ...), or None."""
    match head:
        case _ if head.startswith(b"\xff\xd8\xff"):
            return "jpg"
        case _ if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return "png"
        case _ if head.startswith((b"GIF87a", b"GIF89a")):
            return "gif"
        case _ if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return "webp"
        case _ if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
            return "bmp"
        case _ if head.startswith((b"II*\0", b"MM\0*")):
            return "tiff"
        case _ if head[4:8] == b"ftyp":
            return _BRANDS.get(head[8:12])
        case _:
            return None


def picture(read: Read) -> Picture | None:
    """Measure a picture.

    Returns:
        Its facts, or None when the first bytes are no picture's or its header is damaged.
    """
    kind = format_of(read(0, 16))
    if kind is None:
        return None
    try:
        width, height, orientation = _MEASURE[kind](read)
    except (struct.error, IndexError, _DamagedError):
        return None
    if width <= 0 or height <= 0:
        return None
    # EXIF 2.32, tag 0x0112: 5 to 8 are turned by a quarter, so that the sides change places.
    if orientation >= 5:
        width, height = height, width
    return Picture(kind, width, height, orientation)


# What people hand over instead of a picture: first bytes, what it is, what would work.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF; send it with glmv.File, or render its pages as pictures"),
    (b"PK\x03\x04", "a ZIP archive or an Office document; send it with glmv.File"),
    (b"\xd0\xcf\x11\xe0", "an old Office document; send it with glmv.File"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video; use glmv.Video"),
    (b"8BPS", "a Photoshop document; export it as PNG or JPEG"),
    (b"%!PS", "PostScript; export it as PNG or JPEG"),
    (b"\0\0\1\0", "an icon (ICO); convert it to PNG"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"ID3", "an audio file"),
    (b"OggS", "an Ogg file"),
)


def describe(head: bytes) -> str:
    """Name, for an error message, what the first 512 bytes of something that is no picture look like."""
    if not head:
        return "nothing (0 bytes)"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide"}:
        return "an MP4 or QuickTime video; use glmv.Video"
    if head[:4] == b"RIFF" and head[8:12] in {b"AVI ", b"WAVE"}:
        return "an AVI video; convert it to MP4" if head[8:12] == b"AVI " else "an audio file"
    if (kind := format_of(head)) is not None:
        return f"a damaged picture: it begins as {kind.upper()} but its header is cut or broken"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"<svg" in head.lower():
        return "SVG, which is text and no pixels; render it to PNG first"
    if text[:5].lower() == b"<?xml":
        return "XML text"
    if text[:9].lower() in {b"<!doctype", b"<html>"} or text[:5].lower() == b"<html":
        return "an HTML page, perhaps a download that failed"
    if b"\0" not in head and not any(byte < 9 or 13 < byte < 32 for byte in head):
        return "text"
    return "an unknown kind of data"


class _DamagedError(Exception):
    """The header does not hold what its format promises."""


def _need(read: Read, offset: int, size: int) -> bytes:
    data = read(offset, size)
    if len(data) != size:
        raise _DamagedError
    return data


_Measured = tuple[int, int, int]


def _jpeg(read: Read) -> _Measured:
    """Walk the marker segments up to the frame header (ITU-T T.81, B.1.1 and B.2.2)."""
    offset, orientation = 2, 1
    for _ in range(MAX_SEGMENTS):
        lead, marker = _need(read, offset, 2)
        if lead != 0xFF:
            raise _DamagedError
        if marker == 0xFF:  # fill byte
            offset += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD7:  # markers that stand alone
            offset += 2
            continue
        (length,) = struct.unpack(">H", _need(read, offset + 2, 2))
        if 0xC0 <= marker <= 0xCF and marker not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", _need(read, offset + 5, 4))
            return width, height, orientation
        if marker in {0xD9, 0xDA} or length < 2:
            raise _DamagedError
        if marker == 0xE1 and read(offset + 4, 6) == b"Exif\0\0":
            orientation = _orientation(_part(read, offset + 10, length - 8))
        offset += 2 + length
    raise _DamagedError


def _png(read: Read) -> _Measured:
    """`IHDR` comes first; `eXIf` may come before or after the pixels (PNG, third edition, 11.3.3)."""
    if _need(read, 12, 4) != b"IHDR":
        raise _DamagedError
    width, height = struct.unpack(">II", _need(read, 16, 8))
    offset = 8
    for _ in range(MAX_SEGMENTS):
        header = read(offset, 8)
        if len(header) < 8 or header[4:] == b"IEND":
            break
        (length,) = struct.unpack(">I", header[:4])
        if header[4:] == b"eXIf":
            return width, height, _orientation(_part(read, offset + 8, length))
        offset += 12 + length
    return width, height, 1


def _gif(read: Read) -> _Measured:
    width, height = struct.unpack("<HH", _need(read, 6, 4))
    return width, height, 1


def _webp(read: Read) -> _Measured:
    """Three kinds of first chunk: lossy, lossless, extended (RFC 9649, 2.5 to 2.7)."""
    chunk = _need(read, 12, 4)
    if chunk == b"VP8 ":
        if _need(read, 23, 3) != b"\x9d\x01\x2a":
            raise _DamagedError
        width, height = struct.unpack("<HH", _need(read, 26, 4))
        return width & 0x3FFF, height & 0x3FFF, 1
    if chunk == b"VP8L":
        if _need(read, 20, 1) != b"\x2f":
            raise _DamagedError
        (bits,) = struct.unpack("<I", _need(read, 21, 4))
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1, 1
    if chunk != b"VP8X":
        raise _DamagedError
    flags = _need(read, 20, 1)[0]
    sides = _need(read, 24, 6)
    orientation = _webp_exif(read) if flags & 0x08 else 1
    return int.from_bytes(sides[:3], "little") + 1, int.from_bytes(sides[3:], "little") + 1, orientation


def _webp_exif(read: Read) -> int:
    offset = 12
    for _ in range(MAX_SEGMENTS):
        header = read(offset, 8)
        if len(header) < 8:
            break
        (length,) = struct.unpack("<I", header[4:])
        if header[:4] == b"EXIF":
            skip = 6 if read(offset + 8, 6) == b"Exif\0\0" else 0
            return _orientation(_part(read, offset + 8 + skip, length - skip))
        offset += 8 + length + length % 2
    return 1


def _bmp(read: Read) -> _Measured:
    (size,) = struct.unpack("<I", _need(read, 14, 4))
    if size == 12:
        width, height = struct.unpack("<HH", _need(read, 18, 4))
        return width, height, 1
    width, height = struct.unpack("<ii", _need(read, 18, 8))
    return width, abs(height), 1  # a negative height means rows from the top


def _tiff(read: Read) -> _Measured:
    tags = _ifd(read)
    if 256 not in tags or 257 not in tags:
        raise _DamagedError
    return tags[256], tags[257], _sane(tags.get(274, 1))


def _ifd(read: Read) -> dict[int, int]:
    """The whole-number tags of the first image file directory (TIFF 6.0, section 2)."""
    head = _need(read, 0, 8)
    order = "<" if head[:2] == b"II" else ">"
    (offset,) = struct.unpack(order + "I", head[4:])
    (count,) = struct.unpack(order + "H", _need(read, offset, 2))
    table = read(offset + 2, 12 * min(count, MAX_SEGMENTS))
    tags = {}
    for at in range(0, len(table) - 11, 12):
        tag, kind = struct.unpack_from(order + "HH", table, at)
        if kind == 3:
            (tags[tag],) = struct.unpack_from(order + "H", table, at + 8)
        elif kind == 4:
            (tags[tag],) = struct.unpack_from(order + "I", table, at + 8)
    return tags


def _orientation(read: Read) -> int:
    """The EXIF orientation, 1 to 8; 1 when there is none or the EXIF block is broken."""
    try:
        if read(0, 4) not in {b"II*\0", b"MM\0*"}:
            return 1
        return _sane(_ifd(read).get(274, 1))
    except (struct.error, _DamagedError):
        return 1


def _sane(orientation: int) -> int:
    return orientation if 1 <= orientation <= 8 else 1


def _part(read: Read, start: int, length: int) -> Read:
    """A reader that sees only `length` bytes from `start`."""
    return lambda offset, size: read(start + offset, max(0, min(size, length - offset)))


def boxes(read: Read, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The ISO media boxes between two offsets: type, start and end of the payload (ISO/IEC 14496-12, 4.2)."""
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


def _heif(read: Read) -> _Measured:
    """The largest `ispe` is the picture, smaller ones are tiles and thumbnails (ISO/IEC 23008-12, 6.5.3).

    A `clap` of nearly its size cuts off what the codec added to fill its blocks (6.5.9).
    """
    everything = 1 << 62
    sides = (0, 0)
    shown: list[tuple[int, int]] = []
    turned = False
    for kind, start, end in boxes(read, 0, everything):
        if kind != b"meta":
            continue
        meta = read(start, min(end - start, MAX_META_BYTES))
        for name, low, high in _properties(meta):
            if name == b"ispe":
                found = struct.unpack(">II", meta[low + 4 : low + 12])
                sides = max(sides, found, key=lambda pair: pair[0] * pair[1])
            elif name == b"clap" and low + 16 <= high:
                across, by, down, of = struct.unpack(">IIII", meta[low : low + 16])
                shown.append((across // (by or 1), down // (of or 1)))
            elif name == b"irot" and low < high:
                turned = turned or meta[low] % 2 == 1
        break
    width, height = next((clap for clap in shown if _fills(clap, sides)), sides)
    return (height, width, 1) if turned else (width, height, 1)


def _fills(clap: tuple[int, int], sides: tuple[int, int]) -> bool:
    return all(0 <= full - part < MAX_HEIF_PADDING for part, full in zip(clap, sides, strict=True))


def _properties(meta: bytes) -> Iterator[tuple[bytes, int, int]]:
    def read(offset: int, size: int) -> bytes:
        return meta[offset : offset + size]

    for kind, start, end in boxes(read, 4, len(meta)):  # `meta` begins with version and flags
        if kind == b"iprp":
            for inner, low, high in boxes(read, start, end):
                if inner == b"ipco":
                    yield from boxes(read, low, high)


_MEASURE: dict[str, Callable[[Read], _Measured]] = {
    "jpg": _jpeg,
    "png": _png,
    "gif": _gif,
    "webp": _webp,
    "bmp": _bmp,
    "tiff": _tiff,
    "heic": _heif,
    "avif": _heif,
}
