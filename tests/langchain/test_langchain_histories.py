"""Histories and tool results as LangChain's agents and trimmers produce them."""

from __future__ import annotations

import io
from base64 import b64encode
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage, ToolMessage, trim_messages
from langchain_core.tools import StructuredTool
from PIL import Image as Pillow

import glmv
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image, video

CALLS = [{"name": "measure", "args": {"at": 1}, "id": "m1", "type": "tool_call"}]
RESULT = ToolMessage("2 m", tool_call_id="m1")
HUMAN, GREETING = HumanMessage("How wide is it?"), AIMessage("Welcome! What is it?")
ASKED = AIMessage("", tool_calls=CALLS)


@pytest.fixture
def emulator() -> Any:
    with Emulator() as running:
        yield running


def model(emulator: Emulator, **options: Any) -> ChatGLMV:
    return ChatGLMV(base_url=emulator.base_url, api_key=emulator.api_key, max_retries=0, **options)


HISTORIES: list[list[AnyMessage]] = [
    [GREETING, HUMAN],
    [SystemMessage("Be exact."), GREETING, HUMAN],
    [RESULT, HUMAN],
    [HUMAN, GREETING, HumanMessage(""), GREETING, HUMAN],
    [HumanMessage([]), HUMAN],
    [HUMAN, RESULT, GREETING, HUMAN],
    [HUMAN, HUMAN],
    [HUMAN, SystemMessage("Be exact."), HUMAN],
]
REFUSED: list[list[AnyMessage]] = [
    [ASKED, RESULT, HUMAN],
    [SystemMessage("s"), ASKED, RESULT],
    [GREETING],
    [HUMAN, HumanMessage("")],
]


@pytest.mark.parametrize("history", HISTORIES)
def test_histories_with_greetings_or_empty_messages_or_lone_tool_results_get_answers(
    history: list[AnyMessage], emulator: Emulator
) -> None:
    answer = model(emulator).invoke(history)
    roles = [message["role"] for message in emulator.requests[-1].body["messages"]]
    assert next(role for role in roles if role != "system") == "user"
    noted = answer.response_metadata.get("notes")
    assert bool(noted) == (len(roles) != len(history) or history[0] is GREETING)


@pytest.mark.parametrize("history", REFUSED[:3])
def test_the_error_for_an_incomplete_history_suggests_the_option_start_on(
    history: list[AnyMessage], emulator: Emulator
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r'messages\[\d\].*start_on="human"'):
        model(emulator).invoke(history)
    assert len(emulator.requests) == 0


@pytest.mark.parametrize("history", [*HISTORIES, *REFUSED])
@pytest.mark.parametrize("most", [12, 4000])
def test_trimming_messages_by_the_models_token_count_does_not_raise(history: list[AnyMessage], most: int) -> None:
    trimmed = trim_messages(history, max_tokens=most, token_counter=ChatGLMV(), start_on=None)
    assert len(trimmed) <= len(history)


def test_a_history_trimmed_to_start_with_a_human_message_is_answered(emulator: Emulator) -> None:
    history = [HUMAN, ASKED, RESULT, AIMessage("Two metres."), HumanMessage("And how high?")]
    trimmed = trim_messages(history, max_tokens=3, token_counter=len, start_on="human")
    assert model(emulator).invoke(trimmed).text


def png(size: tuple[int, int] = (66, 44)) -> bytes:
    out = io.BytesIO()
    Pillow.effect_noise(size, 60).convert("RGB").save(out, "PNG")
    return out.getvalue()


PNG = png()
RETURNED = {
    "a bare picture": lambda: image(PNG),
    "words and a picture": lambda: ["Front:", image(PNG)],
    "a picture in a dict": lambda: {"page": 1, "shot": image(PNG)},
    "bytes": lambda: PNG,
    "base64": lambda: b64encode(PNG).decode(),
    "MCP's dict": lambda: {"type": "image", "data": b64encode(PNG).decode(), "mimeType": "image/png"},
}


def run(emulator: Emulator, returned: Any) -> list[dict[str, Any]]:
    """The messages of the second request of an agent whose tool returns this value."""
    tool = StructuredTool.from_function(lambda: returned, name="look", description="Look.")
    emulator.call("look")
    create_agent(model(emulator), [tool]).invoke({"messages": [HumanMessage("Look and tell.")]})
    messages: list[dict[str, Any]] = emulator.requests[-1].body["messages"]
    return messages


