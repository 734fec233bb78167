"""The JSON of an answer is found in its text and validated against a schema."""

import socket
import subprocess
import sys
import time
from typing import Any

import pytest

import glmv
from glmv.structured.reading import json_in
from glmv.structured.scanner import JSONStream
from glmv.structured.schema import misfit


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("[1, 2]", "[1, 2]"),
        ('Look [here]: {"a": "}"} done', '{"a": "}"}'),
        ('```json\n{"a": {"b": []}}\n```', '{"a": {"b": []}}'),
        ("no json {at all", None),
        ("", None),
    ],
)
def test_json_is_found_anywhere_in_the_text(text: str, expected: str | None) -> None:
    assert json_in(text) == expected


def test_the_search_for_json_gives_up_after_many_brackets() -> None:
    assert json_in("[" * 10_000) is None


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        (1, {"type": "integer"}, None),
        (1.0, {"type": "integer"}, None),
        (1.5, {"type": "integer"}, "type integer"),
        (True, {"type": "integer"}, "type integer"),
        (None, {"type": ["string", "null"]}, None),
        ({"a": 1}, {"type": "object", "required": ["a", "b"]}, "lacks 'b'"),
        ({"a": 1}, {"properties": {}, "additionalProperties": False}, "'a'"),
        ({"a": {"b": "x"}}, {"properties": {"a": {"properties": {"b": {"type": "number"}}}}}, "a.b has to be"),
        ([1, "x"], {"items": {"type": "integer"}}, "[1] has to be"),
        ([], {"minItems": 1}, "at least 1"),
        ("red", {"enum": ["green", "blue"]}, "one of"),
        (3, {"exclusiveMaximum": 3}, "less than 3"),
        ("ab", {"minLength": 3}, "at least 3"),
        (None, {"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
        (3, {"anyOf": [{"type": "string"}, {"type": "null"}]}, "none of"),
        ({"n": 1}, {"$ref": "#/$defs/P", "$defs": {"P": {"required": ["m"]}}}, "lacks 'm'"),
        ({}, {"$ref": "https://example.org/schema"}, None),
    ],
)
def test_a_value_that_does_not_fit_is_reported_with_its_path(value: Any, schema: Any, problem: str | None) -> None:
    message = misfit(value, schema)
    assert (message is None) if problem is None else (message is not None and problem in message)


