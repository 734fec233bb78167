"""The columns of an output: those that every output has, such as `text` and `error`, and copies from the source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import glmv
from glmv_batch._row import Row

# Columns of every table, with their types in Arrow.
FACTS = {
    "key": "string",
    "text": "string",
    "model": "string",
    "prompt_tokens": "int64",
    "completion_tokens": "int64",
    "total_tokens": "int64",
    "cached_tokens": "int64",
    "reasoning_tokens": "int64",
    "attempts": "int64",
    "seconds": "float64",
    "error": "string",
    "error_class": "string",
    "code": "string",
    "retryable": "bool",
    "notes": "list",
}
# Prefixes for columns of the answer's JSON, and of the source, whose name is already in use.
PARSED, SOURCE = "parsed_", "source_"


class SourceColumns:
    """The columns of the source that are copied into the output.

    Args:
        columns: the names of columns to copy; True copies all, False none.
        others: names of the output's other columns; a source column with one of these names gets the prefix `source_`.
    """

    def __init__(self, columns: bool | Sequence[str], others: Iterable[str]) -> None:
        if isinstance(columns, str) or not isinstance(columns, bool | Sequence):
            raise glmv.InvalidRequestError(
                f"keep_columns must be a list of names, or True for all; got {type(columns).__name__}."
            )
        self._all = columns is True
        self._others = {*others, "key"}
        self.names: tuple[str, ...] = () if isinstance(columns, bool) else tuple(columns)
        self._called: dict[str, str] = {}
        for name in self.names:
            self._call(name)

    @property
    def columns(self) -> list[str]:
        """The names of the copied columns in the output. If all are copied, the names are those of the rows so far."""
        return list(self._called.values())

    def of(self, row: Row) -> dict[str, Any]:
        """The values that are copied from a row, by the names of their columns in the output."""
        for name, value in row.columns.items() if self._all else ():
            # Pictures are not copied, neither as bytes nor as a data URI.
            if not (isinstance(value, str) and value.startswith("data:")):
                self._call(name)
        return {called: row.columns.get(name) for name, called in self._called.items()}

    def _call(self, name: str) -> None:
        # The output already has a column `key`, that of the row.
        if name not in self._called and name != "key":
            self._called[name] = free(str(name), SOURCE, [*self._others, *self._called.values()])


def free(name: str, prefix: str, others: Iterable[str]) -> str:
    """Put the prefix before the name until the name differs from all `others`. Case is ignored, as in SQL."""
    folded = {other.casefold() for other in others}
    while name.casefold() in folded:
        name = prefix + name
    return name
