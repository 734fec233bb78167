"""Selects the requested JSON from the text of an answer. No I/O; takes linear time.

A model that is asked for JSON may put it into prose, code fences or boxes; after drafts, examples, the schema itself or
reasoning; with trailing commas or full-width punctuation; in a list of one item, in an object whose key is the name of
the requested class, or as text inside a string. `read_json` finds the values and selects one:

- Each JSON object or list outside of reasoning is a candidate; only the last `MOST_CANDIDATES` count. A value inside
  another is not a candidate, except in a list that is never closed (a bracket of the prose).
- Each candidate is checked as it is, and then unwrapped from a list of one item, a string or an outer object.
- The last candidate that fits is the answer, in any fence or box, but never the schema itself. A value without any
  requested content (`{}`, or an object without any property of the schema) is the answer only if no other value has
  requested content. The same is true of a list if an object was requested, and of a reference such as "picture [1]".
- A string, a number or a word is the answer only if the schema requires neither an object nor a list, and if the text
  has no other content.
- If no value fits, the result is the problem of the last value that has requested content. If no value has requested
  content, the result is the problem of the last value.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from glmv.structured.scanner import MOST_CANDIDATES, Candidate, Scanner

# The most levels of wrapping that are removed.
_MOST_WRAPPERS = 4

# A string that may contain JSON. An escaped quotation mark does not open one, which also keeps the search linear.
_QUOTED = re.compile(r'(?<!\\)"\s{0,20}[{\[](?:[^"\\]|\\.)*"', re.DOTALL)
_THOUGHT = re.compile(r"(?<![`\"'“‘(（「『])</?think>")
_FENCE = re.compile(r"```[a-zA-Z]{0,12}(.*)```", re.DOTALL)
# A reference in the prose, as in "picture [1] shows".
_REFERENCE = re.compile(r"\[\s*\d+\s*\]")

# Keys of an object that wraps the value, in addition to the name of the class.
_WRAPPERS = frozenset({
    "result", "results", "response", "answer", "output", "data", "json", "object", "parameters", "properties",
    "arguments", "args", "input", "value", "values", "items",
})  # fmt: skip
# Other keys of such an object, as in a JSON Schema with values instead of types, or in a tool call as text.
_BESIDE = {"type", "title", "name", "description", "required", "additionalproperties", "schema", "defs", "id"}


@dataclass(frozen=True, slots=True)
class Shape:
    """The form of the requested value.

    Attributes:
        array: True for a list, False for an object; None if the schema requires neither.
        names: the properties that it may have; None for any.
        wrappers: keys under which an outer object may hold the value, such as the name of the class.
        schema: the JSON Schema in the prompt.
    """

    array: bool | None = False
    names: frozenset[str] | None = None
    wrappers: frozenset[str] = frozenset()
    schema: Mapping[str, Any] | None = None


def shape_of(schema: Mapping[str, Any] | None, names: Iterable[str] = (), name: str = "") -> Shape:
    """The form of the values that a JSON Schema describes.

    Args:
        schema: the schema, None for any object.
        names: more names that count as properties, such as the field names of a pydantic class whose
            JSON Schema has aliases instead.
        name: the name of the schema in the request; the schema itself may also have a title.
    """
    if schema is None:
        return Shape()
    properties = _properties(schema, schema)
    all_names = frozenset([*properties, *names]) if properties else None
    root = _resolved(schema, schema)
    kinds = [_resolved(each, schema).get("type") for each in _forms(root)]
    array = True if kinds == ["array"] else False if {*kinds} == {"object"} or all_names else None
    wrappers = map(_plain_word, map(str, (name, schema.get("title"), root.get("title"))))
    return Shape(array, all_names, _WRAPPERS.union(wrappers), schema)


def _forms(schema: Mapping[str, Any]) -> list[Any]:
    several = schema.get("anyOf") or schema.get("oneOf")
    return several if isinstance(several, list) and several else [schema]


def _resolved(schema: object, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema in `root` to which a schema's `$ref` points, {} if it is missing. Without a `$ref`, the schema."""
    if not isinstance(schema, Mapping):
        return {}
    ref = schema.get("$ref")
    if not (isinstance(ref, str) and ref.startswith("#/")):
        return schema
    resolved: object = root
    for name in ref[2:].split("/"):
        resolved = resolved.get(name) if isinstance(resolved, Mapping) else None
    return resolved if isinstance(resolved, Mapping) else {}