def test_validation_by_a_recursive_schema_ends() -> None:
    schema: dict[str, Any] = {"$ref": "#"}
    assert misfit({}, schema) is None


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_json_of_a_stream_is_the_same_for_any_split(size: int) -> None:
    text = 'So {well}: {"a": "x\\"}", "b": [1, {"c": 2}]} and {"more": 1}'
    stream = JSONStream()
    output = "".join(stream.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert output == '{"a": "x\\"}", "b": [1, {"c": 2}]}'
    assert stream.ended


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        ("abc", {"pattern": r"^\d+$"}, r'match the pattern "^\\d+$"'),
        (7, {"multipleOf": 2}, "a multiple of 2"),
        ([1, 1], {"uniqueItems": True}, "items that all differ"),
        (1, {"not": {"type": "integer"}}, "must not fit"),
        (1, {"oneOf": [{"type": "integer"}, {"minimum": 0}]}, "fits several of the 2 allowed forms"),
        (3, {"anyOf": [{"type": "string"}]}, "of type string"),
        (True, {"enum": [1]}, "one of [1]"),
        (5, {"const": 4}, "has to be 4"),
        (11, {"maximum": 10}, "at most 10"),
        (3, {"exclusiveMinimum": 3}, "more than 3"),
        ("abc", {"maxLength": 2}, "at most 2 characters"),
        ([1, 2], {"maxItems": 1}, "at most 1 items"),
        ([], {"type": "object"}, "of type object"),
        ({"s_a": 1}, {"patternProperties": {"^s_": {"type": "string"}}}, "s_a has to be"),
        ({"s_a": 1, "b": 2}, {"patternProperties": {"^s_": {}}, "additionalProperties": False}, "has 'b'"),
        ({"b": 2}, {"additionalProperties": {"type": "string"}}, "b has to be of type string"),
        ([1], {"prefixItems": [{"type": "string"}]}, "[0] has to be"),
        ({"a": 1}, {"dependentRequired": {"a": ["b"]}}, "dependentRequired"),
        ({"a": 1}, {"properties": {"a": False}}, "must not have the value 1"),
        (
            {"a": {"b": 1}, "c": 1},
            {"properties": {"a": {"required": ["x"]}}, "required": ["d"]},
            "the answer lacks 'd'",
        ),
        (
            1,
            {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True},
            "at least 1",
        ),
        (
            {},
            {"$schema": "http://json-schema.org/draft-03/schema#", "properties": {"n": {"required": True}}},
            "'n' is a required property",
        ),
    ],
)
def test_every_keyword_of_json_schema_is_validated(value: Any, schema: Any, problem: str) -> None:
    message = misfit(value, schema)
    assert message is not None
    assert problem in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"}, {"minimum": "x"}, {"pattern": "("}, {"properties": []}, {"$ref": "#/nowhere"},
        {"multipleOf": 0}, {"$schema": "https://example.org/draft"}, {"$dynamicRef": "https://example.org/a#b"},
        {"$schema": ["https://example.org/draft"]}, {"$schema": 7},
    ],
    ids=str,
)  # fmt: skip
def test_an_invalid_keyword_is_ignored_and_the_others_apply(schema: dict[str, Any]) -> None:
    assert misfit(1, schema) is None
    assert misfit("", {**schema, "minLength": 1}) == "the answer has to be at least 1 characters long"


def test_a_ref_that_leaves_the_schema_is_not_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    schema = {"$ref": "http://127.0.0.1:9/schema.json", "required": ["n"]}
    assert misfit({}, schema) == "the answer lacks 'n'"


def test_a_pattern_does_not_take_exponential_time() -> None:
    start = time.perf_counter()
    assert misfit("a" * 5_000 + "!", {"pattern": "^(a+)+$"}) is not None
    assert misfit({"a" * 5_000 + "!": 1}, {"patternProperties": {"^(a+)+$": False}, "additionalProperties": False})
    assert time.perf_counter() - start < 2


def test_without_jsonschema_an_error_names_the_extra_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    json_format = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
    glm = glmv.Client("test-id.test-secret", base_url="http://127.0.0.1:9/api/paas/v4")
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    for options in ({"response_format": json_format}, {"tools": [tool], "tool_choice": "required"}):
        with pytest.raises(glmv.InvalidRequestError, match=r"glmv\[schema\]"):
            glm.chat("Hi", **options)
        with pytest.raises(glmv.InvalidRequestError, match=r"glmv\[schema\]"):
            list(glm.stream("Hi", **options))
    with pytest.raises(glmv.InvalidRequestError, match=r"glmv\[schema\]"):
        misfit({"n": 1}, schema)


