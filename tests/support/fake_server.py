"""A fake server on plain sockets that follows a script, for tests and benchmarks."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from typing import Any

WHOLE = {
    "id": "1",
    "created": 1,
    "model": "glm-4.6v",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
DONE = b"data: [DONE]\n\n"


def chunk(text: str, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    """A chunk of a streamed answer."""
    choice: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": text}}
    if finish_reason is not None:
        choice["finish_reason"] = finish_reason
    return {"id": "1", "created": 1, "model": "glm-4.6v", "choices": [choice]} | more


def event(payload: object) -> bytes:
    """An event of a stream: JSON, or unchanged bytes."""
    return payload if isinstance(payload, bytes) else b"data: " + json.dumps(payload).encode() + b"\n\n"


def chunked(data: bytes) -> bytes:
    """Data as one piece of a body in transfer-encoding chunked."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Gone(Exception):
    """The client has closed the connection."""


class Peer:
    """One connection of a client, with the actions that a script can use."""

    def __init__(self, sock: socket.socket, server: Server) -> None:
        self.sock = sock
        self.server = server
        self.over = server.over  # the test has ended
        self.left = threading.Event()  # the client has closed
        self.left_at = 0.0  # when, by the monotonic clock
        self.request = ("", b"")  # head and body of the last one

    @property
    def streaming(self) -> bool:
        """Whether the last request asks for a stream; of a large body only the start and the end are searched."""
        body = self.request[1]
        return re.search(rb'"stream": ?true', body[:300] + body[-300:]) is not None

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            self.leave()
            raise Gone from None

    def head(self, status: int = 200, *lines: str) -> None:
        self.send("\r\n".join([f"HTTP/1.1 {status} Whatever", *lines, "", ""]).encode())

    def say(self, payload: object, status: int = 200, *lines: str, kind: str = "application/json") -> None:
        """Send a whole answer with its content length."""
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self.head(status, f"content-type: {kind}", f"content-length: {len(data)}", *lines)
        self.send(data)

    def chunk(self, data: bytes) -> None:
        self.send(chunked(data))

    def stream(self, *frames: object, end: bool = True, head: bool = True) -> None:
        """Send frames of an event stream, dicts as JSON; `end` sends the terminator of the body."""
        if head:
            self.head(200, "content-type: text/event-stream", "transfer-encoding: chunked")
        for frame in frames:
            self.chunk(event(frame))
        if end:
            self.send(b"0\r\n\r\n")

    def pause(self, seconds: float) -> None:
        """Wait until the time is over or the client closes the connection."""
        if select.select([self.sock], [], [], seconds)[0]:
            self.leave()
            raise Gone

    def stall(self) -> None:
        """Do nothing until the client closes the connection or the test ends."""
        self.sock.settimeout(0.05)
        while not self.over.is_set():
            try:
                if not self.sock.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.leave()
        raise Gone

    def reset(self) -> None:
        """Break the connection."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise Gone

    def close(self) -> None:
        """Close the connection without sending more."""
        self.sock.close()
        raise Gone

    def leave(self) -> None:
        """Record that the client has closed the connection."""
        if not self.left.is_set():
            self.left_at = time.monotonic()
            self.left.set()


Script = Callable[[Peer], None]


class Server:
    """Answers its n-th request as the n-th script says; the last script answers all further ones, too."""

    def __init__(self, *, record: bool = True) -> None:
        self.scripts: list[Script] = []
        self.requests: list[tuple[str, bytes]] = []  # heads and bodies; stays empty without `record`
        self.record = record
        self.active = 0  # requests that a script is answering now
        self.peers: list[Peer] = []
        self.over = threading.Event()
        self.greeting: Script | None = None  # what a connection gets before its first request is read
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
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
            peer = Peer(sock, self)
            self.peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: Peer) -> None:
        try:
            if self.greeting is not None:
                self.greeting(peer)
            while not self.over.is_set():
                peer.request = self._request(peer.sock)
                self._answer(peer)
        except (Gone, OSError):
            pass
        finally:
            peer.leave()
            with contextlib.suppress(OSError):
                peer.sock.close()

    def _answer(self, peer: Peer) -> None:
        with self._lock:
            number = len(self.requests)
            if self.record:
                self.requests.append(peer.request)
            self.active += 1
        try:
            self.scripts[min(number, len(self.scripts) - 1)](peer)
        finally:
            with self._lock:
                self.active -= 1

    def _request(self, sock: socket.socket) -> tuple[str, bytes]:
        data = bytearray()
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += self._more(sock)
        head, body = data[:end].decode(), data[end + 4 :]
        match = re.search(r"(?mi)^content-length: *(\d+)", head)
        size = int(match[1]) if match else 0
        while len(body) < size:
            body += self._more(sock)
        return head, bytes(body)

    def _more(self, sock: socket.socket) -> bytes:
        if not (data := sock.recv(1 << 20)):
            raise Gone
        return data

    def stop(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # ends a waiting accept(), which close() does not
        self._listener.close()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                peer.sock.close()
