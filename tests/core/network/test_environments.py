"""Where the asynchronous client is used without the loop that it needs, and clients in other processes."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
import pytest

import glmv
from glmv.transport.pools import _closed_with_its_loop


def asked(what: Any) -> None:
    """Takes the first step of what is awaited, as an event loop that is none of asyncio would."""
    what.send(None)


@pytest.mark.parametrize("use", ["chat", "stream", "own http client"])
def test_without_a_loop_of_asyncio_the_asynchronous_client_says_so(use: str) -> None:
    options: Any = {"http_async_client": httpx.AsyncClient()} if use == "own http client" else {}
    glm = glmv.AsyncClient("id.secret", **options)
    with pytest.raises(glmv.InvalidRequestError, match=r"with trio, call `glmv.Client` in a thread"):
        asked(anext(glm.stream("hi")) if use == "stream" else glm.chat("hi"))
    with pytest.raises(StopIteration):
        asked(glm.aclose())


def test_a_pool_of_a_loop_that_is_gone_ends_without_a_word() -> None:
    closing = _closed_with_its_loop(httpx.AsyncClient())
    with pytest.raises(StopIteration):
        asked(closing.asend(None))
    with pytest.raises(StopIteration):
        asked(closing.aclose())


def test_a_client_in_another_process_says_where_the_key_has_to_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLMV_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    worker = pickle.loads(pickle.dumps(glmv.Client("id.secret")))
    with pytest.raises(
        glmv.AuthenticationError, match="do not contain the key: for worker processes, set the variable"
    ):
        worker.chat("hi")
