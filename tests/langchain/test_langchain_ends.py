"""Failed answers of other servers raise LangChain's error classes in ChatGLMV, and are retried if that may help."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core import exceptions
from langchain_core.messages import AIMessage

import glmv
from langchain_glmv import ChatGLMV, errors
from tests.support.ends import ENDS, End, Script, answered, kind_of

pytestmark = pytest.mark.usefixtures("retries_at_once")

WAYS = ["invoke", "ainvoke", "stream", "astream"]


def ask(script: Script, way: str, **options: Any) -> AIMessage:
    http, http_async = script.clients()
    model = ChatGLMV(
        model="glm-4.6v", api_key="test-id.test-secret", base_url="http://127.0.0.1/v1", http_client=http,
        http_async_client=http_async, **options,
    )  # fmt: skip

    async def awaited() -> Any:
        if way == "ainvoke":
            return await model.ainvoke("hi")
        total: Any = None
        async for chunk in model.astream("hi"):
            total = chunk if total is None else total + chunk
        return total

    if way == "invoke":
        return model.invoke("hi")
    if way == "stream":
        total: Any = None
        for chunk in model.stream("hi"):
            total = chunk if total is None else total + chunk
        return total
    return asyncio.run(awaited())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_error_of_a_failed_answer_is_a_glmv_error_and_a_langchain_exception(end: End, way: str) -> None:
    stream = "stream" in way
    kind = kind_of(end, stream=stream)
    with pytest.raises(glmv.GLMVError) as caught:
        ask(Script(end.reply(stream=stream)), way, max_retries=0)
    error = caught.value
    withdrawn = kind is glmv.ContentFilterError and error.code is None  # a finish reason: the answer, not the prompt
    assert type(error) is (errors.ContentWithdrawnError if withdrawn else errors.JOINED[kind])
    assert isinstance(error, errors.JOINED[kind])
    assert isinstance(error, exceptions.LangChainException)
    assert error.is_retryable is end.passes  # type: ignore[attr-defined]  # of LangChain's half
    assert isinstance(error, exceptions.ContextOverflowError) is (kind is glmv.ContextLengthError)
    assert end.words in str(error)

    script = Script(end.reply(stream=stream), answered("hello", stream=stream))
    if end.passes:
        assert ask(script, way, max_retries=3).text == "hello"
    else:
        with pytest.raises(kind):
            ask(script, way, max_retries=3)
    assert script.requests == 1 + end.passes


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reason", ["content_filter", "sensitive", "eos", "model_context_window_exceeded", "length"])
def test_the_message_has_the_finish_reason_of_the_server_unchanged(reason: str, way: str) -> None:
    script = Script(answered("so far", reason, stream="stream" in way))
    message = ask(script, way, on_sensitive="return")
    assert (message.text, message.response_metadata["finish_reason"]) == ("so far", reason)


def test_a_tool_call_cut_by_the_context_window_is_not_in_tool_calls() -> None:
    from tests.support.ends import STREAMED, Reply, chunk, event

    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"path": "/home/us'}}
    cut = event({"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
    end = chunk("", "model_context_window_exceeded")
    message = ask(Script(Reply((cut, end, b"data: [DONE]\n\n"), headers=STREAMED)), "stream")
    assert message.tool_calls == []
    assert message.response_metadata["cut_tool_calls"][0]["name"] == "f"
