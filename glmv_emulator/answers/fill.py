"""Makes a value that is valid for a JSON Schema, and fills its properties by their names.

A property gets the first of these: a measurement with its name; a text in a picture that belongs to this name (next to
a label, in a column of a table or at a bar of a chart); the text after `name:` or `name=` in the newest user text (then
in tool results, then in earlier texts); the next quoted string or number of these texts; the smallest valid value. If
an object has required properties, its optional properties get only values that belong to their names. For a `pattern`
the candidates are a value with the name, quoted strings, words read in a picture, and some simple texts; if none
matches, the value does not match the pattern.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from glmv_emulator.answers.evidence import KIND, NAMED, Evidence
from glmv_emulator.answers.facts import Fact
from glmv_emulator.answers.schema import (
    DEEPEST,
    Document,
    TooMuch,
    item_schemas,
    join,
    matches,
    properties,
    required,
    types,
)
from glmv_emulator.eyes.words import to_figure

NOTHING = 0
MOST_ITEMS = 64
MOST_OPTIONAL = 100  # optional properties of one object that are considered
MOST_WORDS = 2000  # candidate words for a pattern
LONGEST_TEXT = 4000
_ANY_ORDER = ("string", "number", "integer", "boolean", "array", "object", "null")
# The smallest values that formats allow.
_FORMATS = {
    "date": "1970-01-01", "date-time": "1970-01-01T00:00:00Z", "time": "00:00:00Z", "email": "a@example.com", "uri": "https://example.com/",
    "url": "https://example.com/", "uuid": "00000000-0000-4000-8000-000000000000", "ipv4": "127.0.0.1", "ipv6": "::1",
    "hostname": "localhost", "uri-reference": "/", "duration": "PT0S", "json-pointer": "", "regex": "a", "byte": "",
}  # fmt: skip
# The last candidates for a pattern: letters and digits in common lengths, and the values of formats.
_CANDIDATES = (
    *(char * count for count in (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 32, 40, 64) for char in "aA0"),
    *_FORMATS.values(),
    *("#000000", "0.0", "0.0.0", "v0.0.0", "a1", "A1", "a_a", "a-a", "a.a", "a b", "00:00", "en-US", "/a", "+10000000"),
)  # fmt: skip

_Filled = tuple[Any, int]  # a value and how certain it is


class _Impossible(Exception):
    """There is no candidate that the schema allows."""


def fill(schema: Any, evidence: Evidence) -> Any:
    """A value that is valid for ``schema``. If there is none, patterns are ignored; if there is still none, {}."""
    schema = {} if schema is None else schema
    if isinstance(schema, dict) and schema.get("type") == "object" and not set(schema) - {"type", *_NO_PROPERTIES}:
        return evidence.everything()
    for patterns, source in ((True, evidence), (False, evidence), (False, Evidence())):
        source.begin()
        try:
            return _Filler(Document(schema, patterns=patterns), source).fill(schema, "", 0)[0]
        except (TooMuch, _Impossible, RecursionError):
            continue
    return {}


# Keywords that do not describe properties.
_NO_PROPERTIES = ("title", "description", "$schema", "additionalProperties")


class _Filler:
    def __init__(self, document: Document, evidence: Evidence) -> None:
        self.document = document
        self.evidence = evidence

    def fill(self, schema: Any, name: str, depth: int) -> _Filled:
        self.document.spend()
        if depth > DEEPEST:
            raise _Impossible
        flat = self.document.flat(schema)
        for value, strength in self._tries(flat, name, depth):
            if self.document.valid(value, schema):
                return value, strength
        raise _Impossible

    def _tries(self, flat: dict[str, Any], name: str, depth: int) -> Iterator[_Filled]:
        if "const" in flat:
            yield flat["const"], NOTHING
            return
        if isinstance(flat.get("enum"), list):
            choice = self.evidence.choice(flat["enum"], name)
            if choice is not None:
                yield choice, NAMED
            yield from ((option, NOTHING) for option in flat["enum"])
            return
        for key in ("anyOf", "oneOf"):
            if isinstance(flat.get(key), list):
                rest = {other: value for other, value in flat.items() if other != key}
                yield from self._branches(rest, flat[key], name, depth, alone=key == "oneOf")
                return
        yield from self._by_type(flat, name, depth)
        if "if" in flat:
            rest = {key: value for key, value in flat.items() if key not in ("if", "then", "else")}
            for branch in (join(rest, {"allOf": [flat["if"], flat.get("then", True)]}), join(rest, self._else(flat))):
                yield from self._whole(branch, name, depth)

    def _else(self, flat: dict[str, Any]) -> dict[str, Any]:
        return {"allOf": [flat.get("else", True)]}

    def _whole(self, schema: Any, name: str, depth: int) -> Iterator[_Filled]:
        try:
            yield self.fill(schema, name, depth + 1)
        except _Impossible:
            return

    def _branches(
        self, rest: dict[str, Any], branches: list[Any], name: str, depth: int, *, alone: bool
    ) -> Iterator[_Filled]:
        """The values of the branches, the most certain first. Of values without evidence, null comes first, then the
        others in the order of the schema."""
        candidates: list[tuple[int, int, Any]] = []
        for place, branch in enumerate(branches):
            schema = join(self.document.flat(branch), rest)
            if alone and (others := branches[:place] + branches[place + 1 :]):
                schema = join(schema, {"not": {"anyOf": others}})
            for value, strength in self._whole(schema, name, depth):
                is_bare_null = 1 if value is None and strength == NOTHING else 0
                candidates.append((-(strength if strength >= KIND else 0), place - 1000 * is_bare_null, value))
        for minus, _, value in sorted(candidates, key=lambda row: row[:2]):
            yield value, -minus

    def _by_type(self, flat: dict[str, Any], name: str, depth: int) -> Iterator[_Filled]:
        kinds = types(flat)
        if "null" in kinds and len(kinds) > 1:
            others = [kind for kind in kinds if kind != "null"]
            sure = [pair for kind in others for pair in self._of(kind, flat, name, depth) if pair[1] >= KIND]
            yield from sure
            yield None, NOTHING
            kinds = others
        if not kinds and name:
            yield from self.evidence.plain(name)
        for kind in kinds or self._likely(flat, name):
            yield from self._of(kind, flat, name, depth)
        if not kinds:
            anything: tuple[Any, ...] = ({}, [], None, 0, "", True)
            yield from ((value, NOTHING) for value in anything)

    def _likely(self, flat: dict[str, Any], name: str) -> tuple[str, ...]:
        return _ANY_ORDER if name and "not" not in flat else ()

    def _of(self, kind: str, flat: dict[str, Any], name: str, depth: int) -> Iterator[_Filled]:
        match kind:
            case "string":
                yield from self._string(flat, name)
            case "integer" | "number":
                yield from self._number(flat, name, whole=kind == "integer")
            case "boolean":
                yield from self.evidence.truth(name)
                if isinstance(flat.get("default"), bool):
                    yield flat["default"], NOTHING
                yield False, NOTHING
                yield True, NOTHING
            case "null":
                yield None, NOTHING
            case "array":
                yield from self._array(flat, name, depth)
            case "object":
                yield from self._object(flat, depth)
            case _:
                return

    def _hint(self, flat: dict[str, Any]) -> str:
        return " ".join(str(flat[key]) for key in ("title", "description") if isinstance(flat.get(key), str))

    def _string(self, flat: dict[str, Any], name: str) -> Iterator[_Filled]:
        form = str(flat.get("format", ""))
        low, high = _whole_number(flat.get("minLength"), 0), _whole_number(flat.get("maxLength"), LONGEST_TEXT)
        for value, strength in self.evidence.strings(name, self._hint(flat), form):
            text = str(value)[: min(high, LONGEST_TEXT)]
            if low <= len(text):
                yield text, strength
        if isinstance(pattern := flat.get("pattern"), str):
            words = (word for word, _ in zip(self.evidence.words(), range(MOST_WORDS), strict=False))
            fitting = (
                word for word in chain(words, _CANDIDATES) if low <= len(word) <= high and matches(pattern, word)
            )
            yield from ((word, NOTHING) for word in fitting)
        if form in _FORMATS:
            yield _FORMATS[form], NOTHING
        if isinstance(flat.get("default"), str):
            yield flat["default"], NOTHING
        yield "", NOTHING
        if low:
            yield "a" * min(low, 100_000), NOTHING
        yield from (("a", NOTHING), ("0", NOTHING))

    def _number(self, flat: dict[str, Any], name: str, *, whole: bool) -> Iterator[_Filled]:
        for value, strength in self.evidence.numbers(name, self._hint(flat)):
            yield (round(value) if whole else value), strength
        if isinstance(flat.get("default"), (int, float)):
            yield flat["default"], NOTHING
        yield from ((value, NOTHING) for value in _legal_numbers(flat, whole=whole))

    def _array(self, flat: dict[str, Any], name: str, depth: int) -> Iterator[_Filled]:
        first, rest = item_schemas(flat)
        low = _whole_number(flat.get("minItems"), 0)
        high = min(_whole_number(flat.get("maxItems"), MOST_ITEMS), MOST_ITEMS)
        if not first:
            if (rows := self._rows(rest, depth)) and low <= len(rows[:high]):
                yield rows[:high], NAMED
            for values, strength in self.evidence.lists(name):
                valid = [value for value in values if self.document.valid(value, rest)]
                if valid and len(valid) >= max(low, 1):
                    yield valid[:high], strength
        if isinstance(flat.get("default"), list):
            yield flat["default"], NOTHING
        if low == 0 and "contains" not in flat:
            yield [], NOTHING
        count = min(max(low, len(first) if low else 0), MOST_ITEMS)
        schemas = [*first, *([rest] * count)][:count]
        items = [self.fill(schema, name, depth + 1)[0] for schema in schemas]
        yield items, NOTHING
        if "contains" in flat:
            matching = [self.fill(flat["contains"], name, depth + 1)[0]] * min(
                _whole_number(flat.get("minContains"), 1), MOST_ITEMS
            )
            yield [*matching, *items[len(matching) :]], NOTHING
        if flat.get("uniqueItems") is True:
            yield _distinct(items, self.document, rest), NOTHING

    def _rows(self, item: Any, depth: int) -> list[Any]:
        """One object for each row of a table that was read, or for each medium that was measured."""
        fields = properties(flat := self.document.flat(item))
        if "object" not in types(flat) or not fields:
            return []
        page = self.evidence.page
        cells = page.rows(list(fields)) if page is not None else []
        if cells:
            return [filled for row in cells if (filled := self._row(item, row, depth)) is not None]
        rows = []
        for one in self.evidence.each:
            filled, strength = _Filler(self.document, one).fill(item, "", depth + 1)
            if strength == NAMED:
                rows.append(filled)
        return rows if len(rows) == len(self.evidence.each) else []

    def _row(self, item: Any, cells: dict[str, str], depth: int) -> Any | None:
        facts = []
        for name, cell in cells.items():
            figure = to_figure(cell) if re.fullmatch(r"\W{0,2}[\d.,\s]+\W{0,2}", cell) else None
            if figure is not None:
                facts.append(Fact.of(name, value=int(figure) if figure.is_integer() else figure))
            facts.append(Fact.of(name, value=cell))
        try:
            return _Filler(self.document, Evidence(facts=facts)).fill(item, "", depth + 1)[0]
        except _Impossible:
            return None

    def _object(self, flat: dict[str, Any], depth: int) -> Iterator[_Filled]:
        fields, required_names = properties(flat), required(flat)
        enough = NAMED if required_names else KIND
        result: dict[str, Any] = {}
        best = NOTHING
        optional = 0
        for name in [*fields, *(name for name in required_names if name not in fields)]:
            if name not in required_names:
                optional += 1
                if self.evidence.is_empty or optional > MOST_OPTIONAL:
                    continue
            schema = fields.get(name, flat.get("additionalProperties", True))
            if name in required_names:
                value, strength = self.fill(schema, name, depth + 1)
            else:
                try:
                    value, strength = self.fill(schema, name, depth + 1)
                except _Impossible:
                    continue
                if strength < enough:
                    continue
            result[name] = value
            best = max(best, strength)
            if strength > NOTHING and not isinstance(value, (dict, list)):
                self.evidence.use(value)
        yield result, best
        yield {name: value for name, value in result.items() if name in required_names}, best
        few = _whole_number(flat.get("minProperties"), 0)
        if len(result) < few:
            yield self._widened(flat, result, few, depth), best

    def _widened(self, flat: dict[str, Any], value: dict[str, Any], few: int, depth: int) -> dict[str, Any]:
        wide = dict(value)
        names = [*properties(flat), *(f"key{number}" for number in range(few))]
        for name in names:
            if len(wide) >= few:
                break
            if name not in wide:
                schema = properties(flat).get(name, flat.get("additionalProperties", True))
                try:
                    wide[name] = self.fill(schema, name, depth + 1)[0]
                except _Impossible:
                    continue
        return wide


def _whole_number(value: Any, otherwise: int) -> int:
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else otherwise


def _legal_numbers(flat: dict[str, Any], *, whole: bool) -> Iterator[int | float]:
    """Candidates for a number: first 0 and 1, then numbers close to the bounds."""

    def bound(key: str) -> float | None:
        value = flat.get(key)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    step = bound("multipleOf") or (1 if whole else 0)
    yield 0
    yield 1
    for low in (bound("minimum"), bound("exclusiveMinimum")):
        if low is None or not math.isfinite(low):
            continue
        if step:
            first = math.floor(low / step) * step
            yield from (_tidy(first + index * step, whole=whole) for index in range(3))
        yield from (_tidy(low, whole=whole), low + 1, low + 0.5, low + 1e-6)
    for high in (bound("maximum"), bound("exclusiveMaximum")):
        if high is None or not math.isfinite(high):
            continue
        if step:
            last = math.ceil(high / step) * step
            yield from (_tidy(last - index * step, whole=whole) for index in range(3))
        yield from (_tidy(high, whole=whole), high - 1, high - 0.5, high - 1e-6)
    low, high = bound("exclusiveMinimum") or bound("minimum"), bound("exclusiveMaximum") or bound("maximum")
    if low is not None and high is not None:
        yield (low + high) / 2
    if not whole:
        yield 0.5


def _tidy(value: float, *, whole: bool) -> int | float:
    return int(value) if whole and float(value).is_integer() else value


def _distinct(items: list[Any], document: Document, schema: Any) -> list[Any]:
    """Replaces repeated items, so that all items differ; returns fewer items if it finds no other valid values."""
    options: list[Any] = [*items, *range(len(items) + 1), *("abcdefghijklmnopqrstuvwxyz"), True, False, None]
    flat = document.flat(schema)
    options += flat["enum"] if isinstance(flat.get("enum"), list) else []
    result: list[Any] = []
    for value in options:
        if (
            len(result) < len(items)
            and document.valid(value, schema)
            and not any(value == one and type(value) is type(one) for one in result)
        ):
            result.append(value)
    return result
