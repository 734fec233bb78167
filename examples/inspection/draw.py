"""Draws photos of tea tins as they come off the packing line: labels and QR codes, right and wrong.

The table says what is wrong with each picture, so that verdicts can be compared with the drawing. The tea is invented.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import zxingcpp
from PIL import Image, ImageDraw, ImageFont

SIZE = (640, 480)
HOUSE = "Kettle & Leaf"
TABLE, METAL, PAPER, INK, GREEN = "#b9b2a6", "#8d9399", "#fbf8ef", "#22262b", "#2f6b4f"


@dataclass(frozen=True)
class Tin:
    """A tin on the packing line: the texts of its label and its code ('' for no code)."""

    product: str = "Harbour Green"
    batch: str = "B-2041"
    best_before: str = "2028-03-14"
    grams: int = 250
    code: str = "HG250/B-2041"


TINS = {
    "tin_1.png": Tin(),
    "tin_2.png": Tin(code="HG250/B-1987"),  # the code of another batch: print a new label
    "tin_3.png": Tin(best_before="2024-03-14"),  # too old: away with it
    "tin_4.png": Tin(code=""),  # the code is missing: print a new label
    "tin_5.png": Tin(grams=125),  # another tin than was ordered: away with it
}


def photo(tin: Tin) -> Image.Image:
    """A tin on a table, seen from the front."""
    picture = Image.new("RGB", SIZE, TABLE)
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((60, 30, 580, 450), 26, METAL)
    draw.rectangle((85, 75, 555, 405), PAPER)
    draw.rectangle((85, 75, 555, 135), GREEN)
    draw.text((320, 105), HOUSE, "white", ImageFont.load_default(34), anchor="mm")
    rows = {
        "Product": tin.product,
        "Batch": tin.batch,
        "Best before": tin.best_before,
        "Net weight": f"{tin.grams} g",
    }
    for line, (label, value) in enumerate(rows.items()):
        y = 172 + 60 * line
        draw.text((110, y), label, INK, ImageFont.load_default(22), anchor="lm")
        draw.text((395, y), value, INK, ImageFont.load_default(22), anchor="rm")
    if tin.code:
        code = zxingcpp.create_barcode(tin.code, zxingcpp.BarcodeFormat.QRCode).to_image(scale=4)
        picture.paste(Image.fromarray(code).convert("RGB"), (425, 250))
    return picture


def draw_all(folder: Path) -> list[Path]:
    """Draw every tin of the table into a folder; returns the files."""
    paths = [folder / name for name in TINS]
    for path, tin in zip(paths, TINS.values(), strict=True):
        photo(tin).save(path)
    return paths
