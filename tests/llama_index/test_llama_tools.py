"""Requests with tools, and the tool selections of an answer."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, TextBlock, ToolCallBlock, VideoBlock
from llama_index.core.schema import ImageNode, NodeWithScore, TextNode
from llama_index.core.tools import FunctionTool
from PIL import Image as Pillow

import glmv
from glmv_emulator import Emulator
from llama_index_glmv import GLMV


def zoom(at: int) -> str:
    """Look closer."""
    return f"at {at}"


TOOL = FunctionTool.from_defaults(zoom)


def prepared(**given: Any) -> dict[str, Any]:
    return GLMV()._prepare_chat_with_tools([TOOL], **given)


def test_a_tool_is_sent_as_a_function_with_name_and_parameters() -> None:
    (tool,) = prepared(user_msg="hi")["tools"]
    assert tool["type"] == "function"
    assert tool["function"]["name"] == "zoom"
    assert tool["function"]["parameters"]["required"] == ["at"]


def test_a_tool_description_of_2000_characters_is_sent_whole() -> None:
    tool = FunctionTool.from_defaults(zoom, description="x" * 2000)
    (given,) = GLMV()._prepare_chat_with_tools([tool], user_msg="hi")["tools"]
    assert given["function"]["description"] == "x" * 2000


def test_preparing_a_call_with_tools_does_not_change_the_history() -> None:
    history = [ChatMessage(content="before")]
    messages = prepared(user_msg="now", chat_history=history)["messages"]
    assert [message.content for message in messages] == ["before", "now"]
    assert [message.content for message in history] == ["before"]


def test_the_argument_user_msg_can_be_a_chat_message_with_a_picture() -> None:
    message = ChatMessage(blocks=[TextBlock(text="see"), ImageBlock(url="https://example.com/a.png")])
    assert prepared(user_msg=message)["messages"] == [message]


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ({}, None),
        ({"tool_required": True}, "required"),
        ({"tool_required": True, "tool_choice": "zoom"}, "zoom"),
        ({"tool_choice": "none"}, "none"),
    ],
)
def test_tool_required_sets_tool_choice_to_required_unless_the_caller_sets_it(
    given: dict[str, Any], choice: str | None
) -> None:
    assert prepared(user_msg="hi", **given).get("tool_choice") == choice


def test_parallel_tool_calls_are_switched_off_unless_the_caller_allows_them() -> None:
    assert prepared(user_msg="hi")["parallel_tool_calls"] is False
    assert "parallel_tool_calls" not in prepared(user_msg="hi", allow_parallel_tool_calls=True)


def test_without_tools_no_tool_fields_are_sent() -> None:
    arguments = GLMV()._prepare_chat_with_tools([], user_msg="hi", tool_required=True)
    assert set(arguments) == {"messages"}


def response(*blocks: ToolCallBlock | TextBlock, over: bool = True, **extra: Any) -> ChatResponse:
    message = ChatMessage(role="assistant", blocks=list(blocks))
    message.additional_kwargs = extra
    return ChatResponse(message=message, additional_kwargs={"finish_reason": "tool_calls"} if over else {})


def selected(answer: ChatResponse) -> list[tuple[str, str, dict[str, Any]]]:
    calls = GLMV().get_tool_calls_from_response(answer, error_on_no_tool_call=False)
    return [(call.tool_id, call.tool_name, call.tool_kwargs) for call in calls]


def test_every_tool_call_of_an_answer_becomes_a_tool_selection() -> None:
    blocks = [ToolCallBlock(tool_call_id=f"c{at}", tool_name="zoom", tool_kwargs={"at": at}) for at in (1, 2)]
    assert selected(response(*blocks)) == [("c1", "zoom", {"at": 1}), ("c2", "zoom", {"at": 2})]


def test_a_tool_call_without_an_id_gets_an_empty_id() -> None:
    assert selected(response(ToolCallBlock(tool_name="zoom"))) == [("", "zoom", {})]


@pytest.mark.parametrize("calls", [None, [], "none", [None], [{"function": None}]])
def test_an_answer_without_tool_calls_gives_no_tool_selection(calls: Any) -> None:
    assert selected(response(TextBlock(text="red"), tool_calls=calls)) == []


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c1", "function": {"name": "zoom", "arguments": '{"at": 1}'}},
        {"id": "c1", "function": {"name": "zoom", "arguments": {"at": 1}}},
        SimpleNamespace(id="c1", function=SimpleNamespace(name="zoom", arguments='{"at": 1}')),
    ],
)
def test_tool_calls_in_additional_kwargs_become_tool_selections(call: object) -> None:
    assert selected(response(tool_calls=[call])) == [("c1", "zoom", {"at": 1})]


def test_the_tool_selection_in_a_chunk_has_the_arguments_received_so_far() -> None:
    block = ToolCallBlock(tool_call_id="c1", tool_name="type", tool_kwargs='{"text": "hel')
    assert selected(response(block, over=False)) == [("c1", "type", {"text": "hel"})]


@pytest.mark.parametrize("arguments", ['{"path": "/ho', "[1]", "not json", '"text"'])
def test_invalid_arguments_of_a_finished_answer_become_an_empty_dict(arguments: str) -> None:
    block = ToolCallBlock(tool_call_id="c1", tool_name="remove", tool_kwargs=arguments)
    assert selected(response(block)) == [("c1", "remove", {})]


def test_an_answer_that_is_only_text_raises_in_get_tool_calls_from_response() -> None:
    with pytest.raises(ValueError, match="the answer has only text: 'red'"):
        GLMV().get_tool_calls_from_response(response(TextBlock(text="red")))


def test_only_the_first_tool_call_is_kept_if_parallel_calls_are_not_allowed() -> None:
    blocks = [TextBlock(text="both"), *(ToolCallBlock(tool_name=name) for name in ("zoom", "crop"))]
    calls = [{"function": {"name": name, "arguments": "{}"}} for name in ("zoom", "crop")]
    answer = response(*blocks, tool_calls=calls)
    result = GLMV()._validate_chat_with_tools_response(answer, [TOOL], allow_parallel_tool_calls=False)
    assert result.message.blocks == blocks[:2]
    assert result.message.additional_kwargs["tool_calls"] == calls[:1]
    assert len(answer.message.blocks) == 3


# ---- results


def tool_message(result: Any) -> ChatMessage:
    """The tool message that an agent makes from what a tool returned."""
    output = FunctionTool.from_defaults(lambda: result, name="look", description="Look.")()
    return ChatMessage(role="tool", blocks=output.blocks, additional_kwargs={"tool_call_id": "c"})


def conversation(result: Any) -> list[ChatMessage]:
    call = ToolCallBlock(tool_call_id="c", tool_name="look", tool_kwargs={})
    return [ChatMessage("look"), ChatMessage(role="assistant", blocks=[call]), tool_message(result)]


KINDS: dict[str, Callable[[bytes], Any]] = {
    "a text and a block": lambda red: ["Here it is:", ImageBlock(image=red)],
    "a block in a dict": lambda red: {"picture": ImageBlock(image=red)},
    "a tuple of blocks": lambda red: (ImageBlock(image=red), ImageBlock(image=red)),
    "a text and a video": lambda red: ["x", VideoBlock(url="https://example.com/a.mp4")],
    "a picture of ours": glmv.Image.from_bytes,
    "a Pillow picture": lambda red: Pillow.open(io.BytesIO(red)),
    "a list of Pillow pictures": lambda red: [Pillow.new("L", (3, 3))],
    "bytes": lambda red: red,
    "an open file": io.BytesIO,
    "a link of ours": lambda red: glmv.Image.from_url("https://example.com/a.png?at=1"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_tool_result_with_the_repr_of_a_picture_is_refused_with_advice(
    kind: str, red: bytes, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"messages\[2\] \(tool\).*return \[TextBlock") as refused:
        connect().chat(conversation(KINDS[kind](red)))
    assert len(str(refused.value)) < 500
    assert not emu.requests


def test_the_repr_of_a_picture_is_left_out_if_on_unsupported_is_warn(
    red: bytes, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("Fine.")
    with pytest.warns(UserWarning, match="ImageBlock"):
        response = connect(on_unsupported="warn").chat(conversation(["x", ImageBlock(image=red)]))
    assert "left out" in response.additional_kwargs["notes"][0]


@pytest.mark.parametrize(
    "result",
    [
        "An ImageBlock(path) is made so.",
        "Image(https://example.com/a) is one",
        ["one", 2],
        {"a": b"bytes"},
        "<PIL>",
        "Image(1) of 3",
        [1, "b'GIF"],
    ],
)
def test_a_tool_text_that_is_not_the_repr_of_a_picture_is_sent_unchanged(
    result: Any, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("Fine.")
    connect().chat(conversation(result))
    assert emu.requests[0].body["messages"][-1]["content"] == str(result)


@pytest.mark.parametrize("kind", ["block", "list"])
def test_the_picture_in_a_block_that_a_tool_returns_is_sent(
    kind: str, red: bytes, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("Fine.")
    block = ImageBlock(image=red)
    connect().chat(conversation(block if kind == "block" else [TextBlock(text="Here:"), block]))
    parts = emu.requests[0].body["messages"][-1]["content"]
    assert [part["type"] for part in parts].count("image_url") == 1


def test_a_tool_text_of_200_000_characters_is_read_in_less_than_20_seconds(
    emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("Fine.")
    before = time.process_time()
    connect().chat(conversation("{" + "a" * 200_000))
    assert time.process_time() - before < 20


def test_arguments_that_are_json_in_a_string_are_read() -> None:
    block = ToolCallBlock(tool_call_id="c1", tool_name="zoom", tool_kwargs=json.dumps('{"at": 5}'))
    assert selected(response(block)) == [("c1", "zoom", {"at": 5})]
    beginning = ToolCallBlock(tool_call_id="c1", tool_name="zoom", tool_kwargs=json.dumps('{"at": 5}')[:6])
    assert selected(response(beginning, over=False)) == [("c1", "zoom", {})]


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [('{"path": "/ho', True), ("[1]", True), ("{'n': 5}", True), ("", False), ("null", False), ('{"n": 5}', False)],
)
def test_a_tool_call_with_invalid_arguments_is_logged(
    arguments: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    selected(response(ToolCallBlock(tool_call_id="c1", tool_name="remove", tool_kwargs=arguments)))
    assert (["remove" in record.getMessage() for record in caplog.records] == [True]) is warned
    assert "/ho" not in caplog.text


def test_a_note_names_the_image_node_in_a_list_that_a_tool_returns(
    red: bytes, tmp_path: Path, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(red)
    emu.say("Fine.", "Fine.")
    found = [NodeWithScore(node=ImageNode(image_path=str(path), text="a red square"), score=0.5)]
    result = connect().chat(conversation(found))
    assert "messages[2] (tool): the text has the repr of ImageNode" in result.additional_kwargs["notes"][0]
    assert "a red square" in emu.requests[0].body["messages"][-1]["content"]
    found = [NodeWithScore(node=TextNode(text="a red square"), score=0.5)]
    assert "notes" not in connect().chat(conversation(found)).additional_kwargs


@pytest.mark.parametrize("given", [{"type": "image_url"}, {"image": b"x"}], ids=["part", "other"])
def test_the_error_for_a_dict_as_image_documents_names_the_type_dict(given: Any, connect: Callable[..., GLMV]) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"image_documents\[0\].*got dict"):
        connect().complete("What?", image_documents=given)


def test_a_memoryview_as_image_documents_is_one_picture(
    red: bytes, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("Fine.")
    connect().complete("What?", image_documents=memoryview(red))  # type: ignore[arg-type]
    assert [part["type"] for part in emu.requests[0].body["messages"][0]["content"]] == ["image_url", "text"]
