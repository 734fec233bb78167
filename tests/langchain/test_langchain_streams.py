"""Streams that break, are withdrawn or are left early: errors, callbacks and freed connections."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk
from langchain_core.output_parsers import StrOutputParser
from langchain_core.tools import tool

import glmv
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, errors

Models = Callable[..., ChatGLMV]


@pytest.fixture
def make(emulator: Emulator) -> Iterator[Models]:
    """Make models without thinking, so that the first chunk has text."""
    results: list[ChatGLMV] = []

    def connected(**options: Any) -> ChatGLMV:
        settings = {"model": "glm-4.6v", "thinking": False, "max_retries": 0, **options}
        results.append(ChatGLMV(base_url=emulator.base_url, api_key=emulator.api_key, **settings))
        return results[-1]

    yield connected
    for model in results:
        model.close()


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return city


class Errors(BaseCallbackHandler):
    def __init__(self) -> None:
        self.seen: list[tuple[BaseException, str]] = []

    def on_llm_error(self, error: BaseException, *, response: Any = None, **_: Any) -> None:
        self.seen.append((error, response.generations[0][0].text))


def ended_by(emulator: Emulator) -> list[str | None]:
    emulator.report()  # waits until the server has seen what the client did
    return [one.ended_by for one in emulator.requests]


async def until(emulator: Emulator, connections: int) -> None:
    """Wait until the server has at most this many connections, because abandoned streams have been closed.

    There may be fewer, because the server closes idle connections.
    """
    async with asyncio.timeout(20):
        while emulator.connections > connections:
            await asyncio.sleep(0)


async def freed(emulator: Emulator) -> None:
    await until(emulator, 0)
    assert ended_by(emulator) == ["client"]


@pytest.mark.parametrize(
    ("fault", "kind", "langchains"),
    [
        ("withdrawn", glmv.ContentFilterError, errors.ModelInvalidRequestError),
        ("filtered-midway", glmv.ContentFilterError, errors.ModelInvalidRequestError),
        ("cut", glmv.StreamInterrupted, errors.ModelConnectionError),
        ("truncated", glmv.StreamTruncated, errors.ModelConnectionError),
    ],
)
async def test_the_error_of_a_broken_stream_has_the_text_so_far(
    make: Models, emulator: Emulator, fault: str, kind: type[glmv.GLMVError], langchains: type[Exception]
) -> None:
    emulator.inject(fault, times=2, after=3)
    model, handler, seen = make(), Errors(), []
    with pytest.raises(kind) as failure:
        seen.extend(chunk.text for chunk in model.stream("Hello", {"callbacks": [handler]}))
    assert isinstance(failure.value, langchains)
    with pytest.raises(kind):
        async for _ in model.astream("Hello", {"callbacks": [handler]}):
            pass
    arrived = "".join(seen)
    assert arrived
    assert failure.value.partial is not None
    assert failure.value.partial.text == arrived
    assert [text for _, text in handler.seen] == [arrived] * 2
    assert handler.seen[0][0] is failure.value


def test_a_model_made_by_with_retry_repeats_the_request_after_a_broken_stream(make: Models, emulator: Emulator) -> None:
    emulator.inject("cut", after=3)
    patient = make(streaming=True).with_retry(
        retry_if_exception_type=(errors.ModelConnectionError,), wait_exponential_jitter=False, stop_after_attempt=2
    )
    assert patient.invoke("Hello").text == make().invoke("Hello").text


def test_a_withdrawn_answer_is_streamed_without_an_error_if_on_sensitive_is_return(
    make: Models, emulator: Emulator
) -> None:
    emulator.inject("withdrawn", after=3)
    first, *rest = make(on_sensitive="return").stream("Hello")
    whole = first.__add__(rest)
    assert {type(chunk) for chunk in (whole, first, *rest)} == {AIMessageChunk}
    assert whole.response_metadata["finish_reason"] == "sensitive"


def test_a_finish_reason_sent_twice_by_the_platform_is_reported_once() -> None:
    with (
        Emulator(era="2025") as emulator,
        ChatGLMV(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key) as model,
    ):
        first, *rest = model.bind_tools([weather]).stream("What is the weather in Berlin?")
    whole = first.__add__(rest)
    assert isinstance(whole, AIMessageChunk)
    facts = whole.response_metadata
    assert (facts["finish_reason"], facts["model_name"]) == ("tool_calls", "glm-4.6v")
    assert whole.usage_metadata is not None
    assert whole.usage_metadata == next(chunk.usage_metadata for chunk in rest if chunk.usage_metadata)
    assert [chunk.chunk_position for chunk in (first, *rest)].count("last") == 1


# A chain with a parser is left out: leaving it, core reads what its input still says, to the end.
@pytest.mark.parametrize("through", [lambda model: model, lambda model: model.bind(stop=["x"])], ids=["", "bound"])
def test_leaving_a_stream_frees_the_connection_at_once(make: Models, emulator: Emulator, through: Any) -> None:
    emulator.stall(after=2)
    stream = through(make()).stream("Hello")
    next(stream)
    stream.close()
    assert ended_by(emulator) == ["client"]
    assert emulator.connections == 0


@pytest.mark.parametrize(
    "through", [lambda model: model, lambda model: model | StrOutputParser()], ids=["model", "chain"]
)
async def test_leaving_an_asynchronous_stream_frees_the_connection_at_once(
    make: Models, emulator: Emulator, through: Any
) -> None:
    emulator.stall(after=2)
    stream = through(make()).astream("Hello")
    await anext(stream)
    await stream.aclose()
    await freed(emulator)


async def test_cancelling_a_task_that_reads_a_stream_frees_the_connection_at_once(
    make: Models, emulator: Emulator
) -> None:
    emulator.stall(after=2)
    model, begun = make(), asyncio.Event()

    async def read() -> None:
        async for _ in model.astream("Hello"):
            begun.set()

    task = asyncio.create_task(read())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await freed(emulator)


async def test_a_call_cancelled_by_asyncio_wait_for_frees_its_connection_at_once(
    make: Models, emulator: Emulator
) -> None:
    emulator.stall()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(make().ainvoke("Hello"), 0.2)
    await freed(emulator)


def test_a_stream_left_before_its_end_frees_its_slot_when_the_event_loop_ends(
    make: Models, caplog: pytest.LogCaptureFixture
) -> None:
    model = make(max_concurrency=1, timeout=20.0)

    left: list[Any] = []  # a stream without a reference is closed before the loop ends

    async def read_a_little(through: Any) -> None:
        left.append(through.astream("Hello"))
        await anext(left[-1])

    for through in (model, model | StrOutputParser(), model.bind(stop=["x"]) | StrOutputParser()):
        asyncio.run(read_a_little(through))
        assert model.invoke("Hello").text  # the slot is free again
    assert "asynchronous generator" not in caplog.text


async def test_closing_a_model_closes_its_connections_and_the_next_call_opens_a_new_one(
    make: Models, emulator: Emulator
) -> None:
    async with make() as model:
        model.invoke("Hello")
        await model.ainvoke("Hello")
        assert emulator.connections == 2
        copied = model.model_copy(update={"temperature": 0.5})
        copied.close()
        assert emulator.connections == 2
        with model:
            pass
        await until(emulator, 1)
    await until(emulator, 0)
    assert model.invoke("Hello").text