@pytest.mark.parametrize("what", RETURNED)
def test_a_picture_returned_by_a_tool_reaches_the_model(what: str, emulator: Emulator) -> None:
    messages = run(emulator, RETURNED[what]())
    assert [part["type"] for part in messages[-1]["content"]] == ["text", "image_url"]
    assert b64encode(PNG).decode()[:80] not in str(messages[:-1])


def test_a_video_returned_by_a_tool_reaches_the_model(emulator: Emulator) -> None:
    messages = run(emulator, [video("https://example.com/clip.mp4"), "Ten seconds."])
    assert "Ten seconds." in messages[-2]["content"]
    assert messages[-1]["content"][-1]["type"] == "video_url"


@pytest.mark.parametrize("url", ["file:///srv/a.png", "smb://nas/a.png"])
@pytest.mark.parametrize("kind", ["image", "video", "file"])
def test_the_model_gets_a_sentence_in_place_of_an_invalid_url_in_a_tool_result(
    kind: str, url: str, emulator: Emulator
) -> None:
    history = [HUMAN, ASKED, ToolMessage([{"type": kind, "url": url, "mime_type": ""}], tool_call_id="m1")]
    answer = model(emulator).invoke(history)
    assert "cannot be shown to you" in emulator.requests[-1].body["messages"][-1]["content"]
    assert any("was replaced by a sentence" in note for note in answer.response_metadata["notes"])
    with pytest.raises(glmv.InvalidRequestError):
        model(emulator).invoke([HumanMessage([{"type": kind, "url": url, "mime_type": ""}])])


@pytest.mark.parametrize("lost", [Pillow.new("RGB", (5, 6)), glmv.Image.from_bytes(PNG)])
def test_a_picture_that_langchain_turned_into_text_is_refused_with_advice(lost: Any, emulator: Emulator) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"with langchain_glmv\.image\(source\) before the tool returns"):
        run(emulator, lost)


def test_base64_of_a_picture_in_a_tools_text_is_counted_like_a_picture() -> None:
    large = b64encode(png((900, 700))).decode()
    count = ChatGLMV().get_num_tokens_from_messages([HUMAN, ASKED, ToolMessage(large, tool_call_id="m1")])
    result = ChatGLMV().get_num_tokens_from_messages([HumanMessage([image(png((900, 700)))])])
    assert result < count < result + 200


def test_only_the_newest_two_pictures_are_sent_if_keep_pictures_is_2(emulator: Emulator) -> None:
    turns: list[AnyMessage] = [HUMAN]
    for number in range(4):
        call = {"name": "look", "args": {}, "id": f"l{number}", "type": "tool_call"}
        turns += [
            AIMessage("", tool_calls=[call]),
            ToolMessage([image(png((64 + number, 64)))], tool_call_id=f"l{number}"),
        ]
    answer = model(emulator, keep_pictures=2).invoke(turns)
    assert str(emulator.requests[-1].body).count("image_url'") == 2 * 2
    assert "2 of 4 pictures, the oldest, were left out: keep_pictures=2." in answer.response_metadata["notes"]
    model(emulator, keep_pictures=2).invoke(turns, keep_pictures=None)
    assert str(emulator.requests[-1].body).count("image_url'") == 2 * 4
    counted = [ChatGLMV(keep_pictures=most).get_num_tokens_from_messages(turns) for most in (1, None)]
    assert counted[0] < counted[1]


def test_the_error_for_the_option_extra_headers_suggests_default_headers() -> None:
    with pytest.raises(glmv.InvalidRequestError, match="default_headers"):
        ChatGLMV(extra_headers={"X-Team": "a"})


@pytest.mark.parametrize("value", [date(2026, 1, 2), uuid4(), b"x", {1}])
@pytest.mark.parametrize("in_content", [False, True])
def test_the_error_for_tool_call_arguments_that_cannot_be_json_names_the_tool(value: object, in_content: bool) -> None:
    call = {"name": "measure", "args": {"on": value}, "id": "m1", "type": "tool_call"}
    asked = AIMessage([call]) if in_content else AIMessage("", tool_calls=[call])
    for use in (ChatGLMV(api_key="a.b").invoke, ChatGLMV().get_num_tokens_from_messages):
        with pytest.raises(glmv.UnsupportedContent, match=r"messages\[1\].*arguments of 'measure'"):
            use([HUMAN, asked, RESULT])
