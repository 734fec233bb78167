"""References in LangChain's SQL histories and caches: data on disk, and requests."""

from __future__ import annotations

import io
from pathlib import Path
from random import Random

import pytest
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import HumanMessage
from langchain_core.runnables.history import RunnableWithMessageHistory
from PIL import Image

from glmv import PictureStore
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image

pytest.importorskip("langchain_community")
pytestmark = [pytest.mark.stores, pytest.mark.filterwarnings("ignore")]


def photograph() -> bytes:
    """Noise of about 3 MB."""
    out = io.BytesIO()
    Image.frombytes("RGB", (1000, 1000), Random(5).randbytes(3_000_000)).save(out, "PNG", compress_level=0)
    return out.getvalue()


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.db*"))


def asking(emulator: Emulator, store: PictureStore) -> ChatGLMV:
    return ChatGLMV(
        model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key, picture_store=store
    )  # fmt: skip


def test_a_chat_history_in_sql_holds_the_reference_and_no_picture(tmp_path: Path) -> None:
    from langchain_community.chat_message_histories import SQLChatMessageHistory

    store, data = PictureStore(tmp_path / "store"), photograph()

    def history(session: str) -> BaseChatMessageHistory:
        return SQLChatMessageHistory(session, connection=f"sqlite:///{tmp_path}/history.db")

    session = {"configurable": {"session_id": "s"}}
    with Emulator() as emulator:
        emulator.answer(lambda ask: "A picture of noise.")
        for first in (True, False):  # the second turn as by another process: from the database alone
            chain = RunnableWithMessageHistory(asking(emulator, store), history)
            chain.invoke([HumanMessage(["What?", image(data, store=store)] if first else "And now?")], session)
        assert len(emulator.requests) == 2
        assert "sha256" in repr(emulator.requests[1].body["messages"][0])
    assert on_disk(tmp_path) < 100_000
    assert store.add(data) in repr(history("s").messages)


def test_a_repeated_question_with_a_reference_is_answered_from_a_sqlite_cache(tmp_path: Path) -> None:
    from langchain_community.cache import SQLiteCache

    store, data = PictureStore(tmp_path / "store"), photograph()
    with Emulator() as emulator:
        emulator.say("A picture of noise.")
        for _ in range(2):
            model = asking(emulator, store).model_copy(
                update={"cache": SQLiteCache(database_path=str(tmp_path / "cache.db"))}
            )
            answer = model.invoke([HumanMessage(["What?", image(data, store=store)])])
            assert answer.text == "A picture of noise."
        assert len(emulator.requests) == 1
    assert on_disk(tmp_path) < 100_000
