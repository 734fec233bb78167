"""Which code validates an answer: `glmv`, or LangChain's own loops in agents, tools and middleware."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, LLMToolSelectorMiddleware, ModelRequest, ModelResponse
from langchain.agents.structured_output import (
    MultipleStructuredOutputsError,
    ProviderStrategy,
    StructuredOutputError,
    StructuredOutputValidationError,
    ToolStrategy,
)
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

import glmv
from glmv.structured.judging import JUDGING, Judging
from glmv_emulator import Emulator, Reply, ToolCall
from langchain_glmv import ChatGLMV
from tests.support.scripted import only_scripted

WAYS = ["invoke", "ainvoke", "streams inside", "stream", "astream"]


class Ticket(BaseModel):
    """A ticket for a train."""

    seat: int = Field(ge=1)
    coach: str


class TicketDict(TypedDict):
    """A ticket for a train."""

    seat: int
    coach: str


GOOD = {"seat": 14, "coach": "B"}
# Each is wrong in its own way: a kind, a bound, a name, nothing.
MISFITS: list[dict[str, Any]] = [{"seat": "window", "coach": "B"}, {"seat": 0, "coach": "B"}, {"coach": 3}, {}]


@tool
def refund(number: int, reason: str) -> str:
    """Give the money for a ticket back."""
    return f"{number} is refunded: {reason}"


@tool
def timetable(station: str) -> str:
    """The trains of a station."""
    return f"No train stops in {station}."


@pytest.fixture
def emu(emulator: Emulator) -> Emulator:
    return only_scripted(emulator)


def ticket(arguments: Any, *more: Any, name: str = "Ticket") -> Reply:
    return Reply(tool_calls=[ToolCall(name, one) for one in (arguments, *more)])


def connect(emulator: Emulator, **options: Any) -> ChatGLMV:
    return ChatGLMV(
        **{"model": "glm-4.6v", "base_url": emulator.base_url, "api_key": emulator.api_key, "max_retries": 0, **options}
    )


def run(emulator: Emulator, way: str, tools: Any = (), **agent: Any) -> dict[str, Any]:
    """The final state of an agent, run by one of the entry points."""
    result: Any = create_agent(connect(emulator, streaming=way == "streams inside"), list(tools), **agent)
    question = {"messages": [HumanMessage("Which seat?")]}

    async def last() -> Any:
        return [part async for part in result.astream(question, stream_mode=["values", "messages"])]

    match way:
        case "invoke" | "streams inside":
            answer = result.invoke(question)
        case "ainvoke":
            answer = asyncio.run(result.ainvoke(question))
        case _:
            parts = (
                asyncio.run(last()) if way == "astream" else result.stream(question, stream_mode=["values", "messages"])
            )
            answer = [part for mode, part in parts if mode == "values"][-1]
    assert isinstance(answer, dict)
    return answer


def request_text(emulator: Emulator, number: int) -> str:
    """All text of one request."""
    return json.dumps(emulator.requests[number].body["messages"], ensure_ascii=False)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("misfits", [MISFITS[:1], MISFITS[1:3], MISFITS], ids=len)
def test_an_agent_with_a_tool_strategy_asks_again_until_arguments_fit_the_schema(
    way: str, misfits: list[Any], emu: Emulator
) -> None:
    emu.say(*(ticket(one) for one in misfits), ticket(GOOD))
    state = run(emu, way, response_format=ToolStrategy(Ticket))
    assert state["structured_response"] == Ticket(**GOOD)
    assert len(emu.requests) == 1 + len(misfits)
    assert "Failed to parse structured output" in request_text(emu, 1)


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_with_a_tool_strategy_asks_again_if_arguments_are_not_json(way: str, emu: Emulator) -> None:
    emu.say(ticket('{"seat": 14, coach'), ticket(GOOD))
    result = run(emu, way, response_format=ToolStrategy(Ticket))
    assert result["structured_response"] == Ticket(**GOOD)
    assert result["messages"][1].invalid_tool_calls
    assert len(emu.requests) == 2


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
@pytest.mark.parametrize(
    ("handle_errors", "text"),
    [
        ("Look at the ticket again.", "Look at the ticket again."),
        (lambda error: f"{type(error).__name__} it was", "StructuredOutputValidationError it was"),
        (StructuredOutputValidationError, "Failed to parse structured output"),
        ((KeyError, StructuredOutputError), "Failed to parse structured output"),
    ],
    ids=["text", "function", "class", "classes"],
)
def test_the_text_of_the_option_handle_errors_is_sent_to_the_model(
    handle_errors: Any, text: str, way: str, emu: Emulator
) -> None:
    emu.say(ticket(MISFITS[1]), ticket(MISFITS[2]), ticket(GOOD))
    state = run(emu, way, response_format=ToolStrategy(Ticket, handle_errors=handle_errors))
    assert state["structured_response"] == Ticket(**GOOD)
    assert (text in request_text(emu, 1), request_text(emu, 2).count(text)) == (True, 2)


@pytest.mark.parametrize("way", WAYS)
def test_invalid_arguments_raise_langchains_error_if_handle_errors_is_false(way: str, emu: Emulator) -> None:
    emu.say(ticket(MISFITS[0]))
    with pytest.raises(StructuredOutputValidationError) as failed:
        run(emu, way, response_format=ToolStrategy(Ticket, handle_errors=False))
    assert failed.value.ai_message.tool_calls[0]["args"] == MISFITS[0]
    assert len(emu.requests) == 1


def test_two_tool_calls_raise_langchains_error_if_handle_errors_is_false(emu: Emulator) -> None:
    emu.say(ticket(GOOD, GOOD))
    with pytest.raises(MultipleStructuredOutputsError):
        run(emu, "invoke", response_format=ToolStrategy(Ticket, handle_errors=False))


@pytest.mark.parametrize("way", WAYS)
def test_an_agent_with_a_tool_strategy_asks_again_if_no_tool_is_called(way: str, emu: Emulator) -> None:
    emu.say("Seat 14.", "Coach B, seat 14.", ticket(GOOD))
    state = run(emu, way, response_format=ToolStrategy(Ticket))
    assert state["structured_response"] == Ticket(**GOOD)
    assert [message.text for message in state["messages"]][1] == "Coach B, seat 14."
    assert any("calls no tool" in note for note in state["messages"][1].response_metadata["notes"])
    assert len(emu.requests) == 3


@pytest.mark.parametrize("way", WAYS)
def test_a_tool_call_with_invalid_arguments_gets_an_error_and_is_made_again(way: str, emu: Emulator) -> None:
    for arguments in ({"number": "seven"}, {"number": 7}):
        emu.say(ticket(arguments, name="refund"))
    emu.say(ticket({"number": 7, "reason": "late"}, name="refund"), ticket(GOOD))
    state = run(emu, way, [refund], response_format=ToolStrategy(Ticket))
    assert state["structured_response"] == Ticket(**GOOD)
    assert [message.status for message in state["messages"] if message.type == "tool"][:3] == [
        "error",
        "error",
        "success",
    ]
    assert "7 is refunded: late" in request_text(emu, 3)


class AskOnceMore(AgentMiddleware[Any, Any, Any]):
    """Repeats a model call after a structured answer that does not fit."""

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        try:
            return handler(request)
        except StructuredOutputError as error:
            history = [*request.messages, error.ai_message, HumanMessage(f"That was wrong: {error}")]
            return handler(request.override(messages=[one for one in history if not getattr(one, "tool_calls", None)]))


@pytest.mark.parametrize("strategy", [ToolStrategy(Ticket, handle_errors=False), ProviderStrategy(Ticket)])
def test_middleware_can_catch_structured_output_errors_and_ask_again(strategy: Any, emu: Emulator) -> None:
    if isinstance(strategy, ToolStrategy):
        emu.say(ticket(MISFITS[0]), ticket(GOOD))
    else:
        emu.say("Seat 14.", json.dumps(MISFITS[1]), json.dumps(GOOD))
    state = run(emu, "invoke", response_format=strategy, middleware=[AskOnceMore()])
    assert state["structured_response"] == Ticket(**GOOD)
    assert "That was wrong: Failed to parse" in request_text(emu, -1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("second", [json.dumps(MISFITS[0]), "Seat fourteen."])
def test_a_provider_strategy_repairs_once_and_then_raises_langchains_error(
    second: str, way: str, emu: Emulator
) -> None:
    emu.say("I do not know.", second)
    with pytest.raises(StructuredOutputValidationError) as failed:
        run(emu, way, response_format=ProviderStrategy(Ticket))
    assert failed.value.ai_message.text == second
    assert len(emu.requests) == 2


@pytest.mark.parametrize("way", WAYS)
def test_json_that_does_not_fit_the_schema_raises_in_a_provider_strategy(way: str, emu: Emulator) -> None:
    wrong = json.dumps(MISFITS[1])
    emu.say(wrong, wrong)
    with pytest.raises(StructuredOutputValidationError):
        run(emu, way, response_format=ProviderStrategy(Ticket))


SELECTIONS: list[tuple[Any, set[str]]] = [
    ("all", {"refund", "timetable"}),
    ("none", set()),
    (["refund"], {"refund"}),
    (lambda found: ["timetable"] if isinstance(found, dict | list) else [], {"timetable"}),
]


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "astream"])
@pytest.mark.parametrize("selection", ['{"tool": "refund"}', '{"tools": "refund"}', '["refund"]', "{}"])
@pytest.mark.parametrize(("fallback", "offered"), SELECTIONS, ids=["all", "none", "list", "function"])
def test_the_option_on_parsing_failure_selects_tools_after_a_malformed_selection(
    fallback: Any, offered: set[str], selection: str, way: str, emu: Emulator
) -> None:
    selector = LLMToolSelectorMiddleware(model=connect(emu), on_parsing_failure=fallback, max_retries=1)
    emu.say(*[selection] * 4, "Done.")
    result = run(emu, way, [refund, timetable], middleware=[selector])
    assert result["messages"][-1].text == "Done."
    assert {one["function"]["name"] for one in emu.requests[-1].body.get("tools", ())} == offered
    assert len(emu.requests) == 5


def test_a_malformed_tool_selection_raises_value_error_by_default(emu: Emulator) -> None:
    emu.say("{}", "{}")
    selector = LLMToolSelectorMiddleware(model=connect(emu), max_retries=0)
    with pytest.raises(ValueError, match="malformed"):
        run(emu, "invoke", [refund], middleware=[selector])


@pytest.mark.parametrize(
    "choice", ["any", "required", True, "refund", {"type": "function", "function": {"name": "refund"}}]
)
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_a_missing_forced_tool_call_is_repaired_once_with_unchecked_arguments(
    way: str, choice: Any, emu: Emulator
) -> None:
    bound = connect(emu).bind_tools([refund, timetable], tool_choice=choice)
    emu.say("No.", ticket({"number": []}, name="refund"))
    answer = answer_of(bound, way)
    assert [call["args"] for call in answer.tool_calls] == [{"number": []}]
    named = ["refund"] if choice not in ("any", "required", True) else ["refund", "timetable"]
    for request in emu.requests:
        instruction = request.body["messages"][0]["content"]
        assert [name for name in ("refund", "timetable") if name in instruction] == named
    assert all(name in emu.requests[1].body["messages"][-1]["content"] for name in named)
    emu.say("No.", "Never.")
    answer = answer_of(bound, way)
    assert (answer.text, answer.tool_calls) == ("Never.", [])
    assert any("calls no tool" in note for note in answer.response_metadata["notes"])
    assert answer.usage_metadata is not None


def answer_of(model: Any, way: str) -> Any:
    async def total() -> Any:
        parts = [part async for part in model.astream("Refund it.")]
        return parts[0].__add__(parts[1:]) if parts[1:] else parts[0]

    match way:
        case "invoke":
            return model.invoke("Refund it.")
        case "ainvoke":
            return asyncio.run(model.ainvoke("Refund it."))
        case "astream":
            return asyncio.run(total())
        case _:
            first, *rest = model.stream("Refund it.")
            return first.__add__(rest) if rest else first


def test_a_forced_tool_call_cut_by_the_token_limit_is_repaired_once(emu: Emulator) -> None:
    cut = Reply(tool_calls=[ToolCall("refund", '{"number": 7, "rea')], finish_reason="length")
    bound = connect(emu).bind_tools([refund], tool_choice="any")
    emu.say(cut, ticket({"number": 7, "reason": "late"}, name="refund"))
    assert bound.invoke("Refund it.").tool_calls[0]["args"] == {"number": 7, "reason": "late"}
    emu.say(cut, cut)
    answer = bound.invoke("Refund it.")
    assert answer.tool_calls == []
    assert any("max_tokens" in note for note in answer.response_metadata["notes"])


def test_two_answers_without_the_forced_tool_call_raise_if_on_misfit_is_raise(emu: Emulator) -> None:
    bound = connect(emu).bind_tools([refund], tool_choice="any", on_misfit="raise")
    emu.say("No.", "Never.")
    with pytest.raises(glmv.MalformedResponse):
        bound.invoke("Refund it.")


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize(
    "schema", [TicketDict, {**Ticket.model_json_schema(), "title": "TicketDict"}], ids=["typed", "json"]
)
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_a_dict_that_does_not_fit_the_schema_is_returned_after_one_repair(
    way: str, schema: Any, method: Any, emu: Emulator
) -> None:
    wrong = {"seat": "aisle", "coach": 4}
    both = [ticket(wrong, name="TicketDict") if method == "function_calling" else json.dumps(wrong)] * 2
    emu.say(*both)
    structured = connect(emu).with_structured_output(schema, method=method)
    assert last_of(structured, way) == wrong
    assert len(emu.requests) == 2
    assert "seat" in emu.requests[1].body["messages"][-1]["content"]
    emu.say(*both)
    raw = connect(emu).with_structured_output(schema, method=method, include_raw=True)
    result: Any = last_of(raw, "ainvoke" if way.startswith("a") else "invoke")
    assert result["parsed"] is None
    assert isinstance(result["parsing_error"], OutputParserException)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
@pytest.mark.parametrize("schema", [Ticket, TicketDict])
def test_two_answers_without_json_or_tool_call_raise_output_parser_exception(
    schema: Any, way: str, method: Any, emu: Emulator
) -> None:
    emu.say("Seat 14.", "In coach B.")
    with pytest.raises(OutputParserException):
        last_of(connect(emu).with_structured_output(schema, method=method), way)


def test_an_object_cut_by_the_token_limit_raises_output_parser_exception(emu: Emulator) -> None:
    half = Reply('{"seat": 14, "coach": "B', finish_reason="length")
    emu.say(half, half)
    with pytest.raises(OutputParserException, match="max_tokens"):
        connect(emu).with_structured_output(TicketDict).invoke("Which seat?")


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
def test_returning_a_dict_that_does_not_fit_the_schema_logs_a_warning_without_values(
    way: str, method: Any, emu: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = {"seat": None, "coach": "restaurant"}
    emu.say(*[json.dumps(wrong) if method == "json_schema" else ticket(wrong, name="TicketDict")] * 2)
    assert last_of(connect(emu).with_structured_output(TicketDict, method=method), way) == wrong
    [warned] = [one.getMessage() for one in caplog.records if (one.name, one.levelname) == ("glmv", "WARNING")]
    assert "does not fit" in warned
    assert "restaurant" not in warned


def last_of(structured: Any, way: str) -> Any:
    async def parts() -> list[Any]:
        return [part async for part in structured.astream("Which seat?")]

    match way:
        case "invoke":
            return structured.invoke("Which seat?")
        case "ainvoke":
            return asyncio.run(structured.ainvoke("Which seat?"))
        case "astream":
            return asyncio.run(parts())[-1]
        case _:
            return list(structured.stream("Which seat?"))[-1]


def test_a_bound_response_format_raises_after_two_answers_that_do_not_fit_it(emu: Emulator) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "Ticket", "schema": Ticket.model_json_schema()}}
    emu.say(json.dumps(MISFITS[1]), json.dumps(MISFITS[0]))
    with pytest.raises(glmv.MalformedResponse):
        connect(emu).bind(response_format=wanted).invoke("Which seat?")


USE = """
import sys
from pydantic import BaseModel
from langchain_core.tools import tool
from langchain_glmv import ChatGLMV
from glmv_emulator import Emulator

