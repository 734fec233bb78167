"""Which code validates an answer in LlamaIndex, whole and streamed: each row of the table `JUDGING`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field

import glmv
from glmv.structured.judging import JUDGING, Judging
from glmv_emulator import Emulator, Reply, ToolCall
from llama_index_glmv import GLMV

# LlamaIndex's own: its structured LLM and its agents use names of pydantic 1.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")


class Berth(BaseModel):
    """A berth of a ship."""

    deck: int = Field(ge=1)
    cabin: str


GOOD = {"deck": 4, "cabin": "C12"}
MISFIT = {"deck": 0, "cabin": "C12"}
PROMPT = PromptTemplate("Which berth?")
QUESTION = [ChatMessage(content="Which berth?")]


def book(deck: int, cabin: str) -> str:
    """Book a berth."""
    return f"{cabin} on deck {deck}"


BOOK = FunctionTool.from_defaults(book)


async def agent(llm: GLMV, streaming: bool) -> Any:
    made = FunctionAgent(tools=[BOOK], llm=llm, output_cls=Berth, streaming=streaming)
    return (await made.run("Which berth?")).structured_response


async def each(stream: Any) -> Any:
    return [part async for part in await stream][-1]


def last(stream: Any) -> Any:
    return list(stream)[-1]


Way = Callable[[GLMV], Any]
# Entry point of the table -> the ways of using it: each returns what the caller reads.
ENTRIES: dict[str, dict[str, Way]] = {
    "as_structured_llm(class)": {
        "whole": lambda llm: llm.as_structured_llm(Berth).chat(QUESTION).raw,
        "whole, awaited": lambda llm: asyncio.run(llm.as_structured_llm(Berth).achat(QUESTION)).raw,
        "streamed": lambda llm: last(llm.as_structured_llm(Berth).stream_chat(QUESTION)).raw,
        "streamed, awaited": lambda llm: asyncio.run(each(llm.as_structured_llm(Berth).astream_chat(QUESTION))).raw,
    },
    "structured_predict(class, prompt)": {
        "whole": lambda llm: llm.structured_predict(Berth, PROMPT),
        "whole, awaited": lambda llm: asyncio.run(llm.astructured_predict(Berth, PROMPT)),
        "streamed": lambda llm: last(llm.stream_structured_predict(Berth, PROMPT)),
        "streamed, awaited": lambda llm: asyncio.run(each(llm.astream_structured_predict(Berth, PROMPT))),
    },
    "FunctionAgent(output_cls=class)": {
        "whole": lambda llm: asyncio.run(agent(llm, False)),
        "streamed": lambda llm: asyncio.run(agent(llm, True)),
    },
    "chat_with_tools(tool_required=True or tool_choice=...)": {
        "whole": lambda llm: llm.chat_with_tools([BOOK], user_msg="Book it.", tool_required=True),
        "whole, awaited": lambda llm: asyncio.run(
            llm.achat_with_tools([BOOK], user_msg="Book it.", tool_choice="book")
        ),
        "streamed": lambda llm: last(llm.stream_chat_with_tools([BOOK], user_msg="Book it.", tool_required=True)),
        "streamed, awaited": lambda llm: asyncio.run(
            each(llm.astream_chat_with_tools([BOOK], user_msg="Book it.", tool_choice="book"))
        ),
    },
    "predict_and_call(tool_required=True or tool_choice=...)": {
        "whole": lambda llm: llm.predict_and_call([BOOK], user_msg="Book it.", tool_required=True).response,
        "whole, awaited": lambda llm: (
            asyncio.run(llm.apredict_and_call([BOOK], user_msg="Book it.", tool_choice="book")).response
        ),
    },
}
CASES = [(row, name) for row in JUDGING for name in ENTRIES.get(row.entry, ()) if row.package == "llama_index_glmv"]
EACH = pytest.mark.parametrize(("row", "way"), CASES, ids=lambda value: getattr(value, "entry", value))


def reply(row: Judging, arguments: dict[str, Any]) -> str | Reply:
    by_call = row.entry.startswith(("chat_with_tools", "predict_and_call"))
    return Reply(tool_calls=[ToolCall("book", arguments)]) if by_call else json.dumps(arguments)


def before(row: Judging, emu: Emulator) -> int:
    """Script the text answer that an agent gets before it asks for an object. Returns how many requests that takes."""
    if not row.entry.startswith("FunctionAgent"):
        return 0
    emu.say("It is cabin C12 on deck 4.")
    return 1


def test_every_row_of_the_judging_table_has_an_entry_point_to_test() -> None:
    assert {row.entry for row in JUDGING if row.package == "llama_index_glmv"} == set(ENTRIES)


@EACH
@pytest.mark.parametrize("wrong", ["missing", "misfit"])
def test_each_entry_point_repairs_and_raises_as_the_judging_table_says(
    wrong: Any, row: Judging, way: str, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    first = before(row, emu)
    wrong_arguments = {"deck": "low", "cabin": "C12"}  # wrong to the class and to the tool's schema
    emu.say(*["Somewhere below." if wrong == "missing" else reply(row, wrong_arguments)] * 2)
    run = ENTRIES[row.entry][way]
    if wrong in row.raises:
        with pytest.raises(glmv.MalformedResponse):
            run(connect())
    elif row.entry.startswith("chat_with_tools"):
        result = run(connect())
        assert [call.tool_kwargs for call in connect().get_tool_calls_from_response(result, False)] == (
            [] if wrong == "missing" else [wrong_arguments]
        )
        if wrong == "missing":
            assert "calls no tool" in result.additional_kwargs["notes"][-1]
            assert result.message.content == "Somewhere below."
            with pytest.raises(ValueError, match="expected, but the answer has only text"):
                connect().get_tool_calls_from_response(result)
    else:
        with pytest.warns(match="problem with the generation of the structured output"):
            assert run(connect()) is None
    assert len(emu.requests) == first + 1 + (wrong in row.asks_again)
    emu.reset()


@pytest.mark.parametrize(
    ("row", "way", "wrong"),
    [(row, way, wrong) for row, way in CASES for wrong in row.asks_again],
    ids=lambda value: getattr(value, "entry", value),
)
def test_each_entry_point_returns_the_result_of_the_repaired_answer(
    wrong: Any, row: Judging, way: str, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    before(row, emu)
    wrong_arguments = {**MISFIT, "deck": "low"} if row.entry.startswith(("chat_with", "predict_and")) else MISFIT
    emu.say("Somewhere below." if wrong == "missing" else reply(row, wrong_arguments), reply(row, GOOD))
    result = ENTRIES[row.entry][way](connect())
    match row.entry.partition("(")[0]:
        case "FunctionAgent":
            assert result == GOOD
        case "chat_with_tools":
            assert [call.tool_kwargs for call in connect().get_tool_calls_from_response(result)] == [GOOD]
        case "predict_and_call":
            assert result == "C12 on deck 4"
        case _:
            assert result == Berth(**GOOD)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "streamed"])
async def test_an_agent_reports_invalid_arguments_of_its_first_tool_call_to_the_model(
    streaming: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.call("book", deck=4)
    emu.call("book", **GOOD)
    emu.say("It is booked.")
    agent = FunctionAgent(tools=[BOOK], llm=connect(), initial_tool_choice="book", streaming=streaming)
    assert str(await agent.run("Which berth?")) == "It is booked."
    requests = [one["content"] for one in emu.requests[1].body["messages"] if one["role"] == "tool"]
    assert len(emu.requests) == 3
    assert "cabin" in requests[0]


@pytest.mark.parametrize("awaited", [False, True], ids=["called", "awaited"])
def test_in_function_mode_structured_predict_repairs_arguments_that_misfit_the_class(
    awaited: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    llm = connect(pydantic_program_mode=PydanticProgramMode.FUNCTION)
    emu.say(*(Reply(tool_calls=[ToolCall("Berth", arguments)]) for arguments in (MISFIT, GOOD)))
    answer = asyncio.run(llm.astructured_predict(Berth, PROMPT)) if awaited else llm.structured_predict(Berth, PROMPT)
    assert answer == Berth(**GOOD)
