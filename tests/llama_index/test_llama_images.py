"""Folders, files and URLs become documents with pictures, and captions make them searchable."""

from __future__ import annotations

import asyncio
import base64
import contextlib
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
from glmv_emulator import Emulator, Reply
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


def test_load_images_of_a_folder_returns_its_pictures_sorted_by_name(folder: Path) -> None:
    assert names(load_images(folder)) == ["a.PNG", "b.png"]


def test_load_images_of_a_folder_returns_pictures_of_unusual_formats(tmp_path: Path) -> None:
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


def test_load_images_with_recursive_true_searches_sub_folders(folder: Path) -> None:
    assert names(load_images(folder, recursive=True)) == ["a.PNG", "b.png", "c.png"]


@pytest.mark.parametrize(("pattern", "found"), [("b*", ["b.png"]), ("**/*.png", ["b.png", "c.png"])])
def test_load_images_of_a_pattern_returns_the_matching_files(pattern: str, found: list[str], folder: Path) -> None:
    assert names(load_images(f"{folder}/{pattern}")) == found


def test_load_images_accepts_a_list_of_files_and_urls(folder: Path) -> None:
    documents = load_images([folder / "b.png", "https://example.com/x/far.png?sig=1"])
    assert names(documents) == ["b.png", "far.png"]
    assert documents[1].image_url == "https://example.com/x/far.png?sig=1"


def test_a_loaded_document_holds_path_and_size_of_a_picture_but_no_content(folder: Path) -> None:
    (document,) = load_images(folder / "b.png")
    assert document.image_path == str(folder / "b.png")
    assert document.image is None
    assert document.id_ == str(folder / "b.png")
    assert (document.metadata["width"], document.metadata["height"]) == (32, 24)
    assert document.metadata["file_type"] == "image/png"


def test_the_file_name_is_the_only_metadata_that_models_and_indexes_see(folder: Path) -> None:
    (document,) = load_images(folder / "b.png")
    for mode in (MetadataMode.EMBED, MetadataMode.LLM):
        assert document.get_metadata_str(mode) == "file_name: b.png"


def test_a_document_of_load_images_becomes_a_content_part_with_its_picture(
    folder: Path, draw: Callable[..., bytes]
) -> None:
    assert parts_of_documents(load_images(folder / "b.png"), Intake()) == [glmv.Image.from_bytes(draw("red"))]


@pytest.mark.parametrize("source", ["nowhere", "nowhere.png"])
def test_load_images_of_a_missing_file_or_folder_raises(source: str, tmp_path: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="this file or folder does not exist"):
        load_images(tmp_path / source)


def test_load_images_of_a_folder_without_pictures_raises(tmp_path: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="found no picture"):
        load_images(tmp_path)


def test_load_images_of_a_file_that_is_not_a_picture_raises(folder: Path) -> None:
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


def test_the_directory_reader_reads_pictures_of_an_fsspec_file_system(draw: Callable[..., bytes]) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/album/far.png", draw("red"))
    reader = SimpleDirectoryReader("/album", fs=memory, file_extractor=image_file_extractor())
    (document,) = reader.load_data(fs=memory)  # core 0.14.5 forgets its own
    memory.rm("/album", recursive=True)
    assert parts_of_documents([document], Intake()) == [glmv.Image.from_bytes(draw("red"))]


def test_the_captioner_describes_only_pictures_without_a_text(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path
) -> None:
    emu.say(" a red wall \n")
    captioner = GLMVImageCaptioner(llm=connect())
    text, named = TextNode(text="a text"), ImageNode(image_path=str(folder / "a.PNG"), text="has one")
    picture = ImageNode(image_path=str(folder / "b.png"))
    result = captioner([text, picture, named])
    assert [node.get_content() for node in result] == ["a text", "a red wall", "has one"]
    assert picture.text == ""
    assert emu.requests[0].body["messages"][0]["content"][0]["type"] == "image_url"


async def test_an_asynchronous_captioner_keeps_the_order_of_the_pictures(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path
) -> None:
    emu.say("first", "second")
    captioner = GLMVImageCaptioner(llm=connect(), num_workers=1)
    nodes = await captioner.acall(load_images(folder))
    assert [node.get_content() for node in nodes] == ["first", "second"]


