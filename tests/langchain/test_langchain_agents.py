"""Agents that see: tools that return screenshots, several turns, middleware and checkpointers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import (
    ContextEditingMiddleware,
    ModelCallLimitMiddleware,
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.middleware.context_editing import ClearToolUsesEdit
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.exceptions import ModelAuthenticationError, ModelRateLimitError
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import RetryPolicy
from pydantic import BaseModel

from glmv_emulator import Ask, Emulator, Reply, ToolCall, default_answer
from langchain_glmv import ChatGLMV


class Seen(BaseModel):
    """Facts seen in a picture."""

    colour: str


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture
def screenshot(red: str) -> BaseTool:
    def take() -> list[dict[str, Any]]:
        """Take a screenshot."""
        return [{"type": "text", "text": "The screen:"}, {"type": "image", "base64": red, "mime_type": "image/png"}]

    return tool("screenshot")(take)


def looks_first(ask: Ask) -> Reply:
    """Calls the first tool once per question, then answers by the emulator's default rules."""
    since = [message["role"] for message in ask.messages]
    last_assistant = max((i for i, role in enumerate(since) if role == "assistant"), default=-1)
    called = last_assistant >= 0 and "tool" in since[last_assistant:]
    if ask.tools and not called:
        return Reply(reasoning="I need to look.", tool_calls=[ToolCall(ask.tools[0]["function"]["name"], {})])
    return default_answer(ask)


ModelMaker = Callable[..., ChatGLMV]


@pytest.fixture
def new_model() -> Iterator[ModelMaker]:
    """A function that makes models; each has its own emulator, which answers by the given function."""
    running: list[Emulator] = []

    def make(answers: Any = looks_first, *, concurrency: dict[str, int] | None = None, **options: Any) -> ChatGLMV:
        running.append(Emulator(concurrency=concurrency).start())
        running[-1].answer(answers)
        options = {"model": "glm-4.6v", "api_key": running[-1].api_key, "max_retries": 0, **options}
        return ChatGLMV(base_url=running[-1].base_url, **options)

    make.running = running  # type: ignore[attr-defined]  # for tests that look at the requests
    yield make
    for emulator in running:
        emulator.stop()


def requests(new_model: Any, number: int = 0) -> int:
    return len(new_model.running[number].requests)


async def test_an_agent_answers_from_the_screenshot_of_its_tool(new_model: ModelMaker, screenshot: BaseTool) -> None:
    agent = create_agent(new_model(), [screenshot])
    question = {"messages": [HumanMessage("What is the main colour of the screen?")]}
    for result in (agent.invoke(question), await agent.ainvoke(question)):
        human, call, shot, answer = result["messages"]
        assert [message.type for message in (human, call, shot, answer)] == ["human", "ai", "tool", "ai"]
        assert shot.content[1]["type"] == "image"
        assert "red" in answer.text


def test_streamed_tokens_of_an_agent_have_stable_ids(new_model: ModelMaker, screenshot: BaseTool) -> None:
    agent = create_agent(new_model(), [screenshot])
    pieces: dict[str, str] = {}
    for chunk, _ in agent.stream({"messages": [HumanMessage("What is the main colour?")]}, stream_mode="messages"):
        if isinstance(chunk, AIMessageChunk):
            pieces[str(chunk.id)] = pieces.get(str(chunk.id), "") + chunk.text
    assert len(pieces) == 2
    assert "red" in list(pieces.values())[1]


def test_a_checkpointer_restores_the_conversation_with_its_pictures(
    new_model: ModelMaker, screenshot: BaseTool, red: str
) -> None:
    saver = InMemorySaver()
    config: Any = {"configurable": {"thread_id": "1"}}
    model = new_model()
    create_agent(model, [screenshot], checkpointer=saver).invoke(
        {"messages": [HumanMessage("What is the main colour?")]}, config
    )
    again = create_agent(model, [], checkpointer=saver)
    history = again.get_state(config).values["messages"]
    assert history[2].content[1]["base64"] == red
    assert history[3].response_metadata["model_name"] == "glm-4.6v"
    assert history[1].content_blocks[0] == {"type": "reasoning", "reasoning": "I need to look."}
    result = again.invoke({"messages": [HumanMessage("And which colour was it, again?")]}, config)
    assert "red" in result["messages"][-1].text


