"""Rows are written as JSON lines or a typed table, completely or not at all."""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import json
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

import glmv
from glmv_batch import Row
from glmv_batch import _parquet as room
from glmv_batch._sinks import sink


class Line(pydantic.BaseModel):
    name: str
    price: float | None = None


class Receipt(pydantic.BaseModel):
    shop: str
    total: float
    paid: bool
    count: int
    lines: list[Line] = []
    text: str = ""


ANSWERED = Row(
    "a.png",
    "{...}",
    Receipt(shop="Bäckerei", total=4.5, paid=True, count=2, lines=[Line(name="Brot", price=3)], text="inner"),
    glmv.Usage(100, 20, 120),
    "glm-4v-flash",
    1,
    0.51234,
    notes=("fitted",),
)
FAILED = Row("b.png", error="busy", error_class="RateLimitError", code="1302", retryable=True, attempts=4)


def write_rows(path: Path, rows: Iterable[Row], schema: Any = None) -> None:
    with sink(path, schema) as file:
        for row in rows:
            file.write(row)


def interrupted(path: Path) -> None:
    def rows() -> Iterator[Row]:
        yield FAILED
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, rows())


def table(path: Path) -> list[dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pylist()  # type: ignore[no-any-return]


def test_a_line_of_a_json_lines_file_leaves_out_unknown_values(tmp_path: Path) -> None:
    write_rows(tmp_path / "o.jsonl", [ANSWERED, FAILED])
    first, second = map(json.loads, (tmp_path / "o.jsonl").read_text("utf-8").splitlines())
    assert first["parsed"]["lines"] == [{"name": "Brot", "price": 3.0}]
    assert (first["prompt_tokens"], first["completion_tokens"], first["seconds"]) == (100, 20, 0.512)
    assert second == {
        "key": "b.png",
        "error": "busy",
        "error_class": "RateLimitError",
        "code": "1302",
        "retryable": True,
        "attempts": 4,
    }


def test_a_parquet_file_has_columns_typed_by_the_schema_and_keeps_failed_rows(tmp_path: Path) -> None:
    write_rows(tmp_path / "o.parquet", [ANSWERED, FAILED], schema=Receipt.model_json_schema())
    good, bad = table(tmp_path / "o.parquet")
    assert (good["shop"], good["total"], good["paid"], good["count"]) == ("Bäckerei", 4.5, True, 2)
    assert good["lines"] == [{"name": "Brot", "price": 3.0}]
    assert (good["text"], good["parsed_text"]) == ("{...}", "inner")
    assert (bad["shop"], bad["error_class"], bad["retryable"]) == (None, "RateLimitError", True)


def test_a_parquet_file_without_rows_has_all_columns(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(tmp_path / "o.parquet", [], schema=Receipt.model_json_schema())
    assert {"key", "shop", "error"} <= set(parquet.read_schema(tmp_path / "o.parquet").names)


def test_rows_of_a_parquet_file_are_written_in_several_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(room, "ROW_GROUP", 2)
    write_rows(tmp_path / "o.parquet", (Row(str(number), "x") for number in range(5)))
    assert parquet.ParquetFile(tmp_path / "o.parquet").num_row_groups == 3
    assert [row["key"] for row in table(tmp_path / "o.parquet")] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_interrupted_run_leaves_a_partial_file_and_does_not_change_the_old_output(
    tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"o.{ending}"
    write_rows(out, [ANSWERED])
    before = out.read_bytes()
    interrupted(out)
    assert out.read_bytes() == before
    assert out.with_name(f"{out.name}.part").stat().st_size > 0


def test_an_interrupted_first_run_writes_its_rows_to_the_output_file(tmp_path: Path) -> None:
    interrupted(tmp_path / "o.jsonl")
    assert json.loads((tmp_path / "o.jsonl").read_text())["key"] == "b.png"


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_a_lone_surrogate_in_an_answer_does_not_break_the_output_file(tmp_path: Path, ending: str) -> None:
    write_rows(tmp_path / f"o.{ending}", [Row("a", "x\ud800")])
    if ending == "jsonl":
        assert json.loads((tmp_path / "o.jsonl").read_bytes())["text"] == "x\ud800"
    else:
        assert table(tmp_path / "o.parquet")[0]["text"] == "x?"


def test_an_output_file_with_an_unknown_extension_is_refused(tmp_path: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"\.jsonl or \.parquet file; got '\.xlsx'"):
        sink(tmp_path / "o.xlsx", None)


def test_a_property_named_like_a_built_in_column_gets_a_column_with_a_prefix(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ("text", "parsed_text", "Model")}}
    values = {"text": "of the picture", "parsed_text": "too", "Model": "T"}
    write_rows(tmp_path / "o.parquet", [Row("a", "{}", values)], schema=schema)
    [row] = table(tmp_path / "o.parquet")
    assert (row["text"], row["parsed_parsed_text"], row["parsed_text"]) == ("{}", "of the picture", "too")
    assert (row["model"], row["parsed_Model"]) == (None, "T")  # SQL would take one for the other


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_the_error_for_a_full_disk_says_that_the_ledger_has_every_answer(tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / f"o{ending}.part").symlink_to("/dev/full")
    with pytest.raises(glmv.LimitExceeded, match=r"No space left on device.*the ledger has every answer"):
        write_rows(tmp_path / f"o{ending}", [ANSWERED] * 3)
    assert not (tmp_path / f"o{ending}").exists()


def write_with_columns(path: Path, rows: Iterable[Row], keep: Any, schema: Any = None) -> None:
    with sink(path, schema, keep) as file:
        for row in rows:
            file.write(row)


def cells(path: Path, separator: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


@pytest.mark.parametrize(("ending", "separator"), [("csv", ","), ("tsv", "\t")])
def test_a_csv_or_tsv_file_has_failed_rows_and_properties_and_multi_line_texts(
    tmp_path: Path, ending: str, separator: str
) -> None:
    out = tmp_path / f"o.{ending}"
    odd = Row(3, 'a "quoted" line,\nand\tanother; 中文', notes=("fitted", "cut"), columns={})
    write_rows(out, [ANSWERED, FAILED, odd], schema=Receipt.model_json_schema())
    good, bad, third = cells(out, separator)
    assert (good["shop"], good["total"], good["paid"], good["count"]) == ("Bäckerei", "4.5", "true", "2")
    assert json.loads(good["lines"]) == [{"name": "Brot", "price": 3.0}]
    assert (good["text"], good["parsed_text"], good["prompt_tokens"]) == ("{...}", "inner", "100")
    assert (bad["key"], bad["text"], bad["shop"], bad["retryable"]) == ("b.png", "", "", "true")
    assert (third["key"], third["text"]) == ("3", odd.text)
    assert json.loads(third["notes"]) == ["fitted", "cut"]


def test_polars_and_duckdb_can_read_a_csv_file_of_answers(tmp_path: Path) -> None:
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    write_with_columns(
        tmp_path / "o.csv", [Row(number, f"t{number}, =1", columns={"n": number / 2}) for number in range(3)], ["n"]
    )
    for frame in (polars.read_csv(tmp_path / "o.csv"), duckdb.read_csv(str(tmp_path / "o.csv")).pl()):
        assert frame["key"].to_list() == [0, 1, 2]
        assert frame["text"].to_list() == ["t0, =1", "t1, =1", "t2, =1"]
        assert frame["n"].to_list() == [0.0, 0.5, 1.0]


def test_a_csv_file_without_rows_has_the_header_line(tmp_path: Path) -> None:
    write_with_columns(tmp_path / "o.csv", [], ["price"], schema=Receipt.model_json_schema())
    header = (tmp_path / "o.csv").read_text("utf-8").splitlines()[0].split(",")
    assert header[:3] == ["key", "price", "shop"]
    assert {"text", "error"} <= set(header)


COLUMNS = {"id": 7, "text": "of the source", "day": dt.date(2026, 1, 2), "key": 7, "raw": b"\x01\xff", "gone": None}


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_only_the_chosen_columns_of_the_source_are_copied_into_the_output(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"o.{ending}"
    write_with_columns(out, [Row(7, "answer", columns=COLUMNS)], ["id", "text", "day"])
    [row] = read(out)
    assert (row["id"], row["text"], row["source_text"]) == (row["key"], "answer", "of the source")
    assert row["day"] == (COLUMNS["day"] if ending == "parquet" else "2026-01-02")
    assert list(row)[:4] == ["key", "id", "source_text", "day"]
    assert "raw" not in row


def read(out: Path) -> list[dict[str, Any]]:
    match out.suffix:
        case ".jsonl":
            return [json.loads(line) for line in out.read_text("utf-8").splitlines()]
        case ".csv":
            return list(cells(out))
        case _:
            return table(out)


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_all_columns_of_the_source_except_pictures_can_be_copied_into_the_output(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"o.{ending}"
    picture = {"image": "data:image/png;base64,AAAA"}
    write_with_columns(out, [Row(7, "answer", columns={**COLUMNS, **picture}), FAILED], True)
    first, second = read(out)
    nothing = "" if ending == "csv" else None
    assert first["raw"] == (b"\x01\xff" if ending == "parquet" else "01ff")
    assert first["gone"] == nothing
    assert second.get("id", nothing) == nothing
    assert "image" not in first
    assert "source_key" not in first


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_later_rows_with_new_columns_and_new_types_of_values_are_written(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "ROW_GROUP", 2)
    out = tmp_path / f"o.{ending}"
    rows = [
        Row(1, "a", columns={"n": None, "o": {"x": 1}}),
        Row(2, "b", columns={"n": None, "o": {"x": 2}}),
        Row(3, "c", columns={"n": 5, "o": {"x": "three"}, "late": "new"}),
        Row(4, "d", columns={"n": 6, "o": None, "late": 'with "quotes",\nlines'}),
        Row("five", "e", columns={"n": 6.5, "o": [1], "late": 2**70}),
    ]
    write_with_columns(out, rows, True)
    result = read(out)
    assert [row["text"] for row in result] == ["a", "b", "c", "d", "e"]
    assert [str(row["key"]) for row in result] == ["1", "2", "3", "4", "five"]
    numbers = [float(row["n"]) if row["n"] not in (None, "") else None for row in result]
    assert numbers == [None, None, 5.0, 6.0, 6.5]
    assert [str(row.get("late") or "") for row in result] == ["", "", "new", 'with "quotes",\nlines', str(2**70)]
    assert [json.loads(o) if isinstance(o, str) and o else o or None for o in (row["o"] for row in result)] == [
        {"x": 1}, {"x": 2}, {"x": "three"}, None, [1],
    ]  # fmt: skip


KEY_TYPES = {
    "int": ([3, 1, 2**40], "int64"),
    "text": (["3", "a"], "string"),
    "mixed": ([3, "a"], "string"),
    "float": ([1.5, 2.0], "double"),
    "date": ([dt.date(2026, 1, 2)], "date32[day]"),
    "decimal": ([decimal.Decimal("1.50")], "decimal128(3, 2)"),
    "huge": ([2**80], "string"),
    "uuid": ([uuid.UUID(int=7)], "string"),
}


@pytest.mark.parametrize(("keys", "kind"), KEY_TYPES.values(), ids=KEY_TYPES)
def test_the_key_column_of_a_parquet_file_has_the_type_of_the_keys(tmp_path: Path, keys: list[Any], kind: str) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    write_rows(tmp_path / "o.parquet", [Row(key, "x") for key in keys])
    column = parquet.read_table(tmp_path / "o.parquet")["key"]
    text = str(column.type)
    assert text == kind or (kind == "string" and "uuid" in text)
    if kind != "string":
        assert column.to_pylist() == keys


@pytest.mark.parametrize("wrong", ["id", 3, {"id": 1}])
def test_the_option_keep_columns_must_be_true_or_a_list_of_names(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="keep_columns must be a list of names, or True for all; got"):
        sink(tmp_path / "o.jsonl", None, wrong)


def claimed(out: Path, error: BaseException | None = None) -> None:
    with sink(out, None) as file:
        file.claim()
        if error is not None:
            raise error
        file.write(FAILED)


def test_a_second_job_cannot_write_an_output_that_a_running_job_writes(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    with sink(out, None) as first:
        first.claim()
        for _ in range(2):
            with pytest.raises(glmv.InvalidRequestError, match=r"Another job writes .*o\.jsonl: .* o\.jsonl\.part"):
                claimed(out)
            first.write(ANSWERED)
    assert [row["key"] for row in read(out)] == ["a.png", "a.png"]
    claimed(out)
    assert [row["key"] for row in read(out)] == ["b.png"]


def test_locking_an_output_keeps_the_rows_of_an_earlier_run(tmp_path: Path) -> None:
    out, part = tmp_path / "o.jsonl", tmp_path / "o.jsonl.part"
    part.write_text("rows of a run that was killed\n")
    with pytest.raises(KeyboardInterrupt):
        claimed(out, KeyboardInterrupt())
    assert part.read_text() == "rows of a run that was killed\n"
    part.unlink()
    with pytest.raises(KeyboardInterrupt):
        claimed(out, KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == []


HOLD = """
import sys, pathlib
from glmv_batch import Row
from glmv_batch._sinks import sink
with sink(pathlib.Path(sys.argv[1]), None) as file:
    file.claim()
    file.write(Row("theirs", "x"))
    print("held", flush=True)
    sys.stdin.read()
"""


def test_an_output_can_be_written_after_the_process_that_locked_it_was_killed(tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(glmv.InvalidRequestError, match="Another job writes"):
            claimed(out)
        other.kill()
    write_rows(out, [ANSWERED])
    assert [row["key"] for row in read(out)] == ["a.png"]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("answer", ["one\rtwo", "one\r\ntwo", "\r", "x" * 200_000])
def test_an_answer_in_a_csv_or_tsv_file_is_read_back_unchanged(tmp_path: Path, ending: str, answer: str) -> None:
    csv.field_size_limit(131_072)  # as Python begins
    out = tmp_path / f"o.{ending}"
    rows = [Row("a", answer), Row("b", "short", columns={"late": "\r"})]
    with sink(out, None, True) as file:
        for row in rows:
            file.write(row)
    csv.field_size_limit(max(csv.field_size_limit(), 200_000))
    with out.open(encoding="utf-8", newline="") as text:
        records = list(csv.DictReader(text, delimiter="\t" if ending == "tsv" else ","))
    assert [(row["key"], row["text"], row["late"]) for row in records] == [("a", answer, ""), ("b", "short", "\r")]


@pytest.mark.parametrize(("key", "line"), [(float("inf"), None), (None, None), (b"\x0a\xff", "0aff")])
def test_a_key_that_json_cannot_represent_can_be_written_to_every_output_format(
    tmp_path: Path, key: Any, line: Any
) -> None:
    for ending in ("jsonl", "csv", "parquet"):
        write_rows(tmp_path / f"o.{ending}", [Row(key, "x")])
    assert json.loads((tmp_path / "o.jsonl").read_text("utf-8"))["key"] == line
    assert (tmp_path / "o.csv").read_text("utf-8").splitlines()[1].startswith(f"{line or ''},x,")
    assert table(tmp_path / "o.parquet")[0]["key"] == key


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("keep", [True, [0, None]])
def test_columns_of_the_source_whose_names_are_not_strings_are_kept(tmp_path: Path, ending: str, keep: Any) -> None:
    out = tmp_path / f"o.{ending}"
    columns: Any = {0: "first", None: "nameless"}
    with sink(out, None, keep) as file:
        file.write(Row("a", "x", columns=columns))
    if ending == "parquet":
        (row,) = table(out)
    elif ending == "csv":
        (row,) = csv.DictReader(out.read_text("utf-8").splitlines())
    else:
        row = json.loads(out.read_text("utf-8"))
    assert (row["0"], row["None"]) == ("first", "nameless")


@pytest.mark.parametrize("later", [None, {"a": 1}, 5])
@pytest.mark.parametrize("value", [{}, [{}], {"inner": {"most": {}}}])
def test_objects_without_fields_are_written_to_parquet_as_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any, later: Any
) -> None:
    monkeypatch.setattr(room, "ROW_GROUP", 1)
    with sink(tmp_path / "o.parquet", None, True) as file:
        for number, one in enumerate([value, later]):
            file.write(Row(number, "x", columns={"more": one}))
    first, second = table(tmp_path / "o.parquet")
    assert json.loads(first["more"]) == value
    assert second["more"] == (None if later is None else json.dumps(later))


def test_an_interval_of_time_is_written_to_parquet_as_text(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    (columns,) = duckdb.sql("select interval 3 days as more").to_arrow_table().to_pylist()
    with sink(tmp_path / "o.parquet", None, True) as file:
        file.write(Row(1, "x", columns=columns))
    assert table(tmp_path / "o.parquet")[0]["more"] == "[0, 3, 0]"
