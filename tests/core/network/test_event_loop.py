"""Async calls read, check, fit and encode large content in threads; deadlines include that time."""

from __future__ import annotations

import asyncio
import base64
import threading
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import glmv
from glmv.media import pixels
from glmv.transport import workers
from tests.support.threads import Threads, answers, photo


async def drained(deltas: Any) -> None:
    async for _ in deltas:
        pass


def as_dicts(picture: bytes) -> Any:
    url = "data:image/jpeg;base64," + base64.b64encode(picture).decode()
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


def as_picture(picture: bytes) -> Any:
    return ["What?", glmv.Image.from_bytes(picture)]


ENTRIES: dict[str, Callable[[glmv.AsyncClient, Any], Awaitable[Any]]] = {
    "chat": lambda glm, messages: glm.chat(messages),
    "stream": lambda glm, messages: drained(glm.stream(messages)),
    "run": lambda glm, messages: glm.run(glm.request(["?", glmv.Image.from_bytes(photo())])),
    "run_stream": lambda glm, messages: drained(glm.run_stream(glm.request(["?", glmv.Image.from_bytes(photo())]))),
    "tasks.submit": lambda glm, messages: glm.tasks.submit(messages),
    "batches.create": lambda glm, messages: glm.batches.create([messages], model="glm-4v-plus-0111"),
    "count_tokens": lambda glm, messages: glm.count_tokens(messages),
}


