"""Folders, files and URLs -> documents with pictures, with no other package than LlamaIndex's core."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import urlsplit

from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import ImageDocument, MediaResource

import glmv

EXTENSIONS = (
    *(".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".avif"),
    *(".jp2", ".ppm", ".tga", ".pcx"),
)
"""File names that are taken for pictures in a folder: the formats that `glmv.Image` reads."""

PictureSource = str | PathLike[str]


def load_images(source: PictureSource | Iterable[PictureSource], *, recursive: bool = False) -> list[ImageDocument]:
    """Pictures -> documents that hold their path or URL, not their content.

    Args:
        source: a file, a folder, a glob pattern, an http(s) URL, or a list of these. A URL is not fetched.
        recursive: whether folders inside the folder are looked into.

    Returns:
        One document a picture, those of a folder by name. The id is the path or URL, so that loading again
        updates an index. `metadata` has file_path, file_name, file_type, file_size, width and height; models and
        indexes see the file name only.

    Raises:
        InvalidRequestError: there is no such file, or no picture in the folder.
        UnsupportedContent: a file is no picture.
    """
    sources = [source] if isinstance(source, str | PathLike) else source
    return [document for item in sources for document in _documents(item, recursive)]


def image_file_extractor() -> dict[str, BaseReader]:
    """For `SimpleDirectoryReader(file_extractor=...)`: pictures become documents with a picture, not garbled text."""
    return dict.fromkeys(EXTENSIONS, PictureReader())


class PictureReader(BaseReader):
    """Reads one picture file for `SimpleDirectoryReader`."""

    def lazy_load_data(
        self, file: PictureSource | PurePath, extra_info: dict[str, Any] | None = None, fs: Any = None, **_: Any
    ) -> Iterator[ImageDocument]:
        """One file -> one document.

        Args:
            file: its path, on `fs` if that is given.
            extra_info: further metadata.
            fs: a remote fsspec file system; the document then holds the picture itself.
        """
        if fs is None:
            yield _local(Path(file), extra_info or {})
            return
        with fs.open(str(file), "rb") as remote:
            picture = glmv.Image.from_bytes(remote.read(), name=str(file))
        yield _document(str(file), picture, {"data": picture.data()}, extra_info or {})


def _documents(source: PictureSource, recursive: bool) -> Iterator[ImageDocument]:
    text = str(source)
    if isinstance(source, str) and urlsplit(text).scheme in {"http", "https"}:
        picture = glmv.Image.from_url(text)
        # `ImageDocument(image_url=...)` would fetch the URL to look at it; the resource alone does not.
        yield _document(text, picture, {"url": picture.url}, {"file_name": PurePath(urlsplit(text).path).name})
        return
    path = Path(source)
    if path.is_file():
        yield _local(path, {})
        return
    if not path.is_dir() and not any(sign in text for sign in "*?["):
        raise glmv.InvalidRequestError(f"{text}: there is no such file or folder.")
    found = sorted(_in_folder(path, recursive) if path.is_dir() else _matching(path))
    if not found:
        raise glmv.InvalidRequestError(f"{text}: there is no picture here ({', '.join(EXTENSIONS)}).")
    for file in found:
        yield _local(file, {})


def _in_folder(folder: Path, recursive: bool) -> Iterator[Path]:
    return _pictures(folder.rglob("*") if recursive else folder.glob("*"))


def _matching(pattern: Path) -> Iterator[Path]:
    root = Path(pattern.anchor)
    return _pictures(root.glob(str(pattern.relative_to(root))))


def _pictures(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if path.suffix.lower() in EXTENSIONS and path.is_file())


def _local(path: Path, metadata: dict[str, Any]) -> ImageDocument:
    picture = glmv.Image.from_path(path)
    return _document(str(path), picture, {"path": path}, {"file_path": str(path), "file_name": path.name, **metadata})


def _document(name: str, picture: glmv.Image, content: dict[str, Any], metadata: dict[str, Any]) -> ImageDocument:
    measured = {
        "file_type": picture.mime,
        "file_size": picture.size,
        "width": picture.width,
        "height": picture.height,
    }
    metadata = {**{key: value for key, value in measured.items() if value is not None}, **metadata}
    hidden = _hidden(metadata)
    return ImageDocument(
        id_=name,
        image_resource=MediaResource(mimetype=picture.mime, **content),
        metadata=metadata,
        excluded_embed_metadata_keys=hidden,
        excluded_llm_metadata_keys=hidden,
    )


def _hidden(metadata: dict[str, Any]) -> Sequence[str]:
    """A path or a size says nothing about a picture, but its name does."""
    return [key for key in metadata if key != "file_name"]
