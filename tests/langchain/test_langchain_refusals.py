"""Content withdrawn by the platform becomes LangChain's refusal: as a block, as an error, and for its middleware."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import httpx
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelFallbackMiddleware, ModelRefusalMiddleware, ModelRetryMiddleware
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core import exceptions
from langchain_core.exceptions import ModelInvalidRequestError, ModelRefusalError
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

import glmv
from glmv_emulator import Emulator, Reply
from langchain_glmv import ChatGLMV, chunks, errors
from tests.support.scripted import only_scripted

WAYS = ["invoke", "ainvoke", "stream", "astream"]
JUDGED = [{"role": "assistant", "level": 2}]


class Recipe(BaseModel):
    """A dish."""

    dish: str


@pytest.fixture
def emu(emulator: Emulator) -> Emulator:
    return only_scripted(emulator)


def connect(emulator: Emulator, **options: Any) -> ChatGLMV:
    settings: dict[str, Any] = {"model": "glm-4.6v", "max_retries": 0, "on_sensitive": "return", **options}
    return ChatGLMV(base_url=emulator.base_url, api_key=emulator.api_key, **settings)


def withdrawn(text: str = "First you", reason: str = "sensitive") -> Reply:
    return Reply(text, finish_reason=reason)


def ask(runnable: Any, way: str, question: Any = "How?") -> Any:
    """The answer of an entry point: the sum of a message stream, the last item of other streams."""

    async def streamed() -> list[Any]:
        return [part async for part in runnable.astream(question)]

    match way:
        case "invoke":
            return runnable.invoke(question)
        case "ainvoke":
            return asyncio.run(runnable.ainvoke(question))
        case _:
            parts = asyncio.run(streamed()) if way == "astream" else list(runnable.stream(question))
            if isinstance(parts[0], AIMessage):
                return parts[0].__add__(parts[1:]) if parts[1:] else parts[0]  # type: ignore[operator]  # chunks
            return parts[-1]


def kinds(message: AIMessage) -> list[str]:
    return [block["type"] for block in message.content_blocks]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reason", ["sensitive", "content_filter"])
@pytest.mark.parametrize("text", ["First you", ""])
def test_a_withdrawn_answer_has_a_refusal_block_after_its_remaining_text(
    text: str, reason: str, way: str, emu: Emulator
) -> None:
    emu.say(withdrawn(text, reason))
    message = ask(connect(emu), way)
    assert kinds(message) == ["text", "refusal"][not text :]
    refusal: Any = message.content_blocks[-1]
    assert (refusal["refusal"], refusal["extras"]["finish_reason"]) == ("", reason)
    assert message.response_metadata["finish_reason"] == reason


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_block_in_v1_content_is_left_out_of_the_next_request(way: str, emu: Emulator) -> None:
    emu.say(withdrawn(), "Then ask something else.")
    model = connect(emu, output_version="v1")
    message = ask(model, way)
    assert [block["type"] for block in message.content] == ["text", "refusal"]
    model.invoke([HumanMessage("How?"), message, HumanMessage("Why not?")])
    assert [one["content"] for one in emu.requests[1].body["messages"]] == ["How?", "First you", "Why not?"]


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_answers_that_are_not_withdrawn_have_no_refusal_block(reason: str, emu: Emulator) -> None:
    emu.say(Reply("I cannot help with that.", finish_reason=reason))
    assert kinds(connect(emu).invoke("How?")) == ["text"]


@pytest.mark.parametrize("way", WAYS)
def test_with_an_older_langchain_core_a_withdrawn_answer_has_no_refusal_block(
    way: str, emu: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "HAS_REFUSALS", False)
    emu.say(withdrawn())
    message = ask(connect(emu), way)
    assert kinds(message) == ["text"]
    assert message.response_metadata["finish_reason"] == "sensitive"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("inside", [False, True], ids=["whole", "streamed inside"])
def test_an_agent_with_refusal_middleware_raises_if_the_answer_is_withdrawn(
    inside: bool, way: str, emu: Emulator
) -> None:
    emu.say(withdrawn())
    agent = create_agent(connect(emu, streaming=inside), [], middleware=[ModelRefusalMiddleware()])
    with pytest.raises(ModelRefusalError) as refused:
        ask(agent, way, {"messages": [HumanMessage("How?")]})
    assert isinstance(refused.value.raw_message, AIMessage)
    assert refused.value.raw_message.text == "First you"


@pytest.mark.parametrize("strategy", [ProviderStrategy(Recipe), ToolStrategy(Recipe)])
def test_the_refusal_middleware_raises_if_structured_output_is_withdrawn(strategy: Any, emu: Emulator) -> None:
    emu.say(withdrawn())
    agent: Any = create_agent(connect(emu), [], response_format=strategy, middleware=[ModelRefusalMiddleware()])
    with pytest.raises(ModelRefusalError):
        agent.invoke({"messages": [HumanMessage("How?")]})
    assert len(emu.requests) == 1


@pytest.mark.parametrize("on_sensitive", ["return", "raise"])
def test_a_refusal_is_not_retried_and_the_fallback_model_answers(on_sensitive: str, emu: Emulator) -> None:
    emu.say(withdrawn(), "Ask a cook.")
    model, other = connect(emu, on_sensitive=on_sensitive), connect(emu)
    retry = ModelRetryMiddleware(max_retries=3, initial_delay=0, on_failure="error")
    agent = create_agent(model, [], middleware=[ModelFallbackMiddleware(other), retry, ModelRefusalMiddleware()])
    assert agent.invoke({"messages": [HumanMessage("How?")]})["messages"][-1].text == "Ask a cook."
    assert len(emu.requests) == 2


@pytest.mark.parametrize("way", WAYS)
def test_a_withdrawn_answer_raises_model_refusal_error_if_on_sensitive_is_raise(way: str, emu: Emulator) -> None:
    emu.say(withdrawn())
    with pytest.raises(ModelRefusalError) as refused:
        ask(connect(emu, on_sensitive="raise"), way)
    error: Any = refused.value
    assert isinstance(error, errors.ContentFilterError)
    assert isinstance(error, glmv.ContentFilterError)
    assert error.is_retryable is False
    assert kinds(error.raw_message) == ["text", "refusal"]
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.raw_message.text) == (type(error), "First you")


REFUSED: dict[str, dict[str, Any]] = {
    "role user": {"error": {"code": "1301", "message": "unsafe"}, "contentFilter": [{"role": "user", "level": 0}]},
    "no role": {"error": {"code": "1301", "message": "unsafe"}},
    "policy": {"error": {"code": "1300", "message": "unsafe"}},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
def test_a_refused_prompt_raises_invalid_request_and_not_model_refusal(body: dict[str, Any], way: str) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json=body)

    transport = httpx.MockTransport(answer)
    model = ChatGLMV(
        model="glm-4.6v", api_key="an-id.a-secret", max_retries=0, http_client=httpx.Client(transport=transport),
        http_async_client=httpx.AsyncClient(transport=transport),
    )  # fmt: skip
    with pytest.raises(ModelInvalidRequestError) as refused:
        ask(model, way)
    assert isinstance(refused.value, glmv.ContentFilterError)
    assert not isinstance(refused.value, ModelRefusalError)


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
@pytest.mark.parametrize("on_sensitive", ["return", "raise"])
@pytest.mark.parametrize("way", WAYS)
def test_a_withdrawn_answer_in_structured_output_raises_model_refusal_error(
    way: str, on_sensitive: Any, method: Any, emu: Emulator
) -> None:
    emu.say(withdrawn(json.dumps({"dish": "soup"})))
    with pytest.raises(ModelRefusalError):
        ask(connect(emu, on_sensitive=on_sensitive).with_structured_output(Recipe, method=method), way)
    assert len(emu.requests) == 1


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_with_include_raw_the_refusal_error_and_the_withdrawn_message_are_returned(way: str, emu: Emulator) -> None:
    emu.say(withdrawn(json.dumps({"dish": "soup"})))
    outcome = ask(connect(emu).with_structured_output(Recipe, include_raw=True), way)
    assert (outcome["parsed"], outcome["raw"].response_metadata["finish_reason"]) == (None, "sensitive")
    assert isinstance(outcome["parsing_error"], ModelRefusalError)
    assert outcome["parsing_error"].raw_message is outcome["raw"]


def test_content_withdrawn_error_is_a_model_refusal_error_if_langchain_core_has_it() -> None:
    assert issubclass(errors.ContentWithdrawnError, exceptions.ModelRefusalError) is errors.HAS_REFUSALS
