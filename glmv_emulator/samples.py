"""Sample pictures, and functions that show results in a notebook: `picture("coffee.jpg")`, `row()`, `print_lines()`.

Needs Pillow, as the emulator does. The licences of the pictures are next to them, in LICENSES.md.
"""

from __future__ import annotations

import io
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

NAMES = (
    "cat.jpg",
    "coffee.jpg",
    "rocket.jpg",
    "chart.png",
    "form.png",
    "receipt.png",
    "bakery_receipt.png",
    "bus_timetable.png",
    "espresso_machine_diagram.png",
    "rain_chart.png",
)

# In a wheel the pictures are in a folder of the package; in a checkout they are in `examples`.
_EXAMPLES = Path(__file__).parents[1] / "examples"
_FOLDERS = (
    Path(__file__).parent / "sample_pictures",
    _EXAMPLES / "pictures",
    _EXAMPLES / "picture_rag" / "pictures",
)

GAP, LINE_HEIGHT, FONT_SIZE = 14, 21, 15  # pixels
WIDTH = 84  # characters in a line
QUALITY = 82  # of the JPEG that a notebook keeps
INK, PAPER, EDGE = (40, 44, 52), (255, 255, 255), (215, 218, 224)

Picture = str | Path | bytes | Image.Image


def picture(name: str) -> Path:
    """The path of a sample picture: one of `NAMES`.

    Raises:
        ValueError: there is no picture of this name.
    """
    paths = [folder / name for folder in _FOLDERS if name in NAMES and (folder / name).is_file()]
    if not paths:
        raise ValueError(f"There is no sample picture {name!r}. The names are {', '.join(NAMES)}.")
    return paths[0]


class Row:
    """Several pictures side by side in one JPEG, which a notebook shows. `jpeg` has its bytes."""

    def __init__(self, jpeg: bytes) -> None:
        self.jpeg = jpeg

    def __repr__(self) -> str:
        return "<a row of pictures>"

    def _repr_jpeg_(self) -> bytes:
        return self.jpeg


def row(*pictures: Picture, captions: Sequence[str] = (), height: int = 210, wrap: int = 0) -> Row:
    """Pictures side by side, each `height` pixels high, as one small JPEG.

    Args:
        pictures: paths, bytes or Pillow pictures; photographs are turned upright.
        captions: texts beneath, one for each picture.
        height: the height of each picture, in pixels.
        wrap: minimum width of a caption, in characters; a picture that is narrower than this gets more space.
    """
    small = [_fitted(one, height) for one in pictures]
    font = ImageFont.load_default(FONT_SIZE)
    columns = [max(one.width, wrap * FONT_SIZE // 2) for one in small]
    texts = [textwrap.wrap(text, column * 2 // FONT_SIZE) for text, column in zip(captions, columns, strict=False)]
    below = max((len(lines) for lines in texts), default=0) * LINE_HEIGHT + (8 if texts else 0)
    sheet = Image.new("RGB", (sum(columns) + GAP * (len(columns) - 1), height + below), PAPER)
    draw = ImageDraw.Draw(sheet)
    left = 0
    for place, (one, column) in enumerate(zip(small, columns, strict=True)):
        sheet.paste(one, (left, 0))
        draw.rectangle((left, 0, left + one.width - 1, height - 1), outline=EDGE)
        for number, line in enumerate(texts[place] if place < len(texts) else ()):
            draw.text((left, height + 8 + number * LINE_HEIGHT), line, INK, font)
        left += column + GAP
    file = io.BytesIO()
    sheet.save(file, "JPEG", quality=QUALITY)
    return Row(file.getvalue())


def print_lines(text: object) -> None:
    """Print text in lines that need no scrolling; existing line breaks are kept."""
    for line in str(text).splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        sys.stdout.write(textwrap.fill(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False) + "\n")


def _fitted(one: Picture, height: int) -> Image.Image:
    opened = one if isinstance(one, Image.Image) else Image.open(io.BytesIO(one) if isinstance(one, bytes) else one)
    upright = ImageOps.exif_transpose(opened).convert("RGB")
    width = max(1, round(upright.width * height / upright.height))
    return upright.resize((width, height), Image.Resampling.LANCZOS)
