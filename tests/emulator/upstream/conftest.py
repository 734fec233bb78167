"""An emulator that forwards to a scripted OpenAI-compatible server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.fake_server import Peer, Script, Server

KEY = "sk-upstream-5f0c9a7e"


def whole(text: str | None = "A cat.", reason: str = "stop", usage: Any = None, **message: Any) -> dict[str, Any]:
    """An unstreamed answer."""
    choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", "content": text, **message}}
    result = {} if usage is None else {"usage": usage}
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "qwen", "choices": [choice], **result}


def delta(reason: str | None = None, **delta: Any) -> dict[str, Any]:
    """A chunk of a streamed answer."""
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "qwen", "choices": [choice]}


def says(answer: Any, status: int = 200, *lines: str, kind: str = "application/json") -> Script:
    """A script that gives one answer to every request."""
    return lambda peer: peer.say(answer, status, *lines, kind=kind)


def streams(*frames: Any, end: bool = True) -> Script:
    """A script that streams these chunks."""

    def script(peer: Peer) -> None:
        peer.stream(*frames, end=end)
        if not end:
            peer.close()

    return script


@pytest.fixture
def server() -> Iterator[Server]:
    """The scripted server; it answers "A cat." by default."""
    result = Server().plays(says(whole()))
    yield result
    result.stop()


@pytest.fixture
def before(emulate: Callable[..., Any], server: Server) -> Callable[..., Any]:
    """Start an emulator that forwards to the scripted server."""

    def start(*scripts: Script, **settings: Any) -> Any:
        if scripts:
            server.plays(*scripts)
        options = {"upstream": f"http://127.0.0.1:{server.port}/v1", "upstream_model": "qwen", "upstream_key": KEY}
        return emulate(**(options | settings))

    return start


def request_body(server: Server, number: int = -1) -> dict[str, Any]:
    """The body of a request that the server got."""
    body: dict[str, Any] = json.loads(server.requests[number][1])
    return body
