"""Histories and tool results as LlamaIndex's engines and agents produce them."""

from __future__ import annotations

import asyncio
import io
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock, ToolCallBlock
from PIL import Image as Pillow

import glmv
from glmv_emulator import Emulator
from llama_index_glmv import GLMV

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # agents use deprecated parts of pydantic


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def llm(emulator: Emulator, **options: Any) -> GLMV:
    return GLMV(base_url=emulator.base_url, api_key=emulator.api_key, max_retries=0, **options)


def said(role: str, text: str, **more: Any) -> ChatMessage:
    return ChatMessage(role=role, content=text, additional_kwargs=more)


USER, GREETING = said("user", "How wide is it?"), said("assistant", "Welcome!")
RESULT = said("tool", "2 m", tool_call_id="m1")


@pytest.mark.parametrize(
    "history",
    [
        [GREETING, USER],
        [said("system", "Be exact."), GREETING, USER],
        [RESULT, USER],
        [USER, GREETING, said("user", ""), USER],
    ],
)
def test_answers_to_histories_with_greetings_or_empty_messages_have_a_note(
    history: list[ChatMessage], emulator: Emulator
) -> None:
    answer = llm(emulator).chat(history)
    roles = [message["role"] for message in emulator.requests[-1].body["messages"]]
    assert next(role for role in roles if role != "system") == "user"
    assert any("left out" in note or "system text" in note for note in answer.additional_kwargs["notes"])


@pytest.mark.parametrize("history", [[GREETING], [said("system", "s"), RESULT]])
def test_the_error_for_a_history_without_a_user_message_says_how_to_begin(
    history: list[ChatMessage], emulator: Emulator
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="begin with a user message, as LlamaIndex's Memory does"):
        llm(emulator).chat(history)
    assert len(emulator.requests) == 0


def test_an_empty_user_message_is_refused(emulator: Emulator) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"messages\[2\] \(user\) is empty"):
        llm(emulator).chat([USER, GREETING, said("user", "")])


def picture(size: tuple[int, int] = (72, 40)) -> bytes:
    out = io.BytesIO()
    Pillow.effect_noise(size, 60).convert("RGB").save(out, "PNG")
    return out.getvalue()


PNG = picture()


@pytest.mark.parametrize(
    "returned",
    [
        ImageBlock(image=PNG),
        [TextBlock(text="Front:"), ImageBlock(image=PNG)],
        {"type": "image", "data": b64encode(PNG).decode(), "mimeType": "image/png"},
        {"page": 1, "shot": b64encode(PNG).decode()},
        b64encode(PNG).decode(),
    ],
)
def test_a_picture_returned_by_a_tool_reaches_the_model(returned: Any, emulator: Emulator) -> None:
    def look() -> Any:
        """Look."""
        return returned

    async def run() -> None:
        await FunctionAgent(tools=[look], llm=llm(emulator)).run("Look and tell.")

    emulator.call("look")
    asyncio.run(run())
    messages = emulator.requests[-1].body["messages"]
    assert [part["type"] for part in messages[-1]["content"]] == ["text", "image_url"]
    assert b64encode(PNG).decode()[:80] not in str(messages[:-1])


@pytest.mark.parametrize(
    "block", [ImageBlock(url="ftp://camera/a.png"), ImageBlock(image=b64encode(b"no picture " * 9))]
)
def test_the_model_gets_a_sentence_in_place_of_an_invalid_picture_in_a_tool_result(
    block: ImageBlock, emulator: Emulator
) -> None:
    call = {"id": "m1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    result = ChatMessage(role="tool", blocks=[block], additional_kwargs={"tool_call_id": "m1"})
    answer = llm(emulator).chat([USER, said("assistant", "", tool_calls=[call]), result])
    assert "cannot be shown to you" in emulator.requests[-1].body["messages"][-1]["content"]
    assert any("was replaced by a sentence" in note for note in answer.additional_kwargs["notes"])
    with pytest.raises(glmv.UnsupportedContent):
        llm(emulator).chat([ChatMessage(role="user", blocks=[block])])


@pytest.mark.parametrize("streamed", [False, True])
def test_the_error_mentions_image_block_if_the_model_accepts_pictures_only_as_urls(
    streamed: bool, emulator: Emulator
) -> None:
    model = llm(emulator, model="glm-4v-flash")
    history = [ChatMessage(role="user", blocks=[ImageBlock(image=PNG), TextBlock(text="?")])]
    with pytest.raises(glmv.InvalidRequestError, match=r"ImageBlock\(url=\.\.\.\)"):
        list(model.stream_chat(history)) if streamed else model.chat(history)


def test_only_the_newest_picture_is_sent_if_keep_pictures_is_1(emulator: Emulator) -> None:
    history = [ChatMessage(role="user", blocks=[ImageBlock(image=picture((60 + n, 60)))]) for n in range(3)]
    answer = llm(emulator, keep_pictures=1).chat(history)
    assert str(emulator.requests[-1].body).count("'type': 'image_url'") == 1
    assert "2 of 3 pictures, the oldest, were left out: keep_pictures=1." in answer.additional_kwargs["notes"]


def test_the_error_names_the_tool_if_its_arguments_cannot_be_written_as_json() -> None:
    circular: dict[str, Any] = {}
    circular["self"] = circular
    for value in (circular, {"count": 10**5000}):
        call = {"id": "m1", "type": "function", "function": {"name": "look", "arguments": value}}
        asked = [
            said("assistant", "", tool_calls=[call]),
            ChatMessage(
                role="assistant", blocks=[ToolCallBlock(tool_call_id="m1", tool_name="look", tool_kwargs=value)]
            ),
        ]
        for message in asked:
            with pytest.raises(glmv.UnsupportedContent, match="arguments of 'look'"):
                GLMV(api_key="a.b").chat([USER, message, RESULT])