def test_the_captioner_with_overwrite_true_replaces_captions(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path
) -> None:
    emu.say("new")
    captioner = GLMVImageCaptioner(llm=connect(), overwrite=True)
    (node,) = captioner([ImageNode(image_path=str(folder / "b.png"), text="old")])
    assert node.get_content() == "new"


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_for_a_missing_picture_on_error_raise_raises_and_skip_sets_caption_error(
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


def test_an_index_returns_captioned_pictures_as_image_nodes_with_their_paths(
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


def test_an_ingestion_pipeline_that_runs_twice_describes_a_picture_once(
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
def test_load_images_makes_document_paths_and_ids_absolute(
    source: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    document = load_images(source.replace("album", folder.name))[-1]
    assert document.id_ == document.image_path == document.metadata["file_path"] == str(folder / "b.png")


def test_load_images_expands_the_tilde_of_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert load_images("~/b.png")[0].image_path == str(folder / "b.png")


@pytest.mark.parametrize("content", [b"", b"no picture", b"%PDF-1.7", JPEG_WITHOUT_ITS_END])
def test_a_broken_file_is_left_out_if_on_error_is_skip_and_raises_otherwise(
    content: bytes, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "broken.jpg").write_bytes(content)
    with pytest.raises(glmv.InvalidRequestError, match=r"broken\.jpg"):
        load_images(folder)
    assert names(load_images([folder, folder / "gone.png"], on_error="skip")) == ["a.PNG", "b.png"]
    assert f"{folder / 'broken.jpg'} was left out" in caplog.text
    assert "gone.png" in caplog.text


@pytest.mark.parametrize("source", ["Qz" * 3000, "Qz" * 300 + "\0", "memory://" + "Qz" * 900, "qz" * 400 + "://b"])
def test_the_error_for_a_long_invalid_path_has_less_than_700_characters(
    source: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(glmv.InvalidRequestError) as caught:
        load_images([source], on_error="skip")
    assert len(str(caught.value)) < 700
    assert len(caplog.text) < 1500


@pytest.mark.parametrize("source", [b"GIF89a", [b"GIF89a"], 7, [None]])
def test_load_images_refuses_bytes_and_numbers_with_advice_to_make_a_document(source: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="ImageDocument"):
        load_images(source)


def test_load_images_raises_if_on_error_is_skip_and_no_picture_remains(folder: Path) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="this file or folder does not exist"):
        load_images(folder / "nowhere", on_error="skip")
    (folder / "b.png").write_bytes(b"junk")
    with pytest.raises(glmv.UnsupportedContent, match=r"b\.png"):
        load_images(folder / "b.png", on_error="skip")


def test_an_unknown_value_of_on_error_is_refused(folder: Path) -> None:
    for call in (lambda word: load_images(folder, on_error=word), image_file_extractor):
        with pytest.raises(glmv.InvalidRequestError, match="on_error"):
            call("ignore")


def test_the_directory_reader_leaves_out_broken_files_if_on_error_is_skip(
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
def test_load_images_loads_the_content_of_pictures_of_an_fsspec_file_system(
    source: str, recursive: bool, expected: list[str]
) -> None:
    documents = load_images(source, recursive=recursive, on_error="skip")
    assert names(documents) == expected
    assert all(document.image and document.id_.startswith("memory:///album/") for document in documents)


def test_load_images_reads_a_file_url(folder: Path) -> None:
    assert load_images((folder / "b.png").as_uri())[0].image_path == str(folder / "b.png")


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("source", ["memory://nowhere", "memory://album/inner/*.jpg", "zz://album"])
def test_load_images_of_missing_files_of_an_fsspec_file_system_raises(source: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"does not exist|found no picture|cannot open this file system"):
        load_images(source)


# ---- nodes for an index


def nodes_of(documents: list[Any], llm: GLMV, **options: Any) -> list[Any]:
    return list(GLMVImageCaptioner(llm=llm, nodes=True, num_workers=1, **options)(documents))


def test_the_captioner_makes_image_nodes_with_stable_ids_and_source_documents(
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


async def test_the_captioner_makes_nodes_in_asynchronous_calls(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path
) -> None:
    emu.say("red")
    captioner = GLMVImageCaptioner(llm=connect(), nodes=True)
    (node,) = await captioner.acall(load_images(folder / "b.png"))
    assert isinstance(node, ImageNode)


def test_the_captioner_makes_an_image_node_of_every_form_of_a_picture(
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


def test_a_missing_picture_gives_a_warning_and_no_node_if_on_error_is_skip(
    emu: Emulator, connect: Callable[..., GLMV], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    emu.say("red")
    documents = load_images([folder / "a.PNG", folder / "b.png"])
    (folder / "a.PNG").unlink()
    (node,) = nodes_of(documents, connect(), on_error="skip")
    assert node.get_content() == "red"
    assert f"{folder / 'a.PNG'} was not described" in caplog.text


def test_the_field_caption_error_is_not_embedded_and_is_removed_by_a_later_caption(
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


def test_a_stored_index_finds_its_pictures_after_the_working_directory_changed(
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
def test_no_further_requests_are_sent_after_a_picture_that_cannot_be_described(
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
def test_an_account_error_ends_the_run_even_if_on_error_is_skip(
    answering: Emulator, folder: Path, fault: str, error: type[Exception], asynchronous: bool
) -> None:
    nodes = [ImageNode(image_path=str(folder / "b.png")) for _ in range(40)]
    captioner = captioner_of(answering, on_error="skip")
    answering.inject(fault, None)
    with pytest.raises(error):
        asyncio.run(captioner.acall(nodes)) if asynchronous else captioner(nodes)
    assert len(answering.requests) < 20


class _BrokenFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A file system whose calls raise an error that is not an OSError, as those of botocore do."""

    protocol = "broken"

    def isfile(self, path: str) -> bool:
        raise EOFError

    def cat_file(self, path: str, *_: Any, **__: Any) -> bytes:
        raise RuntimeError(f"refused: broken://name:secret@host/{path}")


class _AbsentFileSystem(fsspec.AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A file system whose package is not installed."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise ImportError("Install absentfs to access it")


@pytest.fixture
def broken() -> None:
    fsspec.register_implementation("broken", _BrokenFileSystem, clobber=True)
    fsspec.register_implementation("absent", _AbsentFileSystem, clobber=True)


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent://album", r"'absent://album': fsspec cannot open this file system \(.*Install absentfs"),
        ("broken://name:secret@host/a.png", r"'broken://\*\*\*@host/a.png': it cannot be read \('EOFError'\)"),
        ("zip://a.png::/nowhere/b.zip", r"cannot open this file system \(.*No such file"),
    ],
    ids=["not installed", "not reachable", "no archive"],
)
def test_an_error_of_a_file_system_is_an_invalid_request_and_can_be_skipped(
    folder: Path, source: str, message: str
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=message) as caught:
        load_images(source)
    assert "secret" not in str(caught.value)
    assert names(load_images([source, folder / "b.png"], on_error="skip")) == ["b.png"]


@pytest.mark.usefixtures("broken")
def test_the_reader_error_for_a_failing_file_system_does_not_show_the_password() -> None:
    reader = image_file_extractor()[".png"]
    with pytest.raises(glmv.InvalidRequestError, match=r"it cannot be read \(.*refused") as caught:
        reader.load_data("a.png", fs=_BrokenFileSystem())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("pattern", ["**.png", "**x/*.png"])
def test_double_stars_in_a_longer_name_match_pictures_or_raise_invalid_request(folder: Path, pattern: str) -> None:
    with contextlib.suppress(glmv.InvalidRequestError):  # Python 3.13 reads the stars as one
        assert load_images(folder / pattern)


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,"])
def test_load_images_of_base64_says_how_to_index_a_picture_in_memory(draw: Callable[..., bytes], prefix: str) -> None:
    content = base64.b64encode(draw("red")).decode()
    with pytest.raises(glmv.InvalidRequestError, match=r"not base64.*ImageDocument\(image=\.\.\.\)") as caught:
        load_images(prefix + content)
    assert content[:60] not in str(caught.value)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("answer", ["", "  \n"], ids=["empty", "blank"])
def test_an_empty_description_is_an_error_and_not_a_picture_without_text(
    answering: Emulator, folder: Path, answer: str, asynchronous: bool
) -> None:
    def describe(captioner: GLMVImageCaptioner) -> Any:
        return asyncio.run(captioner.acall(documents)) if asynchronous else captioner(documents)

    documents = load_images(folder / "b.png")
    answering.answer(lambda _: answer)
    with pytest.raises(glmv.MalformedResponse, match="the description is empty"):
        describe(captioner_of(answering))
    (node,) = describe(captioner_of(answering, on_error="skip"))
    assert node.metadata["caption_error"] == "MalformedResponse"
    assert list(describe(captioner_of(answering, on_error="skip", nodes=True))) == []


def test_the_error_names_max_tokens_if_a_description_ends_inside_the_reasoning(
    answering: Emulator, folder: Path
) -> None:
    answering.answer(lambda _: Reply(reasoning="It shows", finish_reason="length"))
    with pytest.raises(glmv.MalformedResponse, match="max_tokens"):
        captioner_of(answering)(load_images(folder / "b.png"))
