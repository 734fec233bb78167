"""Agents that see: they get pictures from users and from tools."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context

import glmv
from glmv_emulator import Emulator, Reply, ToolCall
from llama_index_glmv import GLMV
from tests.support.fake_server import DONE, Server, chunk

# Agents use deprecated parts of pydantic and of the workflows below them.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(add)


async def test_a_screenshot_returned_by_a_tool_reaches_the_model(
    emu: Emulator, connect: Callable[..., GLMV], red: bytes, as_kept: Callable[[bytes], str]
) -> None:
    def shoot() -> list[TextBlock | ImageBlock]:
        """Take a screenshot."""
        return [TextBlock(text="taken"), ImageBlock(image=red)]

    emu.call("shoot")
    emu.say("a red page")
    assert str(await FunctionAgent(tools=[shoot], llm=connect()).run("What is on the screen?")) == "a red page"
    *_, asked, answered, pictures = emu.requests[1].body["messages"]
    (call,) = asked["tool_calls"]
    assert call["id"].startswith("call_emu-")
    assert call["function"]["name"] == "shoot"
    assert answered["tool_call_id"] == call["id"]
    assert answered["content"].startswith("taken")
    assert pictures["role"] == "user"
    assert f"the tool shoot (call {call['id']})" in pictures["content"][0]["text"]
    assert pictures["content"][1] == {"type": "image_url", "image_url": {"url": as_kept(red)}}


async def test_an_agent_runs_both_tool_calls_of_an_answer(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.call("add", a=1, b=2).also("add", a=3, b=4)
    emu.say("3 and 7")
    handler = FunctionAgent(tools=[add], llm=connect()).run("add them")
    results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
    await handler
    assert sorted(str(result.tool_output) for result in results) == ["3", "7"]
    assert [message["role"] for message in emu.requests[1].body["messages"]][-3:] == ["assistant", "tool", "tool"]


async def test_agent_stream_events_show_tool_arguments_as_they_arrive(server: Server) -> None:
    def calls(**piece: Any) -> dict[str, Any]:
        return {"id": "1", "choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, **piece}]}}]}

    first = calls(id="c0", type="function", function={"name": "add", "arguments": '{"a": 1'})
    rest = calls(function={"arguments": ', "b": 2}'})
    server.plays(
        lambda peer: peer.stream(first, rest, chunk("", "tool_calls"), DONE),
        lambda peer: peer.stream(chunk("3"), chunk("", "stop"), DONE),
    )
    llm = GLMV(api_key="test-id.test-secret", base_url=server.base_url)
    handler = FunctionAgent(tools=[add], llm=llm).run("add 1 and 2")
    seen = [event.tool_calls async for event in handler.stream_events() if isinstance(event, AgentStream)]
    assert str(await handler) == "3"
    await llm.aclose()
    assert [calls[0].tool_kwargs for calls in seen if calls][:2] == [{"a": 1}, {"a": 1, "b": 2}]


async def test_agent_stream_events_show_reasoning_as_it_arrives(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.say(Reply("done", reasoning="I look", chunking=1))
    handler = FunctionAgent(tools=[add], llm=connect()).run("think")
    thoughts = [event.thinking_delta async for event in handler.stream_events() if isinstance(event, AgentStream)]
    await handler
    assert [thought for thought in thoughts if thought] == ["I", " look"]


async def test_the_request_after_a_tool_call_contains_the_reasoning_of_that_call(
    emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(Reply(reasoning="I add", tool_calls=[ToolCall("add", {"a": 1, "b": 2})]), "3")
    await FunctionAgent(tools=[add], llm=connect()).run("add 1 and 2")
    assert emu.requests[1].body["messages"][-2]["reasoning_content"] == "I add"


async def test_an_agent_hands_over_to_another_agent(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.call("handoff", to_agent="adder", reason="numbers")
    emu.call("add", a=1, b=2)
    emu.say("3")
    llm = connect()
    looker = FunctionAgent(name="looker", description="looks", llm=llm, can_handoff_to=["adder"])
    adder = FunctionAgent(name="adder", description="adds", tools=[add], llm=llm)
    result = await AgentWorkflow(agents=[looker, adder], root_agent="looker").run("add 1 and 2")
    assert str(result) == "3"
    assert result.current_agent_name == "adder"


async def test_an_agent_continues_a_conversation_stored_as_json_with_its_picture(
    emu: Emulator, connect: Callable[..., GLMV], red: bytes, as_kept: Callable[[bytes], str]
) -> None:
    emu.say("a wall", "red")
    agent = FunctionAgent(tools=[add], llm=connect())
    memory = ChatMemoryBuffer.from_defaults()
    await agent.run(ChatMessage(blocks=[TextBlock(text="what is it?"), ImageBlock(image=red)]), memory=memory)
    stored = [message.model_dump_json() for message in memory.get_all()]
    memory = ChatMemoryBuffer.from_defaults([ChatMessage.model_validate_json(text) for text in stored])
    assert str(await agent.run("which colour?", memory=memory)) == "red"
    parts = [m["content"] for m in emu.requests[1].body["messages"] if isinstance(m["content"], list)]
    assert parts[0][1]["image_url"]["url"] == as_kept(red)


async def test_the_context_of_an_agent_run_can_be_written_as_json(
    emu: Emulator, connect: Callable[..., GLMV], red: bytes
) -> None:
    emu.call("add", a=1, b=2)
    emu.say("3")
    agent = FunctionAgent(tools=[add], llm=connect())
    context = Context(agent)
    await agent.run(ChatMessage(blocks=[TextBlock(text="add"), ImageBlock(image=red)]), ctx=context)
    with pytest.warns(match="Skipping serialization of known unserializable key: memory"):
        json.dumps(context.to_dict())


def test_the_method_predict_and_call_runs_a_tool(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.call("add", a=1, b=2)
    assert str(connect().predict_and_call([ADD], user_msg="add 1 and 2")) == "3"


async def test_the_method_predict_and_call_runs_tools_in_parallel(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.call("add", a=1, b=2).also("add", a=3, b=4)
    response = await connect().apredict_and_call([ADD], user_msg="add them", allow_parallel_tool_calls=True)
    assert str(response) == "3\n\n7"


@pytest.mark.parametrize("streamed", [False, True])
def test_get_tool_calls_from_response_returns_only_the_first_call_by_default(
    streamed: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.call("add", a=1, b=2).also("add", a=3, b=4)
    llm = connect()
    if streamed:
        response = list(llm.stream_chat_with_tools([ADD], user_msg="add"))[-1]
    else:
        response = llm.chat_with_tools([ADD], user_msg="add")
    assert [call.tool_kwargs for call in llm.get_tool_calls_from_response(response)] == [{"a": 1, "b": 2}]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("wish", [{"tool_required": True}, {"tool_choice": "add"}])
def test_an_answer_without_the_required_tool_call_is_requested_again(
    streamed: bool, wish: dict[str, Any], emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("It is 3.")
    emu.call("add", a=1, b=2)
    llm = connect()
    if streamed:
        responses = list(llm.stream_chat_with_tools([ADD], user_msg="add", **wish))
        assert "".join(response.delta for response in responses) == ""
        response = responses[-1]
    else:
        response = llm.chat_with_tools([ADD], user_msg="add", **wish)
    assert [call.tool_name for call in llm.get_tool_calls_from_response(response)] == ["add"]
    assert not any(request.body.get("tool_choice") not in (None, "auto") for request in emu.requests)


def test_two_answers_without_the_required_tool_call_raise(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.say("It is 3.", "Really, 3.")
    with pytest.raises(glmv.MalformedResponse):
        connect().predict_and_call([ADD], user_msg="add", tool_required=True)
    emu.say("It is 3.", "Really, 3.")
    with pytest.raises(glmv.MalformedResponse):
        connect().chat_with_tools([ADD], user_msg="add", tool_required=True, on_misfit="raise")


async def test_an_agent_run_does_not_change_the_callers_history(
    emu: Emulator, connect: Callable[..., GLMV], red: bytes
) -> None:
    emu.call("add", a=1, b=2)
    emu.say("3")
    llm = connect()
    history = [ChatMessage(blocks=[TextBlock(text="see"), ImageBlock(image=red)])]
    before = copy.deepcopy(history)
    await FunctionAgent(tools=[add], llm=llm).run("add 1 and 2", chat_history=history)
    assert history == before


async def test_the_first_request_of_an_agent_names_the_initial_tool_choice(
    emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.call("add", a=1, b=2)
    emu.say("3")
    llm = connect()
    agent = FunctionAgent(tools=[add], llm=llm, initial_tool_choice="add")
    assert str(await agent.run("add 1 and 2")) == "3"
    assert "add" in emu.requests[0].body["messages"][0]["content"]
