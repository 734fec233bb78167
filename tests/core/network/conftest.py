"""A server of bare sockets, that does to its clients what a script says, and clients of both kinds to suffer it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import glmv

PATIENCE = 20.0  # seconds after which a test that hangs fails

WHOLE = {
    "id": "1",
    "created": 1,
    "model": "glm-4.6v",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}


class Gone(Exception):
    """The client has closed its end."""


class Peer:
    """One connection, as a script sees it."""

    def __init__(self, sock: socket.socket, over: threading.Event) -> None:
        self.sock = sock
        self.over = over  # the test has ended
        self.left = threading.Event()  # the client has closed

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            self.left.set()
            raise Gone from None

    def head(self, status: int = 200, *lines: str) -> None:
        self.send("\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""]).encode())

    def say(self, payload: object, status: int = 200, *lines: str, kind: str = "application/json") -> None:
        """A whole answer with its length."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.head(status, f"content-type: {kind}", f"content-length: {len(data)}", *lines)
        self.send(data)

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def stream(self, *frames: object, end: bool = True, head: bool = True) -> None:
        """Frames of an event stream, dicts as JSON; `end` sends the terminator of the body."""
        if head:
            self.head(200, "content-type: text/event-stream", "transfer-encoding: chunked")
        for frame in frames:
            self.chunk(frame if isinstance(frame, bytes) else b"data: " + json.dumps(frame).encode() + b"\n\n")
        if end:
            self.send(b"0\r\n\r\n")

    def stall(self) -> None:
        """Do nothing until the client goes or the test ends."""
        self.sock.settimeout(0.05)
        while not self.over.is_set():
            try:
                if not self.sock.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.left.set()
        raise Gone

    def reset(self) -> None:
        """Break the connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise Gone

    def close(self) -> None:
        """End the connection in order, without another word."""
        self.sock.close()
        raise Gone


Script = Callable[[Peer], None]


class Server:
    """Answers its n-th request as the n-th script says; the last script holds for all further ones."""

    def __init__(self) -> None:
        self.scripts: list[Script] = []
        self.requests: list[tuple[str, bytes]] = []
        self.peers: list[Peer] = []
        self.over = threading.Event()
        self.greeting: Script | None = None  # what a connection gets before its first request is read
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self._listener.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/api/paas/v4"
        threading.Thread(target=self._accept, daemon=True).start()

    def plays(self, *scripts: Script) -> Server:
        self.scripts = list(scripts)
        return self

    @property
    def connections(self) -> int:
        return len(self.peers)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(sock, self.over)
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: Peer) -> None:
        try:
            if self.greeting is not None:
                self.greeting(peer)
            while not self.over.is_set():
                head, body = self._request(peer.sock)
                with self._lock:
                    number = len(self.requests)
                    self.requests.append((head, body))
                self.scripts[min(number, len(self.scripts) - 1)](peer)
        except (Gone, OSError):
            pass
        finally:
            peer.left.set()
            with contextlib.suppress(OSError):
                peer.sock.close()

    def _request(self, sock: socket.socket) -> tuple[str, bytes]:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more(sock)
        head, _, body = data.partition(b"\r\n\r\n")
        told = [line for line in head.decode().lower().split("\r\n") if line.startswith("content-length:")]
        size = int(told[0].partition(":")[2]) if told else 0
        while len(body) < size:
            body += self._more(sock)
        return head.decode(), body

    def _more(self, sock: socket.socket) -> bytes:
        if not (data := sock.recv(65536)):
            raise Gone
        return data

    def stop(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept(), which a close does not
        self._listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.close()


class Asker:
    """A client of either kind that asks once, streamed or not, and tells what became of it."""

    def __init__(self, kind: str, base_url: str) -> None:
        self.kind = kind
        self.base_url = base_url
        self.deltas: list[glmv.Delta] = []
        self.on_delta: Callable[[], object] = lambda: None

    def settings(self, **options: Any) -> dict[str, Any]:
        return {"api_key": f"{uuid.uuid4().hex}.test-secret", "base_url": self.base_url} | options

    def __call__(
        self, *, stream: bool = False, messages: Any = "hi", **options: Any
    ) -> glmv.Completion | glmv.GLMVError:
        self.deltas = []
        try:
            if self.kind == "sync":
                return self._ask(stream, messages, options)
            return asyncio.run(asyncio.wait_for(self._aask(stream, messages, options), PATIENCE))
        except glmv.GLMVError as error:
            return error

    def _ask(self, stream: bool, messages: Any, options: dict[str, Any]) -> glmv.Completion:
        with glmv.Client(**self.settings(**options)) as glm:
            if not stream:
                return glm.chat(messages)
            total = glmv.Accumulator()
            for delta in glm.stream(messages):
                self.deltas.append(delta)
                self.on_delta()
                total.add(delta)
            return total.completion()

    async def _aask(self, stream: bool, messages: Any, options: dict[str, Any]) -> glmv.Completion:
        async with glmv.AsyncClient(**self.settings(**options)) as glm:
            if not stream:
                return await glm.chat(messages)
            total = glmv.Accumulator()
            async for delta in glm.stream(messages):
                self.deltas.append(delta)
                self.on_delta()
                total.add(delta)
            return total.completion()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    running.plays(lambda peer: peer.say(WHOLE))
    yield running
    running.stop()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: Server) -> Asker:
    return Asker(request.param, server.base_url)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses between attempts are noted and not waited."""
    noted: list[float] = []
    wait = asyncio.sleep

    async def pause(seconds: float) -> None:
        noted.append(seconds)
        await wait(0)

    monkeypatch.setattr("glmv.transport.sync.time.sleep", noted.append)
    monkeypatch.setattr("glmv.transport.asynchronous.asyncio.sleep", pause)
    return noted
