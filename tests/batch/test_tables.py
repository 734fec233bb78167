"""Tables and data sets of other libraries, and folders of table files, become items; keys keep their type."""

from __future__ import annotations

import datetime as dt
import decimal
import io
import json
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

import glmv
from glmv_batch import Item, Job
from glmv_batch._items import count_of, items
from glmv_emulator import Emulator

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

MODEL = "glm-4.6v-flash"


def png(color: str) -> bytes:
    file = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), color).save(file, "PNG")
    return file.getvalue()


def polars_frame() -> Any:
    polars = pytest.importorskip("polars")
    return polars.DataFrame({"id": [7, 8, 9], "photo": ["a.png", "b.png", None], "title": ["x", "y", "z"]})


def polars_frame_of_bytes() -> Any:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"id": ["p", "q"], "image": [png("red"), png("blue")], "size": [1.5, 2.5]})
    return polars.concat([frame, frame.with_columns(id="r" + polars.col("id"))])  # two chunks


def polars_collected() -> Any:
    polars = pytest.importorskip("polars")
    lazy = polars.LazyFrame({"id": [1, 2], "url": ["https://example.com/1.jpg", "https://example.com/2.jpg"]})
    return lazy.filter(polars.col("id") > 1).collect()


def duckdb_relation() -> Any:
    duckdb = pytest.importorskip("duckdb")
    con = duckdb.connect()
    return con.sql(
        "select i + 1000000000000 as id, 'pic' || i || '.png' as path, i * 0.5 as price from range(200) t(i)"
    )


def duckdb_of_parquet() -> Any:
    duckdb = pytest.importorskip("duckdb")
    con = duckdb.connect()
    con.execute("create table shots (key varchar, image blob)")
    con.executemany("insert into shots values (?, ?)", [["u", png("green")], ["v", png("black")]])
    return con.table("shots")


def arrow_reader() -> Any:
    schema = pa.schema([("id", pa.uint8()), ("file", pa.string())])
    batches = [pa.record_batch([[n, n + 1], [f"{n}.webp", f"{n + 1}.webp"]], schema=schema) for n in (10, 20)]
    return pa.RecordBatchReader.from_batches(schema, batches)


def arrow_batch() -> Any:
    return pa.record_batch({"key": ["one", "two"], "picture": [{"bytes": png("red"), "path": None}] * 2})


def arrow_table() -> Any:
    return pa.table({"id": pa.array([2, 1], pa.int32()), "image_url": ["https://example.com/a.png"] * 2})


