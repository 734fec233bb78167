"""Failed answers of other servers through both clients, and answers that arrive during an upload."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import glmv
from tests.support.ends import ENDS, End, Script, answered, kind_of

pytestmark = pytest.mark.usefixtures("retries_at_once")

KINDS = ["sync", "async"]


def ask(script: Script, kind: str, *, stream: bool, **options: Any) -> glmv.Completion:
    http, http_async = script.clients()
    settings = {"api_key": "test-id.test-secret", "base_url": "http://127.0.0.1/v1", "model": "glm-4.6v"} | options

    def sync() -> glmv.Completion:
        with glmv.Client(**settings, http_client=http) as glm:
            return _total(glm.stream("hi")) if stream else glm.chat("hi")

    async def awaited() -> glmv.Completion:
        async with glmv.AsyncClient(**settings, http_async_client=http_async) as glm:
            return _total([delta async for delta in glm.stream("hi")]) if stream else await glm.chat("hi")

    return sync() if kind == "sync" else asyncio.run(awaited())


def _total(deltas: Any) -> glmv.Completion:
    total = glmv.Accumulator()
    for delta in deltas:
        total.add(delta)
    return total.completion()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_a_failed_answer_raises_the_listed_error_and_is_retried_if_retryable(end: End, stream: bool, kind: str) -> None:
    with pytest.raises(glmv.GLMVError) as caught:
        ask(Script(end.reply(stream=stream)), kind, stream=stream, max_retries=0)
    assert type(caught.value) is kind_of(end, stream=stream)
    assert caught.value.retryable is end.passes
    assert end.words in str(caught.value)
    assert end.code is None or caught.value.code == end.code

    script = Script(end.reply(stream=stream), answered("hello", stream=stream))
    if end.passes:
        assert ask(script, kind, stream=stream, max_retries=3).text == "hello"
    else:
        with pytest.raises(kind_of(end, stream=stream)):
            ask(script, kind, stream=stream, max_retries=3)
    assert script.requests == 1 + end.passes


TOO_LARGE = (
    b"HTTP/1.1 413 Request Entity Too Large\r\ncontent-type: text/html\r\n"
    b"content-length: 4\r\nconnection: close\r\n\r\nnope"
)
# More than the buffers of both ends hold.
LARGE = "x" * 12_000_000


class Impatient:
    """A server that answers after the request head and stops reading the body, as nginx does for large bodies."""

    def __init__(self, leave: Callable[[socket.socket, threading.Event], None], says: bytes = TOO_LARGE) -> None:
        self.connections = 0
        self.over = threading.Event()
        self._leave = leave
        self._says = says
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.base_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v4"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self.over.is_set():
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                self.connections += 1
                head = b""
                while b"\r\n\r\n" not in head:
                    head += peer.recv(4096)
                if self._says:
                    peer.sendall(self._says)
                try:
                    self._leave(peer, self.over)
                except OSError:
                    pass

    def close(self) -> None:
        self.over.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)


def drains(peer: socket.socket, over: threading.Event) -> None:
    while peer.recv(1 << 20):
        pass


def resets_when_the_client_is_stuck(peer: socket.socket, over: threading.Event) -> None:
    over.wait(1)  # the client has to fill the buffers, and to see the answer, before the connection breaks


def says_no_more_and_resets(peer: socket.socket, over: threading.Event) -> None:
    peer.shutdown(socket.SHUT_WR)
    over.wait(1)


def holds(peer: socket.socket, over: threading.Event) -> None:
    over.wait(20)


@pytest.fixture
def impatient() -> Iterator[Callable[..., Impatient]]:
    servers: list[Impatient] = []

    def make(*arguments: Any) -> Impatient:
        servers.append(Impatient(*arguments))
        return servers[-1]

    yield make
    for server in servers:
        server.close()


def upload(base_url: str, kind: str, **options: Any) -> glmv.GLMVError:
    settings = {"api_key": "k" * 8, "base_url": base_url, "model": "glm-4.6v", "timeout": 3.0, "max_retries": 2}

    def sync() -> None:
        with glmv.Client(**settings | options) as glm:
            glm.chat(LARGE)

    async def awaited() -> None:
        async with glmv.AsyncClient(**settings | options) as glm:
            await glm.chat(LARGE)

    with pytest.raises(glmv.GLMVError) as caught:
        sync() if kind == "sync" else asyncio.run(awaited())
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("leave", [drains, resets_when_the_client_is_stuck, says_no_more_and_resets, holds])
def test_a_413_answer_that_arrives_during_the_upload_is_read(
    impatient: Callable[..., Impatient], leave: Any, kind: str
) -> None:
    server = impatient(leave)
    error = upload(server.base_url, kind)
    assert type(error) is glmv.LimitExceeded, error
    assert (error.status_code, server.connections) == (413, 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [401, 429])
def test_a_401_or_429_answer_that_arrives_during_the_upload_is_read(
    impatient: Callable[..., Impatient], status: int, kind: str
) -> None:
    early = b"HTTP/1.1 %d X\r\nretry-after: 3600\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % status
    server = impatient(resets_when_the_client_is_stuck, early)
    error = upload(server.base_url, kind)
    assert (error.status_code, server.connections) == (status, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_for_a_large_upload_that_is_cut_off_names_the_upload_size(
    impatient: Callable[..., Impatient], kind: str
) -> None:
    server = impatient(resets_when_the_client_is_stuck, b"")
    error = upload(server.base_url, kind, max_retries=0)
    assert type(error) is glmv.ConnectionFailed, error
    assert "12.0 MB" in str(error)
