"""JSON out of a model's answer, and whether it fits a JSON Schema. Pure and bounded: no `$ref` leaves the schema.

It checks what an instruction can ask for (types, required and further properties, enums, ranges, lengths, items,
unions), not the whole of JSON Schema 2020-12; keywords that it does not know are not judged.
"""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Mapping
from typing import Any

_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
_STARTS = re.compile(r"[{\[]")
# An answer that begins JSON more often than this is no answer in JSON.
_MOST_STARTS = 50
_MOST_DEPTH = 40


def json_in(text: str) -> str | None:
    """The JSON object or list in an answer: bare, in a fence, or after prose; None when there is none."""
    bare = text.strip()
    decoder = json.JSONDecoder()
    for count, start in enumerate(_STARTS.finditer(bare)):
        if count >= _MOST_STARTS:
            return None
        try:
            _, end = decoder.raw_decode(bare, start.start())
        except (ValueError, RecursionError):
            continue
        return bare[start.start() : end]
    return None


def misfit(value: object, schema: object, root: object = None, path: str = "", depth: int = 0) -> str | None:
    """The first place where a value does not fit a schema, for people and models; None when it fits."""
    root = schema if root is None else root
    if not isinstance(schema, Mapping) or depth > _MOST_DEPTH:
        return None
    at = path or "the answer"
    if isinstance(ref := schema.get("$ref"), str):
        return misfit(value, _followed(ref, root), root, path, depth + 1)
    for name in ("anyOf", "oneOf"):
        if isinstance(choices := schema.get(name), list) and choices:
            found = [misfit(value, choice, root, path, depth + 1) for choice in choices]
            if all(found):
                return found[0] if len(found) == 1 else f"{at} fits none of the {len(found)} forms it may have"
    for part in schema.get("allOf") or ():
        if wrong := misfit(value, part, root, path, depth + 1):
            return wrong
    if "const" in schema and value != schema["const"]:
        return f"{at} has to be {json.dumps(schema['const'], ensure_ascii=False)}"
    if isinstance(allowed := schema.get("enum"), list) and value not in allowed:
        return f"{at} has to be one of {json.dumps(allowed, ensure_ascii=False)[:200]}"
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(kinds, list) and not any(_is(value, kind) for kind in kinds):
        return f"{at} has to be of type {' or '.join(map(str, kinds))}"
    match value:
        case dict():
            return _misfit_object(value, schema, root, path, depth)
        case list():
            return _misfit_list(value, schema, root, path, depth)
        case bool() | None:
            return None
        case int() | float():
            return _misfit_number(value, schema, at)
        case str():
            short, long = schema.get("minLength"), schema.get("maxLength")
            if isinstance(short, int) and len(value) < short:
                return f"{at} has to be at least {short} characters long"
            if isinstance(long, int) and len(value) > long:
                return f"{at} has to be at most {long} characters long"
            return None
        case _:
            return f"{at} is not JSON"


def _is(value: object, kind: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if isinstance(value, float) and kind == "integer":
        return value.is_integer()
    return isinstance(value, _TYPES.get(str(kind), (object,)))


def _misfit_object(value: dict[str, Any], schema: Mapping[str, Any], root: object, path: str, depth: int) -> str | None:
    known = schema.get("properties") or {}
    missing = [name for name in schema.get("required") or () if name not in value]
    if missing:
        return f"{path or 'the answer'} lacks {', '.join(map(repr, missing))}"
    if schema.get("additionalProperties") is False and (extra := [name for name in value if name not in known]):
        return f"{path or 'the answer'} has {extra[0]!r}, which is not asked for"
    further = schema.get("additionalProperties")
    for name, item in value.items():
        inner = known.get(name, further)
        if wrong := misfit(item, inner, root, f"{path}.{name}" if path else name, depth + 1):
            return wrong
    return None


def _misfit_list(value: list[Any], schema: Mapping[str, Any], root: object, path: str, depth: int) -> str | None:
    few, many = schema.get("minItems"), schema.get("maxItems")
    if isinstance(few, int) and len(value) < few:
        return f"{path or 'the answer'} has to have at least {few} items"
    if isinstance(many, int) and len(value) > many:
        return f"{path or 'the answer'} has to have at most {many} items"
    for index, item in enumerate(value):
        if wrong := misfit(item, schema.get("items"), root, f"{path}[{index}]", depth + 1):
            return wrong
    return None


_RANGES = (
    ("minimum", "at least", operator.ge),
    ("maximum", "at most", operator.le),
    ("exclusiveMinimum", "more than", operator.gt),
    ("exclusiveMaximum", "less than", operator.lt),
)


def _misfit_number(value: float, schema: Mapping[str, Any], at: str) -> str | None:
    for name, words, fits in _RANGES:
        bound = schema.get(name)
        if isinstance(bound, int | float) and not isinstance(bound, bool) and not fits(value, bound):
            return f"{at} has to be {words} {bound}"
    return None


def _followed(ref: str, root: object) -> object:
    """`#/$defs/Name` -> that part of the schema; anything else is not followed."""
    found = root
    for step in ref.removeprefix("#").strip("/").split("/"):
        if not step:
            continue
        if not isinstance(found, Mapping):
            return None
        found = found.get(step.replace("~1", "/").replace("~0", "~"))
    return found if ref.startswith("#") else None


class JSONStream:
    """Lets the JSON object of a streamed answer through as it comes, and nothing before or after it."""

    __slots__ = ("_depth", "_escaped", "_held", "_opens", "_quoted", "ended", "started")

    def __init__(self, *, array: bool = False) -> None:
        # What stands after the bracket tells JSON from brackets in prose.
        self._opens = re.compile(r"\[\s*[\[{\"\-\dtfn\]]" if array else r"\{\s*[\"}]")
        self._held = ""
        self._depth = 0
        self._quoted = self._escaped = False
        self.started = self.ended = False

    def feed(self, text: str) -> str:
        """More of the answer -> more of its JSON."""
        if self.ended:
            return ""
        if not self.started:
            text = self._held + text
            found = self._opens.search(text)
            if found is None:
                self._held = text
                return ""
            self.started = True
            text = text[found.start() :]
        for at, char in enumerate(text):
            if self._quoted:
                if self._escaped:
                    self._escaped = False
                elif char == "\\":
                    self._escaped = True
                elif char == '"':
                    self._quoted = False
            elif char == '"':
                self._quoted = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth == 0:
                    self.ended = True
                    return text[: at + 1]
        return text
