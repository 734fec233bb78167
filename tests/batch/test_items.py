"""Folders, patterns, tables and data sets become items, one after the other."""

from __future__ import annotations

import base64
import io
import json
import os
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import PIL.Image
import pytest

import glmv
from glmv_batch import Item
from glmv_batch import _items as room
from glmv_batch._items import count_of, items


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


def test_a_folder_gives_pictures_and_videos_of_all_sub_folders_in_order(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "inner/c.webp"):
        picture(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "d.mp4").write_bytes(b"")
    assert names(tmp_path) == ["a.jpg", "b.png", "d.mp4", "inner/c.webp"]


def test_a_folder_gives_files_of_all_picture_formats_and_supported_videos(tmp_path: Path) -> None:
    for name in ("a.PGM", "b.j2k", "c.tga", "d.heif", "e.mkv", "f.avi", "g.ts", "h.txt"):
        (tmp_path / name).touch()
    assert names(tmp_path) == ["a.PGM", "b.j2k", "c.tga", "d.heif", "e.mkv"]


def test_a_large_folder_is_read_without_sorting_and_each_file_is_an_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_SORTED", 3)
    expected = {picture(tmp_path / f"{number}.png").name for number in range(10)}
    result = names(tmp_path)
    assert set(result) == expected
    assert len(result) == 10


