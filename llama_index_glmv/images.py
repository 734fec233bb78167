"""Loads pictures from files, folders and URLs as documents, and converts these to nodes for an index.

llama-index-core is the only LlamaIndex package that this module needs.
"""

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
from llama_index_glmv.intake import is_base64

log = logging.getLogger("glmv")

EXTENSIONS = glmv.Image.suffixes
"""File extensions of pictures in a folder: the formats that `glmv.Image` reads."""

PictureSource = str | PathLike[str]
OnError = Literal["raise", "skip"]

_REMOTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def load_images(
    source: PictureSource | Iterable[PictureSource], *, recursive: bool = False, on_error: OnError = "raise"
) -> list[ImageDocument]:
    """Pictures -> documents that contain their path or URL, not their content.

    Args:
        source: a file, a folder, a glob pattern, an http(s) URL, or a list of these. An http(s) URL is not
            fetched. A URL of an fsspec file system ("s3://bucket/photos", "memory://album") is read, and the
            documents contain the pictures themselves.
        recursive: whether folders inside the folder are searched, too.
        on_error: "raise" ends at the first file that cannot be read; "skip" leaves it out and logs the error.

    Returns:
        One document for each picture; the pictures of a folder are sorted by name. The id is the absolute path or the
        URL, so loading again updates an index, even from another working directory. `metadata` has file_path,
        file_name, file_type, file_size, width and height; models and indexes see the file name only.

    Raises:
        InvalidRequestError: a file does not exist, or a folder has no picture.
        UnsupportedContent: a file is not a picture, or is incomplete. With "skip" one of these two errors is raised
            only if no document is left.
    """
    sources = source if isinstance(source, Iterable) and not isinstance(source, str | bytes | PathLike) else [source]
    errors: list[glmv.GLMVError] = []
    documents: list[ImageDocument] = []
    for item in sources:
        with _skipping(item, on_error, errors):
            for origin, reader in _readers(item, recursive):
                with _skipping(origin, on_error, errors):
                    documents.append(reader())
    if errors and not documents:
        raise errors[0]
    return documents


def image_file_extractor(on_error: OnError = "raise") -> dict[str, BaseReader]:
    """Readers for `SimpleDirectoryReader(file_extractor=...)`, so that picture files become documents with a picture.

    Args:
        on_error: "raise" lets the directory reader handle a file that cannot be read: the reader prints the error and
            goes on, or, if its `raise_on_error` is set, raises the error. "skip" always leaves the file out and logs
            the error.
    """
    return dict.fromkeys(EXTENSIONS, PictureReader(on_error))


class PictureReader(BaseReader):
    """Reads one picture file for `SimpleDirectoryReader`.

    Args:
        on_error: "raise" raises the error of a file that cannot be read; "skip" leaves it out and logs the error.
    """

    def __init__(self, on_error: OnError = "raise") -> None:
        self.on_error = _checked(on_error)

    def lazy_load_data(
        self, file: PictureSource | PurePath, extra_info: dict[str, Any] | None = None, fs: Any = None, **_: Any
    ) -> Iterator[ImageDocument]:
        """One file -> one document, or none if it cannot be read and `on_error` is "skip".

        Args:
            file: the file's path; a path of `fs` if `fs` is given.
            extra_info: further metadata.
            fs: a remote fsspec file system; the document then contains the picture itself.
        """
        with _skipping(file, self.on_error, []):
            yield (
                _from_local(Path(file), extra_info or {})
                if fs is None
                else _from_remote(fs, str(file), extra_info or {})
            )


def index_nodes(nodes: Sequence[BaseNode]) -> list[BaseNode]:
    """Convert documents with a picture into `ImageNode`s.

    Vector stores return this class, and multimodal engines look for it.

    Args:
        nodes: nodes of any kind; those without a picture are returned unchanged.

    Returns:
        One node for each input node. An `ImageNode` whose id is a UUID keeps its id and its source. Any other picture
        gets a new id: a UUID computed from its absolute path, or else from its URL, old id or content. If such a
        picture has no source, the input node becomes its source. All paths become absolute.
    """
    counts: Counter[str] = Counter()
    return [_index_node(node, counts) for node in nodes]


