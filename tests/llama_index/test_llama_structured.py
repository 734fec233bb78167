"""Pydantic objects from pictures: whole and streamed, validated, and repaired once if they do not fit."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from llama_index.core.types import PydanticProgramMode
from pydantic import BaseModel, Field, HttpUrl, field_validator

import glmv
from glmv_emulator import Emulator, Reply
from llama_index_glmv import GLMV, GLMVMultiModal
from llama_index_glmv.structured import Schema
from tests.support.streamed_objects import DIALECTS, TEXTS, Reading

BOTH_FACES = pytest.mark.parametrize("kind", [GLMV, GLMVMultiModal])
PROMPT = PromptTemplate("What does the {thing} say?")


class Receipt(BaseModel):
    """A receipt."""

    shop: str
    total: float = Field(description="what was paid")
    items: list[str] = []

    @field_validator("total")
    @classmethod
    def not_negative(cls, value: float) -> float:
        if value < 0:
            raise ValueError("a total is not negative")
        return value


GOOD = '{"shop": "Bakery", "total": 3.5, "items": ["bread", "tea"]}'
RECEIPT = Receipt(shop="Bakery", total=3.5, items=["bread", "tea"])


async def collected(stream: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in stream]


def astreamed(llm: GLMV) -> list[Any]:
    async def run() -> list[Any]:
        return await collected(await llm.astream_structured_predict(Receipt, PROMPT, thing="receipt"))

    return asyncio.run(run())


WAYS: dict[str, Callable[[GLMV], Any]] = {
    "structured_predict": lambda llm: llm.structured_predict(Receipt, PROMPT, thing="receipt"),
    "astructured_predict": lambda llm: asyncio.run(llm.astructured_predict(Receipt, PROMPT, thing="receipt")),
    "stream_structured_predict": lambda llm: list(llm.stream_structured_predict(Receipt, PROMPT, thing="receipt"))[-1],
    "astream_structured_predict": lambda llm: astreamed(llm)[-1],
    "as_structured_llm": lambda llm: llm.as_structured_llm(Receipt).complete("What?").raw,
}
EVERY_WAY = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


@BOTH_FACES
@EVERY_WAY
@pytest.mark.parametrize("said", [GOOD, f"Here it is:\n```json\n{GOOD}\n```", f"<|begin_of_box|>{GOOD}<|end_of_box|>"])
def test_the_object_is_read_from_bare_json_and_a_code_fence_and_box_marks(
    kind: type[GLMV], ask: Callable[[GLMV], Any], said: str, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(said)
    assert ask(connect(kind)) == RECEIPT


@EVERY_WAY
def test_the_prompt_has_the_schema_in_single_braces_and_no_tools_are_sent(
    ask: Callable[[GLMV], Any], emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(GOOD)
    ask(connect())
    (request,) = emu.requests
    requests = json.dumps(request.body["messages"][0]["content"], ensure_ascii=False)
    assert "what was paid" in requests
    assert "{{" not in requests
    assert "tools" not in request.body


@EVERY_WAY
def test_the_system_message_of_a_structured_call_begins_with_the_system_prompt(
    ask: Callable[[GLMV], Any], emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    if ask is WAYS["as_structured_llm"]:
        ask = lambda llm: llm.as_structured_llm(Receipt).chat([ChatMessage(content="What?")]).raw  # noqa: E731
    emu.say(GOOD)
    ask(connect(system_prompt="You read receipts."))
    assert emu.requests[0].body["messages"][0]["role"] == "system"
    assert emu.requests[0].body["messages"][0]["content"].startswith("You read receipts.")


@pytest.mark.parametrize("name", ["structured_predict", "astructured_predict", "as_structured_llm"])
def test_an_answer_that_pydantic_refuses_is_repaired_once(
    name: str, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say('{"shop": "Bakery", "total": -1}', GOOD)
    assert WAYS[name](connect()) == RECEIPT
    first, second = (request.body for request in emu.requests)
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert "a total is not negative" in second["messages"][-1]["content"]


def test_two_answers_without_a_valid_object_raise_an_error_with_the_second_answer(
    emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("I see bread.", "Bread and tea.")
    with pytest.raises(glmv.MalformedResponse) as failed:
        connect().structured_predict(Receipt, PROMPT, thing="receipt")
    assert failed.value.partial is not None
    assert failed.value.partial.text == "Bread and tea."
    assert len(emu.requests) == 2


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_streamed_object_is_yielded_as_its_text_arrives(
    asynchronous: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(Reply(chunking=['{"shop": "Bak', 'ery", "total": 3.5, "items": ["bread"', ', "tea"]}']))
    llm = connect()
    objects = astreamed(llm) if asynchronous else list(llm.stream_structured_predict(Receipt, PROMPT, thing="receipt"))
    assert objects[0].shop == "Bak"
    assert [len(found.items or []) for found in objects] == sorted(len(found.items or []) for found in objects)
    assert objects[-1] == RECEIPT


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_streamed_object_that_pydantic_refuses_is_repaired_once(
    asynchronous: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(
        Reply(chunking=['{"shop": "Bakery", ', '"total": -1}']),
        Reply(chunking=['{"shop": "Bakery", ', GOOD.removeprefix('{"shop": "Bakery", ')]),
    )
    llm = connect()
    objects = astreamed(llm) if asynchronous else list(llm.stream_structured_predict(Receipt, PROMPT, thing="receipt"))
    assert objects[-1] == RECEIPT
    first, second = (request.body for request in emu.requests)
    assert second["messages"][1 : len(first["messages"])] == first["messages"][1:]
    assert second["messages"][-2]["content"] == '{"shop": "Bakery", "total": -1}'
    assert "a total is not negative" in second["messages"][-1]["content"]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_two_invalid_streamed_objects_raise_an_error_with_the_second_answer(
    asynchronous: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(Reply(chunking=['{"shop": "A"', "}"]), Reply(chunking=['{"shop": "B"', "}"]))
    llm = connect()
    with pytest.raises(glmv.MalformedResponse) as failed:
        astreamed(llm) if asynchronous else list(llm.stream_structured_predict(Receipt, PROMPT, thing="receipt"))
    assert failed.value.partial is not None
    assert failed.value.partial.text == '{"shop": "B"}'
    assert len(emu.requests) == 2


def test_the_llm_of_as_structured_llm_sends_the_picture_of_the_message(
    emu: Emulator, connect: Callable[..., GLMV], red: bytes
) -> None:
    emu.say(GOOD)
    message = ChatMessage(blocks=[ImageBlock(image=red), TextBlock(text="What does it say?")])
    response = connect().as_structured_llm(Receipt).chat([message])
    assert response.raw == RECEIPT
    kinds = [part["type"] for part in emu.requests[0].body["messages"][-1]["content"]]
    assert kinds == ["image_url", "text"]


def test_the_variables_of_a_prompt_template_with_a_picture_are_filled_in(
    emu: Emulator, connect: Callable[..., GLMV], red: bytes
) -> None:
    blocks = [ImageBlock(image=red), TextBlock(text="What does the {thing} say?")]
    prompt = ChatPromptTemplate(message_templates=[ChatMessage(blocks=blocks)])
    emu.say(GOOD)
    assert connect().structured_predict(Receipt, prompt, thing="slip") == RECEIPT
    assert emu.requests[0].body["messages"][-1]["content"][1]["text"] == "What does the slip say?"


def test_structured_predict_sends_the_options_of_llm_kwargs(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.say(GOOD)
    connect().structured_predict(Receipt, PROMPT, llm_kwargs={"temperature": 0.1}, thing="slip")
    assert emu.requests[0].body["temperature"] == 0.1


def test_in_function_mode_the_object_comes_from_a_tool_call(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.call("Receipt", **RECEIPT.model_dump())
    llm = connect(pydantic_program_mode=PydanticProgramMode.FUNCTION)
    assert llm.structured_predict(Receipt, PROMPT, thing="receipt") == RECEIPT
    assert emu.requests[0].body["tools"][0]["function"]["name"] == "Receipt"


def test_in_function_mode_a_text_answer_is_repaired_once(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.say("Bread and tea.")
    emu.call("Receipt", **RECEIPT.model_dump())
    llm = connect(pydantic_program_mode=PydanticProgramMode.FUNCTION)
    assert llm.structured_predict(Receipt, PROMPT, thing="receipt") == RECEIPT


def test_in_text_mode_structured_predict_returns_an_object_of_the_class(
    emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(GOOD)
    llm = connect(pydantic_program_mode=PydanticProgramMode.LLM)
    assert llm.structured_predict(Receipt, PROMPT, thing="receipt") == RECEIPT


@pytest.mark.parametrize("streamed", [False, True])
def test_structured_calls_emit_start_and_end_events(
    streamed: bool, emu: Emulator, connect: Callable[..., GLMV], events: Any
) -> None:
    emu.say(GOOD)
    llm = connect()
    if streamed:
        list(llm.stream_structured_predict(Receipt, PROMPT, thing="receipt"))
    else:
        llm.structured_predict(Receipt, PROMPT, thing="receipt")
    names = [name for name in events.names if "InProgress" not in name]
    assert names == [
        "LLMStructuredPredictStartEvent",
        "LLMChatStartEvent",
        "LLMChatEndEvent",
        "LLMStructuredPredictEndEvent",
    ]
    (start,) = (event for event in events.seen if event.class_name() == "LLMChatStartEvent")
    assert json.loads(json.dumps(start.additional_kwargs))["response_format"]["type"] == "json_schema"


def test_the_usage_of_a_repaired_answer_is_the_sum_of_both_requests(
    emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 5}
    emu.say(Reply("Bread.", usage=usage), Reply(GOOD, usage=usage))
    response = connect().chat([ChatMessage(content="What?")], response_format={"type": "json_object"})
    assert response.raw["usage"]["prompt_tokens"] == 200
    assert response.additional_kwargs["completion_tokens"] == 10


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_repaired_streamed_object_keeps_no_value_of_the_first_object(
    asynchronous: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(
        Reply(chunking=['{"shop": "Bank", "items": ["a", "b"]', ', "total": -1}']),
        Reply(chunking=['{"shop": "B', GOOD.removeprefix('{"shop": "B')]),
    )
    llm = connect()
    objects = astreamed(llm) if asynchronous else list(llm.stream_structured_predict(Receipt, PROMPT, thing="receipt"))
    first, *_, last = objects
    assert (first.shop, first.items) == ("Bank", ["a", "b"])
    (begun,) = [found for found in objects if found.shop == "B"]
    assert not begun.items
    assert last == RECEIPT
    assert len(emu.requests) == 2


def test_one_chunk_of_a_repaired_stream_has_the_mark_replaces_and_usage_is_a_sum(
    emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    usage = {"prompt_tokens": 100, "completion_tokens": 5}
    emu.say(Reply(chunking=['{"shop": "A"', "}"], usage=usage), Reply(GOOD, chunking=[GOOD], usage=usage))
    llm = connect()
    responses = list(llm.stream_chat([ChatMessage(content="What?")], response_format=Schema(Receipt), may_replace=True))
    assert [response.additional_kwargs.get("replaces") for response in responses].count(True) == 1
    assert responses[-1].message.content == GOOD
    assert responses[-1].additional_kwargs["attempts"] == 2
    assert responses[-1].raw["usage"]["prompt_tokens"] == 200


MET = {
    "a draft": 'First {"shop": "Bank", "total": 1}. No, ' + GOOD,
    "a fence": '```json\n{"shop": "?", "total": 0}\n```\nso\n```json\n' + GOOD + "\n```",
    "the schema": json.dumps(Receipt.model_json_schema()) + "\n" + GOOD,
    "a reference": f"Picture [2] shows {{}}: {GOOD}",
    "a thought": 'It may be {"shop": "Bank", "total": 1}.</think>' + GOOD,
    "a list of one": f"[{GOOD}]",
    "the name of the class": f'{{"receipt": {GOOD}}}',
    "a number in quotes": GOOD.replace("3.5", '"3.5"'),
    "a trailing comma": GOOD.replace("]}", ",],}"),
    "full-width punctuation": GOOD.replace(":", "：").replace(", ", "，"),
    "a string": json.dumps(GOOD),
}


@EVERY_WAY
@pytest.mark.parametrize("said", MET.values(), ids=MET)
def test_each_entry_point_returns_the_object_after_only_one_request(
    ask: Callable[[GLMV], Any], said: str, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(said)
    assert ask(connect()) == RECEIPT
    assert len(emu.requests) == 1


def grows(before: Any, after: Any) -> bool:
    match before, after:
        case dict(), dict():
            return all(key in after and grows(value, after[key]) for key, value in before.items())
        case list(), list():
            return len(before) <= len(after) and all(map(grows, before, after))
        case str(), str():
            return after.startswith(before)
        case None, _:
            return True
        case _:
            return bool(before == after)


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("said", [GOOD, '{"items": ["a {b", "[c]", "d"], "total": 12.25, "shop": "The \\"Bakery\\""}'])
def test_each_streamed_object_keeps_the_values_of_the_previous_object(
    said: str, asynchronous: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(Reply(chunking=list(said)))
    llm = connect()
    objects = astreamed(llm) if asynchronous else list(llm.stream_structured_predict(Receipt, PROMPT, thing="receipt"))
    plain = [found.model_dump(exclude_unset=True) for found in objects]
    assert all(map(grows, plain, plain[1:]))
    assert len({json.dumps(found) for found in plain}) > 10
    assert objects[-1] == Receipt.model_validate_json(said)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_the_last_streamed_object_is_the_last_object_in_the_answer(
    asynchronous: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(Reply(chunking=list('Maybe {"shop": "Bank", "total": 1}, no: ' + GOOD)))
    llm = connect()
    objects = astreamed(llm) if asynchronous else list(llm.stream_structured_predict(Receipt, PROMPT, thing="receipt"))
    assert objects[-1] == RECEIPT
    assert all(found == RECEIPT or "Bank".startswith(found.shop or "") for found in objects)
    assert len(emu.requests) == 1


class Trip(BaseModel):
    """A trip, with field types that strings are converted to."""

    day: dt.date
    ticket: Path
    page: HttpUrl
    note: str


TRIP = {
    "day": "2026-05-04",
    "ticket": "/tickets/a.pdf",
    "page": "https://trains.example/a/b",
    "note": "by night",
}


@pytest.mark.parametrize("last", ["note", "ticket", "page"])
def test_values_parsed_from_strings_are_set_only_when_their_string_is_complete(
    last: str, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    values = {**{name: value for name, value in TRIP.items() if name != last}, last: TRIP[last]}
    emu.say(Reply(chunking=list(json.dumps(values))))
    trips: Any = list(connect().stream_structured_predict(Trip, PROMPT, thing="ticket"))
    assert trips[-1] == Trip(**TRIP)
    for one in trips:
        result = one.model_dump(exclude_unset=True)
        for name, value in result.items():
            assert value == getattr(trips[-1], name) or TRIP[name].startswith(value)
    if last == "note":
        assert {one.note for one in trips} >= {"by night"[:end] for end in range(9)}


@DIALECTS
@TEXTS
def test_a_stream_that_is_cut_inside_an_escape_or_has_nan_gives_the_object(dialect: Any, text: str, note: str) -> None:
    with Emulator() as emulator:
        emulator.answer(lambda _: Reply(chunking=list(text)))
        base_url = emulator.proxy_url if dialect else emulator.base_url
        llm = GLMV(base_url=base_url, api_key=emulator.api_key, dialect=dialect, max_retries=0)
        objects = list(llm.stream_structured_predict(Reading, PromptTemplate("What?")))
    assert isinstance(objects[-1], Reading)
    assert objects[-1].note == note


class Visit(BaseModel):
    day: dt.date
    guests: int


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("output_cls", "arguments", "expected"),
    [
        (Receipt, {"shop": "Bakery", "total": "3.50"}, Receipt(shop="Bakery", total=3.5)),
        (Visit, {"day": "2026-01-31", "guests": "4"}, Visit(day=dt.date(2026, 1, 31), guests=4)),
    ],
    ids=["number", "date"],
)
def test_the_class_and_not_its_schema_validates_the_arguments_of_a_function_program(
    emu: Emulator,
    connect: Callable[..., GLMV],
    output_cls: type[BaseModel],
    arguments: dict[str, Any],
    expected: BaseModel,
    asynchronous: bool,
) -> None:
    llm = connect(pydantic_program_mode=PydanticProgramMode.FUNCTION)
    emu.call(output_cls.__name__, **arguments)
    if asynchronous:
        result = asyncio.run(llm.astructured_predict(output_cls, PROMPT, thing="receipt"))
    else:
        result = llm.structured_predict(output_cls, PROMPT, thing="receipt")
    assert result == expected
    assert len(emu.requests) == 1


def test_arguments_that_the_output_class_refuses_are_requested_a_second_time(
    emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    llm = connect(pydantic_program_mode=PydanticProgramMode.FUNCTION)
    emu.call("Receipt", shop="Bakery", total=-1)
    emu.call("Receipt", shop="Bakery", total=3.5)
    assert llm.structured_predict(Receipt, PROMPT, thing="receipt") == Receipt(shop="Bakery", total=3.5)
    assert "a total is not negative" in json.dumps(emu.requests[-1].body)


@pytest.mark.parametrize("output_cls", [dict, list[Receipt], RECEIPT], ids=["dict", "list", "instance"])
def test_an_output_class_that_is_not_a_pydantic_class_is_an_invalid_request(output_cls: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="must be a pydantic class"):
        GLMV().structured_predict(output_cls, PROMPT, thing="receipt")
    with pytest.raises(glmv.InvalidRequestError, match="must be a pydantic class"):
        list(GLMV().stream_structured_predict(output_cls, PROMPT, thing="receipt"))


def test_a_str_in_place_of_a_prompt_template_is_an_invalid_request() -> None:
    prompt: Any = "What does the receipt say?"
    with pytest.raises(glmv.InvalidRequestError, match=r"such as PromptTemplate\(\.\.\.\); got str"):
        GLMV().structured_predict(Receipt, prompt)
    with pytest.raises(glmv.InvalidRequestError, match="must be a template"):
        asyncio.run(GLMV().astructured_predict(Receipt, prompt))
