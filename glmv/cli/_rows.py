"""What `glmv batch` reads and writes: items out of folders and tables, answers into JSON lines. No network."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import glmv
from glmv.cli._sources import parts, pictures_in

# Columns that hold the picture or the key when nobody says which.
PICTURE_COLUMNS = ("image", "picture", "path", "file", "url", "image_url")


class Item(NamedTuple):
    """One picture to ask about: its key in the output, where it is, and the row it came from."""

    key: str
    source: str
    row: dict[str, Any]


def items(source: Path, column: str | None = None) -> Iterator[Item]:
    """A folder, a CSV or JSONL file with one picture a row, or a single picture -> items.

    Paths in a table are relative to the table.

    Raises:
        InvalidRequestError: when there is no such file, or no column with a picture.
    """
    if source.is_dir():
        for path in pictures_in(source):
            yield Item(str(path.relative_to(source)), str(path), {})
    elif not source.exists():
        raise glmv.InvalidRequestError(f"There is no file or folder {str(source)!r}.")
    elif source.suffix.lower() in {".csv", ".jsonl", ".ndjson"}:
        yield from _table(source, column)
    else:
        yield Item(source.name, str(source), {})


def _table(source: Path, column: str | None) -> Iterator[Item]:
    seen: dict[str, int] = {}
    for number, row in enumerate(_rows(source), 1):
        name = column or next((known for known in PICTURE_COLUMNS if row.get(known)), None)
        if name is None or not row.get(name):
            raise glmv.InvalidRequestError(
                f"{source.name}, row {number}: no picture in column {name or ' or '.join(PICTURE_COLUMNS)}; "
                f"it has {', '.join(map(str, row)) or 'nothing'}. Name the column with --column."
            )
        where = str(row[name])
        if "://" not in where and not Path(where).is_absolute():
            where = str(source.parent / where)
        key = str(row.get("key") or row.get("id") or row[name])
        seen[key] = seen.get(key, 0) + 1
        yield Item(key if seen[key] == 1 else f"{key}#{seen[key]}", where, row)


def _rows(source: Path) -> Iterator[dict[str, Any]]:
    with source.open(encoding="utf-8-sig", newline="") as file:
        if source.suffix.lower() == ".csv":
            yield from csv.DictReader(file)
            return
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise glmv.InvalidRequestError(f"{source.name}, line {number} is not JSON: {error}") from None
                if not isinstance(row, dict):
                    raise glmv.InvalidRequestError(f"{source.name}, line {number} is not a JSON object.")
                yield row


def part_of(item: Item) -> glmv.Image | glmv.Video:
    """The picture or video of an item."""
    return parts([item.source])[0]


class Ledger:
    """The output file: one JSON line an item, on disk before the next is taken as done.

    A line that a crash cut off is removed when the file is opened again; lines that are whole are never paid twice.
    """

    def __init__(self, path: Path, *, retry_failed: bool = False) -> None:
        self.done: set[str] = set()
        self._path = path
        self._retry_failed = retry_failed
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("a+b")
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self._take(line)
            whole += len(line)
        self._file.truncate(whole)
        return self

    def _take(self, line: bytes) -> None:
        try:
            row = json.loads(line)
        except ValueError:
            return
        if isinstance(row, dict) and not (self._retry_failed and row.get("retryable")):
            self.done.add(str(row.get("key")))

    def write(self, row: dict[str, Any]) -> None:
        """Put one answer on disk."""
        assert self._file is not None
        self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __exit__(self, *exc: object) -> None:
        if self._file is not None:
            self._file.close()
