"""Forced tools and JSON answers on a platform that knows neither: asked for, checked, and asked for once more."""

import json
import sys
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, field_validator

import glmv

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


def call(name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"tool_calls": [{"id": f"call_{name}", "type": "function", "function": function}]}


def text(content: str) -> dict[str, Any]:
    return {"content": content}


class Script:
    """A server that gives one scripted message after the other and keeps the bodies it got."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.bodies: list[dict[str, Any]] = []
        self.glm = glmv.Client(
            "test-id.test-secret",
            base_url="https://open.bigmodel.cn/api/paas/v4",
            http_client=httpx.Client(transport=httpx.MockTransport(self.answer)),
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        message = self.messages.pop(0)
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        head = {"id": "1", "created": 1, "model": body["model"]}
        finish = message.pop("finish", "tool_calls" if message.get("tool_calls") else "stop")
        if not body.get("stream"):
            choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **message}}
            return httpx.Response(200, json={**head, "choices": [choice], "usage": usage})
        thought = [{"reasoning_content": message["reasoning_content"]}] if "reasoning_content" in message else []
        pieces = [*thought, *({"content": char} for char in message.get("content", ""))] or [message]
        chunks = [{**head, "choices": [{"index": 0, "delta": piece}]} for piece in pieces]
        chunks.append({**head, "choices": [{"index": 0, "finish_reason": finish, "delta": {}}], "usage": usage})
        events = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=events)

    def ask(self, stream: bool, prompt: str = "Who is that?", **options: Any) -> glmv.Completion:
        if not stream:
            return self.glm.chat(prompt, **options)
        total = glmv.Accumulator()
        for delta in self.glm.stream(prompt, **options):
            total.add(delta)
        return total.completion()


both = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@both
def test_a_forced_tool_is_asked_for_in_words_and_never_sent_as_a_choice(stream: bool) -> None:
    server = Script(call("weather", '{"town": "Jinan"}'))
    answer = server.ask(stream, tools=[WEATHER, CLOCK], tool_choice="required")
    assert [(c.name, json.loads(c.arguments)) for c in answer.tool_calls] == [("weather", {"town": "Jinan"})]
    [body] = server.bodies
    assert "tool_choice" not in body
    assert body["messages"][0]["role"] == "system"


@both
@pytest.mark.parametrize(
    "choice", ["clock", {"type": "function", "function": {"name": "clock"}}, {"type": "tool", "name": "clock"}]
)
def test_a_named_tool_is_the_only_one_offered(stream: bool, choice: Any) -> None:
    server = Script(call("clock", "{}"))
    server.ask(stream, tools=[WEATHER, CLOCK], tool_choice=choice)
    assert [tool["function"]["name"] for tool in server.bodies[0]["tools"]] == ["clock"]


@both
@pytest.mark.parametrize("choice", ["any", "required", True])
def test_prose_instead_of_a_call_is_shown_to_the_model_once_and_both_turns_are_counted(
    stream: bool, choice: str | bool
) -> None:
    server = Script(text("It is sunny."), call("weather", '{"town": "Jinan"}'))
    answer = server.ask(stream, tools=[WEATHER], tool_choice=choice)
    assert answer.text == ""
    assert [c.name for c in answer.tool_calls] == ["weather"]
    assert answer.usage == glmv.Usage(20, 10, 30)
    assert answer.attempts == 2
    assert any("second time" in note for note in answer.notes)
    said = server.bodies[1]["messages"]
    assert said[-2] == {"role": "assistant", "content": "It is sunny."}
    assert said[-1]["role"] == "user"


@both
@pytest.mark.parametrize(
    ("first", "problem"),
    [
        (call("weather", "{}"), "lacks 'town'"),
        (call("weather", '{"town": '), "not JSON"),
        (call("weather", '{"town": 3}'), "type string"),
    ],
)
def test_arguments_that_do_not_fit_the_tool_are_sent_back_with_what_is_wrong(
    stream: bool, first: dict[str, Any], problem: str
) -> None:
    if stream:
        server = Script(first)
        with pytest.raises(glmv.MalformedResponse, match=problem):
            server.ask(stream, tools=[WEATHER], tool_choice="required")
        return
    server = Script(first, call("weather", '{"town": "Jinan"}'))
    answer = server.ask(stream, tools=[WEATHER], tool_choice="required")
    assert json.loads(answer.tool_calls[0].arguments) == {"town": "Jinan"}
    assert problem in server.bodies[1]["messages"][-1]["content"]


@both
def test_a_model_that_fails_twice_raises_with_its_answer(stream: bool) -> None:
    server = Script(text("No."), text("Still no."))
    with pytest.raises(glmv.MalformedResponse) as caught:
        server.ask(stream, tools=[WEATHER], tool_choice="required")
    assert caught.value.partial is not None
    assert caught.value.partial.text == "Still no."


@both
def test_none_takes_the_tools_away(stream: bool) -> None:
    server = Script(text("Hello"))
    server.ask(stream, tools=[WEATHER], tool_choice="none")
    assert "tools" not in server.bodies[0]


@both
def test_auto_is_sent_as_it_is_and_absent_stays_absent(stream: bool) -> None:
    server = Script(text("Hello"), text("Hello"))
    server.ask(stream, tools=[WEATHER], tool_choice="auto")
    server.ask(stream, tools=[WEATHER])
    assert server.bodies[0]["tool_choice"] == "auto"
    assert "tool_choice" not in server.bodies[1]


@both
def test_one_call_only_when_parallel_calls_are_off(stream: bool) -> None:
    two = {"tool_calls": [*call("weather", '{"town": "A"}')["tool_calls"], *call("clock", "{}")["tool_calls"]]}
    server = Script(two)
    answer = server.ask(stream, tools=[WEATHER, CLOCK], parallel_tool_calls=False)
    assert [c.name for c in answer.tool_calls] == ["weather"]
    assert "parallel_tool_calls" not in server.bodies[0]


@pytest.mark.parametrize("choice", ["moon", {"type": "function", "function": {"name": "moon"}}, 3])
def test_a_choice_that_names_no_tool_is_refused_before_sending(choice: Any) -> None:
    server = Script()
    with pytest.raises(glmv.InvalidRequestError):
        server.ask(False, tools=[WEATHER], tool_choice=choice)
    assert server.bodies == []


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
def test_json_comes_bare_however_the_model_wraps_it(stream: bool, answer: str) -> None:
    server = Script(text(answer))
    found = server.ask(stream, response_format=PERSON)
    assert found.text == '{"name": "Ada", "age": 36}'
    assert "response_format" not in server.bodies[0]
    assert "minimum" in server.bodies[0]["messages"][0]["content"]


def test_json_is_streamed_as_it_comes_and_not_held_until_the_end() -> None:
    server = Script(text('Sure: {"name": "Ada", "age": 36} Bye.'))
    pieces = [delta.text for delta in server.glm.stream("Who?", response_format=PERSON) if delta.text]
    assert len(pieces) > 10
    assert "".join(pieces) == '{"name": "Ada", "age": 36}'


@both
def test_prose_without_json_is_asked_again(stream: bool) -> None:
    server = Script(text("Ada, who was 36."), text('{"name": "Ada", "age": 36}'))
    assert json.loads(server.ask(stream, response_format=PERSON).text)["age"] == 36


def test_json_that_does_not_fit_is_asked_again_with_the_reason() -> None:
    server = Script(text('{"name": "Ada", "age": -1}'), text('{"name": "Ada", "age": 36}'))
    assert json.loads(server.ask(False, response_format=PERSON).text)["age"] == 36
    assert "age has to be at least 0" in server.bodies[1]["messages"][-1]["content"]


def test_the_callers_own_check_decides_and_its_words_reach_the_model() -> None:
    def check(found: str) -> None:
        if json.loads(found)["age"] != 36:
            raise ValueError("the age is wrong by years")

    server = Script(text('{"name": "Ada", "age": 3}'), text('{"name": "Ada", "age": 36}'))
    server.ask(False, response_format=PERSON, validate=check)
    assert "wrong by years" in server.bodies[1]["messages"][-1]["content"]


@both
def test_text_models_get_the_json_mode_that_they_document(stream: bool) -> None:
    server = Script(text('{"name": "Ada", "age": 36}'))
    server.ask(stream, model="glm-4-plus", response_format=PERSON)
    assert server.bodies[0]["response_format"] == {"type": "json_object"}


@both
def test_a_server_that_obeys_the_fields_is_left_alone(stream: bool) -> None:
    server = Script(text('{"name": "Ada", "age": 36}'), call("weather", '{"town": "A"}'))
    vllm = glmv.Client(base_url="http://127.0.0.1:8000/v1", dialect="vllm", http_client=server.glm.settings.http_client)
    ask: Callable[..., Any] = (lambda *a, **k: list(vllm.stream(*a, **k))) if stream else vllm.chat
    ask("Who?", response_format=PERSON)
    ask("Where?", tools=[WEATHER], tool_choice="required")
    assert server.bodies[0]["response_format"] == PERSON
    assert server.bodies[1]["tool_choice"] == "required"
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "Who?"}]


def test_a_tool_call_is_an_answer_too_when_json_is_asked_for_beside_tools() -> None:
    server = Script(call("weather", '{"town": "A"}'))
    answer = server.ask(False, tools=[WEATHER], response_format=PERSON)
    assert [c.name for c in answer.tool_calls] == ["weather"]


def test_the_instruction_joins_the_system_message_that_is_there() -> None:
    server = Script(call("clock", "{}"))
    messages = [glmv.Message("system", "Be brief."), glmv.Message("user", "Time?")]
    server.glm.chat(messages, tools=[CLOCK], tool_choice="required")
    system, _ = server.bodies[0]["messages"]
    assert system["content"].startswith("Be brief.")
    assert len(messages) == 2
    assert messages[0].text == "Be brief."


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wanted", [{"response_format": PERSON}, {"tools": [WEATHER], "tool_choice": "required"}])
def test_what_was_withdrawn_is_handed_over_unchecked_where_the_app_judges_itself(
    wanted: dict[str, Any], stream: bool
) -> None:
    script = Script({"content": "He is", "finish": "sensitive"})
    answer = script.ask(stream, on_sensitive="return", **wanted)
    assert answer.finish_reason == "sensitive"
    assert len(script.bodies) == 1


WRONG, RIGHT = '{"name": "Ada", "age": -1}', '{"name": "Ada", "age": 36}'


def test_a_stream_that_may_be_replaced_begins_anew_and_counts_both_turns() -> None:
    server = Script(text(WRONG), text(RIGHT))
    deltas = list(server.glm.stream("Who?", response_format=PERSON, may_replace=True))
    assert "".join(delta.text for delta in deltas) == WRONG + RIGHT
    [second] = [at for at, delta in enumerate(deltas) if delta.replaces]
    assert "".join(delta.text for delta in deltas[second:]) == RIGHT
    assert [delta.last for delta in deltas] == [False] * (len(deltas) - 1) + [True]
    assert (deltas[-1].usage, deltas[-1].attempts) == (glmv.Usage(20, 10, 30), 2)
    assert any("second time" in note for note in deltas[-1].notes)


def test_the_thoughts_of_a_replaced_answer_are_replaced_too() -> None:
    first, second = (
        {"reasoning_content": thought, "content": said} for thought, said in (("hmm", "-"), ("aha", RIGHT))
    )
    deltas = list(Script(first, second).glm.stream("Who?", response_format=PERSON, may_replace=True))
    total = glmv.Accumulator()
    for delta in deltas:
        total.add(delta)
    assert (total.text, total.reasoning) == (RIGHT, "aha")
    assert [delta.replaces for delta in deltas].count(True) == 1


def test_the_sum_of_a_replaced_stream_is_its_second_answer() -> None:
    call_of = call("weather", '{"town": 3}'), call("weather", '{"town": "Jinan"}')
    server = Script(*call_of)
    answer = server.ask(True, tools=[WEATHER], tool_choice="required", may_replace=True)
    assert [(found.name, found.arguments) for found in answer.tool_calls] == [("weather", '{"town": "Jinan"}')]
    assert Script(text(WRONG), text(RIGHT)).ask(True, response_format=PERSON, may_replace=True).text == RIGHT


async def test_the_asynchronous_client_begins_anew_too() -> None:
    server = Script(text(WRONG), text(RIGHT))
    http = httpx.AsyncClient(transport=httpx.MockTransport(server.answer))
    async with http:
        glm = glmv.AsyncClient("test-id.test-secret", base_url=server.glm.settings.base_url, http_async_client=http)
        total = glmv.Accumulator()
        async for delta in glm.stream("Who?", response_format=PERSON, may_replace=True):
            total.add(delta)
    assert total.text == RIGHT


def test_what_was_not_shown_is_not_replaced() -> None:
    server = Script(text("Ada, who was 36."), text(RIGHT))
    deltas = list(server.glm.stream("Who?", response_format=PERSON, may_replace=True))
    assert not any(delta.replaces for delta in deltas)


@pytest.mark.parametrize("second", [WRONG, "Ada."])
def test_a_stream_is_replaced_once_and_then_raises(second: str) -> None:
    server = Script(text(WRONG), text(second))
    with pytest.raises(glmv.MalformedResponse) as failed:
        server.ask(True, response_format=PERSON, may_replace=True)
    assert (failed.value.partial.text, failed.value.attempts) == (second, 2)  # type: ignore[union-attr]  # there is one
    assert len(server.bodies) == 2


def test_what_was_shown_and_cut_off_is_not_asked_for_again() -> None:
    server = Script({**text('{"name": "Ada"'), "finish": "length"})
    with pytest.raises(glmv.MalformedResponse, match="max_tokens"):
        server.ask(True, response_format=PERSON, may_replace=True)


def test_without_leave_what_was_shown_is_not_replaced() -> None:
    server = Script(text(WRONG))
    with pytest.raises(glmv.MalformedResponse, match="at least 0"):
        server.ask(True, response_format=PERSON)
    assert len(server.bodies) == 1


@both
def test_a_pydantic_class_judges_in_place_of_the_schema(stream: bool, monkeypatch: pytest.MonkeyPatch) -> None:
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
    server = Script(text('{"name": "Ada", "age": "12"}'), text(RIGHT))
    answer = server.ask(stream, response_format=PERSON, validate=Person, may_replace=True)
    assert answer.text == RIGHT
    assert "not an adult" in server.bodies[1]["messages"][-1]["content"]


def test_a_second_turn_quotes_the_answer_and_says_what_is_wrong() -> None:
    error = glmv.MalformedResponse(
        "It is not JSON.", attempts=1, partial=glmv.Completion(text="red", finish_reason="stop")
    )
    answer, question = glmv.second_turn(error)
    assert (answer.role, answer.text) == ("assistant", "red")
    assert (question.role, question.text) == ("user", "It is not JSON. Reply once more.")


@pytest.mark.parametrize("reason", [None, "length", "sensitive"])
def test_there_is_no_second_turn_where_it_would_not_help(reason: str | None) -> None:
    error = glmv.MalformedResponse("m", attempts=1, partial=glmv.Completion(text="red", finish_reason=reason))
    with pytest.raises(glmv.MalformedResponse) as caught:
        glmv.second_turn(error)
    assert caught.value is error
