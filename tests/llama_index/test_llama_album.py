"""The ten-picture example: each answer is a fact of only one picture."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.query_engine import CitationQueryEngine, RetrieverQueryEngine
from llama_index.core.schema import ImageNode

EXAMPLE = Path(__file__).parents[2] / "examples" / "picture_rag"

pytest.importorskip("rapidocr", reason="the emulator reads words with the extra `eyes` only")
# One worker describes the pictures, not each: it takes the emulator's eyes half a minute.
pytestmark = [pytest.mark.eyes, pytest.mark.xdist_group("album")]
if "multimodal" not in RetrieverQueryEngine.from_args.__code__.co_varnames:
    pytest.skip("core before 0.14.23 has no multimodal=True", allow_module_level=True)

sys.path.insert(0, str(EXAMPLE))
try:
    import search
finally:
    sys.path.remove(str(EXAMPLE))

from glmv_emulator import Emulator  # noqa: E402 - after the skips
from llama_index_glmv import GLMV, GLMVEmbedding  # noqa: E402 - after the skips


def says(answer: str, text: str) -> bool:
    """Whether a text contains an answer as a separate word: 34, not 07:34."""
    return re.search(rf"(?<![\w:.]){re.escape(answer)}(?![\w:.]*\w)", text) is not None


class Album:
    """The example, set up once, because the emulator needs some seconds to describe ten pictures."""

    def __init__(self, emulator: Emulator) -> None:
        settings = {"api_key": emulator.api_key, "base_url": emulator.base_url}
        self.llm = GLMV(**settings)
        self.embedding = GLMVEmbedding(**settings)
        self.index = search.index_of(search.FOLDERS, self.llm, self.embedding)


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture(scope="module")
def album(emulator: Emulator) -> Iterator[Album]:
    album = Album(emulator)
    yield album
    album.llm.close()
    album.embedding.clients.close()


def test_the_index_has_a_node_with_text_for_each_of_ten_pictures(album: Album) -> None:
    nodes = list(album.index.docstore.docs.values())
    assert len({node.metadata["file_name"] for node in nodes}) == 10
    assert all(isinstance(node, ImageNode) and node.image_path and node.text for node in nodes)


@pytest.mark.parametrize(("question", "file", "answer"), search.QUESTIONS)
def test_an_answer_and_its_first_source_come_from_the_picture_asked_about(
    question: str, file: str, answer: str, album: Album
) -> None:
    response = search.engine_of(album.index, album.llm).query(question)
    assert says(answer, str(response))
    assert response.source_nodes[0].metadata["file_name"] == file


@pytest.mark.parametrize(("question", "file", "answer"), search.QUESTIONS)
def test_only_one_of_the_picture_nodes_has_the_answer_in_its_text(
    question: str, file: str, answer: str, album: Album
) -> None:
    nodes = album.index.docstore.docs.values()
    assert {node.metadata["file_name"] for node in nodes if says(answer, node.get_content())} == {file}


def test_the_model_gets_the_picture_and_not_its_description(album: Album, emulator: Emulator) -> None:
    search.engine_of(album.index, album.llm, pictures=1).query(search.QUESTIONS[2][0])
    parts = emulator.requests[-1].body["messages"][-1]["content"]
    assert [part["type"] for part in parts].count("image_url") == 1
    assert "Apple pie 2.90" not in str(parts)


def test_answers_cite_their_source_pictures(album: Album) -> None:
    engine = CitationQueryEngine.from_args(
        album.index, llm=album.llm, multimodal=True, retriever=album.index.as_retriever(similarity_top_k=2)
    )
    response = engine.query(search.QUESTIONS[1][0])
    assert response.source_nodes[0].metadata["file_name"] == "bakery_receipt.png"


@pytest.mark.filterwarnings("ignore:Payload indexes have no effect in the local Qdrant")
@pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # Qdrant leaves its file to garbage collection
def test_an_index_in_a_qdrant_store_on_disk_answers_from_the_right_picture(
    emulator: Emulator, album: Album, tmp_path: Path
) -> None:
    qdrant = pytest.importorskip("llama_index.vector_stores.qdrant")
    question, file, answer = search.QUESTIONS[2]
    with closing(pytest.importorskip("qdrant_client").QdrantClient(path=str(tmp_path))) as client:
        store = qdrant.QdrantVectorStore("album", client=client)
        search.index_of(search.FOLDERS[1:], album.llm, album.embedding, store)
        again = VectorStoreIndex.from_vector_store(store, embed_model=album.embedding)
        response = search.engine_of(again, album.llm).query(question)
    del client, store, again
    gc.collect()
    assert response.source_nodes[0].metadata["file_name"] == file
    assert isinstance(response.source_nodes[0].node, ImageNode)
    assert says(answer, str(response))
