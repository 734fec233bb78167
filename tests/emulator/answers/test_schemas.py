"""For any JSON Schema, a valid value is written quickly and without network access."""

# ruff: noqa: E501 - a schema a line
from __future__ import annotations

import json
import random
import socket
import time
from typing import Any

import pytest

from glmv.structured.schema import misfit  # written apart from the emulator, so that it can judge it
from glmv_emulator.answers.evidence import Evidence
from glmv_emulator.answers.fill import fill

REQUEST = "Book 2 tickets from Paris to 'New York' for 12.50 on 2026-12-24, please."


def filled(schema: Any, request: str = REQUEST) -> Any:
    return fill(schema, Evidence([request]))


def obj(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties) if required is None else required}


STRING, INTEGER, NUMBER, TRUTH = ({"type": name} for name in ("string", "integer", "number", "boolean"))
NODE = {"type": "object", "properties": {"value": INTEGER, "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}},
        "required": ["value", "next"]}  # fmt: skip

BY_HAND: list[Any] = [
    {}, True, {"type": "null"}, {"type": ["string", "null"]}, {"type": "array"}, {"type": "object"},
    {"const": {"a": [1]}}, {"enum": ["x", 3, None]}, {"type": "integer", "minimum": 7, "maximum": 9},
    {"type": "integer", "exclusiveMinimum": 4, "multipleOf": 5}, {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.1},
    {"type": "number", "minimum": -3.5, "maximum": -2.5}, {"type": "integer", "multipleOf": 7, "minimum": 100},
    {"type": "string", "minLength": 40}, {"type": "string", "maxLength": 2},
    {"type": "string", "pattern": "^[a-z_]+$", "minLength": 6}, {"type": "string", "format": "date-time"},
    {"type": "array", "items": INTEGER, "minItems": 3, "uniqueItems": True}, {"type": "array", "items": STRING, "maxItems": 1},
    {"type": "array", "prefixItems": [INTEGER, STRING], "minItems": 2, "items": False},
    {"type": "array", "contains": {"const": 9}}, {"type": "array", "items": obj(a=INTEGER), "minItems": 2},
    obj(a=STRING, b=obj(c=INTEGER, d={"type": "array", "items": NUMBER})), obj(["b"], a=STRING),
    {"type": "object", "required": ["x"], "additionalProperties": INTEGER}, {"type": "object", "minProperties": 2},
    {"type": "object", "additionalProperties": False}, {"type": "object", "patternProperties": {"^s_": STRING}, "required": ["s_a"]},
    {"anyOf": [{"type": "integer", "minimum": 5}, {"type": "null"}]}, {"oneOf": [{"type": "number"}, {"type": "integer"}]},
    {"allOf": [obj(a=INTEGER), obj(b=STRING)]}, {"allOf": [{"minimum": 3}, {"maximum": 5}], "type": "integer"},
    {"type": "string", "not": {"enum": ["", "a"]}}, {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "type": "object"},
    {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}}, {"$defs": {"A/B": INTEGER}, "$ref": "#/$defs/A~1B"},
    {"definitions": {"s": {"type": "string", "minLength": 3}}, "properties": {"s": {"$ref": "#/definitions/s"}}, "required": ["s"]},
    {"type": "object", "properties": {"child": {"$ref": "#"}}}, {"type": "array", "items": {"$ref": "#"}},
    obj(unit={"enum": ["celsius", "fahrenheit"]}, city=STRING), obj(flag=TRUTH, choice={"anyOf": [STRING, INTEGER]}),
]  # fmt: skip


@pytest.mark.parametrize("schema", BY_HAND, ids=lambda schema: json.dumps(schema)[:60])
def test_a_schema_is_filled_with_a_value_that_is_valid_for_the_schema(schema: Any) -> None:
    assert misfit(filled(schema), schema) is None


def random_schema(chance: random.Random, depth: int = 0) -> dict[str, Any]:
    """A random schema that has a valid value."""
    kinds = ["string", "integer", "number", "boolean", "enum", "null"] + (
        ["object", "array", "anyOf", "allOf"] * 2 if depth < 3 else []
    )
    match chance.choice(kinds):
        case "string":
            low = chance.randint(0, 12)
            return {"type": "string", "minLength": low, "maxLength": low + chance.randint(0, 5)}
        case "integer":
            low = chance.randint(-50, 50)
            return {"type": "integer", "minimum": low, "exclusiveMaximum": low + chance.randint(1, 9)}
        case "number":
            low = chance.uniform(-5, 5)
            return {"type": "number", "exclusiveMinimum": low, "maximum": low + chance.random() + 0.01}
        case "enum":
            return {"enum": chance.sample(["red", "green", 1, 2.5, None, True], 3)}
        case "object":
            names = chance.sample(["name", "city", "price", "count", "is_open", "tags", "when"], chance.randint(1, 4))
            properties = {name: random_schema(chance, depth + 1) for name in names}
            needed = [name for name in names if chance.random() < 0.7]
            return {
                "type": "object",
                "properties": properties,
                "required": needed,
                "additionalProperties": chance.random() < 0.5,
            }
        case "array":
            return {"type": "array", "items": random_schema(chance, depth + 1), "minItems": chance.randint(0, 3)}
        case "anyOf":
            return {"anyOf": [random_schema(chance, depth + 1) for _ in range(chance.randint(1, 3))]}
        case "allOf":
            return {"allOf": [obj([f"k{i}"], **{f"k{i}": random_schema(chance, depth + 1)}) for i in range(2)]}
        case kind:
            return {"type": kind}


