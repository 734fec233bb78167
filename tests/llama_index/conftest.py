"""Pictures, models and a platform for the tests of the LlamaIndex adapter."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.embeddings import MultiModalEmbedding
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.instrumentation.events import BaseEvent
from PIL import Image

from glmv_emulator import Emulator
from llama_index_glmv import GLMV
from tests.support.fake_server import Server
from tests.support.scripted import only_scripted

pytest.register_assert_rewrite("tests.llama_index.conformance")


def png(color: str = "red", size: tuple[int, int] = (32, 24)) -> bytes:
    data = BytesIO()
    Image.new("RGB", size, color).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(autouse=True)
def event_loop_of_llama_index() -> Iterator[None]:
    """An event loop for `llama_index.core.async_utils.asyncio_run`, which would otherwise leave one open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


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


@pytest.fixture
def emu(glmv_emulator: Emulator) -> Emulator:
    """An emulator that sends only scripted answers: the test fails if it makes more or fewer requests."""
    return only_scripted(glmv_emulator)


@pytest.fixture
def connect(glmv_emulator: Emulator) -> Iterator[Callable[..., GLMV]]:
    """connect(GLMV, temperature=0.5) -> a model that talks to the emulator; closed when the test is over."""
    results: list[GLMV] = []

    def make(kind: type[GLMV] = GLMV, **settings: Any) -> GLMV:
        results.append(kind(api_key=glmv_emulator.api_key, base_url=glmv_emulator.base_url, **settings))
        return results[-1]

    yield make
    for llm in results:
        llm.close()


@pytest.fixture
def server() -> Iterator[Server]:
    """A scripted server: it sends chunks that the emulator does not send, and tests can compare the exact bytes."""
    running = Server()
    yield running
    running.stop()


@pytest.fixture
def as_kept() -> Callable[[bytes], str]:
    """as_kept(picture) -> the text that replaces its base64 in the bodies of `emu.requests`."""
    return lambda data: f"<base64: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()[:12]}>"


class Alike(MultiModalEmbedding):
    """Gives all content the same vector, so that a retriever returns everything."""

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
    """An embedding model that gives all texts and pictures the same vector."""
    return Alike()


class Recorder(BaseEventHandler):
    """Records events."""

    seen: list[Any] = []  # noqa: RUF012 - pydantic copies it for each instance

    def handle(self, event: BaseEvent, **_: Any) -> None:
        self.seen.append(event)

    @property
    def names(self) -> list[str]:
        return [event.class_name() for event in self.seen]


@pytest.fixture
def events() -> Iterator[Recorder]:
    """Instrumentation events in order: `events.seen` has the events, `events.names` their class names."""
    handler = Recorder()
    root = get_dispatcher()
    root.add_event_handler(handler)
    yield handler
    root.event_handlers.remove(handler)
