"""Streams over real sockets: they end at once, reuse connections, and release them whatever the caller does."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

import glmv

DONE = b"data: [DONE]\n\n"
STREAM = [True, False]


def chunk(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": text}}
    return {"id": "1", "choices": [choice | ({"finish_reason": finish_reason} if finish_reason else {})]}


def streams(peer: Any) -> None:
    peer.stream(chunk("hel"), chunk("lo", "stop"), DONE)


def opens_and_stalls(peer: Any) -> None:
    peer.stream(chunk("half"), end=False)
    peer.stall()


def connection(server: Any, **options: Any) -> dict[str, Any]:
    return {"api_key": f"{uuid.uuid4().hex}.test-secret", "base_url": server.base_url, **options}


@pytest.fixture
def glm(server: Any) -> Iterator[glmv.Client]:
    with glmv.Client(**connection(server, max_concurrency=1)) as client:
        yield client


def free(client: Any) -> bool:
    slots = client.slots(client.settings.model)
    return (slots.in_use, len(slots._queue)) == (0, 0)


def test_ten_streams_in_a_row_use_one_connection(server: Any, glm: glmv.Client) -> None:
    server.plays(streams)
    for _ in range(10):
        assert "".join(delta.text for delta in glm.stream("hi")) == "hello"
    assert (server.connections, len(server.requests)) == (1, 10)


async def test_ten_async_streams_in_a_row_use_one_connection(server: Any) -> None:
    server.plays(streams)
    async with glmv.AsyncClient(**connection(server)) as glm:
        for _ in range(10):
            assert "".join([delta.text async for delta in glm.stream("hi")]) == "hello"
    assert (server.connections, len(server.requests)) == (1, 10)


@pytest.mark.parametrize("stream", STREAM)
def test_whole_answers_and_streams_share_a_connection(server: Any, glm: glmv.Client, stream: bool) -> None:
    server.plays(streams, lambda peer: peer.say({"choices": [{"finish_reason": "stop", "message": {"content": "x"}}]}))
    list(glm.stream("hi"))
    for _ in range(3):
        glm.chat("hi")
    assert server.connections == 1


def test_an_error_answer_leaves_the_connection_usable(server: Any, glm: glmv.Client) -> None:
    server.plays(lambda peer: peer.say({"error": {"code": "1210", "message": "m"}}, 400))
    for _ in range(3):
        with pytest.raises(glmv.InvalidRequestError):
            glm.chat("hi")
    assert server.connections == 1


def test_the_caller_gets_the_last_delta_before_the_body_ends(server: Any, glm: glmv.Client) -> None:
    ended = threading.Event()

    def waits(peer: Any) -> None:
        peer.stream(chunk("hello", "stop"), DONE, end=False)
        ended.wait(10)
        peer.send(b"0\r\n\r\n")

    server.plays(waits, streams)
    stream = glm.stream("hi")
    deltas = [next(stream), next(stream)]
    assert [delta.last for delta in deltas] == [False, True]
    ended.set()
    assert list(stream) == []
    list(glm.stream("hi"))
    assert server.connections == 1  # the end came soon after: the connection is used again


async def test_the_async_caller_gets_the_last_delta_before_the_body_ends(server: Any) -> None:
    ended = threading.Event()

    def waits(peer: Any) -> None:
        peer.stream(chunk("hello", "stop"), DONE, end=False)
        ended.wait(10)
        peer.send(b"0\r\n\r\n")

    server.plays(waits, streams)
    async with glmv.AsyncClient(**connection(server)) as glm:
        stream = glm.stream("hi")
        assert [(await anext(stream)).last, (await anext(stream)).last] == [False, True]
        ended.set()
        assert [delta async for delta in stream] == []
        assert [delta.last async for delta in glm.stream("hi")][-1]
    assert server.connections == 1


def test_the_caller_gets_a_delta_before_the_next_is_sent(server: Any, glm: glmv.Client) -> None:
    result = threading.Event()

    def waits(peer: Any) -> None:
        peer.stream(chunk("hel"), end=False)
        assert result.wait(10)
        peer.stream(chunk("lo", "stop"), DONE, head=False)

    server.plays(waits)
    stream = glm.stream("hi")
    assert next(stream).text == "hel"
    result.set()
    assert next(stream).text == "lo"


def ends_by_break(glm: glmv.Client) -> None:
    for _ in glm.stream("hi"):
        break


def ends_by_close(glm: glmv.Client) -> None:
    stream = glm.stream("hi")
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # it is a generator


def ends_by_forgetting(glm: glmv.Client) -> None:
    stream = glm.stream("hi")
    next(stream)
    holder = [stream]
    holder.append(holder)  # type: ignore[arg-type]  # a cycle: only the collector finds it
    del stream, holder
    gc.collect()


def ends_by_error(glm: glmv.Client) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is the point
        for _ in glm.stream("hi"):
            raise ZeroDivisionError


def ends_by_throwing(glm: glmv.Client) -> None:
    stream = glm.stream("hi")
    next(stream)
    with pytest.raises(KeyboardInterrupt):
        stream.throw(KeyboardInterrupt)  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize("ends", [ends_by_break, ends_by_close, ends_by_forgetting, ends_by_error, ends_by_throwing])
def test_a_stream_that_is_left_early_frees_connection_and_slot(server: Any, glm: glmv.Client, ends: Any) -> None:
    server.plays(opens_and_stalls)
    ends(glm)
    assert server.peers[0].left.wait(1)
    assert free(glm)


async def aends_by_aclose(glm: glmv.AsyncClient) -> None:
    stream = glm.stream("hi")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]  # it is a generator


async def aends_by_break(glm: glmv.AsyncClient) -> None:
    async for _ in glm.stream("hi"):
        break


async def aends_by_forgetting(glm: glmv.AsyncClient) -> None:
    stream = glm.stream("hi")
    await anext(stream)
    holder = [stream]
    holder.append(holder)  # type: ignore[arg-type]  # a cycle: only the collector finds it
    del stream, holder
    gc.collect()


async def aends_by_error(glm: glmv.AsyncClient) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is the point
        async for _ in glm.stream("hi"):
            raise ZeroDivisionError


async def aends_by_cancel(glm: glmv.AsyncClient) -> None:
    first = asyncio.Event()

    async def reads() -> None:
        async for _ in glm.stream("hi"):
            first.set()

    task = asyncio.create_task(reads())
    await first.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def aends_by_timeout(glm: glmv.AsyncClient) -> None:
    with pytest.raises(TimeoutError):  # noqa: PT012 - the loop is the point
        async with asyncio.timeout(0.05):
            async for _ in glm.stream("hi"):
                pass


@pytest.mark.parametrize(
    "ends",
    [aends_by_aclose, aends_by_break, aends_by_forgetting, aends_by_error, aends_by_cancel, aends_by_timeout],
)
async def test_an_async_stream_that_is_left_early_frees_connection_and_slot(server: Any, ends: Any) -> None:
    server.plays(opens_and_stalls)
    async with glmv.AsyncClient(**connection(server, max_concurrency=1)) as glm:
        await ends(glm)
        assert await asyncio.to_thread(server.peers[0].left.wait, 1)
        async with asyncio.timeout(1):
            while not free(glm):
                await asyncio.sleep(0)


def test_a_keyboard_interrupt_propagates_and_frees_connection_and_slot(server: Any, glm: glmv.Client) -> None:
    import signal

    def interrupts(peer: Any) -> None:
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]  # it runs
        peer.stall()

    server.plays(interrupts)
    with pytest.raises(KeyboardInterrupt):
        glm.chat("hi")
    assert server.peers[0].left.wait(1)
    assert free(glm)


def test_idle_connections_closed_by_the_server_cause_no_error(server: Any, glm: glmv.Client) -> None:
    def ends(peer: Any) -> None:
        streams(peer)
        peer.close()

    server.plays(ends)
    for _ in range(1000):
        assert "".join(delta.text for delta in glm.stream("hi")) == "hello"


def test_a_slow_reader_of_a_stream_does_not_cause_an_idle_timeout(server: Any, glm: glmv.Client) -> None:
    server.plays(streams)
    for _ in glm.stream("hi", idle_timeout=0.05):
        time.sleep(0.06)


def drips_framing(peer: Any) -> None:
    """One event, and then an endless chunk-size line."""
    peer.stream(chunk("half"), end=False)
    while not peer.over.wait(0.05):
        peer.send(b"0")


def drips_comments(peer: Any) -> None:
    peer.stream(chunk("half"), end=False)
    while not peer.over.wait(0.05):
        peer.chunk(b": ping\n\n")


@pytest.mark.parametrize("timeout", [None, 0.2, 5])
@pytest.mark.parametrize("script", [opens_and_stalls, drips_framing, drips_comments])
def test_the_idle_timeout_ends_a_stream_without_events(server: Any, ask: Any, script: Any, timeout: Any) -> None:
    server.plays(script)
    started = time.monotonic()
    failure = ask(stream=True, timeout=timeout, idle_timeout=0.4, max_retries=0)
    assert time.monotonic() - started < 0.4 + 0.5  # the asynchronous client and its event loop are made in this time
    assert isinstance(failure, glmv.StreamInterrupted)
    assert failure.partial is not None
    assert failure.partial.text == "half"
    expected = "0.2 s (read timeout)" if timeout == 0.2 and script is opens_and_stalls else "0.4 s (idle_timeout)"
    assert expected in str(failure)


@pytest.mark.parametrize("timeout", [0, -1, float("inf"), float("nan"), True, "abc"])
def test_an_invalid_timeout_is_refused_before_sending(server: Any, timeout: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="timeout"):
        glmv.Client("a.b", base_url=server.base_url, timeout=timeout)
    assert server.requests == []


def test_a_deadline_bounds_the_wait_for_a_slot(server: Any, glm: glmv.Client) -> None:
    server.plays(opens_and_stalls)
    stream = glm.stream("hi")
    next(stream)
    started = time.monotonic()
    with pytest.raises(glmv.GateTimeout):
        glm.chat("hi", deadline=0.2)
    assert time.monotonic() - started < 0.45