@pytest.mark.parametrize("part", range(10))
def test_three_hundred_random_schemas_get_valid_values(part: int) -> None:
    for seed in range(30 * part, 30 * part + 30):
        schema = random_schema(random.Random(seed))
        value = filled(schema)
        assert misfit(value, schema) is None, (seed, schema, value)


def test_schemas_are_filled_within_fifty_milliseconds() -> None:
    schemas = [random_schema(random.Random(seed)) for seed in range(60)]
    start = time.perf_counter()
    for schema in schemas:
        filled(schema)
    assert (time.perf_counter() - start) / len(schemas) < 0.05


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "required": ["n"], "properties": {"n": {"$ref": "#"}}},
        {"$ref": "#"}, {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}},
        {"type": "string", "pattern": "^(a+)+$"}, {"type": "string", "pattern": "(((a{900}){900}){900})"}, {"pattern": "("},
        {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(10_000)}},
        {"type": "array", "minItems": 10**9}, {"type": "string", "minLength": 10**9}, {"not": {}}, {"enum": []},
        {"$ref": "https://example.com/schema.json"}, {"type": "nonsense"}, {"minimum": "x", "required": "y", "properties": []},
        {"anyOf": [{"anyOf": [{"anyOf": [{"type": "integer"}] * 20}] * 20}] * 20},
    ],
    ids=lambda schema: json.dumps(schema)[:50],
)  # fmt: skip
def test_a_hostile_schema_is_filled_within_two_seconds_without_network_access(
    schema: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    start = time.perf_counter()
    assert len(json.dumps(filled(schema))) < 200_000
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("pattern", "request_", "expected"),
    [
        (r"^[A-Z]{2}-\d{4}$", "Order 'KX-2041', please.", "KX-2041"),
        (r"^[A-Z]{2}-\d{4}$", "code: KX-2041", "KX-2041"),
        (r"^[A-Z][a-z]+$", "Order it, please.", ""),
        (r"^\w+ \w+$", "For 'Ida Holm' only", "Ida Holm"),
        (r"^#[0-9a-f]{6}$", "Paint it.", "#000000"),
        (r"^[a-z]{4,}$", "", "aaaa"),
        (r"^\d{8}$", "", "00000000"),
    ],
)
def test_a_string_with_a_pattern_is_filled_from_the_request_or_with_a_simple_value(
    pattern: str, request_: str, expected: str
) -> None:
    assert filled(obj(code={"type": "string", "pattern": pattern}), request_) == {"code": expected}


def test_a_pattern_that_cannot_be_filled_does_not_affect_other_properties() -> None:
    schema = obj(code={"type": "string", "pattern": "^Q{7}[xyz]+!$"}, number=INTEGER)
    assert filled(schema, "number: 5") == {"code": "", "number": 5}


@pytest.mark.parametrize(
    ("schema", "request_", "expected"),
    [
        (obj(width=INTEGER), "width: 300", {"width": 300}),
        (obj(first_name=STRING, age=INTEGER), "first name: Ida Holm, age=41", {"first_name": "Ida Holm", "age": 41}),
        (obj(city=STRING, day=STRING), "city='New York' day=Monday please", {"city": "New York", "day": "Monday"}),
        (obj(城市=STRING), "城市：上海，谢谢", {"城市": "上海"}),
        (obj(a=INTEGER, b=INTEGER), "add 3 and 4", {"a": 3, "b": 4}),
        (obj(a=INTEGER, b=INTEGER), "b=3 and 4", {"a": 3, "b": 3}),
        (obj(origin=STRING, destination=STRING), "from 'Rome' to \"Milan\"", {"origin": "Rome", "destination": "Milan"}),
        (obj(email=STRING), "write to ann@example.com now", {"email": ""}),
        (obj(email={"type": "string", "format": "email"}), "write to ann@example.com now", {"email": "ann@example.com"}),
        (obj(when={"type": "string", "format": "date"}), "on 24.12.2026", {"when": "2026-12-24"}),
        (obj(price=NUMBER), "it costs 1,250.75 dollars", {"price": 1250.75}),
        (obj(names={"type": "array", "items": STRING}), "invite 'Ann' and 'Bob'", {"names": ["Ann", "Bob"]}),
        (obj(unit={"enum": ["celsius", "fahrenheit"]}), "unit: Fahrenheit", {"unit": "fahrenheit"}),
        (obj(unit={"enum": ["celsius", "fahrenheit"]}), "in fahrenheit", {"unit": "celsius"}),
        (obj(wet=TRUTH, cold=TRUTH), "cold: yes", {"wet": False, "cold": True}),
        (obj(["query"], query=STRING, limit=INTEGER), "find 10 'red shoes'", {"query": "red shoes"}),
        (obj(["query"], query=STRING, limit=INTEGER), "find 'red shoes', limit=10", {"query": "red shoes", "limit": 10}),
        (obj(city=STRING, count=INTEGER), "查一下上海的情况", {"city": "", "count": 0}),
    ],
)  # fmt: skip
def test_properties_are_filled_from_the_request_by_name_or_else_in_order(
    schema: Any, request_: str, expected: Any
) -> None:
    assert filled(schema, request_) == expected


def test_properties_without_a_fact_in_the_request_get_the_smallest_valid_values() -> None:
    schema = obj(
        merchant={"type": "string", "minLength": 1},
        total=NUMBER,
        count={"type": "integer", "minimum": 3},
        date={"type": "string", "format": "date"},
        tags={"type": "array", "items": STRING},
        note={"anyOf": [STRING, {"type": "null"}]},
    )
    expected = {"merchant": "a", "total": 0, "count": 3, "date": "1970-01-01", "tags": [], "note": None}
    assert filled(schema, "Fill in the receipt by ACME.") == expected