def _properties(schema: object, root: Mapping[str, Any], depth: int = 4) -> set[str]:
    """The names of an object's properties in the schema; an empty set if there are none."""
    resolved = _resolved(schema, root)
    if not depth:
        return set()
    own = resolved.get("properties")
    names = {str(name) for name in own} if isinstance(own, Mapping) else set()
    for key in ("anyOf", "oneOf", "allOf"):
        for each in (resolved.get(key) or [])[:16] if isinstance(resolved.get(key), list) else ():
            names |= _properties(each, root, depth - 1)
    return names


@dataclass(frozen=True, slots=True)
class JSONInText:
    """The JSON in an answer's text.

    Attributes:
        text: the requested JSON, or None.
        problem: why `text` is None, or None.
        misfit: JSON that was found and does not fit the request, or None.
        unfinished: whether the text ended inside a value.
    """

    text: str | None = None
    problem: str | None = None
    misfit: str | None = None
    unfinished: bool = False


_ANY = Shape(array=None)


def json_in(text: str) -> str | None:
    """The last JSON object or list in a text, or None; see `read_json`."""
    return read_json(text, lambda _: None, _ANY).text


def read_json(text: str, judge: Callable[[str], str | None], shape: Shape) -> JSONInText:
    """The requested JSON in an answer's text.

    Args:
        text: the whole answer.
        judge: JSON -> the problem with it, None if it fits.
        shape: the form of the requested value.

    Returns:
        The last value that fits, as JSON; valid JSON is returned exactly as in the text.
    """
    candidates, unfinished = candidates_in(text)
    empty: str | None = None  # the last value that fits, but has no requested content
    problem: str | None = None
    misfit: str | None = None
    serious = False  # whether the value with the problem has requested content
    for candidate in reversed(candidates):
        for form, value in _unwrapped(candidate.text, shape):
            has_some = _has_some(value, shape) and not _is_reference(text, candidate)
            wrong = judge(form)
            if wrong is None and has_some:
                return JSONInText(form, unfinished=unfinished)
            if wrong is None:
                empty = form if empty is None else empty
            elif problem is None or (has_some and not serious):
                problem, misfit, serious = wrong, form, has_some
    if empty is not None and not serious:
        return JSONInText(empty, unfinished=unfinished)
    if shape.array is None and not candidates and (word := _word_in(text)) is not None:
        wrong = judge(word)
        return JSONInText(word) if wrong is None else JSONInText(None, wrong, word)
    if problem is None:
        problem = "it has no JSON" if text.strip() else "it is empty"
    return JSONInText(None, problem, misfit, unfinished)


def _word_in(text: str) -> str | None:
    """The string, number or word in a text that contains nothing else (a fence around it is ignored). Else None."""
    fence = _FENCE.fullmatch(text.strip())
    word = (fence[1] if fence else text).strip()
    return word if word[:1] not in ("{", "[") and _value_of(word) is not None else None


def candidates_in(text: str) -> tuple[list[Candidate], bool]:
    """The JSON objects and lists of a text without those in reasoning, and whether the text ends inside one of them."""
    scanner = Scanner()
    scanner.feed(text)
    unfinished = scanner.finish()
    values = _with_quoted(text, list(scanner.values))
    return [*_outside(_thoughts(text, values), values)], unfinished


def _with_quoted(text: str, values: list[Candidate]) -> list[Candidate]:
    """The values of a text, and the values that are inside of its JSON strings."""
    quoted: deque[Candidate] = deque(maxlen=MOST_CANDIDATES)
    for string in _QUOTED.finditer(text) if '\\"' in text else ():
        if '\\"' in string[0] and not _is_inside(string.start(), values) and (inner := _json_of(string[0])):
            quoted.append(Candidate(string.start(), string.end(), inner))
    if not quoted:
        return values
    others = [each for each in values if not _is_inside(each.start, quoted)]
    return sorted([*others, *quoted], key=lambda each: each.start)[-MOST_CANDIDATES:]


