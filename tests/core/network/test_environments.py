"""The async client without an asyncio event loop, and clients in other processes."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
import pytest

import glmv
from glmv.transport.pools import _closed_with_its_loop


def run_first_step(what: Any) -> None:
    """Runs the first step of an awaitable, as an event loop other than asyncio's does."""
    what.send(None)


@pytest.mark.parametrize("use", ["chat", "stream", "own http client"])
def test_without_asyncio_the_error_of_the_async_client_names_the_sync_client(use: str) -> None:
    options: Any = {"http_async_client": httpx.AsyncClient()} if use == "own http client" else {}
    glm = glmv.AsyncClient("id.secret", **options)
    with pytest.raises(glmv.InvalidRequestError, match=r"with trio, call `glmv.Client` in a thread"):
        run_first_step(anext(glm.stream("hi")) if use == "stream" else glm.chat("hi"))
    with pytest.raises(StopIteration):
        run_first_step(glm.aclose())


def test_a_pool_of_a_closed_event_loop_ends_without_warnings() -> None:
    closing = _closed_with_its_loop(httpx.AsyncClient())
    with pytest.raises(StopIteration):
        run_first_step(closing.asend(None))
    with pytest.raises(StopIteration):
        run_first_step(closing.aclose())


def test_the_error_of_an_unpickled_client_without_a_key_says_where_to_set_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLMV_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    worker = pickle.loads(pickle.dumps(glmv.Client("id.secret")))
    with pytest.raises(
        glmv.AuthenticationError, match="do not contain the key: for worker processes, set one of these variables"
    ):
        worker.chat("hi")
