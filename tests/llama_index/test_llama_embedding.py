"""Embeddings of texts by the platform, and retrieval by them."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.embeddings.loading import load_embed_model

import glmv
from llama_index_glmv import GLMVEmbedding


@pytest.fixture
def embedding(glmv_emulator: Any) -> GLMVEmbedding:
    return GLMVEmbedding(api_key=glmv_emulator.api_key, base_url=glmv_emulator.base_url)


def test_a_vector_has_the_platforms_default_number_of_dimensions(embedding: GLMVEmbedding) -> None:
    assert len(embedding.get_text_embedding("a red wall")) == 2048


@pytest.mark.parametrize("dimensions", [256, 512, 1024, 2048])
def test_the_number_of_dimensions_of_vectors_can_be_set(dimensions: int, glmv_emulator: Any) -> None:
    chosen = GLMVEmbedding(api_key=glmv_emulator.api_key, base_url=glmv_emulator.base_url, dimensions=dimensions)
    assert len(chosen.get_query_embedding("a red wall")) == dimensions


async def test_all_entry_points_give_the_same_vectors(embedding: GLMVEmbedding) -> None:
    texts = ["a red wall", "a blue door"]
    together = embedding.get_text_embedding_batch(texts)
    assert together == [embedding.get_text_embedding(text) for text in texts]
    assert together == await embedding.aget_text_embedding_batch(texts)
    assert together == [await embedding.aget_query_embedding(text) for text in texts]
    await embedding.clients.aclose()


def test_many_texts_are_sent_in_requests_of_64_texts(embedding: GLMVEmbedding, glmv_emulator: Any) -> None:
    texts = [f"text number {number}" for number in range(130)]
    assert len(embedding.get_text_embedding_batch(texts)) == 130
    assert [len(request.body["input"]) for request in glmv_emulator.requests][:2] == [64, 64]
    assert len(glmv_emulator.requests) == 3


def test_an_index_finds_the_matching_text(embedding: GLMVEmbedding) -> None:
    texts = ["a receipt of a bakery, total 3.50", "a bar chart of rain in May", "a cat on a sofa"]
    index = VectorStoreIndex.from_documents([Document(text=text) for text in texts], embed_model=embedding)
    (found,) = index.as_retriever(similarity_top_k=1).retrieve("the chart of rain")
    assert found.node.get_content() == texts[1]


def test_the_embedding_model_can_be_assigned_to_settings_embed_model(embedding: GLMVEmbedding) -> None:
    before = Settings._embed_model
    Settings.embed_model = embedding
    assert Settings.embed_model is embedding
    Settings._embed_model = before


@pytest.mark.parametrize(
    "again",
    [
        lambda model: GLMVEmbedding.from_dict(model.to_dict()),
        lambda model: load_embed_model(model.to_dict()),
        lambda model: pickle.loads(pickle.dumps(model)),
        copy.deepcopy,
    ],
)
def test_copies_of_an_embedding_model_have_its_settings_and_show_no_key(again: Any) -> None:
    model = GLMVEmbedding(model_name="embedding-2", api_key="test-id.test-secret", embed_batch_size=3)
    copied = again(model)
    assert (copied.model, copied.model_name, copied.embed_batch_size) == ("embedding-2", "embedding-2", 3)
    assert "test-secret" not in repr(model) + str(model.to_dict()) + str(model.to_payload())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": 0.5}, "temperature: an option of chat models; embeddings do not have it"),
        ({"stop_sequences": ["a"]}, "stop_sequences: an option of chat models; embeddings do not have it"),
        ({"on_sensitive": "return"}, "on_sensitive: an option of chat models; embeddings do not have it"),
        ({"dimension": 5}, "Did you mean 'dimensions'"),
        ({"embed_batch_size": 65}, "embed_batch_size"),
    ],
)
def test_embeddings_refuse_options_of_chat_models_and_invalid_settings(given: dict[str, Any], message: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=message):
        GLMVEmbedding(**given)


def test_an_empty_text_is_refused(embedding: GLMVEmbedding) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="empty"):
        embedding.get_text_embedding("")
