"""Rows -> a Parquet file."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from typing import IO, Any

import glmv
from glmv_batch._columns import Column, columns_of, fitted, text
from glmv_batch._fields import FACTS, PARSED, SourceColumns, free
from glmv_batch._part import Part
from glmv_batch._row import Row, jsonable, plain

# Rows in one row group of the file. They are in memory until it is written: enough to compress well, and few enough to
# need little memory (about 10 MB for long answers).
ROW_GROUP = 5_000


class Parquet(Part):
    """A table: the key, columns of the source, a typed column for each property of the schema, the row's other fields.

    A property whose name is that of a field (`text`, `model`, ...) becomes `parsed_<name>`. The types of the key and
    of the source's columns come from the rows: if later rows need a wider type, the file is rewritten.
    """

    def __init__(self, path: Any, schema: Mapping[str, Any] | None, keep: Any = False) -> None:
        super().__init__(path)
        self._types, self._parsed = table_columns(schema)
        self.source_columns = SourceColumns(keep, self._types.names)
        self._rows: list[Row] = []
        self._file: IO[bytes]
        self._writer: Any = None
        self._schema: Any = None

    def _open(self, file: IO[bytes]) -> None:
        self._file = file

    def _put(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def _close(self) -> None:
        try:
            if self._rows or self._writer is None:
                self._flush()
        finally:
            if self._writer is not None:
                self._writer.close()

    def _flush(self) -> None:
        table = self._table(self._rows)
        if self._writer is None:
            self._begin_with(table.schema)
        elif table.schema != self._schema:
            wider = _wider(self._schema, table.schema)
            if wider != self._schema:
                self._begin_again(wider)
            table = _as(table, wider)
        self._writer.write_table(table)
        self._rows.clear()

    def _table(self, rows: list[Row]) -> Any:
        import pyarrow as pa

        of_source = [self.source_columns.of(row) for row in rows]
        arrays = {"key": _array([row.key for row in rows]) if rows else pa.array([], pa.string())}
        arrays |= {name: _array([values.get(name) for values in of_source]) for name in self.source_columns.columns}
        facts = [flat(row, self._parsed) for row in rows]
        for field in self._types:
            if field.name != "key":
                arrays[field.name] = pa.array([fact.get(field.name) for fact in facts], field.type)
        return pa.table(arrays)

    def _begin_with(self, schema: Any) -> None:
        from pyarrow import parquet

        self._schema = schema
        self._writer = parquet.ParquetWriter(self._file, schema, compression="zstd")

    def _begin_again(self, schema: Any) -> None:
        """Rewrite the rows so far with other types. No new file replaces this one, because this job has locked it."""
        from pyarrow import parquet

        self._writer.close()
        with tempfile.TemporaryFile(dir=self._part.parent) as copy:
            self._file.seek(0)
            shutil.copyfileobj(self._file, copy)
            self._file.seek(0)
            self._file.truncate()
            self._begin_with(schema)
            before = parquet.ParquetFile(copy)
            for number in range(before.num_row_groups):
                self._writer.write_table(_as(before.read_row_group(number), schema))


def _array(values: list[Any]) -> Any:
    """An array of a column's values in their common type; an array of texts if Parquet has no type for all of them."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        array = pa.array([text(value) if isinstance(value, str) else value for value in values])
        # Objects without fields and intervals have no type in Parquet: the writer refuses their schema.
        parquet.ParquetWriter(pa.BufferOutputStream(), pa.schema([("column", array.type)])).close()
        return array
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return _texts(values)


def _texts(values: list[Any]) -> Any:
    import pyarrow as pa

    plain_values = [jsonable(value) for value in values]
    return pa.array(
        [
            None if value is None else text(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
            for value in plain_values
        ],
        pa.string(),
    )


def _wider(before: Any, after: Any) -> Any:
    """A schema whose columns can hold the values of both schemas."""
    import pyarrow as pa

    names = [*before.names, *(name for name in after.names if name not in before.names)]
    # New columns of the source come after its other columns, before those of the answer.
    names.sort(key=lambda name: after.names.index(name) if name in after.names else 0)

    def type_of(name: str) -> Any:
        kinds = [schema.field(name).type for schema in (before, after) if name in schema.names]
        kinds = [kind for kind in kinds if kind != pa.null()] or [pa.null()]
        if len({str(kind) for kind in kinds}) == 1:
            return kinds[0]
        numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
        return pa.float64() if numbers else pa.string()

    return pa.schema([(name, type_of(name)) for name in names])


def _as(table: Any, schema: Any) -> Any:
    import pyarrow as pa

    def column(field: Any) -> Any:
        if field.name not in table.column_names:
            return pa.nulls(table.num_rows, field.type)
        values = table.column(field.name)
        if values.type == field.type:
            return values
        return _texts(values.to_pylist()) if field.type == pa.string() else values.cast(field.type, safe=False)

    return pa.table([column(field) for field in schema], schema=schema)


def table_columns(schema: Mapping[str, Any] | None) -> tuple[Any, dict[str, tuple[str, Column]]]:
    """Convert the JSON Schema of the answers to the table's schema in Arrow.

    Returns:
        The table's schema; and, by property, the name of its column and the `Column`.

    Raises:
        InvalidRequestError: pyarrow is not installed.
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
    columns = {} if schema is None else columns_of(schema)
    parsed: dict[str, tuple[str, Column]] = {}
    for name, column in columns.items():
        parsed[name] = free(name, PARSED, FACTS.keys() | columns.keys() - {name}), column
    fields = [("key", pa.string()), *((name, column.type) for name, column in parsed.values())]
    fields += [(name, kinds[kind]) for name, kind in FACTS.items() if name != "key"]
    return pa.schema(fields), parsed


def flat(row: Row, parsed: Mapping[str, tuple[str, Column]]) -> dict[str, Any]:
    """A row -> the values of the table's columns."""
    facts = row.as_dict()
    answer = facts.pop("parsed", None)
    values = answer if isinstance(answer, Mapping) else {"value": plain(answer)}
    facts = {name: text(value) if isinstance(value, str) else value for name, value in facts.items()}
    return facts | {name: fitted(column, values.get(prop)) for prop, (name, column) in parsed.items()}
