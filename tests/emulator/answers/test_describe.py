"""Questions about pictures are answered from what was measured, in the language of the question."""

# ruff: noqa: E501 - a case a line
from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from glmv_emulator.answers import Ask, Medium, answer
from glmv_emulator.eyes import look_image

RED, BLUE, WHITE, DARK = (255, 0, 0), (0, 0, 255), (255, 255, 255), (20, 20, 20)


def picture(colour: tuple[int, int, int], width: int = 100, height: int = 60, name: str = "PNG") -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(held, name)
    return held.getvalue()


def told(*turns: tuple[str, list[bytes | str]] | str, **changed: Any) -> str:
    """The answer to turns of text and pictures; a picture given as text is a URL that nobody looked at."""
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
    fields: dict[str, Any] = {"tools": [], "response_format": None, "thinking": False, "model": "glm-4v", "vision": True,
                              "seed": 0, "stubborn": False}  # fmt: skip
    return answer(Ask(messages=messages, media=media, **{**fields, **changed})).text


def test_a_description_states_measurements() -> None:
    text = told(("Describe this picture.", [picture(RED, 120, 80, "PNG")]))
    for part in ("PNG", "120 x 80", "red #ff0000 (100%)", look_image(picture(RED, 120, 80)).sha256[:12]):
        assert part in text


def test_chinese_is_answered_in_chinese() -> None:
    text = told(("请描述这张图片。", [picture(RED, 120, 80)]))
    assert "红色" in text
    assert "120 × 80" in text


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Which picture is larger?", "Picture 2 is larger"),
        ("which of them is smaller", "Picture 1 is smaller"),
        ("Which one is brighter?", "Picture 2 is brighter"),
        ("Which is the darkest?", "Picture 1 is darker"),
        ("Which is more red?", "Picture 1 has the most red"),
        ("which image is the reddest", "Picture 1 has the most red"),
        ("Which picture is white?", "Picture 2 has the most white"),
        ("Is the second picture larger than the first?", "Yes: Picture 2 is larger"),
        ("Is picture 1 brighter than picture 2?", "No: Picture 2 is brighter"),
        ("哪张图更大？", "图2更大"),
        ("哪张更亮", "图2更亮"),
        ("哪张图最红？", "图1的红色最多"),
        ("Are they the same?", "They differ."),
    ],
)
def test_pictures_are_compared(question: str, first: str) -> None:
    assert told((question, [picture(RED, 100, 60), picture(WHITE, 300, 200)])).startswith(first)


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("Which is the darkest of the three pictures?", "Picture 3 is the darkest"),
        ("Which picture is the second darkest?", "Picture 1 is the second darkest"),
        ("Which picture is larger, 1 or 3?", "Picture 1 is larger"),
        ("Is picture 3 larger than picture 1?", "No: Picture 1 is larger"),
        ("Sort them from darkest to brightest", "Picture 3, Picture 1, Picture 2"),
        ("Which is the heaviest file?", "Picture 2 is the heaviest file"),
        ("哪张图片最暗？", "图3最暗"),
    ],
)
def test_of_three_pictures_one_is_the_most_of_all(question: str, first: str) -> None:
    assert told((question, [picture(RED), picture(WHITE, 300, 200), picture(DARK, 10, 10)])).startswith(first)


def test_of_equal_pictures_none_is_the_largest() -> None:
    assert told(("Which is the largest?", [picture(RED)] * 3)).startswith("None of them is the largest")


@pytest.mark.parametrize(
    ("question", "part"),
    [
        ("How wide is it?", "100 pixels wide"),
        ("What is its height?", "60 pixels high"),
        ("What size is the picture?", "100 x 60"),
        ("What file format is it?", "PNG"),
        ("What colour is it?", "red #ff0000"),
        ("Is it portrait or landscape?", "landscape"),
        ("What is the SHA-256?", look_image(picture(RED)).sha256),
        ("Is the picture red?", "Yes"),
        ("Is the picture blue?", "No"),
        ("它有多宽？", "宽 100 像素"),
        ("这张图是什么颜色？", "红色"),
    ],
)
def test_one_attribute_is_told_alone(question: str, part: str) -> None:
    assert part in told((question, [picture(RED)]))


def test_a_picture_is_named_by_its_number() -> None:
    text = told(("What colour is picture 2?", [picture(RED), picture(BLUE)]))
    assert "blue" in text
    assert "red" not in text


def test_pictures_of_earlier_turns_are_remembered() -> None:
    assert "100 pixels wide" in told(("Look.", [picture(RED)]), "ok", "How wide is it?")
    compared = told(
        ("Look.", [picture(RED)]), "ok", ("Is this larger than the previous picture?", [picture(BLUE, 400, 400)])
    )
    assert "Picture 2 is larger" in compared


def test_an_address_that_nobody_opened_is_said_to_be_unseen() -> None:
    text = told(("What is this?", ["https://example.com/cat.png"]))
    assert "https://example.com/cat.png" in text
    assert "not looked at" in text
    both = told(("Which is larger?", [picture(RED), picture(BLUE, 300, 300), "https://example.com/c.png"]))
    assert "Picture 2 is larger" in both
    assert "Picture 3" in both


def test_swapped_pictures_swap_the_answer() -> None:
    small, large = picture(RED, 10, 10), picture(BLUE, 20, 20)
    assert told(("Which is larger?", [small, large])) != told(("Which is larger?", [large, small]))


def test_reasoning_comes_only_when_thinking_is_on() -> None:
    ask = Ask(
        [{"role": "user", "content": "Hello"}],
        [],
        [],
        None,
        thinking=True,
        model="m",
        vision=True,
        seed=0,
        stubborn=False,
    )
    assert answer(ask).reasoning
    assert told("Hello") != ""


def test_what_the_conversation_says_is_recalled() -> None:
    assert told("My name is Bo Larsen.", "Good.", "What is my name?") == "My name is Bo Larsen."


def test_a_thousand_equal_requests_get_one_answer() -> None:
    data = picture(RED)
    assert len({told(("Describe it.", [data])) for _ in range(1000)}) == 1


@pytest.mark.parametrize(
    ("data", "parts"),
    [
        (b"%PDF-1.7\n1 0 obj <</Type /Page>> 2 0 obj <</Type /Page>> 3 0 obj <</Type /Pages>>", ("PDF", "pages: 2")),
        (b"The meeting is on Monday.", ("text", "The meeting is on Monday.")),
        (b"\xff\xfe\x00\x80", ("unknown", "4 bytes")),
    ],
)
def test_a_file_that_came_with_the_request_is_measured(data: bytes, parts: tuple[str, ...]) -> None:
    messages = [{"role": "user", "content": [{"type": "file"}, {"type": "text", "text": "What is in this file?"}]}]
    medium = Medium("file", 0, 0, None, None, data)
    text = answer(
        Ask(messages, [medium], [], None, thinking=False, model="m", vision=True, seed=0, stubborn=False)
    ).text
    assert all(part in text for part in parts)
