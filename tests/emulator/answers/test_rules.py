"""Without a script: a named tool is called, a schema is filled, and otherwise media are described."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from glmv_emulator import Ask, Medium, default_answer
from glmv_emulator.eyes import look_image

STRING, INTEGER = {"type": "string"}, {"type": "integer"}
OBJECT = {"type": "object"}


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


def picture(width: int = 120, height: int = 80) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (255, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def ask(*messages: str | dict[str, Any], system: str = "", pictures: int = 0, **more: Any) -> Ask:
    """Messages -> a request; a str is a user message, and the pictures belong to the first message."""
    spoken: list[dict[str, Any]] = [{"role": "system", "content": system}] if system else []
    first = len(spoken)
    spoken += [{"role": "user", "content": m} if isinstance(m, str) else m for m in messages]
    data = [picture(120 + 10 * number) for number in range(pictures)]
    media = [Medium("image", first, number, None, look_image(one), one) for number, one in enumerate(data)]
    return Ask(messages=spoken, media=media, **more)


def calls(*messages: str | dict[str, Any], **more: Any) -> list[tuple[str, Any]]:
    return [(call.name, call.arguments) for call in default_answer(ask(*messages, **more)).tool_calls]


def text(*messages: str | dict[str, Any], **more: Any) -> str:
    return default_answer(ask(*messages, **more)).text


def call_message(name: str, ident: str = "1") -> dict[str, Any]:
    function = {"name": name, "arguments": "{}"}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": ident, "type": "function", "function": function}]}


def result_message(result: str, ident: str = "1") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": ident, "content": result}


def text_message(words: str) -> dict[str, Any]:
    return {"role": "assistant", "content": words}


WEATHER = tool("get_weather", city=STRING)
CLOCK = tool("get_time", city=STRING)
BOTH = [WEATHER, CLOCK]


# Rule 1: tools


def test_a_tool_that_the_user_names_is_called() -> None:
    assert calls("Call get_weather for 'Paris'.", tools=BOTH) == [("get_weather", {"city": "Paris"})]


def test_the_tool_named_first_in_the_text_is_called() -> None:
    assert calls("Not get_time but get_weather, city: Oslo", tools=BOTH) == [("get_time", {"city": "Oslo"})]


def test_a_tool_named_in_the_last_paragraph_of_the_system_text_is_called() -> None:
    system = "You have get_time.\n\nNow call get_weather."
    assert calls("For 'Rome', please.", system=system, tools=BOTH) == [("get_weather", {"city": "Rome"})]


@pytest.mark.parametrize(
    "words",
    [
        "What is the weather in Rome?",
        "You must call a tool!",
        "get_weathers",
        "GET_WEATHER",
        "my-get_weather",
        "必须调用工具。",
    ],
)
def test_a_prompt_without_the_exact_name_of_a_tool_causes_no_tool_call(words: str) -> None:
    assert calls(words, system="get_weather is offered.\n\nBe brief.", tools=BOTH) == []


@pytest.mark.parametrize("words", ["api.get_weather", "get_weather.", "See get_weather.py", "请调用get_weather吧"])
def test_a_tool_name_next_to_a_dot_or_to_chinese_characters_is_recognized(words: str) -> None:
    assert [name for name, _ in calls(words, tools=BOTH)] == ["get_weather"]


def test_a_tool_name_inside_a_schema_does_not_call_the_tool() -> None:
    schema = json.dumps({"type": "object", "properties": {"get_weather": STRING}, "required": ["get_weather"]})
    assert json.loads(text(f"Fill this: {schema}", tools=BOTH)) == {"get_weather": ""}


def test_a_tool_is_not_called_again_when_the_messages_end_with_its_result() -> None:
    turn = ("Call get_weather.", call_message("get_weather"), result_message("sunny, 31 degrees"))
    reply = default_answer(ask(*turn, tools=BOTH))
    assert reply.tool_calls == ()
    assert reply.text == "The tools returned: get_weather: sunny, 31 degrees"


def test_a_tool_is_called_in_a_later_turn_only_if_that_turn_names_it() -> None:
    first = ("Call get_weather.", call_message("get_weather"), result_message("sunny"), text_message("It is sunny."))
    assert calls(*first, "And get_time?", tools=BOTH) == [("get_time", {"city": ""})]
    assert text(*first, "Thanks.", tools=BOTH).startswith("This is an emulator")


def test_a_message_with_a_picture_from_a_tool_does_not_call_that_tool_again() -> None:
    moved = {"role": "user", "content": "[image 1, from the tool get_time (call 1)]"}
    assert calls("Call get_time.", call_message("get_time"), result_message("see below"), moved, tools=BOTH) == []


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("required", ["get_weather"]),
        ({"type": "function", "function": {"name": "get_time"}}, ["get_time"]),
        ("auto", []),
        ("none", []),
        (None, []),
    ],
)
def test_tool_choice_of_the_request_is_obeyed(choice: Any, expected: list[str]) -> None:
    assert [name for name, _ in calls("Hello", tools=BOTH, tool_choice=choice)] == expected


def test_tool_choice_takes_precedence_over_tool_names_in_the_text() -> None:
    assert calls("Call get_time.", tools=BOTH, tool_choice="none") == []
    assert [name for name, _ in calls("Call get_time.", tools=BOTH, tool_choice="required")] == ["get_time"]


def test_arguments_of_a_tool_call_are_filled_with_measured_facts() -> None:
    resize = tool("resize", width=INTEGER, colour=STRING)
    assert calls("resize", tools=[resize], pictures=1) == [("resize", {"width": 120, "colour": "red"})]


# Rule 2: JSON

SCHEMA = {"title": "Picture", "type": "object", "properties": {"width": INTEGER, "main_colour": STRING},
          "required": ["width", "main_colour"]}  # fmt: skip
TRUTH = {"width": 120, "main_colour": "red"}


@pytest.mark.parametrize(
    "around",
    [
        "{}",
        "Do this: {}",
        "Output:\n```\n{}\n```\nThanks.",
        "结构如下：{}",
        '{{"type": "json_schema", "json_schema": {{"schema": {}}}}}',
    ],
)
def test_a_schema_in_the_text_is_filled(around: str) -> None:
    wanted = around.format(json.dumps(SCHEMA))
    assert json.loads(text(wanted, pictures=1)) == TRUTH
    assert json.loads(text("Hm.", system=wanted, pictures=1)) == TRUTH


@pytest.mark.parametrize(
    "response_format",
    [{"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}, {"type": "json_object"}],
)
def test_a_response_format_is_obeyed(response_format: Any) -> None:
    data = json.loads(text("Hm.", pictures=1, response_format=response_format))
    assert data.items() >= {"width": 120}.items()


def test_a_schema_without_properties_is_filled_with_all_measured_facts() -> None:
    one = json.loads(text(json.dumps(OBJECT), pictures=1))
    assert {name: one[name] for name in ("width", "height", "format", "color")} == {
        "width": 120, "height": 80, "format": "PNG", "color": "red",
    }  # fmt: skip
    assert [medium["width"] for medium in json.loads(text(json.dumps(OBJECT), pictures=2))["media"]] == [120, 130]


@pytest.mark.parametrize(
    "data",
    [
        {"type": "Feature", "properties": {"name": "x"}},
        {"type": "Feature", "properties": {}, "geometry": None},
        {"schema": {"type": "string"}, "rows": [1, 2]},
        {"type": "object", "title": "My house"},
        {"type": "object", "colour": "red"},
        {"properties": {"name": "x"}},
        {"properties": {"house": {"type": "cottage"}}},
        {"parameters": {"type": "object"}, "calls": 5},
        {"enum": 5, "rows": []},
        {"anyOf": ["a", "b"]},
        {"items": [1, 2], "total": 3},
    ],
)
def test_json_data_in_the_text_is_not_taken_for_a_schema(data: Any) -> None:
    assert text(f"Look: {json.dumps(data)}").startswith("This is an emulator")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "array"},
        {"title": "Name", "type": "string"},
        {"type": ["string", "null"]},
        {"enum": ["a", "b"]},
        {"type": "object", "additionalProperties": True},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"properties": {"a": True}},
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "string"}}},
    ],
)
def test_a_small_schema_in_the_text_is_recognized(schema: Any) -> None:
    json.loads(text(f"By this schema: {json.dumps(schema)}"))


def test_a_schema_without_properties_is_ignored_beside_a_schema_with_properties() -> None:
    assert json.loads(text("Hm.", system=f"{json.dumps(SCHEMA)} {json.dumps(OBJECT)}", pictures=1)) == TRUTH


@pytest.mark.parametrize(
    "words", ["Answer in JSON.", 'Give me {"width": 1}', "Which JSON keys are there?", "用 JSON 返回"]
)
def test_a_prompt_without_a_schema_gets_a_description_of_the_picture(words: str) -> None:
    assert text(words, pictures=1).startswith(("Picture 1 is", "图1是"))


def test_an_array_of_objects_has_one_entry_per_picture() -> None:
    item = {"type": "object", "properties": {"width": INTEGER, "format": STRING}, "required": ["width", "format"]}
    schema = {"type": "object", "properties": {"pictures": {"type": "array", "items": item}}, "required": ["pictures"]}
    data = json.loads(text(json.dumps(schema), pictures=3))
    assert data == {"pictures": [{"width": width, "format": "PNG"} for width in (120, 130, 140)]}


def test_a_property_with_the_name_answer_gets_the_text_of_the_answer() -> None:
    schema = {"type": "object", "properties": {"answer": STRING}, "required": ["answer"]}
    assert json.loads(text(json.dumps(schema), pictures=1))["answer"] == text("Hm.", pictures=1)


def test_the_result_of_a_tool_fills_a_property_of_the_json() -> None:
    schema = {"type": "object", "properties": {"degrees": INTEGER}, "required": ["degrees"]}
    turn = ("Hm.", call_message("get_weather"), result_message("sunny, degrees: 31"))
    assert json.loads(text(*turn, system=json.dumps(schema))) == {"degrees": 31}


def test_the_seed_decides_whether_json_is_sent_bare_or_in_a_code_fence_or_in_a_box() -> None:
    bare, fenced, boxed = (text(json.dumps(SCHEMA), pictures=1, seed=seed) for seed in range(3))
    assert json.loads(bare) == TRUTH
    assert json.loads(fenced.removeprefix("```json").removesuffix("```")) == TRUTH
    assert json.loads(boxed.removeprefix("<|begin_of_box|>").removesuffix("<|end_of_box|>")) == TRUTH


def test_json_for_a_response_format_is_bare_for_any_seed() -> None:
    wanted = {"type": "json_schema", "json_schema": {"schema": SCHEMA}}
    for seed in range(3):
        assert json.loads(text("Hm.", pictures=1, response_format=wanted, seed=seed, stubborn=True)) == TRUTH


def test_with_the_option_stubborn_json_is_sent_only_if_the_schema_is_repeated() -> None:
    wanted = json.dumps(SCHEMA)
    prose = text(wanted, pictures=1, stubborn=True)
    assert prose == text("Hm.", pictures=1)
    assert json.loads(text(wanted, text_message(prose), f"No. {wanted}", pictures=1, stubborn=True)) == TRUTH


def test_a_schema_of_an_earlier_turn_is_not_filled_again() -> None:
    reply = text(json.dumps(SCHEMA), text_message(json.dumps(TRUTH)), "How high is it?", pictures=1)
    assert reply.startswith("Picture 1 is a PNG of 120 x 80 pixels")


# Rules 3 and 4: words


def test_the_answer_to_plain_text_says_that_it_comes_from_an_emulator() -> None:
    assert text("Hello!").startswith("This is an emulator of GLM-4V")
    assert text("你好！").startswith("这是 GLM-4V 的模拟器")


def test_the_answer_does_not_depend_on_the_wording_of_the_question() -> None:
    questions = ("Describe it.", "How wide is it?", "Is it blue or red?", "Which is the larger one?", "My name is Bo.")
    assert len({text(question, pictures=2) for question in questions}) == 1


def test_an_answer_repeats_tool_results_before_measured_facts() -> None:
    reply = text("Hm.", call_message("get_time"), result_message("12:30"), pictures=1)
    assert reply.startswith("The tools returned: get_time: 12:30\nPicture 1 is a PNG")
    assert text("看图", call_message("get_time"), result_message("12:30")) == "工具返回：get_time: 12:30"


def test_an_answer_has_reasoning_only_if_thinking_is_on() -> None:
    assert default_answer(ask("Hello", thinking=True)).reasoning
    assert not default_answer(ask("Hello")).reasoning


@pytest.mark.parametrize(
    ("question", "pictures", "unseen", "reasoning"),
    [
        ("Hello", 0, 0, "There is nothing to measure."),
        ("Hm.", 1, 0, "I looked at 1 picture. I answer from measurements only."),
        ("Hm.", 2, 0, "I looked at 2 pictures. I answer from measurements only."),
        ("Hm.", 2, 1, "I looked at 2 pictures. I did not look at 1 video. I answer from measurements only."),
        ("Hm.", 0, 2, "I did not look at 2 videos. There is nothing to measure."),
        ("你好！", 0, 0, "没有可以测量的内容。"),
        ("看图", 1, 0, "我查看了 1 张图片。我只根据测量结果回答。"),
        ("看图", 2, 1, "我查看了 2 张图片。有 1 个视频没有查看。我只根据测量结果回答。"),
    ],
)
def test_the_reasoning_counts_the_opened_pictures_and_the_unopened_videos(
    question: str, pictures: int, unseen: int, reasoning: str
) -> None:
    request = ask(question, thinking=True, pictures=pictures)
    elsewhere = [Medium("video", 0, 9 + number, "https://example.com/a.mp4", None, None) for number in range(unseen)]
    assert default_answer(replace(request, media=[*request.media, *elsewhere])).reasoning == reasoning


def test_the_reasoning_counts_the_opened_pictures_and_the_opened_videos() -> None:
    request = ask("Hm.", thinking=True, pictures=1)
    video = Medium("video", 0, 9, None, None, b"a film")
    reply = default_answer(replace(request, media=[*request.media, video])).reasoning
    assert reply == "I looked at 1 picture and 1 video. I answer from measurements only."


def test_equal_requests_get_equal_answers() -> None:
    requests = [ask("get_time", tools=BOTH), ask(json.dumps(SCHEMA), pictures=1), ask("Hm.", pictures=2)]
    for request in requests:
        assert all(default_answer(request) == default_answer(request) for _ in range(50))
