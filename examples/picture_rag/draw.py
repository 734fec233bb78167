"""Draws the pictures that this example adds to `examples/pictures`: `python examples/picture_rag/draw.py`.

Every word and number in them comes from the tables below, so that answers can be compared with what was drawn.
Shops, buses and figures are invented.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).parent / "pictures"

BAKERY = [("Rye bread", 4.20), ("Apple pie", 2.90), ("Butter roll", 1.30)]
RAIN = {"Week 1": 12, "Week 2": 34, "Week 3": 5, "Week 4": 21}
MACHINE = [("Water tank", "2 litres"), ("Pump", "9 bar"), ("Boiler", "93 C"), ("Brew group", "58 mm")]
BUS = {"Harbour": "07:15", "Museum": "07:28", "Theatre": "07:34", "Station": "07:40"}

INK, PALE, PAPER = (30, 30, 36), (205, 214, 222), (250, 250, 245)
GREEN, TEAL, RED = (40, 120, 70), (30, 130, 140), (170, 50, 40)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def receipt() -> Image.Image:
    """The receipt of a bakery, with its total."""
    picture = Image.new("RGB", (420, 420), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((210, 30), "GREEN BAKERY", GREEN, font(34), anchor="mt")
    for line, (name, price) in enumerate(BAKERY):
        draw.text((40, 110 + 50 * line), name, INK, font(26))
        draw.text((380, 110 + 50 * line), f"{price:.2f}", INK, font(26), anchor="ra")
    draw.line([(40, 280), (380, 280)], INK, 2)
    draw.text((40, 305), "TOTAL EUR", INK, font(30))
    draw.text((380, 305), f"{sum(price for _, price in BAKERY):.2f}", INK, font(30), anchor="ra")
    return picture


def chart() -> Image.Image:
    """A bar chart: rain in the weeks of May."""
    picture = Image.new("RGB", (700, 480), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((40, 24), "Rain in May, mm", INK, font(30))
    for place, (week, rain) in enumerate(RAIN.items()):
        x, top = 70 + 155 * place, 410 - 8 * rain
        draw.rectangle([x, top, x + 90, 410], TEAL)
        draw.text((x + 45, top - 10), str(rain), INK, font(22), anchor="mb")
        draw.text((x + 45, 425), week, INK, font(22), anchor="mt")
    draw.line([(40, 410), (670, 410)], INK, 2)
    return picture


def diagram() -> Image.Image:
    """A block diagram: the way of the water through an espresso machine."""
    picture = Image.new("RGB", (980, 300), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((40, 24), "Espresso machine, water path", INK, font(30))
    for place, (part, fact) in enumerate(MACHINE):
        x = 40 + 235 * place
        draw.rounded_rectangle([x, 110, x + 180, 240], 14, outline=RED, width=4)
        draw.text((x + 90, 150), part, INK, font(26), anchor="mm")
        draw.text((x + 90, 200), fact, RED, font(26), anchor="mm")
        if place:
            draw.line([(x - 50, 175), (x - 8, 175)], INK, 4)
            draw.polygon([(x - 18, 165), (x - 2, 175), (x - 18, 185)], INK)
    return picture


def timetable() -> Image.Image:
    """The timetable of a bus."""
    picture = Image.new("RGB", (520, 440), PALE)
    draw = ImageDraw.Draw(picture)
    draw.rectangle([0, 0, 520, 80], TEAL)
    draw.text((30, 40), "BUS 42", PAPER, font(40), anchor="lm")
    for line, (stop, time) in enumerate(BUS.items()):
        draw.text((40, 120 + 75 * line), stop, INK, font(30))
        draw.text((480, 120 + 75 * line), time, INK, font(30), anchor="ra")
    return picture


DRAWN = {
    "bakery_receipt.png": receipt,
    "rain_chart.png": chart,
    "espresso_machine_diagram.png": diagram,
    "bus_timetable.png": timetable,
}


def main() -> None:
    HERE.mkdir(exist_ok=True)
    for name, draw in DRAWN.items():
        draw().save(HERE / name, optimize=True)


if __name__ == "__main__":
    main()
