"""A plea for JSON in any words is met with JSON of the shape that was asked for."""

# ruff: noqa: E501 - a plea a line
from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from glmv_emulator.answers import Ask, Medium, answer
from glmv_emulator.eyes import look_image


def red_picture(width: int = 120, height: int = 80) -> bytes:
    held = io.BytesIO()
    Image.new("RGB", (width, height), (255, 0, 0)).save(held, "PNG")
    return held.getvalue()


def ask(*texts: str, system: str = "", pictures: int = 0, **changed: Any) -> Ask:
    messages: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    messages += [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]
    first = len(messages) - len(texts)
    data = [red_picture(120 + 10 * number) for number in range(pictures)]
    media = [Medium("image", first, number, None, look_image(one), one) for number, one in enumerate(data)]
    fields: dict[str, Any] = {"tools": [], "response_format": None, "thinking": False, "model": "glm-4.6v", "vision": True,
                              "seed": 0, "stubborn": False}  # fmt: skip
    return Ask(messages=messages, media=media, **{**fields, **changed})


SCHEMA = {"title": "Picture", "type": "object", "properties": {"width": {"type": "integer"}, "main_colour": {"type": "string"}},
          "required": ["width", "main_colour"]}  # fmt: skip
TRUTH = {"width": 120, "main_colour": "red"}


@pytest.mark.parametrize("place", ["system", "user"])
@pytest.mark.parametrize(
    "plea",
    [
        "Reply with a single JSON value that conforms to the JSON Schema below, and nothing else.\n{schema}",
        "Your answer has to be one object that satisfies this:\n{schema}\nNo prose around it.",
        "Answer in JSON. The shape is {schema}",
        "The output should be formatted as a JSON instance that conforms to the JSON schema below.\n```\n{schema}\n```",
        "请只输出符合以下 JSON Schema 的 JSON：{schema}",
        'Return data for {{"type": "json_schema", "json_schema": {{"name": "x", "schema": {schema}}}}}',
    ],
)
def test_a_schema_in_the_instruction_is_filled_with_measurements(plea: str, place: str) -> None:
    plea = plea.format(schema=json.dumps(SCHEMA))
    one = (
        ask("What is this?", system=plea, pictures=1)
        if place == "system"
        else ask(f"What is this?\n\n{plea}", pictures=1)
    )
    assert json.loads(answer(one).text) == TRUTH


@pytest.mark.parametrize(
    ("plea", "expected"),
    [
        ("Return JSON with the keys `width` and `main_colour`.", TRUTH),
        ("Answer as a JSON object with the fields width, main_colour.", TRUTH),
        ("用 JSON 返回，字段：`width`、`main_colour`。", TRUTH),
        ('Give me JSON like {"width": 1, "main_colour": "x"}', TRUTH),
        ('Output JSON shaped as {"size": {"width": "integer"}}', {"size": {"width": 120}}),
    ],
)
def test_fields_that_are_only_named_are_filled(plea: str, expected: Any) -> None:
    assert json.loads(answer(ask(f"Measure the picture. {plea}", pictures=1)).text) == expected


def test_an_array_of_objects_holds_one_for_each_picture() -> None:
    item = {
        "type": "object",
        "properties": {"width": {"type": "integer"}, "format": {"type": "string"}},
        "required": ["width", "format"],
    }
    schema = {"type": "object", "properties": {"pictures": {"type": "array", "items": item}}, "required": ["pictures"]}
    told = answer(ask(f"List them. Answer in JSON: {json.dumps(schema)}", pictures=3)).text
    assert json.loads(told) == {"pictures": [{"width": width, "format": "PNG"} for width in (120, 130, 140)]}


def test_values_without_evidence_are_the_smallest_valid_ones() -> None:
    schema = {
        "type": "object",
        "properties": {
            "merchant": {"type": "string", "minLength": 1},
            "total": {"type": "number"},
            "count": {"type": "integer", "minimum": 3},
            "date": {"type": "string", "format": "date"},
            "tags": {"type": "array", "items": {"type": "string"}},
            "width": {"type": "integer"},
        },
    }
    schema["required"] = list(schema["properties"])  # type: ignore[call-overload]  # it is a dict
    told = answer(ask(f"Fill in 5 fields of the Receipt by ACME. JSON Schema: {json.dumps(schema)}", pictures=1)).text
    assert json.loads(told) == {"merchant": "a", "total": 0, "count": 3, "date": "1970-01-01", "tags": [], "width": 120}


def test_a_field_for_the_answer_holds_the_answer() -> None:
    told = answer(ask("What colour is it? Reply in JSON with the key `answer`.", pictures=1)).text
    assert "red" in json.loads(told)["answer"]


def test_the_seed_decides_whether_it_is_bare_fenced_or_boxed() -> None:
    bare, fenced, boxed = (
        answer(ask("JSON with the keys `width`, please: give it.", pictures=1, seed=seed)).text for seed in range(3)
    )
    assert json.loads(bare) == {"width": 120}
    assert json.loads(fenced.removeprefix("```json").removesuffix("```")) == {"width": 120}
    assert json.loads(boxed.removeprefix("<|begin_of_box|>").removesuffix("<|end_of_box|>")) == {"width": 120}


def test_response_format_is_obeyed_by_text_models_only() -> None:
    wanted = {
        "type": "json_schema",
        "json_schema": {
            "name": "joke",
            "schema": {"type": "object", "properties": {"about": {"type": "string"}}, "required": ["about"]},
        },
    }
    text = answer(ask("A joke about cats, please.", response_format=wanted, vision=False)).text
    assert json.loads(text) == {"about": "cats"}
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer(ask("A joke about cats, please.", response_format=wanted, vision=True)).text)


@pytest.mark.parametrize("text", ["What is JSON?", "Tell me about the picture, but not as JSON.", "Hello"])
def test_nobody_asked_for_json(text: str) -> None:
    assert not answer(ask(text, pictures=1)).text.lstrip().startswith(("{", "`", "<"))


def test_a_stubborn_mind_answers_prose_until_it_is_shown_its_mistake() -> None:
    plea = f"What is this? Answer in JSON that fits {json.dumps(SCHEMA)}"
    prose = answer(ask(plea, pictures=1, stubborn=True)).text
    assert "{" not in prose
    repaired = answer(
        ask(plea, prose, "That cannot be used: it holds no JSON. Send the JSON alone.", pictures=1, stubborn=True)
    ).text
    assert json.loads(repaired) == TRUTH


def test_a_later_question_in_words_is_answered_in_words() -> None:
    plea = f"What is this? Answer in JSON that fits {json.dumps(SCHEMA)}"
    told = answer(ask(plea, json.dumps(TRUTH), "How high is it?", pictures=1)).text
    assert told == "Picture 1: it is 80 pixels high."
