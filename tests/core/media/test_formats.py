"""Formats of pictures and videos: first bytes, pages, 16-bit grey levels, large photographs, truncated files."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import TiffImagePlugin

from glmv.errors import InvalidRequestError, LimitExceeded, UnsupportedContent
from glmv.media import Image, Video, formats, pixels

LIMITS: dict[str, Any] = {"max_bytes": 5_000_000, "max_side": 6000, "formats": ("jpg", "png")}


def encoded(picture: Pillow.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def first_pixel(image: Image) -> Any:
    return Pillow.open(io.BytesIO(image.data())).getpixel((1, 1))


@pytest.mark.parametrize(
    ("kind", "name", "options"),
    [
        ("JPEG2000", "jp2", {}),
        ("JPEG2000", "jp2", {"no_jp2": True}),
        ("PPM", "ppm", {}),
        ("TGA", "tga", {}),
        ("TGA", "tga", {"compression": "tga_rle"}),
        ("ICO", "ico", {"sizes": [(48, 48)]}),
        ("PCX", "pcx", {}),
        ("TIFF", "tiff", {"big_tiff": True}),
        ("BMP", "bmp", {}),
    ],
)
def test_formats_that_pillow_reads_are_accepted_and_re_encoded(kind: str, name: str, options: dict[str, Any]) -> None:
    image = Image.from_bytes(encoded(Pillow.new("RGB", (48, 48), (0, 128, 0)), kind, **options))
    assert (image.format, image.width, image.height) == (name, 48, 48)
    assert image.mime is not None
    fitted, note = image.fitted(**LIMITS)
    assert fitted.format in {"jpg", "png"}
    assert first_pixel(fitted)[:3] == pytest.approx((0, 128, 0), abs=3)
    assert "re-encoded" in str(note)


def test_a_bmp_with_any_reserved_bytes_is_recognized() -> None:
    data = bytearray(encoded(Pillow.new("RGB", (30, 20), "navy"), "BMP"))
    data[6:10] = b"GIMP"
    assert Image.from_bytes(bytes(data)).fitted(**LIMITS)[0].format == "png"


def test_media_suffixes_are_unique_and_lowercase_and_include_common_suffixes() -> None:
    endings = [*Image.suffixes, *Video.suffixes]
    assert len(set(endings)) == len(endings)
    assert all(ending.startswith(".") and ending == ending.lower() for ending in endings)
    assert {".jpeg", ".heif", ".pgm", ".j2k", ".tga"} < set(Image.suffixes)
    assert {".m2ts", ".wmv"} < set(Video.suffixes)


@pytest.mark.parametrize("name", ["scan.jp2", "Holiday.FLV", "mask.pgm"])
def test_the_error_of_a_missing_file_does_not_suggest_a_url_for_a_file_name(name: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        Image.of(name)
    assert "Did you mean" not in str(caught.value)


@given(st.binary(max_size=80))
def test_any_bytes_have_a_known_format_or_none(head: bytes) -> None:
    assert formats.format_of(head) in {None, *formats.FORMATS}


@pytest.mark.parametrize("text", [b"P5", b"P6 is a word", b"\n\5\1", b"BM is short for", b"\0\0\1\0", b"\0\0\2\0"])
def test_text_that_begins_like_a_picture_is_not_a_picture(text: bytes) -> None:
    assert formats.format_of(text) is None


COLOURS = ("red", "lime", "blue", "white")


@pytest.mark.parametrize(("kind", "word"), [("TIFF", "page"), ("GIF", "frame"), ("WEBP", "frame"), ("AVIF", "frame")])
def test_a_note_says_that_only_page_1_is_sent_and_the_method_pages_returns_all_pages(kind: str, word: str) -> None:
    frames = [Pillow.new("RGB", (40, 30), colour) for colour in COLOURS]
    image = Image.from_bytes(encoded(frames[0], kind, save_all=True, append_images=frames[1:]), name="fax.x")
    note = str(image.fitted(**LIMITS)[1])
    assert f"{word} 1 of 4" in note
    assert "pages()" in note
    pages = image.pages()
    assert [page.name for page in pages] == [f"fax.x, {word} {number}" for number in (1, 2, 3, 4)]
    colours = [Pillow.open(io.BytesIO(page.data())).convert("RGB").getpixel((9, 9)) for page in pages]
    for pixel, wanted in zip(colours, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)], strict=True):
        assert pixel == pytest.approx(wanted, abs=12)
    assert len(image.pages(2)) == 2
    with pytest.raises(InvalidRequestError, match="The number of pages must be an int of 1"):
        image.pages(0)


def test_a_picture_of_one_page_gets_no_note_about_pages() -> None:
    image = Image.from_bytes(encoded(Pillow.new("RGB", (40, 30), "red"), "TIFF"))
    assert "1 of" not in str(image.fitted(**LIMITS)[1])
    assert len(image.pages()) == 1


def test_an_animated_png_is_sent_unchanged_with_a_note() -> None:
    frames = [Pillow.new("RGB", (40, 30), colour) for colour in COLOURS]
    image = Image.from_bytes(encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]), name="a.png")
    same, note = image.fitted(**LIMITS)
    assert same is image
    assert "it has 4 frames" in str(note)


def test_the_error_of_a_picture_of_too_many_pages_suggests_a_number_of_pages() -> None:
    results = [Pillow.new("L", (4, 4), number) for number in range(160)]
    image = Image.from_bytes(encoded(results[0], "TIFF", save_all=True, append_images=results[1:]))
    with pytest.raises(LimitExceeded, match=r"160 pages.*pages\(150\)"):
        image.pages()
    assert len(image.pages(3)) == 3


def test_a_note_says_that_the_sent_picture_is_the_thumbnail_of_a_raw_file() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[pixels.DNG_VERSION] = b"\x01\x04\x00\x00"
    tags.tagtype[pixels.DNG_VERSION] = 1
    tags[pixels.SUBFILE_TYPE] = 1
    image = Image.from_bytes(encoded(Pillow.new("RGB", (120, 80), "red"), "TIFF", tiffinfo=tags), name="IMG_1.dng")
    note = str(image.fitted(**LIMITS)[1])
    assert "thumbnail of this" in note
    assert "export the photograph" in note


@pytest.mark.parametrize(
    ("mode", "value", "grey"),
    [
        ("I;16", 20000, 78),
        ("I;16", 65535, 255),
        ("I;16", 100, 100),
        ("F", 90.0, 90),
        ("F", 0.25, 64),
        ("I", 30000, 117),
    ],
)
def test_the_grey_level_of_a_picture_of_one_colour_is_not_stretched(mode: str, value: float, grey: int) -> None:
    fitted, note = Image.from_bytes(encoded(Pillow.new(mode, (30, 20), value), "TIFF")).fitted(**LIMITS)
    assert first_pixel(fitted) == pytest.approx(grey, abs=1)
    assert "levels" not in str(note)


@pytest.mark.parametrize("most", [65535, 4095])
def test_a_16_bit_grey_png_and_an_equal_tiff_are_sent_with_equal_pixels(most: int) -> None:
    grey = Pillow.fromarray(np.linspace(0, most, 40 * 30).astype("uint16").reshape(30, 40))
    pictures, notes = [], []
    for kind in ("PNG", "TIFF"):
        fitted, note = Image.from_bytes(encoded(grey, kind)).fitted(**LIMITS)
        pictures.append(fitted)
        notes.append("levels 0 to 4095 were stretched" in str(note))
        assert fitted.to_pil().mode == "L"
    assert pictures[0] == pictures[1]
    assert notes == [most == 4095] * 2


def test_stretched_grey_levels_are_noted() -> None:
    array = np.full((20, 30), 4000, "uint16")
    array[:, :10] = 200
    picture = Pillow.fromarray(array)
    fitted, note = Image.from_bytes(encoded(picture, "TIFF")).fitted(**LIMITS)
    assert first_pixel(fitted) == 0
    assert "levels 200 to 4000 were stretched" in str(note)
    assert "were stretched" in str(Image.from_pil(picture).fitted(**LIMITS)[1])


@given(
    st.sampled_from(["I", "I;16", "F"]),
    st.floats(allow_nan=True, allow_infinity=True),
    st.floats(allow_nan=True, allow_infinity=True),
)
def test_the_grey_levels_that_become_black_and_white_are_never_equal(mode: str, low: float, high: float) -> None:
    black, white = pixels.levels(mode, *sorted((low, high)))
    assert black != white or not (abs(low) < 2**53)


FIT = """
import resource, sys
from pathlib import Path
from glmv.media import Image
image = Image.from_path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
fitted, note = image.fitted(max_bytes=5_000_000, max_side=6000, formats=("jpg", "png"))
print(fitted.width, fitted.height, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize(("size", "sides"), [((12032, 9024), (6000, 4500)), ((16384, 12288), (6000, 4500))])
def test_a_photograph_of_200_megapixels_is_scaled_down_in_little_memory(
    size: tuple[int, int], sides: tuple[int, int], tmp_path: Path
) -> None:
    path = tmp_path / "large.jpg"
    Pillow.new("RGB", size, (200, 30, 30)).save(path, quality=70)
    done = subprocess.run([sys.executable, "-c", FIT, str(path)], capture_output=True, text=True, check=True)
    width, height, megabytes = map(int, done.stdout.split())
    assert (width, height) == sides
    assert megabytes < 420  # all pixels would be 326 and 604 MB, and twice as much with a copy


@cache
def panorama(orientation: int = 1) -> bytes:
    """A JPEG of 98 megapixels, red on its left and blue on its right."""
    picture = Pillow.new("RGB", (14000, 7000), "blue")
    picture.paste("red", (0, 0, 7000, 7000))
    exif = Pillow.Exif()
    exif[pixels.ORIENTATION] = orientation
    return encoded(picture, "JPEG", quality=60, exif=exif)


@pytest.mark.parametrize(("orientation", "sides", "at"), [(1, (7000, 3500), (9, 9)), (8, (3500, 7000), (9, 6990))])
def test_to_pil_and_pages_scale_a_large_photograph_down(
    orientation: int, sides: tuple[int, int], at: tuple[int, int]
) -> None:
    image = Image.from_bytes(panorama(orientation))
    pil_image = image.to_pil()
    assert pil_image.size == sides
    assert pil_image.getpixel(at) == pytest.approx((254, 0, 0), abs=3)
    (page,) = image.pages()
    assert (page.width, page.height) == sides


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG2000"])
def test_to_pil_returns_a_pillow_picture_and_refuses_a_picture_given_by_url(kind: str) -> None:
    image = Image.from_bytes(encoded(Pillow.new("RGB", (30, 20), "navy"), kind))
    pil_image = image.to_pil()
    assert (pil_image.size, pil_image.mode) == ((30, 20), "RGB")
    assert pil_image.getpixel((3, 3)) == pytest.approx((0, 0, 128), abs=3)
    with pytest.raises(UnsupportedContent, match="are not available"):
        Image.from_url("https://example.com/a.png").to_pil()


def test_the_error_of_a_pillow_picture_of_96_megapixels_suggests_thumbnail() -> None:
    with pytest.raises(LimitExceeded, match=r"12000x8000.*thumbnail.*from_path"):
        Image.of(Pillow.new("1", (12000, 8000)))


@pytest.mark.parametrize("n", [0, -1, "2", 1.5, True])
def test_an_invalid_number_of_pages_is_refused(n: Any) -> None:
    with pytest.raises(InvalidRequestError, match="1 or more"):
        Image.from_bytes(noise("PNG")).pages(n)


def test_a_large_jpeg_that_cannot_be_decoded_in_strips_is_refused() -> None:
    data = bytearray(encoded(Pillow.new("L", (64, 64)), "JPEG", progressive=True))
    at = data.index(b"\xff\xc2")
    data[at + 5 : at + 9] = struct.pack(">HH", 12000, 12000)
    with pytest.raises(LimitExceeded, match="not progressive"):
        Image.from_bytes(bytes(data))


@cache
def noise(kind: str) -> bytes:
    return encoded(Pillow.effect_noise((300, 200), 100).convert("RGB"), kind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_the_error_of_a_truncated_picture_says_how_many_bytes_it_has(kind: str, share: float) -> None:
    data = noise(kind)
    assert Image.from_bytes(data).cut_short is None
    half = data[: int(len(data) * share)]
    image = Image.from_bytes(half, name="half.x")
    assert f"{len(half):,}" in str(image.cut_short)
    with pytest.raises(UnsupportedContent, match=f"half.x.*{len(half):,}"):
        image.fitted(**LIMITS)


@pytest.mark.parametrize("tail", [b"", b"MotionPhoto_Data" * 9000])
def test_a_jpeg_with_bytes_after_its_end_is_complete(tail: bytes) -> None:
    assert Image.from_bytes(noise("JPEG") + tail).cut_short is None


@pytest.mark.parametrize("kind", ["noise", "plain"])
def test_a_jpeg_is_complete_without_end_marker_but_not_without_its_last_pixels(kind: str) -> None:
    plain = Pillow.new("RGB", (333, 222), (90, 120, 40))
    data = noise("JPEG") if kind == "noise" else encoded(plain, "JPEG")
    assert data.endswith(b"\xff\xd9")
    for tail in (b"", bytes(5000)):
        assert Image.from_bytes(data[:-2] + tail).cut_short is None
    # The file of a download that was stopped: it has its full length, and zeros where nothing has arrived.
    unfinished = data[: len(data) * 2 // 3] + bytes(len(data))
    assert "in the middle of its pixels" in str(Image.from_bytes(unfinished).cut_short)


@cache
def clip(form: str, codec: str, ratio: str = "", size: tuple[int, int] = (96, 64), **options: str) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        if ratio:
            stream.codec_context.sample_aspect_ratio = Fraction(ratio)
        for number in range(50):
            picture = Pillow.new("RGB", size, (5 * number, 0, 0))
            container.mux(stream.encode(av.VideoFrame.from_image(picture)))
        container.mux(stream.encode())
    return out.getvalue()


@pytest.mark.parametrize(
    ("form", "codec", "name"),
    [
        ("avi", "mpeg4", "avi"),
        ("mpegts", "mpeg2video", "ts"),
        ("flv", "flv", "flv"),
        ("asf", "wmv2", "wmv"),
        ("mpeg", "mpeg2video", "mpg"),
    ],
)
def test_frames_can_be_taken_from_an_unsupported_container(form: str, codec: str, name: str) -> None:
    video = Video.from_bytes(clip(form, codec), name="clip")
    assert video.container == name
    assert str(video.mime).startswith("video/")
    frames = video.frames(3)
    assert [(frame.width, frame.height) for frame in frames] == [(96, 64)] * 3
    reds = [first_pixel(frame)[0] for frame in frames]
    assert reds == sorted(reds)


@pytest.mark.parametrize("packets", ["of 188 bytes", "of 192 bytes"])
@pytest.mark.parametrize("codec", ["mpeg2video", "libx264"])
def test_frames_of_a_recorded_broadcast_are_evenly_spaced_from_its_start(codec: str, packets: str) -> None:
    options = {"mpegts_m2ts_mode": "1"} if packets == "of 192 bytes" else {}
    video = Video.from_bytes(clip("mpegts", codec, **options))
    assert video.container == "ts"
    # Its 50 frames go from black to red; the middles of 5 parts are the frames 5, 15, 25, 35 and 45.
    reds = [first_pixel(frame)[0] for frame in video.frames(5)]
    assert reds == pytest.approx([25, 75, 125, 175, 225], abs=12)


def test_a_video_without_decodable_frames_is_refused() -> None:
    data = clip("mpegts", "mpeg2video")
    junk = b"".join(data[at : at + 4] + bytes(184) for at in range(0, len(data), 188) if data[at + 1] & 0x1F)
    with pytest.raises(UnsupportedContent, match="decoded"):
        Video.from_bytes(data[: 188 * 3] + junk).frames(4)


@pytest.mark.parametrize(("ratio", "width"), [("4/3", 128), ("2/1", 192), ("8/9", 85)])
def test_frames_of_anamorphic_video_have_the_displayed_aspect_ratio(ratio: str, width: int) -> None:
    video = Video.from_bytes(clip("mp4", "mpeg4", ratio))
    (frame,) = video.frames(1)
    assert (video.width, video.height) == (frame.width, frame.height) == (width, 64)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_the_error_of_a_truncated_video_names_its_size_in_bytes(share: float) -> None:
    data = clip("mp4", "mpeg4")
    half = data[: int(len(data) * share)]
    with pytest.raises(UnsupportedContent, match=f"cut short.*{len(half):,}|{len(half):,}.*cut short"):
        Video.from_bytes(half, name="half.mp4")


def test_audio_without_a_picture_is_not_a_video() -> None:
    out = io.BytesIO()
    with av.open(out, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), "float32"), format="fltp", layout="mono")
        frame.sample_rate = 44100
        for _ in range(20):
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UnsupportedContent, match="sound but no picture"):
        Video.from_bytes(out.getvalue(), name="song.mp4")


def test_an_audio_book_is_reported_as_audio() -> None:
    with pytest.raises(UnsupportedContent, match="an audio file"):
        Video.from_bytes(b"\0\0\0\x20ftypM4B \0\0\2\0" + bytes(80))
