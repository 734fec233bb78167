"""The formats of pictures: a table of their first bytes and their readers. No I/O."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

HEAD = 64
"""The format of a file is recognized by this many of its first bytes."""


class Format(NamedTuple):
    """A format of pictures.

    Attributes:
        name: the value of `Image.format`.
        mime: its media type.
        suffixes: endings of the names of such files, in lower case.
        begins: returns whether the first `HEAD` bytes are those of such a file.
        reader: the module and the class of Pillow or pillow_heif that read it; two empty strings if none is needed.
        drawn: whether the format is usual for screenshots, charts and text, whose edges JPEG would blur.
        many: the word in messages for each picture of a file with several: "frame", "page" or "picture". It is "" if
            a file has one picture, or copies of one.
        spoken: its name in messages; "" means the name in capitals.
    """

    name: str
    mime: str
    suffixes: tuple[str, ...]
    begins: Callable[[bytes], bool]
    reader: tuple[str, str]
    drawn: bool = False
    many: str = ""
    spoken: str = ""


# Brands in the `ftyp` box of a still picture (ISO/IEC 23008-12, AV1 Image File Format).
STILL_BRANDS = {
    **dict.fromkeys([b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"], "heic"),
    **dict.fromkeys([b"avif", b"avis"], "avif"),
}


def _starting(*starts: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(starts)


def _still(name: str) -> Callable[[bytes], bool]:
    return lambda head: head[4:8] == b"ftyp" and STILL_BRANDS.get(head[8:12]) == name


def _bmp(head: bytes) -> bool:
    """Recognizes BMP by the length of its second header. The reserved bytes of the first header may have any value."""
    return head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in {12, 16, 40, 52, 56, 64, 108, 124}


def _ico(head: bytes) -> bool:
    """Recognizes ICO by at least one directory entry, a reserved byte of 0, and a first picture after the directory."""
    count, offset = int.from_bytes(head[4:6], "little"), int.from_bytes(head[18:22], "little")
    return head[:4] == b"\0\0\1\0" and len(head) >= 22 and head[9] == 0 < count and offset >= 6 + 16 * count


def _pcx(head: bytes) -> bool:
    """Recognizes PCX by manufacturer 10, version 0 to 5, run-length encoding, 1 to 8 bits, and ordered corners."""
    if len(head) < 12 or head[0] != 10 or head[1] not in {0, 2, 3, 5} or head[2] != 1 or head[3] not in {1, 2, 4, 8}:
        return False
    left, top, right, bottom = (int.from_bytes(head[at : at + 2], "little") for at in (4, 6, 8, 10))
    return left <= right and top <= bottom


def _tga(head: bytes) -> bool:
    """Recognizes TGA without a magic number: its type fits its colour map and bits per pixel, and no side is 0."""
    if len(head) < 18:
        return False
    mapped, kind, bits, flags = head[1], head[2], head[16], head[17]
    kinds = {1: (1, {8}), 2: (0, {16, 24, 32}), 3: (0, {8, 16})}  # and 8 more if it is compressed
    map_of_kind, bits_of_kind = kinds.get(kind & ~8, (2, set()))
    return mapped == map_of_kind and bits in bits_of_kind and any(head[12:14]) and any(head[14:16]) and flags < 64


_PNM = re.compile(rb"P[1-6]\s+(?:#[^\n]*\n\s*)*\d+\s+(?:#[^\n]*\n\s*)*\d")

# In the order in which they are checked: formats with a magic number first.
FORMATS = {
    row.name: row
    for row in (
        Format(
            "jpg",
            "image/jpeg",
            (".jpg", ".jpeg", ".jpe", ".jfif"),
            _starting(b"\xff\xd8\xff"),
            ("PIL.JpegImagePlugin", "JpegImageFile"),
            spoken="JPEG",
        ),
        Format(
            "png",
            "image/png",
            (".png", ".apng"),
            _starting(b"\x89PNG\r\n\x1a\n"),
            ("", ""),
            drawn=True,
            many="frame",
        ),
        Format(
            "webp",
            "image/webp",
            (".webp",),
            lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
            ("PIL.WebPImagePlugin", "WebPImageFile"),
            many="frame",
        ),
        Format(
            "gif",
            "image/gif",
            (".gif",),
            _starting(b"GIF87a", b"GIF89a"),
            ("PIL.GifImagePlugin", "GifImageFile"),
            drawn=True,
            many="frame",
        ),
        Format("bmp", "image/bmp", (".bmp", ".dib"), _bmp, ("PIL.BmpImagePlugin", "BmpImageFile"), drawn=True),
        Format(
            "tiff",
            "image/tiff",
            (".tif", ".tiff"),
            _starting(b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0"),  # the last two: BigTIFF
            ("PIL.TiffImagePlugin", "TiffImageFile"),
            drawn=True,
            many="page",
        ),
        Format(
            "heic",
            "image/heic",
            (".heic", ".heif", ".hif"),
            _still("heic"),
            ("pillow_heif", "HeifImageFile"),
            many="picture",
        ),
        Format(
            "avif", "image/avif", (".avif",), _still("avif"), ("PIL.AvifImagePlugin", "AvifImageFile"), many="frame"
        ),
        Format(
            "jp2",
            "image/jp2",
            (".jp2", ".j2k", ".j2c", ".jpf", ".jpx"),
            _starting(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
            ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
            spoken="JPEG 2000",
        ),
        Format(
            "ppm",
            "image/x-portable-anymap",
            (".ppm", ".pgm", ".pbm", ".pnm"),
            lambda head: bool(_PNM.match(head)),
            ("PIL.PpmImagePlugin", "PpmImageFile"),
            drawn=True,
        ),
        Format("ico", "image/x-icon", (".ico",), _ico, ("PIL.IcoImagePlugin", "IcoImageFile"), drawn=True),
        Format("pcx", "image/x-pcx", (".pcx",), _pcx, ("PIL.PcxImagePlugin", "PcxImageFile"), drawn=True),
        Format("tga", "image/x-tga", (".tga",), _tga, ("PIL.TgaImagePlugin", "TgaImageFile"), drawn=True),
    )
}


SUFFIXES = tuple(suffix for row in FORMATS.values() for suffix in row.suffixes)
"""Endings of the names of picture files."""


def format_of(head: bytes) -> str | None:
    """The picture format that the first `HEAD` bytes show ("jpg", "png", ...), or None."""
    return next((name for name, row in FORMATS.items() if row.begins(head)), None)


def spoken(name: str | None) -> str:
    """The name of a format in messages: "JPEG" for "jpg"."""
    row = FORMATS.get(name or "")
    return (row and row.spoken) or str(name).upper()


def listed() -> str:
    """All formats, for an error message."""
    *names, last = map(spoken, FORMATS)
    return f"{', '.join(names)} and {last}"
