"""Writes rows to a file of JSON lines, CSV or Parquet. The file is always complete.

The rows are written to `<file>.part`, which is renamed to `<file>` when the run ends, so readers never see half a line.
If a run is interrupted or killed, the output of an earlier run is unchanged, and the ledger has the new rows.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol, Self

import glmv
from glmv_batch._columns import properties_of
from glmv_batch._fields import FACTS, PARSED, SourceColumns, free
from glmv_batch._part import Part
from glmv_batch._row import Row, jsonable, plain

# Characters of a field, which may be whatever was copied from the source: all that the module can count.
LONGEST_FIELD = 2**31 - 1


class Sink(Protocol):
    """A writer of rows."""

    source_columns: SourceColumns

    def claim(self) -> None:
        """Lock the file for this job."""

    def write(self, row: Row) -> None:
        """Write one row."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc: object) -> None: ...


def sink(path: Path, schema: Mapping[str, Any] | None, keep: bool | Sequence[str] = False) -> Sink:
    """The writer for a file, by its suffix: `.jsonl` or `.ndjson`, `.csv` or `.tsv`, or `.parquet`.

    Args:
        schema: JSON Schema of the answers; its properties become columns of a table.
        keep: columns of the source to copy; True means all.

    Raises:
        InvalidRequestError: the file has another suffix, or Parquet is requested without pyarrow.
    """
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return JSONLines(path, keep)
        case ".csv" | ".tsv":
            return CSV(path, schema, keep)
        case ".parquet":
            from glmv_batch._parquet import Parquet

            return Parquet(path, schema, keep)
        case ending:
            raise glmv.InvalidRequestError(
                f"The output must be a .csv, .tsv, .jsonl or .parquet file; got {ending or path.name!r}."
            )


class JSONLines(Part):
    """A writer of one JSON object per line."""

    def __init__(self, path: Path, keep: bool | Sequence[str] = False) -> None:
        super().__init__(path)
        self.source_columns = SourceColumns(keep, [*FACTS, "parsed"])

    def _open(self, file: IO[bytes]) -> None:
        self._file = _text(file)

    def _put(self, row: Row) -> None:
        facts = row.as_dict()
        line = {"key": facts.pop("key"), **jsonable(self.source_columns.of(row)), **facts}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")

    def _close(self) -> None:
        self._file.flush()


class CSV(Part):
    """A writer of CSV with the same columns as `Parquet`. Lists and objects are JSON, missing values are empty.

    If a later row has columns of the source that the file lacks, the file is rewritten with these columns.
    """

    def __init__(self, path: Path, schema: Mapping[str, Any] | None, keep: bool | Sequence[str] = False) -> None:
        super().__init__(path)
        properties = [] if schema is None else properties_of(schema)
        self._parsed = {name: free(name, PARSED, [*FACTS, *(set(properties) - {name})]) for name in properties}
        self.source_columns = SourceColumns(keep, [*FACTS, *self._parsed.values()])
        self._separator = "\t" if path.suffix.lower() == ".tsv" else ","
        self._columns: list[str] = []

    def _open(self, file: IO[bytes]) -> None:
        self._binary = file
        self._file = _text(file)
        self._columns = self._header()
        self._line(self._columns)

    def _put(self, row: Row) -> None:
        facts = row.as_dict()
        answer = facts.pop("parsed", None)
        values = answer if isinstance(answer, Mapping) else {"value": plain(answer)}
        facts |= {column: values.get(name) for name, column in self._parsed.items()}
        facts |= self.source_columns.of(row)
        if len(header := self._header()) > len(self._columns):
            self._widen(header)
        self._line([_cell(facts.get(name)) for name in self._columns])

    def _close(self) -> None:
        self._file.flush()

    def _header(self) -> list[str]:
        return ["key", *self.source_columns.columns, *self._parsed.values(), *(name for name in FACTS if name != "key")]

    def _line(self, cells: Sequence[str]) -> None:
        # The csv module quotes cells with a character of its line end. So with "\r\n" it also quotes a lone "\r".
        line = io.StringIO(newline="")
        csv.writer(line, delimiter=self._separator, lineterminator="\r\n").writerow(cells)
        self._file.write(line.getvalue().removesuffix("\r\n") + "\n")

    def _widen(self, header: list[str]) -> None:
        """Rewrite the file with more columns. It is not replaced by a new file, because this job has locked it."""
        self._file.flush()
        with tempfile.TemporaryFile(dir=self._part.parent) as copy:
            self._binary.seek(0)
            shutil.copyfileobj(self._binary, copy)
            copy.seek(0)
            self._binary.seek(0)
            self._binary.truncate()
            csv.field_size_limit(max(csv.field_size_limit(), LONGEST_FIELD))  # the process has only one limit
            rows = csv.DictReader(io.TextIOWrapper(copy, encoding="utf-8", newline=""), delimiter=self._separator)
            self._columns = header
            self._line(header)
            for row in rows:
                self._line([row.get(name, "") for name in header])


def _text(file: IO[bytes]) -> IO[str]:
    # UTF-8 cannot encode half of a surrogate pair; it is written as an escape, as in JSON.
    return io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="\n", write_through=False)


def _cell(value: Any) -> str:
    match jsonable(value):
        case None:
            return ""
        case str() as string:
            return string
        case other:
            return json.dumps(other, ensure_ascii=False)
