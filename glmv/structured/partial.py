"""Objects of a streamed answer: reads unfinished JSON, and decides whether an object extends the object before it."""

from __future__ import annotations

import json
import re
from math import isnan
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_core import from_json

_M = TypeVar("_M", bound=BaseModel)
# The beginning of an escape such as "\\u4e2d", which the parser drops without an error.
_OPEN_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\u[0-9a-fA-F]{0,3}\Z")


def grows(before: object, after: object) -> bool:
    """Whether the later data extends the earlier data or equals it.

    At every depth, keys stay, and lists, sets and strings only get longer; None may become anything; other values do
    not change. The function compares successive objects of a stream.

    Args:
        before: data of dicts, lists, tuples, sets, strings and values. A pydantic object stands for the fields that
            are set; its defaults do not count, because the answer may still replace them.
        after: the later data.
    """
    match before, after:
        case None, _:
            return True
        case BaseModel(), _:
            return grows(before.model_dump(exclude_unset=True), after)
        case _, BaseModel():
            return grows(before, after.model_dump(exclude_unset=True))
        case dict(), dict():
            return all(key in after and grows(value, after[key]) for key, value in before.items())
        case list() | tuple(), list() | tuple():
            return len(before) <= len(after) and all(map(grows, before, after))
        case set() | frozenset(), set() | frozenset():
            return before <= after
        case str(), str():
            return after.startswith(before)
        case float(), float() if isnan(before):
            return isnan(after)
        case _:
            return bool(before == after)


def partial_object(text: str, model: type[_M], *, strings: bool = True) -> tuple[_M | None, Any]:
    """Unfinished JSON -> (an object of a pydantic class, the JSON value so far).

    A string at the end is part of the object only if the class also accepts it with one more character, and the object
    with that character extends the object without it (see `grows`). Otherwise half of a value could pass for a value:
    half of a number in quotes is another number, and half of a path or a URL is another path or URL.

    Args:
        text: the beginning of the JSON. A number at its end counts as complete, as in the streams of this client.
        model: the class, which validates the JSON in its own mode (strict or lax).
        strings: False leaves out a string at the end.

    Returns:
        The object is None if the class does not accept the JSON so far. The value is None if the text is not JSON,
        or is null.
    """
    try:
        value = from_json(text, allow_partial="trailing-strings" if strings else True)
        without = from_json(text, allow_partial=True)
    except ValueError:
        return None, None
    candidate = _object(value, model)
    if candidate is None or repr(value) == repr(without):  # NaN is unequal to itself
        return candidate, value
    if _OPEN_ESCAPE.search(text):
        return None, value
    try:
        longer = _object(from_json(f"{text}x", allow_partial="trailing-strings"), model)
    except ValueError:  # the text ends in a backslash
        return None, value
    return (candidate if longer is not None and grows(candidate, longer) else None), value


def _object(value: object, model: type[_M]) -> _M | None:
    try:
        return model.model_validate_json(json.dumps(value))
    except ValueError:
        return None