def _json_of(string: str) -> str | None:
    """The JSON object or list that is the whole content of a JSON string, or None."""
    try:
        inner = json.loads(string, strict=False)
    except ValueError:
        return None
    return _json_alone(inner)


def _json_alone(text: str) -> str | None:
    scanner = Scanner()
    scanner.feed(text.strip())
    scanner.finish()
    alone = scanner.values and scanner.values[0].start == 0 and scanner.values[0].end == len(text.strip())
    return scanner.values[0].text if alone else None


def _is_inside(at: int, values: Iterable[Candidate]) -> bool:
    ordered = values if isinstance(values, list) else list(values)
    before = bisect_right(ordered, at, key=lambda each: each.start)
    return before > 0 and at < ordered[before - 1].end


def _thoughts(text: str, values: list[Candidate]) -> list[tuple[int, int]]:
    """The ranges of the text that `<think>` and `</think>` mark as reasoning. Tags inside a value do not count."""
    thoughts: list[tuple[int, int]] = []
    opened: int | None = None
    for mark in _THOUGHT.finditer(text) if "think>" in text else ():
        if _is_inside(mark.start(), values):
            continue
        if mark[0] == "<think>":
            opened = mark.start() if opened is None else opened
        else:
            # A `</think>` without `<think>`: all text before it is reasoning.
            if opened is None:
                thoughts.clear()
            thoughts.append((opened or 0, mark.end()))
            opened = None
    if opened is not None:
        thoughts.append((opened, len(text)))
    return thoughts


def _outside(thoughts: list[tuple[int, int]], values: list[Candidate]) -> Iterator[Candidate]:
    begins = [begin for begin, _ in thoughts]
    for each in values:
        before = bisect_right(begins, each.start)
        if not (before and each.start < thoughts[before - 1][1]):
            yield each


def _plain_word(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _unwrapped(text: str, shape: Shape) -> Iterator[tuple[str, Any]]:
    """Yields a value as it is, then without its outermost wrapper, and so on to the innermost value.

    A wrapper is a list of one item, a string or an outer object. A value that is the schema itself ends the search.
    """
    value = _value_of(text)
    if value is None or _is_schema(value, shape.schema):
        return
    yield text, value
    if shape.schema is None:
        return
    for _ in range(_MOST_WRAPPERS):
        value = _inner(value, shape.wrappers)
        if isinstance(value, str):
            value = _value_of(_json_alone(value) or "")
        if not isinstance(value, dict | list) or _is_schema(value, shape.schema):
            return
        yield json.dumps(value, ensure_ascii=False), value


def _value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # an empty text, or a number with too many digits for Python
        return None


def _inner(value: Any, wrappers: frozenset[str]) -> Any:
    match value:
        case [only]:
            return only
        case dict():
            keys = [key for key in value if _plain_word(key) not in _BESIDE]
            word = _plain_word(keys[0]) if len(keys) == 1 else ""
            return value[keys[0]] if word and word in wrappers else None
        case _:
            return None


def _is_schema(value: Any, schema: Mapping[str, Any] | None) -> bool:
    if not (isinstance(value, dict) and schema):
        return False
    inner = value.get("json_schema", value)
    described = inner.get("schema", inner) if isinstance(inner, dict) else inner
    if value == schema or described == schema:
        return True
    properties = schema.get("properties")
    return bool(properties) and value.get("properties") == properties


def _has_some(value: Any, shape: Shape) -> bool:
    """Whether a value has any requested content."""
    if isinstance(value, list):
        return bool(value) and shape.array is not False
    return bool(value) and shape.array is not True and (shape.names is None or not shape.names.isdisjoint(value))


def _is_reference(text: str, candidate: Candidate) -> bool:
    """Whether a list is a reference after words, as in "picture [1]"."""
    if not _REFERENCE.fullmatch(candidate.text):
        return False
    before = text[max(0, candidate.start - 20) : candidate.start].rpartition("\n")[2].rstrip(" ")
    return before != "" and (before[-1].isalnum() or before[-1] in ")]")
