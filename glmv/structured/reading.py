"""The JSON in an answer's text: what of it is the answer. Pure, and linear in the text.

A model that is asked for JSON writes it into prose, fences and boxes, behind drafts, examples, the schema itself and
thoughts, with trailing commas or full-width punctuation, in a list of one, in an object named like the class, or as
text inside a string. `json_in` finds the values and chooses one:

- Every JSON object or list that stands in the text outside of a thought is a candidate, the last `MOST_CANDIDATES` of
  them. A value inside another is none, but those in a list that does not end (a bracket of the prose) are.
- Each is judged as it stands, then as it is inside a list of one, a string, or an object that wraps it.
- The last one that fits is the answer, in whatever fence or box it stands. The schema itself never is. A value with
  nothing of what was asked for in it (`{}`, or an object without any property of the schema) is the answer only where
  no other value has anything of it; a list where an object was asked for, or a reference as in "picture [1]", likewise.
- A string, a number or a word is the answer only where the schema is of no object and no list, and nothing else is in
  the text.
- Where none fits there is none, and the problem of the last one says why.
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

# Values inside values that are looked into.
_MOST_WRAPPERS = 4

# A string that may hold JSON. A quotation mark that is escaped opens none, which also keeps the search linear.
_QUOTED = re.compile(r'(?<!\\)"\s{0,20}[{\[](?:[^"\\]|\\.)*"', re.DOTALL)
_THOUGHT = re.compile(r"(?<![`\"'“‘(（「『])</?think>")
_FENCE = re.compile(r"```[a-zA-Z]{0,12}(.*)```", re.DOTALL)
# A reference in the prose, as in "picture [1] shows".
_REFERENCE = re.compile(r"\[\s*\d+\s*\]")

# What an object around the value may call it, beside the name of the class.
_WRAPPERS = frozenset({
    "result", "results", "response", "answer", "output", "data", "json", "object", "parameters", "properties",
    "arguments", "args", "input", "value", "values", "items",
})  # fmt: skip
# What may stand beside it there, as in a JSON Schema with values in place of types, or in a tool call as text.
_BESIDE = {"type", "title", "name", "description", "required", "additionalproperties", "schema", "defs", "id"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value that was asked for looks like.

    Attributes:
        array: whether it is a list; None for either.
        names: properties that it may have, None where any may be.
        wrappers: what an object around the value may call it, as the name of the class.
        schema: the JSON Schema that the model was shown.
    """

    array: bool | None = False
    names: frozenset[str] | None = None
    wrappers: frozenset[str] = frozenset()
    schema: Mapping[str, Any] | None = None


def shape_of(schema: Mapping[str, Any] | None, names: Iterable[str] = (), name: str = "") -> Shape:
    """The shape of what a JSON Schema describes.

    Args:
        schema: the schema, None for any object.
        names: further names of its properties, as of the fields of a pydantic class.
        name: what the request calls it, beside the title of the schema.
    """
    if schema is None:
        return Shape()
    found = _properties(schema, schema)
    known = frozenset([*found, *names]) if found else None
    root = _resolved(schema, schema)
    kinds = [_resolved(each, schema).get("type") for each in _forms(root)]
    array = True if kinds == ["array"] else False if {*kinds} == {"object"} or known else None
    called = map(_plain_word, map(str, (name, schema.get("title"), root.get("title"))))
    return Shape(array, known, _WRAPPERS.union(called), schema)


def _forms(schema: Mapping[str, Any]) -> list[Any]:
    several = schema.get("anyOf") or schema.get("oneOf")
    return several if isinstance(several, list) and several else [schema]


