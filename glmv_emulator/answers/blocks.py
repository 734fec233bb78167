"""Finds JSON that stands within prose, as a schema or an example within an instruction."""

from __future__ import annotations

import json
from typing import Any

MOST_TRIES = 200  # starts of a block that are tried in one text

_decoder = json.JSONDecoder()


def blocks(text: str) -> list[tuple[int, int, Any]]:
    """The JSON objects and arrays of objects within a text: start, end, value. Outermost ones only."""
    found: list[tuple[int, int, Any]] = []
    position = tries = 0
    while tries < MOST_TRIES:
        starts = [at for at in (text.find("{", position), text.find("[{", position)) if at >= 0]
        if not starts:
            break
        start = min(starts)
        tries += 1
        try:
            value, end = _decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            position = start + 1
            continue
        found.append((start, end, value))
        position = end
    return found


def without_blocks(text: str) -> str:
    """The text with its JSON left out."""
    pieces, position = [], 0
    for start, end, _ in blocks(text):
        pieces.append(text[position:start])
        position = end
    return "".join([*pieces, text[position:]])
