"""Pictures that a model would refuse are fitted, and a note reports the change."""

from __future__ import annotations

import io
import struct
import sys

import pytest
from PIL import Image as Pillow

from glmv.errors import LimitExceeded, UnsupportedContent
from glmv.media.image import Image

ORIENTATION = 0x0112
LIMITS = {"max_bytes": 5_000_000, "max_side": 6000, "formats": ("jpg", "png")}


def encoded(picture: Pillow.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def noise(side: int) -> Pillow.Image:
    return Pillow.effect_noise((side, side), 120)


def pixels(image: Image) -> Pillow.Image:
    return Pillow.open(io.BytesIO(image.data())).convert("RGB")


def near(pixel: object, wanted: tuple[int, int, int]) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(a - b) < 12 for a, b in zip(pixel, wanted, strict=True))


def test_a_picture_within_the_limits_is_unchanged() -> None:
    image = Image.from_bytes(encoded(Pillow.new("RGB", (30, 20)), "PNG"))
    assert image.fitted(**LIMITS) == (image, None)
    assert image.fitted()[0] is image


@pytest.mark.parametrize("kind", ["WEBP", "AVIF"])
def test_a_webp_or_avif_picture_becomes_a_jpeg(kind: str) -> None:
    image = Image.from_bytes(encoded(Pillow.new("RGB", (300, 200), "navy"), kind), name="photo.x")
    fitted, note = image.fitted(**LIMITS)
    assert (fitted.format, fitted.width, fitted.height) == ("jpg", 300, 200)
    assert near(pixels(fitted).getpixel((5, 5)), (0, 0, 128))
    assert note is not None
    assert note.startswith("photo.x: re-encoded as JPEG, ")


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_a_gif_bmp_or_tiff_picture_becomes_a_png_without_loss(kind: str) -> None:
    image = Image.from_bytes(encoded(Pillow.new("RGB", (300, 200), "navy"), kind))
    fitted, _ = image.fitted(**LIMITS)
    assert fitted.format == "png"
    assert pixels(fitted).getpixel((5, 5)) == (0, 0, 128)


def test_an_animated_gif_is_fitted_as_its_first_frame() -> None:
    frames = [Pillow.new("RGB", (40, 30), color) for color in ("red", "lime", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)
    fitted, _ = Image.from_bytes(data).fitted(**LIMITS)
    assert pixels(fitted).getpixel((5, 5)) == (255, 0, 0)


def test_transparency_is_kept_in_a_png_and_becomes_white_in_a_jpeg() -> None:
    clear = Pillow.new("RGBA", (40, 30), (255, 0, 0, 0))
    image = Image.from_bytes(encoded(clear, "WEBP", lossless=True))
    transparent, _ = image.fitted(formats=("jpg", "png"))
    assert (transparent.format, Pillow.open(io.BytesIO(transparent.data())).mode) == ("png", "RGBA")
    flat, _ = image.fitted(formats=("jpg",))
    assert near(pixels(flat).getpixel((5, 5)), (255, 255, 255))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_with_exif_rotation_is_rotated_upright(orientation: int) -> None:
    upright = Pillow.new("RGB", (64, 32), "blue")
    upright.paste("red", (0, 0, 16, 16))  # a red corner, top left
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}[orientation]
    turned = upright.transpose(Pillow.Transpose(back))
    exif = Pillow.Exif()
    exif[ORIENTATION] = orientation
    image = Image.from_bytes(encoded(turned, "JPEG", exif=exif, quality=95))
    assert (image.width, image.height) == (64, 32)
    fitted, note = image.fitted(**LIMITS)
    assert (fitted.width, fitted.height, fitted.orientation) == (64, 32, 1)
    assert near(pixels(fitted).getpixel((4, 4)), (255, 0, 0)) or near(pixels(fitted).getpixel((4, 4)), (254, 0, 0))
    assert near(pixels(fitted).getpixel((60, 28)), (0, 0, 255))
    assert "rotated as its EXIF says" in str(note)


def test_lower_quality_is_tried_before_smaller_sides() -> None:
    image = Image.from_bytes(encoded(noise(1000), "PNG"), name="big.png")
    fitted, note = image.fitted(max_bytes=700_000, formats=("jpg", "png"))
    assert fitted.size is not None
    assert fitted.size <= 700_000
    assert (fitted.format, fitted.width) == ("jpg", 1000)
    assert "big.png: re-encoded as JPEG" in str(note)


def test_sides_shrink_when_lower_quality_is_not_enough() -> None:
    fitted, note = Image.from_bytes(encoded(noise(1000), "PNG")).fitted(max_bytes=60_000)
    assert fitted.size is not None
    assert fitted.size <= 60_000
    assert fitted.width is not None
    assert 64 <= fitted.width < 1000
    assert f"1000x1000 to {fitted.width}x{fitted.height}" in str(note)


