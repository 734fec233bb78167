"""The chatbot example over sockets: a visitor's browser on one side, the emulator on the other."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import uvicorn

import glmv
from glmv_emulator import Emulator

EXAMPLE = Path(__file__).parents[2] / "examples" / "chatbot"
PHOTO = Path(__file__).parents[2] / "examples" / "pictures" / "coffee.jpg"  # 600 x 400 pixels
LARGEST = 100_000
PATIENCE = 10  # seconds

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:uvicorn")
pytest.importorskip("fastapi", reason="the group `tests` has it")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    spec = importlib.util.spec_from_file_location("chatbot_app", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["chatbot_app"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["chatbot_app"]
    sys.modules.pop("chats", None)


@pytest.fixture
async def visitor(example: ModuleType, emulator: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    glm = glmv.AsyncClient(
        emulator.api_key, base_url=emulator.base_url, model="glm-4.6v", thinking=False, max_retries=0
    )
    config = uvicorn.Config(example.application(glm, LARGEST), port=0, log_level="error")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(PATIENCE):
        while not server.started:
            await asyncio.sleep(0)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
        yield client
    server.should_exit = True
    await serving


async def begin(visitor: httpx.AsyncClient) -> str:
    return f"/chats/{(await visitor.post('/chats')).json()['chat']}"


async def events(visitor: httpx.AsyncClient, chat: str, question: str) -> list[tuple[str, dict[str, Any]]]:
    """Ask, and wait for all events of the answer."""
    answer = await visitor.post(f"{chat}/questions", json={"question": question})
    assert answer.headers["content-type"].startswith("text/event-stream")
    pairs = (block.split("\n") for block in answer.text.strip().split("\n\n"))
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in pairs]


def words(received_events: list[tuple[str, dict[str, Any]]]) -> str:
    return "".join(data["text"] for name, data in received_events if name == "words")


async def test_the_answer_to_a_question_about_an_uploaded_picture_is_streamed(visitor: httpx.AsyncClient) -> None:
    chat = await begin(visitor)
    seen = (await visitor.put(f"{chat}/picture", content=PHOTO.read_bytes())).json()
    assert (seen["width"], seen["height"]) == (600, 400)
    received_events = await events(visitor, chat, "How large is this picture?")
    assert "600 x 400" in words(received_events)
    assert [name for name, _ in received_events].count("words") > 1
    assert received_events[-1][0] == "end"
    assert received_events[-1][1]["tokens"] > 0


async def test_a_later_question_of_a_chat_is_answered_from_the_picture_of_the_chat(visitor: httpx.AsyncClient) -> None:
    chat = await begin(visitor)
    await visitor.put(f"{chat}/picture", content=PHOTO.read_bytes())
    await events(visitor, chat, "Hello!")
    assert "600" in words(await events(visitor, chat, "How wide is the picture?"))


async def test_a_question_in_one_chat_does_not_send_the_picture_of_another_chat(
    visitor: httpx.AsyncClient, emulator: Emulator
) -> None:
    mine, other = await begin(visitor), await begin(visitor)
    await visitor.put(f"{mine}/picture", content=PHOTO.read_bytes())
    assert "600" not in words(await events(visitor, other, "How large is this picture?"))
    assert "image_url" not in str(emulator.requests[-1].body)


@pytest.mark.parametrize("announced", [True, False])
async def test_an_uploaded_file_of_more_than_100_000_bytes_is_refused_with_413(
    visitor: httpx.AsyncClient, announced: bool
) -> None:
    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(LARGEST // 10_000 + 1):
            yield bytes(10_000)

    chat = await begin(visitor)
    refused = await visitor.put(f"{chat}/picture", content=bytes(LARGEST + 1) if announced else unannounced())
    assert refused.status_code == 413
    assert "0.1 MB" in refused.json()["detail"]


async def test_a_file_that_is_not_a_picture_is_refused_with_a_message(visitor: httpx.AsyncClient) -> None:
    refused = await visitor.put(f"{await begin(visitor)}/picture", content=b"%PDF-1.7 and so on")
    assert refused.status_code == 415
    assert refused.json()["detail"]


async def test_the_model_stream_is_closed_when_the_visitor_leaves(
    visitor: httpx.AsyncClient, emulator: Emulator
) -> None:
    chat = await begin(visitor)
    await visitor.put(f"{chat}/picture", content=PHOTO.read_bytes())
    emulator.stall(after=3)
    async with visitor.stream("POST", f"{chat}/questions", json={"question": "How large is it?"}) as answer:
        assert await anext(answer.aiter_lines()) == "event: words"
    async with asyncio.timeout(PATIENCE):
        while emulator.requests[-1].ended is None:
            await asyncio.sleep(0.01)
    assert emulator.requests[-1].ended_by == "client"
    received_events = await events(visitor, chat, "How large is it?")
    assert "600 x 400" in words(received_events), "the picture still waits for its question"


async def test_a_withdrawn_answer_is_removed_from_the_page_and_the_history(
    visitor: httpx.AsyncClient, emulator: Emulator
) -> None:
    chat = await begin(visitor)
    emulator.inject("withdrawn", after=3)
    assert (await events(visitor, chat, "Tell me something."))[-1][0] == "withdrawn"
    await events(visitor, chat, "Hello!")
    assert [message["role"] for message in emulator.requests[-1].body["messages"]] == ["user"]


async def test_a_busy_platform_is_reported_with_a_hint_to_try_again(
    visitor: httpx.AsyncClient, emulator: Emulator
) -> None:
    emulator.fail(code=1302)
    ((name, data),) = await events(visitor, await begin(visitor), "Hello!")
    assert name == "failed"
    assert data["again"] is True
    assert emulator.api_key not in str(data)


async def test_the_page_forbids_scripts_of_other_hosts_and_serves_no_source_file(visitor: httpx.AsyncClient) -> None:
    page = await visitor.get("/")
    assert "Ask about a picture" in page.text
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert (await visitor.get("/page.js")).status_code == 200
    assert (await visitor.get("/app.py")).status_code == 404
    assert (await visitor.put("/chats/unknown/picture", content=b"")).status_code == 404
