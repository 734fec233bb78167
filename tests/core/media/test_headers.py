"""Pictures are recognized by their first bytes; JPEG and PNG sizes come from the header, as Pillow reads them."""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from glmv.errors import LimitExceeded
from glmv.media import headers
from glmv.media.blob import BlobFile

FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WEBP", "gif": "GIF", "bmp": "BMP", "tiff": "TIFF", "avif": "AVIF"}
TURNABLE = ("JPEG", "PNG", "WEBP", "TIFF")
ORIENTATION = 0x0112


def encoded(kind: str, size: tuple[int, int] = (61, 37), **options: object) -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", size, "teal").save(out, kind, **options)
    return out.getvalue()


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, size: data[offset : offset + size]


def measured(data: bytes) -> headers.Picture | None:
    return headers.picture(reader(data))


@pytest.mark.parametrize(("name", "kind"), FORMATS.items())
@pytest.mark.parametrize("size", [(1, 1), (61, 37), (300, 7)])
def test_a_header_gives_the_size_that_pillow_decodes(name: str, kind: str, size: tuple[int, int]) -> None:
    assert measured(encoded(kind, size)) == headers.Picture(name, *size)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"exif": b"Exif\0\0none"}),
        ("PNG", {"optimize": True}),
    ],
)
def test_every_variant_of_a_format_is_measured(kind: str, options: dict[str, object]) -> None:
    result = measured(encoded(kind, (61, 37), **options))
    assert result is not None
    assert result[1:] == (61, 37, 1)


@pytest.mark.parametrize("kind", TURNABLE)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_width_and_height_of_a_picture_with_exif_rotation_are_as_displayed(kind: str, orientation: int) -> None:
    exif = Pillow.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(kind, exif=exif)
    upright = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data)))
    result = measured(data)
    assert result is not None
    assert (result.width, result.height, result.orientation) == (*upright.size, orientation)


def test_a_jpeg_is_measured_without_reading_large_profiles_before_its_size() -> None:
    profile = b"\xff\xe2" + struct.pack(">H", 65535) + bytes(65533)
    data = b"\xff\xd8" + profile * 20 + encoded("JPEG")[2:]
    bytes_read = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal bytes_read
        bytes_read += size
        return data[offset : offset + size]

    result = headers.picture(read)
    assert result is not None
    assert (result.width, result.height) == (61, 37)
    assert bytes_read < 2_000


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_gif_bmp_and_tiff_are_measured_without_reading_their_pixels(kind: str) -> None:
    data = encoded(kind, (900, 700)) + bytes(100_000)
    bytes_read = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal bytes_read
        bytes_read += len(data[offset : offset + size])
        return data[offset : offset + size]

    picture = headers.picture(read, len(data))
    assert picture is not None
    assert (picture.width, picture.height) == (900, 700)
    assert bytes_read < 5_000


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(64, 48), (61, 37)])
def test_the_measured_size_of_a_heic_is_its_displayed_size(size: tuple[int, int], orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    exif = Pillow.Exif()
    exif[ORIENTATION] = orientation
    data = encoded("HEIF", size, exif=exif)
    result = ImageOps.exif_transpose(Pillow.open(io.BytesIO(data)))
    assert measured(data) == headers.Picture("heic", *result.size)


@pytest.mark.parametrize(("name", "kind"), FORMATS.items())
def test_without_pillow_only_jpeg_and_png_are_measured_but_all_formats_recognized(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Pillow.Exif()
    exif[ORIENTATION] = 6
    data = encoded(kind, exif=exif)
    monkeypatch.setitem(sys.modules, "PIL", None)
    by_hand = name in {"jpg", "png"}
    assert measured(data) == (headers.Picture(name, 37, 61, 6) if by_hand else headers.Picture(name, None, None))


@pytest.mark.parametrize("size", [None, 100])
@given(st.lists(st.tuples(st.sampled_from(["read", "set", "move", "end"]), st.integers(-120, 120)), max_size=20))
def test_a_blob_file_reads_and_seeks_like_a_bytes_io(size: int | None, steps: list[tuple[str, int]]) -> None:
    data = bytes(range(100))
    file, plain = BlobFile(reader(data), size), io.BytesIO(data)
    for step, number in steps:
        if step == "read":
            assert file.read(number) == plain.read(number)
            continue
        whence = {"set": 0, "move": 1, "end": 2}[step]
        base = {"set": 0, "move": plain.tell(), "end": len(data)}[step]
        if base + number >= 0:
            assert file.seek(number, whence) == plain.seek(number, whence)
        else:
            with pytest.raises(ValueError, match="before the start"):
                file.seek(number, whence)
        assert file.tell() == plain.tell()


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"", "nothing"),
        (b"%PDF-1.7", "PDF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "SVG"),
        (b"<?xml version='1.0'?><!DOCTYPE svg><svg>", "SVG"),
        (b"<?xml version='1.0'?><root/>", "XML"),
        (b"<!doctype html><html>", "HTML"),
        (b"just some words", "text"),
        (b"PK\x03\x04\x14", "ZIP"),
        (b"8BPS\0\1", "Photoshop"),
        (b"\0\0\1\0\1\0", "icon"),
        (b"\0\0\0\x18ftypmp42", "video"),
        (b"\x1a\x45\xdf\xa3\x01", "video"),
        (b"RIFF\0\0\0\0AVI LIST", "AVI"),
        (b"FLV\x01\x05\0\0\0\x09", "FLV"),
        (b"G\x40\0\x10" + bytes(184) + b"G" + bytes(187) + b"G", "use glmv.Video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "raw file"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\xd8\xff\xe0\0", "damaged"),
        (b"\x00\x01\x02\x03\x04", "unknown"),
    ],
)
def test_bytes_that_are_not_a_picture_are_described_by_their_type_and_not_measured(head: bytes, word: str) -> None:
    assert word in headers.describe(head)
    assert measured(head) is None


@given(st.binary(max_size=300))
def test_measuring_any_bytes_as_a_picture_raises_no_error(data: bytes) -> None:
    measured(data)
    headers.describe(data)


WHOLE = {kind: encoded(kind) for kind in FORMATS.values()}


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 2000), st.binary(min_size=1, max_size=8))
def test_a_damaged_picture_has_positive_or_unknown_sides(kind: str, at: int, junk: bytes) -> None:
    data = WHOLE[kind]
    at %= len(data)
    for damaged in (data[:at], data[:at] + junk + data[at + len(junk) :]):
        try:
            result = measured(damaged)
        except LimitExceeded:  # the damage made it announce more pixels than Pillow opens
            assert kind in {"GIF", "WEBP"}
            continue
        if result is None:
            continue
        # Of other formats Pillow may see that they are damaged; then their sides are unknown.
        unknown = result.format not in {"jpg", "png"} and (result.width, result.height) == (None, None)
        assert unknown or (result.width or 0) > 0 < (result.height or 0)
