"""What people have -> items, one after the other: folders, patterns, tables, data sets, anything that can be iterated.

Nothing is read ahead: memory does not grow with the number of items. What the programmer names is meant to be read,
and so is what stands in the picture's column of a table that they name; a file that is no picture is refused by its
first bytes.
"""

import csv
import glob
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import glmv

# What is taken out of a folder: all pictures, and those videos that models take.
_IN_FOLDERS = (*glmv.Image.suffixes, ".mp4", ".mkv", ".mov", ".webm")
# Columns that hold the picture, and the key, when nobody says which.
PICTURE_COLUMNS = ("image", "picture", "photo", "path", "file", "url", "image_url", "video")
KEY_COLUMNS = ("key", "id")

_DATA = "data:"

# Names of a folder up to here are put in order; of a larger one they come as the file system has them, because
# sorting needs all of them in memory.
_SORTED = 20_000
_ROWS = 64  # rows of a table at a time: they may hold pictures
_BUFFER = 1024 * 1024  # bytes of each column that are read ahead
_FIELD = 32 * 1024 * 1024  # characters of a field of a CSV file, which may be a picture as a data URI


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to ask about.

    Attributes:
        name: what its row is called in the output.
        source: a path, an http(s) URL, bytes, a Pillow picture, or a part of `glmv`; None when there is no picture:
            a function as `messages` may make all of the request out of the columns, anything else fails.
        columns: the row of the table that it came from.
    """

    name: str
    source: Any = field(default=None, repr=False)
    columns: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> Path | None:
        """The file to read, if it is one."""
        match self.source:
            case os.PathLike():
                return Path(self.source)
            case str() if "://" not in self.source and not self.source.startswith(_DATA):
                return Path(self.source)
            case _:
                return None

    def part(self) -> glmv.Image | glmv.Video | glmv.File | None:
        """Read it: the part that is sent. To be called in a worker thread.

        Raises:
            GLMVError: there is no such file, or it is neither picture nor video.
        """
        match self.source:
            case None:
                return None
            case glmv.Image() | glmv.Video() | glmv.File():
                return self.source
            case str() if self.path is None:
                return _kind(self.source.partition("?")[0]).from_url(self.source)
            case str() | os.PathLike():
                return _kind(self.source).from_path(self.source)
            case bytes() | bytearray() | memoryview():
                return _measured(bytes(self.source), self.name)
            case _:
                return glmv.Image.from_pil(self.source, name=self.name)


# The annotations above are not strings: strings would be looked up in the module `glmv_batch`, which lacks their names.
Item.__module__ = "glmv_batch"


def _kind(name: str | os.PathLike[str]) -> type[glmv.Image | glmv.Video]:
    return glmv.Video if Path(name).suffix.lower() in glmv.Video.suffixes else glmv.Image


def _measured(data: bytes, name: str) -> glmv.Image | glmv.Video:
    try:
        return glmv.Image.from_bytes(data, name=name)
    except glmv.UnsupportedContent:
        return glmv.Video.from_bytes(data, name=name)


def items(source: Any, column: str | None = None) -> Iterator[Item]:
    """A folder, a pattern, a table, a file, a data set or an iterable -> items.

    Args:
        source: a path (folder, picture, video, CSV, TSV, JSON lines, Parquet), a pattern such as `photos/*.jpg`, a
            table of pyarrow or pandas, a data set of Hugging Face or Ray, or an iterable of `Item`, paths, URLs,
            bytes, Pillow pictures, parts of `glmv` or rows (mappings). Paths in a file are relative to that file.
        column: the table's column that holds the picture; None takes the first that is filled of those which
            are named in `PICTURE_COLUMNS`.

    Raises:
        InvalidRequestError: at once when there is nothing of that name, and at the first row without such a column.
    """
    match source:
        case str() | os.PathLike():
            found = _place(os.fspath(source), column)
        case bytes() | bytearray() | glmv.Image() | glmv.Video() | glmv.File():
            found = _each([source], column)
        case Mapping():
            raise glmv.InvalidRequestError(
                f"A mapping is one row or one split: give a list of rows, or one of its values ({', '.join(source)})."
            )
        case _:
            found = _each(_rows_of(source), column)
    return (item if item.name else replace(item, name=str(number)) for number, item in enumerate(found, 1))


def count_of(source: Any) -> int | None:
    """How many items there are, where that can be known without using them up: the rows of a file are counted."""
    match source:
        case str() | os.PathLike() if Path(source).suffix.lower() == ".parquet":
            from pyarrow import parquet

            return int(parquet.read_metadata(source).num_rows)
        case str() | os.PathLike() if Path(source).suffix.lower() in {".jsonl", ".ndjson"}:
            with Path(source).open("rb") as file:
                return sum(1 for line in file if line.strip())
        case str() | os.PathLike():
            return sum(1 for _ in items(source))
        case bytes() | bytearray():
            return 1
        case Sized():
            return len(source)
        case _:
            return None


def _place(source: str, column: str | None) -> Iterator[Item]:
    path = Path(source)
    if path.is_dir():
        return (Item(os.path.relpath(file, path), file) for file in _files(path))
    if source.startswith(("http://", "https://")):
        return iter([Item(source, source)])
    if path.exists():
        table = _TABLES.get(path.suffix.lower())
        return iter([Item(path.name, path)]) if table is None else _table(table(path), path, column)
    if glob.has_magic(source):
        found = glob.iglob(source, recursive=True)  # noqa: PTH207 - patterns may begin at the root
        return _some((Item(name, name) for name in found if Path(name).is_file()), f"No file matches {source!r}.")
    raise glmv.InvalidRequestError(f"There is no file or folder {source!r}.")


def _some(found: Iterator[Item], otherwise: str) -> Iterator[Item]:
    first = next(found, None)
    if first is None:
        raise glmv.InvalidRequestError(otherwise)

    def whole() -> Iterator[Item]:
        yield first
        yield from found

    return whole()


def _files(folder: Path) -> Iterator[Path]:
    """The pictures and videos in a folder and in those within it; links to folders are not followed."""
    try:
        found = os.scandir(folder)
    except OSError as error:
        raise glmv.InvalidRequestError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    with found as entries:
        head = list(islice(entries, _SORTED))
        if len(head) < _SORTED:
            head.sort(key=lambda entry: entry.name)
        for entry in chain(head, entries):
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path))
            elif Path(entry.name).suffix.lower() in _IN_FOLDERS and entry.is_file():
                yield Path(entry.path)


def _table(rows: Iterator[tuple[str, dict[str, Any]]], path: Path, column: str | None) -> Iterator[Item]:
    first = True
    try:
        for where, row in rows:
            yield _item(row, column, f"{path.name}, {where}" if first else None, path.parent)
            first = False
    except glmv.GLMVError:
        raise
    except UnicodeDecodeError as error:
        raise glmv.InvalidRequestError(f"{path.name} is not UTF-8: {error}. Save it as UTF-8.") from error
    except (ValueError, OSError, csv.Error) as error:  # pyarrow's own errors are of the first two
        raise glmv.InvalidRequestError(f"{path.name} cannot be read: {error}") from error


def _csv(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    # The limit is one for the whole process: it is raised and never lowered.
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
    # Else pyarrow reads row groups whole, and a file of pictures may be one row group.
    with parquet.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER) as file:
        number = 0
        for batch in file.iter_batches(batch_size=_ROWS):
            for row in batch.to_pylist():
                number += 1
                yield f"row {number}", row


_TABLES: dict[str, Callable[[Path], Iterator[tuple[str, dict[str, Any]]]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}


def _rows_of(source: Any) -> Iterable[Any]:
    """A data set of somebody else's -> its rows; an iterable as it is."""
    if hasattr(source, "iter_rows") and hasattr(source, "map_batches"):  # ray.data.Dataset
        return source.iter_rows()  # type: ignore[no-any-return]  # Ray's own types are not asked for here
    if hasattr(source, "to_batches"):  # pyarrow.Table and its data sets
        # A data set reads ahead, sixteen batches of 131,072 rows where nobody says otherwise.
        few = {"batch_size": _ROWS, "batch_readahead": 1} if hasattr(source, "scanner") else {"max_chunksize": _ROWS}
        return (row for batch in source.to_batches(**few) for row in batch.to_pylist())
    if hasattr(source, "itertuples"):  # pandas.DataFrame; its named tuples would rename columns such as "my photo"
        names = [str(name) for name in source.columns]
        return (dict(zip(names, row, strict=True)) for row in source.itertuples(index=False, name=None))
    if isinstance(source, Iterable):
        return source
    raise glmv.InvalidRequestError(
        f"Items are a folder, a pattern, a table or an iterable; got {type(source).__name__}."
    )


