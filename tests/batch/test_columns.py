"""A JSON Schema gives typed columns; values that fit no type are kept as JSON text."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmv_batch._columns import columns_of, fitted

pa = pytest.importorskip("pyarrow")


class Node(pydantic.BaseModel):
    name: str
    next: Node | None = None


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "string"}, pa.string()),
        ({"type": "integer"}, pa.int64()),
        ({"type": "number"}, pa.float64()),
        ({"type": "boolean"}, pa.bool_()),
        ({"type": ["integer", "null"]}, pa.int64()),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, pa.float64()),
        ({"type": "array", "items": {"type": "string"}}, pa.list_(pa.string())),
        ({"type": "object", "properties": {"a": {"type": "boolean"}}}, pa.struct([("a", pa.bool_())])),
        ({"type": "array"}, pa.string()),
        ({"anyOf": [{"type": "number"}, {"type": "string"}]}, pa.string()),
        ({"$ref": "#/nowhere"}, pa.string()),
        (True, pa.string()),
    ],
)
def test_each_type_of_a_json_schema_has_a_type_of_column(schema: Any, kind: Any) -> None:
    assert columns_of({"type": "object", "properties": {"x": schema}})["x"].type == kind


def test_references_of_a_schema_are_followed_and_a_recursive_reference_becomes_text() -> None:
    columns = columns_of(Node.model_json_schema())
    assert columns["name"].type == pa.string()
    assert fitted(columns["next"], {"name": "b", "next": None}) is not None


def test_a_schema_that_refers_to_itself_becomes_a_text_column() -> None:
    assert columns_of({"properties": {"x": {"$ref": "#/properties/x"}}})["x"].type == pa.string()


def test_a_schema_that_is_not_an_object_becomes_one_column_named_value() -> None:
    [(name, column)] = columns_of({"type": "array", "items": {"type": "integer"}}).items()
    assert (name, fitted(column, [1, 2.0, None])) == ("value", [1, 2, None])


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1.5, float("inf"), True])
def test_a_value_that_does_not_fit_an_integer_column_becomes_null(value: float) -> None:
    assert fitted(columns_of({"type": "integer"})["value"], value) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=8,
)


@given(JSON)
def test_any_answer_fits_the_columns_of_its_schema(value: Any) -> None:
    columns = columns_of(
        {
            "properties": {
                "s": {"type": "string"},
                "i": {"type": "integer"},
                "f": {"type": "number"},
                "b": {"type": "boolean"},
                "l": {"type": "array", "items": {"type": "integer"}},
                "o": {"type": "object", "properties": {"x": {"type": "number"}}},
                "any": {},
            }
        }
    )
    for name, column in columns.items():
        pa.array([fitted(column, value)], type=column.type)
        assert (fitted(column, value) is not None) or value is None or name not in {"s", "any"}
