"""Agents with eyes: they are shown pictures, and their tools return pictures."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest
from llama_index.core.agent.workflow import AgentStream, AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import FunctionTool
from llama_index.core.workflow import Context

import glmv

# Agents use deprecated parts of pydantic and of the workflows below them.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def call(name: str, index: int = 0, /, **arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"index": index, "id": f"c{index}", "type": "function", "function": function}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


ADD = FunctionTool.from_defaults(add)


async def test_a_screenshot_that_a_tool_returns_is_seen(script: Any, red: bytes) -> None:
    def shoot() -> list[TextBlock | ImageBlock]:
        """Take a screenshot."""
        return [TextBlock(text="taken"), ImageBlock(image=red)]

    llm = script.say({"tool_calls": [call("shoot")]}).say("a red page").llm()
    assert str(await FunctionAgent(tools=[shoot], llm=llm).run("What is on the screen?")) == "a red page"
    *_, asked, answered, shown = script.requests[1]["messages"]
    assert asked["tool_calls"][0]["function"]["name"] == "shoot"
    assert answered["tool_call_id"] == "c0"
    assert answered["content"].startswith("taken")
    assert shown["role"] == "user"
    assert "the tool shoot (call c0)" in shown["content"][0]["text"]
    assert shown["content"][1] == {"type": "image_url", "image_url": {"url": base64.b64encode(red).decode()}}


async def test_two_calls_of_one_chunk_are_both_run(script: Any) -> None:
    llm = script.say({"tool_calls": [call("add", 0, a=1, b=2), call("add", 1, a=3, b=4)]}).say("3 and 7").llm()
    handler = FunctionAgent(tools=[add], llm=llm).run("add them")
    results = [event async for event in handler.stream_events() if isinstance(event, ToolCallResult)]
    await handler
    assert sorted(str(result.tool_output) for result in results) == ["3", "7"]
    assert [message["role"] for message in script.requests[1]["messages"]][-3:] == ["assistant", "tool", "tool"]


async def test_streamed_arguments_are_shown_as_they_come(script: Any) -> None:
    pieces = [{**call("add"), "function": {"name": "add", "arguments": '{"a": 1'}}]
    rest = [{"index": 0, "function": {"arguments": ', "b": 2}'}}]
    llm = script.say({"tool_calls": pieces}, {"tool_calls": rest}).say("3").llm()
    handler = FunctionAgent(tools=[add], llm=llm).run("add 1 and 2")
    seen = [event.tool_calls async for event in handler.stream_events() if isinstance(event, AgentStream)]
    assert str(await handler) == "3"
    assert [calls[0].tool_kwargs for calls in seen if calls][:2] == [{"a": 1}, {"a": 1, "b": 2}]


async def test_thoughts_of_an_agent_are_streamed(script: Any) -> None:
    llm = script.say({"reasoning_content": "h"}, {"reasoning_content": "m"}, "done").llm()
    handler = FunctionAgent(tools=[add], llm=llm).run("think")
    thoughts = [event.thinking_delta async for event in handler.stream_events() if isinstance(event, AgentStream)]
    await handler
    assert [thought for thought in thoughts if thought] == ["h", "m"]


async def test_thoughts_go_back_with_the_call_they_led_to(script: Any) -> None:
    llm = script.say({"reasoning_content": "I add"}, {"tool_calls": [call("add", a=1, b=2)]}).say("3").llm()
    await FunctionAgent(tools=[add], llm=llm).run("add 1 and 2")
    assert script.requests[1]["messages"][-2]["reasoning_content"] == "I add"


async def test_an_agent_hands_over_to_another_one(script: Any) -> None:
    llm = (
        script.say({"tool_calls": [call("handoff", to_agent="adder", reason="numbers")]})
        .say({"tool_calls": [call("add", a=1, b=2)]})
        .say("3")
        .llm()
    )
    looker = FunctionAgent(name="looker", description="looks", llm=llm, can_handoff_to=["adder"])
    adder = FunctionAgent(name="adder", description="adds", tools=[add], llm=llm)
    result = await AgentWorkflow(agents=[looker, adder], root_agent="looker").run("add 1 and 2")
    assert str(result) == "3"
    assert result.current_agent_name == "adder"


async def test_a_conversation_goes_on_after_it_was_stored(script: Any, red: bytes) -> None:
    llm = script.say("a wall").say("red").llm()
    agent = FunctionAgent(tools=[add], llm=llm)
    memory = ChatMemoryBuffer.from_defaults()
    await agent.run(ChatMessage(blocks=[TextBlock(text="what is it?"), ImageBlock(image=red)]), memory=memory)
    stored = [message.model_dump_json() for message in memory.get_all()]
    memory = ChatMemoryBuffer.from_defaults([ChatMessage.model_validate_json(text) for text in stored])
    assert str(await agent.run("which colour?", memory=memory)) == "red"
    parts = [m["content"] for m in script.requests[1]["messages"] if isinstance(m["content"], list)]
    assert parts[0][1]["image_url"]["url"] == base64.b64encode(red).decode()


async def test_the_context_of_a_run_is_plain_data(script: Any, red: bytes) -> None:
    agent = FunctionAgent(tools=[add], llm=script.say({"tool_calls": [call("add", a=1, b=2)]}).say("3").llm())
    context = Context(agent)
    await agent.run(ChatMessage(blocks=[TextBlock(text="add"), ImageBlock(image=red)]), ctx=context)
    with pytest.warns(match="Skipping serialization of known unserializable key: memory"):
        json.dumps(context.to_dict())


def test_a_tool_is_predicted_and_called(script: Any) -> None:
    llm = script.say({"tool_calls": [call("add", a=1, b=2)]}).llm()
    assert str(llm.predict_and_call([ADD], user_msg="add 1 and 2")) == "3"


async def test_tools_are_predicted_and_called_in_parallel(script: Any) -> None:
    llm = script.say({"tool_calls": [call("add", 0, a=1, b=2), call("add", 1, a=3, b=4)]}).llm()
    response = await llm.apredict_and_call([ADD], user_msg="add them", allow_parallel_tool_calls=True)
    assert str(response) == "3\n\n7"


@pytest.mark.parametrize("streamed", [False, True])
def test_one_call_is_kept_where_only_one_is_allowed(streamed: bool, script: Any) -> None:
    llm = script.say({"tool_calls": [call("add", 0, a=1, b=2), call("add", 1, a=3, b=4)]}).llm()
    if streamed:
        response = list(llm.stream_chat_with_tools([ADD], user_msg="add"))[-1]
    else:
        response = llm.chat_with_tools([ADD], user_msg="add")
    assert [call.tool_kwargs for call in llm.get_tool_calls_from_response(response)] == [{"a": 1, "b": 2}]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("wish", [{"tool_required": True}, {"tool_choice": "add"}])
def test_a_required_tool_is_called_though_the_platform_only_knows_auto(
    streamed: bool, wish: dict[str, Any], script: Any
) -> None:
    llm = script.say("It is 3.").say({"tool_calls": [call("add", a=1, b=2)]}).llm()
    if streamed:
        responses = list(llm.stream_chat_with_tools([ADD], user_msg="add", **wish))
        assert "".join(response.delta for response in responses) == ""
        response = responses[-1]
    else:
        response = llm.chat_with_tools([ADD], user_msg="add", **wish)
    assert [call.tool_name for call in llm.get_tool_calls_from_response(response)] == ["add"]
    assert not any(request.get("tool_choice") not in (None, "auto") for request in script.requests)


def test_a_required_tool_that_is_not_called_twice_over_is_an_error(script: Any) -> None:
    llm = script.say("It is 3.").say("Really, 3.").llm()
    with pytest.raises(glmv.MalformedResponse):
        llm.chat_with_tools([ADD], user_msg="add", tool_required=True)


async def test_the_history_of_the_caller_stays_as_it_was(script: Any, red: bytes) -> None:
    llm = script.say({"tool_calls": [call("add", a=1, b=2)]}).say("3").llm()
    history = [ChatMessage(blocks=[TextBlock(text="see"), ImageBlock(image=red)])]
    before = copy.deepcopy(history)
    await FunctionAgent(tools=[add], llm=llm).run("add 1 and 2", chat_history=history)
    assert history == before


async def test_an_agent_may_begin_with_a_certain_tool(script: Any) -> None:
    llm = script.say({"tool_calls": [call("add", a=1, b=2)]}).say("3").llm()
    agent = FunctionAgent(tools=[add], llm=llm, initial_tool_choice="add")
    assert str(await agent.run("add 1 and 2")) == "3"
    assert "add" in script.requests[0]["messages"][0]["content"]
