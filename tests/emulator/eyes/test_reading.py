"""With the extra `eyes` the emulator reads pictures: what it answers stands in the right picture only."""

# ruff: noqa: E501 - a question a line
from __future__ import annotations

import io
import json
import re
from functools import cache
from typing import Any

import pytest
from PIL import Image, ImageDraw, ImageFont

from glmv_emulator.answers import Ask, Medium, Reply, answer
from glmv_emulator.eyes import can_read, look_image

pytestmark = [pytest.mark.eyes, pytest.mark.skipif(not can_read(), reason="needs the emulator's extra `eyes`")]


def page(*lines: tuple[int, int, str], size: tuple[int, int] = (640, 480), print_: int = 26) -> bytes:
    """A white page with text at places, as a PNG file."""
    picture = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(picture)
    for left, top, text in lines:
        draw.text((left, top), text, fill="black", font=ImageFont.load_default(print_))
    held = io.BytesIO()
    picture.save(held, "PNG")
    return held.getvalue()


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


def ask(question: str, *pictures: bytes, tools: list[dict[str, Any]] | None = None) -> Reply:
    media = [Medium("image", 0, number, None, look_image(one), one) for number, one in enumerate(pictures)]
    messages = [
        {"role": "user", "content": [*({"type": "image_url"} for _ in pictures), {"type": "text", "text": question}]}
    ]
    return answer(Ask(messages=messages, media=media, tools=tools or [], response_format=None, thinking=False, model="glm-4.6v",
                      vision=True, seed=0, stubborn=False))  # fmt: skip


@pytest.mark.parametrize(
    ("question", "picture", "part"),
    [
        ("What is the total on this receipt?", bill, "7.30"),
        ("How much was the pretzel?", bill, "1.90"),
        ("Which shop is it from?", bill, "HARBOUR KIOSK"),
        ("On which date was it bought?", bill, "09.05.2026"),
        ("总计是多少？", bill, "7.30"),
        ("What is the name of the visitor?", form, "Ida Holm"),
        ("Which city is on the card?", form, "Berlin"),
        ("What is the phone number?", form, "030 123456"),
        ("How many umbrellas were sold in March?", chart, "220"),
        ("Which month has the highest value?", chart, "Mar"),
        ("Read the text.", form, "Visitor card"),
    ],
)
def test_a_question_is_answered_from_what_is_written(question: str, picture: Any, part: str) -> None:
    assert part in ask(question, picture()).text


def test_a_changed_figure_changes_the_answer() -> None:
    assert "12.80" in ask("What is the total?", page((40, 40, "Total"), (400, 40, "12.80"))).text
    assert "31.05" in ask("What is the total?", page((40, 40, "Total"), (400, 40, "31.05"))).text


@pytest.mark.parametrize(
    ("question", "number"),
    [("Which picture mentions Berlin?", 2), ("Which of these says 'Pretzel'?", 1), ("哪张图提到 Umbrellas？", 3)],
)
def test_the_picture_that_holds_a_word_is_found(question: str, number: int) -> None:
    assert re.match(rf"(?:Picture |图){number}", ask(question, bill(), form(), chart()).text)


def test_the_right_one_of_several_pictures_gives_the_answer() -> None:
    assert "7.30" in ask("What is the total on the bill of the Harbour Kiosk?", form(), bill(), chart()).text


@pytest.mark.parametrize(
    "question", ["Where is the button Save?", "Give the bounding box of 'Save'.", "“Save”在哪里？"]
)
def test_a_place_is_told_in_the_grid_of_a_thousand(question: str) -> None:
    text = ask(question, form()).text
    found = re.search(r"<\|begin_of_box\|>(\[\[\d+,\d+,\d+,\d+\]\])<\|end_of_box\|>", text)
    assert found
    left, top, right, bottom = json.loads(found.group(1))[0]
    # The word was drawn at (460, 380) on a page of 640 x 480, about 60 x 30 pixels large.
    assert left == pytest.approx(1000 * 460 / 640, abs=25)
    assert top == pytest.approx(1000 * 380 / 480, abs=25)
    assert left < right < 900
    assert top < bottom < 900


