"""Rows become JSON lines or a typed table, whole or not at all."""

from __future__ import annotations

import json
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


def written(path: Path, rows: Iterable[Row], schema: Any = None) -> None:
    with sink(path, schema) as file:
        for row in rows:
            file.write(row)


def interrupted(path: Path) -> None:
    def rows() -> Iterator[Row]:
        yield FAILED
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        written(path, rows())


def table(path: Path) -> list[dict[str, Any]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    return parquet.read_table(path).to_pylist()  # type: ignore[no-any-return]


def test_a_line_of_json_holds_what_is_known_and_leaves_out_what_is_not(tmp_path: Path) -> None:
    written(tmp_path / "o.jsonl", [ANSWERED, FAILED])
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


def test_a_schema_gives_typed_columns_and_errors_are_rows_of_the_same_table(tmp_path: Path) -> None:
    written(tmp_path / "o.parquet", [ANSWERED, FAILED], schema=Receipt.model_json_schema())
    good, bad = table(tmp_path / "o.parquet")
    assert (good["shop"], good["total"], good["paid"], good["count"]) == ("Bäckerei", 4.5, True, 2)
    assert good["lines"] == [{"name": "Brot", "price": 3.0}]
    assert (good["text"], good["parsed_text"]) == ("{...}", "inner")
    assert (bad["shop"], bad["error_class"], bad["retryable"]) == (None, "RateLimitError", True)


def test_a_table_without_rows_has_its_columns_all_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    written(tmp_path / "o.parquet", [], schema=Receipt.model_json_schema())
    assert {"key", "shop", "error"} <= set(parquet.read_schema(tmp_path / "o.parquet").names)


def test_many_rows_are_written_in_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(room, "ROW_GROUP", 2)
    written(tmp_path / "o.parquet", (Row(str(number), "x") for number in range(5)))
    assert parquet.ParquetFile(tmp_path / "o.parquet").num_row_groups == 3
    assert [row["key"] for row in table(tmp_path / "o.parquet")] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_an_interrupted_run_leaves_the_old_file_whole_and_what_it_has_beside_it(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"o.{ending}"
    written(out, [ANSWERED])
    before = out.read_bytes()
    interrupted(out)
    assert out.read_bytes() == before
    assert out.with_name(f"{out.name}.part").stat().st_size > 0


def test_a_first_run_that_is_interrupted_leaves_its_rows_under_the_files_name(tmp_path: Path) -> None:
    interrupted(tmp_path / "o.jsonl")
    assert json.loads((tmp_path / "o.jsonl").read_text())["key"] == "b.png"


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_half_a_character_in_an_answer_breaks_no_file(tmp_path: Path, ending: str) -> None:
    written(tmp_path / f"o.{ending}", [Row("a", "x\ud800")])
    if ending == "jsonl":
        assert json.loads((tmp_path / "o.jsonl").read_bytes())["text"] == "x\ud800"
    else:
        assert table(tmp_path / "o.parquet")[0]["text"] == "x?"


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"\.jsonl or \.parquet; got '\.xlsx'"):
        sink(tmp_path / "o.xlsx", None)


def test_a_property_with_the_name_of_a_fact_gets_a_column_of_its_own(tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {name: {"type": "string"} for name in ("text", "parsed_text", "Model")}}
    said = {"text": "of the picture", "parsed_text": "too", "Model": "T"}
    written(tmp_path / "o.parquet", [Row("a", "{}", said)], schema=schema)
    [row] = table(tmp_path / "o.parquet")
    assert (row["text"], row["parsed_parsed_text"], row["parsed_text"]) == ("{}", "of the picture", "too")
    assert (row["model"], row["parsed_Model"]) == (None, "T")  # SQL would take one for the other


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a device that is always full")
@pytest.mark.parametrize("ending", [".jsonl", ".parquet"])
def test_a_disk_without_room_for_the_rows_is_told(tmp_path: Path, ending: str) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / f"o{ending}.part").symlink_to("/dev/full")
    with pytest.raises(glmv.LimitExceeded, match=r"No space left on device.*the ledger has every answer"):
        written(tmp_path / f"o{ending}", [ANSWERED] * 3)
    assert not (tmp_path / f"o{ending}").exists()
