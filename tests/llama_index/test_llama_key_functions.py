"""A function as `api_key` of the LLM and the embedding: called at each attempt, left out of pickles."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import glmv
from llama_index_glmv import GLMV, GLMVEmbedding, GLMVMultiModal
from tests.langchain.test_langchain_key_functions import TWO, server
from tests.support.fake_server import Server
from tests.support.keys import Vault, keys_at

__all__ = ["server"]


@pytest.mark.parametrize("kind", [GLMV, GLMVMultiModal])
def test_blocking_calls_call_the_key_function_at_each_attempt(server: Server, kind: Any) -> None:
    assert kind(api_key=Vault().key, base_url=server.base_url).complete("hello").text == "hello"
    assert keys_at(server) == TWO


@pytest.mark.parametrize("name", ["key", "akey"])
async def test_async_calls_accept_sync_and_async_key_functions(server: Server, name: str) -> None:
    llm = GLMV(api_key=getattr(Vault(), name), base_url=server.base_url)
    assert (await llm.acomplete("hello")).text == "hello"
    assert keys_at(server) == TWO


async def test_embeddings_call_the_key_function_at_each_attempt(server: Server) -> None:
    assert GLMVEmbedding(api_key=Vault().key, base_url=server.base_url).get_text_embedding("hello") == [0.5, 0.25]
    assert keys_at(server) == TWO
    other = GLMVEmbedding(api_key=Vault().akey, base_url=server.base_url)
    assert await other.aget_text_embedding("hello") == [0.5, 0.25]


def test_a_blocking_call_refuses_an_async_key_function(server: Server) -> None:
    with pytest.raises(glmv.AuthenticationError, match="asynchronous"):
        GLMV(api_key=Vault().akey, base_url=server.base_url).complete("hello")


@pytest.mark.parametrize("kind", [GLMV, GLMVEmbedding])
def test_pickles_and_dicts_omit_the_key_function_and_copies_share_it(kind: Any) -> None:
    vault = Vault()
    model = kind(api_key=vault.key)
    assert b"Vault" not in pickle.dumps(model)
    assert "Vault" not in str(model.to_dict()) + str(model.to_json())
    assert model.api_key == vault.key
    assert copy.deepcopy(model).api_key == copy.copy(model).api_key == vault.key


def test_a_model_with_a_passed_client_uses_the_key_function_of_that_client(server: Server) -> None:
    with glmv.Client(Vault().key, base_url=server.base_url) as glm:
        assert GLMV(client=glm).complete("hello").text == "hello"
    assert keys_at(server) == TWO