def test_a_custom_graph_with_a_retry_policy_calls_the_tool_and_then_answers(
    new_model: ModelMaker, screenshot: BaseTool
) -> None:
    class State(TypedDict):
        messages: Annotated[list[AnyMessage], add_messages]

    bound = new_model().bind_tools([screenshot])
    graph = StateGraph(State)
    graph.add_node("model", lambda state: {"messages": [bound.invoke(state["messages"])]}, retry_policy=RetryPolicy())
    graph.add_node("tools", ToolNode([screenshot]))
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", tools_condition)
    graph.add_edge("tools", "model")
    result = graph.compile().invoke({"messages": [HumanMessage("What is the main colour?")]})
    assert "red" in result["messages"][-1].text


def test_because_of_the_profile_an_agent_requests_json_and_not_a_tool_call(
    new_model: ModelMaker, screenshot: BaseTool
) -> None:
    def answers(ask: Ask) -> Reply:
        reply = looks_first(ask)
        return reply if reply.tool_calls else Reply('```json\n{"colour": "red"}\n```')

    for strategy in (Seen, ProviderStrategy(Seen)):
        result = create_agent(new_model(answers), [screenshot], response_format=strategy).invoke(
            {"messages": [HumanMessage("Look.")]}
        )
        assert result["structured_response"] == Seen(colour="red")


def test_an_agent_with_a_tool_strategy_answers_by_a_tool_call(new_model: ModelMaker) -> None:
    requests_seen: list[Ask] = []

    def answers(ask: Ask) -> Reply:
        requests_seen.append(ask)
        return (
            Reply("It is red.") if len(requests_seen) == 1 else Reply(tool_calls=[ToolCall("Seen", {"colour": "red"})])
        )

    agent = create_agent(new_model(answers), [], response_format=ToolStrategy(Seen))
    result = agent.invoke({"messages": [HumanMessage("Look.")]})
    assert result["structured_response"] == Seen(colour="red")
    assert len(requests_seen) == 2


def test_summarization_reads_the_context_window_from_the_profile(new_model: ModelMaker) -> None:
    model = new_model(lambda ask: Reply("A summary."), profile={"max_input_tokens": 200})
    middleware = SummarizationMiddleware(model, trigger=("fraction", 0.5), keep=("messages", 1))
    agent = create_agent(model, [], middleware=[middleware])
    history = [HumanMessage("word " * 200), AIMessage("yes"), HumanMessage("And now?")]
    result = agent.invoke({"messages": history})
    assert "A summary." in result["messages"][0].text
    assert len(result["messages"]) < 4


def test_context_editing_middleware_can_count_tokens_with_the_model(
    new_model: ModelMaker, screenshot: BaseTool
) -> None:
    editing = ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=10, keep=0)], token_count_method="model")
    agent = create_agent(new_model(), [screenshot], middleware=[editing])
    assert agent.invoke({"messages": [HumanMessage("Look.")]})["messages"][-1].type == "ai"


def test_retry_middleware_retries_a_busy_platform_but_not_a_wrong_key(new_model: ModelMaker) -> None:
    retry = ModelRetryMiddleware(max_retries=2, initial_delay=0, on_failure="error")
    with pytest.raises(ModelRateLimitError):
        create_agent(new_model(concurrency={"glm-4.6v": 0}), [], middleware=[retry]).invoke(
            {"messages": [HumanMessage("Hi")]}
        )
    assert requests(new_model) == 3
    with pytest.raises(ModelAuthenticationError):
        create_agent(new_model(api_key="wrong-id.wrong-secret"), [], middleware=[retry]).invoke(
            {"messages": [HumanMessage("Hi")]}
        )
    assert requests(new_model, 1) == 1


def test_fallback_middleware_calls_the_fallback_model_if_the_first_model_is_busy(new_model: ModelMaker) -> None:
    busy, free = new_model(concurrency={"glm-4.6v": 0}), new_model()
    agent = create_agent(busy, [], middleware=[ModelFallbackMiddleware(free)])
    assert agent.invoke({"messages": [HumanMessage("Hi")]})["messages"][-1].text
    assert (requests(new_model, 0), requests(new_model, 1)) == (1, 1)


def test_tools_bound_to_a_model_with_fallbacks_reach_the_fallback_model(
    new_model: ModelMaker, screenshot: BaseTool
) -> None:
    busy, free = new_model(concurrency={"glm-4.6v": 0}), new_model()
    answer = (
        busy.with_fallbacks([free], exceptions_to_handle=(ModelRateLimitError,))
        .bind_tools([screenshot])
        .invoke("Look.")
    )
    assert [call["name"] for call in answer.tool_calls] == ["screenshot"]


