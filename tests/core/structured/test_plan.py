"""The platform can force neither a tool call nor JSON: the client instructs the model, checks, and asks again once."""

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

import glmv
from glmv.request.build import chat_request
from glmv.structured.plan import plan_for
from glmv.wire.dialect import DIALECTS
from glmv_emulator import Emulator, Reply, ToolCall
from tests.support.scripted import only_scripted

USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 4, "reasoning_tokens": 1}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "The time.", "parameters": {}}}
PERSON = {
    "type": "json_schema",
    "json_schema": {
        "name": "person",
        "schema": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
            "required": ["name", "age"],
        },
    },
}


def call(name: str, arguments: str) -> Reply:
    return Reply(tool_calls=[ToolCall(name, arguments)], usage=USAGE)


def text(content: str, **more: Any) -> Reply:
    """An answer with this text, which is streamed character by character."""
    return Reply(chunking=list(content), usage=USAGE, **more)


@pytest.fixture
def emu(glmv_emulator: Emulator) -> Emulator:
    return only_scripted(glmv_emulator)


@pytest.fixture
def glm(emu: Emulator) -> Iterator[glmv.Client]:
    with glmv.Client(emu.api_key, base_url=emu.base_url) as client:
        yield client


def ask(glm: glmv.Client, stream: bool, prompt: str = "Who is that?", **options: Any) -> glmv.Completion:
    if not stream:
        return glm.chat(prompt, **options)
    total = glmv.Accumulator()
    for delta in glm.stream(prompt, **options):
        total.add(delta)
    return total.completion()


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both
def test_a_required_call_is_requested_by_instruction_and_not_by_tool_choice(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(call("weather", '{"town": "Jinan"}'))
    answer = ask(glm, stream, tools=[WEATHER, CLOCK], tool_choice="required")
    assert [(c.name, json.loads(c.arguments)) for c in answer.tool_calls] == [("weather", {"town": "Jinan"})]
    [body] = [request.body for request in emu.requests]
    assert "tool_choice" not in body
    assert body["messages"][0]["role"] == "system"


@both
@pytest.mark.parametrize(
    "choice", ["clock", {"type": "function", "function": {"name": "clock"}}, {"type": "tool", "name": "clock"}]
)
def test_a_named_tool_choice_offers_only_that_tool(stream: bool, choice: Any, emu: Emulator, glm: glmv.Client) -> None:
    emu.say(call("clock", "{}"))
    ask(glm, stream, tools=[WEATHER, CLOCK], tool_choice=choice)
    assert [tool["function"]["name"] for tool in emu.requests[0].body["tools"]] == ["clock"]


@both
@pytest.mark.parametrize("choice", ["any", "required", True])
def test_prose_instead_of_a_call_causes_a_second_turn_and_both_turns_are_counted(
    stream: bool, choice: str | bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text("It is sunny."), call("weather", '{"town": "Jinan"}'))
    answer = ask(glm, stream, tools=[WEATHER], tool_choice=choice)
    assert answer.text == ""
    assert [c.name for c in answer.tool_calls] == ["weather"]
    assert answer.usage == glmv.Usage(20, 10, 30, 8, 2)
    assert answer.attempts == 2
    assert any("second time" in note for note in answer.notes)
    request = emu.requests[1].body["messages"]
    assert request[-2] == {"role": "assistant", "content": "It is sunny."}
    assert request[-1]["role"] == "user"


@both
@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (call("weather", "{}"), "lacks 'town'"),
        (call("weather", '{"town": '), "not JSON"),
        (call("weather", '{"town": 3}'), "type string"),
    ],
)
def test_arguments_that_do_not_fit_are_sent_back_with_the_error(
    stream: bool, first: Reply, problem: str, emu: Emulator, glm: glmv.Client
) -> None:
    if stream:
        emu.say(first)
        with pytest.raises(glmv.MalformedResponse, match=problem):
            ask(glm, stream, tools=[WEATHER], tool_choice="required")
        return
    emu.say(first, call("weather", '{"town": "Jinan"}'))
    answer = ask(glm, stream, tools=[WEATHER], tool_choice="required")
    assert json.loads(answer.tool_calls[0].arguments) == {"town": "Jinan"}
    assert problem in emu.requests[1].body["messages"][-1]["content"]


