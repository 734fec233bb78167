"""Rows into a file: JSON lines or Parquet, whole or not at all.

The rows go into `<file>.part`, which takes the file's name when the run ends: who reads the file never sees half a
line. A run that was interrupted or killed leaves an older whole file where it was; the ledger has every row.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol, Self

import glmv
from glmv_batch._columns import Column, columns_of, fitted, text
from glmv_batch._row import Row, plain

# Rows that are held until they are written as one group of a Parquet file: large enough to compress, small enough
# to forget in memory (some 10 MB of long answers).
ROW_GROUP = 5_000

# Columns of every Parquet file, with their types in Arrow.
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


class Sink(Protocol):
    """Something that takes rows until it is closed."""

    def write(self, row: Row) -> None:
        """Take one row."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


def sink(path: Path, schema: Mapping[str, Any] | None) -> Sink:
    """The writer for a file, by its ending: `.jsonl` or `.ndjson`, or `.parquet`.

    Args:
        schema: JSON Schema of the answers; its properties become typed columns of a Parquet file.

    Raises:
        InvalidRequestError: for any other ending, or Parquet without pyarrow.
    """
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return JSONLines(path)
        case ".parquet":
            return Parquet(path, schema)
        case ending:
            raise glmv.InvalidRequestError(f"The output is .jsonl or .parquet; got {ending or path.name!r}.")


class _Part(ABC):
    """A file under another name until it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f"{path.name}.part")
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        with self._disk():
            if exc[0] is None:
                self._begin()
            if not self._begun:
                return
            self._close()
            if exc[0] is None or not self._path.exists():
                self._part.replace(self._path)

    def write(self, row: Row) -> None:
        """Take one row.

        Raises:
            LimitExceeded: the file takes no more: the disk is full, or may not be written to.
        """
        with self._disk():
            self._begin()
            self._put(row)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise glmv.LimitExceeded(
                f"{self._path} cannot be written: {error}. Make room and run again: the ledger has every answer."
            ) from error

    def _begin(self) -> None:
        """Open the file with its first row: a run that comes to none, because another one has the ledger, has no
        business with that one's file.
        """
        if not self._begun:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._open(self._part)
            self._begun = True

    @abstractmethod
    def _open(self, path: Path) -> None: ...

    @abstractmethod
    def _put(self, row: Row) -> None: ...

    @abstractmethod
    def _close(self) -> None: ...


class JSONLines(_Part):
    """One JSON object a line."""

    _file: IO[str]

    def _put(self, row: Row) -> None:
        self._file.write(json.dumps(row.as_dict(), ensure_ascii=False) + "\n")

    def _open(self, path: Path) -> None:
        # Half of a surrogate pair, the one thing that UTF-8 cannot hold, is written as JSON itself would escape it.
        self._file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n")

    def _close(self) -> None:
        self._file.close()


class Parquet(_Part):
    """A table: the facts of each row, and a typed column for each property of the schema.

    A property that bears the name of a fact (`text`, `model`, ...) becomes `parsed_<name>`.
    """

    def __init__(self, path: Path, schema: Mapping[str, Any] | None) -> None:
        super().__init__(path)
        self._types, self._parsed = table_columns(schema)
        self._rows: list[dict[str, Any]] = []
        self._writer: Any = None

    def _put(self, row: Row) -> None:
        self._rows.append(flat(row, self._parsed))
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def _open(self, path: Path) -> None:
        from pyarrow import parquet

        self._writer = parquet.ParquetWriter(path, self._types, compression="zstd")

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._types))
        self._rows.clear()

    def _close(self) -> None:
        try:
            if self._rows:
                self._flush()
        finally:
            self._writer.close()


def table_columns(schema: Mapping[str, Any] | None) -> tuple[Any, dict[str, tuple[str, Column]]]:
    """JSON Schema of the answers -> (the table's schema in Arrow, property -> its column's name and type).

    Raises:
        InvalidRequestError: without pyarrow.
    """
    try:
        import pyarrow as pa
    except ImportError as error:
        raise glmv.InvalidRequestError('Typed columns need pyarrow: pip install "glmv[batch]".') from error
    kinds = {
        "string": pa.string(),
        "int64": pa.int64(),
        "float64": pa.float64(),
        "bool": pa.bool_(),
        "list": pa.list_(pa.string()),
    }
    found = {} if schema is None else columns_of(schema)
    parsed: dict[str, tuple[str, Column]] = {}
    for name, column in found.items():
        parsed[name] = free(name, "parsed_", FACTS.keys() | found.keys() - {name}), column
    fields = [("key", pa.string()), *((name, column.type) for name, column in parsed.values())]
    fields += [(name, kinds[kind]) for name, kind in FACTS.items() if name != "key"]
    return pa.schema(fields), parsed


def free(name: str, mark: str, taken: Iterable[str]) -> str:
    """The name, or, where it is taken, the name with as many marks as it takes. Case tells no two apart: it does not
    in SQL.
    """
    others = {other.casefold() for other in taken}
    while name.casefold() in others:
        name = mark + name
    return name


def flat(row: Row, parsed: Mapping[str, tuple[str, Column]]) -> dict[str, Any]:
    """A row as the table holds it."""
    facts = row.as_dict()
    said = facts.pop("parsed", None)
    values = said if isinstance(said, Mapping) else {"value": plain(said)}
    facts = {name: text(value) if isinstance(value, str) else value for name, value in facts.items()}
    return facts | {name: fitted(column, values.get(prop)) for prop, (name, column) in parsed.items()}
