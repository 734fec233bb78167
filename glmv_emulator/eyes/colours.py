"""Finds the main colours of a picture, each with its name and share. Pillow counts the pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import hypot
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

Rgb = tuple[int, int, int]

# Name of a colour, its Chinese name, and its points. A name has several points, since a colour such as "brown" is a
# region.
PALETTE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("black", "黑色", ("000000", "141414", "1c1c1e")),
    ("dark grey", "深灰色", ("404040", "555555")),
    ("grey", "灰色", ("808080", "989898")),
    ("light grey", "浅灰色", ("c0c0c0", "d3d3d3")),
    ("white", "白色", ("ffffff", "f5f5f5")),
    ("red", "红色", ("ff0000", "e02020", "c81e1e", "e84040")),
    ("dark red", "深红色", ("8b0000", "6e1414")),
    ("orange", "橙色", ("ffa500", "ff7f0e", "f08020", "ff6a00")),
    ("brown", "棕色", ("8b4513", "6b4423", "a0643c", "4a2c1a")),
    ("beige", "米色", ("f5f5dc", "e1c8a0", "d2b48c", "c8b496")),
    ("yellow", "黄色", ("ffff00", "ffd700", "f0dc32", "e6e600")),
    ("olive", "橄榄色", ("808000", "6b6b2a", "9a9a3c")),
    ("green", "绿色", ("00ff00", "008000", "2ca02c", "32c832", "28a050")),
    ("dark green", "深绿色", ("004000", "1e4620")),
    ("light green", "浅绿色", ("90ee90", "b4e6b4")),
    ("teal", "青绿色", ("008080", "1e8c8c")),
    ("cyan", "青色", ("00ffff", "28c8dc")),
    ("light blue", "浅蓝色", ("add8e6", "87ceeb", "a0c8f0")),
    ("blue", "蓝色", ("0000ff", "1f77b4", "2864dc", "4169e1", "1e90ff")),
    ("dark blue", "深蓝色", ("000080", "14285a", "191970")),
    ("purple", "紫色", ("800080", "8a2be2", "9467bd", "6a0dad", "4b0082")),
    ("magenta", "品红色", ("ff00ff", "dc14c8")),
    ("pink", "粉色", ("ffc0cb", "ff69b4", "f0a0b4", "ff96aa")),
)  # fmt: skip

SAMPLE_SIDE = 128  # a picture is shrunk to at most this many pixels a side before its colours are counted
SMALLEST_SHARE = 0.02  # colours below this share of the picture are left out
MOST_COLOURS = 5


@dataclass(frozen=True, slots=True)
class Colour:
    """One colour of a picture: its name, the mean of its pixels (0-255 a channel), its share (0-1)."""

    name: str
    chinese: str
    rgb: Rgb
    share: float

    @property
    def hex(self) -> str:
        """The mean colour as ``#rrggbb``."""
        return "#{:02x}{:02x}{:02x}".format(*self.rgb)


def _linear(channel: int) -> float:
    part = channel / 255
    return part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4


_LINEAR = tuple(_linear(channel) for channel in range(256))


def oklab(rgb: Rgb) -> tuple[float, float, float]:
    """Lightness and two hue axes of an sRGB colour (Björn Ottosson, "A perceptual color space")."""
    red, green, blue = (_LINEAR[channel] for channel in rgb)
    long = (0.4122214708 * red + 0.5363325363 * green + 0.0514459929 * blue) ** (1 / 3)
    medium = (0.2119034982 * red + 0.6806995451 * green + 0.1073969566 * blue) ** (1 / 3)
    short = (0.0883024619 * red + 0.2817188376 * green + 0.6299787005 * blue) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _rgb(hexadecimal: str) -> Rgb:
    red, green, blue = bytes.fromhex(hexadecimal)
    return red, green, blue


_POINTS = tuple((oklab(_rgb(point)), name, chinese) for name, chinese, points in PALETTE for point in points)


@lru_cache(maxsize=65536)
def colour_name(rgb: Rgb) -> tuple[str, str]:
    """The English and Chinese name of the nearest colour in the palette."""
    light, across, along = oklab(rgb)

    def distance(point: tuple[tuple[float, float, float], str, str]) -> float:
        (other_light, other_across, other_along), _, _ = point
        # Hue counts twice, because it changes the name of a colour more than lightness does.
        return (light - other_light) ** 2 + 2 * ((across - other_across) ** 2 + (along - other_along) ** 2)

    _, name, chinese = min(_POINTS, key=distance)
    return name, chinese


def tint(colours: tuple[Colour, ...], name: str) -> float:
    """How much of the colour ``name`` a picture has; 0 or less means that it has none of this colour.

    For a colour with a hue this is the mean projection on the hue, about 0.3 if the whole picture has the colour. For
    black, grey and white it is the share of the picture, 0 to 1.
    """
    _, across, along = oklab(_rgb(next(points for term, _, points in PALETTE if term == name)[0]))
    length = hypot(across, along)
    if length < 0.02:
        return sum(colour.share for colour in colours if name in colour.name.split())
    total = 0.0
    for colour in colours:
        _, here_across, here_along = oklab(colour.rgb)
        total += colour.share * (here_across * across + here_along * along) / length
    return total


def colours_of(picture: Image) -> tuple[Colour, ...]:
    """The main colours of an RGB picture, at most five, the largest share first."""
    pixels = picture.getcolors(picture.width * picture.height) or []
    sums: dict[tuple[str, str], list[int]] = {}
    for count, pixel in pixels:
        assert isinstance(pixel, tuple)
        red, green, blue = pixel
        entry = sums.setdefault(colour_name((red & ~7 | 4, green & ~7 | 4, blue & ~7 | 4)), [0, 0, 0, 0])
        entry[0] += count
        entry[1] += count * red
        entry[2] += count * green
        entry[3] += count * blue
    total = sum(entry[0] for entry in sums.values()) or 1
    colours = [
        Colour(name, chinese, (round(red / n), round(green / n), round(blue / n)), n / total)
        for (name, chinese), (n, red, green, blue) in sums.items()
    ]
    colours.sort(key=lambda colour: (-colour.share, colour.name))
    large = [colour for colour in colours if colour.share >= SMALLEST_SHARE]
    return tuple((large or colours)[:MOST_COLOURS])


def brightness_of(colours_counted: Image) -> float:
    """Mean perceived brightness of an RGB picture, from 0 (black) to 1 (white)."""
    luma = colours_counted.convert("L").histogram()
    return sum(level * count for level, count in enumerate(luma)) / (255 * sum(luma))
