"""Pictures out of traces. LangChain traces messages before it calls a model, base64 and all."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from pydantic import BaseModel

# What a data URI holds; and no prose has so many of these letters in a row without a space.
_BLOB = re.compile(r"(?<=;base64,)[A-Za-z0-9+/_-]+={0,2}|[A-Za-z0-9+/_-]{512,}={0,2}")
# Where blocks of all makes keep base64, however little of it.
_KEYS = ("base64", "data", "file_data")
_NAMED = re.compile(r"(?:(?<=;base64,)|^)[A-Za-z0-9+/_-]{64,}={0,2}$")


def redact(value: Any) -> Any:
    """Any trace, message, prompt, result or text -> the same with base64 shortened to its length and digest.

    Made for `langsmith.Client(hide_inputs=redact, hide_outputs=redact)`, and for handlers of your own. What comes in
    is not changed: dicts, lists, tuples and pydantic objects, as messages and results are, are copied.
    """
    match value:
        case str():
            return _BLOB.sub(_shortened, value)
        case dict():
            return {
                key: _NAMED.sub(_shortened, inner) if key in _KEYS and isinstance(inner, str) else redact(inner)
                for key, inner in value.items()
            }
        case list():
            return [redact(inner) for inner in value]
        case tuple():
            return tuple(redact(inner) for inner in value)
        case BaseModel():
            return value.model_copy(update={name: redact(inner) for name, inner in vars(value).items()})
        case _:
            return value


def _shortened(found: re.Match[str]) -> str:
    blob = found.group()
    return f"<{len(blob)} characters of base64, sha256 {hashlib.sha256(blob.encode()).hexdigest()[:12]}>"
