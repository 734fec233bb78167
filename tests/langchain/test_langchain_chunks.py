"""Deltas become chunks that LangChain merges correctly, in output versions v0 and v1 and in events."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.load import dumps
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

import glmv
from langchain_glmv.chunks import BROKEN, ChunkMapper

# langchain-core calls its third version of events a beta.
pytestmark = pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")

Call = glmv.ToolCallDelta
LAST = {
    "last": True,
    "usage": glmv.Usage(20, 5, 25, cached_tokens=4, reasoning_tokens=2),
    "id": "emu-1",
    "model": "glm-4.6v",
    "request_id": "req-123",
    "created": 1_790_000_000,
}


def last(finish_reason: str = "stop", **facts: Any) -> glmv.Delta:
    return glmv.Delta(**{**LAST, "finish_reason": finish_reason, **facts})


def chunks(*deltas: glmv.Delta) -> list[AIMessageChunk]:
    mapper = ChunkMapper()
    return [chunk for delta in deltas if (chunk := mapper.feed(delta)) is not None]


def test_text_chunks_equal_chunks_from_the_constructor_and_share_no_state() -> None:
    result = AIMessageChunk(content="word", response_metadata={"model_provider": "glmv"})
    one, other = chunks(glmv.Delta("word"), glmv.Delta("word"))
    for chunk in (one, other):
        assert chunk == result
        assert vars(chunk) == vars(result)
        assert chunk.model_fields_set == result.model_fields_set
        assert dumps(chunk) == dumps(result)
    for name, value in vars(one).items():
        if isinstance(value, list | dict):
            assert value is not getattr(other, name)
    one.additional_kwargs["seen"] = one.tool_calls.append({"name": "f", "args": {}, "id": "1"})
    assert other == result == chunks(glmv.Delta("word"))[0]


def merged(*deltas: glmv.Delta) -> AIMessageChunk:
    first, *rest = chunks(*deltas)
    whole = first.__add__(rest)
    assert isinstance(whole, AIMessageChunk)
    return whole


class Replay(BaseChatModel):
    """A model that replays deltas, so that the tests use LangChain core's streaming."""

    deltas: Sequence[glmv.Delta]

    @property
    def _llm_type(self) -> str:
        return "replay"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for chunk in chunks(*self.deltas):
            yield ChatGenerationChunk(message=chunk)


THINK_SPEAK_CALL = (
    glmv.Delta(reasoning="Let me "),
    glmv.Delta(reasoning="see."),
    glmv.Delta(text="I "),
    glmv.Delta(text="look."),
    glmv.Delta(tool_calls=[Call(0, "c1", "look", '{"at": "sky"}'), Call(1, "c2", "look", '{"at": ')]),
    glmv.Delta(tool_calls=[Call(1, arguments='"sea"}')]),
    glmv.Delta(tool_calls=[Call(2, "c3", "rest")]),
    last("tool_calls"),
)
BLOCKS = [
    ("reasoning", "Let me see."),
    ("text", "I look."),
    ("tool_call", ("c1", "look", {"at": "sky"})),
    ("tool_call", ("c2", "look", {"at": "sea"})),
    ("tool_call", ("c3", "rest", {})),
]


def comparable(blocks: Sequence[Any]) -> list[Any]:
    return [
        (
            block["type"],
            (block["id"], block["name"], block["args"]) if block["type"] == "tool_call" else block[block["type"]],
        )
        for block in blocks
    ]


def test_merging_chunks_does_not_double_the_metadata() -> None:
    whole = merged(glmv.Delta("a", id="emu-1", model="glm-4.6v"), glmv.Delta("b", id="emu-1", model="glm-4.6v"), last())
    assert whole.content == "ab"
    assert whole.response_metadata == {
        "model_provider": "glmv",
        "model_name": "glm-4.6v",
        "finish_reason": "stop",
        "id": "emu-1",
        "request_id": "req-123",
        "created": 1_790_000_000,
    }
    assert whole.usage_metadata == {
        "input_tokens": 20,
        "output_tokens": 5,
        "total_tokens": 25,
        "input_token_details": {"cache_read": 4},
        "output_token_details": {"reasoning": 2},
    }


def test_only_the_last_chunk_has_chunk_position_last() -> None:
    assert [chunk.chunk_position for chunk in chunks(glmv.Delta("a"), glmv.Delta("b"), last())] == [None, None, "last"]


def test_total_tokens_of_the_server_are_passed_on_unchanged() -> None:
    whole = merged(last(usage=glmv.Usage(20, 5, 99)))
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["total_tokens"] == 99


