"""Reads a JSON Schema: follows local references, joins schemas that apply together, validates with `jsonschema`.

Nothing is fetched: a reference to another document counts as a schema that allows everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError
from pydantic_core import SchemaError, SchemaValidator, core_schema
from referencing import Registry

MOST_STEPS = 2_000  # schemas that are filled or flattened within one answer
DEEPEST = 24
# A pattern that only Python's `re` supports may take exponential time, so it is tried on short texts only.
LONGEST_FOR_PYTHON = 16


class TooMuch(Exception):
    """A schema needs more steps than the limit for one answer."""


@lru_cache(maxsize=512)
def _regex(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern))  # its time is linear in the text
    except SchemaError:
        return None


def matches(pattern: str, text: str) -> bool:
    """Whether a regular expression matches in a text; False if that cannot be decided in bounded time."""
    if (regex := _regex(pattern)) is not None:
        return regex.isinstance_python(text)
    try:
        return len(text) <= LONGEST_FOR_PYTHON and re.search(pattern, text) is not None
    except (re.error, RecursionError, OverflowError):
        return False


def _pattern(validator: Any, pattern: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(instance, str) and isinstance(pattern, str) and not matches(pattern, instance):
        yield ValidationError(pattern)


_STRICT = validators.extend(Draft202012Validator, {"pattern": _pattern})
_LOOSE = validators.extend(Draft202012Validator, {"pattern": None})


class Document:
    """A schema document. It resolves local references from its root, and counts the remaining steps.

    If ``patterns`` is false, `valid` ignores the keyword `pattern`.
    """

    def __init__(self, root: Any, *, patterns: bool = True) -> None:
        self.root = root if isinstance(root, (dict, bool)) else {}
        self._steps = MOST_STEPS
        # With an explicit registry, the library fetches nothing from the network.
        self._judge = (_STRICT if patterns else _LOOSE)(self.root, registry=Registry())

    def spend(self) -> None:
        """Count a step.

        Raises:
            TooMuch: no step is left.
        """
        self._steps -= 1
        if self._steps < 0:
            raise TooMuch

    def follow(self, reference: str) -> Any:
        """The target of a ``$ref``; ``True`` (allows anything) if it is in another document or missing."""
        if not reference.startswith("#"):
            return True
        here: Any = self.root
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

    def flat(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """A schema with its references and ``allOf`` merged into it; ``{"not": {}}`` if it allows no value."""
        self.spend()
        if schema is False:
            return {"not": {}}
        if not isinstance(schema, dict) or depth > DEEPEST:
            return {}
        flat = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
        if isinstance(reference := schema.get("$ref"), str):
            flat = join(self.flat(self.follow(reference), depth + 1), flat)
        for part in _list(schema.get("allOf")):
            flat = join(flat, self.flat(part, depth + 1))
        return flat

    def valid(self, value: Any, schema: Any) -> bool:
        """Whether a value is valid; an invalid schema allows everything."""
        try:
            valid: bool = self._judge.evolve(schema=schema).is_valid(value)
            return valid
        except RecursionError:
            raise TooMuch from None
        except Exception:  # noqa: BLE001 - whatever a broken keyword or reference makes the library raise
            return True


def join(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Join two schemas into one that requires both.

    The result has the narrower bounds and all properties. Other keywords that differ go into ``allOf``.
    """
    joined = dict(one)
    for key, value in other.items():
        if key not in joined or joined[key] == value:
            joined[key] = value
            continue
        old = joined[key]
        match key:
            case "required":
                joined[key] = list(dict.fromkeys([*_list(old), *_list(value)]))
            case "properties" | "patternProperties" | "$defs" | "definitions":
                both = dict(_dict(old))
                for name, part in _dict(value).items():
                    both[name] = {"allOf": [both[name], part]} if name in both else part
                joined[key] = both
            case "minimum" | "exclusiveMinimum" | "minLength" | "minItems" | "minProperties":
                joined[key] = max(old, value)
            case "maximum" | "exclusiveMaximum" | "maxLength" | "maxItems" | "maxProperties":
                joined[key] = min(old, value)
            case "enum":
                joined[key] = [item for item in _list(old) if item in _list(value)]
            case "type":
                both_names = _names(old), _names(value)
                types_of_both = [name for name in both_names[0] if name in both_names[1]]
                if "integer" not in types_of_both and any(
                    "number" in one and "integer" in other for one, other in (both_names, both_names[::-1])
                ):
                    types_of_both.append("integer")
                joined[key] = types_of_both
            case "items" | "additionalProperties" | "not":
                joined[key] = {"anyOf": [old, value]} if key == "not" else {"allOf": [old, value]}
            case "description" | "title" | "default" | "examples" | "format":
                joined[key] = value
            case _:
                joined["allOf"] = [*_list(joined.get("allOf")), {key: value}]
    return joined


_KEYWORDS_OF_TYPES = (
    ("object", ("properties", "required", "additionalProperties", "minProperties", "patternProperties")),
    ("array", ("items", "prefixItems", "minItems", "contains")),
    ("string", ("minLength", "maxLength", "pattern", "format")),
    ("number", ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")),
)


def types(schema: Mapping[str, Any]) -> list[str]:
    """The types that a schema names. If it names none: the type that its keywords imply, or an empty list."""
    if "type" in schema:
        return _names(schema["type"])
    return [kind for kind, keywords in _KEYWORDS_OF_TYPES if any(key in schema for key in keywords)][:1]


def required(schema: Mapping[str, Any]) -> list[str]:
    """The names of the required properties."""
    return [name for name in _list(schema.get("required")) if isinstance(name, str)]


def properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas under ``properties``, by the name of the property."""
    return _dict(schema.get("properties"))


def item_schemas(schema: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """The schemas of the first items by position, and the schema of all later items."""
    return _list(schema.get("prefixItems")), schema.get("items", True)


def _names(kind: Any) -> list[str]:
    return [kind] if isinstance(kind, str) else [name for name in _list(kind) if isinstance(name, str)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
