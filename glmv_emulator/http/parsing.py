"""JSON as it comes from outside -> values that can be kept, shown and sent on."""

from __future__ import annotations

import json
from typing import Any


def parsed_json(raw: bytes) -> Any:
    """A JSON document. Raises ValueError or RecursionError for bytes that are none, and for NaN and infinities."""
    value = json.loads(raw, parse_constant=_no_constant)
    return _whole_characters(value) if b"\\ud" in raw or b"\\uD" in raw else value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def _whole_characters(value: Any) -> Any:
    """A value in which halves of surrogate pairs are U+FFFD: no text that is sent or shown can hold them."""
    match value:
        case str():
            return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        case dict():
            return {_whole_characters(name): _whole_characters(inner) for name, inner in value.items()}
        case list():
            return [_whole_characters(inner) for inner in value]
        case _:
            return value
