"""Reads rows one at a time from table files, and from the tables and data sets of other libraries."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import closing
from io import IOBase
from pathlib import Path
from typing import Any

import glmv

_ROWS = 64  # rows that are read at a time; they may contain pictures
_BUFFER = 1024 * 1024  # bytes that are read ahead of each column
_FIELD = 32 * 1024 * 1024  # characters of a CSV field, which may be a picture as a data URI


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # This limit is global for the process, so it is only ever raised.
    csv.field_size_limit(max(csv.field_size_limit(), _FIELD))
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",")
        for number, row in enumerate(rows, 1):
            yield f"row {number}", {name: value for name, value in row.items() if name is not None}


def _json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise glmv.InvalidRequestError(f"{path.name}, line {number} is not JSON: {error}") from None
                if not isinstance(row, dict):
                    raise glmv.InvalidRequestError(f"{path.name}, line {number} is not a JSON object.")
                yield f"line {number}", row


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise glmv.InvalidRequestError('Parquet needs pyarrow: pip install "glmv[batch]".') from error
    # With `pre_buffer`, pyarrow reads whole row groups, and a file of pictures may be a single row group.
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
        number = 0
        for batch in file.iter_batches(batch_size=_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row


TABLES: dict[str, Callable[[Path], Iterator[tuple[str, dict[str, Any]]]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}
"""Suffix of a table file -> its reader, which yields (position of the row, row)."""


def rows_in(path: Path) -> int:
    """The number of rows in a table file."""
    match path.suffix.lower():
        case ".parquet":
            from pyarrow import parquet

            return int(parquet.read_metadata(path).num_rows)
        case ".jsonl" | ".ndjson":
            with path.open("rb") as file:
                return sum(1 for line in file if line.strip())
        case ending:
            return sum(1 for _ in TABLES[ending](path))


def rows_of(source: Any) -> Iterable[Any]:
    """The rows of a table or data set of another library. Any other iterable is returned unchanged.

    Raises:
        InvalidRequestError: the source is none of these, is an open file, or has no rows yet.
    """
    if hasattr(source, "iter_rows") and hasattr(source, "map_batches"):  # ray.data.Dataset
        return source.iter_rows()  # type: ignore[no-any-return]  # Ray is not imported here
    if hasattr(source, "to_batches"):  # pyarrow.Table and its data sets
        # By default a data set reads ahead sixteen batches of 131,072 rows.
        few = {"batch_size": _ROWS, "batch_readahead": 1} if hasattr(source, "scanner") else {"max_chunksize": _ROWS}
        return (row for batch in source.to_batches(**few) for row in batch.to_pylist())
    if hasattr(source, "itertuples"):  # pandas.DataFrame; its named tuples would rename columns such as "my photo"
        names = [str(name) for name in source.columns]
        return (dict(zip(names, row, strict=True)) for row in source.itertuples(index=False, name=None))
    # Hugging Face's data sets decode pictures only when they are iterated, so they are not read through Arrow.
    if hasattr(source, "__arrow_c_stream__") and not hasattr(source, "with_format"):
        stream = _stream(source)
        if stream is not None:
            return _streamed(stream)
    if hasattr(source, "to_pylist") and isinstance(source, Iterable):  # a column of pyarrow, whose items are scalars
        return (value.as_py() for value in source)
    if isinstance(source, IOBase):  # iterated, a picture would be cut at each byte that is the code of a line end
        raise glmv.InvalidRequestError(
            f"The source is an open file ({type(source).__name__}): pass its path. If it is one picture, you can "
            "also pass the result of its read()."
        )
    if isinstance(source, Iterable):
        return source
    if isinstance(source, Sized) and hasattr(source, "__getitem__"):  # a map-style data set, as PyTorch calls it
        return (source[index] for index in range(len(source)))
    if hasattr(source, "collect"):  # polars.LazyFrame
        raise glmv.InvalidRequestError(f"A {type(source).__name__} has no rows yet: pass the result of its collect().")
    raise glmv.InvalidRequestError(
        f"The source must be a folder, a pattern, a table or an iterable; got {type(source).__name__}."
    )


def length_of(source: Any) -> int | None:
    """The number of rows; None if it is not known without reading them."""
    # A relation of DuckDB is a query: `len` runs it, for which its connection must be free.
    is_query = type(source).__module__.partition(".")[0].lstrip("_") == "duckdb"
    if isinstance(source, Sized) and not is_query:
        return len(source)
    rows = getattr(source, "num_rows", None)  # a pyarrow.RecordBatch
    return rows if isinstance(rows, int) else None


def _stream(source: Any) -> Any:
    """A reader of the source's Arrow stream; None for a single column, which the caller iterates."""
    try:
        import pyarrow as pa
    except ImportError as error:
        raise glmv.InvalidRequestError(
            f'Reading a {type(source).__name__} needs pyarrow: pip install "glmv[batch]".'
        ) from error
    try:
        return pa.RecordBatchReader.from_stream(source)
    except pa.ArrowInvalid:
        if isinstance(source, Iterable):
            return None
        raise


def _streamed(stream: Any) -> Iterator[dict[str, Any]]:
    with closing(stream):
        for batch in stream:
            for start in range(0, batch.num_rows, _ROWS):
                yield from batch.slice(start, _ROWS).to_pylist()
