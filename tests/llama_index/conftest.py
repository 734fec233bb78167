"""Pictures and answers for the tests of this room, made when asked for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from PIL import Image

from llama_index_glmv import GLMV


def png(color: str = "red", size: tuple[int, int] = (32, 24)) -> bytes:
    data = BytesIO()
    Image.new("RGB", size, color).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def draw() -> Callable[..., bytes]:
    """draw("red", (32, 24)) -> the bytes of a PNG."""
    return png


@pytest.fixture
def red() -> bytes:
    """A red PNG."""
    return png()


@pytest.fixture
def red_path(red: bytes, tmp_path: Path) -> Path:
    """The red PNG as a file."""
    path = tmp_path / "red.png"
    path.write_bytes(red)
    return path


class Script:
    """A server that answers call after call with the deltas it is given, streamed or whole as it is asked.

    It stands for wire shapes that the emulator has no reason to send at a given moment.
    """

    usage: ClassVar = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}

    def __init__(self) -> None:
        self.answers: list[list[dict[str, Any]]] = []
        self.requests: list[dict[str, Any]] = []

    def say(self, *deltas: dict[str, Any] | str) -> Script:
        """Queue an answer; a str is a delta of visible text."""
        self.answers.append([{"content": delta} if isinstance(delta, str) else delta for delta in deltas])
        return self

    def handle(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.requests.append(body)
        deltas = self.answers.pop(0)
        reason = "tool_calls" if any("tool_calls" in delta for delta in deltas) else "stop"
        if not body.get("stream"):
            message = {"role": "assistant", **_joined(deltas)}
            choice = {"index": 0, "finish_reason": reason, "message": message}
            return httpx.Response(200, json={"id": "1", "choices": [choice], "usage": self.usage})
        chunks: list[dict[str, Any]] = [{"id": "1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        last = {"index": 0, "finish_reason": reason, "delta": {"role": "assistant", "content": ""}}
        chunks.append({"id": "1", "choices": [last], "usage": self.usage})
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})

    def llm(self, kind: type[GLMV] = GLMV, **settings: Any) -> GLMV:
        """An LLM that talks to this server."""
        transport = httpx.MockTransport(self.handle)
        settings = {"api_key": "test-id.test-secret", "base_url": "http://localhost/api/paas/v4", **settings}
        return kind(
            http_client=httpx.Client(transport=transport),
            http_async_client=httpx.AsyncClient(transport=transport),
            **settings,
        )


def _joined(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for delta in deltas:
        for name, value in delta.items():
            whole[name] = whole[name] + value if name in whole else value
    return whole


@pytest.fixture
def script() -> Script:
    """A server to write answers for: script.say("a ", "red"); script.llm().chat(...)."""
    return Script()


class Alike(MultiModalEmbedding):
    """Finds everything alike, so that a retriever returns whatever there is."""

    def _get_text_embedding(self, text: str) -> list[float]:
        return [1.0, 0.0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return [1.0, 0.0]

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return [1.0, 0.0]

    def _get_image_embedding(self, img_file_path: object) -> list[float]:
        return [1.0, 0.0]

    async def _aget_image_embedding(self, img_file_path: object) -> list[float]:
        return [1.0, 0.0]


@pytest.fixture
def alike() -> Alike:
    """An embedding model for texts and pictures that finds everything alike."""
    return Alike()


class Recorder(BaseEventHandler):
    """Keeps the events it gets."""

    seen: list[Any] = []  # noqa: RUF012 - pydantic copies it for each instance

    def handle(self, event: BaseEvent, **_: Any) -> None:
        self.seen.append(event)

    @property
    def names(self) -> list[str]:
        return [event.class_name() for event in self.seen]


@pytest.fixture
def events() -> Iterator[Recorder]:
    """The events of instrumentation, as they come: `events.names`, `events.seen`."""
    handler = Recorder()
    root = get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)