def test_a_pattern_gives_the_files_that_match(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.jpg")
    assert names(str(tmp_path / "*.png")) == [str(tmp_path / "a.png")]


@pytest.mark.parametrize("missing", ["nowhere", "nowhere/*.jpg"])
def test_a_path_that_does_not_exist_raises_before_the_first_item(tmp_path: Path, missing: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="nowhere"):
        items(str(tmp_path / missing))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_paths_in_a_table_are_relative_to_the_table_and_its_columns_are_kept(tmp_path: Path, ending: str) -> None:
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


def test_the_column_that_holds_the_picture_can_be_chosen_by_name(tmp_path: Path) -> None:
    [item] = items([{"image": "https://example.com/wrong.png", "front": "https://example.com/right.png"}], "front")
    assert item.part() == glmv.Image.from_url("https://example.com/right.png")


def test_the_error_for_a_missing_column_names_the_row_and_the_existing_columns(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("front,price\na.png,3\n")
    with pytest.raises(glmv.InvalidRequestError, match=r"t\.csv, row 1: there is no column .*the row has front, price"):
        list(items(table))


def test_a_row_without_picture_is_an_item_without_picture(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("image,id\na.png,3\n,4\n")
    assert [(item.name, item.source is None) for item in items(table)] == [("3", False), ("4", True)]
    nothing = [None, "", float("nan"), {"bytes": None, "path": None}]
    rows: list[dict[str, Any]] = [{"image": nothing[0]}, *({"image": value} for value in nothing), {"id": 6}]
    assert [item.source for item in items(rows)] == [None] * 6


def test_the_error_for_an_unreadable_table_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("image,标题\na.png,红色\n".encode("gbk"))
    with pytest.raises(glmv.InvalidRequestError, match=r"t\.csv is not UTF-8: .*Save it as UTF-8"):
        list(items(tmp_path / "t.csv"))
    pytest.importorskip("pyarrow")
    (tmp_path / "t.parquet").write_bytes(b"no table")
    with pytest.raises(glmv.InvalidRequestError, match=r"t\.parquet cannot be read"):
        list(items(tmp_path / "t.parquet"))


def test_an_unreadable_folder_raises_an_error_that_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(folder: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.scandir", refused)
    with pytest.raises(glmv.InvalidRequestError, match="cannot be read: Permission denied"):
        list(items(tmp_path))


def test_a_data_uri_in_a_table_is_read_as_a_picture(tmp_path: Path) -> None:
    data = base64.b64encode(png() + bytes(150_000)).decode()
    (tmp_path / "t.csv").write_text(f'image,shelf\n"data:image/png;base64,{data}",3\n')
    [item] = items(tmp_path / "t.csv")
    assert item.name == "1"
    part = item.part()
    assert isinstance(part, glmv.Image)
    assert part.size == len(png()) + 150_000
    assert names([f"data:image/png;base64,{data}"]) == ["1"]


def test_a_data_frame_column_whose_name_is_not_an_identifier_keeps_its_name() -> None:
    """pandas' named tuples would rename the second column to `_1`."""
    frame = SimpleNamespace(
        columns=["my photo", "class"],
        itertuples=lambda index, name: [("https://example.com/a.png", "shoe")] if name is None else [],
    )
    [item] = items(frame, "my photo")
    assert item.columns == {"my photo": "https://example.com/a.png", "class": "shoe"}


def test_a_pyarrow_data_set_is_read_in_batches_of_64_rows(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import dataset, parquet

    table = pa.table({"image": [f"https://example.com/{number}.png" for number in range(200)]})
    parquet.write_table(table, tmp_path / "t.parquet")
    assert len(names(dataset.dataset(tmp_path / "t.parquet"))) == 200
    read: list[dict[str, int]] = []
    few = SimpleNamespace(to_batches=lambda **how: read.append(how) or [], scanner=None)
    assert names(few) == []
    assert read == [{"batch_size": 64, "batch_readahead": 1}]


def test_the_number_of_items_of_a_source_is_counted_and_is_none_for_an_iterator(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('image,title\na.png,"two\nlines"\nb.png,one\n')
    assert count_of(str(tmp_path / "t.csv")) == 2
    (tmp_path / "t.jsonl").write_text('{"image": "a.png"}\n\n{"image": "b.png"}\n')
    assert count_of(tmp_path / "t.jsonl") == 2
    assert count_of(png()) == 1
    assert count_of([1, 2, 3]) == 3
    assert count_of(iter([1, 2, 3])) is None


@pytest.mark.parametrize(("line", "message"), [("{", "line 2 is not JSON"), ("[1]", "line 2 is not a JSON object")])
def test_the_error_for_a_line_that_is_not_a_json_object_names_the_line_number(
    tmp_path: Path, line: str, message: str
) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text('{"image": "a.png"}\n' + line)
    with pytest.raises(glmv.InvalidRequestError, match=message):
        list(items(table))


def test_paths_urls_bytes_pictures_and_items_in_a_list_become_content_parts(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    entries = [
        str(path),
        path,
        "https://example.com/a.png",
        png(),
        PIL.Image.open(path),
        glmv.Image.from_bytes(png(), name="mine"),
        {"image": {"bytes": png(), "path": "hf.png"}},
        Item("own", png()),
    ]
    result = list(items(entries))
    assert [item.name for item in result] == [
        str(path),
        str(path),
        "https://example.com/a.png",
        "4",
        str(path),
        "mine",
        "hf.png",
        "own",
    ]
    assert all(isinstance(item.part(), glmv.Image) for item in result)


def test_a_url_of_a_video_becomes_a_video_part() -> None:
    [item] = items(["https://example.com/clip.mp4?token=1"])
    assert isinstance(item.part(), glmv.Video)


def test_data_sets_of_ray_and_pyarrow_give_the_items_of_their_rows(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    rows = [{"image": "https://example.com/a.png", "n": 1}, {"image": "https://example.com/b.png", "n": 2}]
    ray = SimpleNamespace(iter_rows=lambda: iter(rows), map_batches=None)
    assert names(ray) == names(pa.Table.from_pylist(rows)) == names(rows)


def test_items_of_an_endless_source_are_read_one_by_one() -> None:
    rows = items(f"https://example.com/{number}.png" for number in count())
    assert [item.name for item in islice(rows, 2)] == ["https://example.com/0.png", "https://example.com/1.png"]


@pytest.mark.parametrize("wrong", [7, {"train": []}, [7]])
def test_the_error_for_an_unsupported_item_names_its_type(wrong: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"int|mapping"):
        list(items(wrong))


def test_a_picture_in_a_row_is_not_kept_as_a_column() -> None:
    [item] = items([{"image": png(), "shelf": 3}])
    assert dict(item.columns) == {"shelf": 3}


def test_a_large_parquet_file_of_pictures_is_read_in_parts_to_save_memory(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    few = [pa.record_batch({"picture": [b"\x89PNG" + os.urandom(100_000) for _ in range(50)]}) for _ in range(16)]
    parquet.write_table(pa.Table.from_batches(few), tmp_path / "t.parquet")  # 80 MB in one row group
    del few
    result = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - result for _ in items(tmp_path / "t.parquet"))
    assert most < 40_000_000


TINY = base64.b64encode(png()).decode()
LARGE = base64.b64encode(png() + bytes(range(256)) * 1000).decode()


@pytest.mark.parametrize("text", [TINY, LARGE, base64.encodebytes(png()).decode()])
def test_base64_of_a_picture_is_read_as_the_picture_and_not_used_as_the_items_name(text: str, tmp_path: Path) -> None:
    table = tmp_path / "pictures.jsonl"
    table.write_text(json.dumps({"image": text}))
    for source in ([text], text, [{"image": text}], table):
        (item,) = items(source)
        assert item.name == "1"
        assert item.path is None
        assert not item.columns
        assert isinstance(item.part(), glmv.Image)
        assert count_of(source) == 1


def test_a_file_whose_name_looks_like_base64_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = picture(tmp_path / ("a" * 80 + ".png"))
    monkeypatch.chdir(tmp_path)
    (item,) = items([file.name])
    assert item.name == file.name
    assert isinstance(item.part(), glmv.Image)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "The source '' is empty"),
        ("  ", "is empty"),
        ("x" * 5000, "There is no file or folder 'xxx"),
        (["a/0.parquet", "a/1.parquet"], "Item 1 is a table, 'a/0.parquet'"),
        ([Path("a.csv")], "Item 1 is a table, 'a.csv'"),
    ],
)
def test_a_source_without_pictures_is_refused_at_once(source: Any, message: str) -> None:
    count_of(source)
    with pytest.raises(glmv.InvalidRequestError) as refusal:
        list(items(source))
    assert message in str(refusal.value)
    assert len(str(refusal.value)) < 400
