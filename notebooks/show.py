"""Shows pictures in a row with words beneath them, and long answers in lines."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

import IPython.display
from PIL import Image, ImageDraw, ImageFont, ImageOps

GAP, LINE, PRINT = 14, 21, 15  # pixels
WIDTH = 96  # letters of a line
QUALITY = 82  # of the JPEG that the notebook keeps
INK, PAPER, EDGE = (40, 44, 52), (255, 255, 255), (215, 218, 224)


def row(
    *pictures: str | Path | bytes | Image.Image,
    captions: Sequence[str] = (),
    height: int = 210,
    wrap: int = 0,
) -> IPython.display.Image:
    """Pictures side by side, each `height` pixels high, as one small JPEG.

    `captions` stand beneath, one for each picture, in lines of `wrap` letters at least.
    """
    small = [_fitted(one, height) for one in pictures]
    letter = ImageFont.load_default(PRINT)
    rooms = [max(one.width, wrap * PRINT // 2) for one in small]
    notes = [
        textwrap.wrap(text, room * 2 // PRINT) for text, room in zip(captions, rooms, strict=False)
    ]
    below = max((len(lines) for lines in notes), default=0) * LINE + (8 if notes else 0)
    sheet = Image.new("RGB", (sum(rooms) + GAP * (len(rooms) - 1), height + below), PAPER)
    draw = ImageDraw.Draw(sheet)
    left = 0
    for place, (one, room) in enumerate(zip(small, rooms, strict=True)):
        sheet.paste(one, (left, 0))
        draw.rectangle((left, 0, left + one.width - 1, height - 1), outline=EDGE)
        for line, words in enumerate(notes[place] if place < len(notes) else ()):
            draw.text((left, height + 8 + line * LINE), words, INK, letter)
        left += room + GAP
    held = io.BytesIO()
    sheet.save(held, "JPEG", quality=QUALITY)
    return IPython.display.Image(held.getvalue(), format="jpeg")


def say(text: object) -> None:
    """Print in lines that need no scrolling; lines that are there stay."""
    for line in str(text).splitlines():
        indent = " " * (len(line) - len(line.lstrip()))
        print(textwrap.fill(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False))


def _fitted(picture: str | Path | bytes | Image.Image, height: int) -> Image.Image:
    match picture:
        case Image.Image():
            opened = picture
        case bytes():
            opened = Image.open(io.BytesIO(picture))
        case _:
            opened = Image.open(picture)
    upright = ImageOps.exif_transpose(opened).convert("RGB")
    return upright.resize(
        (max(1, round(upright.width * height / upright.height)), height), Image.Resampling.LANCZOS
    )