def test_importing_glmv_does_not_import_jsonschema() -> None:
    code = "import sys, glmv; [getattr(glmv, name) for name in glmv.__all__]; print('jsonschema' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("value", "schema", "problem"),
    [
        (5, {"const": 4}, "the answer has to be 4"),
        (5, {"enum": [1, 2]}, "the answer has to be one of [1, 2]"),
        ("红", {"enum": ["绿", "蓝"]}, 'the answer has to be one of ["绿", "蓝"]'),
        ({"n": 0}, {"properties": {"n": {"minimum": 1}}}, "n has to be at least 1"),
        ({"n": 9}, {"properties": {"n": {"maximum": 8}}}, "n has to be at most 8"),
        ([9], {"items": {"exclusiveMaximum": 9}}, "[0] has to be less than 9"),
        ([0], {"items": {"exclusiveMinimum": 0}}, "[0] has to be more than 0"),
        (3, {"multipleOf": 2}, "the answer has to be a multiple of 2"),
        ("a", {"minLength": 2}, "the answer has to be at least 2 characters long"),
        ("abc", {"maxLength": 2}, "the answer has to be at most 2 characters long"),
        ([], {"minItems": 1}, "the answer has to have at least 1 items"),
        ([1, 2], {"maxItems": 1}, "the answer has to have at most 1 items"),
        ([1, 1], {"uniqueItems": True}, "the answer has to have items that all differ"),
        (1, {"not": {"type": "integer"}}, 'the answer must not fit {"type": "integer"}'),
        ("x", {"pattern": "^y"}, 'the answer has to match the pattern "^y"'),
        (
            {"a": {"b": "x"}},
            {"properties": {"a": {"properties": {"b": {"type": "number"}}}}},
            "a.b has to be of type number",
        ),
        ("x", {"type": ["number", "null"]}, "the answer has to be of type number or null"),
        ({}, {"required": ["a", "b"]}, "the answer lacks 'a', 'b'"),
        (
            {"x": 1},
            {"type": "object", "additionalProperties": False},
            "the answer has 'x', which the schema does not allow",
        ),
        ({"x": 1}, {"properties": {"x": False}}, "the answer must not have the value 1"),
        ("x", {"anyOf": [{"type": "number"}]}, "the answer has to be of type number"),
        ("x", {"oneOf": [{"type": "number"}]}, "the answer has to be of type number"),
        ("x", {"anyOf": [{"type": "number"}, {"type": "null"}]}, "the answer fits none of the 2 allowed forms"),
        ("x", {"oneOf": [{"type": "number"}, {"type": "null"}]}, "the answer fits none of the 2 allowed forms"),
        (
            1,
            {"oneOf": [{"type": "number"}, {"minimum": 0}]},
            "the answer fits several of the 2 allowed forms, but has to fit exactly one",
        ),
        ([1], {"contains": {"type": "string"}}, 'the answer has to meet contains: {"type": "string"}'),
    ],
    ids=str,
)  # fmt: skip
def test_the_problem_of_a_misfit_names_what_was_expected_and_where(value: Any, schema: Any, problem: str) -> None:
    assert misfit(value, schema) == problem


def test_additional_properties_are_those_that_are_not_named_and_match_no_pattern() -> None:
    schema = {
        "properties": {"a": {}, "b": {}},
        "patternProperties": {"^x_": {}},
        "additionalProperties": {"type": "null"},
    }
    assert misfit({"a": 1, "x_1": 1, "b": 1, "other": None}, schema) is None
    assert misfit({"a": 1, "x_1": 1, "b": 1, "other": 1}, schema) == "other has to be of type null"
    assert (
        misfit({"x_1": 1, "other": 1}, {**schema, "additionalProperties": False})
        == "the answer has 'other', which the schema does not allow"
    )
    assert misfit([1], schema) is None
    assert misfit([1], {"additionalProperties": False}) is None


@pytest.mark.parametrize("schema", [True, None, "object"])
def test_a_schema_that_is_not_an_object_accepts_every_value(schema: object) -> None:
    assert misfit({"a": 1}, schema) is None


def test_pattern_properties_check_only_the_values_of_matching_names() -> None:
    schema = {"patternProperties": {"^n_": {"type": "integer"}, "^s_": {"type": "string"}}}
    assert misfit({"n_a": 1, "s_a": "x", "z": None}, schema) is None
    assert misfit({"z": None, "n_a": 1, "s_a": 2}, schema) == "s_a has to be of type string"
    assert misfit(["n_a"], schema) is None


def test_a_long_value_of_a_schema_is_shortened_in_the_message() -> None:
    problem = misfit(1, {"const": "x" * 1000})
    assert problem is not None
    assert problem.startswith('the answer has to be "xxx')
    assert len(problem) < 300
