"""`/v1` accepts requests for OpenAI-compatible servers, such as captured requests of well-known agents."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import pytest
from PIL import Image

from glmv_emulator.platform.models import MODELS
from glmv_emulator.platform.rules import check
from glmv_emulator.platform.settings import Settings

Body = dict[str, Any]


def pixels() -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


PICTURE: Body = {"type": "image_url", "image_url": {"url": pixels()}}


def text(content: str) -> Body:
    return {"type": "text", "text": content}


def function(name: str, *required: str, **more: Any) -> Body:
    """A tool whose arguments are strings."""
    properties = {name: {"type": "string"} for name in required}
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": "Does it.", "parameters": parameters, **more}}


def tool_call(name: str, **arguments: Any) -> Body:
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


WEATHER = function("get_weather", "city")
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "country": {"type": "string"}},
    "required": ["city", "country"],
    "additionalProperties": False,
}
THOUGHT = {
    "type": "object",
    "properties": {"thought": {"type": "string"}, "code": {"type": "string"}},
    "required": ["thought", "code"],
    "additionalProperties": False,
    "title": "ThoughtAndCodeAnswer",
}


def schema(name: str, inner: Body) -> Body:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": inner, "strict": True}}


# Bodies as the libraries sent them to a server of their own, with shorter texts and fewer actions.
SMOLAGENTS: dict[str, Body] = {
    "a tool call": {
        "model": "glm-4.6v",
        "messages": [
            {"role": "system", "content": [text("You solve tasks by tool calls.")]},
            {"role": "user", "content": [text("New task:\nWeather in Paris?"), PICTURE]},
            {"role": "assistant", "content": [text("Calling tools:\n[{'id': 'call_1', 'type': 'function'}]")]},
            {"role": "user", "content": [PICTURE, text("Observation:\nsunny")]},
        ],
        "stop": ["Observation:", "Calling tools:"],
        "tool_choice": "required",
        "tools": [WEATHER, function("final_answer", "answer")],
    },
    "structured code, streamed": {
        "model": "glm-4.6v",
        "stream": True,
        "messages": [
            {"role": "system", "content": [text("You solve tasks by code.")]},
            {"role": "user", "content": [text("New task:\nWhat is it?"), PICTURE]},
        ],
        "response_format": schema("ThoughtAndCodeAnswer", THOUGHT),
        "stop": ["Observation:", "Calling tools:", "</code>"],
        "stream_options": {"include_usage": True},
    },
}
PYDANTIC_AI: dict[str, Body] = {
    "tool output, after a tool": {
        "model": "glm-4.6v",
        "stream": False,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Look closely."},
            {"role": "user", "content": [text("What?"), PICTURE]},
            {"role": "assistant", "content": None, "tool_calls": [tool_call("get_weather", city="x")]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
        "tool_choice": "required",
        "tools": [function("get_weather", "city", strict=True), function("final_result", "city", strict=True)],
    },
    "native output": {
        "model": "glm-4.6v",
        "stream": False,
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [text("What?"), PICTURE]},
        ],
        "response_format": schema("City", CITY),
        "tool_choice": "auto",
        "tools": [function("get_weather", "city", strict=True)],
    },
    "prompted output": {
        "model": "glm-4.6v",
        "stream": False,
        "messages": [
            {"role": "system", "content": f"Respond with a JSON object of this schema:\n\n{json.dumps(CITY)}"},
            {"role": "user", "content": [text("What?"), PICTURE]},
        ],
        "response_format": {"type": "json_object"},
    },
    "text, streamed": {
        "model": "glm-4.6v",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [text("What?"), PICTURE]},
        ],
        "stream_options": {"include_usage": True},
        "tool_choice": "auto",
        "tools": [function("get_weather", "city", strict=True)],
    },
}
ACTION = {
    "type": "object",
    "properties": {"done": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}},
    "required": ["done"],
    "additionalProperties": False,
}
STEP = {
    "type": "object",
    "properties": {
        "thinking": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "action": {"type": "array", "items": {"anyOf": [ACTION]}, "min_items": 1},
    },
    "required": ["thinking", "action"],
    "additionalProperties": False,
}
BROWSER_USE: dict[str, Body] = {
    "a step": {
        "model": "glm-4.6v",
        "messages": [
            {"role": "system", "content": "You browse."},
            {
                "role": "user",
                "content": [
                    text("state"),
                    {"type": "image_url", "image_url": {"url": pixels(), "detail": "auto"}},
                ],
            },
        ],
        "frequency_penalty": 0.3,
        "max_completion_tokens": 4096,
        "response_format": schema("agent_output", STEP),
        "temperature": 0.2,
    },
}
AGENTS = {
    f"{library}: {case}": body
    for library, cases in {"smolagents": SMOLAGENTS, "pydantic-ai": PYDANTIC_AI, "browser-use": BROWSER_USE}.items()
    for case, body in cases.items()
}


def post(glm: Any, body: Body) -> Any:
    return glm.http.post(f"{glm.emu.proxy_url}/chat/completions", json=body)


def hello(**more: Any) -> Body:
    return {"model": "glm-4.6v", "messages": [{"role": "user", "content": "Hello"}], **more}


def frames(answer: Any) -> list[Any]:
    events = [event.removeprefix("data: ") for event in answer.text.split("\n\n") if event]
    return [json.loads(event) for event in events if event != "[DONE]"]


@pytest.mark.parametrize("case", AGENTS)
@pytest.mark.parametrize("strict", [False, True])
def test_a_request_of_a_well_known_agent_is_answered(emulate: Any, case: str, strict: bool) -> None:
    body = AGENTS[case]
    answer = post(emulate(strict={"fields", "detail", "tool-turns"} if strict else ()), body)
    assert answer.status_code == 200, answer.text
    if body.get("stream"):
        choices = [choice for frame in frames(answer) for choice in frame["choices"]]
        assert choices[-1]["finish_reason"] in ("stop", "tool_calls")
        assert frames(answer)[-1]["usage"]["total_tokens"] > 0
    else:
        message = answer.json()["choices"][0]["message"]
        assert message["content"] or message["tool_calls"]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool"])
def test_on_v1_a_message_of_any_role_can_have_a_content_list_with_a_picture(glm: Any, role: str) -> None:
    message: Body = {"role": role, "content": [text("Look"), PICTURE]}
    if role == "tool":
        message["tool_call_id"] = "call_1"
    before = [{"role": "assistant", "content": None, "tool_calls": [tool_call("look")]}] if role == "tool" else []
    messages = [{"role": "user", "content": "Hello"}, *before, message]
    answer = post(glm, {"model": "glm-4.6v", "messages": messages})
    assert answer.status_code == 200, answer.text
    assert glm.emu.requests[-1].media[0].width == 8


@pytest.mark.parametrize(
    "roles", [["system"], ["developer"], ["assistant", "user"], ["system", "assistant", "user"], ["user", "system"]]
)
def test_on_v1_the_order_of_message_roles_is_not_checked(glm: Any, roles: list[str]) -> None:
    body = {"model": "glm-4.6v", "messages": [{"role": role, "content": "Hello"} for role in roles]}
    assert post(glm, body).status_code == 200


@pytest.mark.parametrize(
    "more",
    [
        {"temperature": 1.5},
        {"top_p": 0},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"stop": "a"},
        {"user": "me"},
        {"user_id": "me"},
        {"request_id": "me"},
        {"seed": 5, "n": 1, "logprobs": False, "presence_penalty": 1, "parallel_tool_calls": False, "store": False},
        {"tools": [{"type": "function", "function": {"name": "look", "description": None}}]},
        {"tool_choice": "auto", "tools": [WEATHER]},
        {"tool_choice": "none", "tools": [WEATHER]},
        {"tool_choice": "none"},
        {"tool_choice": {"type": "function", "function": {"name": "get_weather"}}, "tools": [WEATHER]},
        {"response_format": {"type": "text"}},
        {"reasoning_effort": "low"},
    ],
)
def test_requests_valid_for_openai_compatible_servers_are_accepted(glm: Any, more: Body) -> None:
    assert post(glm, hello(**more)).status_code == 200


@pytest.mark.parametrize(
    ("status", "kind", "more"),
    [
        (400, "invalid_request_error", {"temperature": 2.5}),
        (400, "invalid_request_error", {"tool_choice": "required"}),
        (400, "invalid_request_error", {"tool_choice": "sometimes", "tools": [WEATHER]}),
        (
            400,
            "invalid_request_error",
            {"tool_choice": {"type": "function", "function": {"name": "fly"}}, "tools": [WEATHER]},
        ),
        (400, "invalid_request_error", {"response_format": {"type": "json_schema"}}),
        (400, "invalid_request_error", {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}),
        (400, "invalid_request_error", {"stream_options": {"include_usage": True}}),
        (400, "invalid_request_error", {"messages": [{"role": "robot", "content": "x"}]}),
        (400, "invalid_request_error", {"messages": [{"role": "user"}]}),
        (404, "not_found_error", {"model": "glm-9v"}),
    ],
)
def test_requests_that_openai_compatible_servers_refuse_get_openai_errors(
    glm: Any, status: int, kind: str, more: Body
) -> None:
    answer = post(glm, hello(**more))
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (status, kind)
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["message"].isascii()


@pytest.mark.parametrize("options", [{}, {"stream_options": None}, {"stream_options": {"include_usage": False}}])
def test_on_v1_a_stream_has_usage_only_if_the_request_asks_for_usage(glm: Any, options: Body) -> None:
    without = frames(post(glm, hello(stream=True, **options)))
    assert not any("usage" in frame for frame in without)
    result = frames(post(glm, hello(stream=True, stream_options={"include_usage": True})))
    assert result[-1]["choices"] == []
    assert result[-1]["usage"]["total_tokens"] > 0


@pytest.mark.parametrize("choice", ["none", "required", {"type": "function", "function": {"name": "get_weather"}}])
def test_tool_choice_and_response_format_are_obeyed_only_on_v1(choice: Any) -> None:
    body = hello(tools=[WEATHER], tool_choice=choice, response_format=schema("City", CITY))
    obeyed = check(body, MODELS["glm-4.6v"], Settings(), proxied=True)
    assert (obeyed.tool_choice, obeyed.response_format) == (choice, body["response_format"])
    ignored = check(body, MODELS["glm-4.6v"], Settings())
    assert (ignored.tool_choice, ignored.response_format) == (None, None)


def test_on_v1_a_strict_emulator_refuses_unknown_fields(emulate: Any) -> None:
    loose, strict = emulate(), emulate(strict={"fields"})
    body = hello(request_id="request-1", thinking={"type": "enabled"})
    assert post(loose, body).status_code == 200
    refused = post(strict, body)
    assert refused.status_code == 422
    assert refused.json() == {"detail": "Unexpected fields in the request: {'request_id', 'thinking'}"}
    assert post(strict, hello(chat_template_kwargs={"enable_thinking": False})).status_code == 200
    assert strict.chat("Hello", model="glm-4.6v", request_id="request-1").status_code == 200


def test_on_v1_a_stream_sends_tool_calls_in_fragments(glm: Any) -> None:
    glm.emu.call("get_weather", city="Paris", unit="celsius").also("get_time")
    deltas = [choice["delta"] for frame in frames(post(glm, hello(stream=True))) for choice in frame["choices"]]
    parts = [part for delta in deltas for part in delta.get("tool_calls") or ()]
    assert [part["function"]["name"] for part in parts if "name" in part["function"]] == ["get_weather", "get_time"]
    assert ["id" in part for part in parts] == ["name" in part["function"] for part in parts]
    pieces = [part["function"]["arguments"] for part in parts if part["index"] == 0]
    assert len(pieces) > 2
    assert json.loads("".join(pieces)) == {"city": "Paris", "unit": "celsius"}