def _index_node(node: BaseNode, counts: Counter[str]) -> BaseNode:
    match node:
        case ImageNode():
            image = node
        case Node(image_resource=MediaResource(data=data, path=path, url=url, mimetype=mime)):
            image = ImageNode(
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
    updates: dict[str, Any] = {}
    if image.image_path:
        updates["image_path"] = os.path.abspath(image.image_path)  # noqa: PTH100 - links stay as they are
    if node is not image or not _is_uuid(node.id_):
        origin = _origin(image)
        counts[origin] += 1  # a second document with the same picture gets another id
        number = f"#{counts[origin]}" if counts[origin] > 1 else ""
        source = node.source_node or node.as_related_node_info()
        updates["id_"] = str(uuid5(NAMESPACE_URL, origin + number))
        updates["relationships"] = {**node.relationships, NodeRelationship.SOURCE: source}
    return image.model_copy(update=updates)


def _origin(node: ImageNode) -> str:
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
"""The fields that a `Node` and an `ImageNode` have in common."""


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _checked(on_error: OnError) -> OnError:
    if on_error not in ("raise", "skip"):
        raise glmv.InvalidRequestError(f'on_error must be "raise" or "skip"; got {glmv.shown(on_error)}')
    return on_error


@contextmanager
def _skipping(origin: object, on_error: OnError, errors: list[glmv.GLMVError]) -> Iterator[None]:
    """With `on_error` "skip": log an error and append it to `errors`, instead of raising it."""
    _checked(on_error)
    try:
        yield
    except glmv.GLMVError as error:
        if on_error == "raise":
            raise
        errors.append(error)
        log.warning("%.240s was left out. %s", origin, error)


def _readers(source: PictureSource, recursive: bool) -> Iterator[tuple[object, Callable[[], ImageDocument]]]:
    """The path or URL of each picture, and a function that reads it."""
    if not isinstance(source, str | PathLike):
        raise glmv.InvalidRequestError(
            f"load_images takes paths, patterns and URLs; got {type(source).__name__}. "
            "For a picture in memory use ImageDocument(image=...), which takes bytes and base64."
        )
    text = os.fspath(source)
    if isinstance(source, str) and urlsplit(text).scheme in {"http", "https"}:
        yield text, partial(_from_url, text)
        return
    if isinstance(source, str) and (text[:5].lower() == "data:" or is_base64(text)):
        raise glmv.InvalidRequestError(
            f"load_images takes paths, patterns and URLs, not base64; got {glmv.shown(text, 60)}. "
            "For a picture in memory use ImageDocument(image=...), which takes bytes and base64."
        )
    if isinstance(source, str) and _REMOTE.match(text):
        with _remote_errors(text, "fsspec cannot open this file system"):
            fs, root = fsspec.core.url_to_fs(text)
        if not isinstance(fs, LocalFileSystem):
            with _remote_errors(text, "it cannot be read"):
                files = list(_in_remote(fs, root, recursive))
            yield from (
                (fs.unstrip_protocol(file), partial(_from_remote, fs, file, {}))
                for file in _sorted_pictures(text, files)
            )
            return
        source, text = Path(root), root
    path = Path(source).expanduser()
    try:
        is_file, is_folder = path.is_file(), path.is_dir()
    except (OSError, ValueError):  # the text is too long for a path, or contains a zero byte
        is_file = is_folder = False
    if is_file:
        yield path, partial(_from_local, path, {})
        return
    if not is_folder and not any(sign in text for sign in "*?["):
        raise glmv.InvalidRequestError(f"{glmv.shown(text)}: this file or folder does not exist.")
    local = _in_folder(path, recursive) if is_folder else _matching(path)
    yield from ((file, partial(_from_local, file, {})) for file in _sorted_pictures(text, local))


def _sorted_pictures(text: str, files: Iterable[Any]) -> list[Any]:
    pictures = sorted(files)
    if not pictures:
        raise glmv.InvalidRequestError(f"{glmv.shown(text)}: found no picture ({', '.join(EXTENSIONS)}).")
    return pictures


@contextmanager
def _remote_errors(name: str, problem: str) -> Iterator[None]:
    """Raise the errors of a file system of fsspec as InvalidRequestError.

    Each file system has error classes of its own: those of botocore, requests, ftplib, zipfile and others.
    """
    try:
        yield
    except glmv.GLMVError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise glmv.InvalidRequestError(
            f"{glmv.shown(_hidden(name))}: {problem} ({glmv.shown(_hidden(reason))})."
        ) from error


def _hidden(text: str) -> str:
    """A text without the user names and passwords of its URLs."""
    return re.sub(r"(?<=://)[^/@\s]*@", "***@", text)


def _in_remote(fs: Any, root: str, recursive: bool) -> Iterator[str]:
    if fs.isfile(root):
        return iter([root])
    if fs.isdir(root):
        files = fs.find(root, maxdepth=None if recursive else 1)
    elif any(sign in root for sign in "*?["):
        files = fs.glob(root)
    else:
        raise glmv.InvalidRequestError(f"{glmv.shown(fs.unstrip_protocol(root))}: this file or folder does not exist.")
    return (file for file in files if PurePath(file).suffix.lower() in EXTENSIONS)


def _in_folder(folder: Path, recursive: bool) -> Iterator[Path]:
    return _pictures(folder.rglob("*") if recursive else folder.glob("*"))


def _matching(pattern: Path) -> Iterator[Path]:
    root = Path(pattern.anchor)
    try:
        return iter(list(_pictures(root.glob(str(pattern.relative_to(root))))))
    except ValueError as error:  # such as "**.png", until Python 3.13
        raise glmv.InvalidRequestError(f"{glmv.shown(str(pattern))} is not a valid pattern: {error}") from None


def _pictures(paths: Iterable[Path]) -> Iterator[Path]:
    return (path for path in paths if path.suffix.lower() in EXTENSIONS and path.is_file())


def _from_url(url: str) -> ImageDocument:
    picture = glmv.Image.from_url(url)
    # `ImageDocument(image_url=...)` would fetch the URL to detect its type; a `MediaResource` does not.
    return _document(url, picture, {"url": picture.url}, {"file_name": PurePath(urlsplit(url).path).name})


def _from_remote(fs: Any, file: str, metadata: dict[str, Any]) -> ImageDocument:
    with _remote_errors(file, "it cannot be read"):
        content = fs.cat_file(file)
    picture = glmv.Image.from_bytes(content, name=file)
    url = fs.unstrip_protocol(file)
    facts = {"file_path": url, "file_name": PurePath(file).name, **metadata}
    return _document(url, picture, {"data": picture.data()}, facts)


def _from_local(path: Path, metadata: dict[str, Any]) -> ImageDocument:
    path = Path(os.path.abspath(path))  # noqa: PTH100 - links stay as they are
    picture = glmv.Image.from_path(path)
    return _document(str(path), picture, {"path": path}, {"file_path": str(path), "file_name": path.name, **metadata})


def _document(name: str, picture: glmv.Image, content: dict[str, Any], metadata: dict[str, Any]) -> ImageDocument:
    facts = {
        "file_type": picture.mime,
        "file_size": picture.size,
        "width": picture.width,
        "height": picture.height,
    }
    if picture.cut_short is not None:
        raise glmv.UnsupportedContent(
            f"{glmv.shown(name)} is incomplete: {picture.cut_short}. Save or download it again."
        )
    metadata = {**{key: value for key, value in facts.items() if value is not None}, **metadata}
    hidden_keys = _hidden_keys(metadata)
    return ImageDocument(
        id_=name,
        image_resource=MediaResource(mimetype=picture.mime, **content),
        metadata=metadata,
        excluded_embed_metadata_keys=hidden_keys,
        excluded_llm_metadata_keys=hidden_keys,
    )


def _hidden_keys(metadata: dict[str, Any]) -> Sequence[str]:
    """The metadata keys to hide from models and indexes: all except `file_name`, which may describe the picture."""
    return [key for key in metadata if key != "file_name"]
