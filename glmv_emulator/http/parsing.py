"""Parses JSON from clients into values that can be stored, shown and sent."""

from __future__ import annotations

import json
from typing import Any


def parsed_json(raw: bytes) -> Any:
    """Parse a JSON document. Raises ValueError or RecursionError if it is invalid or has NaN or infinities."""
    value = json.loads(raw, parse_constant=_no_constant)
    return _whole_characters(value) if b"\\ud" in raw or b"\\uD" in raw else value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _whole_characters(value: Any) -> Any:
    """A value with U+FFFD in place of halves of surrogate pairs, which UTF-8 cannot encode."""
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case dict():
            return {_whole_characters(name): _whole_characters(inner) for name, inner in value.items()}
        case list():
            return [_whole_characters(inner) for inner in value]
        case _:
            return value
