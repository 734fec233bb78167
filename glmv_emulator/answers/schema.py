"""Reads JSON Schema: follows local references, joins what applies together, and judges whether a value is valid.

Nothing is ever fetched: a reference that leaves the document counts as a schema that allows everything.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from glmv_emulator.answers.pattern import is_risky

MOST_STEPS = 20_000  # schemas looked at within one answer
DEEPEST = 24


class TooMuch(Exception):
    """A schema asks for more work than an answer is worth."""


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int, float), "number": (int, float), "boolean": (bool,), "object": (dict,),
    "array": (list,), "null": (type(None),),
}  # fmt: skip


class Document:
    """One schema document: the root that local references point into, and the work that is left."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.steps = MOST_STEPS

    def spend(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise TooMuch

    def follow(self, reference: str) -> Any:
        """What a ``$ref`` points to; ``True`` (anything goes) when it leaves the document or misses."""
        if not reference.startswith("#"):
            return True
        here = self.root
        for step in reference.lstrip("#").strip("/").split("/"):
            key = step.replace("~1", "/").replace("~0", "~")
            if key == "":
                continue
            if isinstance(here, dict) and key in here:
                here = here[key]
            elif isinstance(here, list) and key.isdigit() and int(key) < len(here):
                here = here[int(key)]
            else:
                return True
        return here

    def flat(self, schema: Any) -> dict[str, Any]:
        """A schema with its references and ``allOf`` joined into it. ``{"not": {}}`` allows nothing."""
        return self._flat(schema, 0)

    def _flat(self, schema: Any, depth: int) -> dict[str, Any]:
        self.spend()
        if schema is False:
            return {"not": {}}
        if not isinstance(schema, dict) or depth > DEEPEST:
            return {}
        flat = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        if isinstance(reference := schema.get("$ref"), str):
            flat = join(self._flat(self.follow(reference), depth + 1), flat)
        for part in _list(schema.get("allOf")):
            flat = join(flat, self._flat(part, depth + 1))
        return flat

    def valid(self, value: Any, schema: Any) -> bool:
        """Whether a value is valid. Keywords that are unknown here are ignored, as the standard wants."""
        return self._valid(value, schema, 0)

    def _valid(self, value: Any, schema: Any, depth: int) -> bool:
        self.spend()
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            return True
        if depth > 4 * DEEPEST:
            raise TooMuch
        deeper = depth + 1
        if isinstance(reference := schema.get("$ref"), str) and not self._valid(value, self.follow(reference), deeper):
            return False
        if not (_right_type(value, schema) and self._joined(value, schema, deeper)):
            return False
        match value:
            case bool() | None:
                return True
            case str():
                return _right_string(value, schema)
            case int() | float():
                return _right_number(value, schema)
            case list():
                return self._right_array(value, schema, deeper)
            case dict():
                return self._right_object(value, schema, deeper)
            case _:
                return False

    def _joined(self, value: Any, schema: dict[str, Any], depth: int) -> bool:
        if not all(self._valid(value, part, depth) for part in _list(schema.get("allOf"))):
            return False
        if "anyOf" in schema and not any(self._valid(value, part, depth) for part in _list(schema["anyOf"])):
            return False
        if "oneOf" in schema and sum(self._valid(value, part, depth) for part in _list(schema["oneOf"])) != 1:
            return False
        if "not" in schema and self._valid(value, schema["not"], depth):
            return False
        if "if" in schema:
            branch = "then" if self._valid(value, schema["if"], depth) else "else"
            return self._valid(value, schema.get(branch, True), depth)
        return True

    def _right_array(self, value: list[Any], schema: dict[str, Any], depth: int) -> bool:
        if not _limit(schema, "minItems", 0) <= len(value) <= _limit(schema, "maxItems", math.inf):
            return False
        if schema.get("uniqueItems") is True and len({json.dumps(item, sort_keys=True) for item in value}) < len(value):
            return False
        first, rest = item_schemas(schema)
        for index, item in enumerate(value):
            if not self._valid(item, first[index] if index < len(first) else rest, depth):
                return False
        if "contains" in schema:
            hits = sum(self._valid(item, schema["contains"], depth) for item in value)
            return _limit(schema, "minContains", 1) <= hits <= _limit(schema, "maxContains", math.inf)
        return True

    def _right_object(self, value: dict[str, Any], schema: dict[str, Any], depth: int) -> bool:
        if not _limit(schema, "minProperties", 0) <= len(value) <= _limit(schema, "maxProperties", math.inf):
            return False
        if any(name not in value for name in required(schema)):
            return False
        known, patterns = properties(schema), _dict(schema.get("patternProperties"))
        for name, item in value.items():
            if name in known and not self._valid(item, known[name], depth):
                return False
            matching = [part for pattern, part in patterns.items() if _matches(pattern, name)]
            if not all(self._valid(item, part, depth) for part in matching):
                return False
            extra = schema.get("additionalProperties", True)
            if name not in known and not matching and not self._valid(item, extra, depth):
                return False
            if not self._valid(name, schema.get("propertyNames", True), depth):
                return False
        needs = _dict(schema.get("dependentRequired"))
        if any(name in value and not set(_list(others)) <= set(value) for name, others in needs.items()):
            return False
        return all(
            self._valid(value, part, depth)
            for name, part in _dict(schema.get("dependentSchemas")).items()
            if name in value
        )


def join(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Both schemas at once: the narrower bounds, all properties; what cannot be joined stays in ``allOf``."""
    joined = dict(one)
    for key, value in other.items():
        if key not in joined or joined[key] == value:
            joined[key] = value
            continue
        held = joined[key]
        match key:
            case "required":
                joined[key] = list(dict.fromkeys([*_list(held), *_list(value)]))
            case "properties" | "patternProperties" | "$defs" | "definitions":
                both = dict(_dict(held))
                for name, part in _dict(value).items():
                    both[name] = {"allOf": [both[name], part]} if name in both else part
                joined[key] = both
            case "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties":
                joined[key] = max(held, value)
            case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties":
                joined[key] = min(held, value)
            case "enum":
                joined[key] = [item for item in _list(held) if item in _list(value)]
            case "type":
                kept = [name for name in _names(held) if name in _names(value)]
                if "number" in _names(held) and "integer" in _names(value) and "integer" not in kept:
                    kept.append("integer")
                if "integer" in _names(held) and "number" in _names(value) and "integer" not in kept:
                    kept.append("integer")
                joined[key] = kept
            case "items" | "additionalProperties" | "not":
                joined[key] = {"anyOf": [held, value]} if key == "not" else {"allOf": [held, value]}
            case "description" | "title" | "default" | "examples" | "format":
                joined[key] = value
            case _:
                joined["allOf"] = [*_list(joined.get("allOf")), {key: value}]
    return joined


def types(schema: Mapping[str, Any]) -> list[str]:
    """The types a schema names, or those that its keywords speak of; empty when it says nothing."""
    if "type" in schema:
        return _names(schema["type"])
    if "properties" in schema or "required" in schema or "additionalProperties" in schema:
        return ["object"]
    if "items" in schema or "prefixItems" in schema or "minItems" in schema:
        return ["array"]
    if any(key in schema for key in ("minLength", "maxLength", "pattern", "format")):
        return ["string"]
    if any(key in schema for key in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")):
        return ["number"]
    return []


def required(schema: Mapping[str, Any]) -> list[str]:
    """The names of the properties that must be there."""
    return [name for name in _list(schema.get("required")) if isinstance(name, str)]


def properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas of the properties that are named."""
    return _dict(schema.get("properties"))


def item_schemas(schema: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """The schemas of the first items by place, and that of all others (draft 2020-12 and the older form)."""
    items = schema.get("items", True)
    if isinstance(items, list):
        return items, schema.get("additionalItems", True)
    return _list(schema.get("prefixItems")), items


def _names(kind: Any) -> list[str]:
    return [kind] if isinstance(kind, str) else [name for name in _list(kind) if isinstance(name, str)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _limit(schema: Mapping[str, Any], key: str, otherwise: float) -> float:
    value = schema.get(key)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True) or (
        isinstance(one, (int, float)) and isinstance(other, (int, float)) and one == other
        and isinstance(one, bool) == isinstance(other, bool)
    )  # fmt: skip


def _right_type(value: Any, schema: dict[str, Any]) -> bool:
    if "const" in schema and not _same(value, schema["const"]):
        return False
    if "enum" in schema and not any(_same(value, item) for item in _list(schema["enum"])):
        return False
    if "type" not in schema:
        return True
    for name in _names(schema["type"]):
        if not isinstance(value, _TYPES.get(name, ())):
            continue
        if isinstance(value, bool) and name in ("integer", "number"):
            continue
        if name != "integer" or not isinstance(value, float) or value.is_integer():
            return True
    return False


def _right_string(value: str, schema: dict[str, Any]) -> bool:
    if not _limit(schema, "minLength", 0) <= len(value) <= _limit(schema, "maxLength", math.inf):
        return False
    pattern = schema.get("pattern")
    return not isinstance(pattern, str) or _matches(pattern, value)


def _right_number(value: float, schema: dict[str, Any]) -> bool:
    low, high = _limit(schema, "minimum", -math.inf), _limit(schema, "maximum", math.inf)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if not low <= value <= high:
        return False
    # Draft 4 writes these two as booleans beside the bound.
    if (above is True and value == low) or (below is True and value == high):
        return False
    if value <= _limit(schema, "exclusiveMinimum", -math.inf) or value >= _limit(schema, "exclusiveMaximum", math.inf):
        return False
    step = _limit(schema, "multipleOf", 0)
    return step <= 0 or abs(value / step - round(value / step)) < 1e-9


@lru_cache(maxsize=512)
def _matches(pattern: str, value: str) -> bool:
    # A pattern that may take for ever is tried on short strings only.
    if is_risky(pattern) and len(value) > 16:
        return False
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return True
