"""With the extra `eyes` the emulator reads pictures: words, pairs, rows, bars and codes."""

# ruff: noqa: E501 - a line of a page a line
from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from glmv_emulator import Ask, Medium, default_answer
from glmv_emulator.eyes import can_read, look_image, read_image
from glmv_emulator.eyes.sheet import Sheet, sheet_of

pytestmark = [pytest.mark.eyes, pytest.mark.skipif(not can_read(), reason="needs the emulator's extra `eyes`")]


def page(*lines: tuple[int, int, str], size: tuple[int, int] = (640, 480), print_: int = 26) -> bytes:
    """A white page with text at given positions, as a PNG file."""
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for left, top, text in lines:
        draw.text((left, top), text, fill="black", font=ImageFont.load_default(print_))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@cache
def bill() -> bytes:
    return page((150, 20, "HARBOUR KIOSK"), (40, 90, "2 x Lemonade"), (480, 90, "5.40"), (40, 140, "1 x Pretzel"), (480, 140, "1.90"),
                (40, 230, "TOTAL EUR"), (480, 230, "7.30"), (40, 300, "Date"), (480, 300, "09.05.2026"))  # fmt: skip


@cache
def form() -> bytes:
    return page((40, 20, "Visitor card"), (40, 100, "Name"), (260, 100, "Ida Holm"), (40, 160, "City:"), (260, 160, "Berlin"),
                (40, 220, "Phone: 030 123456"), (60, 380, "Cancel"), (460, 380, "Save"))  # fmt: skip


@cache
def chart() -> bytes:
    bars = ((60, 120, "Jan"), (200, 80, "Feb"), (340, 220, "Mar"), (480, 160, "Apr"))
    words = [(left, 440, name) for left, _, name in bars] + [
        (left, 400 - height, str(height)) for left, height, _ in bars
    ]
    return page((40, 20, "Umbrellas sold"), *words)


def sheet(data: bytes) -> Sheet:
    result = sheet_of(data)
    assert result is not None
    return result


def answer_to(text: str, *pictures: bytes) -> str:
    media = [Medium("image", 0, number, None, look_image(one), one) for number, one in enumerate(pictures)]
    return default_answer(Ask(messages=[{"role": "user", "content": text}], media=media)).text


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


STRING, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


def filled(schema: dict[str, Any], *pictures: bytes) -> Any:
    return json.loads(answer_to(json.dumps(schema), *pictures))


@pytest.mark.parametrize(
    ("name", "picture", "value"),
    [
        ("total", bill, "7.30"),
        ("shop", bill, "HARBOUR KIOSK"),
        ("date", bill, "09.05.2026"),
        ("总计", bill, "7.30"),
        ("currency", bill, "EUR"),
        ("name", form, "Ida Holm"),
        ("city", form, "Berlin"),
        ("phoneNumber", form, "030 123456"),
        ("title", chart, "Umbrellas sold"),
    ],
)
def test_a_value_is_found_by_its_label(name: str, picture: Any, value: str) -> None:
    assert sheet(picture()).values_of(name, "")[:1] == [value]


def test_the_value_of_a_label_is_the_number_next_to_the_label_in_the_picture() -> None:
    for figure in ("12.80", "31.05"):
        assert sheet(page((40, 40, "Total"), (400, 40, figure))).values_of("total", "") == [figure]


def test_a_description_lists_text_and_labelled_values_and_the_bars_of_a_chart() -> None:
    text = answer_to("What is this?", form(), chart())
    assert "Picture 1 reads:\nVisitor card\nName Ida Holm\n" in text
    assert "Pairs: Name: Ida Holm; City: Berlin; Phone: 030 123456; Cancel: Save." in text
    assert "Bars: Jan: 120; Feb: 80; Mar: 220; Apr: 160." in text
    assert "图1上的文字：\nVisitor card" in answer_to("这是什么？", form())


def test_rows_of_a_table_in_a_picture_are_described_and_fill_a_schema() -> None:
    lines = [
        (40, 40, "Train"),
        (240, 40, "To"),
        (440, 40, "Time"),
        (40, 120, "RE 5"),
        (240, 120, "Bremen"),
        (440, 120, "14:05"),
    ]
    table = page(*lines)
    assert sheet(table).table() == [["Train", "To", "Time"], ["RE 5", "Bremen", "14:05"]]
    assert "Rows: Train | To | Time; RE 5 | Bremen | 14:05." in answer_to("What is this?", table)
    rows = {"type": "array", "items": obj(train=STRING, time=STRING)}
    assert filled(obj(trains=rows), table) == {"trains": [{"train": "RE 5", "time": "14:05"}]}


