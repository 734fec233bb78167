"""Folders, files and URLs -> documents with pictures -> nodes for an index, with LlamaIndex's core alone."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from os import PathLike
from pathlib import Path, PurePath
from typing import Any, Literal
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, UUID, uuid5

import fsspec
from fsspec.implementations.local import LocalFileSystem
from llama_index.core.readers.base import BaseReader
from llama_index.core.schema import BaseNode, ImageDocument, ImageNode, MediaResource, Node, NodeRelationship

import glmv

log = logging.getLogger("glmv")

EXTENSIONS = glmv.Image.suffixes
"""File names that are taken for pictures in a folder: the formats that `glmv.Image` reads."""

PictureSource = str | PathLike[str]
OnError = Literal["raise", "skip"]

_REMOTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def load_images(
    source: PictureSource | Iterable[PictureSource], *, recursive: bool = False, on_error: OnError = "raise"
) -> list[ImageDocument]:
    """Pictures -> documents that hold their path or URL, not their content.

    Args:
        source: a file, a folder, a glob pattern, an http(s) URL, or a list of these. A URL is not fetched. With the
            scheme of an fsspec file system ("s3://bucket/photos", "memory://album") files are read from there, and
            the documents hold the pictures themselves.
        recursive: whether folders inside the folder are looked into.
        on_error: "raise" ends at the first file that cannot be read; "skip" leaves it out, and the log says why.

    Returns:
        One document a picture, those of a folder by name. The id is the absolute path or the URL, so that loading
        again updates an index, from whatever working directory. `metadata` has file_path, file_name, file_type,
        file_size, width and height; models and indexes see the file name only.

    Raises:
        InvalidRequestError: there is no such file, or no picture in the folder.
        UnsupportedContent: a file is no picture, or was cut short. With "skip" both are raised only when nothing is
            left.
    """
    sources = source if isinstance(source, Iterable) and not isinstance(source, str | bytes | PathLike) else [source]
    errors: list[glmv.GLMVError] = []
    documents: list[ImageDocument] = []
    for item in sources:
        with _skipping(item, on_error, errors):
            for place, read in _readers(item, recursive):
                with _skipping(place, on_error, errors):
                    documents.append(read())
    if errors and not documents:
        raise errors[0]
    return documents


def image_file_extractor(on_error: OnError = "raise") -> dict[str, BaseReader]:
    """For `SimpleDirectoryReader(file_extractor=...)`: pictures become documents with a picture, not garbled text.

    Args:
        on_error: "raise" leaves a file that cannot be read to the directory reader, which prints a line and goes on,
            or raises if its `raise_on_error` is set; "skip" leaves it out in any case, and the log says why.
    """
    return dict.fromkeys(EXTENSIONS, PictureReader(on_error))


class PictureReader(BaseReader):
    """Reads one picture file for `SimpleDirectoryReader`.

    Args:
        on_error: "raise" raises what is wrong with a file; "skip" leaves it out, and the log says why.
    """

    def __init__(self, on_error: OnError = "raise") -> None:
        self.on_error = _checked(on_error)

    def lazy_load_data(
        self, file: PictureSource | PurePath, extra_info: dict[str, Any] | None = None, fs: Any = None, **_: Any
    ) -> Iterator[ImageDocument]:
        """One file -> one document, or none if it cannot be read and `on_error` is "skip".

        Args:
            file: its path, on `fs` if that is given.
            extra_info: further metadata.
            fs: a remote fsspec file system; the document then holds the picture itself.
        """
        with _skipping(file, self.on_error, []):
            yield _local(Path(file), extra_info or {}) if fs is None else _remote(fs, str(file), extra_info or {})


def index_nodes(nodes: Sequence[BaseNode]) -> list[BaseNode]:
    """Documents with a picture -> `ImageNode`s, which vector stores give back and multimodal engines look for.

    Args:
        nodes: of any kind; those without a picture are returned as they are.

    Returns:
        One node for each. The id of an `ImageNode` is a UUID made of the place of its picture (absolute path, URL, or
        digest of the content), its source is the document, and its path is absolute.
    """
    taken: Counter[str] = Counter()
    return [_index_node(node, taken) for node in nodes]


def _index_node(node: BaseNode, taken: Counter[str]) -> BaseNode:
    match node:
        case ImageNode():
            held = node
        case Node(image_resource=MediaResource(data=data, path=path, url=url, mimetype=mime)):
            held = ImageNode(
                id_=node.id_,
                text=node.get_content(),
                image=data.decode() if data else None,
                image_path=str(path) if path else None,
                image_url=str(url) if url else None,
                image_mimetype=mime,
                relationships=node.relationships,
                **{name: getattr(node, name) for name in _SHARED},
            )
        case _:
            return node
    changed: dict[str, Any] = {}
    if held.image_path:
        changed["image_path"] = os.path.abspath(held.image_path)  # noqa: PTH100 - links stay as they are
    if node is not held or not _is_uuid(node.id_):
        place = _place(held)
        taken[place] += 1  # two documents with the same picture get two nodes
        number = f"#{taken[place]}" if taken[place] > 1 else ""
        source = node.source_node or node.as_related_node_info()
        changed["id_"] = str(uuid5(NAMESPACE_URL, place + number))
        changed["relationships"] = {**node.relationships, NodeRelationship.SOURCE: source}
    return held.model_copy(update=changed)


def _place(node: ImageNode) -> str:
    if node.image_path:
        return Path(os.path.abspath(node.image_path)).as_uri()  # noqa: PTH100
    if node.image_url:
        return node.image_url
    if not _is_uuid(node.id_):
        return node.id_
    return f"sha256:{hashlib.sha256((node.image or '').encode()).hexdigest()}"


_SHARED = (
    "embedding",
    "metadata",
    "excluded_embed_metadata_keys",
    "excluded_llm_metadata_keys",
    "metadata_template",
    "metadata_separator",
    "text_template",
)
"""What a `Node` and an `ImageNode` have in common."""


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _checked(on_error: OnError) -> OnError:
    if on_error not in ("raise", "skip"):
        raise glmv.InvalidRequestError(f'on_error is "raise" or "skip"; got {glmv.shown(on_error)}')
    return on_error


@contextmanager
def _skipping(place: object, on_error: OnError, errors: list[glmv.GLMVError]) -> Iterator[None]:
    """Log an error and remember it, when such are skipped."""
    _checked(on_error)
    try:
        yield
    except glmv.GLMVError as error:
        if on_error == "raise":
            raise
        errors.append(error)
        log.warning("%.240s was left out. %s", place, error)


def _readers(source: PictureSource, recursive: bool) -> Iterator[tuple[object, Callable[[], ImageDocument]]]:
    """The place of each picture, and a function that reads it."""
    if not isinstance(source, str | PathLike):
        raise glmv.InvalidRequestError(
            f"load_images takes paths, patterns and URLs; got {type(source).__name__}. "
            "A picture at hand is made a document with ImageDocument(image=...), which takes bytes and base64."
        )
    text = os.fspath(source)
    if isinstance(source, str) and urlsplit(text).scheme in {"http", "https"}:
        yield text, partial(_linked, text)
        return
    if isinstance(source, str) and _REMOTE.match(text):
        fs, root = _file_system(text)
        if not isinstance(fs, LocalFileSystem):
            files = _in_remote(fs, root, recursive)
            yield from ((fs.unstrip_protocol(file), partial(_remote, fs, file, {})) for file in _found(text, files))
            return
        source, text = Path(root), root
    path = Path(source).expanduser()
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, ValueError):  # it is too long for a path, or has a zero byte
        is_file = is_folder = False
    if is_file:
        yield path, partial(_local, path, {})
        return
    if not is_folder and not any(sign in text for sign in "*?["):
        raise glmv.InvalidRequestError(f"{glmv.shown(text)}: there is no such file or folder.")
    local = _in_folder(path, recursive) if is_folder else _matching(path)
    yield from ((file, partial(_local, file, {})) for file in _found(text, local))


def _found(text: str, files: Iterable[Any]) -> list[Any]:
    found = sorted(files)
    if not found:
        raise glmv.InvalidRequestError(f"{glmv.shown(text)}: there is no picture here ({', '.join(EXTENSIONS)}).")
    return found


def _file_system(text: str) -> tuple[Any, str]:
    try:
        fs, root = fsspec.core.url_to_fs(text)
    except ValueError as error:
        raise glmv.InvalidRequestError(
            f"{glmv.shown(text)}: there is no such file system ({glmv.shown(str(error))})."
        ) from None
    return fs, root


def _in_remote(fs: Any, root: str, recursive: bool) -> Iterator[str]:
    if fs.isfile(root):
        return iter([root])
    if fs.isdir(root):
        found = fs.find(root, maxdepth=None if recursive else 1)
    elif any(sign in root for sign in "*?["):
        found = fs.glob(root)
    else:
        raise glmv.InvalidRequestError(f"{glmv.shown(fs.unstrip_protocol(root))}: there is no such file or folder.")
    return (file for file in found if PurePath(file).suffix.lower() in EXTENSIONS)


def _in_folder(folder: Path, recursive: bool) -> Iterator[Path]:
    return _pictures(folder.rglob("*") if recursive else folder.glob("*"))


def _matching(pattern: Path) -> Iterator[Path]:
    root = Path(pattern.anchor)
    return _pictures(root.glob(str(pattern.relative_to(root))))


def _pictures(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if path.suffix.lower() in EXTENSIONS and path.is_file())


def _linked(url: str) -> ImageDocument:
    picture = glmv.Image.from_url(url)
    # `ImageDocument(image_url=...)` would fetch the URL to look at it; the resource alone does not.
    return _document(url, picture, {"url": picture.url}, {"file_name": PurePath(urlsplit(url).path).name})


def _remote(fs: Any, file: str, metadata: dict[str, Any]) -> ImageDocument:
    try:
        content = fs.cat_file(file)
    except OSError as error:
        raise glmv.InvalidRequestError(f"{glmv.shown(file)} cannot be read ({glmv.shown(str(error))}).") from error
    picture = glmv.Image.from_bytes(content, name=file)
    place = fs.unstrip_protocol(file)
    named = {"file_path": place, "file_name": PurePath(file).name, **metadata}
    return _document(place, picture, {"data": picture.data()}, named)


def _local(path: Path, metadata: dict[str, Any]) -> ImageDocument:
    path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
    picture = glmv.Image.from_path(path)
    return _document(str(path), picture, {"path": path}, {"file_path": str(path), "file_name": path.name, **metadata})


def _document(name: str, picture: glmv.Image, content: dict[str, Any], metadata: dict[str, Any]) -> ImageDocument:
    measured = {
        "file_type": picture.mime,
        "file_size": picture.size,
        "width": picture.width,
        "height": picture.height,
    }
    if picture.cut_short is not None:
        raise glmv.UnsupportedContent(f"{glmv.shown(name)} was cut short: {picture.cut_short}. Save or load it again.")
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