class Ticket(BaseModel):
    seat: int

with Emulator() as emu:
    model = ChatGLMV(base_url=emu.base_url, api_key=emu.api_key, on_sensitive="return", max_retries=0)
    emu.call("Ticket", seat="x")
    model.bind_tools([Ticket], tool_choice="any").invoke("hi")
    emu.say('{"seat": 3}')
    model.with_structured_output(Ticket).invoke("hi")
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("langchain", "langgraph")))
from langchain_glmv import register
register()
print("langchain.chat_models" in sys.modules)
"""


def test_the_package_langchain_is_imported_only_by_register() -> None:
    done = subprocess.run([sys.executable, "-c", USE], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


_WANTED = {"type": "json_schema", "json_schema": {"name": "Ticket", "schema": Ticket.model_json_schema()}}
# Entry point of the table -> how a model is asked there, and whether it answers by a tool call.
ENTRIES: dict[str, tuple[Callable[[ChatGLMV], Any], bool]] = {
    'bind_tools(tool_choice="any" or a name)': (lambda model: model.bind_tools([Ticket], tool_choice="Ticket"), True),
    "bind_tools(response_format=...)": (lambda model: model.bind_tools([], response_format=_WANTED), False),
    "bind(response_format=...)": (lambda model: model.bind(response_format=_WANTED), False),
    "with_structured_output(class)": (lambda model: model.with_structured_output(Ticket), False),
    "with_structured_output(TypedDict or JSON Schema)": (lambda model: model.with_structured_output(TicketDict), False),
    "with_structured_output(..., include_raw=True)": (
        lambda model: model.with_structured_output(Ticket, include_raw=True),
        False,
    ),
}


@pytest.mark.parametrize("row", [row for row in JUDGING if row.package == "langchain_glmv"], ids=lambda row: row.entry)
@pytest.mark.parametrize("wrong", ["missing", "misfit"])
@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
def test_each_entry_point_repairs_and_raises_as_the_judging_table_says(
    way: str, wrong: Any, row: Judging, emu: Emulator
) -> None:
    assert {row.entry for row in JUDGING if row.package == "langchain_glmv"} == set(ENTRIES)
    ways, calls = ENTRIES[row.entry]
    misfit = {"seat": "none", "coach": "B"}
    emu.say(*["Coach B." if wrong == "missing" else ticket(misfit) if calls else json.dumps(misfit)] * 2)
    try:
        last_of(ways(connect(emu)), way)
    except OutputParserException as error:
        raised: Any = error
    else:
        raised = None
    assert (raised is not None) == (wrong in row.raises)
    assert raised is None or isinstance(raised, glmv.MalformedResponse)
    assert len(emu.requests) == 1 + (wrong in row.asks_again)
    emu.reset()