def test_a_schema_is_filled_from_a_picture_of_a_form() -> None:
    assert filled(obj(name=STRING, city=STRING, tel=STRING), form()) == {
        "name": "Ida Holm", "city": "Berlin", "tel": "030 123456",
    }  # fmt: skip


def test_a_property_is_filled_by_the_label_that_its_description_names() -> None:
    schema = obj(person={"type": "string", "description": "the name"})
    assert filled(schema, form()) == {"person": "Ida Holm"}


def test_a_property_is_filled_from_the_picture_that_has_its_label() -> None:
    assert filled(obj(total=NUMBER, city=STRING), form(), bill(), chart()) == {"total": 7.3, "city": "Berlin"}


def test_a_schema_is_filled_from_a_picture_of_a_bill_with_all_its_items() -> None:
    item = obj(product=STRING, qty=INTEGER, price=NUMBER)
    schema = obj(
        store=STRING,
        bought_on={"type": "string", "format": "date"},
        total_amount=NUMBER,
        currency=STRING,
        items={"type": "array", "items": item},
    )
    assert filled(schema, bill()) == {
        "store": "HARBOUR KIOSK", "bought_on": "2026-05-09", "total_amount": 7.3, "currency": "EUR",
        "items": [{"product": "Lemonade", "qty": 2, "price": 5.4}, {"product": "Pretzel", "qty": 1, "price": 1.9}],
    }  # fmt: skip


def test_a_schema_is_filled_from_the_bars_of_a_chart() -> None:
    bars = {"type": "array", "items": obj(label=STRING, value=INTEGER)}
    assert filled(obj(title=STRING, bars=bars), chart()) == {
        "title": "Umbrellas sold",
        "bars": [
            {"label": name, "value": height} for name, height in (("Jan", 120), ("Feb", 80), ("Mar", 220), ("Apr", 160))
        ],
    }


def test_a_line_of_text_is_read_with_its_position_in_the_picture() -> None:
    reading = read_image(form())
    assert reading is not None
    (box,) = [line.box for line in reading.lines if line.text == "Save"]
    # The word was drawn at (460, 380), about 60 x 30 pixels large.
    assert box[:2] == (pytest.approx(460, abs=16), pytest.approx(386, abs=12))
    assert box[2:] == (pytest.approx(520, abs=20), pytest.approx(412, abs=20))


def test_a_qr_code_is_read() -> None:
    zxingcpp = pytest.importorskip("zxingcpp")
    code = Image.fromarray(
        zxingcpp.create_barcode("https://example.com/42", zxingcpp.BarcodeFormat.QRCode).to_image(scale=6)
    )
    paper = Image.new("RGB", (500, 400), "white")
    paper.paste(code.convert("RGB"), (40, 60))
    buffer = io.BytesIO()
    paper.save(buffer, "PNG")
    assert "https://example.com/42" in answer_to("What is this?", buffer.getvalue())
    assert filled(obj(qr_code=STRING), buffer.getvalue()) == {"qr_code": "https://example.com/42"}


def test_properties_without_a_label_in_the_pictures_get_empty_values() -> None:
    assert filled(obj(country=STRING, weight=NUMBER), bill(), form()) == {"country": "", "weight": 0}


def test_the_attribute_text_of_a_medium_is_the_text_read_from_the_picture() -> None:
    assert Medium("image", 0, 0, None, look_image(form()), form()).text.startswith("Visitor card\nName Ida Holm")


@pytest.mark.parametrize("form_", ["PNG", "JPEG"])
def test_a_picture_of_one_colour_is_not_searched_for_text(monkeypatch: pytest.MonkeyPatch, form_: str) -> None:
    def refused(_: object) -> None:
        raise AssertionError("the picture was read")

    monkeypatch.setattr("glmv_emulator.eyes.reading._lines", refused)
    held = io.BytesIO()
    Image.new("RGB", (71, 53), (200, 30, 60)).save(held, form_)
    reading = read_image(held.getvalue())
    assert reading is not None
    assert (reading.lines, reading.width, reading.height) == ((), 71, 53)


def test_pictures_are_measured_but_not_read_if_the_pip_extra_eyes_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glmv_emulator.eyes.reading.can_read", lambda: False)
    monkeypatch.setattr("glmv_emulator.answers.describe.can_read", lambda: False)
    assert "640 x 480" in answer_to("What is this?", bill())
    assert "reads" not in answer_to("What is this?", bill())
    assert filled(obj(total=NUMBER, width=INTEGER), bill()) == {"total": 0, "width": 640}
