"""The table `JUDGING` says which code validates an answer; these tests check its rows for `glmv`, and `on_misfit`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

import glmv
from glmv.structured.judging import JUDGING, Judging
from glmv_emulator import Emulator, Reply, ToolCall
from tests.support.scripted import only_scripted

PARCEL = {
    "type": "object",
    "properties": {"grams": {"type": "integer", "minimum": 1}},
    "required": ["grams"],
}
WANTED = {"type": "json_schema", "json_schema": {"name": "parcel", "schema": PARCEL}}
TOOL = {"type": "function", "function": {"name": "send_parcel", "description": "Sends it.", "parameters": PARCEL}}
OTHER = {"type": "function", "function": {"name": "weigh", "description": "Weighs it.", "parameters": {}}}
MISFIT = {"grams": 0}

ENTRIES: dict[str, dict[str, Any]] = {
    "chat(response_format=...)": {"response_format": WANTED},
    'chat(tool_choice="required" or a name)': {"tools": [TOOL, OTHER], "tool_choice": "required"},
}
both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@pytest.fixture
def emu(glmv_emulator: Emulator) -> Emulator:
    return only_scripted(glmv_emulator)


@pytest.fixture
def glm(emu: Emulator) -> Iterator[glmv.Client]:
    with glmv.Client(emu.api_key, base_url=emu.base_url) as client:
        yield client


def calls(arguments: Any, **more: Any) -> Reply:
    return Reply(tool_calls=[ToolCall("send_parcel", arguments)], **more)


def ask(glm: glmv.Client, stream: bool, **options: Any) -> glmv.Completion:
    if not stream:
        return glm.chat("How heavy?", **options)
    total = glmv.Accumulator()
    for delta in glm.stream("How heavy?", **options):
        total.add(delta)
    return total.completion()


def test_the_table_of_judging_has_one_row_for_each_entry_point() -> None:
    assert {row.entry for row in JUDGING if row.package == "glmv"} == set(ENTRIES)
    assert len({(row.package, row.entry) for row in JUDGING}) == len(JUDGING)


@pytest.mark.parametrize("row", [row for row in JUDGING if row.package == "glmv"], ids=lambda row: row.entry)
@pytest.mark.parametrize("wrong", ["missing", "misfit"])
def test_the_client_asks_again_and_raises_as_the_table_of_judging_says(
    row: Judging, wrong: Any, emu: Emulator, glm: glmv.Client
) -> None:
    options = ENTRIES[row.entry]
    misfit = calls(MISFIT) if "tools" in options else json.dumps(MISFIT)
    emu.say(*["Heavy." if wrong == "missing" else misfit] * 2)
    assert wrong in row.raises
    with pytest.raises(glmv.MalformedResponse):
        ask(glm, False, **options)
    assert len(emu.requests) == 1 + (wrong in row.asks_again)


@both
def test_arguments_of_a_call_are_not_checked_if_on_misfit_is_return(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(calls(MISFIT))
    answer = ask(glm, stream, tools=[TOOL], tool_choice="send_parcel", on_misfit="return")
    assert json.loads(answer.tool_calls[0].arguments) == MISFIT
    assert answer.notes == ()


def test_a_call_of_another_tool_does_not_count_as_a_call_of_the_named_tool(emu: Emulator, glm: glmv.Client) -> None:
    options: dict[str, Any] = {"tools": [TOOL, OTHER], "tool_choice": "weigh", "on_misfit": "return"}
    emu.say(calls({"grams": 5}), Reply(tool_calls=[ToolCall("weigh", {}), ToolCall("send_parcel", {})]))
    assert [call.name for call in ask(glm, False, **options).tool_calls] == ["weigh", "send_parcel"]
    assert "send_parcel" in str(emu.requests[1].body["messages"][-1])
    emu.say(calls({"grams": 5}), calls({"grams": 6}))
    answer = ask(glm, False, **options)
    assert "not one of weigh" in answer.notes[-1]
    assert json.loads(answer.tool_calls[0].arguments) == {"grams": 6}


@both
@pytest.mark.parametrize("options", ENTRIES.values(), ids=ENTRIES)
def test_a_second_answer_of_prose_is_returned_with_a_note_if_on_misfit_is_return(
    options: dict[str, Any], stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say("Heavy.", Reply("Very heavy.", chunking=["Very ", "heavy."]))
    answer = ask(glm, stream, on_misfit="return", **options)
    assert (answer.text, answer.attempts) == ("Very heavy.", 2)
    assert [("second time" in note, "does not fit" in note) for note in answer.notes] == [(True, False), (False, True)]
    assert answer.usage is not None


@both
@pytest.mark.parametrize("on_misfit", ["return", "return_value"])
def test_a_second_answer_whose_json_does_not_fit_is_returned_with_a_note(
    on_misfit: str, stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say("Heavy.", f"Here: {json.dumps(MISFIT)}")
    answer = ask(glm, stream, response_format=WANTED, on_misfit=on_misfit)
    assert json.loads(answer.text) == MISFIT
    assert "at least 1" in answer.notes[-1]


@both
@pytest.mark.parametrize("second", ['{"grams": 0}', '{"grams": "seventy-seven"}'])
def test_the_log_warns_of_a_returned_misfit_without_quoting_the_answer(
    second: str, stream: bool, emu: Emulator, glm: glmv.Client, caplog: pytest.LogCaptureFixture
) -> None:
    emu.say("Heavy.", second)
    answer = ask(glm, stream, response_format=WANTED, on_misfit="return_value")
    emu.say("Heavy.", json.dumps({"grams": 77}))
    ask(glm, stream, response_format=WANTED, on_misfit="return_value")  # which fits
    [warning] = [one.getMessage() for one in caplog.records if (one.name, one.levelname) == ("glmv", "WARNING")]
    assert "does not fit" in warning
    assert str(answer.request_id) in warning
    assert not any(part in warning for part in ("grams", "seventy"))


@both
def test_a_streamed_misfit_needs_no_second_request_if_on_misfit_is_return(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(*[json.dumps(MISFIT)] * (1 if stream else 2))
    answer = ask(glm, stream, response_format=WANTED, on_misfit="return")
    assert json.loads(answer.text) == MISFIT
    assert "does not fit" in answer.notes[-1]


@both
@pytest.mark.parametrize("options", ENTRIES.values(), ids=ENTRIES)
def test_a_second_answer_without_a_value_raises_if_on_misfit_is_return_value(
    options: dict[str, Any], stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say("Heavy.", "Very heavy.")
    with pytest.raises(glmv.MalformedResponse):
        ask(glm, stream, on_misfit="return_value", **options)


def test_arguments_that_are_an_object_are_returned_if_on_misfit_is_return_value(
    emu: Emulator, glm: glmv.Client
) -> None:
    options: dict[str, Any] = {**ENTRIES['chat(tool_choice="required" or a name)'], "on_misfit": "return_value"}
    emu.say(calls(MISFIT), calls({"grams": "many"}))
    assert json.loads(ask(glm, False, **options).tool_calls[0].arguments) == {"grams": "many"}
    emu.say(calls(MISFIT), calls('{"grams": '))
    with pytest.raises(glmv.MalformedResponse):
        ask(glm, False, **options)


@both
def test_withdrawn_text_replaces_a_required_tool_call_if_on_sensitive_is_return(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(Reply("It is", finish_reason="sensitive"))
    answer = ask(glm, stream, tools=[TOOL], tool_choice="required", on_sensitive="return")
    assert (answer.text, answer.finish_reason) == ("It is", "sensitive")


async def test_the_async_client_returns_an_answer_without_a_call_if_on_misfit_is_return(emu: Emulator) -> None:
    async with glmv.AsyncClient(emu.api_key, base_url=emu.base_url) as glm:
        emu.say("Heavy.", "Very heavy.")
        answer = await glm.chat("How heavy?", tools=[TOOL], tool_choice="required", on_misfit="return")
        assert answer.text == "Very heavy."
        emu.say("Heavy.", "Very heavy.")
        parts = [one async for one in glm.stream("?", tools=[TOOL], tool_choice="required", on_misfit="return")]
        assert "".join(one.text for one in parts) == "Very heavy."
        assert [one.last for one in parts] == [False, True]


def test_an_unknown_value_of_on_misfit_is_refused(glm: glmv.Client) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="on_misfit"):
        glm.chat("How heavy?", on_misfit="ignore")


@pytest.mark.parametrize("choice", ["required", "weigh"])
def test_the_instruction_to_call_a_tool_names_the_tools(choice: str, emu: Emulator, glm: glmv.Client) -> None:
    emu.reset()  # its own rules call a tool that an instruction names
    answer = ask(glm, False, tools=[TOOL, OTHER], tool_choice=choice)
    assert answer.tool_calls[0].name == {"required": "send_parcel", "weigh": "weigh"}[choice]
    instruction = emu.requests[0].body["messages"][0]["content"]
    expected_names = {"required": ["send_parcel", "weigh"], "weigh": ["weigh"]}[choice]
    assert [name for name in ("send_parcel", "weigh") if name in instruction] == expected_names
