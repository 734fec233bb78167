"""The result for one item: an answer or an error."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any

import glmv


@dataclass(frozen=True, slots=True)
class Row:
    """The result for one item.

    Attributes:
        key: the item's name: its path in the folder; or the value of its `key` or `id` column, with the type in the
            table (a number stays a number); or its position as text.
        text: the answer; None after an error, unless the error is that the answer does not fit the schema.
        parsed: with a schema, the parsed answer: an object of the pydantic class, or a JSON value.
        usage: tokens, if the server reported them.
        model: the model that answered.
        attempts: the number of requests that were sent.
        seconds: time from reading the picture to the last byte of the answer, including the wait for a slot.
        error, error_class, code, retryable: the error's message, the name of its class in `glmv`, the platform's
            code, and whether the same request may succeed later.
        notes: what was changed or left out in the request.
        columns: the item's row in the table, if the item comes from a table.
    """

    key: Any
    text: str | None = None
    parsed: Any = None
    usage: glmv.Usage | None = None
    model: str | None = None
    attempts: int | None = None
    seconds: float | None = None
    error: str | None = None
    error_class: str | None = None
    code: str | None = None
    retryable: bool | None = None
    notes: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the item was answered."""
        return self.error is None

    def as_dict(self) -> dict[str, Any]:
        """The row as a dict for JSON: the fields that are set, but not `columns`; token counts are at the top level."""
        fields: dict[str, Any] = {
            "key": jsonable(self.key),
            "text": self.text,
            "parsed": plain(self.parsed),
            "model": self.model,
        }
        if self.usage is not None:
            fields |= {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "total_tokens": self.usage.total_tokens,
                "cached_tokens": self.usage.cached_tokens or None,
                "reasoning_tokens": self.usage.reasoning_tokens or None,
            }
        fields |= {
            "attempts": self.attempts,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "error": self.error,
            "error_class": self.error_class,
            "code": self.code,
            "retryable": self.retryable,
            "notes": list(self.notes) or None,
        }
        return {name: value for name, value in fields.items() if value is not None or name == "key"}


# The annotations above are not strings: strings would be looked up in the module `glmv_batch`, which lacks their names.
Row.__module__ = "glmv_batch"


def plain(parsed: Any) -> Any:
    """An object of a pydantic class -> its JSON data, with the schema's property names; any other value unchanged."""
    dump = getattr(parsed, "model_dump", None)
    return parsed if dump is None else dump(mode="json", by_alias=True)


def jsonable(value: Any) -> Any:
    """A value of a table -> a JSON value. Dates, decimals and UUIDs become text; bytes become hexadecimal digits."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case bytes() | bytearray() | memoryview():
            return value.hex()
        case date() | time():
            return value.isoformat()
        case Mapping():
            return {str(name): jsonable(one) for name, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [jsonable(one) for one in value]
        case _ if hasattr(value, "tolist"):  # a number or an array of NumPy
            return jsonable(value.tolist())
        case _:
            return None if type(value).__name__ == "NAType" else str(value)


def restored(facts: Mapping[str, Any], key: Any, columns: Mapping[str, Any]) -> Row:
    """The stored result of `Row.as_dict` -> a row with this key and these columns; `parsed` stays a JSON value."""
    fields = dict(facts)
    tokens = {name: fields.pop(name, None) for name in _TOKENS}
    usage = None
    if tokens["prompt_tokens"] is not None:
        usage = glmv.Usage(**{name: count for name, count in tokens.items() if count is not None})
    notes = tuple(fields.pop("notes", ()))
    return Row(**{**fields, "key": key}, usage=usage, notes=notes, columns=columns)


_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens")
