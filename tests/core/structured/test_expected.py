"""Expected answers: what the model is asked for, which answers fit, and what is wrong with the others."""

from __future__ import annotations

import json
import sys
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import BaseModel

from glmv import Completion, InvalidRequestError, ToolCall
from glmv.structured.expected import AnyAnswer, JSONExpected, ToolCallExpected, correction

TOWN = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}


def tool(name: str, parameters: Any = None) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name} | ({"parameters": parameters} if parameters else {})}


WEATHER, CLOCK = tool("weather", TOWN), tool("clock")
SEARCH = {"type": "web_search", "web_search": {"enable": True}}
RIGHT, EMPTY, MISFIT = '{"town": "Jinan"}', "", '{"town": 3}'


class Weather(BaseModel):
    town: str


class Old:
    """A class with the interface of pydantic 1."""

    @classmethod
    def parse_raw(cls, text: str) -> None:
        if "Atlantis" in text:
            raise ValueError("it sank " + "z" * 2000)


def with_calls(*calls: tuple[str, str], finish_reason: str | None = "tool_calls") -> Completion:
    return Completion("So:", tool_calls=tuple(ToolCall("c", *each) for each in calls), finish_reason=finish_reason)


@pytest.mark.parametrize(
    ("calls", "problem"),
    [
        ([], "it calls no tool"),
        ([("weather", RIGHT)], None),
        ([("clock", EMPTY)], None),
        ([("clock", '{"any": "thing"}')], None),
        ([("moon", "{}")], "it calls 'moon', which is not one of weather, clock"),
        ([("weather", RIGHT), ("moon", "{}")], "it calls 'moon', which is not one of weather, clock"),
        ([("weather", EMPTY)], "in the arguments of weather, the answer lacks 'town'"),
        ([("clock", EMPTY), ("weather", EMPTY)], "in the arguments of weather, the answer lacks 'town'"),
        ([("clock", "[]")], "the arguments of clock are not a JSON object"),
    ],
)
def test_a_required_call_must_name_one_of_the_tools_and_fit_its_schema(
    calls: list[tuple[str, str]], problem: str | None
) -> None:
    assert ToolCallExpected([WEATHER, CLOCK, SEARCH], None).check(with_calls(*calls)) == ("So:", problem)


@pytest.mark.parametrize(
    ("calls", "reason", "problem"),
    [
        ([], "stop", "it calls no tool"),
        ([("weather", MISFIT)], "tool_calls", None),
        ([("weather", '{"town": ')], "tool_calls", None),
        ([("weather", '{"town": ')], "length", "its tool call is cut off"),
        ([("weather", '{"town": ')], None, "its tool call is cut off"),
        ([("weather", '{"town": ')], "model_context_window_exceeded", "its tool call is cut off"),
        ([("weather", RIGHT), ("weather", '{"town": ')], "length", "its tool call is cut off"),
        ([("weather", MISFIT)], "length", None),
        ([("clock", EMPTY)], "length", None),
        ([("moon", "{}")], "tool_calls", "it calls 'moon', which is not one of weather, clock"),
        ([("moon", "{}"), ("clock", "{}")], "tool_calls", None),
    ],
)
def test_arguments_are_checked_only_for_completeness_if_the_caller_checks_them(
    calls: list[tuple[str, str]], reason: str | None, problem: str | None
) -> None:
    expected = ToolCallExpected([WEATHER, CLOCK], None, judged=False)
    assert expected.check(with_calls(*calls, finish_reason=reason)) == ("So:", problem)
    assert not expected.by_schema


def test_a_class_that_is_passed_checks_tool_call_arguments_in_place_of_the_schema() -> None:
    expected = ToolCallExpected([tool("weather", {"type": "object", "required": ["moon"]})], "weather", model=Weather)
    assert expected.check(with_calls(("weather", RIGHT))) == ("So:", None)
    assert "town" in (expected.check(with_calls(("weather", EMPTY)))[1] or "")
    assert expected.check(with_calls(("weather", "[]")))[1] == "the arguments of weather are not a JSON object"


def test_a_class_of_pydantic_1_checks_the_arguments_and_its_error_is_shortened() -> None:
    expected = ToolCallExpected([WEATHER], "weather", model=Old)  # type: ignore[arg-type]  # another version's class
    assert expected.check(with_calls(("weather", MISFIT))) == ("So:", None)
    problem = expected.check(with_calls(("weather", '{"town": "Atlantis"}')))[1] or ""
    assert problem.startswith("in the arguments of weather, it sank zzz")
    assert len(problem) == len("in the arguments of weather, ") + 1000


def test_the_instruction_for_a_tool_call_names_only_tools_that_are_functions() -> None:
    nameless = {"type": "function", "function": {"name": ""}}
    both = ToolCallExpected([WEATHER, SEARCH, CLOCK, nameless], None)
    one = ToolCallExpected([WEATHER], "weather")
    assert both.instruction.startswith("Call one of the tools weather, clock now.")
    assert one.instruction.startswith("Call the tool weather now.")
    assert all(each.instruction.endswith(" and with nothing else.") for each in (both, one))


def test_jsonschema_is_needed_only_if_a_schema_checks_the_answer() -> None:
    assert ToolCallExpected([WEATHER, CLOCK], None).by_schema
    assert not ToolCallExpected([CLOCK], None).by_schema
    assert not ToolCallExpected([WEATHER], None, model=Weather).by_schema
    assert JSONExpected(TOWN).by_schema
    assert JSONExpected(TOWN, lambda _: None).by_schema
    assert not JSONExpected(TOWN, Weather).by_schema
    assert not JSONExpected(None).by_schema
    assert not AnyAnswer().by_schema


