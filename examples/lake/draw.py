"""Draws the receipts of a till for a week, and adds three photographs: a small lake of pictures.

Every number comes from the table below, so a test or a reader can compare the Parquet table with what was drawn.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

PHOTOS = Path(__file__).parent.parent / "pictures"
INK, PAPER = (38, 38, 46), (252, 251, 247)

# Shop, day, lines with their prices.
RECEIPTS = [
    ("GREEN BAKERY", "2026-03-09", [("Rye bread", 4.20), ("Poppy roll", 1.10)]),
    ("CORNER COFFEE", "2026-03-09", [("Flat white", 3.80)]),
    ("HARBOUR BOOKS", "2026-03-10", [("Atlas of tides", 24.00), ("Postcard", 1.50)]),
    ("GREEN BAKERY", "2026-03-11", [("Apple pie", 3.60), ("Rye bread", 4.20)]),
    ("CORNER COFFEE", "2026-03-12", [("Espresso", 2.40), ("Almond croissant", 3.20)]),
    ("CORNER COFFEE", "2026-03-13", [("Flat white", 3.80), ("Still water", 1.90)]),
]


def receipt(shop: str, day: str, lines: list[tuple[str, float]]) -> Image.Image:
    """One receipt: the shop, the day, its lines and their total."""
    picture = Image.new("RGB", (420, 260 + 44 * len(lines)), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((210, 36), shop, INK, ImageFont.load_default(30), anchor="mt")
    draw.text((210, 82), f"Date: {day}", INK, ImageFont.load_default(20), anchor="mt")
    y = 134
    for name, price in lines:
        draw.text((30, y), name, INK, ImageFont.load_default(22))
        draw.text((390, y), f"{price:.2f}", INK, ImageFont.load_default(22), anchor="ra")
        y += 44
    draw.line([(30, y + 8), (390, y + 8)], INK, 2)
    draw.text((30, y + 28), "TOTAL EUR", INK, ImageFont.load_default(26))
    draw.text((390, y + 28), f"{total(lines):.2f}", INK, ImageFont.load_default(26), anchor="ra")
    return picture


def total(lines: list[tuple[str, float]]) -> float:
    """The sum of the lines."""
    return round(sum(price for _, price in lines), 2)


def fill(folder: Path) -> Path:
    """Write the pictures into a folder, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (shop, day, lines) in enumerate(RECEIPTS, 1):
        receipt(shop, day, lines).save(folder / f"receipt_{number}.png")
    for photo in ("cat.jpg", "coffee.jpg", "rocket.jpg"):
        shutil.copy(PHOTOS / photo, folder / photo)
    return folder
