"""Pictures in Qdrant, Chroma and LanceDB: nodes are returned with their picture, and engines send it."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import fsspec
import pytest
from llama_index.core import SimpleDirectoryReader, StorageContext, VectorStoreIndex
from llama_index.core.chat_engine.multi_modal_condense_plus_context import MultiModalCondensePlusContextChatEngine
from llama_index.core.chat_engine.multi_modal_context import MultiModalContextChatEngine
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.indices import MultiModalVectorStoreIndex
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.schema import BaseNode, ImageDocument, ImageNode
from PIL import Image

from glmv_emulator import Emulator
from llama_index_glmv import (
    GLMV,
    GLMVEmbedding,
    GLMVImageCaptioner,
    GLMVMultiModal,
    image_file_extractor,
    load_images,
)
from tests.stores.conftest import KINDS, PERSISTENT, SIZES, Open

# The stores warn of their own.
pytestmark = [pytest.mark.stores, pytest.mark.filterwarnings("ignore")]

QUESTION = "How large is the picture of 640 x 480 pixels?"


@pytest.fixture
def llm(emu: Emulator) -> Iterator[GLMV]:
    with GLMV() as model:
        yield model


@pytest.fixture
def embedding(emu: Emulator) -> Iterator[GLMVEmbedding]:
    result = GLMVEmbedding(dimensions=1024)
    yield result
    result.clients.close()


@pytest.fixture
def flow(llm: GLMV) -> list[Any]:
    """The transformations that the documentation shows for documents with pictures."""
    return [GLMVImageCaptioner(llm=llm, on_error="skip", nodes=True)]


def indexed(documents: Sequence[Any], steps: list[Any], store: Any, embedding: Any) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        documents,
        storage_context=StorageContext.from_defaults(vector_store=store),
        transformations=steps,
        embed_model=embedding,
    )


def reopened(store: Any, embedding: Any) -> VectorStoreIndex:
    """An index that is made from the store, without the documents."""
    return VectorStoreIndex.from_vector_store(store, embed_model=embedding)


def retrieved(index: VectorStoreIndex, count: int = 9) -> list[BaseNode]:
    return [found.node for found in index.as_retriever(similarity_top_k=count).retrieve(QUESTION)]


def names(nodes: Sequence[BaseNode]) -> list[str]:
    return sorted(node.metadata["file_name"] for node in nodes)


def sent_pictures(emu: Emulator) -> list[str]:
    """A list with "image_url" once for each picture in the last message of the newest request."""
    parts = emu.requests[-1].body["messages"][-1]["content"]
    return [part["type"] for part in parts if part["type"] == "image_url"] if isinstance(parts, list) else []


def png(colour: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", SIZES[colour], colour).save(out, "PNG")
    return out.getvalue()


ENGINES: dict[str, Callable[[VectorStoreIndex, GLMV], Callable[[str], Any]]] = {
    "RetrieverQueryEngine": lambda index, llm: (
        RetrieverQueryEngine.from_args(index.as_retriever(similarity_top_k=1), llm=llm, multimodal=True).query
    ),
    "CitationQueryEngine": lambda index, llm: (
        CitationQueryEngine.from_args(
            index, llm=llm, multimodal=True, retriever=index.as_retriever(similarity_top_k=1)
        ).query
    ),
    "MultiModalContextChatEngine": lambda index, llm: (
        MultiModalContextChatEngine.from_defaults(
            retriever=index.as_retriever(similarity_top_k=1), multi_modal_llm=llm
        ).chat
    ),
    "MultiModalCondensePlusContextChatEngine": lambda index, llm: (
        MultiModalCondensePlusContextChatEngine.from_defaults(
            retriever=index.as_retriever(similarity_top_k=1), multi_modal_llm=llm
        ).chat
    ),
}


@pytest.mark.parametrize("from_store", [False, True], ids=["index", "store alone"])
@pytest.mark.parametrize("steps", ["nodes", "splitter"])
@pytest.mark.usefixtures("folder")
def test_every_engine_sends_the_picture_that_a_store_returns(
    steps: str, from_store: bool, open_store: Open, llm: GLMV, embedding: GLMVEmbedding, flow: list[Any], emu: Emulator
) -> None:
    chosen = flow if steps == "nodes" else [GLMVImageCaptioner(llm=llm), SentenceSplitter()]
    store = open_store()
    index = indexed(load_images("photos", on_error="skip"), chosen, store, embedding)
    if from_store:
        index = reopened(store, embedding)
    for name, engine in ENGINES.items():
        answer = str(engine(index, llm)(QUESTION))
        assert "640" in answer, name
        assert sent_pictures(emu) == ["image_url"], name


@pytest.mark.usefixtures("folder")
def test_nodes_returned_by_a_store_are_pictures_with_stable_ids(
    open_store: Open, embedding: GLMVEmbedding, flow: list[Any]
) -> None:
    store = open_store()
    documents = load_images("photos", on_error="skip")
    nodes = flow[0](documents)
    VectorStoreIndex(nodes, storage_context=StorageContext.from_defaults(vector_store=store), embed_model=embedding)
    result = retrieved(reopened(store, embedding))
    assert names(result) == ["blue.png", "green.png", "red.png"]
    assert {node.node_id for node in result} == {node.node_id for node in nodes}
    for node in result:
        assert isinstance(node, ImageNode)
        assert UUID(node.node_id).version == 5
        assert Path(node.image_path or "").is_absolute()
        assert node.ref_doc_id == node.image_path


@pytest.mark.parametrize("kind", PERSISTENT, indirect=True)
def test_a_store_on_disk_finds_its_pictures_after_the_working_directory_changed(
    folder: Path,
    open_store: Open,
    llm: GLMV,
    embedding: GLMVEmbedding,
    flow: list[Any],
    emu: Emulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    indexed(load_images("photos", on_error="skip"), flow, open_store(), embedding)
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    index = reopened(open_store(), embedding)
    for name, engine in ENGINES.items():
        assert "640" in str(engine(index, llm)(QUESTION)), name
        assert sent_pictures(emu) == ["image_url"], name


# LanceDB reads the names that its store for LlamaIndex puts into a deletion as columns, whatever the document is.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "lancedb"], indirect=True)
@pytest.mark.usefixtures("folder")
def test_a_store_updates_a_changed_picture_and_removes_a_deleted_picture(
    open_store: Open, embedding: GLMVEmbedding, flow: list[Any]
) -> None:
    store = open_store()
    index = indexed(load_images("photos", on_error="skip"), flow, store, embedding)
    Image.new("RGB", (30, 70), "orange").save("photos/red.png")
    documents = load_images("photos", on_error="skip")
    changed = index.refresh_ref_docs(documents)
    assert names([document for document, new in zip(documents, changed, strict=True) if new]) == ["red.png"]
    values = {node.metadata["file_name"]: node for node in retrieved(reopened(store, embedding))}
    assert sorted(values) == ["blue.png", "green.png", "red.png"]
    assert values["red.png"].metadata["width"] == 30
    assert "30 x 70" in values["red.png"].get_content()
    index.delete_ref_doc(os.path.abspath("photos/red.png"), delete_from_docstore=True)  # noqa: PTH100
    assert names(retrieved(reopened(store, embedding))) == ["blue.png", "green.png"]


def test_pictures_of_a_deleted_memory_file_system_are_sent_from_the_store(
    open_store: Open, llm: GLMV, embedding: GLMVEmbedding, flow: list[Any], emu: Emulator
) -> None:
    memory = fsspec.filesystem("memory")
    for colour in SIZES:
        memory.pipe(f"/album/{colour}.png", png(colour))
    memory.pipe("/album/broken.png", b"junk")
    reader = SimpleDirectoryReader("/album", fs=memory, file_extractor=image_file_extractor(on_error="skip"))
    read = reader.load_data(fs=memory)
    loaded = load_images("memory://album", on_error="skip")
    memory.rm("/album", recursive=True)
    assert [node.node_id for node in flow[0](read)] == [node.node_id for node in flow[0](loaded)]
    store = open_store()
    indexed(loaded, flow, store, embedding)
    for name, engine in ENGINES.items():
        assert "640" in str(engine(reopened(store, embedding), llm)(QUESTION)), name
        assert sent_pictures(emu) == ["image_url"], name


def test_pictures_given_as_bytes_are_kept_in_the_store(
    open_store: Open, embedding: GLMVEmbedding, flow: list[Any]
) -> None:
    encoded = [base64.b64encode(png(colour)).decode() for colour in ("red", "red", "blue")]
    documents = [ImageDocument(image=data, metadata={"file_name": "x"}) for data in encoded]
    store = open_store()
    indexed(documents, flow, store, embedding)
    result = retrieved(reopened(store, embedding))
    assert sorted(node.image for node in result if isinstance(node, ImageNode) and node.image) == sorted(encoded)
    assert {node.ref_doc_id for node in result} == {document.doc_id for document in documents}


def test_pictures_with_quotes_spaces_or_chinese_in_their_file_names_are_found(
    folder: Path, open_store: Open, embedding: GLMVEmbedding, flow: list[Any]
) -> None:
    (folder / "more").mkdir()
    for name in ("Bob's 1st.png", "图 片.png", "100%.png"):
        (folder / "more" / name).write_bytes(png("blue"))
    store = open_store()
    indexed(load_images("more"), flow, store, embedding)
    result = retrieved(reopened(store, embedding))
    assert names(result) == ["100%.png", "Bob's 1st.png", "图 片.png"]
    assert all(Path(node.image_path or "").is_file() for node in result if isinstance(node, ImageNode))


class ByColour(MultiModalEmbedding):
    """Embeds texts and pictures by their main colour."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float("640" in text), float("320" in text), 0.1]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    def _get_image_embedding(self, img_file_path: Any) -> list[float]:
        with Image.open(img_file_path) as picture:
            return [float(picture.width == 640), float(picture.width == 320), 0.1]

    async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
        return self._get_image_embedding(img_file_path)


@pytest.mark.usefixtures("folder")
def test_a_multi_modal_index_sends_the_picture_to_query_and_chat_engines(
    open_store: Open, flow: list[Any], emu: Emulator
) -> None:
    by_colour = ByColour()
    index = MultiModalVectorStoreIndex.from_documents(
        load_images("photos", on_error="skip"),
        storage_context=StorageContext.from_defaults(vector_store=open_store()),
        transformations=flow,
        embed_model=by_colour,
        image_embed_model=by_colour,
    )
    with GLMVMultiModal() as llm:
        answer = index.as_query_engine(llm=llm, similarity_top_k=1, image_similarity_top_k=1).query(QUESTION)
        assert "640" in str(answer)
        assert "image_url" in sent_pictures(emu)
        chat = index.as_chat_engine(chat_mode="context", llm=llm, similarity_top_k=1, image_similarity_top_k=1)
        assert "640" in str(chat.chat(QUESTION))
        assert "image_url" in sent_pictures(emu)
