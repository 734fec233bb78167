"""Which JSON an answer holds, and whether it fits a schema."""

from typing import Any

import pytest

from glmv.structured.schema import JSONStream, json_in, misfit


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', '{"a": 1}'),
        ("[1, 2]", "[1, 2]"),
        ('Look [here]: {"a": "}"} done', '{"a": "}"}'),
        ('```json\n{"a": {"b": []}}\n```', '{"a": {"b": []}}'),
        ("no json {at all", None),
        ("", None),
    ],
)
def test_json_is_found_wherever_it_stands(text: str, found: str | None) -> None:
    assert json_in(text) == found


def test_many_brackets_are_given_up_on() -> None:
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
def test_a_value_fits_or_the_place_is_named(value: Any, schema: Any, problem: str | None) -> None:
    found = misfit(value, schema)
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema: dict[str, Any] = {"$ref": "#"}
    assert misfit({}, schema) is None


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_the_json_of_a_stream_is_the_same_for_any_cut(size: int) -> None:
    text = 'So {well}: {"a": "x\\"}", "b": [1, {"c": 2}]} and {"more": 1}'
    stream = JSONStream()
    found = "".join(stream.feed(text[at : at + size]) for at in range(0, len(text), size))
    assert found == '{"a": "x\\"}", "b": [1, {"c": 2}]}'
    assert stream.ended
