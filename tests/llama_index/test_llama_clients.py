"""One client shared by several components."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import glmv
from glmv_emulator import Emulator
from llama_index_glmv import GLMV, GLMVEmbedding


@pytest.fixture
def shared(glmv_emulator: Emulator) -> glmv.Client:
    """An existing client of the user."""
    return glmv.Client(glmv_emulator.api_key, base_url=glmv_emulator.base_url, model="glm-4.5v", temperature=0.5)


def test_a_model_uses_a_passed_client_and_its_settings(shared: glmv.Client, glmv_emulator: Emulator) -> None:
    llm = GLMV(client=shared, top_p=0.5)
    assert llm.complete("Say hello.").text
    body = glmv_emulator.requests[-1].body
    assert (body["model"], body["temperature"], body["top_p"]) == ("glm-4.5v", 0.5, 0.5)


def test_async_calls_of_a_model_with_a_sync_client_get_an_answer(shared: glmv.Client) -> None:
    assert asyncio.run(GLMV(client=shared).acomplete("Say hello.")).text


def test_a_model_with_an_async_client_answers_sync_and_async_calls(glmv_emulator: Emulator) -> None:
    llm = GLMV(client=glmv.AsyncClient(glmv_emulator.api_key, base_url=glmv_emulator.base_url))
    assert asyncio.run(llm.acomplete("Say hello.")).text == llm.complete("Say hello.").text


def test_an_embedding_with_a_chat_client_uses_its_own_model_and_default_dimensions(shared: glmv.Client) -> None:
    embedding = GLMVEmbedding(client=shared)
    assert embedding.model == "embedding-3"
    assert len(embedding.get_text_embedding("hello")) == 2048


def test_an_embedding_accepts_a_client_whose_on_sensitive_is_return() -> None:
    client = glmv.Client("test-id.test-secret", on_sensitive="return")
    assert GLMVEmbedding(client=client).model == "embedding-3"
    with pytest.raises(glmv.InvalidRequestError, match="on_sensitive"):
        GLMV(client=client, on_sensitive="raise")


def test_a_shared_client_stays_open_when_the_model_is_closed(shared: glmv.Client) -> None:
    with GLMV(client=shared) as llm:
        llm.complete("Say hello.")
    assert shared.chat("Say hello.").text


def test_a_model_loaded_from_a_pickle_uses_the_key_of_the_environment(
    shared: glmv.Client, glmv_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = pickle.dumps(GLMV(client=shared))
    assert glmv_emulator.api_key.encode() not in written
    monkeypatch.setenv("ZHIPUAI_API_KEY", glmv_emulator.api_key)
    assert pickle.loads(written).complete("Say hello.").text


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda client: GLMV(client=client, base_url="http://localhost/v4"), "base_url: cannot be set together"),
        (lambda client: GLMV(client=client, api_base="http://localhost/v4"), "api_base: cannot be set together"),
        (lambda _: GLMV(client="mine"), "client must be a glmv.Client or a glmv.AsyncClient; got str"),
    ],
)
def test_a_base_url_together_with_a_client_is_refused(
    make: Callable[[Any], Any], message: str, shared: glmv.Client
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=message):
        make(shared)


@pytest.mark.parametrize(
    "make",
    [lambda key: GLMVEmbedding(api_key=key, temperature=0.5), lambda key: GLMV(api_key=key, client="mine")],
)
def test_errors_of_contradictory_settings_do_not_show_the_key(make: Callable[[str], Any]) -> None:
    with pytest.raises(glmv.InvalidRequestError) as caught:
        make("test-id.test-secret")
    assert "test-secret" not in f"{caught.value!r}{caught.value}"