def test_a_tool_is_given_the_place_of_what_was_named() -> None:
    click = {"type": "function", "function": {"name": "click", "description": "Click at a point, in pixels.", "parameters": {
        "type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x", "y"]}}}  # fmt: skip
    (call,) = ask("Click the button 'Save'.", form(), tools=[click]).calls
    assert call.arguments["x"] == pytest.approx(490, abs=20)
    assert call.arguments["y"] == pytest.approx(396, abs=20)


def test_a_form_fills_a_schema() -> None:
    schema = {"type": "object", "properties": {"name": {"type": "string"}, "city": {"type": "string"}, "tel": {"type": "string"}},
              "required": ["name", "city", "tel"]}  # fmt: skip
    told = ask(f"Extract the card as JSON that fits {json.dumps(schema)}", form()).text
    assert json.loads(told) == {"name": "Ida Holm", "city": "Berlin", "tel": "030 123456"}


def test_a_bill_fills_a_schema_with_its_items() -> None:
    item = {"type": "object", "properties": {"product": {"type": "string"}, "qty": {"type": "integer"}, "price": {"type": "number"}},
            "required": ["product", "qty", "price"]}  # fmt: skip
    schema = {"type": "object", "properties": {"store": {"type": "string"}, "bought_on": {"type": "string", "format": "date"},
              "total_amount": {"type": "number"}, "currency": {"type": "string"}, "items": {"type": "array", "items": item}},
              "required": ["store", "bought_on", "total_amount", "currency", "items"]}  # fmt: skip
    told = ask(f"Read the bill. Answer in JSON that fits {json.dumps(schema)}", bill()).text
    assert json.loads(told) == {
        "store": "HARBOUR KIOSK", "bought_on": "2026-05-09", "total_amount": 7.3, "currency": "EUR",
        "items": [{"product": "Lemonade", "qty": 2, "price": 5.4}, {"product": "Pretzel", "qty": 1, "price": 1.9}],
    }  # fmt: skip


def test_a_code_is_read_and_placed() -> None:
    zxingcpp = pytest.importorskip("zxingcpp")
    code = Image.fromarray(
        zxingcpp.create_barcode("https://example.com/42", zxingcpp.BarcodeFormat.QRCode).to_image(scale=6)
    )
    sheet = Image.new("RGB", (500, 400), "white")
    sheet.paste(code.convert("RGB"), (40, 60))
    held = io.BytesIO()
    sheet.save(held, "PNG")
    text = ask("What does the QR code say?", held.getvalue()).text
    assert "https://example.com/42" in text
    assert "<|begin_of_box|>" in text


def test_what_is_not_there_is_not_invented() -> None:
    text = ask("Which picture mentions Madrid?", bill(), form()).text
    assert "None" in text
    assert not re.match(r"Picture \d mentions", text)


def test_pictures_are_read_only_when_a_question_needs_words(monkeypatch: pytest.MonkeyPatch) -> None:
    from glmv_emulator.answers import reading

    def refused(_: bytes) -> None:
        raise AssertionError("the picture was read")

    monkeypatch.setattr(reading, "read_image", refused)
    for question in ("Describe the picture.", "What colour is it?", "How large is it?", "What is in this picture?", "这张图是什么颜色？",
                     'JSON with the fields `width` and `colour`, please: give it.'):  # fmt: skip
        assert ask(question, bill()).text


def test_without_the_extra_it_says_that_it_cannot_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from glmv_emulator.answers import reading

    monkeypatch.setattr(reading, "can_read", lambda: False)
    monkeypatch.setattr(reading, "read_image", lambda _: None)
    assert "cannot read" in ask("Read the text.", bill()).text
    assert "640 x 480" in ask("Describe the picture.", bill()).text