def _each(rows: Iterable[Any], column: str | None) -> Iterator[Item]:
    for number, row in enumerate(rows, 1):
        match row:
            case Item():
                yield row
            case Mapping():
                yield _item(row, column, "item 1" if number == 1 else None, None)
            case str() | os.PathLike():
                yield Item(_named(os.fspath(row)), row)
            case glmv.Image() | glmv.Video() | glmv.File():
                yield Item(row.name or row.url or "", row)
            case bytes() | bytearray() | memoryview():
                yield Item("", row)
            case _ if hasattr(row, "getbbox"):  # Pillow's pictures, without importing it
                yield Item(str(getattr(row, "filename", "")), row)
            case _:
                raise glmv.InvalidRequestError(
                    f"Item {number} is {type(row).__name__}: items are paths, URLs, bytes, pictures, rows or Item."
                )


def _item(row: Mapping[str, Any], column: str | None, where: str | None, folder: Path | None) -> Item:
    """A row -> its item, without source where the row has no picture.

    Args:
        where: the first row's place, which has to have the column.
    """
    names = [name for name in ([column] if column else PICTURE_COLUMNS) if name in row]
    if not names and where is not None:
        raise glmv.InvalidRequestError(
            f"{where}: there is no column {column or ' or '.join(PICTURE_COLUMNS)}; "
            f"it has {', '.join(map(str, row)) or 'nothing'}. Name the column (`column=`, `--column`)."
        )
    columns = dict(row)
    key = next((str(row[known]) for known in KEY_COLUMNS if row.get(known) not in (None, "")), "")
    name = next((name for name in names if _filled(row[name])), None)
    if name is None:
        return Item(key, None, columns)
    source = row[name]
    if isinstance(source, Mapping):  # how Hugging Face stores a picture
        key = key or str(source.get("path") or "")
        source = source.get("bytes") or source.get("path")
    if isinstance(source, str):
        key = key or _named(source)
        if folder is not None and "://" not in source and not source.startswith(_DATA):
            source = str(folder / source)
    else:
        del columns[name]  # a picture itself is no value for a row
    return Item(key, source, columns)


def _named(source: str) -> str:
    """The name of a path or URL; a picture that stands in its own URL has none."""
    return "" if source.startswith(_DATA) else source


def _filled(value: Any) -> bool:
    """Whether there is a picture in a field; numbers are none, among them what pandas has where nothing is."""
    if isinstance(value, Mapping):
        return bool(value.get("bytes") or value.get("path"))
    return not isinstance(value, int | float) and type(value).__name__ not in {"NAType", "NaTType"} and bool(value)
