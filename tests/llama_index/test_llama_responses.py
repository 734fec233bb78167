"""Deltas and whole answers as LlamaIndex responses."""

from __future__ import annotations

import json

from llama_index.core.base.llms.types import ChatResponse, TextBlock, ThinkingBlock, ToolCallBlock

import glmv
from llama_index_glmv.responses import Answer, as_completion, whole

USAGE = glmv.Usage(prompt_tokens=7, completion_tokens=3, total_tokens=10, cached_tokens=2, reasoning_tokens=1)


def streamed(*deltas: glmv.Delta) -> list[ChatResponse]:
    answer = Answer()
    return [answer.add(delta) for delta in deltas]


def test_each_streamed_response_holds_the_whole_text_so_far() -> None:
    responses = streamed(glmv.Delta(text="a "), glmv.Delta(text="red"), glmv.Delta(last=True, finish_reason="stop"))
    assert [response.delta for response in responses] == ["a ", "red", ""]
    assert [response.message.content for response in responses] == ["a ", "a red", "a red"]


def test_reasoning_is_a_thinking_block_and_each_new_part_is_in_thinking_delta() -> None:
    responses = streamed(glmv.Delta(reasoning="h"), glmv.Delta(reasoning="m"), glmv.Delta(text="red"))
    assert [response.additional_kwargs.get("thinking_delta") for response in responses] == ["h", "m", None]
    assert [response.delta for response in responses] == ["", "", "red"]
    assert responses[-1].message.blocks == [ThinkingBlock(content="hm"), TextBlock(text="red")]


def test_earlier_chunks_do_not_change_when_later_ones_arrive() -> None:
    first, second = streamed(glmv.Delta(text="a", reasoning="x"), glmv.Delta(text="b", reasoning="y"))
    assert first.message.blocks == [ThinkingBlock(content="x"), TextBlock(text="a")]
    assert not {id(block) for block in first.message.blocks} & {id(block) for block in second.message.blocks}


def test_several_tool_calls_of_one_chunk_are_all_kept() -> None:
    pieces = [glmv.ToolCallDelta(0, "c1", "zoom", '{"at": 1}'), glmv.ToolCallDelta(1, "c2", "crop", "{}")]
    (response,) = streamed(glmv.Delta(tool_calls=pieces))
    assert response.message.blocks == [
        ToolCallBlock(tool_call_id="c1", tool_name="zoom", tool_kwargs={"at": 1}),
        ToolCallBlock(tool_call_id="c2", tool_name="crop", tool_kwargs={}),
    ]
    names = [call["function"]["name"] for call in response.message.additional_kwargs["tool_calls"]]
    assert names == ["zoom", "crop"]


def test_tool_arguments_are_a_string_until_complete_and_then_a_dict() -> None:
    responses = streamed(
        glmv.Delta(tool_calls=[glmv.ToolCallDelta(0, "c1", "zoom", '{"at"')]),
        glmv.Delta(tool_calls=[glmv.ToolCallDelta(0, arguments=": 1}")]),
    )
    blocks = [response.message.blocks[-1] for response in responses]
    assert [block.tool_kwargs for block in blocks if isinstance(block, ToolCallBlock)] == ['{"at"', {"at": 1}]


def test_the_last_chunk_has_usage_in_raw_and_in_additional_kwargs() -> None:
    last = streamed(glmv.Delta(text="x"), glmv.Delta(last=True, finish_reason="stop", usage=USAGE))[-1]
    assert last.raw["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    assert last.additional_kwargs["prompt_tokens"] == 7
    assert last.additional_kwargs["cached_tokens"] == 2
    assert last.additional_kwargs["finish_reason"] == "stop"


def test_the_raw_data_of_the_server_is_passed_on_with_unknown_usage_fields() -> None:
    raw = {"usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "odd": 1}}
    (last,) = streamed(glmv.Delta(last=True, usage=USAGE, raw=raw))
    assert last.raw == raw


def test_reasoning_tokens_are_counted_on_the_thinking_block() -> None:
    response = whole(glmv.Completion(text="red", reasoning="hm", usage=USAGE))
    assert response.message.blocks[0] == ThinkingBlock(content="hm", num_tokens=1)


def test_a_whole_answer_has_the_message_of_the_last_response_of_a_stream() -> None:
    completion = glmv.Completion(text="red", reasoning="hm", usage=USAGE, finish_reason="stop", id="1")
    last = streamed(
        glmv.Delta(reasoning="hm"),
        glmv.Delta(text="red"),
        glmv.Delta(last=True, usage=USAGE, finish_reason="stop", id="1"),
    )[-1]
    response = whole(completion)
    assert response.delta is None
    assert response.message == last.message
    assert response.additional_kwargs == last.additional_kwargs


def test_the_content_of_an_answer_without_text_is_an_empty_string() -> None:
    assert whole(glmv.Completion(finish_reason="length")).message.content == ""


def test_notes_and_boxes_in_additional_kwargs_can_be_written_as_json() -> None:
    box = glmv.Box((1, 2, 3, 4))
    response = whole(glmv.Completion(text="x", notes=("fitted",), boxes=(box,), usage=USAGE))
    assert response.additional_kwargs["notes"] == ["fitted"]
    assert json.loads(json.dumps(response.additional_kwargs))["boxes"][0]["grid"] == [1, 2, 3, 4]


def test_a_completion_has_the_text_and_delta_and_raw_data_of_its_chat_response() -> None:
    chat = streamed(glmv.Delta(text="a "), glmv.Delta(text="red", raw={"id": "1"}))[-1]
    completion = as_completion(chat)
    assert (completion.text, completion.delta, completion.raw) == ("a red", "red", {"id": "1"})
