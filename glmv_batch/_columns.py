"""Converts a JSON Schema to typed columns, and the JSON of an answer to values of these columns.

A value is stored as JSON text if its schema has no single Arrow type (several types, a reference to itself, an object
without properties), so nothing in an answer is lost.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

_INT64 = 2**63


class Column(NamedTuple):
    """A column's type in Arrow, and the function that converts a JSON value to it."""

    type: pa.DataType
    fit: Callable[[Any], Any]


def columns_of(schema: Mapping[str, Any]) -> dict[str, Column]:
    """Return one column for each property of the schema; a schema without properties gives one column, `value`.

    Args:
        schema: a JSON Schema; pydantic's forms (`$defs`, `anyOf` with null) are understood.
    """
    import pyarrow as pa

    reader = _Reader(pa, schema)
    properties = reader.properties()
    if properties is None:
        return {"value": reader.column(schema)}
    return {name: reader.column(inner) for name, inner in properties.items()}


def properties_of(schema: Mapping[str, Any]) -> list[str]:
    """The names of the columns that `columns_of` returns; works without pyarrow."""
    properties = _Reader(None, schema).properties()
    return ["value"] if properties is None else list(properties)


class _Reader:
    def __init__(self, pa: Any, schema: Mapping[str, Any]) -> None:
        self._pa = pa
        self._root = schema
        self._within: frozenset[str] = frozenset()

    def properties(self) -> Mapping[str, Any] | None:
        """The properties of an object's schema; None for an object without properties and for other schemas."""
        whole, _ = self.resolved(self._root)
        properties = whole.get("properties")
        is_object = whole.get("type", "object") == "object" and isinstance(properties, Mapping)
        return properties or None if is_object else None

    def column(self, schema: Any) -> Column:
        """The column for one schema. If the schema refers to itself, the column contains JSON text."""
        whole, followed = self.resolved(schema)
        outer = self._within
        if outer & followed:
            return self._text()
        self._within = outer | followed
        try:
            return self._column(whole)
        finally:
            self._within = outer

    def resolved(self, schema: Any) -> tuple[Mapping[str, Any], frozenset[str]]:
        """Follow the references of a schema; return the schema they lead to, and the references.

        If null is one of the schema's types or alternatives, it is removed, because every column can contain null.
        """
        followed: set[str] = set()
        while isinstance(schema, Mapping):
            kinds = schema.get("type")
            real = [one for one in kinds if one != "null"] if isinstance(kinds, list) else []
            if (reference := schema.get("$ref")) is not None:
                if reference in followed:
                    break
                followed.add(reference)
                schema = self._at(str(reference))
            elif len(choices := _choices(schema)) == 1:
                schema = choices[0]
            elif len(real) == 1:
                schema = {**schema, "type": real[0]}
            else:
                return schema, frozenset(followed)
        return {}, frozenset(followed)

    def _at(self, reference: str) -> Any:
        node: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            node = node.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(node, Mapping) else None
        return node

    def _column(self, schema: Mapping[str, Any]) -> Column:
        pa = self._pa
        match schema.get("type"):
            case "string":
                return Column(pa.string(), lambda value: text(value) if isinstance(value, str) else _json(value))
            case "integer":
                return Column(pa.int64(), _integer)
            case "number":
                return Column(pa.float64(), _float)
            case "boolean":
                return Column(pa.bool_(), lambda value: value if isinstance(value, bool) else None)
            case "array" if isinstance(schema.get("items"), Mapping):
                return self._list(self.column(schema["items"]))
            case "object" if isinstance(schema.get("properties"), Mapping) and schema["properties"]:
                return self._struct({name: self.column(inner) for name, inner in schema["properties"].items()})
            case _:
                return self._text()

    def _list(self, inner: Column) -> Column:
        return Column(
            self._pa.list_(inner.type),
            lambda value: [fitted(inner, one) for one in value] if isinstance(value, list) else None,
        )

    def _struct(self, fields: Mapping[str, Column]) -> Column:
        return Column(
            self._pa.struct([(name, column.type) for name, column in fields.items()]),
            lambda value: (
                {name: fitted(column, value.get(name)) for name, column in fields.items()}
                if isinstance(value, Mapping)
                else None
            ),
        )

    def _text(self) -> Column:
        return Column(self._pa.string(), _json)


def fitted(column: Column, value: Any) -> Any:
    """A JSON value -> the column's value; null stays null."""
    return None if value is None else column.fit(value)


def _choices(schema: Mapping[str, Any]) -> list[Any]:
    """The alternatives of a schema, without null."""
    choices = next((schema[word] for word in ("anyOf", "oneOf", "allOf") if schema.get(word)), ())
    return [one for one in choices if one != {"type": "null"}]


def text(value: str) -> str:
    """Replace each lone surrogate by "?". JSON can escape a lone surrogate, but UTF-8 cannot encode it."""
    return value.encode("utf-8", "replace").decode()


def _json(value: Any) -> str:
    return text(json.dumps(value, ensure_ascii=False))


def _float(value: Any) -> float | None:
    try:
        return float(value) if _number(value) else None
    except OverflowError:  # an integer of more than 308 digits
        return None


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _integer(value: Any) -> int | None:
    """The value as an int if it is a 64-bit integer, else None. As in JSON Schema, 3.0 is an integer."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return int(value) if _number(value) and whole and -_INT64 <= value < _INT64 else None