def test_a_tool_that_takes_any_arguments_is_checked_without_jsonschema(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    anything = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    for parameters in (anything, tool("weather")):
        expected = ToolCallExpected([parameters], None)
        assert expected.check(with_calls(("weather", RIGHT))) == ("So:", None)


@pytest.mark.parametrize(
    ("calls", "has"),
    [
        ([], False),
        ([("a", EMPTY)], True),
        ([("a", "[]")], False),
        ([("a", "{")], False),
        ([("a", "{}"), ("b", "{")], False),
    ],
)
def test_tool_calls_have_a_value_if_the_arguments_of_each_are_a_json_object(
    calls: list[tuple[str, str]], has: bool
) -> None:
    assert ToolCallExpected([WEATHER], None).has_value(with_calls(*calls)) is has


def test_any_answer_is_accepted_if_neither_json_nor_a_tool_call_is_expected() -> None:
    answer = Completion("red", finish_reason="length")
    assert (AnyAnswer().check(answer), AnyAnswer().has_value(answer), AnyAnswer().instruction) == (
        ("red", None),
        True,
        "",
    )


def test_the_instruction_for_json_quotes_the_schema_without_escaping_letters() -> None:
    instruction = JSONExpected({"type": "object", "title": "城市"}).instruction
    assert instruction.startswith("Reply with a single JSON value that conforms to the JSON Schema below")
    assert instruction.endswith('\n{"type": "object", "title": "城市"}')
    assert JSONExpected(None).instruction.startswith("Reply with a single JSON object and nothing else")


@pytest.mark.parametrize("schema", [TOWN, None])
def test_with_tools_the_instruction_for_json_allows_a_tool_call(schema: Any) -> None:
    alone, beside = JSONExpected(schema), JSONExpected(schema, beside_tools=True)
    assert beside.instruction == f"{alone.instruction} This holds for replies in which you call no tool."


def test_a_tool_call_is_accepted_instead_of_json() -> None:
    assert JSONExpected(TOWN).check(with_calls(("weather", EMPTY))) == ("So:", None)
    assert JSONExpected(TOWN).has_value(with_calls(("weather", EMPTY)))


@pytest.mark.parametrize(
    ("text", "has"), [("red", False), ("red {}", True), ('{"town": 3}', True), ('{"town": ', False)]
)
def test_a_text_has_a_value_if_it_contains_any_complete_json(text: str, has: bool) -> None:
    assert JSONExpected(TOWN).has_value(Completion(text)) is has


@pytest.mark.parametrize(
    ("text", "reason", "problem"),
    [
        ('{"town": "Ji', "length", "it ends in the middle of its JSON"),
        ('{"town": "Ji', None, "it ends in the middle of its JSON"),
        ('{"town": "Ji', "stop", "it has no JSON"),
        ("red", "length", "it has no JSON"),
    ],
)
def test_the_problem_says_whether_an_answer_was_cut_off_inside_its_json(
    text: str, reason: str | None, problem: str
) -> None:
    assert JSONExpected(TOWN).check(Completion(text, finish_reason=reason)) == (text, problem)


def test_a_check_function_gets_json_that_fits_the_schema_and_its_error_is_shortened() -> None:
    def check(text: str) -> None:
        if json.loads(text)["town"] != "Jinan":
            raise ValueError("z" * 2000)

    expected = JSONExpected(TOWN, check)
    assert expected.check_text(f"So: {RIGHT}") == (RIGHT, None)
    assert expected.check_text('{"town": "Rome"}') == ('{"town": "Rome"}', "z" * 1000)
    assert expected.check_text(f"So: {MISFIT}")[0] == MISFIT
    assert "type string" in (expected.check_text(MISFIT)[1] or "")


def test_any_callable_object_is_accepted_as_the_check_of_an_answer() -> None:
    check = Mock(side_effect=ValueError("it sank"))
    assert JSONExpected(TOWN, check).check_text(RIGHT) == (RIGHT, "it sank")
    check.assert_called_once_with(RIGHT)


def test_a_class_instead_of_the_schema_checks_the_json_of_an_answer() -> None:
    expected = JSONExpected({"type": "object", "required": ["moon"]}, Weather, name="weather")
    assert expected.check_text(RIGHT) == (RIGHT, None)
    assert expected.check_text(f'{{"weather": {RIGHT}}}') == (RIGHT, None)
    assert JSONExpected(TOWN).check_text(f'{{"weather": {RIGHT}}}')[1]


def test_a_stream_shows_lists_only_where_a_list_is_expected() -> None:
    assert JSONExpected({"type": "array"}).stream().feed("[7, 8]") == "[7, 8]"
    assert JSONExpected(TOWN).stream().feed('[7, 8] {"moon": 1} {"town": 2}') == '{"town": 2}'
    assert JSONExpected(None).stream().feed('{"moon": 1}') == '{"moon": 1}'


def test_json_with_a_field_of_the_class_is_found_even_if_the_schema_lacks_the_field() -> None:
    class Renamed(BaseModel):
        city: str = ""

    expected = JSONExpected(TOWN, Renamed)
    assert expected.check_text('{"city": "Jinan"} or {}') == ('{"city": "Jinan"}', None)


def test_the_correction_tells_the_model_the_problem_and_repeats_the_instruction() -> None:
    assert correction("it is red", "Be blue.") == "Your last reply cannot be used, since it is red. Be blue."


@pytest.mark.parametrize("value", [{1, 2}, b"x", object], ids=["set", "bytes", "class"])
def test_a_schema_that_json_cannot_express_is_refused(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match="The schema cannot be written as JSON: "):
        JSONExpected({"type": "object", "properties": {"a": {"enum": value}}})
