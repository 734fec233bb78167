"""The last fitting JSON value of an answer is used, whatever surrounds it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, RootModel

from glmv import Completion
from glmv.structured.expected import JSONExpected
from glmv.structured.reading import candidates_in, json_in, shape_of
from glmv.structured.scanner import JSONStream


class Parcel(BaseModel):
    """A weighed parcel."""

    grams: int
    label: str | None = None


class Notes(BaseModel):
    """Every field may be missing."""

    author: str | None = None
    pages: int | None = None


SCHEMA = Parcel.model_json_schema()
NEED = JSONExpected(SCHEMA, Parcel)
BY_SCHEMA = JSONExpected(SCHEMA)
LOOSE = JSONExpected(Notes.model_json_schema(), Notes)
LISTS = JSONExpected({"type": "array", "items": {"type": "integer"}})
ANSWER = {"grams": 250, "label": "Tea"}
ANSWER_TEXT = json.dumps(ANSWER)
QUOTED = json.dumps(ANSWER_TEXT)

AROUND = {
    "a draft before": 'First I thought {"grams": 1, "label": "?"}. No: {}',
    "a format line": 'The form is {"grams": 0}.\n{}',
    "an empty object behind": "{} Nothing else to add, so {}.".replace("{}.", "{ }."),
    "a reference before": "On picture [2] stands {}",
    "a box of the picture before": "At [10, 20, 300, 400] I read {}",
    "an open bracket before": "Weights [see the scale: {}",
    "an open brace before": "{weight} is {{}",
    "a quotation mark before": 'The 5" parcel ["it is {}',
    "the schema before": "```json\n" + json.dumps(SCHEMA) + "\n```\n```json\n{}\n```",
    "the schema behind": "{}\nas asked for by " + json.dumps(SCHEMA),
    "two fences": '```json\n{"grams": "how many"}\n```\nthen\n```\n{}\n```',
    "a thought": '<think>maybe {"grams": 9}?</think>{}',
    "a thought without its opening mark": 'Maybe {"grams": 9}? </think> {}',
    "a list of one": "[{}]",
    "a list of a list of one": "[[{}]]",
    "the name of the class": '{"Parcel": {}}',
    "the name in other letters": '{"parcel": {}}',
    "a result": '{"result": {}}',
    "parameters of a call": '{"name": "Parcel", "parameters": {}}',
    "a schema with values": '{"type": "object", "properties": {}}',
    "one in the other": '{"answer": [{"data": {}}]}',
    "a misfit behind": '{}\nand not {"grams": "a quarter"}',
    "Chinese prose": "包裹【一】的重量：{}。完毕。",
}


def in_place(around: str, text: str = ANSWER_TEXT) -> str:
    head, _, tail = around.rpartition("{}") if "{}" in around else (around, "", "")
    return head + text + tail


@pytest.mark.parametrize("need", [NEED, BY_SCHEMA], ids=["pydantic", "schema"])
@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND)
def test_json_that_fits_is_found_inside_other_text(around: str, need: JSONExpected) -> None:
    value_text, problem = need.check_text(in_place(around))
    assert problem is None
    assert json.loads(value_text) == ANSWER


SPELLED = {
    "a trailing comma": '{"grams": 250, "label": "Tea",}',
    "a trailing comma and space": '{"grams": 250, "label": "Tea" ,\n }',
    "full-width punctuation": '｛"grams"：250，"label"："Tea"｝',
    "full-width quotation marks": "{“grams”：250，“label”：“Tea”}",
    "a string": QUOTED,
    "a string behind prose": f"The answer is {QUOTED}.",
    "a string in a wrapper": json.dumps({"result": ANSWER_TEXT}),
}


@pytest.mark.parametrize("text", SPELLED.values(), ids=SPELLED)
def test_json_with_trailing_commas_or_full_width_marks_or_in_a_string_is_read(text: str) -> None:
    value_text, problem = NEED.check_text(text)
    assert problem is None
    assert json.loads(value_text) == ANSWER


def test_contents_of_strings_inside_json_are_unchanged() -> None:
    text = '{"grams": 1, "label": "，：{[“a”]}，\\n</think> \\u00e9 \\ud83d\\ude00"}'
    assert NEED.check_text(f"So: {text}!") == (text, None)
    assert NEED.check_text('{"grams": 1, "label": "a\nb \\( c"}')[0] == '{"grams": 1, "label": "a\\nb \\\\( c"}'


REFUSED = {
    "nothing but the schema": json.dumps(SCHEMA),
    "a draft in a thought": '<think>{"grams": 1}</think>I cannot read it.',
    "a draft in a thought that nothing opened": '{"grams": 1}</think>I cannot read it.',
    "two in a list": '[{"grams": 1}, {"grams": 2}]',
    "a wrapper of another name": '{"example": {"grams": 1}}',
    "nothing but an empty object": "{}",
    "a word for the number": '{"grams": "much"}',
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
@pytest.mark.parametrize("need", [NEED, BY_SCHEMA], ids=["pydantic", "schema"])
def test_json_that_does_not_fit_is_reported_as_a_problem(text: str, need: JSONExpected) -> None:
    assert need.check_text(text)[1]


def test_an_empty_object_is_used_only_if_the_text_has_no_other_object() -> None:
    assert LOOSE.check_text('From {} I read {"pages": 3}.') == ('{"pages": 3}', None)
    assert LOOSE.check_text('I read {"pages": 3}, and from {} nothing.') == ('{"pages": 3}', None)
    assert LOOSE.check_text("There is nothing: {}") == ("{}", None)
    assert LOOSE.check_text('From {} I read {"pages": "many"}.')[1]
    assert LOOSE.check_text(json.dumps(Notes.model_json_schema()))[1] == "it has no JSON"
    assert LOOSE.check_text('{"Notes": {"author": "Ada"}}') == ('{"author": "Ada"}', None)


def test_a_bracketed_reference_in_prose_is_not_a_list() -> None:
    assert LISTS.check_text("[7, 9] as picture [1] shows") == ("[7, 9]", None)
    assert LISTS.check_text("[1]") == ("[1]", None)


def test_a_strict_class_refuses_a_number_in_quotes() -> None:
    class Strict(BaseModel, strict=True):
        grams: int

    text = '{"grams": "250"}'
    assert NEED.check_text(text) == (text, None)
    assert JSONExpected(Strict.model_json_schema(), Strict).check_text(text)[1]
    assert BY_SCHEMA.check_text(text)[1]


def test_a_truncated_answer_is_not_replaced_by_a_draft() -> None:
    text = 'A draft: {"grams": 1}. Now: {"grams": 250, "lab'
    assert NEED.check(Completion(text, finish_reason="length"))[1] == "it ends in the middle of its JSON"
    assert NEED.check(Completion('{"grams": 250} And so', finish_reason="length")) == ('{"grams": 250}', None)


prose = st.text(alphabet=st.sampled_from("ab 3,.:;'\"`“”：，{}[]()\\\n南-"), max_size=12)
drafts = st.sampled_from(
    [
        '{"grams": "?"}',
        '{"grams": 1}',
        "{}",
        "[1]",
        "[1, 2, 3, 4]",
        json.dumps(SCHEMA),
        '{"grams": 1, ',
        '[{"grams": 2}',
        "{a}",
    ]
)
marks = st.sampled_from([("", ""), ("```json\n", "\n```"), ("**", "**"), ("\n", "\n"), ("（", "）"), ("[", "]")])
values = st.fixed_dictionaries({"grams": st.integers(-5, 10**6), "label": st.none() | st.text(max_size=8)})


def stream_output(need: JSONExpected, text: str, cuts: list[int]) -> str:
    """The output of a stream whose text is split at these positions."""
    stream = need.stream()
    places = [0, *sorted({min(cut, len(text)) for cut in cuts}), len(text)]
    return "".join(stream.feed(text[a:b]) for a, b in pairwise(places))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(prose, drafts), max_size=4), values, marks, st.text(alphabet="ab 南.,!\n", max_size=9))
@example(['{"', "a"], ANSWER, ("", ""), "")
@example(['["'], ANSWER, ("[", "]"), "")
def test_an_object_that_fits_the_schema_is_found_after_any_text(
    before: list[str], value: dict[str, object], mark: tuple[str, str], after: str
) -> None:
    result = json.dumps(value, ensure_ascii=False)
    # A backslash or a quotation that is open to its last quote would make the object a part of a string.
    lead = "\n".join(before).replace("\\", "") + "\n"
    value_text, problem = NEED.check_text(f"{lead}{mark[0]}{result}{mark[1]}{after}")
    assert problem is None, lead
    assert json.loads(value_text) == value


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.one_of(prose, drafts, values.map(json.dumps)), max_size=5), st.lists(st.integers(0, 200), max_size=8)
)
def test_json_of_a_stream_in_any_pieces_equals_the_json_of_the_whole_text(parts: list[str], cuts: list[int]) -> None:
    text = "".join(parts)
    whole = stream_output(NEED, text, [])
    assert stream_output(NEED, text, cuts) == whole
    assert stream_output(NEED, text, [*range(200)]) == whole


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)), max_leaves=12))  # fmt: skip
def test_every_json_value_is_read_unchanged(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        if isinstance(value, dict | list):
            assert json_in(text) == text
            [only] = candidates_in(text)[0]
            assert (only.start, only.end) == (0, len(text))


def test_a_stream_shows_only_what_may_be_the_answer() -> None:
    text = f'[1] {{}} {json.dumps(SCHEMA)} ｛"grams"：250，｝ {{"grams": 7}}'
    assert stream_output(NEED, text, []) == '{"grams":250}'
    stream = NEED.stream()
    assert [stream.feed(piece) for piece in ('{"gra', 'ms": 2', "5", '0, "label": "Te', "a\\", 'n"', "}")] == [
        "",
        '{"grams": ',
        "",
        '250, "label": "Te',
        "a",
        '\\n"',
        "}",
    ]


HOSTILE: dict[str, Callable[[int], str]] = {
    "braces": lambda n: "{" * n,
    "brackets": lambda n: "[" * n,
    "keys": lambda n: '{"' * (n // 2),
    "nested keys": lambda n: '{"a":' * (n // 5),
    "empty objects": lambda n: "{}" * (n // 2),
    "quotations": lambda n: "[“" * (n // 2),
    "strings": lambda n: '["a" x ' * (n // 7),
    "escaped quotes": lambda n: '"{\\"' * (n // 4),
    "an open string": lambda n: '{"a": "' + "x" * n,
    "an open string of brackets": lambda n: '{"a": "' + "[" * n,
    "space": lambda n: "{" + " " * n,
    "thoughts": lambda n: "</think>{}" * (n // 10),
    "a number": lambda n: "[" + "1" * n,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_reading_json_from_an_answer_takes_linear_time(kind: str) -> None:
    def seconds(size: int) -> float:
        text = HOSTILE[kind](size)
        start = time.process_time()
        NEED.check_text(text)
        stream = JSONStream()
        for at in range(0, len(text), 100):
            stream.feed(text[at : at + 100])
        return time.process_time() - start

    small = min(seconds(10_000) for _ in range(3))
    assert seconds(80_000) < 0.2 + 24 * small  # 8 times the text; in quadratic time it takes 64 times as long


class Grade(RootModel[Literal["good", "bad"] | int]):
    """The condition of a part."""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"good"', "good"),
        (" 7\n", 7),
        ('```json\n"bad"\n```', "bad"),
        ("good", None),
        ('It is "good".', None),
        ("7 of 9", None),
    ],
)
@pytest.mark.parametrize("judge", [Grade, None], ids=["pydantic", "schema"])
def test_a_bare_word_is_the_answer_if_the_schema_allows_it(text: str, value: object, judge: Any) -> None:
    value_text, problem = JSONExpected(Grade.model_json_schema(), judge).check_text(text)
    assert (problem is None) == (value is not None)
    assert problem is not None or json.loads(value_text) == value


def test_a_bare_word_that_the_schema_does_not_allow_is_a_misfit() -> None:
    assert "good" in (JSONExpected(Grade.model_json_schema(), Grade).check_text('"rather good"')[1] or "")
    assert NEED.check_text('"A-7"')[1] == "it has no JSON"


WRAPPERS = (
    *("result", "results", "response", "answer", "output", "data", "json", "object", "parameters", "properties"),
    *("arguments", "args", "input", "value", "values", "items"),
)


@pytest.mark.parametrize("key", [*WRAPPERS, "Result", "out_put", "Parcel", "PARCEL", "weighed-parcel"])
def test_a_common_wrapper_key_around_the_answer_is_removed(key: str) -> None:
    need = JSONExpected(SCHEMA, Parcel, name="weighed_parcel")
    assert need.check_text(json.dumps({key: ANSWER})) == (ANSWER_TEXT, None)


@pytest.mark.parametrize(
    "beside",
    ["type", "title", "name", "description", "required", "additionalProperties", "$schema", "$defs", "id", "$id"],
)
def test_a_key_such_as_type_or_title_beside_a_wrapped_answer_is_ignored(beside: str) -> None:
    assert NEED.check_text(json.dumps({beside: "x", "result": ANSWER})) == (ANSWER_TEXT, None)
    assert NEED.check_text(json.dumps({"result": ANSWER, beside: {}})) == (ANSWER_TEXT, None)


@pytest.mark.parametrize(
    "text", [{"result": ANSWER, "other": 1}, {"result": ANSWER, "data": ANSWER}, {"type": ANSWER}, {"": ANSWER}]
)
def test_a_wrapper_with_an_unknown_key_or_with_several_keys_is_not_removed(text: object) -> None:
    assert NEED.check_text(json.dumps(text))[1]


def test_at_most_four_wrappers_are_removed() -> None:
    value: object = ANSWER
    for count in range(1, 6):
        value = {"result": value}
        assert (NEED.check_text(json.dumps(value))[1] is None) is (count < 5)


def test_without_a_schema_no_wrapper_is_removed() -> None:
    text = json.dumps({"result": ANSWER})
    assert JSONExpected(None).check_text(f"So: {text}") == (text, None)


def test_chinese_letters_of_an_unwrapped_answer_are_not_escaped() -> None:
    assert NEED.check_text('[{"grams": 1, "label": "茶"}]') == ('{"grams": 1, "label": "茶"}', None)


REFERRED = {"$ref": "#/$defs/Box", "$defs": {"Box": {"title": "Chest", "type": "object", "properties": {"grams": {}}}}}
LISTED = {"$ref": "#/$defs/All", "$defs": {"All": {"type": "array", "items": {"type": "integer"}}}}


@pytest.mark.parametrize(
    ("schema", "array", "names"),
    [
        (None, False, None),
        ({}, None, None),
        ({"type": "object"}, False, None),
        ({"type": "array"}, True, None),
        ({"type": "string"}, None, None),
        ({"properties": {"grams": {}}}, False, {"grams"}),
        (REFERRED, False, {"grams"}),
        (LISTED, True, None),
        ({"anyOf": [{"type": "array"}, {"type": "object"}]}, None, None),
        ({"anyOf": [{"type": "object"}, {"type": "object"}]}, False, None),
        ({"oneOf": [{"type": "array"}]}, True, None),
        ({"oneOf": [{"type": "array"}, {"type": "array"}]}, None, None),
        ({"anyOf": "broken"}, None, None),
        ({"anyOf": []}, None, None),
        ({"anyOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, False, {"a", "b"}),
        ({"oneOf": [{"properties": {"a": {}}}, 3]}, False, {"a"}),
        ({"allOf": [{"properties": {"a": {}}}, {"$ref": "#/$defs/B"}], "$defs": {"B": {"properties": {"b": {}}}}},
         False, {"a", "b"}),
        ({"allOf": "broken"}, None, None),
        ({"$ref": "#/$defs/none"}, None, None),
        ({"$ref": "#/$defs/a/b", "$defs": {"a": 3}}, None, None),
        ({"$ref": 3, "type": "array"}, True, None),
        ({"$ref": "https://example.org/schema", "type": "array"}, True, None),
        ({"allOf": [{"allOf": [{"allOf": [{"properties": {"a": {}}}]}]}]}, False, {"a"}),
        ({"allOf": [{"allOf": [{"allOf": [{"allOf": [{"properties": {"a": {}}}]}]}]}]}, None, None),
        ({"anyOf": [{"properties": {f"a{number}": {}}} for number in range(20)]}, False,
         {f"a{number}" for number in range(16)}),
    ],
)  # fmt: skip
def test_the_schema_tells_whether_a_list_is_expected_and_names_the_properties(
    schema: Any, array: bool | None, names: set[str] | None
) -> None:
    shape = shape_of(schema)
    assert (shape.array, shape.names) == (array, names)


def test_properties_and_wrappers_are_each_taken_from_both_the_schema_and_the_class() -> None:
    shape = shape_of(REFERRED, ["weight"], "Heavy-box")
    assert shape.names == {"grams", "weight"}
    assert shape.wrappers >= {"chest", "heavybox", "result"}
    assert shape_of({"title": "Box"}).wrappers >= {"box"}
    assert shape_of({"type": "object"}, ["weight"]).names is None


@pytest.mark.parametrize("schema", [SCHEMA, {**SCHEMA, "required": []}], ids=["required", "optional"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda schema: {"schema": schema},
        lambda schema: {"json_schema": schema},
        lambda schema: {"json_schema": {"name": "parcel", "schema": schema}},
        lambda schema: {"title": "Parcel", "properties": schema["properties"]},
        lambda schema: [schema],
    ],
)
def test_a_quoted_schema_in_any_wrapper_is_not_the_answer(wrap: Callable[[Any], Any], schema: dict[str, Any]) -> None:
    need = JSONExpected(schema)
    text = json.dumps(wrap(schema))
    assert need.check_text(f"{ANSWER_TEXT} as in {text}") == (ANSWER_TEXT, None)
    assert need.check_text(text)[1]


def test_an_object_with_a_key_such_as_json_schema_may_be_the_answer() -> None:
    need = JSONExpected({"type": "object", "properties": {"json_schema": {}}})
    assert need.check_text('{"json_schema": 3}') == ('{"json_schema": 3}', None)
    assert JSONExpected({"type": "object"}).check_text('{"properties": null}') == ('{"properties": null}', None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>[1]</think>[2]", "[2]"),
        ("<think>[1]<think>[2]</think>", None),
        ("<think>[1]<think>[2]</think>[3]", "[3]"),
        ("[1]<think>[2]</think>", "[1]"),
        ("[1]<think>[2]", "[1]"),
        ("<think>[1]", None),
        ("[1]</think>[2]", "[2]"),
        ("[1]</think>", None),
        ("[1]<think>[2]</think>[3]<think>[4]</think>", "[3]"),
        ("<think>[1]</think>[2]</think>", None),
        ("<think>a</think>[1]<think>b</think>[2]</think>", None),
        ("[1]</think>[2]<think>[3]</think>", "[2]"),
        ("[1] is before `</think>`", "[1]"),
        ('["</think>"]', '["</think>"]'),
        ('{"a": "<think>"} [2]', "[2]"),
    ],
)
def test_json_inside_reasoning_is_not_the_answer(text: str, expected: str | None) -> None:
    assert json_in(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('The answer is "{\\"a\\": 1}".', '{"a": 1}'),
        ('The answer is "  [\\"a\\"] ".', '["a"]'),
        ('The answer is "{\\"a\\": 1} or so".', None),
        ('The answer is "no \\"a\\"".', None),
        ('[2] and "{\\"a\\": 1}"', '{"a": 1}'),
        ('"{\\"a\\": 1}", or [2, 3]', "[2, 3]"),
        ('{"b": "{\\"a\\": 1}"}', '{"b": "{\\"a\\": 1}"}'),
        ('"{\\"a\\": \\"[1]\\"}"', '{"a": "[1]"}'),
    ],
)
def test_json_in_a_string_is_read_if_the_string_contains_only_json(text: str, expected: str | None) -> None:
    assert json_in(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[7, 9], see picture [1]", "[7, 9]"),
        ("[7, 9], see (a) [1]", "[7, 9]"),
        ("[7, 9], see [1] [2]", "[7, 9]"),
        ("[7, 9] see:\n[1]", "[1]"),
        ("[7, 9] or: [1]", "[1]"),
        ("[7, 9] or rather -  [ 1 ]", "[ 1 ]"),
        ("[7, 9], see picture  [ 1 ]", "[7, 9]"),
        ("see picture [1]", "[1]"),
        ("[7, 9] of 3 or [8, 9]", "[8, 9]"),
    ],
)
def test_a_bracketed_number_after_a_word_is_used_only_if_there_is_no_other_list(text: str, expected: str) -> None:
    assert LISTS.check_text(text) == (expected, None)


def test_the_problem_names_the_last_value_that_has_a_requested_property() -> None:
    for text in ('{"grams": "a"} {"grams": "b"} {}', '{"grams": "a"} {"grams": "b"} {"other": 1}', '{"grams": "b"}'):
        value_text, problem = BY_SCHEMA.check_text(text)
        assert value_text == '{"grams": "b"}'
        assert "grams has to be" in (problem or "")
    assert BY_SCHEMA.check_text('{} {"other": 1}')[0] == '{"other": 1}'


def test_the_problem_says_that_an_answer_is_empty_or_has_no_json() -> None:
    assert NEED.check_text("red") == ("red", "it has no JSON")
    assert NEED.check_text(" \n") == (" \n", "it is empty")
    assert NEED.check_text("") == ("", "it is empty")


@pytest.mark.parametrize("text", ['"good" {"a": 1}', "[7]", "{}", "```7```\n```8```"])
def test_a_bare_word_beside_json_is_not_the_answer(text: str) -> None:
    assert JSONExpected(Grade.model_json_schema(), Grade).check_text(text)[1]
