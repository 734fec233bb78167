"""Folders, files and URLs that become documents with pictures, and captions that make them found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from llama_index.core import SimpleDirectoryReader, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import ImageDocument, ImageNode, MetadataMode, TextNode

import glmv
from glmv_emulator import Emulator
from llama_index_glmv import GLMV, GLMVImageCaptioner, image_file_extractor, load_images
from llama_index_glmv.intake import Intake
from llama_index_glmv.messages import parts_of_documents


@pytest.fixture
def folder(tmp_path: Path, draw: Callable[..., bytes]) -> Path:
    """b.png, a.PNG, notes.txt, and inner/c.png."""
    (tmp_path / "inner").mkdir()
    for name, colour in (("b.png", "red"), ("a.PNG", "blue"), ("inner/c.png", "green")):
        (tmp_path / name).write_bytes(draw(colour))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def names(documents: list[ImageDocument]) -> list[str]:
    return [document.metadata["file_name"] for document in documents]


def test_a_folder_gives_its_pictures_by_name(folder: Path) -> None:
    assert names(load_images(folder)) == ["a.PNG", "b.png"]


def test_folders_inside_are_looked_into_when_asked(folder: Path) -> None:
    assert names(load_images(folder, recursive=True)) == ["a.PNG", "b.png", "c.png"]


@pytest.mark.parametrize(("pattern", "found"), [("b*", ["b.png"]), ("**/*.png", ["b.png", "c.png"])])
def test_a_pattern_gives_what_it_matches(pattern: str, found: list[str], folder: Path) -> None:
    assert names(load_images(f"{folder}/{pattern}")) == found


def test_files_and_urls_may_be_mixed(folder: Path) -> None:
    documents = load_images([folder / "b.png", "https://example.com/x/far.png?sig=1"])
    assert names(documents) == ["b.png", "far.png"]
    assert documents[1].image_url == "https://example.com/x/far.png?sig=1"


def test_a_document_holds_the_path_and_what_was_measured_but_no_content(folder: Path) -> None:
    (document,) = load_images(folder / "b.png")
    assert document.image_path == str(folder / "b.png")
    assert document.image is None
    assert document.id_ == str(folder / "b.png")
    assert (document.metadata["width"], document.metadata["height"]) == (32, 24)
    assert document.metadata["file_type"] == "image/png"


def test_models_and_indexes_see_the_name_only(folder: Path) -> None:
    (document,) = load_images(folder / "b.png")
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert document.get_metadata_str(mode) == "file_name: b.png"


def test_a_loaded_picture_can_be_asked_about(folder: Path, draw: Callable[..., bytes]) -> None:
    assert parts_of_documents(load_images(folder / "b.png"), Intake()) == [glmv.Image.from_bytes(draw("red"))]


@pytest.mark.parametrize("source", ["nowhere", "nowhere.png"])
def test_a_missing_source_is_told(source: str, tmp_path: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="no such file or folder"):
        load_images(tmp_path / source)


def test_a_folder_without_pictures_is_told(tmp_path: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="no picture here"):
        load_images(tmp_path)


def test_a_file_that_is_no_picture_is_told(folder: Path) -> None:
    with pytest.raises(glmv.UnsupportedContent):
        load_images(folder / "notes.txt")


def test_the_directory_reader_reads_pictures_and_texts(folder: Path) -> None:
    documents = SimpleDirectoryReader(folder, recursive=True, file_extractor=image_file_extractor()).load_data()
    kinds = {document.metadata["file_name"]: type(document).__name__ for document in documents}
    assert kinds == {
        "a.PNG": "ImageDocument",
        "b.png": "ImageDocument",
        "c.png": "ImageDocument",
        "notes.txt": "Document",
    }


def test_the_directory_reader_reads_pictures_of_other_file_systems(draw: Callable[..., bytes]) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/album/far.png", draw("red"))
    reader = SimpleDirectoryReader("/album", fs=memory, file_extractor=image_file_extractor())
    (document,) = reader.load_data(fs=memory)  # core 0.14.5 forgets its own
    memory.rm("/album", recursive=True)
    assert parts_of_documents([document], Intake()) == [glmv.Image.from_bytes(draw("red"))]


def test_pictures_get_captions_and_texts_stay(emu: Emulator, connect: Callable[..., GLMV], folder: Path) -> None:
    emu.say(" a red wall \n")
    captioner = GLMVImageCaptioner(llm=connect())
    text, named = TextNode(text="a text"), ImageNode(image_path=str(folder / "a.PNG"), text="has one")
    picture = ImageNode(image_path=str(folder / "b.png"))
    result = captioner([text, picture, named])
    assert [node.get_content() for node in result] == ["a text", "a red wall", "has one"]
    assert picture.text == ""
    assert emu.requests[0].body["messages"][0]["content"][0]["type"] == "image_url"


async def test_captions_are_written_asynchronously_in_order(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path
) -> None:
    emu.say("first", "second")
    captioner = GLMVImageCaptioner(llm=connect(), num_workers=1)
    nodes = await captioner.acall(load_images(folder))
    assert [node.get_content() for node in nodes] == ["first", "second"]


def test_captions_are_written_anew_when_asked(emu: Emulator, connect: Callable[..., GLMV], folder: Path) -> None:
    emu.say("new")
    captioner = GLMVImageCaptioner(llm=connect(), overwrite=True)
    (node,) = captioner([ImageNode(image_path=str(folder / "b.png"), text="old")])
    assert node.get_content() == "new"


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_picture_that_cannot_be_described_ends_the_run_or_is_marked(
    on_error: Any, emu: Emulator, connect: Callable[..., GLMV], folder: Path
) -> None:
    captioner = GLMVImageCaptioner(llm=connect(), on_error=on_error)
    nodes = [ImageNode(image_path=str(folder / "gone.png")), ImageNode(image_path=str(folder / "b.png"))]
    if on_error == "raise":
        emu.answer(lambda ask: "red")  # the other picture may be under way
        with pytest.raises(glmv.InvalidRequestError, match=r"gone\.png"):
            captioner(nodes)
        return
    emu.say("red")
    failed, described = captioner(nodes)
    assert failed.metadata["caption_error"] == "InvalidRequestError"
    assert described.get_content() == "red"


def test_an_index_keeps_captioned_pictures_and_finds_them(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path, alike: Any
) -> None:
    emu.say("blue wall", "red wall")
    captioner = GLMVImageCaptioner(llm=connect(), num_workers=1)
    index = VectorStoreIndex.from_documents(
        load_images(folder), transformations=[captioner, SentenceSplitter()], embed_model=alike
    )
    found = index.as_retriever(similarity_top_k=5).retrieve("walls")
    assert {item.node.get_content() for item in found} == {"blue wall", "red wall"}
    assert all(isinstance(item.node, ImageNode) and item.node.image_path for item in found)


def test_a_pipeline_does_not_describe_the_same_picture_twice(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path
) -> None:
    emu.say("red")
    captioner = GLMVImageCaptioner(llm=connect())
    pipeline = IngestionPipeline(transformations=[captioner])
    first = pipeline.run(documents=load_images(folder / "b.png"))
    second = pipeline.run(documents=load_images(folder / "b.png"))
    assert [node.get_content() for node in first] == [node.get_content() for node in second] == ["red"]
