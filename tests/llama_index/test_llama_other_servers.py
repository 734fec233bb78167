"""Answers of servers other than the platform, through GLMV: the table of `tests/support/other_answers.py`."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from llama_index.core.base.llms.types import ChatMessage, ThinkingBlock, ToolCallBlock
from llama_index.core.tools import FunctionTool

import glmv
from llama_index_glmv import GLMV
from tests.support.other_answers import CASES, Case, chunk, events


def get_weather(city: str, days: int = 1) -> str:
    """Tell the weather of a city."""
    return f"{city}: fine for {days} days"


TOOL = FunctionTool.from_defaults(get_weather)


def llm_of(case: Case, **options: Any) -> GLMV:
    client = httpx.Client(transport=case.transport)
    connected = {"base_url": "http://127.0.0.1:1/v1", "api_key": "k", "dialect": "vllm", "max_retries": 0}
    return GLMV(http_client=client, **{**connected, **case.options, **options})


def arguments(block: ToolCallBlock) -> Any:
    return json.loads(block.tool_kwargs) if isinstance(block.tool_kwargs, str) else block.tool_kwargs


@pytest.mark.parametrize("name", CASES)
def test_text_and_reasoning_and_tool_calls_in_answers_of_other_servers_are_read(name: str) -> None:
    case = CASES[name]
    llm = llm_of(case)
    messages = [ChatMessage(content="hi")]
    match case.stream, case.tools:
        case True, True:
            *_, response = llm.stream_chat_with_tools([TOOL], chat_history=messages, allow_parallel_tool_calls=True)
        case True, False:
            *_, response = llm.stream_chat(messages)
        case False, True:
            response = llm.chat_with_tools([TOOL], chat_history=messages, allow_parallel_tool_calls=True)
        case _:
            response = llm.chat(messages)
    blocks = response.message.blocks
    assert (response.message.content or "") == case.text
    assert "".join(block.content or "" for block in blocks if isinstance(block, ThinkingBlock)) == case.reasoning
    calls = [block for block in blocks if isinstance(block, ToolCallBlock)]
    assert [(call.tool_name, arguments(call)) for call in calls] == list(case.calls)
    assert len({call.tool_call_id for call in calls}) == len(calls)


def test_two_tool_calls_with_the_same_id_are_both_returned_with_different_ids() -> None:
    llm = llm_of(CASES["one id for two calls"])
    *_, response = llm.stream_chat_with_tools([TOOL], user_msg="hi", allow_parallel_tool_calls=True)
    selected = llm.get_tool_calls_from_response(response)
    assert [call.tool_kwargs for call in selected] == [{"city": "A"}, {"city": "B"}]
    assert len({call.tool_id for call in selected}) == 2


def test_an_answer_whose_choice_has_no_message_raises_malformed_response() -> None:
    with pytest.raises(glmv.MalformedResponse, match="answer"):
        llm_of(Case(b'{"choices": [{"answer": "hello"}]}')).complete("hi")


def test_stored_responses_do_not_change_while_later_chunks_add_tool_calls() -> None:
    pieces = [
        {"index": 0, "id": "c", "function": {"name": "get_weather", "arguments": '{"city": "A"'}},
        {"index": 0, "function": {"arguments": "}"}},
        {"index": 1, "id": "d", "function": {"name": "get_weather", "arguments": "{}"}},
    ]
    case = Case(events(*(chunk({"tool_calls": [piece]}) for piece in pieces), chunk(None, "tool_calls")))
    result = list(llm_of(case).stream_chat_with_tools([TOOL], user_msg="hi", allow_parallel_tool_calls=True))
    results = [
        [block.tool_kwargs for block in each.message.blocks if isinstance(block, ToolCallBlock)] for each in result[:3]
    ]
    assert results == [['{"city": "A"'], [{"city": "A"}], [{"city": "A"}, {}]]
    assert [len(each.message.additional_kwargs["tool_calls"]) for each in result] == [1, 1, 2, 2]
