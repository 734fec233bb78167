"""Folders, files and URLs become documents with pictures, and captions make them searchable."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import fsspec
import pytest
from llama_index.core import SimpleDirectoryReader, StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, ImageDocument, ImageNode, MediaResource, MetadataMode, TextNode
from PIL import Image as Pillow

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


def test_a_folder_gives_its_pictures_sorted_by_name(folder: Path) -> None:
    assert names(load_images(folder)) == ["a.PNG", "b.png"]


def test_a_folder_gives_every_supported_format(tmp_path: Path) -> None:
    for name, kind in (
        ("a.pgm", "PPM"),
        ("b.j2k", "JPEG2000"),
        ("c.jfif", "JPEG"),
        ("d.TIF", "TIFF"),
        ("e.tga", "TGA"),
    ):
        Pillow.new("L", (40, 30)).save(tmp_path / name, kind)
    assert [document.metadata["file_name"] for document in load_images(tmp_path)] == [
        "a.pgm",
        "b.j2k",
        "c.jfif",
        "d.TIF",
        "e.tga",
    ]


def test_sub_folders_are_searched_on_request(folder: Path) -> None:
    assert names(load_images(folder, recursive=True)) == ["a.PNG", "b.png", "c.png"]


@pytest.mark.parametrize(("pattern", "found"), [("b*", ["b.png"]), ("**/*.png", ["b.png", "c.png"])])
def test_a_pattern_gives_the_matching_files(pattern: str, found: list[str], folder: Path) -> None:
    assert names(load_images(f"{folder}/{pattern}")) == found


def test_files_and_urls_can_be_mixed(folder: Path) -> None:
    documents = load_images([folder / "b.png", "https://example.com/x/far.png?sig=1"])
    assert names(documents) == ["b.png", "far.png"]
    assert documents[1].image_url == "https://example.com/x/far.png?sig=1"


def test_a_document_holds_path_and_measurements_but_no_content(folder: Path) -> None:
    (document,) = load_images(folder / "b.png")
    assert document.image_path == str(folder / "b.png")
    assert document.image is None
    assert document.id_ == str(folder / "b.png")
    assert (document.metadata["width"], document.metadata["height"]) == (32, 24)
    assert document.metadata["file_type"] == "image/png"


def test_models_and_indexes_see_only_the_file_name(folder: Path) -> None:
    (document,) = load_images(folder / "b.png")
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert document.get_metadata_str(mode) == "file_name: b.png"


def test_a_loaded_picture_can_be_sent(folder: Path, draw: Callable[..., bytes]) -> None:
    assert parts_of_documents(load_images(folder / "b.png"), Intake()) == [glmv.Image.from_bytes(draw("red"))]


@pytest.mark.parametrize("source", ["nowhere", "nowhere.png"])
def test_a_missing_source_is_reported(source: str, tmp_path: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="this file or folder does not exist"):
        load_images(tmp_path / source)


def test_a_folder_without_pictures_is_reported(tmp_path: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="found no picture"):
        load_images(tmp_path)


def test_a_file_that_is_not_a_picture_is_reported(folder: Path) -> None:
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


def test_captions_are_replaced_on_request(emu: Emulator, connect: Callable[..., GLMV], folder: Path) -> None:
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
    result = index.as_retriever(similarity_top_k=5).retrieve("walls")
    assert {item.node.get_content() for item in result} == {"blue wall", "red wall"}
    assert all(isinstance(item.node, ImageNode) and item.node.image_path for item in result)


def test_a_pipeline_does_not_describe_the_same_picture_twice(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path
) -> None:
    emu.say("red")
    captioner = GLMVImageCaptioner(llm=connect())
    pipeline = IngestionPipeline(transformations=[captioner])
    first = pipeline.run(documents=load_images(folder / "b.png"))
    second = pipeline.run(documents=load_images(folder / "b.png"))
    assert [node.get_content() for node in first] == [node.get_content() for node in second] == ["red"]


def _without_its_end() -> bytes:
    out = io.BytesIO()
    Pillow.effect_noise((90, 60), 80).save(out, "JPEG")
    return out.getvalue()[:-500]


JPEG_WITHOUT_ITS_END = _without_its_end()


# ---- working directories, broken files, other file systems


@pytest.mark.parametrize("source", ["album", "album/*.png", "album/inner/../b.png"])
def test_paths_and_ids_are_absolute(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    document = load_images(source.replace("album", folder.name))[-1]
    assert document.id_ == document.image_path == document.metadata["file_path"] == str(folder / "b.png")


def test_the_home_folder_is_expanded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert load_images("~/b.png")[0].image_path == str(folder / "b.png")


@pytest.mark.parametrize("content", [b"", b"no picture", b"%PDF-1.7", JPEG_WITHOUT_ITS_END])
def test_a_broken_file_raises_or_is_left_out(content: bytes, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "broken.jpg").write_bytes(content)
    with pytest.raises(glmv.InvalidRequestError, match=r"broken\.jpg"):
        load_images(folder)
    assert names(load_images([folder, folder / "gone.png"], on_error="skip")) == ["a.PNG", "b.png"]
    assert f"{folder / 'broken.jpg'} was left out" in caplog.text
    assert "gone.png" in caplog.text


@pytest.mark.parametrize("source", ["Qz" * 3000, "Qz" * 300 + "\0", "memory://" + "Qz" * 900, "qz" * 400 + "://b"])
def test_an_invalid_path_is_quoted_briefly(source: str, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(glmv.InvalidRequestError) as caught:
        load_images([source], on_error="skip")
    assert len(str(caught.value)) < 700
    assert len(caplog.text) < 1500


@pytest.mark.parametrize("source", [b"GIF89a", [b"GIF89a"], 7, [None]])
def test_an_image_object_is_refused_with_advice_to_make_a_document(source: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="ImageDocument"):
        load_images(source)


def test_loading_without_any_valid_picture_raises(folder: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="this file or folder does not exist"):
        load_images(folder / "nowhere", on_error="skip")
    (folder / "b.png").write_bytes(b"junk")
    with pytest.raises(glmv.UnsupportedContent, match=r"b\.png"):
        load_images(folder / "b.png", on_error="skip")


def test_on_error_accepts_only_two_values(folder: Path) -> None:
    for call in (lambda word: load_images(folder, on_error=word), image_file_extractor):
        with pytest.raises(glmv.InvalidRequestError, match="on_error"):
            call("ignore")


def test_the_directory_reader_leaves_out_broken_files(
    folder: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "broken.jpg").write_bytes(b"junk")
    extractor = image_file_extractor(on_error="skip")
    documents = SimpleDirectoryReader(
        folder, required_exts=[".jpg", ".png"], file_extractor=extractor, raise_on_error=True
    ).load_data()
    assert [document.metadata["file_name"] for document in documents] == ["b.png"]
    assert "broken.jpg was left out" in caplog.text
    assert "Failed" not in capsys.readouterr().out


@pytest.fixture
def far(draw: Callable[..., bytes]) -> Iterator[Any]:
    """An in-memory file system with /album/a.png, /album/b.png, /album/inner/c.png and a broken file."""
    memory = fsspec.filesystem("memory")
    for name, colour in (("b", "red"), ("a", "blue"), ("inner/c", "green")):
        memory.pipe(f"/album/{name}.png", draw(colour))
    memory.pipe("/album/z.png", b"junk")
    yield memory
    memory.rm("/album", recursive=True)


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize(
    ("source", "recursive", "expected"),
    [
        ("memory://album", False, ["a.png", "b.png"]),
        ("memory://album", True, ["a.png", "b.png", "c.png"]),
        ("memory://album/b.png", False, ["b.png"]),
        ("memory://album/*/*.png", False, ["c.png"]),
    ],
)
def test_pictures_of_other_file_systems_are_loaded_with_their_content(
    source: str, recursive: bool, expected: list[str]
) -> None:
    documents = load_images(source, recursive=recursive, on_error="skip")
    assert names(documents) == expected
    assert all(document.image and document.id_.startswith("memory:///album/") for document in documents)


def test_a_file_url_is_a_file_of_this_machine(folder: Path) -> None:
    assert load_images((folder / "b.png").as_uri())[0].image_path == str(folder / "b.png")


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("source", ["memory://nowhere", "memory://album/inner/*.jpg", "zz://album"])
def test_missing_files_of_other_file_systems_are_reported(source: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"does not exist|found no picture|cannot open this file system"):
        load_images(source)


# ---- nodes for an index


def nodes_of(documents: list[Any], llm: GLMV, **options: Any) -> list[Any]:
    return list(GLMVImageCaptioner(llm=llm, nodes=True, num_workers=1, **options)(documents))


def test_nodes_are_pictures_with_stable_ids_and_name_their_source_document(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path
) -> None:
    emu.say("blue", "red", "blue", "red")
    first = nodes_of(load_images(folder), connect())
    assert [type(node) for node in first] == [ImageNode, ImageNode]
    assert [node.ref_doc_id for node in first] == [str(folder / "a.PNG"), str(folder / "b.png")]
    assert [node.get_content() for node in first] == ["blue", "red"]
    assert [node.metadata["file_name"] for node in first] == ["a.PNG", "b.png"]
    assert first[0].get_metadata_str(MetadataMode.EMBED) == "file_name: a.PNG"
    assert len({UUID(node.node_id) for node in first}) == 2
    assert [node.node_id for node in nodes_of(load_images(folder), connect())] == [node.node_id for node in first]


async def test_nodes_are_made_asynchronously(emu: Emulator, connect: Callable[..., GLMV], folder: Path) -> None:
    emu.say("red")
    captioner = GLMVImageCaptioner(llm=connect(), nodes=True)
    (node,) = await captioner.acall(load_images(folder / "b.png"))
    assert isinstance(node, ImageNode)


def test_every_kind_of_picture_becomes_a_node(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path, red: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    emu.answer(lambda ask: "seen")
    encoded = base64.b64encode(red).decode()
    url = "https://example.com/far.png"
    items = [
        ImageDocument(image=encoded),
        ImageDocument(image=encoded),
        ImageDocument(image=encoded, id_="mine"),
        *load_images(url),
        Document(image_resource=MediaResource(path=Path("b.png"))),
        ImageNode(image_path="b.png", id_="x"),
        ImageNode(image_path="b.png"),
        TextNode(text="words"),
    ]
    result = nodes_of(items, connect())
    assert [type(node).__name__ for node in result] == ["ImageNode"] * 7 + ["TextNode"]
    assert result[0].image == result[1].image == result[2].image == encoded
    assert result[3].image_url == url
    assert [node.image_path for node in result[4:7]] == [str(folder / "b.png")] * 3
    assert len({UUID(node.node_id) for node in result}) == len(result)
    assert [node.ref_doc_id for node in result[:6]] == [node.node_id for node in items[:6]]
    assert result[6].node_id == items[6].node_id
    assert result[7] is items[7]


def test_a_picture_that_cannot_be_described_gives_no_node(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    emu.say("red")
    documents = load_images([folder / "a.PNG", folder / "b.png"])
    (folder / "a.PNG").unlink()
    (node,) = nodes_of(documents, connect(), on_error="skip")
    assert node.get_content() == "red"
    assert f"{folder / 'a.PNG'} was not described" in caplog.text


def test_an_error_mark_is_not_embedded_and_is_removed_by_the_next_caption(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path, draw: Callable[..., bytes]
) -> None:
    documents = load_images(folder / "b.png")
    (folder / "b.png").unlink()
    captioner = GLMVImageCaptioner(llm=connect(), on_error="skip")
    failed = captioner(documents)
    assert failed[0].get_metadata_str(MetadataMode.EMBED) == "file_name: b.png"
    (folder / "b.png").write_bytes(draw("red"))
    emu.say("red")
    (described,) = captioner(failed)
    assert described.get_content() == "red"
    assert "caption_error" not in described.metadata


def test_refreshing_an_index_updates_changed_pictures(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path, alike: Any, draw: Callable[..., bytes]
) -> None:
    emu.say("blue", "red", "a larger one")
    steps = [GLMVImageCaptioner(llm=connect(), nodes=True, num_workers=1)]
    index = VectorStoreIndex.from_documents(load_images(folder), transformations=steps, embed_model=alike)
    (folder / "b.png").write_bytes(draw("red", (300, 200)))
    assert index.refresh_ref_docs(load_images(folder)) == [False, True]
    result = index.as_retriever(similarity_top_k=5).retrieve("walls")
    assert {item.node.get_content() for item in result} == {"blue", "a larger one"}
    index.delete_ref_doc(str(folder / "b.png"), delete_from_docstore=True)
    assert [item.node.get_content() for item in index.as_retriever().retrieve("walls")] == ["blue"]


def test_a_stored_index_finds_its_pictures_from_another_working_directory(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path, alike: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = pytest.importorskip(
        "llama_index.core.chat_engine.multi_modal_context", reason="chat engines of this core leave pictures out"
    )
    emu.say("blue", "red", "Two pictures.")
    llm = connect()
    monkeypatch.chdir(folder)
    VectorStoreIndex(nodes_of(load_images("."), llm), embed_model=alike).storage_context.persist("kept")
    monkeypatch.chdir(folder / "inner")
    stored = load_index_from_storage(StorageContext.from_defaults(persist_dir=str(folder / "kept")), embed_model=alike)
    memory = ChatMemoryBuffer.from_defaults()  # core's default leaves a database open
    engine = engines.MultiModalContextChatEngine.from_defaults(
        retriever=stored.as_retriever(), multi_modal_llm=llm, memory=memory
    )
    assert str(engine.chat("What is there?")) == "Two pictures."
    parts = emu.requests[-1].body["messages"][-1]["content"]
    assert [part["type"] for part in parts].count("image_url") == 2


@pytest.fixture
def answering() -> Iterator[Emulator]:
    """An emulator that measures the pictures."""
    with Emulator() as running:
        yield running


def captioner_of(emulator: Emulator, **options: Any) -> GLMVImageCaptioner:
    llm = GLMV(base_url=emulator.base_url, api_key=emulator.api_key, max_retries=0)
    return GLMVImageCaptioner(llm=llm, num_workers=2, **options)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_after_a_picture_that_cannot_be_described_no_more_requests_are_sent(
    answering: Emulator, folder: Path, asynchronous: bool
) -> None:
    (folder / "broken.jpg").write_bytes(b"no picture")
    nodes = [ImageNode(image_path=str(folder / "broken.jpg"))]
    nodes += [ImageNode(image_path=str(folder / "b.png")) for _ in range(40)]
    captioner = captioner_of(answering)

    async def describe() -> None:
        with pytest.raises(glmv.UnsupportedContent):
            await captioner.acall(nodes)
        count = len(answering.requests)
        await captioner.llm.acomplete("Are there further requests?")
        assert len(answering.requests) == count + 1

    if asynchronous:
        asyncio.run(describe())
    else:
        with pytest.raises(glmv.UnsupportedContent):
            captioner(nodes)
    assert len(answering.requests) < 20


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("fault", "error"), [("arrears", glmv.QuotaError), ("token-expired", glmv.AuthenticationError)]
)
def test_an_error_of_the_account_ends_the_run_although_pictures_may_be_skipped(
    answering: Emulator, folder: Path, fault: str, error: type[Exception], asynchronous: bool
) -> None:
    nodes = [ImageNode(image_path=str(folder / "b.png")) for _ in range(40)]
    captioner = captioner_of(answering, on_error="skip")
    answering.inject(fault, None)
    with pytest.raises(error):
        asyncio.run(captioner.acall(nodes)) if asynchronous else captioner(nodes)
    assert len(answering.requests) < 20
