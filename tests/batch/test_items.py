"""Folders, patterns, tables and data sets become items, one after the other."""

from __future__ import annotations

import io
import json
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest

import glmv
from glmv_batch import Item
from glmv_batch import _items as room
from glmv_batch._items import items


def picture(path: Path, color: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", (8, 8), color).save(path)
    return path


def png() -> bytes:
    file = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), "blue").save(file, "PNG")
    return file.getvalue()


def names(source: Any, column: str | None = None) -> list[str]:
    return [item.name for item in items(source, column)]


def test_a_folder_gives_its_pictures_and_videos_in_order_with_those_of_inner_folders(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "inner/c.webp"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "d.mp4").write_bytes(b"")
    assert names(tmp_path) == ["a.jpg", "b.png", "d.mp4", "inner/c.webp"]


def test_a_large_folder_is_walked_without_sorting_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_SORTED", 3)
    expected = {picture(tmp_path / f"{number}.png").name for number in range(10)}
    found = names(tmp_path)
    assert set(found) == expected
    assert len(found) == 10


def test_a_pattern_gives_the_files_that_match(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.jpg")
    assert names(str(tmp_path / "*.png")) == [str(tmp_path / "a.png")]


@pytest.mark.parametrize("missing", ["nowhere", "nowhere/*.jpg"])
def test_what_is_not_there_is_said_at_once(tmp_path: Path, missing: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="nowhere"):
        items(str(tmp_path / missing))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_tables_are_read_with_paths_relative_to_them_and_their_columns_kept(tmp_path: Path, ending: str) -> None:
    picture(tmp_path / "a.png")
    table = tmp_path / f"table{ending}"
    row = {"id": "first", "image": "a.png", "shelf": "3"}
    match ending:
        case ".jsonl":
            table.write_text(json.dumps(row) + "\n\n")
        case ".parquet":
            pa = pytest.importorskip("pyarrow")
            from pyarrow import parquet

            parquet.write_table(pa.Table.from_pylist([row]), table)
        case _:
            mark = "\t" if ending == ".tsv" else ","
            table.write_text(mark.join(row) + "\n" + mark.join(row.values()) + "\n", "utf-8-sig")
    [item] = items(table)
    assert (item.name, item.path, item.columns["shelf"]) == ("first", tmp_path / "a.png", "3")
    assert isinstance(item.part(), glmv.Image)


def test_the_column_of_the_picture_can_be_named(tmp_path: Path) -> None:
    [item] = items([{"image": "https://example.com/wrong.png", "front": "https://example.com/right.png"}], "front")
    assert item.part() == glmv.Image.from_url("https://example.com/right.png")


def test_a_row_without_picture_names_the_row_and_what_it_has(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image,price\na.png,3\n,4\n")
    with pytest.raises(glmv.InvalidRequestError, match=r"t\.csv, row 2: no picture in column .*it has image, price"):
        list(items(table))


@pytest.mark.parametrize(("line", "told"), [("{", "line 2 is not JSON"), ("[1]", "line 2 is not a JSON object")])
def test_a_broken_line_of_json_is_named(tmp_path: Path, line: str, told: str) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text('{"image": "a.png"}\n' + line)
    with pytest.raises(glmv.InvalidRequestError, match=told):
        list(items(table))


def test_everything_people_have_in_a_list_becomes_a_part(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    given = [
        str(path),
        path,
        "https://example.com/a.png",
        png(),
        PIL.Image.open(path),
        glmv.Image.from_bytes(png(), name="mine"),
        {"image": {"bytes": png(), "path": "hf.png"}},
        Item("own", png()),
    ]
    found = list(items(given))
    assert [item.name for item in found] == [
        str(path),
        str(path),
        "https://example.com/a.png",
        "4",
        str(path),
        "mine",
        "hf.png",
        "own",
    ]
    assert all(isinstance(item.part(), glmv.Image) for item in found)


def test_a_url_of_a_video_is_a_video() -> None:
    [item] = items(["https://example.com/clip.mp4?token=1"])
    assert isinstance(item.part(), glmv.Video)


def test_data_sets_with_rows_of_their_own_are_iterated_as_they_want(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    rows = [{"image": "https://example.com/a.png", "n": 1}, {"image": "https://example.com/b.png", "n": 2}]
    ray = SimpleNamespace(iter_rows=lambda: iter(rows), map_batches=None)
    assert names(ray) == names(pa.Table.from_pylist(rows)) == names(rows)


def test_an_endless_source_is_read_one_by_one() -> None:
    found = items(f"https://example.com/{number}.png" for number in count())
    assert [item.name for item in islice(found, 2)] == ["https://example.com/0.png", "https://example.com/1.png"]


@pytest.mark.parametrize("wrong", [7, {"train": []}, [7]])
def test_what_is_no_item_is_refused_by_name(wrong: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"int|mapping"):
        list(items(wrong))


def test_a_picture_in_a_row_is_not_kept_as_a_column() -> None:
    [item] = items([{"image": png(), "shelf": 3}])
    assert dict(item.columns) == {"shelf": 3}