def test_a_picture_with_too_long_a_side_is_scaled_down_in_proportion() -> None:
    image = Image.from_bytes(encoded(Pillow.new("RGB", (1200, 300)), "JPEG"))
    fitted, note = image.fitted(max_side=600)
    assert (fitted.width, fitted.height) == (600, 150)
    assert "1200x300 to 600x150" in str(note)


def test_a_picture_that_cannot_be_made_small_enough_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="cannot be reduced to"):
        Image.from_bytes(encoded(noise(200), "PNG")).fitted(max_bytes=100)


def test_fitting_an_image_twice_to_the_same_limits_returns_the_first_result() -> None:
    image = Image.from_bytes(encoded(Pillow.new("RGB", (30, 20)), "WEBP"))
    first, note = image.fitted(**LIMITS)
    second, again = image.fitted(**LIMITS)
    assert second is first
    assert first.base64() is second.base64()
    assert note == again
    assert first.fitted(**LIMITS) == (first, None)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pictures_of_every_pixel_mode_are_converted_to_jpeg_and_png(mode: str) -> None:
    picture = Pillow.new("L", (20, 10), 0)
    picture.paste(255, (10, 0, 20, 10))
    image = Image.from_bytes(
        encoded(picture.convert(mode), "TIFF") if mode != "LA" else encoded(picture.convert(mode), "PNG")
    )
    for formats in (("jpg",), ("png",), ("jpg", "png")):
        fitted, _ = image.fitted(formats=formats)
        result = pixels(fitted)
        assert near(result.getpixel((2, 5)), (0, 0, 0))
        assert near(result.getpixel((17, 5)), (255, 255, 255))


def test_a_truncated_picture_is_refused_when_it_must_be_decoded() -> None:
    data = encoded(noise(200), "WEBP")
    image = Image.from_bytes(data[: len(data) // 2], name="half.webp")
    with pytest.raises(UnsupportedContent, match=r"half\.webp.*cannot be decoded"):
        image.fitted(**LIMITS)


def test_fitting_without_pillow_raises_an_error_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image.from_bytes(encoded(Pillow.new("RGB", (30, 20)), "WEBP"), name="a.webp")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UnsupportedContent, match=r'a\.webp.*pip install "glmv\[images\]"'):
        image.fitted(**LIMITS)


def test_without_pillow_a_rotated_picture_is_sent_unchanged_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Pillow.Exif()
    exif[ORIENTATION] = 6
    image = Image.from_bytes(encoded(Pillow.new("RGB", (30, 20)), "JPEG", exif=exif))
    monkeypatch.setitem(sys.modules, "PIL", None)
    same, note = image.fitted(**LIMITS)
    assert same is image
    assert 'pip install "glmv[images]"' in str(note)


def test_fitting_a_heic_without_its_decoder_raises_an_error_with_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    image = Image.from_bytes(b"\0\0\0\x14ftypheic\0\0\0\0mif1" + bytes(100), name="a.heic")
    assert (image.format, image.width, image.height) == ("heic", None, None)
    with pytest.raises(UnsupportedContent, match=r'pip install "glmv\[heic\]"'):
        image.fitted(**LIMITS)


def test_fitting_refuses_an_unmeasured_picture_that_has_too_many_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 62, 0, 0, 54, 40, 20_000, 20_000, 1, 24, 0, 0, 0, 0, 0, 0)
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "PIL", None)
        image = Image.from_bytes(header + bytes(8))
    assert (image.format, image.width, image.height) == ("bmp", None, None)
    with pytest.raises(LimitExceeded):
        image.fitted(**LIMITS)


def test_a_picture_made_without_pillow_is_fitted_when_pillow_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Pillow.new("RGB", (300, 200), "navy"), "WEBP")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "PIL", None)
        image = Image.from_bytes(data, name="photo.webp")
    assert image.width is None
    assert image.fitted(max_side=6000)[0].width == 300  # it may be too large, so it is decoded
    fitted, note = image.fitted(**LIMITS)
    assert (fitted.format, fitted.width, fitted.height) == ("jpg", 300, 200)
    assert "None" not in str(note)
    assert repr(image).startswith("Image(photo.webp, WEBP, ")


def test_a_heic_photograph_is_sent_as_jpeg_if_pillow_heif_is_installed() -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.register_heif_opener()
    out = io.BytesIO()
    Pillow.new("RGB", (64, 48), (255, 160, 0)).save(out, "HEIF")
    image = Image.from_bytes(out.getvalue())
    assert (image.format, image.width, image.height) == ("heic", 64, 48)
    fitted, note = image.fitted(max_bytes=1_000_000, max_side=6000, formats=("jpg", "png"))
    assert fitted.format == "jpg"
    assert note is not None
    assert "re-encoded as JPEG" in note
    red, green, blue = Pillow.open(io.BytesIO(fitted.data())).getpixel((30, 20))  # type: ignore[misc]  # three channels
    assert (red > 240, 140 < green < 180, blue < 30) == (True, True, True)
