"""`GLMV` reads and prepares pictures in threads, not on the event loop."""

from __future__ import annotations

import base64
import io
import threading
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import ImageNode
from pydantic import BaseModel

import glmv
from glmv.media import pixels
from llama_index_glmv import GLMV, GLMVImageCaptioner
from tests.support.fake_server import Server
from tests.support.threads import Threads, answers, photo


@pytest.fixture
def llm() -> Iterator[GLMV]:
    server = Server()
    server.plays(answers)
    yield GLMV(api_key=f"{uuid.uuid4().hex}.s", base_url=server.base_url)
    server.stop()


class Seen(BaseModel):
    words: str = ""


async def drained(pieces: Any) -> None:
    async for _ in await pieces:
        pass


async def described(llm: GLMV, path: Path) -> None:
    (node,) = await GLMVImageCaptioner(llm=llm).acall([ImageNode(image_path=str(path))])
    assert node.get_content() == "hello"


def block(kind: str, path: Path) -> ImageBlock:
    match kind:
        case "path":
            return ImageBlock(path=path)
        case "bytes":
            return ImageBlock(image=path.read_bytes())
        case "base64":
            return ImageBlock(image=base64.b64encode(path.read_bytes()))
        case "file":
            return ImageBlock(image=io.BytesIO(path.read_bytes()))
    raise AssertionError(kind)


def asked(path: Path, kind: str = "path") -> list[ChatMessage]:
    return [ChatMessage(role="user", blocks=[block(kind, path), TextBlock(text="What?")])]


ENTRIES: dict[str, Callable[[GLMV, Path], Awaitable[Any]]] = {
    "achat": lambda llm, path: llm.achat(asked(path)),
    "astream_chat": lambda llm, path: drained(llm.astream_chat(asked(path))),
    "acomplete": lambda llm, path: llm.acomplete("?", image_documents=[ImageNode(image_path=str(path))]),
    "astream_complete": lambda llm, path: drained(llm.astream_complete("?", image_documents=[block("bytes", path)])),
    "captioner": described,
}


@pytest.mark.parametrize("entry", ENTRIES)
async def test_no_picture_is_prepared_on_the_event_loop(
    entry: str, llm: GLMV, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    threads = Threads(monkeypatch)
    await ENTRIES[entry](llm, tmp_path / "a.jpg")
    threads.hold_off(threading.get_ident())


_OPEN_FILES = pytest.mark.skipif(
    "IOBase" not in str(ImageBlock.model_fields["image"].annotation), reason="this core takes bytes only"
)


@pytest.mark.parametrize("kind", ["path", "bytes", "base64", pytest.param("file", marks=_OPEN_FILES)])
async def test_no_block_is_read_on_the_event_loop(
    kind: str, llm: GLMV, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    messages = asked(tmp_path / "a.jpg", kind)
    threads = Threads(monkeypatch)
    await llm.achat(messages)
    threads.hold_off(threading.get_ident())


async def test_structured_calls_prepare_pictures_in_threads(
    llm: GLMV, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    threads = Threads(monkeypatch)
    with pytest.raises(glmv.MalformedResponse):  # the server says "hello" whatever it is asked
        await llm.as_structured_llm(Seen).achat(asked(tmp_path / "a.jpg"))
    threads.hold_off(threading.get_ident())
    with pytest.raises(glmv.MalformedResponse):
        await llm.astructured_predict(Seen, PromptTemplate("What?"))


async def test_a_deadline_includes_the_time_for_preparing_pictures(
    llm: GLMV, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_bytes(photo())
    may_end = threading.Event()
    monkeypatch.setattr(pixels, "fit", lambda *_: may_end.wait(10))
    try:
        with pytest.raises(glmv.DeadlineExceeded, match=r"Preparing the pictures took .* the deadline is 0\.2 s"):
            await llm.achat(asked(tmp_path / "a.jpg"), deadline=0.2)
    finally:
        may_end.set()
