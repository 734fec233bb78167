"""`ChatGLMV` prepares pictures in threads, and pictures of a history only once."""

from __future__ import annotations

import base64
import io
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from PIL import Image as Pillow
from pydantic import BaseModel

import glmv
from glmv.media import pixels
from glmv.transport import workers
from langchain_glmv import ChatGLMV, aimage, avideo, image, video
from tests.support.fake_server import Server
from tests.support.threads import Threads, answers, photo


@pytest.fixture
def model() -> Iterator[ChatGLMV]:
    server = Server()
    server.plays(answers)
    yield ChatGLMV(api_key=f"{uuid.uuid4().hex}.s", base_url=server.base_url)
    server.stop()


class Seen(BaseModel):
    words: str = ""


async def drained(chunks: Any) -> None:
    async for _ in chunks:
        pass


ENTRIES: dict[str, Callable[[ChatGLMV, Any], Awaitable[Any]]] = {
    "ainvoke": lambda model, asked: model.ainvoke(asked),
    "astream": lambda model, asked: drained(model.astream(asked)),
    "abatch": lambda model, asked: model.abatch([asked, asked]),
    "agenerate": lambda model, asked: model.agenerate([asked]),
    "astream_events": lambda model, asked: drained(model.astream_events(asked, version="v2")),
    "tools": lambda model, asked: model.bind_tools([Seen]).ainvoke(asked),
    "structured": lambda model, asked: model.with_structured_output(Seen, include_raw=True).ainvoke(asked),
}


def blocks() -> dict[str, Any]:
    text = base64.b64encode(photo()).decode()
    return {
        "base64": {"type": "image", "base64": text, "mime_type": "image/jpeg"},
        "no mime type": {"type": "image", "base64": text},
        "image_url": {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{text}"}},
        "anthropic": {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": text}},
    }


@pytest.mark.parametrize("entry", ENTRIES)
async def test_no_picture_is_prepared_on_the_event_loop(
    entry: str, model: ChatGLMV, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [HumanMessage([image(photo()), "What?"])]
    threads = Threads(monkeypatch)
    await ENTRIES[entry](model, requests)
    threads.hold_off(threading.get_ident())


@pytest.mark.parametrize("kind", blocks())
async def test_no_content_block_is_checked_on_the_event_loop(
    kind: str, model: ChatGLMV, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = Threads(monkeypatch)
    await model.ainvoke([HumanMessage([blocks()[kind]])])
    threads.hold_off(threading.get_ident())


async def test_each_picture_of_a_history_is_fitted_once_for_all_calls(
    model: ChatGLMV, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, fitted = pixels.fit, []
    monkeypatch.setattr(pixels, "fit", lambda *args: (fitted.append(1), real(*args))[1])
    history: list[Any] = [HumanMessage([image(photo(seed)), "?"]) for seed in range(3)]
    for _ in range(4):
        history.append(await model.ainvoke(history))
        history.append(HumanMessage("And now?"))
    assert len(fitted) == 3


async def test_a_deadline_includes_the_time_for_preparing_pictures(
    model: ChatGLMV, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = threading.Event()
    monkeypatch.setattr(pixels, "fit", lambda *_: may_end.wait(10))
    try:
        with pytest.raises(glmv.DeadlineExceeded, match=r"Preparing the pictures took .* the deadline is 0\.2 s"):
            await model.ainvoke([HumanMessage([image(photo())])], deadline=0.2)
    finally:
        may_end.set()


@pytest.mark.parametrize("deadline", [0, -2.5, float("nan")])
async def test_a_deadline_that_is_not_a_positive_number_is_refused(deadline: float, model: ChatGLMV) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="deadline"):
        await model.ainvoke([HumanMessage([image(photo())])], deadline=deadline)


def as_path(folder: Path) -> Any:
    (folder / "a.jpg").write_bytes(photo())
    return folder / "a.jpg"


SOURCES: dict[str, Callable[[Path], Any]] = {
    "path": as_path,
    "bytes": lambda _: photo(),
    "base64": lambda _: base64.b64encode(photo()).decode(),
    "open file": lambda _: io.BytesIO(photo()),
    "Pillow": lambda _: Pillow.open(io.BytesIO(photo())),
    "URL": lambda _: "https://example.com/cat.png",
}


@pytest.mark.parametrize("kind", SOURCES)
async def test_the_function_aimage_runs_the_function_image_in_a_worker_thread(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = image(SOURCES[kind](tmp_path))
    threads = Threads(monkeypatch)
    assert await aimage(SOURCES[kind](tmp_path)) == expected
    assert threading.get_ident() not in {thread for of in threads.of.values() for thread in of}


async def test_aimage_and_avideo_raise_the_same_errors_as_image_and_video(tmp_path: Path) -> None:
    for awaited, plain in ((aimage, image), (avideo, video)):
        with pytest.raises(ValueError, match="does not exist") as expected:
            plain(tmp_path / "none")
        with pytest.raises(ValueError, match="does not exist") as caught:
            await awaited(tmp_path / "none")  # type: ignore[operator]  # each takes its own sources
        assert str(caught.value) == str(expected.value)


async def test_pictures_of_a_tool_result_are_prepared_in_threads(
    model: ChatGLMV, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = HumanMessage("Look.")
    call = {"name": "look", "args": {}, "id": "1", "type": "tool_call"}
    tool_result = ToolMessage([image(photo())], tool_call_id="1")
    threads = Threads(monkeypatch)
    await model.ainvoke([result, AIMessage("", tool_calls=[call]), tool_result])
    threads.hold_off(threading.get_ident())


BY_REFERENCE: dict[str, Callable[[dict[str, Any]], list[Any]]] = {
    "user": lambda block: [HumanMessage(["What?", block])],
    "file block": lambda block: [HumanMessage([{"type": "file", "file": {"file_id": block["file_id"]}}])],
    "tool": lambda block: [
        HumanMessage("Look."),
        AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "1", "type": "tool_call"}]),
        ToolMessage([{"type": "search_result", "title": "Found", "content": [block]}], tool_call_id="1"),
    ],
    "document": lambda block: [
        HumanMessage([{"type": "document", "source": {"type": "content", "content": [block]}}]),
    ],
}


@pytest.mark.parametrize("kind", BY_REFERENCE)
@pytest.mark.parametrize("entry", ["ainvoke", "astream", "abatch"])
async def test_no_reference_is_resolved_on_the_event_loop(
    kind: str, entry: str, model: ChatGLMV, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = glmv.PictureStore(tmp_path / "store")
    result = BY_REFERENCE[kind](image(photo(), store=store))
    threads = Threads(monkeypatch)
    await ENTRIES[entry](model.model_copy(update={"picture_store": store}), result)
    assert "from_path" in threads.of
    threads.hold_off(threading.get_ident())


async def test_texts_and_urls_are_prepared_without_threads_even_with_a_picture_store(
    model: ChatGLMV, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_threads", lambda: pytest.fail("a thread was asked for"))
    seeing = model.model_copy(update={"picture_store": glmv.PictureStore(tmp_path)})
    url = {"type": "image", "url": "https://example.com/cat.png"}
    await seeing.ainvoke([HumanMessage([{"type": "text", "text": "hi"}, url])])
