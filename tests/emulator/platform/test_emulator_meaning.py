"""The emulator decodes requests of glmv with the intended meaning; the two share no code."""

from __future__ import annotations

import asyncio
import io
import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from glmv import Image, Message, Options, Text, ToolCall
from glmv.catalog.lookup import find_model
from glmv.request.build import chat_request
from glmv.request.check import check
from glmv.wire.dialect import DIALECTS
from glmv.wire.encode import encode
from glmv_emulator.answers import Script
from glmv_emulator.http.journal import Journal
from glmv_emulator.platform.chat import Prepared, prepare
from glmv_emulator.platform.settings import Settings
from glmv_emulator.platform.state import State


@cache
def picture(number: int) -> Image:
    buffer = io.BytesIO()
    Pillow.new("RGB", (number + 1, 2), (40 * number, 0, 0)).save(buffer, "PNG")
    return Image.from_bytes(buffer.getvalue())


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(str.strip)
parts = st.one_of(words.map(Text), st.integers(0, 4).map(picture))
users = st.lists(parts, min_size=1, max_size=4).map(lambda content: Message("user", content))
assistants = words.map(lambda text: Message("assistant", text))
arguments = st.dictionaries(words, st.one_of(st.integers(), words, st.none()), max_size=2).map(json.dumps)


@st.composite
def uses_of_tools(draw: st.DrawFn) -> list[Message]:
    """An assistant message with tool calls, and a tool message with the result of each."""
    number = draw(st.integers(1, 2))
    calls = [ToolCall(f"call_-{index}", f"look_{index}", draw(arguments)) for index in range(number)]
    results = [Message("tool", draw(words), tool_call_id=call.id) for call in calls]
    return [Message("assistant", draw(st.just("") | words), tool_calls=calls), *results]


def conversations(*, tools: bool) -> st.SearchStrategy[list[Message]]:
    """Conversations that start with a user message."""
    turn = st.one_of(users.map(lambda one: [one]), assistants.map(lambda one: [one]), *[uses_of_tools()] * tools)
    system = words.map(lambda text: [Message("system", text)])
    later = st.lists(turn, max_size=4).map(lambda turns: [message for turn in turns for message in turn])
    return st.tuples(st.just([]) | system if tools else st.just([]), users, later).map(
        lambda drawn: [*drawn[0], drawn[1], *drawn[2]]
    )


options = st.fixed_dictionaries(
    {},
    optional={
        "max_tokens": st.integers(1, 1024),
        "stop": words,
        "seed": st.integers(0, 9),
        "request_id": st.text("abc0", min_size=6, max_size=64),
        "temperature": st.floats(0.01, 1),
    },
)


def understood(model: str, messages: list[Message], given: dict[str, Any]) -> Prepared:
    request = check(chat_request(messages, Options(), {"model": model, **given}), find_model(model))
    row = find_model(model)
    assert row is not None
    body = encode(request, DIALECTS["platform"], stream=False, lists=not row.string_content)
    state = State(Settings(), "test-id.test-secret", Script(), Journal("test-id.test-secret"))
    return asyncio.run(prepare(state, json.loads(bytes(body)), "platform"))


def texts(content: str | list[dict[str, Any]]) -> list[str]:
    if isinstance(content, str):
        return [content] if content else []
    return [part["text"] for part in content if part["type"] == "text"]


def calls(message: dict[str, Any]) -> tuple[ToolCall, ...]:
    answer = message.get("tool_calls", ())
    return tuple(ToolCall(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in answer)


@pytest.mark.parametrize("model", ["glm-4.6v", "glm-4v"])
@settings(deadline=None)  # a busy machine is no failure
@given(data=st.data())
def test_a_conversation_that_glmv_encodes_is_decoded_by_the_emulator_unchanged(model: str, data: st.DataObject) -> None:
    messages = data.draw(conversations(tools=model == "glm-4.6v"))
    values = data.draw(options)
    pictures = [part for message in messages for part in message.content if isinstance(part, Image)]
    if model == "glm-4v" and len(pictures) > 5:
        return  # more than the model takes
    read = understood(model, messages, values)
    assert [message["role"] for message in read.messages] == [message.role for message in messages]
    for message, decoded in zip(messages, read.messages, strict=True):
        assert texts(decoded["content"]) == [
            part.text for part in message.content if isinstance(part, Text) and part.text
        ]
        assert calls(decoded) == message.tool_calls
        assert decoded.get("tool_call_id") == message.tool_call_id
    assert [medium.data for medium in read.media] == [one.data() for one in pictures]
    result = read.parameters
    for name, value in {"max_tokens": result.max_tokens, "seed": result.seed, "request_id": result.request_id}.items():
        assert name not in values or values[name] == value
    assert result.stop == ((values["stop"],) if "stop" in values else ())