def test_a_whole_answer_and_its_stream_give_the_same_message() -> None:
    adder = glmv.Accumulator()
    for delta in THINK_SPEAK_CALL:
        adder.add(delta)
    assert merged(adder.completion().as_delta()) == merged(*THINK_SPEAK_CALL)


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_text_and_reasoning_and_tool_calls_are_separate_blocks_in_a_stream(version: str) -> None:
    model = Replay(deltas=THINK_SPEAK_CALL, output_version=version)
    first, *rest = model.stream("Look.")
    whole = first.__add__(rest)
    assert comparable(whole.content_blocks) == BLOCKS
    assert [call["id"] for call in whole.tool_calls] == ["c1", "c2", "c3"]


def test_text_and_reasoning_and_tool_calls_are_separate_blocks_in_stream_events() -> None:
    stream = Replay(deltas=THINK_SPEAK_CALL).stream_events("Look.", version="v3")
    assert comparable(stream.output.content_blocks) == BLOCKS


def test_text_and_reasoning_and_tool_calls_are_separate_blocks_in_a_whole_message() -> None:
    message = AIMessage(
        "I look.",
        additional_kwargs={"reasoning_content": "Let me see."},
        tool_calls=[{"id": "c1", "name": "look", "args": {"at": "sky"}}],
        response_metadata={"model_provider": "glmv"},
    )
    assert comparable(message.content_blocks) == BLOCKS[:3]


def test_merged_chunks_have_the_same_content_blocks_as_the_whole_answer() -> None:
    adder = glmv.Accumulator()
    for delta in THINK_SPEAK_CALL:
        adder.add(delta)
    whole = ChunkMapper().whole(adder.completion())
    assert merged(*THINK_SPEAK_CALL).content_blocks == whole.content_blocks


def test_content_blocks_of_a_message_whose_content_is_a_list_equal_that_list() -> None:
    message = AIMessage([{"type": "text", "text": "hi"}], response_metadata={"model_provider": "glmv"})
    assert message.content_blocks == [{"type": "text", "text": "hi"}]


def test_a_tool_call_appears_only_with_complete_arguments() -> None:
    results = [
        [call["args"] for call in chunk.tool_call_chunks]
        for chunk in chunks(
            glmv.Delta(tool_calls=[Call(0, "c1", "f", '{"a": {"b": 1}')]),
            glmv.Delta(tool_calls=[Call(0, arguments="}")]),
            last(),
        )
    ]
    assert results == [['{"a": {"b": 1}}'], []]


def test_a_tool_call_cut_by_the_token_limit_is_listed_in_cut_tool_calls() -> None:
    whole = merged(
        glmv.Delta(tool_calls=[Call(0, "c1", "list", "{}"), Call(1, "c2", "delete", '{"path": "/home/us')]),
        last("length"),
    )
    assert [call["name"] for call in whole.tool_calls] == ["list"]
    assert whole.invalid_tool_calls == []
    assert whole.response_metadata["cut_tool_calls"] == [{"id": "c2", "name": "delete", "args": '{"path": "/home/us'}]


@pytest.mark.parametrize("arguments", ['{"path": "/home/us', "{path: 1}", '["a"]', "null", '{"x": 1}}', "{'x': 1}"])
def test_broken_arguments_of_a_tool_call_are_kept_as_text_in_invalid_tool_calls(arguments: str) -> None:
    whole = merged(glmv.Delta(tool_calls=[Call(0, "c1", "delete", arguments)]), last("tool_calls"))
    assert whole.tool_calls == []
    [invalid] = whole.invalid_tool_calls
    assert (invalid["id"], invalid["name"]) == ("c1", "delete")
    assert (invalid["args"] or "").removeprefix(BROKEN) == arguments


def test_stream_events_keeps_a_call_with_broken_arguments_in_invalid_tool_calls() -> None:
    deltas = (glmv.Delta(tool_calls=[Call(0, "c1", "delete", '{"path": "/home/us')]), last("tool_calls"))
    output = Replay(deltas=deltas).stream_events("Delete.", version="v3").output
    assert output.tool_calls == []
    assert [call["name"] for call in output.invalid_tool_calls] == ["delete"]


def test_boxes_and_notes_are_lists_in_the_metadata_of_the_last_chunk() -> None:
    whole = merged(glmv.Delta("a"), last(boxes=(glmv.Box((1, 2, 3, 4), (10, 20, 30, 40), 0),), notes=("fitted",)))
    assert whole.response_metadata["boxes"] == [{"grid": [1, 2, 3, 4], "pixels": [10, 20, 30, 40], "image": 0}]
    assert whole.response_metadata["notes"] == ["fitted"]


def test_an_answer_without_usage_has_no_usage_metadata() -> None:
    assert merged(last(usage=None)).usage_metadata is None


def test_an_answer_without_reasoning_has_no_empty_reasoning_block() -> None:
    whole = merged(glmv.Delta("a"), last())
    assert whole.additional_kwargs == {}
    assert [block["type"] for block in whole.content_blocks] == ["text"]
