"""Finds marked data in a text: names of tools, JSON Schemas, `name: value`, quoted strings, numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import lru_cache
from typing import Any, Literal

from glmv_emulator.eyes.words import words

Language = Literal["en", "zh"]

MOST_STARTS = 200  # positions of one text at which JSON is tried
MOST_TEXT = 20_000  # characters of one text that are searched for values
LONGEST_VALUE = 200

_CHINESE = re.compile(r"[一-鿿]")
_decoder = json.JSONDecoder()

_NUMBER = re.compile(r"(?<![\w.])[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d]|\.\d)")
_QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|(?<!\w)'([^'\n]{1,200})'(?!\w)|“([^”\n]{1,200})”|‘([^’\n]{1,200})’|「([^」\n]{1,200})」"
    r"|『([^』\n]{1,200})』|《([^》\n]{1,200})》|`([^`\n]{1,200})`"
)
FORMATS = {
    "email": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    "uri": re.compile(r"https?://[^\s\"'<>，。）)]+"),
    "date-time": re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?"),
    "date": re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{4}年\d{1,2}月\d{1,2}日"),
    "time": re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?\b"),
    "uuid": re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    "ipv4": re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    "url": re.compile(r"https?://[^\s\"'<>，。）)]+"),
}  # fmt: skip


def language_of(text: str) -> Language:
    """``"zh"`` when a text is mainly Chinese, else ``"en"``."""
    chinese = len(_CHINESE.findall(text))
    return "zh" if chinese and 2 * chinese >= len(re.findall(r"[A-Za-z]+", text)) else "en"


def named_in(text: str, names: Sequence[str]) -> str | None:
    """The name that comes first in a text, as a whole word and outside of JSON.

    A Latin letter, a digit, `_` or `-` next to a name makes it another word; a dot does not.
    """
    plain = without_json(text)
    matches = [
        (match.start(), name)
        for name in names
        if name and (match := re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", plain, re.ASCII))
    ]
    return min(matches)[1] if matches else None


def last_paragraph(text: str) -> str:
    """The last paragraph of a text without its JSON; blank lines separate paragraphs."""
    return next((part for part in reversed(re.split(r"\n\s*\n", without_json(text))) if part.strip()), "")


@lru_cache(maxsize=64)
def _json_in(text: str) -> tuple[tuple[int, int, str], ...]:
    """The outermost JSON objects and arrays of objects within a text: start, end, and the JSON."""
    spans = []
    position = 0
    for _ in range(MOST_STARTS):
        starts = [at for at in (text.find("{", position), text.find("[{", position)) if at >= 0]
        if not starts:
            break
        start = min(starts)
        try:
            _, end = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            position = start + 1
            continue
        spans.append((start, end, text[start:end]))
        position = end
    return tuple(spans)


def without_json(text: str) -> str:
    """The text without its JSON."""
    pieces, position = [], 0
    for start, end, _ in _json_in(text):
        pieces.append(text[position:start])
        position = end
    return "".join([*pieces, text[position:]])


ANY_OBJECT = {"type": "object"}


def schema_in(texts: Iterable[str]) -> dict[str, Any] | None:
    """The last JSON Schema in the first text that has one. `ANY_OBJECT` counts only if no text has another schema."""
    candidates = [as_schema(json.loads(value)) for text in texts for _, _, value in reversed(_json_in(text))]
    schemas = [schema for schema in candidates if schema is not None]
    return next((schema for schema in schemas if schema != ANY_OBJECT), schemas[0] if schemas else None)


_TYPES = {"string", "number", "integer", "boolean", "array", "object", "null"}
_NOTES = {"title", "description", "$schema", "$id", "$defs", "definitions", "default", "examples"}
_SHAPES = {
    "properties", "patternProperties", "propertyNames", "additionalProperties", "required", "minProperties",
    "maxProperties", "items", "prefixItems", "contains", "minItems", "maxItems", "uniqueItems", "enum", "const",
    "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
    "multipleOf", "anyOf", "oneOf", "allOf", "not", "if", "then", "else", "$ref",
}  # fmt: skip


def as_schema(value: Any) -> dict[str, Any] | None:
    """The JSON Schema in a value: the value itself, or the schema inside a `response_format` or a tool; else None.

    Ordinary data is not a schema: its `type` is not a JSON type, its `properties` are values, or it has other fields.
    """
    match value:
        case {"json_schema": {"schema": dict() as inner}, **rest} if set(rest) <= {"type"}:
            return as_schema(inner)
        case {"schema": dict() as inner, **rest} if set(rest) <= {"name", "strict", "description"}:
            return as_schema(inner)
        case {"type": "function", "function": {"parameters": dict() as inner}}:
            return as_schema(inner)
        case {"name": str(), "parameters": dict() as inner, **rest} if set(rest) <= {"strict", "description"}:
            return as_schema(inner)
        case dict() if _is_schema(value):
            return value
    return None


def _is_schema(value: dict[str, Any]) -> bool:
    if not _typed(value):
        return False
    fields = value.get("properties", {})
    if not isinstance(fields, dict) or not all(isinstance(one, bool) or _typed(one) for one in fields.values()):
        return False
    branches = [value[key] for key in ("anyOf", "oneOf", "allOf") if key in value]
    if not all(isinstance(branch, list) and all(map(_typed, branch)) for branch in branches):
        return False
    if fields or branches or isinstance(value.get("$ref"), str):
        return True
    keys = set(value) - {"type"}
    # Data may also have a type and a title. So a schema of type "object" needs another keyword, or must be alone.
    has_keywords = bool(keys & _SHAPES) or ("type" in value and (not keys or value["type"] != "object"))
    return has_keywords and keys <= _SHAPES | _NOTES


def _typed(schema: Any) -> bool:
    """Whether a possible schema has a valid `type` or none."""
    if not isinstance(schema, dict):
        return isinstance(schema, bool)
    kind = schema.get("type", "object")
    kinds = kind if isinstance(kind, list) else [kind]
    return bool(kinds) and all(isinstance(one, str) and one in _TYPES for one in kinds)


def labelled(text: str, name: str) -> Iterator[str]:
    """The values after `name:` or `name=`: a quoted string, or the text up to a comma or the end of the sentence.

    After `=`, a value without quotes is one word.
    """
    if not (parts := words(name)):
        return
    spelling = r"[\s_-]*".join(map(re.escape, parts))
    for match in re.finditer(
        rf"(?<![A-Za-z0-9_]){spelling}[\"'`]?(\s*[:：]\s*|\s*[=＝]\s*)(?=\S)", text, re.IGNORECASE
    ):
        rest = text[match.end() : match.end() + LONGEST_VALUE]
        if quoted := _QUOTED.match(rest):
            yield _group(quoted)
        elif match.group(1) in ("=", "＝"):
            yield re.split(r"[\s,;，；。]", rest, maxsplit=1)[0].rstrip(".!?)]}")
        else:
            value = re.split(r"[,;\n，；。！？](?!\d{3}\b)|[.!?](?:\s|$)", rest, maxsplit=1)[0].strip()
            if value:
                yield value


def quotations(text: str) -> list[str]:
    """The texts in quotation marks of any kind, in order."""
    return [_group(match) for match in _QUOTED.finditer(text)]


def _group(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group)


def numbers(text: str) -> list[int | float]:
    """The numbers written in digits, in order."""
    return [number for match in _NUMBER.finditer(text) if (number := to_number(match.group())) is not None]


def to_number(text: str) -> int | float | None:
    """Convert a text to a number; None if it is not a number. Thousands separators are accepted."""
    digits = text.strip().replace(",", "").replace("−", "-")
    if not re.fullmatch(r"[-+]?\d{1,300}(?:\.\d+)?", digits):
        return None
    return float(digits) if "." in digits else int(digits)


def of_format(text: str, form: str) -> list[str]:
    """The parts of a text that have the format ``form`` of `FORMATS`. Dates are converted to YYYY-MM-DD."""
    texts = [match.group() for match in FORMATS[form].finditer(text)]
    return [iso_date(one) or one for one in texts] if form == "date" else texts


def iso_date(text: str) -> str | None:
    """Convert a date to YYYY-MM-DD; None if it is not a date.

    If the year is last, the first number is the day ("3.4.2026", "14/3/2026"). With slashes, a first
    number of at most 12 is the month ("3/4/2026").
    """
    parts = re.findall(r"\d+", text)
    if len(parts) != 3:
        return None
    if len(parts[0]) == 4:
        year, month, day = parts
    elif "/" in text and int(parts[0]) <= 12:
        month, day, year = parts
    else:
        day, month, year = parts
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None
