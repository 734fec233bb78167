"""Failed answers of other servers raise the errors of `glmv` in GLMV, and are retried if that may help."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage

import glmv
from llama_index_glmv import GLMV
from tests.support.ends import ENDS, End, Script, answered, kind_of

pytestmark = pytest.mark.usefixtures("retries_at_once")

WAYS = ["chat", "achat", "stream_chat", "astream_chat"]
HI = [ChatMessage(content="hi")]


def ask(script: Script, way: str, **options: Any) -> Any:
    http, http_async = script.clients()
    llm = GLMV(
        model="glm-4.6v", api_key="test-id.test-secret", base_url="http://127.0.0.1/v1", http_client=http,
        http_async_client=http_async, **options,
    )  # fmt: skip

    async def awaited() -> Any:
        if way == "achat":
            return await llm.achat(HI)
        return [response async for response in await llm.astream_chat(HI)][-1]

    if way == "chat":
        return llm.chat(HI)
    if way == "stream_chat":
        return list(llm.stream_chat(HI))[-1]
    return asyncio.run(awaited())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_failed_answer_raises_its_error_class_and_is_retried_if_retryable(end: End, way: str) -> None:
    stream = "stream" in way
    kind = kind_of(end, stream=stream)
    with pytest.raises(glmv.GLMVError) as caught:
        ask(Script(end.reply(stream=stream)), way, max_retries=0)
    assert type(caught.value) is kind
    assert caught.value.retryable is end.passes
    assert end.words in str(caught.value)

    script = Script(end.reply(stream=stream), answered("hello", stream=stream))
    if end.passes:
        assert ask(script, way, max_retries=3).message.content == "hello"
    else:
        with pytest.raises(kind):
            ask(script, way, max_retries=3)
    assert script.requests == 1 + end.passes


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reason", ["content_filter", "sensitive", "eos", "model_context_window_exceeded", "length"])
def test_the_response_has_the_finish_reason_of_the_server_unchanged(reason: str, way: str) -> None:
    response = ask(Script(answered("so far", reason, stream="stream" in way)), way, on_sensitive="return")
    assert response.message.content == "so far"
    assert response.raw["choices"][0]["finish_reason"] == reason
    assert response.additional_kwargs["finish_reason"] == reason
