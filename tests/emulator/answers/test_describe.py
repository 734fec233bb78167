"""A description of media always has the same form: all measured facts, in the language of the question."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from glmv_emulator import Ask, Medium, default_answer
from glmv_emulator.eyes import look_image

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(colour: tuple[int, int, int], width: int = 100, height: int = 60, name: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(buffer, name)
    return buffer.getvalue()


def answer_to(*turns: tuple[str, list[bytes | str]] | str) -> str:
    """Alternating user and assistant turns -> the answer; a picture is its bytes, or a URL that was not opened."""
    messages: list[dict[str, Any]] = []
    media: list[Medium] = []
    for number, turn in enumerate(turns):
        if number % 2:
            messages.append({"role": "assistant", "content": turn})
            continue
        text, pictures = (turn, []) if isinstance(turn, str) else turn
        for part, one in enumerate(pictures):
            seen, data = (None, None) if isinstance(one, str) else (look_image(one), one)
            media.append(Medium("image", number, part, one if isinstance(one, str) else None, seen, data))
        messages.append({"role": "user", "content": [{"type": "text", "text": text}]})
    return default_answer(Ask(messages=messages, media=media)).text


def test_a_picture_is_described_by_its_measurements() -> None:
    data = picture(RED, 120, 80)
    assert answer_to(("Describe this picture.", [data])) == (
        f"Picture 1 is a PNG of 120 x 80 pixels (landscape, {len(data)} bytes). Its main colours are red #ff0000 "
        f"(100%). It is dark (0.30); its SHA-256 begins with {look_image(data).sha256[:12]}."
    )


def test_a_question_in_chinese_is_answered_in_chinese() -> None:
    text = answer_to(("请描述这张图片。", [picture(RED, 120, 80)]))
    assert text.startswith("图1是 PNG 图片，120 × 80 像素（横向")
    assert "红色 #ff0000（100%）" in text


def test_pictures_are_numbered_in_the_answer_in_the_order_of_the_message() -> None:
    first, second = answer_to(("Compare.", [picture(RED), picture(BLUE, 60, 60)])).splitlines()
    assert first.startswith("Picture 1 is a PNG of 100 x 60 pixels (landscape")
    assert second.startswith("Picture 2 is a PNG of 60 x 60 pixels (square")
    assert ("red" in first, "blue" in second) == (True, True)


def test_pictures_of_earlier_turns_are_described_if_the_last_turn_has_none() -> None:
    assert "100 x 60" in answer_to(("Look.", [picture(RED)]), "ok", "How wide is it?")
    newer = answer_to(("Look.", [picture(RED)]), "ok", ("And this?", [picture(BLUE)]))
    assert ("blue" in newer, "red" in newer) == (True, False)


def test_the_answer_says_that_a_picture_given_by_url_was_not_looked_at() -> None:
    seen, unseen = answer_to(("What is this?", [picture(RED), "https://example.com/cat.png"])).splitlines()
    assert seen.startswith("Picture 1 is a PNG")
    assert unseen.startswith("Picture 2 (https://example.com/cat.png) was not looked at")


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"%PDF-1.7\n1 0 obj <</Type /Page>> 2 0 obj <</Type /Page>> 3 0 obj <</Type /Pages>>", ("PDF", "pages: 2")),
        (b"The meeting is on Monday.", ("text", "The meeting is on Monday.")),
        (b"\xff\xfe\x00\x80", ("unknown", "4 bytes")),
    ],
)
def test_a_file_in_a_request_is_described_by_its_type_and_by_its_content_or_size(
    data: bytes, parts: tuple[str, ...]
) -> None:
    messages = [{"role": "user", "content": [{"type": "file"}, {"type": "text", "text": "What is in this file?"}]}]
    text = default_answer(Ask(messages=messages, media=[Medium("file", 0, 0, None, None, data)])).text
    assert all(part in text for part in parts)


def test_a_picture_has_measured_attributes_only_if_it_was_opened() -> None:
    data = picture(RED, 120, 80)
    medium = Medium("image", 0, 0, None, look_image(data), data)
    assert (medium.width, medium.height, medium.seconds, medium.colours) == (120, 80, None, ("red",))
    assert medium.text == ""
    unseen = Medium("image", 0, 0, "https://example.com/cat.png", None, None)
    assert (unseen.width, unseen.height, unseen.seconds, unseen.colours, unseen.text) == (None, None, None, (), "")
