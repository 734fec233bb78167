"""Every kind of picture that `image_documents` accepts."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ImageBlock, VideoBlock
from llama_index.core.schema import (
    Document,
    ImageDocument,
    ImageNode,
    MediaResource,
    Node,
    NodeWithScore,
    TextNode,
)
from PIL import Image

import glmv
from llama_index_glmv.intake import Intake
from llama_index_glmv.messages import parts_of_documents

URL = "https://example.com/a.png"


def part(document: Any) -> Any:
    (only,) = parts_of_documents([document], Intake())
    return only


def test_every_form_of_a_local_picture_becomes_the_same_content_part(red: bytes, red_path: Path) -> None:
    text = base64.b64encode(red).decode()
    documents = [
        ImageBlock(image=red),
        ImageBlock(path=red_path),
        ImageNode(image=text),
        ImageNode(image_path=str(red_path)),
        ImageDocument(image=text),
        ImageDocument(image_path=str(red_path)),
        Document(image_resource=MediaResource(data=red)),
        Node(image_resource=MediaResource(path=red_path)),
        NodeWithScore(node=ImageNode(image=text), score=0.5),
        NodeWithScore(node=ImageDocument(image=text)),
        glmv.Image.from_bytes(red),
        red_path,
        str(red_path),
        red,
    ]
    assert set(parts_of_documents(documents, Intake())) == {glmv.Image.from_bytes(red)}


@pytest.mark.parametrize(
    "document",
    [
        URL,
        ImageBlock(url=URL),
        ImageNode(image_url=URL),
        Document(image_resource=MediaResource(url=URL)),
        NodeWithScore(node=ImageNode(image_url=URL)),
    ],
)
def test_every_form_of_a_picture_url_is_passed_on(document: Any) -> None:
    assert part(document).url == URL


def test_a_pillow_picture_becomes_a_picture_of_the_same_width(red: bytes) -> None:
    assert part(Image.new("RGB", (32, 24), "red")).width == 32


def test_a_video_block_and_a_document_with_a_video_become_videos() -> None:
    url = "https://example.com/a.mp4"
    assert isinstance(part(VideoBlock(url=url)), glmv.Video)
    assert part(Document(video_resource=MediaResource(url=url))).url == url


@pytest.mark.parametrize(
    "kind", [str, Path, Path.read_bytes, glmv.Image.from_path, Image.open, lambda p: ImageBlock(path=p)]
)
def test_a_single_picture_is_accepted_without_a_list(kind: Any, red_path: Path) -> None:
    picture = kind(red_path)
    assert parts_of_documents(picture, Intake()) == parts_of_documents([picture], Intake())
    assert len(parts_of_documents(picture, Intake())) == 1


def test_a_single_video_is_accepted_without_a_list() -> None:
    assert isinstance(parts_of_documents(VideoBlock(url="https://example.com/a.mp4"), Intake())[0], glmv.Video)


def test_a_generator_of_pictures_is_accepted(red: bytes) -> None:
    assert len(parts_of_documents((picture for picture in [red, red]), Intake())) == 2  # type: ignore[arg-type]  # what people write


def test_a_node_with_a_picture_and_a_video_becomes_two_content_parts(red: bytes) -> None:
    video = MediaResource(url="https://example.com/a.mp4")
    node = Document(image_resource=MediaResource(data=red), video_resource=video)
    assert [type(part) for part in parts_of_documents(node, Intake())] == [glmv.Image, glmv.Video]


@pytest.mark.parametrize("document", [TextNode(text="x"), Document(text="x"), ImageNode(text="x")])
def test_the_error_for_a_node_without_a_picture_contains_the_index_of_the_node(document: Any) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"image_documents\[0\]: this \w+ has no picture"):
        part(document)


def test_a_file_named_only_in_metadata_is_not_opened(red_path: Path) -> None:
    with pytest.raises(glmv.UnsupportedContent, match="metadata is not trusted"):
        part(ImageNode(metadata={"file_path": str(red_path)}))


def test_an_int_as_a_picture_is_refused() -> None:
    with pytest.raises(glmv.UnsupportedContent, match="got int"):
        part(3)


def test_a_text_is_read_as_base64_unless_it_looks_like_a_path_or_names_a_file(
    red: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "picture" * 12
    with pytest.raises(glmv.InvalidRequestError, match="this is not a picture"):
        part(name)
    Path(name).write_bytes(red)
    assert part(name) == part(base64.b64encode(red).decode()) == glmv.Image.from_bytes(red)
    with pytest.raises(glmv.InvalidRequestError, match=r"missing\.png") as caught:
        part("missing.png")
    assert "this is not a picture" not in str(caught.value)
