"""`image_documents` of every kind that people have -> parts of a user message."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Union

from llama_index.core.base.llms.types import DocumentBlock, ImageBlock, VideoBlock
from llama_index.core.schema import BaseNode, ImageNode, MediaResource, Node, NodeWithScore

import glmv
from llama_index_glmv._messages import part_of

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

ImageSource = Union[
    ImageBlock,
    VideoBlock,
    DocumentBlock,
    BaseNode,
    NodeWithScore,
    glmv.Image,
    str,
    PathLike[str],
    bytes,
    "PILImage",
]
"""A picture as LlamaIndex users hold it. A str with a scheme is a URL, any other is a path."""

ImageDocuments = Sequence[ImageSource]


def parts_of(documents: ImageDocuments, notes: list[str]) -> list[glmv.Part]:
    """Pictures as people hold them -> parts, in order.

    Args:
        documents: blocks, nodes and documents with a picture, scored nodes, paths, URLs, bytes, Pillow's.
        notes: gets one line for each thing that was left out.

    Raises:
        UnsupportedContent: an item that holds no picture, naming its place and type.
    """
    if isinstance(documents, str | bytes | PathLike | BaseNode | NodeWithScore | ImageBlock):
        documents = [documents]
    parts: list[glmv.Part] = []
    for index, document in enumerate(documents):
        parts.extend(_parts(document, f"image_documents[{index}]", notes))
    return parts


def _parts(document: ImageSource, where: str, notes: list[str]) -> list[glmv.Part]:
    match document:
        case NodeWithScore():
            return _parts(document.node, where, notes)
        case ImageBlock() | VideoBlock() | DocumentBlock():
            return list(part_of(document, where, notes))
        case ImageNode():
            return [_image_node(document, where)]
        case Node() if document.image_resource is not None:
            return [_resource(document.image_resource, where)]
        case Node() if document.video_resource is not None:
            return [_video_resource(document.video_resource, where)]
        case BaseNode():
            raise _nothing(document, where)
        case _:
            return [glmv.Image.of(document)]


def _image_node(node: ImageNode, where: str) -> glmv.Image:
    if node.image:
        return glmv.Image.from_base64(node.image)
    if node.image_path:
        return glmv.Image.from_path(node.image_path)
    if node.image_url:
        return glmv.Image.from_url(str(node.image_url))
    raise _nothing(node, where)


def _resource(resource: MediaResource, where: str) -> glmv.Image:
    match resource:
        case MediaResource(data=bytes(base64)) if base64:
            return glmv.Image.from_base64(base64)
        case MediaResource(path=path) if path is not None:
            return glmv.Image.from_path(path)
        case MediaResource(url=url) if url is not None:
            return glmv.Image.from_url(str(url))
        case _:
            raise _nothing(resource, where)


def _video_resource(resource: MediaResource, where: str) -> glmv.Video:
    match resource:
        case MediaResource(data=bytes(base64)) if base64:
            return glmv.Video.from_base64(base64)
        case MediaResource(path=path) if path is not None:
            return glmv.Video.from_path(path)
        case MediaResource(url=url) if url is not None:
            return glmv.Video.from_url(str(url))
        case _:
            raise _nothing(resource, where)


def _nothing(holder: object, where: str) -> glmv.UnsupportedContent:
    hint = ""
    if isinstance(holder, BaseNode) and holder.metadata.get("file_path"):
        hint = " Its metadata names a file, but metadata may come from anyone and is not opened: set image_path."
    return glmv.UnsupportedContent(f"{where}: this {type(holder).__name__} holds no picture.{hint}")
