"""The columns of an output: the facts of each row, and columns of the source that are kept."""

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
# What the columns of an answer's JSON are called where a fact has their name, and those of the source likewise.
PARSED, SOURCE = "parsed_", "source_"


class KeptColumns:
    """The columns of the source that an output keeps.

    Args:
        columns: their names; True keeps all, False none.
        taken: names of the output's other columns: a column of the source with one of these gets `source_` before it.
    """

    def __init__(self, columns: bool | Sequence[str], taken: Iterable[str]) -> None:
        if isinstance(columns, str) or not isinstance(columns, bool | Sequence):
            raise glmv.InvalidRequestError(
                f"keep_columns is a list of names, or True for all; got {type(columns).__name__}."
            )
        self._all = columns is True
        self._taken = {*taken, "key"}
        self.names: tuple[str, ...] = () if isinstance(columns, bool) else tuple(columns)
        self._called: dict[str, str] = {}
        for name in self.names:
            self._call(name)

    @property
    def columns(self) -> list[str]:
        """Their names in the output, as far as they are known."""
        return list(self._called.values())

    def of(self, row: Row) -> dict[str, Any]:
        """A row's values, by their names in the output."""
        for name, value in row.columns.items() if self._all else ():
            # A picture that stands in the table as a data URI is no value to keep, as one in bytes is none.
            if not (isinstance(value, str) and value.startswith("data:")):
                self._call(name)
        return {called: row.columns.get(name) for name, called in self._called.items()}

    def _call(self, name: str) -> None:
        # The column `key` is the row's own.
        if name not in self._called and name != "key":
            self._called[name] = free(str(name), SOURCE, [*self._taken, *self._called.values()])


def free(name: str, mark: str, taken: Iterable[str]) -> str:
    """The name, or, where it is taken, the name with as many marks as it takes. Case tells no two apart: it does not
    in SQL.
    """
    others = {other.casefold() for other in taken}
    while name.casefold() in others:
        name = mark + name
    return name
