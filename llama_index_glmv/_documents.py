"""`image_documents` of every kind that people have -> parts of a user message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, Union

from llama_index.core.base.llms.types import DocumentBlock, ImageBlock, VideoBlock
from llama_index.core.schema import BaseNode, ImageNode, Node, NodeWithScore
from pydantic import BaseModel

import glmv
from llama_index_glmv._intake import Intake
from llama_index_glmv._messages import parts_of_block

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

ImageSource = Union[
    ImageBlock,
    VideoBlock,
    DocumentBlock,
    BaseNode,
    NodeWithScore,
    glmv.Part,
    str,
    PathLike[str],
    bytes,
    "PILImage",
]
"""A picture as LlamaIndex users hold it. A str with a scheme is a URL, any other is a path."""

ImageDocuments = Sequence[ImageSource] | ImageSource
"""Some of them, or one."""

_SCHEME = re.compile(r"\s*[a-zA-Z][a-zA-Z0-9+.-]+:")  # two letters at least: C:\ is a Windows drive


def parts_of(documents: ImageDocuments | None, intake: Intake) -> list[glmv.Part]:
    """Pictures as people hold them -> parts, in order.

    Args:
        documents: blocks, nodes and documents with a picture, scored nodes, paths, URLs, bytes, Pillow's; one or some.
        intake: the rules, and where notes go.

    Raises:
        InvalidRequestError: an item that cannot be sent or holds no picture, by its place and type.
    """
    parts: list[glmv.Part] = []
    for index, document in enumerate(_some(documents)):
        where = f"image_documents[{index}]"
        try:
            parts.extend(_parts(document, where, intake))
        except glmv.InvalidRequestError as error:
            intake.refuse(error, where)
    return parts


def _some(documents: Any) -> Iterable[Any]:
    match documents:
        case None:
            return ()
        case str() | bytes() | bytearray() | BaseModel():  # pydantic's models iterate over their fields
            return (documents,)
        case Iterable():
            return documents
        case _:
            return (documents,)


def _parts(document: ImageSource, where: str, intake: Intake) -> Iterator[glmv.Part]:
    match document:
        case NodeWithScore():
            yield from _parts(document.node, where, intake)
        case ImageBlock() | VideoBlock() | DocumentBlock():
            yield from parts_of_block(document, where, intake)
        case BaseNode():
            yield from _held(document, intake)
        case glmv.Text() | glmv.Image() | glmv.Video() | glmv.File():
            yield document
        case str() if _SCHEME.match(document):
            yield intake.medium(glmv.Image, url=document)
        case str() | PathLike():
            yield intake.medium(glmv.Image, path=document)
        case _:
            yield glmv.Image.of(document)


def _held(node: BaseNode, intake: Intake) -> Iterator[glmv.Image | glmv.Video]:
    kinds: list[tuple[type[glmv.Image | glmv.Video], Any, Any, Any]] = []
    match node:
        case ImageNode():
            kinds = [(glmv.Image, node.image, node.image_path, node.image_url)]
        case Node():
            resources = ((glmv.Image, node.image_resource), (glmv.Video, node.video_resource))
            kinds = [(kind, held.data, held.path, held.url) for kind, held in resources if held is not None]
    kinds = [one for one in kinds if any(one[1:])]
    if not kinds:
        hint = "Its metadata names a file, but metadata may come from anyone and is not opened: set image_path."
        named = bool(node.metadata.get("file_path"))
        raise glmv.UnsupportedContent(f"this {type(node).__name__} holds no picture. {hint * named}".strip())
    for kind, data, path, url in kinds:
        yield intake.medium(kind, data=data, path=path, url=url)