class Producer:
    """A table that implements only the Arrow stream protocol."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        table = pa.table({"id": [dt.date(2026, 1, 2)], "photo": ["z.png"], "n": [3]})
        return table.__arrow_c_stream__(requested_schema)


Kind = Callable[[], Any]
KINDS: dict[str, tuple[Kind, list[Any], int | None]] = {
    "polars.DataFrame": (polars_frame, [7, 8, 9], 3),
    "polars.DataFrame of bytes": (polars_frame_of_bytes, ["p", "q", "rp", "rq"], 4),
    "polars.LazyFrame, collected": (polars_collected, [2], 1),
    "DuckDB relation": (duckdb_relation, [n + 1_000_000_000_000 for n in range(200)], None),
    "DuckDB table of blobs": (duckdb_of_parquet, ["u", "v"], None),
    "pyarrow.RecordBatchReader": (arrow_reader, [10, 11, 20, 21], None),
    "pyarrow.RecordBatch": (arrow_batch, ["one", "two"], 2),
    "pyarrow.Table": (arrow_table, [2, 1], 2),
    "any producer": (Producer, [dt.date(2026, 1, 2)], None),
}


@pytest.mark.parametrize(("make", "keys", "count"), KINDS.values(), ids=KINDS)
def test_items_of_an_arrow_table_have_the_keys_of_the_table_with_their_types(
    make: Kind, keys: list[Any], count: int | None
) -> None:
    result = list(items(make()))
    assert [item.name for item in result] == keys
    assert [type(item.name) for item in result] == [type(key) for key in keys]
    assert count_of(make()) == count


def test_items_of_an_arrow_table_have_its_columns_and_pictures() -> None:
    first, *_, last = items(polars_frame())
    assert (first.source, dict(first.columns)) == ("a.png", {"id": 7, "photo": "a.png", "title": "x"})
    assert (last.source, last.columns["title"]) == (None, "z")
    assert next(items(polars_frame_of_bytes())).source == png("red")
    assert [item.source for item in items(duckdb_of_parquet())] == [png("green"), png("black")]
    assert next(items(arrow_batch())).source == png("red")


def test_each_path_in_a_polars_series_becomes_an_item() -> None:
    polars = pytest.importorskip("polars")
    assert [item.source for item in items(polars.Series(["a.png", "b.png"]))] == ["a.png", "b.png"]


def test_the_error_for_a_lazy_data_frame_says_to_collect_it() -> None:
    polars = pytest.importorskip("polars")
    with pytest.raises(
        glmv.InvalidRequestError, match=r"A LazyFrame has no rows yet: pass the result of its collect\(\)"
    ):
        items(polars.LazyFrame({"photo": ["a.png"]}))


def test_a_duckdb_connection_can_be_used_after_a_job_over_one_of_its_queries(
    emulator: Emulator, tmp_path: Path
) -> None:
    duckdb = pytest.importorskip("duckdb")
    con = duckdb.connect()
    PIL.Image.new("RGB", (8, 8), "red").save(tmp_path / "0.png")
    relation = con.sql(f"select i as id, '{tmp_path}/0.png' as photo from range(5) t(i)")
    job = Job(relation, "?", model=MODEL, api_key=emulator.api_key, base_url=emulator.base_url)
    assert sorted(row.key for row in job.rows()) == [0, 1, 2, 3, 4]
    assert con.execute("select 1").fetchall() == [(1,)]


def test_an_arrow_reader_is_read_at_most_a_few_batches_ahead() -> None:
    results = []

    def batches() -> Iterator[Any]:
        for number in range(1_000):
            results.append(number)
            yield pa.record_batch({"id": [number], "photo": ["a.png"]})

    schema = pa.schema([("id", pa.int64()), ("photo", pa.string())])
    rows = items(pa.RecordBatchReader.from_batches(schema, batches()))
    assert next(rows).name == 0
    assert len(results) < 10


class Mapped:
    """A map-style data set of rows."""

    def __init__(self, rows: list[Any]) -> None:
        self.rows, self.indices = rows, []  # type: ignore[var-annotated]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Any:
        self.indices.append(index)
        return self.rows[index % len(self.rows)]  # like some data sets, it never raises IndexError


def test_a_data_set_with_indices_is_read_index_by_index() -> None:
    shots = Mapped([{"id": 4, "image": png("red")}, {"id": 5, "image": png("blue")}])
    assert [item.name for item in items(shots)] == [4, 5]
    assert shots.indices == [0, 1]
    assert count_of(shots) == 2
    pictures = Mapped([PIL.Image.new("RGB", (8, 8)), "https://example.com/a.png"])
    assert [item.name for item in items(pictures)] == ["1", "https://example.com/a.png"]


KEYS = {
    "int": (7, 7),
    "zero": (0, 0),
    "float": (2.5, 2.5),
    "text": ("007", "007"),
    "date": (dt.date(2026, 2, 3), dt.date(2026, 2, 3)),
    "decimal": (decimal.Decimal("1.50"), decimal.Decimal("1.50")),
    "uuid": (uuid.UUID(int=5), uuid.UUID(int=5)),
    "numpy": (np.int64(9), 9),
    "bytes": (b"\x00\xff", b"\x00\xff"),
    "bytearray": (bytearray(b"ab"), b"ab"),
    "view": (memoryview(b"ab"), b"ab"),
    "time": (dt.time(7, 30), dt.time(7, 30)),
    "array": (np.array([1, 2]), "[1 2]"),
    "no bytes": (b"", "a.png"),
    "list": ([1, 2], "[1, 2]"),
    "none": (None, "a.png"),
    "nothing": ("", "a.png"),
    "nan": (float("nan"), "a.png"),
}


@pytest.mark.parametrize(("value", "expected"), KEYS.values(), ids=KEYS)
def test_a_simple_key_of_a_table_keeps_its_type_and_a_list_as_key_becomes_text(value: Any, expected: Any) -> None:
    (item,) = items([{"id": value, "photo": "a.png"}])
    assert item.name == expected
    assert type(item.name) is type(expected)


def write(path: Path, keys: list[Any], **more: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table({"id": keys, "image": [png("red")] * len(keys), **more}), path)


@pytest.mark.parametrize("form", ["folder", "folder/", "pattern", "deep pattern", "path"])
def test_a_folder_or_pattern_of_parquet_files_is_read_as_one_table(tmp_path: Path, form: str) -> None:
    folder = tmp_path / "shards"
    write(folder / "part-1.parquet", [3, 4])
    write(folder / "part-0.parquet", [1, 2])
    write(folder / "inner" / "part-9.parquet", [5])
    write(folder / "_temporary" / "part-7.parquet", [6])
    write(folder / ".part-8.parquet", [7])
    (folder / "_SUCCESS").touch()
    forms: dict[str, tuple[Any, list[int]]] = {
        "folder": (str(folder), [5, 1, 2, 3, 4]),
        "folder/": (f"{folder}/", [5, 1, 2, 3, 4]),
        "pattern": (str(folder / "part-*.parquet"), [1, 2, 3, 4]),
        "deep pattern": (str(folder / "inner" / "**" / "*.parquet"), [5]),
        "path": (folder, [5, 1, 2, 3, 4]),
    }
    source, keys = forms[form]
    assert [item.name for item in items(source)] == keys
    assert count_of(source) == len(keys)


def test_a_pattern_of_csv_and_json_lines_files_gives_the_rows_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,photo\n1,x.png\n")
    (tmp_path / "b.jsonl").write_text('{"id": 2, "photo": "y.png"}\n')
    rows = list(items(str(tmp_path / "*.[cj]s*")))
    assert [(item.name, item.source) for item in rows] == [
        ("1", str(tmp_path / "x.png")),
        (2, str(tmp_path / "y.png")),
    ]
    assert count_of(str(tmp_path / "*.[cj]s*")) == 2


def test_tables_in_a_folder_that_contains_pictures_are_not_read(tmp_path: Path) -> None:
    write(tmp_path / "facts.parquet", [1])
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert [item.name for item in items(tmp_path)] == ["a.png"]


def test_the_error_for_an_unreadable_table_in_a_folder_names_the_file(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [1])
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    rows = items(tmp_path)
    assert next(rows).name == 1
    with pytest.raises(glmv.InvalidRequestError, match=r"b\.parquet cannot be read"):
        next(rows)


def test_an_output_file_inside_the_input_folder_is_not_read_as_input(emulator: Emulator, tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", [1, 2])
    for _ in range(2):
        job = Job(tmp_path, "?", model=MODEL, api_key=emulator.api_key, base_url=emulator.base_url)
        job.write(tmp_path / "b.parquet", ledger=tmp_path / "ledger")
        assert sorted(parquet.read_table(tmp_path / "b.parquet")["key"].to_pylist()) == [1, 2]
    assert len(emulator.requests) == 1  # the same picture twice


def empty_folder(tmp_path: Path) -> Any:
    return tmp_path


def folder_of_texts(tmp_path: Path) -> Any:
    (tmp_path / "notes.txt").write_text("no picture")
    return str(tmp_path)


def pattern(tmp_path: Path) -> Any:
    return str(tmp_path / "*.parquet")


def csv_without_rows(tmp_path: Path) -> Any:
    (tmp_path / "t.csv").write_text("id,photo\n")
    return tmp_path / "t.csv"


def lines_without_rows(tmp_path: Path) -> Any:
    (tmp_path / "t.jsonl").write_text("\n")
    return tmp_path / "t.jsonl"


def shards_without_rows(tmp_path: Path) -> Any:
    for name in "ab":
        parquet.write_table(pa.table({"id": pa.array([], pa.int64()), "photo": []}), tmp_path / f"{name}.parquet")
    return tmp_path


EMPTY: dict[Callable[[Path], Any], str] = {
    empty_folder: "There is no picture, video or Parquet file in the folder",
    folder_of_texts: "There is no picture, video or Parquet file in the folder",
    pattern: "No file matches",
    csv_without_rows: r"t\.csv has no rows",
    lines_without_rows: r"t\.jsonl has no rows",
    shards_without_rows: "The files of .* have no rows",
}


@pytest.mark.parametrize(("make", "message"), EMPTY.items(), ids=[make.__name__ for make in EMPTY])
def test_a_folder_or_pattern_or_table_without_items_raises_and_writes_no_output(
    emulator: Emulator, tmp_path: Path, make: Callable[[Path], Any], message: str
) -> None:
    (tmp_path / "in").mkdir()
    job = Job(make(tmp_path / "in"), "?", model=MODEL, api_key=emulator.api_key, base_url=emulator.base_url)
    with pytest.raises(glmv.InvalidRequestError, match=message):
        job.write(tmp_path / "o.jsonl")
    assert not (tmp_path / "o.jsonl").exists()
    assert not (tmp_path / "o.jsonl.part").exists()


def test_a_job_over_an_empty_list_writes_an_empty_output(emulator: Emulator, tmp_path: Path) -> None:
    job = Job([], "?", model=MODEL, api_key=emulator.api_key, base_url=emulator.base_url)
    assert job.write(tmp_path / "o.jsonl").done == 0
    assert (tmp_path / "o.jsonl").read_bytes() == b""


def test_the_error_for_an_arrow_table_without_pyarrow_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(glmv.InvalidRequestError, match=r'a Producer needs pyarrow: pip install "glmv\[batch\]"'):
        items(Producer())


def test_answers_can_be_joined_to_the_source_table_by_key(emulator: Emulator, tmp_path: Path) -> None:
    polars = pytest.importorskip("polars")
    colors = ["red", "green", "blue"]
    frame = polars.DataFrame({"id": [30, 10, 20], "image": [png(color) for color in colors], "color": colors})
    job = Job(frame, "Which colour?", model=MODEL, api_key=emulator.api_key, base_url=emulator.base_url)
    job.write(tmp_path / "o.parquet")
    joined = frame.join(polars.read_parquet(tmp_path / "o.parquet"), left_on="id", right_on="key")
    assert len(joined) == 3
    assert all(row["color"] in row["text"].lower() for row in joined.iter_rows(named=True))
    again = Job(frame, "Which colour?", model=MODEL, api_key=emulator.api_key, base_url=emulator.base_url)
    again.write(tmp_path / "o.jsonl", ledger=tmp_path / "o.parquet.ledger")
    assert {json.loads(line)["key"] for line in (tmp_path / "o.jsonl").read_text().splitlines()} == {10, 20, 30}
    assert again.progress.known == 3


def test_an_integer_or_a_tuple_is_accepted_as_the_key_of_an_item(emulator: Emulator) -> None:
    results = [Item(5, png("red")), Item((1, 2), png("blue"))]
    job = Job(results, "?", model=MODEL, api_key=emulator.api_key, base_url=emulator.base_url)
    assert {row.key: row.ok for row in job.rows()} == {5: True, (1, 2): True}


@pytest.mark.parametrize(
    "column", [pa.array(["a.png", "b.png"]), pa.chunked_array([["a.png"], ["b.png"]])], ids=["array", "chunked array"]
)
def test_a_pyarrow_column_is_read_as_a_list_of_items(column: Any) -> None:
    assert [item.source for item in items(column)] == ["a.png", "b.png"]


@pytest.mark.parametrize("kind", ["bytes", "file", "text"])
def test_an_open_file_as_source_is_refused_and_not_read_in_lines(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png("red"))
    source = {"bytes": lambda: io.BytesIO(png("red")), "file": lambda: path.open("rb"), "text": lambda: path.open()}[
        kind
    ]()
    with source, pytest.raises(glmv.InvalidRequestError, match=r"is an open file .*: pass its path"):
        list(items(source))
