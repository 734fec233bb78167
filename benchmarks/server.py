"""A server that is never the bottleneck: pre-rendered bytes over a raw asyncio protocol, in a process of its own.

Prints its port. A body with `"stream":true` gets CHUNKS events, each a chunk of its own as the platform sends them;
anything else gets one answer. A path that holds `first` stamps the first event with the time it was written; one
that holds `slow` spreads the events, so that many streams are open at once.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

CHUNKS = 200
SLOW_CHUNKS = 100
SLOW_PAUSE = 0.02

_HEAD = {"id": "20261121120000aabbccddeeff0011", "created": 1795262400, "model": "glm-4.6v", "request_id": "bench"}
_USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}


def _event(content: str) -> bytes:
    chunk = {
        **_HEAD,
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"role": "assistant", "content": content}}],
    }
    return b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n"


def _chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_LAST = (
    b"data: "
    + json.dumps(
        {
            **_HEAD,
            "choices": [{"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": ""}}],
            "usage": _USAGE,
        },
        separators=(",", ":"),
    ).encode()
    + b"\n\ndata: [DONE]\n\n"
)
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = _chunked(_LAST) + b"0\r\n\r\n"
_STREAM = _STREAM_HEAD + _chunked(_event("word ")) * CHUNKS + _END
_MESSAGE = {
    "index": 0,
    "finish_reason": "stop",
    "message": {"role": "assistant", "content": "A short answer about a picture."},
}
_BODY = json.dumps(
    {**_HEAD, "object": "chat.completion", "choices": [_MESSAGE], "usage": _USAGE}, separators=(",", ":")
).encode()
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY) + _BODY


class Answers(asyncio.Protocol):
    """Reads a request by its Content-Length and writes the bytes that are ready."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.begin()

    def begin(self) -> None:
        self.head = b""
        self.left = -1
        self.tail = b""

    def data_received(self, data: bytes) -> None:
        if self.left < 0:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            headers = self.head[:end].lower()
            data = self.head[end + 4 :]
            self.path = self.head[: self.head.find(b"\r\n")]
            _, _, length = headers.partition(b"content-length:")
            self.chunked = not length
            self.left = int(length.split(b"\r\n", 1)[0]) if length else 0
        self.left -= len(data)
        self.tail = (self.tail + data)[-200:]
        if self.chunked and not self.tail.endswith(b"0\r\n\r\n"):
            return
        if self.left <= 0 or self.chunked:
            stream = b'"stream":true' in self.tail or b'"stream":true' in data or b'"stream": true' in data
            self.answer(stream or b"stream" in self.path)
            self.begin()

    def answer(self, stream: bool) -> None:
        if not stream:
            self.transport.write(_WHOLE)
        elif b"first" in self.path:
            self.transport.write(_STREAM_HEAD)
            self.transport.write(_chunked(_event(f"{time.monotonic():.7f}")) + _END)
        elif b"slow" in self.path:
            self.transport.write(_STREAM_HEAD)
            self.slow(SLOW_CHUNKS)
        else:
            self.transport.write(_STREAM)

    def slow(self, left: int) -> None:
        if self.transport.is_closing():
            return
        if not left:
            self.transport.write(_END)
            return
        self.transport.write(_chunked(_event("word ")))
        asyncio.get_running_loop().call_later(SLOW_PAUSE, self.slow, left - 1)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
