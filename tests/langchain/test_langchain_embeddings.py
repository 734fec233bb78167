"""Embeddings of the platform: LangChain's standard tests, and retrieval of similar texts."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_tests.integration_tests import EmbeddingsIntegrationTests
from langchain_tests.unit_tests import EmbeddingsUnitTests

import glmv
from glmv_emulator import Emulator
from langchain_glmv import GLMVEmbeddings


class TestGLMVEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[GLMVEmbeddings]:
        return GLMVEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"api_key": "test-id.test-secret"}


class TestGLMVEmbeddingsIntegration(EmbeddingsIntegrationTests):
    emulator: Emulator

    @pytest.fixture(autouse=True, scope="class")
    @staticmethod
    def _server(request: pytest.FixtureRequest) -> Iterator[None]:
        with Emulator() as emulator:
            request.cls.emulator = emulator
            yield

    @property
    def embeddings_class(self) -> type[GLMVEmbeddings]:
        return GLMVEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"base_url": self.emulator.base_url, "api_key": self.emulator.api_key}


@pytest.fixture
def embeddings(emulator: Emulator) -> GLMVEmbeddings:
    return GLMVEmbeddings(base_url=emulator.base_url, api_key=emulator.api_key, dimensions=256)


def test_retrieval_finds_a_similar_text(embeddings: GLMVEmbeddings) -> None:
    texts = ["A red lighthouse by the sea.", "Invoice 4711 over 300 euros.", "A recipe for pancakes."]
    store = InMemoryVectorStore.from_texts(texts, embeddings)
    assert store.similarity_search("the lighthouse at the red sea", k=1)[0].page_content == texts[0]


async def test_sync_and_async_calls_return_equal_vectors_of_the_requested_dimensions(
    embeddings: GLMVEmbeddings,
) -> None:
    vectors = embeddings.embed_documents(["a", "b"])
    assert [len(vector) for vector in vectors] == [256, 256]
    assert await embeddings.aembed_documents(["a", "b"]) == vectors
    assert await embeddings.aembed_query("a") == embeddings.embed_query("a") == vectors[0]


def test_an_empty_list_gives_no_vectors_and_makes_no_call(embeddings: GLMVEmbeddings, emulator: Emulator) -> None:
    assert embeddings.embed_documents([]) == []
    assert emulator.requests == []


def test_a_misspelled_option_and_invalid_dimensions_are_refused(embeddings: GLMVEmbeddings) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="dimensions"):
        GLMVEmbeddings(dimension=256)
    with pytest.raises(glmv.LimitExceeded, match="2048"):
        embeddings.model_copy(update={"dimensions": 77}).embed_query("a")


def test_the_repr_and_json_and_pickle_of_an_embedding_model_do_not_contain_the_key() -> None:
    ours = GLMVEmbeddings(api_key="test-id.test-secret")
    assert "test-secret" not in repr(ours) + ours.model_dump_json()
    assert b"test-secret" not in pickle.dumps(ours)


@pytest.mark.parametrize("name", ["temperature", "tools", "stop", "thinking", "on_sensitive"])
def test_options_of_chat_models_are_refused_by_embeddings(name: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=f"{name}: an option of chat models; embeddings do not have it"):
        GLMVEmbeddings(**{name: 1})