def test_with_retry_makes_a_model_that_retries_errors_of_the_given_class(new_model: ModelMaker) -> None:
    busy = new_model(concurrency={"glm-4.6v": 0})
    again = busy.with_retry(
        retry_if_exception_type=(ModelRateLimitError,), wait_exponential_jitter=False, stop_after_attempt=2
    )
    with pytest.raises(ModelRateLimitError):
        again.invoke("Hi")
    assert requests(new_model) == 2


def test_a_model_call_limit_ends_an_agent_whose_model_always_calls_a_tool(new_model: ModelMaker) -> None:
    def answers(ask: Ask) -> Reply:
        return Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})])

    agent = create_agent(
        new_model(answers), [add], middleware=[ModelCallLimitMiddleware(run_limit=3, exit_behavior="end")]
    )
    result = agent.invoke({"messages": [HumanMessage("Add.")]})
    assert requests(new_model) == 3
    assert len([message for message in result["messages"] if isinstance(message, ToolMessage)]) == 3


def test_an_agent_runs_both_tool_calls_of_an_answer_and_sends_both_results(new_model: ModelMaker) -> None:
    def answers(ask: Ask) -> Reply:
        if any(message["role"] == "tool" for message in ask.messages):
            return Reply(", ".join(message["content"] for message in ask.messages if message["role"] == "tool"))
        return Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3, "b": 4})])

    result = create_agent(new_model(answers), [add]).invoke({"messages": [HumanMessage("Add.")]})
    assert result["messages"][-1].text == "3, 7"


def test_only_the_first_tool_call_is_kept_if_parallel_tool_calls_is_false(new_model: ModelMaker) -> None:
    def answers(ask: Ask) -> Reply:
        return Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2}), ToolCall("add", {"a": 3, "b": 4})])

    bound = new_model(answers).bind_tools([add], parallel_tool_calls=False)
    assert [call["args"] for call in bound.invoke("Add.").tool_calls] == [{"a": 1, "b": 2}]
    first, *rest = bound.stream("Add.")
    assert [call["args"] for call in first.__add__(rest).tool_calls] == [{"a": 1, "b": 2}]


@pytest.mark.parametrize(
    "choice",
    [
        "any",
        "required",
        True,
        "add",
        {"type": "function", "function": {"name": "add"}},
        {"type": "tool", "name": "add"},
    ],
)
def test_every_form_of_tool_choice_that_forces_a_tool_gets_a_call_of_that_tool(
    new_model: ModelMaker, choice: Any
) -> None:
    requests_seen: list[Ask] = []

    def answers(ask: Ask) -> Reply:
        requests_seen.append(ask)
        return Reply("No.") if len(requests_seen) % 2 else Reply(tool_calls=[ToolCall("add", {"a": 1, "b": 2})])

    bound = new_model(answers).bind_tools([add], tool_choice=choice)
    assert [call["name"] for call in bound.invoke("Hello").tool_calls] == ["add"]
    first, *rest = bound.stream("Hello")
    assert [call["name"] for call in first.__add__(rest).tool_calls] == ["add"]
    assert len(requests_seen) == 4


@pytest.mark.parametrize(("choice", "tools"), [("auto", 1), (False, 1), (None, 1), ("none", 0)])
def test_a_text_answer_is_accepted_if_tool_choice_forces_no_tool(
    new_model: ModelMaker, choice: Any, tools: int
) -> None:
    requests_seen: list[Ask] = []

    def answers(ask: Ask) -> Reply:
        requests_seen.append(ask)
        return Reply("No.")

    assert new_model(answers).bind_tools([add], tool_choice=choice).invoke("Hello").text == "No."
    assert [len(ask.tools) for ask in requests_seen] == [tools]


def test_a_tool_choice_that_names_an_unknown_tool_is_refused(new_model: ModelMaker) -> None:
    with pytest.raises(ValueError, match="subtract"):
        new_model().bind_tools([add], tool_choice="subtract").invoke("Hello")


def test_disable_streaming_set_to_tool_calling_applies_only_to_a_model_with_tools(new_model: ModelMaker) -> None:
    model = new_model(disable_streaming="tool_calling")
    list(model.stream("Hello"))
    list(model.bind_tools([add]).stream("Hello"))
    assert [request.stream for request in new_model.running[0].requests] == [True, False]  # type: ignore[attr-defined]  # see the fixture
