"""The eyes measure the content of a file and detect damage."""

from __future__ import annotations

import hashlib
import io
import random
from math import dist

import pytest
from PIL import Image

from glmv_emulator.eyes import SeenImage, Unreadable, look_image
from glmv_emulator.eyes.colours import PALETTE, colour_name, oklab


def encoded(picture: Image.Image, name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, name, **options)
    return buffer.getvalue()


def flat(colour: tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new("RGB", size, colour)


@pytest.mark.parametrize("seed", range(60))
def test_a_generated_picture_is_measured_correctly(seed: int) -> None:
    chance = random.Random(seed)
    name = chance.choice(["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
    size = (chance.randint(1, 700), chance.randint(1, 700))
    colour = (chance.randrange(256), chance.randrange(256), chance.randrange(256))
    options: dict[str, object] = {}
    turned = name == "JPEG" and chance.random() < 0.5
    if turned:
        exif = Image.Exif()
        exif[0x0112] = chance.choice([5, 6, 7, 8])
        options["exif"] = exif
    data = encoded(flat(colour, size), name, **options)
    result = look_image(data)
    assert (result.format, result.size_bytes) == (name, len(data))
    assert (result.width, result.height) == (size[::-1] if turned else size)
    assert result.sha256 == hashlib.sha256(data).hexdigest()
    # 0.05 in OKLab is about 5 in CIELAB.
    assert dist(oklab(result.colours[0].rgb), oklab(colour)) < 0.05


def test_two_colours_get_their_names_and_shares() -> None:
    picture = flat((255, 0, 0), (100, 100))
    picture.paste((0, 0, 255), (0, 0, 25, 100))
    result = look_image(encoded(picture, "PNG"))
    assert [(colour.name, round(colour.share, 2)) for colour in result.colours] == [("red", 0.75), ("blue", 0.25)]


@pytest.mark.parametrize(
    ("hexadecimal", "name"),
    [("ff0000", "red"), ("00ff00", "green"), ("0000ff", "blue"), ("ffff00", "yellow"), ("ffa500", "orange"),
     ("800080", "purple"), ("ffffff", "white"), ("000000", "black"), ("808080", "grey"), ("8b4513", "brown"),
     ("228b22", "green"), ("dc143c", "red"), ("6495ed", "blue"), ("40e0d0", "cyan")],
)  # fmt: skip
def test_colours_have_common_names(hexadecimal: str, name: str) -> None:
    red, green, blue = bytes.fromhex(hexadecimal)
    assert colour_name((red, green, blue))[0] == name


def test_every_colour_of_the_palette_gets_the_name_of_its_entry() -> None:
    for name, chinese, points in PALETTE:
        for point in points:
            red, green, blue = bytes.fromhex(point)
            assert colour_name((red, green, blue)) == (name, chinese)


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
@pytest.mark.parametrize("cut", [1, 2, 40, 0.5])
def test_a_truncated_picture_is_detected(name: str, cut: float) -> None:
    picture = Image.effect_noise((90, 70), 80).convert("RGB")
    data = encoded(picture, name)
    result = int(len(data) * cut) if cut < 1 else len(data) - int(cut)
    with pytest.raises(Unreadable):
        look_image(data[:result])


@pytest.mark.parametrize(
    ("data", "word"),
    [(b"", "empty"), (b"hello world", "format"), (b"%PDF-1.7", "PDF"), (b"<svg xmlns=''/>", "SVG"),
     (b"iVBORw0KGgo", "base64"), (b"data:image/png;base64,AAAA", "data URI")],
)  # fmt: skip
def test_the_error_for_data_that_is_not_a_picture_says_what_the_data_is(data: bytes, word: str) -> None:
    with pytest.raises(Unreadable) as caught:
        look_image(data)
    assert word in caught.value.reason


def test_a_decompression_bomb_is_refused_by_the_size_in_its_header() -> None:
    bomb = encoded(Image.new("1", (20000, 20000)), "PNG")
    with pytest.raises(Unreadable, match="pixels"):
        look_image(bomb)


def test_each_encoding_of_the_same_picture_has_its_own_digest() -> None:
    noise = Image.effect_noise((64, 64), 50).convert("RGB")
    kinds = {look_image(encoded(noise, name, **options)) for name, options in
             [("PNG", {}), ("JPEG", {"quality": 90}), ("JPEG", {"quality": 30}), ("WEBP", {})]}  # fmt: skip
    assert len({seen.sha256 for seen in kinds}) == 4


def test_16_bit_and_cmyk_pixels_and_transparency_and_frame_counts_are_measured() -> None:
    clear = Image.new("RGBA", (10, 10), (255, 0, 0, 255))
    clear.paste((0, 0, 0, 0), (0, 0, 5, 10))
    assert look_image(encoded(clear, "PNG")).transparent == pytest.approx(0.5)
    frames = [flat((index * 60, 0, 0)) for index in range(4)]
    assert look_image(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).frames == 4
    deep = Image.new("I;16", (10, 10), 65535)
    assert look_image(encoded(deep, "PNG")).colours[0].name == "white"
    assert look_image(encoded(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "JPEG")).colours[0].name == "red"


def test_brightness_is_0_for_a_black_picture_and_1_for_a_white_picture() -> None:
    lights = [look_image(encoded(flat((level, level, level)), "PNG")).brightness for level in (0, 128, 255)]
    assert lights == pytest.approx([0, 0.5, 1], abs=0.01)


def test_a_damaged_picture_is_measured_or_refused_as_unreadable() -> None:
    chance = random.Random(7)
    noise = Image.effect_noise((20, 20), 60).convert("RGB")
    base = [encoded(noise, name) for name in ("JPEG", "PNG", "GIF", "WEBP", "TIFF")]
    outcomes = {look_or_reason(damaged(chance.choice(base), chance)) for _ in range(300)}
    assert len(outcomes) > 50


def damaged(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 12)):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def look_or_reason(data: bytes) -> SeenImage | str:
    try:
        return look_image(data)
    except Unreadable as refused:
        return refused.reason
