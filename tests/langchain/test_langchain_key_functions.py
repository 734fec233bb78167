"""A function as `api_key` of the models: called at each attempt, left out of pickles and dumps."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import glmv
from langchain_glmv import ChatGLMV, GLMVEmbeddings, dumps
from tests.support.fake_server import WHOLE, Server
from tests.support.keys import Vault, keys_at

VECTORS = {"model": "embedding-3", "data": [{"index": 0, "embedding": [0.5, 0.25]}], "usage": {"total_tokens": 1}}


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server().plays(
        lambda peer: peer.say({"error": {"code": "1305", "message": "busy"}}, 429, "retry-after: 0"),
        lambda peer: peer.say(VECTORS if peer.request[0].startswith("POST /api/paas/v4/embeddings") else WHOLE),
    )
    yield running
    running.stop()


TWO = ["id-1.secret-number-1", "id-2.secret-number-2"]


def test_blocking_calls_call_the_key_function_at_each_attempt(server: Server) -> None:
    assert ChatGLMV(api_key=Vault().key, base_url=server.base_url).invoke("hello").text == "hello"
    assert keys_at(server) == TWO


@pytest.mark.parametrize("name", ["key", "akey"])
async def test_async_calls_accept_sync_and_async_key_functions(server: Server, name: str) -> None:
    model = ChatGLMV(api_key=getattr(Vault(), name), base_url=server.base_url)
    assert (await model.ainvoke("hello")).text == "hello"
    assert keys_at(server) == TWO


def test_embeddings_call_the_key_function_at_each_attempt(server: Server) -> None:
    assert GLMVEmbeddings(api_key=Vault().key, base_url=server.base_url).embed_query("hello") == [0.5, 0.25]
    assert keys_at(server) == TWO


async def test_embeddings_accept_async_key_functions(server: Server) -> None:
    model = GLMVEmbeddings(api_key=Vault().akey, base_url=server.base_url)
    assert await model.aembed_query("hello") == [0.5, 0.25]
    assert keys_at(server) == TWO


def test_a_blocking_call_refuses_an_async_key_function(server: Server) -> None:
    with pytest.raises(glmv.AuthenticationError, match="asynchronous"):
        ChatGLMV(api_key=Vault().akey, base_url=server.base_url).invoke("hello")


@pytest.mark.parametrize("kind", [ChatGLMV, GLMVEmbeddings])
def test_pickles_omit_the_key_function_and_copies_share_it(kind: Any) -> None:
    vault = Vault()
    model = kind(api_key=vault.key)
    assert b"Vault" not in pickle.dumps(model)
    assert pickle.loads(pickle.dumps(model)).api_key is None
    for copied in (copy.copy(model), copy.deepcopy(model), model.model_copy(deep=True)):
        assert copied.api_key == vault.key
        assert copied.clients.sync.slots("glm-4.6v") is model.clients.sync.slots("glm-4.6v")
    assert vault.asked == 0


def test_dumps_and_reprs_omit_the_key_function() -> None:
    model = ChatGLMV(api_key=Vault().key)
    assert "Vault" not in dumps(model) + repr(model) + str(model.model_dump()) + model._get_llm_string()
    assert "ZHIPUAI_API_KEY" in dumps(model)
