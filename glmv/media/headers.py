"""Recognizes pictures by their first bytes, and measures them: JPEG and PNG by their headers, others with Pillow.

Every function reads through `read(offset, size) -> bytes`, so that the same code measures files, bytes and base64
text, and only the needed bytes are read. For damaged headers the result is `None`, not an exception.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from glmv.media import pixels
from glmv.media.blob import BlobFile, Read
from glmv.media.containers import container_of
from glmv.media.formats import HEAD, format_of
from glmv.media.structure import MAX_SEGMENTS, START_OF_SCAN, segments


class Picture(NamedTuple):
    """What the header of a picture says. Sides are pixels as displayed, after EXIF orientation, or None if unknown."""

    format: str
    width: int | None
    height: int | None
    orientation: int = 1

    @property
    def longer_side(self) -> int | None:
        """Pixels of the longer side; None when unknown."""
        return None if self.width is None or self.height is None else max(self.width, self.height)


def picture(read: Read, size: int | None = None) -> Picture | None:
    """Measure a picture.

    Args:
        read: reads up to n bytes at an offset.
        size: bytes of the file; None when unknown.

    Returns:
        Its format, sides and orientation. The sides of a format other than JPEG and PNG are None if Pillow is missing
        or cannot read its header. The result is None if the first bytes are not those of a picture, or if the header of
        a JPEG or PNG is damaged.

    Raises:
        LimitExceeded: Pillow refuses the picture because of its number of pixels.
    """
    kind = format_of(read(0, HEAD))
    if kind is None:
        return None
    if kind not in _MEASURE:
        return Picture(kind, *(pixels.measure(BlobFile(read, size), kind) or (None, None)))
    try:
        width, height, orientation = _MEASURE[kind](read)
    except (struct.error, ValueError):
        return None
    if width <= 0 or height <= 0:
        return None
    return Picture(kind, *pixels.displayed(width, height, orientation), orientation)


# Common files that are not pictures: first bytes, and a description with advice.
_OTHERS: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF; send it with glmv.File, or render its pages as pictures"),
    (b"PK\x03\x04", "a ZIP archive or an Office document; send it with glmv.File"),
    (b"\xd0\xcf\x11\xe0", "an old Office document; send it with glmv.File"),
    (b"8BPS", "a Photoshop document; export it as PNG or JPEG"),
    (b"%!PS", "PostScript; export it as PNG or JPEG"),
    (b"\0\0\1\0", "an icon (ICO); convert it to PNG"),
    (b"\xff\x0a", "JPEG XL; convert it to JPEG or PNG"),
    (b"\0\0\0\x0cJXL ", "JPEG XL; convert it to JPEG or PNG"),
    (b"FUJIFILMCCD-RAW", "a camera's raw file; export it as JPEG"),
    (b"IIU\0", "a camera's raw file; export it as JPEG"),
    (b"IIRO", "a camera's raw file; export it as JPEG"),
    (b"IIRS", "a camera's raw file; export it as JPEG"),
    (b"\0\0\0\x18ftypcrx ", "a camera's raw file; export it as JPEG"),
    (b"\x1f\x8b", "gzip data"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"ID3", "an audio file"),
    (b"OggS", "an Ogg file"),
)


def describe(head: bytes) -> str:
    """A description of a file that is not a picture, from its first 512 bytes, for an error message."""
    if not head:
        return "nothing (0 bytes)"
    for magic, name in _OTHERS:
        if head.startswith(magic):
            return name
    if head[4:8] == b"ftyp" and head[8:11] in {b"M4A", b"M4B"}:
        return "an audio file (M4A)"
    if (video := container_of(head)) is not None:
        return f"a video ({video.upper()}); use glmv.Video"
    if head[:4] == b"RIFF" and head[8:12] in {b"AVI ", b"WAVE"}:
        return "an AVI video without its header" if head[8:12] == b"AVI " else "an audio file"
    if (kind := format_of(head)) is not None:
        return f"a damaged file: it begins as {kind.upper()}, but its header is cut short or damaged"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if b"<svg" in head.lower():
        return "SVG, which has no pixels; render it to PNG first"
    if text[:5].lower() == b"<?xml":
        return "XML text"
    if text[:9].lower() in {b"<!doctype", b"<html>"} or text[:5].lower() == b"<html":
        return "an HTML page, perhaps a download that failed"
    if b"\0" not in head and not any(byte < 9 or 13 < byte < 32 for byte in head):
        return "text"
    return _UNKNOWN


_UNKNOWN = "an unknown kind of data"
_SHORTEST = 40  # bytes; the base64 of fewer could be a file name


def is_known(head: bytes) -> bool:
    """Whether the first bytes show what a file is: a picture, a video, a PDF and so on. False for text."""
    return len(head) >= _SHORTEST and describe(head) not in ("text", _UNKNOWN)


_Measured = tuple[int, int, int]


_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # start of frame: T.81, table B.1


def _jpeg(read: Read) -> _Measured:
    """Width, height and EXIF orientation, from the marker segments up to the frame header (ITU-T T.81, B.2.2)."""
    orientation = 1
    for marker, offset, length in segments(read):
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", read(offset + 5, 4))
            return width, height, orientation
        if marker == 0xE1 and read(offset + 4, 6) == b"Exif\0\0":
            orientation = _orientation(read, offset + 10, offset + 2 + length)
    raise ValueError("The JPEG has no frame header.")


def decodes_in_strips(read: Read) -> bool:
    """Whether decoding this JPEG needs memory for a strip only, because one sequential scan has all colours.

    For a progressive JPEG, or one with a scan for each colour, a decoder keeps all coefficients in memory.
    """
    colours = 0
    try:
        for marker, offset, _ in segments(read):
            if marker in _FRAMES:
                colours = read(offset + 9, 1)[0] if marker in {0xC0, 0xC1} else 0
            if marker == START_OF_SCAN:
                return colours > 0 and read(offset + 4, 1)[0] == colours
    except (struct.error, IndexError):
        pass
    return False


def _png(read: Read) -> _Measured:
    """Width, height and EXIF orientation, from the chunks `IHDR` and `eXIf`.

    `IHDR` comes first; `eXIf` may come before or after the pixels (PNG, third edition, 11.3.3).
    """
    name, width, height = struct.unpack(">4sII", read(12, 12))
    if name != b"IHDR":
        raise ValueError("The PNG has no IHDR.")
    offset = 8
    for _ in range(MAX_SEGMENTS):
        header = read(offset, 8)
        if len(header) < 8 or header[4:] == b"IEND":
            break
        (length,) = struct.unpack(">I", header[:4])
        if header[4:] == b"eXIf":
            return width, height, _orientation(read, offset + 8, offset + 8 + length)
        offset += 12 + length
    return width, height, 1


def is_deep_grey(read: Read) -> bool:
    """Whether a PNG is 16-bit grey (PNG, third edition, 11.2.1). Decoders interpret its levels in different ways."""
    return read(24, 2) == b"\x10\0"


def frames_of_png(read: Read) -> int:
    """Frames of an animated PNG, from its `acTL` before the pixels (PNG, third edition, 11.3.6); else 1."""
    offset = 8
    for _ in range(MAX_SEGMENTS):
        header = read(offset, 8)
        if len(header) < 8 or header[4:] == b"IDAT":
            break
        if header[4:] == b"acTL":
            return max(1, int.from_bytes(read(offset + 8, 4), "big"))
        offset += 12 + int.from_bytes(header[:4], "big")
    return 1


_MEASURE = {"jpg": _jpeg, "png": _png}


def _orientation(read: Read, start: int, end: int) -> int:
    """The orientation in an EXIF block, 1 to 8; 1 if there is none or the block is damaged.

    An EXIF block has the form of a TIFF file: its first directory has the tags (TIFF 6.0, section 2).
    """

    def block(offset: int, size: int) -> bytes:
        return read(start + offset, max(0, min(size, end - start - offset)))

    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block(0, 4))
    if order is None:
        return 1
    try:
        (offset,) = struct.unpack(order + "I", block(4, 4))
        (count,) = struct.unpack(order + "H", block(offset, 2))
    except struct.error:
        return 1
    table = block(offset + 2, 12 * min(count, MAX_SEGMENTS))
    for at in range(0, len(table) - 11, 12):
        tag, kind = struct.unpack_from(order + "HH", table, at)
        if tag == pixels.ORIENTATION and kind in {3, 4}:  # a number of 2 or of 4 bytes
            (orientation,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), table, at + 8)
            return pixels.checked_orientation(orientation)
    return 1
