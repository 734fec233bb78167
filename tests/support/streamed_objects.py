"""JSON of an object, streamed character by character, that is hard to read before it is complete."""

from __future__ import annotations

import pytest
from pydantic import BaseModel


class Reading(BaseModel):
    """What a meter shows."""

    total: float
    note: str = ""


DIALECTS = pytest.mark.parametrize("dialect", ["vllm", "openai", None])
# The text of the JSON, and the note in it.
TEXTS = pytest.mark.parametrize(
    ("text", "note"),
    [
        (r'{"total": 1, "note": "a\nb \u00e9 \ud83d\ude00 \\"}', "a\nb é 😀 \\"),
        (r'{"total": NaN, "note": "a\nb"}', "a\nb"),
    ],
)