def _resolved(schema: object, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema, or the one that its `$ref` names inside the root."""
    if not isinstance(schema, Mapping):
        return {}
    ref = schema.get("$ref")
    if not (isinstance(ref, str) and ref.startswith("#/")):
        return schema
    found: object = root
    for name in ref[2:].split("/"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _properties(schema: object, root: Mapping[str, Any], depth: int = 4) -> set[str]:
    """Names of properties that an object may have; none where it may have any."""
    found = _resolved(schema, root)
    if not depth:
        return set()
    own = found.get("properties")
    names = {str(name) for name in own} if isinstance(own, Mapping) else set()
    for key in ("anyOf", "oneOf", "allOf"):
        for each in (found.get(key) or [])[:16] if isinstance(found.get(key), list) else ():
            names |= _properties(each, root, depth - 1)
    return names


@dataclass(frozen=True, slots=True)
class FoundJSON:
    """What an answer's text holds.

    Attributes:
        text: the JSON that was asked for, or None.
        problem: why there is none.
        misfit: the JSON that the problem is of, or None.
        unfinished: whether the text ended inside a value.
    """

    text: str | None = None
    problem: str | None = None
    misfit: str | None = None
    unfinished: bool = False


_ANY = Shape(array=None)


def json_in(text: str) -> str | None:
    """The last JSON object or list in a text, None when there is none; see `read_json`."""
    return read_json(text, lambda _: None, _ANY).text


def read_json(text: str, judge: Callable[[str], str | None], shape: Shape) -> FoundJSON:
    """The JSON that was asked for in an answer's text.

    Args:
        text: the answer, whole.
        judge: JSON -> what is wrong with it, None when it fits.
        shape: what was asked for.

    Returns:
        The last value that fits, in JSON; where it stood as JSON, exactly as it stood.
    """
    candidates, unfinished = candidates_in(text)
    empty: str | None = None  # the last value that fits and has nothing of what was asked for
    problem: str | None = None
    misfit: str | None = None
    serious = False  # whether that is the problem of a value that has
    for candidate in reversed(candidates):
        for form, value in _unwrapped(candidate.text, shape):
            has_some = _has_some(value, shape) and not _is_reference(text, candidate)
            wrong = judge(form)
            if wrong is None and has_some:
                return FoundJSON(form, unfinished=unfinished)
            if wrong is None:
                empty = form if empty is None else empty
            elif problem is None or (has_some and not serious):
                problem, misfit, serious = wrong, form, has_some
    if empty is not None and not serious:
        return FoundJSON(empty, unfinished=unfinished)
    if shape.array is None and not candidates and (word := _word_in(text)) is not None:
        wrong = judge(word)
        return FoundJSON(word) if wrong is None else FoundJSON(None, wrong, word)
    if problem is None:
        problem = "it holds no JSON" if text.strip() else "it is empty"
    return FoundJSON(None, problem, misfit, unfinished)


def _word_in(text: str) -> str | None:
    """The string, number or word of JSON that a text, or its only fence, is and nothing else, or None."""
    found = _FENCE.fullmatch(text.strip())
    word = (found[1] if found else text).strip()
    return word if word[:1] not in ("{", "[") and _value_of(word) is not None else None


def candidates_in(text: str) -> tuple[list[Candidate], bool]:
    """The JSON objects and lists of a text outside of thoughts, in its order, and whether it ends inside one."""
    scanner = Scanner()
    scanner.feed(text)
    unfinished = scanner.finish()
    found = _with_quoted(text, list(scanner.found))
    return [*_outside(_thoughts(text, found), found)], unfinished


def _with_quoted(text: str, found: list[Candidate]) -> list[Candidate]:
    """The values, and those that stand as JSON in a string of JSON."""
    quoted: deque[Candidate] = deque(maxlen=MOST_CANDIDATES)
    for string in _QUOTED.finditer(text) if '\\"' in text else ():
        if '\\"' in string[0] and not _is_inside(string.start(), found) and (inner := _json_of(string[0])):
            quoted.append(Candidate(string.start(), string.end(), inner))
    if not quoted:
        return found
    others = [each for each in found if not _is_inside(each.start, quoted)]
    return sorted([*others, *quoted], key=lambda each: each.start)[-MOST_CANDIDATES:]


def _json_of(string: str) -> str | None:
    """The JSON value that a string of JSON holds and nothing else, or None."""
    try:
        inner = json.loads(string, strict=False)
    except ValueError:
        return None
    return _json_alone(inner)


def _json_alone(text: str) -> str | None:
    scanner = Scanner()
    scanner.feed(text.strip())
    scanner.finish()
    alone = scanner.found and scanner.found[0].start == 0 and scanner.found[0].end == len(text.strip())
    return scanner.found[0].text if alone else None


def _is_inside(at: int, values: Iterable[Candidate]) -> bool:
    ordered = values if isinstance(values, list) else list(values)
    before = bisect_right(ordered, at, key=lambda each: each.start)
    return before > 0 and at < ordered[before - 1].end


def _thoughts(text: str, found: list[Candidate]) -> list[tuple[int, int]]:
    """From where to where the text is a thought, by marks that are left in it and stand in no value."""
    thoughts: list[tuple[int, int]] = []
    opened: int | None = None
    for mark in _THOUGHT.finditer(text) if "think>" in text else ():
        if _is_inside(mark.start(), found):
            continue
        if mark[0] == "<think>":
            opened = mark.start() if opened is None else opened
        else:
            # A mark that nothing opened ends a thought that began with the text: all before it is one.
            if opened is None:
                thoughts.clear()
            thoughts.append((opened or 0, mark.end()))
            opened = None
    if opened is not None:
        thoughts.append((opened, len(text)))
    return thoughts


def _outside(thoughts: list[tuple[int, int]], found: list[Candidate]) -> Iterator[Candidate]:
    begins = [begin for begin, _ in thoughts]
    for each in found:
        before = bisect_right(begins, each.start)
        if not (before and each.start < thoughts[before - 1][1]):
            yield each


def _plain_word(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _unwrapped(text: str, shape: Shape) -> Iterator[tuple[str, Any]]:
    """A value, and what it holds in a list of one, a string or a wrapper, from the outside in; the schema is none."""
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
    except ValueError:  # nothing, or a number of more digits than Python reads
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
    told = inner.get("schema", inner) if isinstance(inner, dict) else inner
    if value == schema or told == schema:
        return True
    properties = schema.get("properties")
    return bool(properties) and value.get("properties") == properties


def _has_some(value: Any, shape: Shape) -> bool:
    """Whether a value has anything of what was asked for."""
    if isinstance(value, list):
        return bool(value) and shape.array is not False
    return bool(value) and shape.array is not True and (shape.names is None or not shape.names.isdisjoint(value))


def _is_reference(text: str, candidate: Candidate) -> bool:
    """Whether a list is a reference behind words, as in "picture [1]"."""
    if not _REFERENCE.fullmatch(candidate.text):
        return False
    before = text[max(0, candidate.start - 20) : candidate.start].rpartition("\n")[2].rstrip(" ")
    return before != "" and (before[-1].isalnum() or before[-1] in ")]")


def grows(before: object, after: object) -> bool:
    """Whether plain data is the data before with more in it, or the same.

    A key that was set stays set, lists, sets and strings only get longer, also inside; None may become anything, and
    other values stay as they are. Objects that a stream shows one after the other are compared by it.

    Args:
        before: data of dicts, lists, tuples, sets, strings and values.
        after: the same, later.
    """
    match before, after:
        case None, _:
            return True
        case dict(), dict():
            return all(key in after and grows(value, after[key]) for key, value in before.items())
        case list() | tuple(), list() | tuple():
            return len(before) <= len(after) and all(map(grows, before, after))
        case set() | frozenset(), set() | frozenset():
            return before <= after
        case str(), str():
            return after.startswith(before)
        case _:
            return bool(before == after)