@pytest.mark.parametrize("form", [as_dicts, as_picture])
@pytest.mark.parametrize("entry", ENTRIES)
async def test_no_picture_is_prepared_on_the_event_loop(
    entry: str, form: Any, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.plays(answers)
    result = form(photo())
    threads = Threads(monkeypatch)
    async with client(server) as glm:
        await ENTRIES[entry](glm, result)
    threads.hold_off(threading.get_ident())


async def test_no_file_is_read_on_the_event_loop(server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.4 " + bytes(300_000))
    threads = Threads(monkeypatch)
    async with client(server) as glm:
        await glm.files.upload(tmp_path / "paper.pdf")
    assert threading.get_ident() not in threads.of["from_path"]


async def test_a_call_with_only_text_and_picture_urls_starts_no_thread(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_threads", lambda: pytest.fail("a thread was asked for"))
    server.plays(answers)
    async with client(server) as glm:
        await glm.chat(["hi", glmv.Image.from_url("https://example.com/cat.png")])
        await drained(glm.stream([{"role": "user", "content": "hi"}] * 20))
        await glm.count_tokens("hi")


async def test_no_more_pictures_are_fitted_at_once_than_there_are_worker_threads(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lock = pixels.fit, threading.Lock()
    at_once: list[int] = []
    all_there = threading.Barrier(workers.WORKERS)

    def fit(*args: Any) -> Any:
        with lock:
            at_once.append(1 + (at_once[-1] if at_once else 0))
        all_there.wait(10)  # waits for the maximum of concurrent threads; with fewer, none continues
        try:
            return real(*args)
        finally:
            with lock:
                at_once.append(at_once[-1] - 1)

    monkeypatch.setattr(pixels, "fit", fit)
    calls = workers.WORKERS * 3
    async with client(server, max_concurrency=calls) as glm:
        await asyncio.gather(*(glm.chat([glmv.Image.from_bytes(photo(seed))]) for seed in range(calls)))
    assert max(at_once) == workers.WORKERS


class Slow:
    """A fitting function that blocks until the test releases it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.may_end = threading.Semaphore(0), threading.Event()
        self.done = 0
        self._real = pixels.fit
        monkeypatch.setattr(pixels, "fit", self)

    def __call__(self, *args: Any) -> Any:
        self.begun.release()
        assert self.may_end.wait(10)
        fitted = self._real(*args)
        self.done += 1
        return fitted


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Any:
    result = Slow(monkeypatch)
    yield result
    result.may_end.set()


@pytest.mark.parametrize("entry", ["chat", "stream", "tasks.submit"])
async def test_a_deadline_includes_picture_preparation_and_the_error_says_so(
    entry: str, server: Any, slow: Slow
) -> None:
    server.plays(answers)
    async with client(server, deadline=0.2) as glm:
        with pytest.raises(
            glmv.DeadlineExceeded, match=r"Preparing the pictures took 0\.[2-9] s; the deadline is 0\.2 s"
        ):
            await ENTRIES[entry](glm, as_picture(photo()))
    assert server.requests == []


def test_a_deadline_of_a_blocking_call_includes_picture_preparation(
    server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, late = pixels.fit, threading.Event()

    def fit(*args: Any) -> Any:
        late.wait(0.15)
        return real(*args)

    monkeypatch.setattr(pixels, "fit", fit)
    with (
        glmv.Client(f"{uuid.uuid4().hex}.s", base_url=server.base_url, deadline=0.1) as glm,
        pytest.raises(glmv.DeadlineExceeded, match=r"Preparing the pictures took 0\.\d s; the deadline is 0\.1 s"),
    ):
        glm.chat(as_picture(photo()))
    assert server.requests == []


async def test_the_deadline_error_for_a_late_server_does_not_mention_pictures(server: Any) -> None:
    server.plays(lambda peer: peer.stall())
    async with client(server, deadline=0.2) as glm:
        with pytest.raises(glmv.DeadlineExceeded, match="while it waited for an answer") as caught:
            await glm.chat("hi")
    assert "pictures" not in str(caught.value)


async def test_cancelled_calls_release_their_threads(server: Any, slow: Slow) -> None:
    async with client(server, max_concurrency=50) as glm:
        several = [asyncio.create_task(glm.chat(as_picture(photo(seed)))) for seed in range(workers.WORKERS * 4)]
        for _ in range(workers.WORKERS):
            await asyncio.to_thread(slow.begun.acquire)
        for task in several:
            task.cancel()
        await asyncio.gather(*several, return_exceptions=True)
        assert glm.slots("glm-4.6v").in_use == 0
        slow.may_end.set()
        assert (await glm.chat(as_picture(photo(99)))).text == "hello"
    # Those that were under way, and the last; none of those that waited.
    assert slow.done <= workers.WORKERS + 1


async def test_a_call_holds_no_slot_while_its_picture_is_prepared(server: Any, slow: Slow) -> None:
    async with client(server, max_concurrency=1) as glm:
        task = asyncio.create_task(glm.chat(as_picture(photo())))
        await asyncio.to_thread(slow.begun.acquire)
        assert (await glm.chat("hi")).text == "hello"  # the one slot is free meanwhile
        slow.may_end.set()
        assert (await task).text == "hello"


@pytest.mark.parametrize("entry", ["chat", "stream", "tasks.submit"])
@pytest.mark.parametrize("deadline", [0, -2.5, float("nan"), "soon"])
async def test_an_invalid_deadline_is_refused_before_sending(entry: str, deadline: Any, server: Any) -> None:
    entries: dict[str, Callable[[glmv.AsyncClient, Any], Awaitable[Any]]] = {
        "chat": lambda glm, messages: glm.chat(messages, deadline=deadline),
        "stream": lambda glm, messages: drained(glm.stream(messages, deadline=deadline)),
        "tasks.submit": lambda glm, messages: glm.tasks.submit(messages, deadline=deadline),
    }
    async with client(server) as glm:
        with pytest.raises(glmv.InvalidRequestError, match="deadline"):
            await entries[entry](glm, as_dicts(photo()))
    assert server.requests == []


async def test_in_worker_runs_a_function_in_a_thread_raises_its_error_and_has_a_deadline() -> None:
    stays = threading.Event()
    assert await glmv.in_worker(threading.get_ident) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await glmv.in_worker(lambda: 1 // 0)
    with pytest.raises(glmv.DeadlineExceeded, match=r"the deadline is 0\.05 s"):
        await glmv.in_worker(lambda: stays.wait(10), deadline=0.05)
    stays.set()


def client(server: Any, **options: Any) -> glmv.AsyncClient:
    return glmv.AsyncClient(f"{uuid.uuid4().hex}.test-secret", base_url=server.base_url, **options)
