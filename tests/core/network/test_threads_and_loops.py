"""Clients in real programs: many threads, several event loops, notebooks, and a silent exit."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import glmv

DONE = b"data: [DONE]\n\n"


def chunk(text: str, finish_reason: str | None = None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": text}}
    return {"id": "1", "choices": [choice | ({"finish_reason": finish_reason} if finish_reason else {})]}


def plays(peer: Any) -> None:
    peer.stream(chunk("hel"), chunk("lo", "stop"), DONE)


def connection(server: Any, **options: Any) -> dict[str, Any]:
    return {"api_key": f"{uuid.uuid4().hex}.test-secret", "base_url": server.base_url, **options}


def run(script: str, server: Any) -> str:
    """Run a program in a new process -> its standard output; it must write nothing to stderr."""
    head = f"import asyncio, os, sys, threading, glmv\noptions = {connection(server)!r}\n"
    done = subprocess.run(
        [sys.executable, "-c", head + script],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


IDLE = 5.0  # seconds after which httpx gives an idle connection up (`httpx.Limits.keepalive_expiry`)


def test_one_client_serves_many_threads(server: Any) -> None:
    begun = time.monotonic()
    with glmv.Client(**connection(server, max_concurrency=8)) as glm, ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: glm.chat("hi").text, range(6400)))
        assert answers == ["hello"] * 6400
        assert glm.slots("glm-4.6v").in_use == 0
    lives = 1 + (time.monotonic() - begun) // IDLE  # how often each of the 8 may have been opened
    assert (len(server.requests), server.connections <= 8 * lives) == (6400, True)


def test_a_stream_can_be_continued_in_another_thread(server: Any) -> None:
    server.plays(plays)
    with glmv.Client(**connection(server)) as glm:
        stream = glm.stream("hi")
        texts = [next(stream).text]
        thread = threading.Thread(target=lambda: texts.extend(delta.text for delta in stream))
        thread.start()
        thread.join()
        assert "".join(texts) == "hello"


def test_one_async_client_works_in_several_event_loops_in_a_row(server: Any) -> None:
    server.plays(plays)
    glm = glmv.AsyncClient(**connection(server, max_retries=0))

    async def asks() -> str:
        return "".join([delta.text async for delta in glm.stream("hi")])

    assert [asyncio.run(asks()) for _ in range(3)] == ["hello"] * 3
    assert len(glm._pools._by_loop) == 1


def test_one_async_client_serves_event_loops_in_several_threads(server: Any) -> None:
    server.plays(plays)
    glm = glmv.AsyncClient(**connection(server, max_concurrency=2))

    async def asks() -> str:
        result = await asyncio.gather(*(read() for _ in range(5)))
        return "".join(result)

    async def read() -> str:
        return "".join([delta.text async for delta in glm.stream("hi")])

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: asyncio.run(asks()), range(4))) == ["hello" * 5] * 4
    assert glm.slots("glm-4.6v").in_use == 0


async def test_a_blocking_call_works_inside_a_running_event_loop_as_in_a_notebook(server: Any) -> None:
    with glmv.Client(**connection(server)) as glm:
        assert glm.chat("hi").text == "hello"


QUIET = {
    "a client that was never closed": """
glm = glmv.Client(**options)
print(glm.chat("hi").text)
""",
    "a stream left open": """
glm = glmv.Client(**options)
stream = glm.stream("hi")
next(stream)
print("hello")
""",
    "a component left inside a stream, to be closed at the end": """
def texts():
    with glmv.Component(**options) as component:
        for delta in component.clients.sync.stream("hi"):
            yield delta.text
left = texts()
next(left)
print("hello")
""",
    "an awaiting client that was never closed": """
glm = glmv.AsyncClient(**options)
async def main():
    print((await glm.chat("hi")).text)
asyncio.run(main())
""",
    "an awaited stream left open": """
glm = glmv.AsyncClient(**options)
async def main():
    global stream
    stream = glm.stream("hi")
    await anext(stream)
    print("hello")
asyncio.run(main())
""",
    "a task with a stream, cancelled by the end of its loop": """
glm = glmv.AsyncClient(**options)
async def reads(first):
    async for _ in glm.stream("hi"):
        first.set()
async def main():
    global task
    first = asyncio.Event()
    task = asyncio.create_task(reads(first))
    await first.wait()
    print("hello")
asyncio.run(main())
""",
    "a daemon thread inside a stream": """
glm = glmv.Client(**options)
threading.Thread(target=lambda: list(glm.stream("hi")), daemon=True).start()
print("hello")
""",
    "three loops in a row": """
glm = glmv.AsyncClient(**options)
async def main():
    return (await glm.chat("hi")).text
assert {asyncio.run(main()) for _ in range(3)} == {"hello"}
print("hello")
""",
}


# The garbage collector of CPython 3.13.0 crashes when `datetime` is used at the very end: httpx alone makes it do so.
CRASHES = "a component left inside a stream, to be closed at the end" if sys.version_info[:3] == (3, 13, 0) else None


@pytest.mark.parametrize("name", [name for name in QUIET if name != CRASHES])
def test_a_program_ends_without_warnings_if_it_leaves_clients_or_streams_open(server: Any, name: str) -> None:
    if "stream" in name:

        def opens(peer: Any) -> None:
            peer.stream(chunk("hel"), end=False)
            peer.stall()

        server.plays(opens)
    assert run(QUIET[name], server) == "hello\n"


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_forked_children_open_their_own_connections(server: Any) -> None:
    script = """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)
glm = glmv.Client(**options, max_retries=0)
assert glm.chat("hi").text == "hello"
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        for _ in range(25):
            assert glm.chat("hi").text == "hello"
        os._exit(0)
    children.append(child)
assert glm.chat("hi").text == "hello"
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
print("hello")
"""
    assert run(script, server) == "hello\n"
    assert (len(server.requests), server.connections) == (102, 5)
