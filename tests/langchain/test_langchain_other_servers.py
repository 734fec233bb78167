"""Answers of servers other than the platform, through ChatGLMV: the table of `tests/support/other_answers.py`."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage
from pydantic import BaseModel

import glmv
from langchain_glmv import ChatGLMV
from tests.support.other_answers import CASES, TOOLS, Case, chunk, events, whole


def model_of(case: Case, **options: Any) -> ChatGLMV:
    client = httpx.Client(transport=case.transport)
    connected = {"base_url": "http://127.0.0.1:1/v1", "api_key": "k", "dialect": "vllm", "max_retries": 0}
    return ChatGLMV(http_client=client, **{**connected, **case.options, **options})


@pytest.mark.parametrize("name", CASES)
def test_text_and_reasoning_and_tool_calls_in_answers_of_other_servers_are_read(name: str) -> None:
    case = CASES[name]
    model = model_of(case)
    runnable: Any = model.bind_tools(TOOLS) if case.tools else model
    message: Any = None
    if case.stream:
        for piece in runnable.stream("hi"):
            message = piece if message is None else message + piece
    else:
        message = runnable.invoke("hi")
    assert isinstance(message, AIMessage)
    assert message.content == case.text
    assert message.additional_kwargs.get("reasoning_content", "") == case.reasoning
    assert [(call["name"], call["args"]) for call in message.tool_calls] == list(case.calls)
    assert message.invalid_tool_calls == []
    ids = [call["id"] for call in message.tool_calls]
    assert len(set(ids)) == len(ids)


class Size(BaseModel):
    """A size."""

    width: int
    height: int


DRAFT = 'Maybe {"width": 1, "height": 1}? No.</think>{"width": 3, "height": 4}'


@pytest.fixture(params=["invoke", "stream"])
def last(request: pytest.FixtureRequest) -> Any:
    def result(model: Any) -> Any:
        return model.invoke("hi") if request.param == "invoke" else list(model.stream("hi"))[-1]

    result.stream = request.param == "stream"  # type: ignore[attr-defined]  # a function may have one
    return result


@pytest.mark.parametrize("dialect", ["vllm", "openai"])
def test_a_structured_answer_is_not_taken_from_the_reasoning(last: Any, dialect: str) -> None:
    pieces = [chunk({"content": each}) for each in DRAFT]
    body = events(*pieces, chunk(None, "stop")) if last.stream else json.dumps(whole({"content": DRAFT})).encode()
    model = model_of(Case(body), dialect=dialect)
    assert last(model.with_structured_output(Size)) == Size(width=3, height=4)


def test_an_answer_whose_choice_has_no_message_raises_malformed_response() -> None:
    with pytest.raises(glmv.MalformedResponse, match="answer"):
        model_of(Case(b'{"choices": [{"answer": "hello"}]}')).invoke("hi")


def test_all_3000_tool_calls_of_an_answer_are_read(last: Any) -> None:
    calls = [
        {"index": at, "id": f"c{at}", "function": {"name": "get_weather", "arguments": '{"city": "A"}'}}
        for at in range(3000)
    ]
    body = events(*(chunk({"tool_calls": [call]}) for call in calls), chunk(None, "tool_calls"))
    if not last.stream:
        message = last(model_of(Case(body)).bind_tools(TOOLS))
        assert len(message.tool_calls) == 3000
    else:
        assert sum(len(piece.tool_calls) for piece in model_of(Case(body)).bind_tools(TOOLS).stream("hi")) == 3000
