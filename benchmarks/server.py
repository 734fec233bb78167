"""The tests' fake server in a separate process, with prepared answers, so that it is never the bottleneck.

Prints its port. A body with `"stream":true` gets CHUNKS events, each in its own chunk, as from the platform; other
bodies get one answer. A path with `first` adds the time of writing to the first event; a path with `slow` delays the
events, so that many streams are open at once.
"""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from tests.support.fake_server import DONE, Peer, Server, chunk, chunked

CHUNKS = 200
SLOW_CHUNKS = 100
SLOW_PAUSE = 0.02

_USAGE = {"prompt_tokens": 12, "completion_tokens": CHUNKS, "total_tokens": 12 + CHUNKS}
_FACTS = {"id": "20261121120000aabbccddeeff0011", "created": 1795262400, "request_id": "bench"}
_MESSAGE = {"role": "assistant", "content": "A short answer about a picture."}


def _event(text: str, finish_reason: str | None = None, **more: Any) -> bytes:
    payload = chunk(text, finish_reason, **_FACTS, object="chat.completion.chunk", **more)
    return b"data: " + json.dumps(payload, separators=(",", ":")).encode() + b"\n\n"


_WORD = chunked(_event("word "))
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_END = chunked(_event("", "stop", usage=_USAGE) + DONE) + b"0\r\n\r\n"
_STREAM = _HEAD + _WORD * CHUNKS + _END
_BODY = json.dumps(
    {
        **_FACTS,
        "model": "glm-4.6v",
        "object": "chat.completion",
        "choices": [{"index": 0, "finish_reason": "stop", "message": _MESSAGE}],
        "usage": _USAGE,
    },
    separators=(",", ":"),
).encode()
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(_BODY) + _BODY


def answers(peer: Peer) -> None:
    """The prepared answer for this path and body."""
    path = peer.request[0].partition("\r\n")[0]
    if "first" in path:
        peer.send(_HEAD)
        peer.send(chunked(_event(f"{time.monotonic():.7f}")) + _END)
    elif "slow" in path:
        peer.send(_HEAD)
        for _ in range(SLOW_CHUNKS):
            peer.send(_WORD)
            time.sleep(SLOW_PAUSE)
        peer.send(_END)
    else:
        peer.send(_STREAM if peer.streaming else _WHOLE)


if __name__ == "__main__":
    print(Server(record=False).plays(answers).port, flush=True)
    threading.Event().wait()
