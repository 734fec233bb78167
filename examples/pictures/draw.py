"""Draws the chart, the receipt and the form that the examples ask about: `python examples/pictures/draw.py`.

Every number in the pictures comes from the tables below, so a test or a reader can compare an answer
with what was drawn. Only Pillow's built-in font is used: the files are the same on every machine.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent

CUPS_SOLD = {"Mon": 120, "Tue": 95, "Wed": 150, "Thu": 170, "Fri": 210, "Sat": 260, "Sun": 185}

RECEIPT = [
    ("Espresso", 2, 2.40),
    ("Flat white", 1, 3.80),
    ("Almond croissant", 2, 3.20),
    ("Still water", 1, 1.90),
]

FORM = [
    ("Order no.", "A-2041"),
    ("Date", "2026-03-14"),
    ("Machine", "Grinder 2"),
    ("Fault", "Burrs worn, grind uneven"),
    ("Hours run", "1 860"),
]
FORM_BOXES = [("Repaired on site", True), ("Part to be ordered", True), ("Out of service", False)]

INK, PALE, PAPER = (38, 38, 46), (214, 216, 222), (252, 251, 247)
BLUE, AMBER = (52, 101, 164), (222, 146, 38)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def chart() -> Image.Image:
    """A bar chart: cups sold on each day of a week, the best day in amber."""
    picture = Image.new("RGB", (800, 500), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((40, 24), "Cups sold, week 11", INK, font(30))
    left, bottom, top, step = 80, 430, 100, 50
    highest = 300
    for value in range(0, highest + 1, step):
        y = bottom - value * (bottom - top) // highest
        draw.line([(left, y), (770, y)], PALE)
        draw.text((left - 12, y), str(value), INK, font(18), anchor="rm")
    best = max(CUPS_SOLD, key=CUPS_SOLD.__getitem__)
    for place, (day, cups) in enumerate(CUPS_SOLD.items()):
        x = left + 24 + place * 97
        y = bottom - cups * (bottom - top) // highest
        draw.rectangle([x, y, x + 62, bottom - 1], AMBER if day == best else BLUE)
        draw.text((x + 31, y - 8), str(cups), INK, font(18), anchor="mb")
        draw.text((x + 31, bottom + 12), day, INK, font(20), anchor="mt")
    draw.line([(left, bottom), (770, bottom)], INK, 2)
    return picture


def receipt() -> Image.Image:
    """A till receipt: lines, total, and the tax contained in it."""
    picture = Image.new("RGB", (420, 560), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((210, 36), "CORNER COFFEE", INK, font(30), anchor="mt")
    draw.text((210, 78), "14.03.2026  09:41   No. 0387", INK, font(16), anchor="mt")
    draw.line([(30, 112), (390, 112)], INK, 2)
    y = 134
    for name, count, price in RECEIPT:
        draw.text((30, y), f"{count} x {name}", INK, font(20))
        draw.text((390, y), f"{count * price:.2f}", INK, font(20), anchor="ra")
        y += 44
    total = sum(count * price for _, count, price in RECEIPT)
    draw.line([(30, y + 8), (390, y + 8)], INK, 2)
    draw.text((30, y + 28), "TOTAL EUR", INK, font(26))
    draw.text((390, y + 28), f"{total:.2f}", INK, font(26), anchor="ra")
    draw.text((30, y + 78), "incl. 19 % tax", INK, font(18))
    draw.text((390, y + 78), f"{total * 19 / 119:.2f}", INK, font(18), anchor="ra")
    draw.text((30, y + 112), "Paid by card", INK, font(18))
    draw.text((210, 520), "Thank you", INK, font(20), anchor="ms")
    return picture


def form() -> Image.Image:
    """A filled-in service form: five fields and three boxes to tick."""
    picture = Image.new("RGB", (640, 520), (255, 255, 255))
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, 0, 640, 72], BLUE)
    draw.text((30, 36), "Service report", (255, 255, 255), font(30), anchor="lm")
    y = 100
    for label, value in FORM:
        draw.text((30, y + 18), label, INK, font(18), anchor="lm")
        draw.rectangle([190, y, 610, y + 38], outline=PALE, width=2)
        draw.text((204, y + 19), value, (20, 52, 120), font(21), anchor="lm")
        y += 54
    y += 14
    for label, ticked in FORM_BOXES:
        draw.rectangle([30, y, 52, y + 22], outline=INK, width=2)
        if ticked:
            draw.line([(34, y + 11), (40, y + 18), (49, y + 4)], (20, 52, 120), 4)
        draw.text((66, y + 11), label, INK, font(19), anchor="lm")
        y += 38
    return picture


if __name__ == "__main__":
    for draw_one in (chart, receipt, form):
        draw_one().quantize(64).save(HERE / f"{draw_one.__name__}.png", optimize=True)