@both
def test_the_error_after_two_answers_without_a_tool_call_has_the_second_answer(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text("No."), text("Still no."))
    with pytest.raises(glmv.MalformedResponse) as caught:
        ask(glm, stream, tools=[WEATHER], tool_choice="required")
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Still no."


@both
def test_tool_choice_none_sends_no_tools(stream: bool, emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text("Hello"))
    ask(glm, stream, tools=[WEATHER], tool_choice="none")
    assert "tools" not in emu.requests[0].body


@both
def test_tool_choice_auto_is_sent_and_no_tool_choice_is_sent_by_default(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text("Hello"), text("Hello"))
    ask(glm, stream, tools=[WEATHER], tool_choice="auto")
    ask(glm, stream, tools=[WEATHER])
    assert emu.requests[0].body["tool_choice"] == "auto"
    assert "tool_choice" not in emu.requests[1].body


@both
def test_only_the_first_call_is_kept_if_parallel_tool_calls_is_false(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.call("weather", town="A").also("clock")
    answer = ask(glm, stream, tools=[WEATHER, CLOCK], parallel_tool_calls=False)
    assert [c.name for c in answer.tool_calls] == ["weather"]
    assert "parallel_tool_calls" not in emu.requests[0].body


@pytest.mark.parametrize("choice", ["moon", {"type": "function", "function": {"name": "moon"}}, 3])
def test_a_tool_choice_of_an_unknown_tool_is_refused_before_sending(
    choice: Any, emu: Emulator, glm: glmv.Client
) -> None:
    with pytest.raises(glmv.InvalidRequestError):
        ask(glm, False, tools=[WEATHER], tool_choice=choice)
    assert emu.requests == []


@both
@pytest.mark.parametrize(
    "answer",
    [
        '{"name": "Ada", "age": 36}',
        '```json\n{"name": "Ada", "age": 36}\n```',
        'Here you are {see below}:\n<|begin_of_box|>{"name": "Ada", "age": 36}<|end_of_box|>\nAnything else?',
    ],
    ids=["bare", "fenced", "boxed in prose"],
)
def test_json_in_fences_boxes_or_prose_is_unwrapped(stream: bool, answer: str, emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text(answer))
    completion = ask(glm, stream, response_format=PERSON)
    assert completion.text == '{"name": "Ada", "age": 36}'
    assert "response_format" not in emu.requests[0].body
    assert "minimum" in emu.requests[0].body["messages"][0]["content"]


def test_json_is_streamed_as_it_arrives(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text('Sure: {"name": "Ada", "age": 36} Bye.'))
    pieces = [delta.text for delta in glm.stream("Who?", response_format=PERSON) if delta.text]
    assert len(pieces) > 10
    assert "".join(pieces) == '{"name": "Ada", "age": 36}'


@both
def test_prose_without_json_causes_a_second_turn(stream: bool, emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text("Ada, who was 36."), text('{"name": "Ada", "age": 36}'))
    assert json.loads(ask(glm, stream, response_format=PERSON).text)["age"] == 36


def test_the_second_turn_says_why_the_json_does_not_fit(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text('{"name": "Ada", "age": -1}'), text('{"name": "Ada", "age": 36}'))
    assert json.loads(ask(glm, False, response_format=PERSON).text)["age"] == 36
    assert "age has to be at least 0" in emu.requests[1].body["messages"][-1]["content"]


def test_the_message_of_the_callers_failed_check_is_sent_to_the_model(emu: Emulator, glm: glmv.Client) -> None:
    def check(answer: str) -> None:
        if json.loads(answer)["age"] != 36:
            raise ValueError("the age is wrong by years")

    emu.say(text('{"name": "Ada", "age": 3}'), text('{"name": "Ada", "age": 36}'))
    ask(glm, False, response_format=PERSON, validate=check)
    assert "wrong by years" in emu.requests[1].body["messages"][-1]["content"]


@both
def test_json_from_a_text_model_is_requested_with_response_format_json_object(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text('{"name": "Ada", "age": 36}'))
    ask(glm, stream, model="glm-4-plus", response_format=PERSON)
    assert emu.requests[0].body["response_format"] == {"type": "json_object"}


@both
def test_vllm_gets_response_format_and_tool_choice_without_an_instruction(stream: bool, emu: Emulator) -> None:
    emu.say(text('{"name": "Ada", "age": 36}'), call("weather", '{"town": "A"}'))
    with glmv.Client(emu.api_key, base_url=emu.proxy_url, dialect="vllm") as vllm:
        ask(vllm, stream, "Who?", response_format=PERSON)
        ask(vllm, stream, "Where?", tools=[WEATHER], tool_choice="required")
    assert emu.requests[0].body["response_format"] == PERSON
    assert emu.requests[1].body["tool_choice"] == "required"
    assert emu.requests[0].body["messages"] == [{"role": "user", "content": "Who?"}]


def test_a_tool_call_is_a_valid_answer_to_a_json_request_with_tools(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(call("weather", '{"town": "A"}'))
    answer = ask(glm, False, tools=[WEATHER], response_format=PERSON)
    assert [c.name for c in answer.tool_calls] == ["weather"]


def test_the_instruction_is_added_to_an_existing_system_message(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(call("clock", "{}"))
    messages = [glmv.Message("system", "Be brief."), glmv.Message("user", "Time?")]
    glm.chat(messages, tools=[CLOCK], tool_choice="required")
    system, _ = emu.requests[0].body["messages"]
    assert system["content"].startswith("Be brief.")
    assert len(messages) == 2
    assert messages[0].text == "Be brief."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("options", [{"response_format": PERSON}, {"tools": [WEATHER], "tool_choice": "required"}])
def test_withdrawn_content_is_returned_unchecked_if_on_sensitive_is_return(
    options: dict[str, Any], stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text("He is", finish_reason="sensitive"))
    answer = ask(glm, stream, on_sensitive="return", **options)
    assert answer.finish_reason == "sensitive"
    assert len(emu.requests) == 1


WRONG, RIGHT = '{"name": "Ada", "age": -1}', '{"name": "Ada", "age": 36}'


def test_a_stream_restarts_and_counts_both_turns_if_may_replace_is_set(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text(WRONG), text(RIGHT))
    deltas = list(glm.stream("Who?", response_format=PERSON, may_replace=True))
    assert "".join(delta.text for delta in deltas) == WRONG + RIGHT
    [second] = [at for at, delta in enumerate(deltas) if delta.replaces]
    assert "".join(delta.text for delta in deltas[second:]) == RIGHT
    assert [delta.last for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert (deltas[-1].usage, deltas[-1].attempts) == (glmv.Usage(20, 10, 30, 8, 2), 2)
    assert any("second time" in note for note in deltas[-1].notes)


def test_the_reasoning_of_a_replaced_answer_is_replaced(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text("-", reasoning="hmm"), text(RIGHT, reasoning="aha"))
    deltas = list(glm.stream("Who?", response_format=PERSON, may_replace=True))
    total = glmv.Accumulator()
    for delta in deltas:
        total.add(delta)
    assert (total.text, total.reasoning) == (RIGHT, "aha")
    assert [delta.replaces for delta in deltas].count(True) == 1


def test_the_answer_joined_from_a_replaced_stream_is_the_second_answer(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(call("weather", '{"town": 3}'), call("weather", '{"town": "Jinan"}'))
    answer = ask(glm, True, tools=[WEATHER], tool_choice="required", may_replace=True)
    assert [(each.name, each.arguments) for each in answer.tool_calls] == [("weather", '{"town": "Jinan"}')]
    emu.say(text(WRONG), text(RIGHT))
    assert ask(glm, True, response_format=PERSON, may_replace=True).text == RIGHT


async def test_the_async_client_replaces_a_streamed_answer_that_does_not_fit_the_schema(emu: Emulator) -> None:
    emu.say(text(WRONG), text(RIGHT))
    async with glmv.AsyncClient(emu.api_key, base_url=emu.base_url) as glm:
        total = glmv.Accumulator()
        async for delta in glm.stream("Who?", response_format=PERSON, may_replace=True):
            total.add(delta)
    assert total.text == RIGHT


def test_no_delta_replaces_text_that_the_stream_did_not_show(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text("Ada, who was 36."), text(RIGHT))
    deltas = list(glm.stream("Who?", response_format=PERSON, may_replace=True))
    assert not any(delta.replaces for delta in deltas)


@pytest.mark.parametrize("second", [WRONG, "Ada."])
def test_a_stream_is_replaced_only_once_and_then_raises(second: str, emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text(WRONG), text(second))
    with pytest.raises(glmv.MalformedResponse) as failed:
        ask(glm, True, response_format=PERSON, may_replace=True)
    assert (failed.value.partial.text, failed.value.attempts) == (second, 2)  # type: ignore[union-attr]  # there is one
    assert len(emu.requests) == 2


def test_a_streamed_answer_cut_off_by_max_tokens_raises_without_a_second_request(
    emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text('{"name": "Ada"', finish_reason="length"))
    with pytest.raises(glmv.MalformedResponse, match="max_tokens"):
        ask(glm, True, response_format=PERSON, may_replace=True)
    assert len(emu.requests) == 1


def test_a_misfit_in_shown_text_raises_if_may_replace_is_not_set(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text(WRONG))
    with pytest.raises(glmv.MalformedResponse, match="at least 0"):
        ask(glm, True, response_format=PERSON)
    assert len(emu.requests) == 1


@both
def test_a_pydantic_class_instead_of_the_schema_validates_the_json(
    stream: bool, monkeypatch: pytest.MonkeyPatch, emu: Emulator, glm: glmv.Client
) -> None:
    class Person(BaseModel):
        name: str
        age: int

        @field_validator("age")
        @classmethod
        def adult(cls, age: int) -> int:
            if age < 18:
                raise ValueError("not an adult")
            return age

    monkeypatch.setitem(sys.modules, "jsonschema", None)
    emu.say(text('{"name": "Ada", "age": "12"}'), text(RIGHT))
    answer = ask(glm, stream, response_format=PERSON, validate=Person, may_replace=True)
    assert answer.text == RIGHT
    assert "not an adult" in emu.requests[1].body["messages"][-1]["content"]


@pytest.mark.parametrize("options", [{"response_format": PERSON}, {"tools": [WEATHER], "tool_choice": "required"}])
def test_without_jsonschema_a_call_with_a_schema_is_refused_before_it_is_sent(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch, emu: Emulator, glm: glmv.Client
) -> None:
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    emu.say(text(RIGHT))
    with pytest.raises(glmv.InvalidRequestError, match=r"glmv\[schema\]"):
        ask(glm, False, **options)
    assert emu.requests == []
    emu.reset()


DRAFT = '{"name": "Eve", "age": 1}'


@both
def test_the_last_fitting_json_is_the_answer_with_and_without_streaming(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text(f"Perhaps {DRAFT}? No:\n```json\n{RIGHT}\n```", reasoning="hm"))
    answer = ask(glm, stream, response_format=PERSON, may_replace=True)
    assert (answer.text, answer.reasoning, answer.attempts) == (RIGHT, "hm", 1)
    assert any("JSON of a draft" in note for note in answer.notes) == stream


def test_the_final_object_replaces_a_streamed_draft(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text(f"{DRAFT} or {RIGHT}"))
    deltas = list(glm.stream("Who?", response_format=PERSON, may_replace=True))
    [at] = [at for at, delta in enumerate(deltas) if delta.replaces]
    assert "".join(delta.text for delta in deltas[:at]) == DRAFT
    assert [delta.text for delta in deltas[at:]] == [RIGHT, ""]


def test_json_after_a_streamed_draft_raises_if_may_replace_is_not_set(emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text(f"{DRAFT} or {RIGHT}"))
    with pytest.raises(glmv.MalformedResponse, match=r"the JSON of a draft, and other JSON follows\. \(req") as failed:
        ask(glm, True, response_format=PERSON)
    assert failed.value.partial is not None
    assert RIGHT in failed.value.partial.text
    assert len(emu.requests) == 1


@both
@pytest.mark.parametrize(
    "answer", [f"[{RIGHT}]", f'{{"result": {RIGHT}}}', f'{{"person": {RIGHT}}}', json.dumps(RIGHT)]
)
def test_wrappers_around_the_json_of_an_answer_are_removed(
    stream: bool, answer: str, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text(answer))
    assert ask(glm, stream, response_format=PERSON).text == RIGHT


def test_a_pydantic_class_validates_the_arguments_of_a_named_tool(emu: Emulator, glm: glmv.Client) -> None:
    class Weather(BaseModel):
        town: str

        @field_validator("town")
        @classmethod
        def exists(cls, town: str) -> str:
            if town == "Atlantis":
                raise ValueError("it sank")
            return town

    emu.say(call("weather", '{"town": "Atlantis"}'), call("weather", '{"town": "Jinan"}'))
    answer = glm.chat("Where?", tools=[WEATHER], tool_choice="weather", validate=Weather)
    assert json.loads(answer.tool_calls[0].arguments) == {"town": "Jinan"}
    assert "it sank" in emu.requests[1].body["messages"][-1]["content"]


def test_the_second_turn_quotes_the_answer_and_its_error() -> None:
    error = glmv.MalformedResponse(
        "It is not JSON.", attempts=1, partial=glmv.Completion(text="red", finish_reason="stop")
    )
    answer, question = glmv.second_turn(error)
    assert (answer.role, answer.text) == ("assistant", "red")
    assert (question.role, question.text) == ("user", "It is not JSON. Reply once more.")


@pytest.mark.parametrize("reason", [None, "length", "sensitive"])
def test_second_turn_raises_for_an_answer_that_is_unfinished_or_withdrawn(reason: str | None) -> None:
    error = glmv.MalformedResponse("m", attempts=1, partial=glmv.Completion(text="red", finish_reason=reason))
    with pytest.raises(glmv.MalformedResponse) as caught:
        glmv.second_turn(error)
    assert caught.value is error


@pytest.mark.parametrize(("reason", "hint"), [("length", True), ("stop", False)])
@pytest.mark.parametrize(
    ("options", "what"),
    [({"response_format": PERSON}, "JSON"), ({"tools": [WEATHER], "tool_choice": "required"}, "a tool call")],
)
def test_the_error_and_the_note_say_whether_max_tokens_cut_off_the_answer(
    reason: str, hint: bool, options: dict[str, Any], what: str, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(*[text("Ada was", finish_reason=reason)] * 4)
    with pytest.raises(glmv.MalformedResponse) as failed:
        ask(glm, False, **options)
    message = f"The model was asked for {what}, but its answer does not fit: "
    assert failed.value.message.startswith(message)
    assert failed.value.message.endswith(" The answer was cut off by max_tokens: raise that limit.") is hint
    returned = ask(glm, False, on_misfit="return", **options)
    assert returned.text == "Ada was"
    assert returned.notes[-1].startswith(f"The model was asked for {what}; this answer does not fit: ")
    assert returned.notes[-1].endswith(" The answer was cut off by max_tokens: raise that limit.") is hint


@both
def test_json_without_a_schema_is_requested_by_instruction_and_checked(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text("No JSON."), text('So: {"a": 1}'))
    assert ask(glm, stream, response_format={"type": "json_object"}).text == '{"a": 1}'
    system, user = emu.requests[0].body["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    assert system["content"].startswith("Reply with a single JSON object and nothing else")
    assert "response_format" not in emu.requests[0].body


@both
def test_the_response_format_text_adds_no_field_and_no_instruction(
    stream: bool, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text("Ada."))
    assert ask(glm, stream, response_format={"type": "text"}).text == "Ada."
    assert [message["role"] for message in emu.requests[0].body["messages"]] == ["user"]
    assert "response_format" not in emu.requests[0].body


@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (call("weather", "[1]"), "the arguments of weather are not a JSON object"),
        (call("weather", "3"), "the arguments of weather are not a JSON object"),
        (call("weather", '{"town": '), "the arguments of weather are not JSON ("),
        (call("moon", "{}"), "it calls 'moon', which is not one of weather, clock"),
        (text("Sun."), "it calls no tool"),
        (call("weather", "{}"), "in the arguments of weather, the answer lacks 'town'"),
    ],
    ids=["a list", "a number", "cut", "another tool", "prose", "misfit"],
)
def test_the_second_turn_names_the_problem_of_the_call(
    first: Reply, problem: str, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(first, call("weather", '{"town": "Jinan"}'))
    answer = ask(glm, False, tools=[WEATHER, CLOCK], tool_choice="required")
    assert [each.name for each in answer.tool_calls] == ["weather"]
    reply = emu.requests[1].body["messages"][-1]["content"]
    assert reply.startswith(f"Your last reply cannot be used, since {problem}")
    assert "Call one of the tools weather, clock now." in reply
    assert f"The model was asked a second time. The problem with its first answer: {problem}" in answer.notes[-1]


@pytest.mark.parametrize(
    ("choice", "words"),
    [("required", "Call one of the tools weather, clock now."), ("clock", "Call the tool clock now.")],
)
def test_the_instruction_names_the_tools_that_may_be_called(
    choice: str, words: str, emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(call("clock", ""))
    answer = ask(glm, False, tools=[WEATHER, CLOCK], tool_choice=choice)
    assert [each.name for each in answer.tool_calls] == ["clock"]
    assert words in emu.requests[0].body["messages"][0]["content"]


@pytest.mark.parametrize("choice", [None, False, "auto", {"type": "auto"}])
def test_tool_choice_auto_adds_no_instruction(choice: Any, emu: Emulator, glm: glmv.Client) -> None:
    emu.say(text("Hello"))
    assert ask(glm, False, tools=[WEATHER], tool_choice=choice).text == "Hello"
    assert [message["role"] for message in emu.requests[0].body["messages"]] == ["user"]
    assert emu.requests[0].body.get("tool_choice") == ("auto" if choice else None)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "required"}, {"name": "weather"}])
def test_forms_of_tool_choice_of_other_providers_are_accepted(choice: Any, emu: Emulator, glm: glmv.Client) -> None:
    emu.say(call("weather", '{"town": "Jinan"}'))
    assert ask(glm, False, tools=[WEATHER], tool_choice=choice).tool_calls
    assert emu.requests[0].body["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tools": [WEATHER], "tool_choice": "moon"}, 'tool_choice names "moon", which is not among the tools'),
        ({"tool_choice": "required"}, "needs tools; the request has none"),
        ({"tools": [WEATHER], "tool_choice": {"type": "moon"}}, "tool_choice takes 'auto', 'none', 'required'"),
        ({"response_format": {"type": "xml"}}, "response_format takes {'type': 'json_object'} or"),
        ({"response_format": {"type": "json_schema"}}, "response_format takes {'type': 'json_object'} or"),
    ],
)
def test_an_invalid_tool_choice_or_response_format_is_refused_with_the_valid_forms(
    options: dict[str, Any], message: str, emu: Emulator, glm: glmv.Client
) -> None:
    with pytest.raises(glmv.InvalidRequestError) as refused:
        ask(glm, False, **options)
    assert message.replace('"', "'") in refused.value.message.replace('"', "'")
    assert emu.requests == []


def test_llama_cpp_gets_only_the_named_tool_and_tool_choice_required(emu: Emulator) -> None:
    emu.say(call("clock", "{}"), call("weather", '{"town": "A"}'))
    with glmv.Client(emu.api_key, base_url=emu.proxy_url, dialect="llama.cpp") as server:
        ask(server, False, tools=[WEATHER, CLOCK], tool_choice="clock")
        ask(server, False, tools=[WEATHER, CLOCK], tool_choice="required")
    named, any_of_them = (request.body for request in emu.requests)
    assert ([tool["function"]["name"] for tool in named["tools"]], named["tool_choice"]) == (["clock"], "required")
    assert (len(any_of_them["tools"]), any_of_them["tool_choice"]) == (2, "required")
    assert named["messages"] == any_of_them["messages"] == [{"role": "user", "content": "Who is that?"}]


@pytest.mark.parametrize(
    ("words", "policy", "returned"),
    [
        (WRONG, "raise", False),
        (WRONG, "return_value", True),
        ("Ada.", "return_value", False),
        ("Ada.", "return", True),
    ],
)
def test_on_misfit_decides_whether_a_second_answer_that_does_not_fit_is_returned(
    words: str, policy: str, returned: bool, emu: Emulator, glm: glmv.Client, caplog: pytest.LogCaptureFixture
) -> None:
    emu.say(text(words), text(words))
    if not returned:
        with pytest.raises(glmv.MalformedResponse) as failed:
            ask(glm, False, response_format=PERSON, on_misfit=policy)
        assert failed.value.attempts == 2
        return
    answer = ask(glm, False, response_format=PERSON, on_misfit=policy)
    assert (answer.text, answer.attempts) == (words, 2)
    assert "this answer does not fit" in answer.notes[-1]
    assert "returned with a note" in caplog.text
    assert words not in caplog.text


@both
def test_prose_before_a_required_call_is_part_of_the_answer(stream: bool, emu: Emulator, glm: glmv.Client) -> None:
    emu.say(Reply(chunking=["I look. "], tool_calls=[ToolCall("clock", "{}")], usage=USAGE))
    answer = ask(glm, stream, tools=[CLOCK], tool_choice="required")
    assert (answer.text, [each.name for each in answer.tool_calls]) == ("I look. ", ["clock"])
    assert answer.attempts == 1


def test_second_turn_quotes_tool_calls_and_the_word_nothing_for_an_empty_answer() -> None:
    calling = glmv.Completion(text="", tool_calls=(glmv.ToolCall("1", "f", "{"),), finish_reason="stop")
    silent = glmv.Completion(text="", finish_reason="stop")
    for partial, quoted in ((calling, "{"), (silent, "(nothing)")):
        answer, _ = glmv.second_turn(glmv.MalformedResponse("m", attempts=1, partial=partial))
        assert answer.text == quoted


def test_second_turn_raises_after_two_attempts_or_without_an_answer() -> None:
    partial = glmv.Completion(text="red", finish_reason="stop", attempts=1)
    for error in (glmv.MalformedResponse("m", attempts=2, partial=partial), glmv.MalformedResponse("m", attempts=1)):
        with pytest.raises(glmv.MalformedResponse) as caught:
            glmv.second_turn(error)
        assert caught.value is error


def test_with_tools_the_instruction_asks_for_json_only_in_answers_without_calls(
    emu: Emulator, glm: glmv.Client
) -> None:
    emu.say(text(RIGHT))
    assert ask(glm, False, tools=[WEATHER], response_format=PERSON).text == RIGHT
    assert "in which you call no tool" in emu.requests[0].body["messages"][0]["content"]
    emu.say(text(RIGHT))
    ask(glm, False, response_format=PERSON)
    assert "in which you call no tool" not in emu.requests[1].body["messages"][0]["content"]


THOUGHT = f"Maybe {DRAFT}? No.</think>{RIGHT}"


def test_json_in_reasoning_that_was_sent_as_text_is_not_the_answer(emu: Emulator) -> None:
    emu.say(text(THOUGHT))
    with glmv.Client(emu.api_key, base_url=emu.proxy_url) as server:
        message = r"the stream has shown JSON of the reasoning, because the server sent the reasoning as text\."
        with pytest.raises(glmv.MalformedResponse, match=message) as failed:
            ask(server, True, response_format=PERSON)
    assert failed.value.partial is not None
    assert failed.value.partial.text == RIGHT


@both
def test_with_tools_a_text_that_contains_reasoning_is_returned(stream: bool, emu: Emulator) -> None:
    emu.say(text(THOUGHT))
    with glmv.Client(emu.api_key, base_url=emu.proxy_url, dialect="vllm") as server:
        answer = ask(server, stream, tools=[WEATHER], parallel_tool_calls=False)
    assert answer.text.endswith(RIGHT)
    assert answer.attempts == 1


def test_vllm_gets_all_tools_and_the_name_of_the_tool_to_call(emu: Emulator) -> None:
    emu.say(call("clock", "{}"))
    with glmv.Client(emu.api_key, base_url=emu.proxy_url, dialect="vllm") as server:
        ask(server, False, tools=[WEATHER, CLOCK], tool_choice="clock")
    body = emu.requests[0].body
    assert body["tool_choice"] == {"type": "function", "function": {"name": "clock"}}
    assert (len(body["tools"]), len(body["messages"])) == (2, 1)


def test_a_class_for_the_json_does_not_check_the_arguments_of_a_named_tool(emu: Emulator, glm: glmv.Client) -> None:
    class Person(BaseModel):
        name: str

    emu.say(call("weather", '{"town": "Jinan"}'))
    answer = glm.chat("Where?", tools=[WEATHER], tool_choice="weather", response_format=PERSON, validate=Person)
    assert (answer.tool_calls[0].arguments, answer.attempts) == ('{"town": "Jinan"}', 1)


@pytest.mark.parametrize("first", [True, False])
def test_the_usage_of_a_call_is_that_of_the_only_answer_that_has_usage(first: bool) -> None:
    usage, no_usage = glmv.Usage(10, 5, 15), None
    request = chat_request("Who?", glmv.Options(), {"response_format": PERSON})
    plan = plan_for(request, DIALECTS["platform"])
    misfit = plan.judge(glmv.Completion(text="Ada.", usage=usage if first else no_usage, attempts=1))
    assert (plan.done, misfit.text) == (False, "Ada.")
    answer = plan.judge(glmv.Completion(text=RIGHT, usage=no_usage if first else usage, attempts=1))
    assert (plan.done, answer.text, answer.usage, answer.attempts) == (True, RIGHT, usage, 2)


@pytest.mark.parametrize("dialect", ["vllm", "openrouter", "llama.cpp"])
def test_a_server_with_a_json_field_gets_no_instruction_and_a_class_checks_the_json(dialect: str) -> None:
    class Person(BaseModel):
        name: str

    request = chat_request("Who is that?", glmv.Settings(), {"response_format": PERSON, "validate": Person})
    plan = plan_for(request, DIALECTS[dialect])
    assert plan.request.messages == request.messages
    assert plan.request.options["response_format"] == PERSON
    plan.judge(glmv.Completion(text="nobody", finish_reason="stop"))
    assert not plan.done
    assert plan.request.options["response_format"] == PERSON
    assert plan.judge(glmv.Completion(text='So: {"name": "Ada"}', finish_reason="stop")).text == '{"name": "Ada"}'


@pytest.mark.parametrize(
    ("wanted", "validate"),
    [(PERSON, None), (PERSON, str.upper), ({"type": "structural_tag"}, BaseModel), ({"type": "text"}, BaseModel)],
    ids=["no class", "function", "tag", "text"],
)
def test_a_server_with_a_json_field_is_not_checked_without_a_class_for_the_json(wanted: Any, validate: Any) -> None:
    request = chat_request("Who?", glmv.Settings(), {"response_format": wanted, "validate": validate})
    plan = plan_for(request, DIALECTS["vllm"])
    plan.judge(glmv.Completion(text="nobody", finish_reason="stop"))
    assert plan.done
