"""Streams that break, are withdrawn or are left early: who is told what, and what is freed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser

import glmv
from langchain_glmv import ChatGLMV, errors

Frame = dict[str, Any]


def frame(finish_reason: str | None = None, usage: Any = None, **delta: Any) -> Frame:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}}
    return {
        "id": "emu-1",
        "created": 1_790_000_000,
        "model": "glm-4.6v",
        "choices": [choice | ({"finish_reason": finish_reason} if finish_reason else {})],
        **({"usage": usage} if usage else {}),
    }


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
END = [frame("stop", USAGE, content="")]


class Wire(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A stream that plays frames, and then ends, breaks, or never goes on."""

    def __init__(self, frames: list[Frame], end: str) -> None:
        self.frames, self.end = frames, end
        self.closed = False

    def _data(self) -> Iterator[bytes]:
        for one in self.frames:
            yield b"data: " + json.dumps(one).encode() + b"\n\n"
        if self.end == "done":
            yield b"data: [DONE]\n\n"
        if self.end == "break":
            raise httpx.ReadError("the line broke")

    def __iter__(self) -> Iterator[bytes]:
        return self._data()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for data in self._data():
            yield data
        if self.end == "hang":
            await asyncio.Event().wait()

    def close(self) -> None:
        self.closed = True

    async def aclose(self) -> None:
        self.closed = True


class Line(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Answers every request with the same wire."""

    def __init__(self, frames: list[Frame], end: str) -> None:
        self.frames, self.end = frames, end
        self.wires: list[Wire] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.wires.append(Wire(self.frames, self.end))
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=self.wires[-1])

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


def line(*frames: Frame, end: str = "done", **options: Any) -> tuple[ChatGLMV, Line]:
    wire = Line(list(frames), end)
    model = ChatGLMV(
        model="glm-4.6v",
        api_key="test-id.test-secret",
        http_client=httpx.Client(transport=wire),
        http_async_client=httpx.AsyncClient(transport=wire),
        **options,
    )
    return model, wire


class Errors(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[tuple[BaseException, str]] = []

    def on_llm_error(self, error: BaseException, *, response: Any = None, **_: Any) -> None:
        self.seen.append((error, response.generations[0][0].text))


WITHDRAWN = frame("sensitive", USAGE, content="", role="user") | {"contentFilter": [{"role": "assistant", "level": 1}]}


@pytest.mark.parametrize(
    ("end", "frames", "kind", "langchains"),
    [
        ("done", [WITHDRAWN], glmv.ContentFilterError, errors.ModelInvalidRequestError),
        ("break", [], glmv.StreamInterrupted, errors.ModelConnectionError),
        ("eof", [], glmv.StreamTruncated, errors.ModelConnectionError),
    ],
)
async def test_a_stream_that_ends_badly_tells_what_had_arrived(
    end: str, frames: list[Frame], kind: type[glmv.GLMVError], langchains: type[Exception]
) -> None:
    model, wire = line(frame(content="Once "), frame(content="upon"), *frames, end=end)
    told = Errors()
    seen: list[str] = []
    with pytest.raises(kind) as failure:
        seen.extend(chunk.text for chunk in model.stream("Tell me.", {"callbacks": [told]}))
    assert isinstance(failure.value, langchains)
    with pytest.raises(kind):
        async for _ in model.astream("Tell me.", {"callbacks": [told]}):
            pass
    assert "".join(seen) == "Once upon"
    assert failure.value.partial is not None
    assert failure.value.partial.text == "Once upon"
    assert [text for _, text in told.seen] == ["Once upon"] * 2
    assert told.seen[0][0] is failure.value
    assert all(one.closed for one in wire.wires)


def test_a_withdrawn_answer_can_be_handed_over() -> None:
    model, _ = line(frame(content="Once"), WITHDRAWN, on_sensitive="return")
    first, *rest = model.stream("Tell me.")
    whole = first.__add__(rest)
    assert isinstance(whole, AIMessageChunk)
    assert whole.response_metadata["finish_reason"] == "sensitive"
    assert whole.response_metadata["content_filter"] == [{"role": "assistant", "level": 1}]


def test_a_frame_of_a_strange_role_is_still_the_models_message() -> None:
    model, _ = line(frame(content="Hi", role="user"), *END)
    assert {type(chunk) for chunk in model.stream("Hi")} == {AIMessageChunk}


def test_a_finish_that_comes_twice_is_told_once() -> None:
    call = {"id": "call_1", "index": 0, "type": "function", "function": {"name": "look", "arguments": "{}"}}
    model, _ = line(frame("tool_calls", tool_calls=[call], content=None), frame("tool_calls", USAGE, content=""))
    first, *rest = model.stream("Look.")
    whole = first.__add__(rest)
    assert isinstance(whole, AIMessageChunk)
    assert (whole.response_metadata["finish_reason"], whole.response_metadata["model_name"]) == (
        "tool_calls",
        "glm-4.6v",
    )
    assert whole.usage_metadata == {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    assert [chunk.chunk_position for chunk in (first, *rest)].count("last") == 1


def test_leaving_a_stream_frees_the_connection_at_once() -> None:
    for through in (lambda model: model, lambda model: model | StrOutputParser(), lambda model: model.bind(stop=["x"])):
        model, wire = line(frame(content="a"), frame(content="b"), *END)
        stream = through(model).stream("Hi")
        next(stream)
        stream.close()
        assert [one.closed for one in wire.wires] == [True]


async def test_leaving_an_asynchronous_stream_frees_the_connection_at_once() -> None:
    model, wire = line(frame(content="a"), end="hang")
    stream = model.astream("Hi")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
    assert [one.closed for one in wire.wires] == [True]


async def test_cancelling_a_task_that_waits_frees_the_connection_at_once() -> None:
    model, wire = line(frame(content="a"), end="hang")
    begun = asyncio.Event()

    async def read() -> None:
        async for _ in model.astream("Hi"):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [one.closed for one in wire.wires] == [True]


async def test_a_timeout_of_the_caller_frees_the_connection_at_once() -> None:
    model, wire = line(frame(content="a"), end="hang")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await model.ainvoke("Hi", stream=True)
    assert [one.closed for one in wire.wires] == [True]
