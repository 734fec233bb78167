"""Converts the arguments of a tool call from text to values, as the function's JSON Schema says. No I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json


def value_of(text: str, schema: Mapping[str, Any], key: str) -> Any:
    """The value of an argument. In GLM's markup a string has no quotes, and any other value is JSON.

    Args:
        text: the text of the argument.
        schema: the JSON Schema of all arguments of the function.
        key: the name of the argument.
    """
    properties = schema.get("properties")
    kinds = _kinds(properties.get(key), schema) if isinstance(properties, Mapping) else set()
    if kinds == {"string"}:
        return text
    bare = text.strip()
    if "string" in kinds and not (bare == "null" and "null" in kinds) and kinds <= {"string", "null"}:
        return text
    try:
        return from_json(bare)
    except ValueError:
        return text


def _kinds(schema: object, root: Mapping[str, Any], depth: int = 6) -> set[str]:
    """The types that a JSON Schema inside `root` allows; an empty set if they cannot be determined."""
    if not isinstance(schema, Mapping) or not depth:
        return set()
    kind = schema.get("type")
    if isinstance(kind, str):
        return {kind}
    if isinstance(kind, list):
        return {str(each) for each in kind}
    values = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(values, list) and values:
        return {_TYPES.get(type(value), "object") for value in values}
    if isinstance(ref := schema.get("$ref"), str):
        return _kinds(_resolve(ref, root), root, depth - 1)
    for name in ("anyOf", "oneOf"):
        if isinstance(several := schema.get(name), list) and several:
            kinds = [_kinds(each, root, depth - 1) for each in several[:_WIDE]]
            return set().union(*kinds)
    if isinstance(several := schema.get("allOf"), list):
        kinds = [allowed for each in several[:_WIDE] if (allowed := _kinds(each, root, depth - 1))]
        return set.intersection(*kinds) if kinds else set()
    return set()


_WIDE = 16  # the most alternatives that are examined, so that a deep schema takes little time
_TYPES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", type(None): "null"}


def _resolve(ref: str, root: Mapping[str, Any]) -> object:
    """The schema inside `root` that a `$ref` points to, or None."""
    schema: object = root
    document, _, path = ref.partition("#")
    for name in path.split("/")[1:] if not document else ["#"]:
        schema = schema.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(schema, Mapping) else None
    return schema


def object_of(text: str) -> dict[str, Any] | None:
    """The JSON object in a text, or None if the text is anything else."""
    try:
        value = from_json(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
