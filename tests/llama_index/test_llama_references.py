"""Pictures of a store in LlamaIndex: blocks name their files, and `local_files` allows the store's folder only."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import ImageNode
from PIL import Image as Pillow

from glmv import InvalidRequestError, PictureStore
from glmv_emulator import Emulator
from llama_index_glmv import GLMV


def png(color: str, size: tuple[int, int] = (70, 50)) -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "store")


def ask(llm: GLMV, path: Path) -> str:
    question = TextBlock(text="What is the main colour?")
    return llm.chat([ChatMessage(blocks=[ImageBlock(path=path), question])]).message.content or ""


def connected(emulator: Emulator, store: PictureStore, form: str) -> GLMV:
    allowed = {"the store": store, "a list": [store], "the folder": store.folder, "a text": [str(store.folder)]}
    return GLMV(
        model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key, local_files=allowed[form]
    )  # fmt: skip


@pytest.mark.parametrize("form", ["the store", "a list", "the folder", "a text"])
def test_only_files_of_the_store_are_read_if_local_files_is_the_store(
    store: PictureStore, tmp_path: Path, form: str
) -> None:
    (tmp_path / "outside.png").write_bytes(png("green"))
    with Emulator() as emulator:
        llm = connected(emulator, store, form)
        assert "blue" in ask(llm, store.path(store.add(png("blue"))))
        with pytest.raises(InvalidRequestError, match="is not read, because local_files is"):
            ask(llm, tmp_path / "outside.png")
        assert len(emulator.requests) == 1


def test_a_node_with_the_path_of_a_file_in_the_store_is_accepted(store: PictureStore) -> None:
    with Emulator() as emulator:
        llm = connected(emulator, store, "the store")
        node = ImageNode(image_path=str(store.path(store.add(png("blue")))))
        assert "blue" in llm.complete("What is the main colour?", image_documents=[node]).text


async def test_a_message_stored_as_json_holds_only_a_path_and_its_picture_is_sent(store: PictureStore) -> None:
    data = png("red", (2000, 1500))
    path = store.path(store.add(data))
    memory = ChatMemoryBuffer.from_defaults(token_limit=100_000)
    memory.put(ChatMessage(blocks=[ImageBlock(path=path), TextBlock(text="What is the main colour?")]))
    (message,) = memory.get_all()
    stored = message.model_dump_json()
    assert len(stored) < 1_000
    assert b64encode(data).decode()[:60] not in stored
    with Emulator() as emulator:
        llm = connected(emulator, store, "the store")
        again = ChatMessage.model_validate_json(stored)
        assert "red" in ((await llm.achat([again])).message.content or "")
        await llm.aclose()


def test_the_path_of_a_removed_picture_is_refused(store: PictureStore) -> None:
    reference = store.add(png("red"))
    path = store.path(reference)
    block = ImageBlock(path=path)
    store.remove(reference)
    with Emulator() as emulator:
        llm = connected(emulator, store, "the store")
        with pytest.raises(InvalidRequestError, match="does not exist"):
            llm.chat([ChatMessage(blocks=[block])])
        assert emulator.requests == []
