"""Sources -> items, one after the other: folders, patterns, tables, data sets, any iterable.

Nothing is read ahead, so memory does not grow with the number of items. Files that the programmer names are read, and
so are the paths in the picture column of a table. A file is refused if its first bytes are not those of a picture or
video.
"""

import csv
import glob
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import date, time
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any
from uuid import UUID

import glmv
from glmv_batch._tables import TABLES, length_of, rows_in, rows_of

# File types that are read from a folder: all pictures, and the videos that models accept.
_IN_FOLDERS = frozenset({*glmv.Image.suffixes, ".mp4", ".mkv", ".mov", ".webm"})
# Columns to look for the picture, and for the key, if the user names none.
PICTURE_COLUMNS = ("image", "picture", "photo", "path", "file", "url", "image_url", "video")
KEY_COLUMNS = ("key", "id")

_NOTHING = frozenset({"NAType", "NaTType"})  # the types of missing values in pandas
_SHARDS = frozenset({".parquet"})
_DATA = "data:"
_ENCODED = re.compile(r"\s*[A-Za-z0-9+/_-]{60}")
_LONGEST = 4096  # characters of a path on common systems; `Path.exists` raises for longer names
_HEAD = 64 * 1024  # characters of base64 that are enough for the header of a picture

# So many names of a folder are sorted; further ones come in the order of the file system, because sorting needs all of
# them in memory.
_SORTED = 20_000


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a job, usually a picture.

    Attributes:
        name: the key of the item's row in the output. A key from a table keeps its type.
        source: a path, an http(s) URL, base64 of a picture, bytes, a Pillow picture, or a part of `glmv`. None if there
            is no picture: then `messages` must be a function that makes the request from the columns, else the item
            fails.
        columns: the item's row in the table, if it comes from a table.
    """

    name: Any
    source: Any = field(default=None, repr=False)
    columns: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def path(self) -> Path | None:
        """The file to read; None if the source is not a path."""
        match self.source:
            case os.PathLike():
                return Path(self.source)
            case str() if _is_path(self.source):
                return Path(self.source)
            case _:
                return None

    def part(self) -> glmv.Image | glmv.Video | glmv.File | None:
        """Read the source and return the part to send. Call this in a worker thread.

        Raises:
            GLMVError: the file does not exist, or is neither a picture nor a video.
        """
        match self.source:
            case None:
                return None
            case glmv.Image() | glmv.Video() | glmv.File():
                return self.source
            case str() if _is_encoded(self.source):
                return glmv.Image.from_base64(self.source, name=str(self.name))
            case str() if self.path is None:
                return _kind(self.source.partition("?")[0]).from_url(self.source)
            case str() | os.PathLike():
                return _kind(self.source).from_path(self.source)
            case bytes() | bytearray() | memoryview():
                return _measured(bytes(self.source), str(self.name))
            case _:
                return glmv.Image.from_pil(self.source, name=str(self.name))


# The annotations above are not strings, because strings would be resolved in `glmv_batch`, which lacks their names.
Item.__module__ = "glmv_batch"


def _kind(name: str | os.PathLike[str]) -> type[glmv.Image | glmv.Video]:
    return glmv.Video if Path(name).suffix.lower() in glmv.Video.suffixes else glmv.Image


def _measured(data: bytes, name: str) -> glmv.Image | glmv.Video:
    try:
        return glmv.Image.from_bytes(data, name=name)
    except glmv.UnsupportedContent:
        return glmv.Video.from_bytes(data, name=name)


def items(
    source: Any, column: str | None = None, *, keep: Iterable[str] = (), but: str | os.PathLike[str] | None = None
) -> Iterator[Item]:
    """A folder, a pattern, a table, a file, a data set or an iterable -> items.

    Args:
        source: one of these:
            - the path of a folder, picture, video, CSV, TSV, JSON lines or Parquet file. In a folder without pictures
              and videos, the Parquet files are read. Paths in a file are relative to that file.
            - a pattern such as `photos/*.jpg` or `shards/*.parquet`.
            - a table of pyarrow, pandas, polars or DuckDB, or another object with `__arrow_c_stream__`.
            - a data set of Hugging Face or Ray, or a data set of PyTorch with a length and indices.
            - an iterable of `Item`, paths, URLs, bytes, Pillow pictures, parts of `glmv` or rows (mappings).
        column: the table's column with the picture; None means the first column of `PICTURE_COLUMNS` that is not
            empty.
        keep: columns that the first item must have.
        but: the output file. If it is in the source folder, it is not an item.

    Raises:
        InvalidRequestError: the source does not exist or is empty, or its first row lacks `column` or one of `keep`.
    """
    match source:
        case str() | os.PathLike():
            iterator = _place(os.fspath(source), column, but)
        case bytes() | bytearray() | glmv.Image() | glmv.Video() | glmv.File():
            iterator = _each([source], column)
        case Mapping():
            raise glmv.InvalidRequestError(
                "The source is a mapping. If it is a row, pass a list of rows; if it contains splits, pass one of its "
                f"values ({', '.join(source)})."
            )
        case _:
            iterator = _each(rows_of(source), column)
    return _named_and_whole(iterator, list(keep))


def _named_and_whole(iterator: Iterator[Item], keep: list[str]) -> Iterator[Item]:
    for number, item in enumerate(iterator, 1):
        if number == 1 and (missing := [name for name in keep if name not in item.columns]):
            raise glmv.InvalidRequestError(
                f"keep_columns: item 1 has no column {', '.join(map(str, missing))}; it has "
                f"{', '.join(map(str, item.columns)) or 'no columns'}. The picture itself cannot be kept."
            )
        yield item if item.name != "" else replace(item, name=str(number))


def count_of(source: Any, *, but: str | os.PathLike[str] | None = None) -> int | None:
    """The number of items; each row of a table is an item. None if counting would consume the source."""
    match source:
        case str() if not _is_path(source) or len(source) > _LONGEST:
            return 1
        case str() | os.PathLike() if Path(source).is_file():
            return _count_in(source)
        case str() | os.PathLike() if (files := _names_and_files(os.fspath(source), but)) is not None:
            return sum(_count_in(file) for _, file in files)
        case str() | bytes() | bytearray():
            return 1
        case _:
            return length_of(source)


def _count_in(file: str | os.PathLike[str]) -> int:
    return rows_in(Path(file)) if Path(file).suffix.lower() in TABLES else 1


def _place(source: str, column: str | None, but: str | os.PathLike[str] | None) -> Iterator[Item]:
    path = Path(source)
    if not source.strip():
        raise glmv.InvalidRequestError(f"The source {source!r} is empty: name a file, a folder or a pattern.")
    if _is_encoded(source):
        return iter([Item("", source)])
    if len(source) > _LONGEST:
        raise glmv.InvalidRequestError(f"There is no file or folder {glmv.shown(source)}.")
    if source.startswith(("http://", "https://")):
        return iter([Item(source, source)])
    if path.exists() and not path.is_dir():
        return _of_files([(path.name, path)], column, f"{path.name} has no rows.")
    files = _names_and_files(source, but)
    if files is None:
        raise glmv.InvalidRequestError(f"There is no file or folder {glmv.shown(source)}.")
    first = next(files, None)
    if first is None:
        raise glmv.InvalidRequestError(
            f"There is no picture, video or Parquet file in the folder {source!r}."
            if path.is_dir()
            else f"No file matches {source!r}."
        )
    return _of_files(chain([first], files), column, f"The files of {source!r} have no rows.")


def _names_and_files(
    source: str, but: str | os.PathLike[str] | None
) -> Iterator[tuple[str, str | os.PathLike[str]]] | None:
    """The files of a folder or pattern, with the names of their items; None if the source is neither."""
    path = Path(source)
    if path.is_dir():
        inside: Iterator[Path] = _files(path, _IN_FOLDERS)
        first = next(inside, None)
        # A folder without pictures is read for its tables. Hidden files, and names that begin with "_" as those that
        # Spark writes, are not data.
        inside = _files(path, _SHARDS, hidden="._") if first is None else chain([first], inside)
        return ((os.path.relpath(file, path), file) for file in inside if not _is_same(file, but))
    if path.exists() or not glob.has_magic(source):
        return None
    matches = glob.iglob(source, recursive=True)  # noqa: PTH207 - patterns may begin at the root
    files = (name for name in matches if Path(name).is_file() and not _is_same(Path(name), but))
    head = sorted(islice(files, _SORTED))
    return ((name, name) for name in chain(head, files))


def _is_same(file: Path, other: str | os.PathLike[str] | None) -> bool:
    return other is not None and file.name == Path(other).name and file.resolve() == Path(other).resolve()


def same_file(one: Path, other: Path) -> bool:
    """Whether two paths lead to the same file, even if the file has two names or does not exist yet.

    Raises:
        OSError: a name is too long.
        ValueError: a name contains a zero byte.
    """
    return one.samefile(other) if one.exists() and other.exists() else one.resolve() == other.resolve()


def _of_files(
    files: Iterable[tuple[str, str | os.PathLike[str]]], column: str | None, otherwise: str
) -> Iterator[Item]:
    """The items of files: one for each picture or video, and one for each row of a table.

    Raises:
        InvalidRequestError: there are no items; `otherwise` is the message.
    """
    empty = True
    for name, file in files:
        path = Path(file)
        reader = TABLES.get(path.suffix.lower())
        for item in [Item(name, file)] if reader is None else _table(reader(path), path, name, column):
            empty = False
            yield item
    if empty:
        raise glmv.InvalidRequestError(otherwise)


def _files(folder: Path, endings: frozenset[str], *, hidden: str = "") -> Iterator[Path]:
    """The files with these suffixes in a folder and its subfolders; links to folders are not followed.

    Args:
        hidden: names that begin with one of these characters are left out.
    """
    try:
        scan = os.scandir(folder)
    except OSError as error:
        raise glmv.InvalidRequestError(f"The folder {folder} cannot be read: {error.strerror}.") from error
    with scan as entries:
        head = list(islice(entries, _SORTED))
        if len(head) < _SORTED:
            head.sort(key=lambda entry: entry.name)
        for entry in chain(head, entries):
            if entry.name[0] in hidden:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry.path), endings, hidden=hidden)
            elif Path(entry.name).suffix.lower() in endings and entry.is_file():
                yield Path(entry.path)


def _table(rows: Iterator[tuple[str, dict[str, Any]]], path: Path, name: str, column: str | None) -> Iterator[Item]:
    first = True
    try:
        for where, row in rows:
            yield _item(row, column, f"{name}, {where}" if first else None, path.parent)
            first = False
    except glmv.GLMVError:
        raise
    except UnicodeDecodeError as error:
        raise glmv.InvalidRequestError(f"{name} is not UTF-8: {error}. Save it as UTF-8.") from error
    except (ValueError, OSError, csv.Error) as error:  # pyarrow raises the first two
        raise glmv.InvalidRequestError(f"{name} cannot be read: {error}") from error


def _each(rows: Iterable[Any], column: str | None) -> Iterator[Item]:
    for number, row in enumerate(rows, 1):
        match row:
            case Item():
                yield row
            case Mapping():
                yield _item(row, column, "item 1" if number == 1 else None, None)
            case str() | os.PathLike() if Path(row).suffix.lower() in TABLES:
                raise glmv.InvalidRequestError(
                    f"Item {number} is a table, {glmv.shown(os.fspath(row))}: pass the path of one table as the "
                    "source, or a pattern for several tables, such as 'shards/*.parquet'."
                )
            case str() | os.PathLike():
                yield Item(_name_of(os.fspath(row)), row)
            case glmv.Image() | glmv.Video() | glmv.File():
                yield Item(row.name or row.url or "", row)
            case bytes() | bytearray() | memoryview():
                yield Item("", row)
            case _ if hasattr(row, "getbbox"):  # Pillow's pictures, without importing it
                yield Item(str(getattr(row, "filename", "")), row)
            case _:
                raise glmv.InvalidRequestError(
                    f"Item {number} is {type(row).__name__}; items must be paths, URLs, bytes, pictures, rows or Item."
                )


def _item(row: Mapping[str, Any], column: str | None, where: str | None, folder: Path | None) -> Item:
    """A row -> its item; the source is None if the row has no picture.

    Args:
        where: the position of the row, for the error if the picture column is missing; None if it may be missing.
    """
    names = [name for name in ([column] if column else PICTURE_COLUMNS) if name in row]
    if not names and where is not None:
        raise glmv.InvalidRequestError(
            f"{where}: there is no column {column or ' or '.join(PICTURE_COLUMNS)}; "
            f"the row has {', '.join(map(str, row)) or 'no columns'}. Name the column (`column=`, `--column`)."
        )
    columns = dict(row)
    key = next((_key(row[candidate]) for candidate in KEY_COLUMNS if not _is_missing(row.get(candidate))), "")
    name = next((name for name in names if _has_picture(row[name])), None)
    if name is None:
        return Item(key, None, columns)
    source = row[name]
    if isinstance(source, Mapping):  # how Hugging Face stores a picture
        key = str(source.get("path") or "") if key == "" else key
        source = source.get("bytes") or source.get("path")
    if isinstance(source, str):
        key = _name_of(source) if key == "" else key
        if folder is not None and _is_path(source):
            source = str(folder / source)
    if not isinstance(source, str) or _is_encoded(source):
        del columns[name]  # the picture itself is not copied into the output
    return Item(key, source, columns)


def _key(value: Any) -> Any:
    """Convert a value of a key column to the key. Numbers, texts, bytes, dates, times and UUIDs keep their type, so
    that tables can be joined by the key."""
    if hasattr(value, "dtype") and hasattr(value, "item") and getattr(value, "size", 1) == 1:  # a number of NumPy
        value = value.item()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    return value if isinstance(value, str | bytes | int | float | Decimal | date | time | UUID) else str(value)


def _is_missing(value: Any) -> bool:
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or type(value).__name__ in _NOTHING or is_nan or (isinstance(value, str | bytes) and not value)


def _name_of(source: str) -> str:
    """A path or URL -> the name of its item, which is the same text; "" for a data URI and for base64."""
    return source if _is_path(source) or "://" in source else ""


def _is_path(source: str) -> bool:
    return "://" not in source and not source.startswith(_DATA) and not _is_encoded(source)


def _is_encoded(source: str) -> bool:
    """Whether a text is base64 that begins like a picture. The content of a path is not examined."""
    if not _ENCODED.match(source):
        return False
    for end in (_HEAD, _HEAD + 1):  # a cut after a multiple of four characters and one more is not an end of base64
        with suppress(glmv.InvalidRequestError):
            glmv.Image.from_base64(source[:end])
            return True
    return False


def _has_picture(value: Any) -> bool:
    """Whether a field has a picture. A number is not a picture: pandas represents a missing value as the number NaN."""
    if isinstance(value, Mapping):
        return bool(value.get("bytes") or value.get("path"))
    return not isinstance(value, int | float) and type(value).__name__ not in _NOTHING and bool(value)
