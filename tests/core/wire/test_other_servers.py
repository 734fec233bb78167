"""Requests to servers other than the platform: only requested fields, in the server's format."""

from __future__ import annotations

from io import BytesIO
from typing import Any, get_args

import pytest
from PIL import Image as Pillow

import glmv
from glmv.options import DialectName
from glmv.telemetry import _provider
from glmv.wire.dialect import DIALECTS, dialect_of
from tests.support.other_servers import ENGINE, MESSAGES, OPENAI, OtherServer

OTHERS = [name for name in DIALECTS if name != "platform"]
ENGINES = ["vllm", "llama.cpp", "transformers"]
PROXIES = ["openai", "litellm", "openrouter"]
PLATFORM = "https://open.bigmodel.cn/api/paas/v4"
TOOL = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
CLOCK = {"type": "function", "function": {"name": "clock", "description": "d", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "index": 0, "function": {"name": "look", "arguments": "{}"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}


def test_the_setting_dialect_allows_exactly_the_names_in_the_table_of_dialects() -> None:
    assert set(get_args(DialectName)) == set(DIALECTS)
    limits = {name: row.limits for name, row in DIALECTS.items()}
    assert limits == {"platform": "refuse", **dict.fromkeys(PROXIES, "note"), **dict.fromkeys(ENGINES, "none")}


def test_only_the_exact_host_openrouter_ai_gets_the_dialect_openrouter() -> None:
    assert dialect_of("https://openrouter.ai/api/v1").name == "openrouter"
    assert dialect_of("https://notopenrouter.ai/api/v1").name == "openai"
    assert dialect_of("https://openrouter.ai.example/api/v1").name == "openai"


# ---- only requested fields


@pytest.mark.parametrize("dialect", OTHERS)
def test_a_plain_request_has_only_fields_that_every_server_knows(dialect: str) -> None:
    server = OtherServer(MESSAGES)
    assert glmv.Client(**server.options(dialect=dialect)).chat("hi").text == "Hi"
    assert server.body == {"model": "ours", "messages": [{"role": "user", "content": "hi"}]}
    assert "x-request-id" not in server.headers[0]


@pytest.mark.parametrize("dialect", OTHERS)
def test_a_plain_stream_request_adds_only_stream_and_stream_options(dialect: str) -> None:
    result = {"stream_options"} if DIALECTS[dialect].stream_usage else set()
    server = OtherServer(MESSAGES | {"stream"} | result)
    deltas = list(glmv.Client(**server.options(dialect=dialect)).stream("hi"))
    assert "".join(delta.text for delta in deltas) == "Hi"
    assert server.body.keys() == {"model", "messages", "stream"} | result


@pytest.mark.parametrize("dialect", [None, *OTHERS])
def test_all_options_use_fields_that_the_server_knows(dialect: str | None) -> None:
    knows = {"openai": OPENAI | {"thinking"}, "litellm": OPENAI | {"thinking", "allowed_openai_params"}}
    server = OtherServer(knows.get(dialect or "openai", ENGINE | {"reasoning"}))
    glmv.Client(**server.options(dialect=dialect)).chat(
        "hi", do_sample=False, user_id="user-1", request_id="abcdef", thinking=False, max_tokens=9, stop=["x"], seed=1
    )
    assert not {"do_sample", "user_id", "request_id"} & server.body.keys()
    assert (server.body["temperature"], server.body["user"], server.headers[0]["x-request-id"]) == (
        0,
        "user-1",
        "abcdef",
    )


def test_do_sample_and_user_id_and_request_id_are_sent_to_the_platform_as_fields() -> None:
    server = OtherServer(MESSAGES | {"request_id", "do_sample", "user_id", "thinking"})
    platform = server.options(base_url="https://open.bigmodel.cn/api/paas/v4", model="glm-4.6v")
    glmv.Client(**platform).chat("hi", do_sample=False, user_id="user-1", thinking=True)
    assert (server.body["do_sample"], server.body["user_id"]) == (False, "user-1")
    assert server.body["request_id"]
    assert "x-request-id" not in server.headers[0]


# ---- in their terms


@pytest.mark.parametrize("dialect", OTHERS)
@pytest.mark.parametrize("more", [{}, {"temperature": 0.7}, {"top_p": 0.5}, {"temperature": 0.7, "top_p": 0.5}])
def test_do_sample_false_is_sent_as_temperature_0_to_servers_other_than_the_platform(
    dialect: str, more: dict[str, float]
) -> None:
    server = OtherServer()
    glmv.Client(**server.options(dialect=dialect)).chat("hi", do_sample=False, **more)
    assert server.body["temperature"] == 0
    assert "top_p" not in server.body


def test_do_sample_true_is_left_out_for_vllm() -> None:
    server = OtherServer()
    glmv.Client(**server.options(dialect="vllm")).chat("hi", do_sample=True, temperature=0.7)
    assert server.body["temperature"] == 0.7


@pytest.mark.parametrize("values", [{"temperature": 0}, {"do_sample": False}])
def test_a_proxy_gets_the_lowest_temperature_of_the_model_instead_of_0(values: Any) -> None:
    server = OtherServer(OPENAI, model="glm-4.5v")
    answer = glmv.Client(**server.options()).chat("hi", **values)
    row = glmv.find_model("glm-4.5v")
    assert row is not None
    assert server.body["temperature"] == row.temperature[0]
    assert bool(answer.notes) is (row.temperature[0] > 0)


@pytest.mark.parametrize("dialect", ENGINES)
@pytest.mark.parametrize(
    ("thinking", "kwargs"),
    [
        (True, {"enable_thinking": True}),
        (False, {"enable_thinking": False}),
        ({"type": "enabled", "clear_thinking": False}, {"enable_thinking": True, "clear_thinking": False}),
        ({"type": "disabled"}, {"enable_thinking": False}),
        ({"clear_thinking": True}, {"enable_thinking": True, "clear_thinking": True}),
    ],
)
def test_thinking_is_sent_to_self_hosted_engines_as_chat_template_kwargs(
    dialect: str, thinking: Any, kwargs: dict[str, bool]
) -> None:
    server = OtherServer()
    glmv.Client(**server.options(dialect=dialect)).chat("hi", thinking=thinking)
    assert server.body["chat_template_kwargs"] == kwargs


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        ("openai", {"thinking": {"type": "disabled"}}),
        ("litellm", {"thinking": {"type": "disabled"}, "allowed_openai_params": ["thinking"]}),
        ("openrouter", {"reasoning": {"enabled": False}}),
    ],
)
def test_thinking_is_sent_to_each_proxy_in_the_field_that_the_proxy_reads(dialect: str, fields: dict[str, Any]) -> None:
    server = OtherServer(MESSAGES | fields.keys())
    glmv.Client(**server.options(dialect=dialect)).chat("hi", thinking=False)
    assert server.body.items() >= fields.items()


@pytest.mark.parametrize("dialect", OTHERS)
def test_thinking_auto_adds_no_field_to_a_request(dialect: str) -> None:
    server = OtherServer(MESSAGES)
    glmv.Client(**server.options(dialect=dialect)).chat("hi", thinking="auto")


@pytest.mark.parametrize(
    ("extra", "kwargs"),
    [
        ({}, {"enable_thinking": False}),
        ({"chat_template_kwargs": {"tools_in_user": True}}, {"enable_thinking": False, "tools_in_user": True}),
        ({"chat_template_kwargs": {"enable_thinking": True}}, {"enable_thinking": True}),
        ({"chat_template_kwargs": None}, None),
    ],
)
def test_extra_body_is_merged_with_the_fields_of_the_dialect(extra: dict[str, Any], kwargs: Any) -> None:
    server = OtherServer()
    glmv.Client(**server.options(dialect="vllm")).chat("hi", thinking=False, extra_body=extra)
    assert server.body["chat_template_kwargs"] == kwargs
    assert extra in ({}, {"chat_template_kwargs": extra.get("chat_template_kwargs")})


def test_extra_body_replaces_fields_of_the_same_name() -> None:
    server = OtherServer(ENGINE | {"top_k"})
    client = glmv.Client(**server.options(dialect="vllm"))
    client.chat("hi", temperature=0.5, response_format=SCHEMA, extra_body={"temperature": 0.1, "top_k": 3})
    assert (server.body["temperature"], server.body["top_k"]) == (0.1, 3)
    client.chat("hi", response_format=SCHEMA, extra_body={"response_format": {"type": "json_object"}})
    assert server.body["response_format"] == {"type": "json_object"}


def test_extra_body_extends_the_list_allowed_openai_params_that_glmv_sends() -> None:
    server = OtherServer(OPENAI | {"thinking", "allowed_openai_params", "top_k"})
    extra = {"allowed_openai_params": ["top_k", "thinking"], "top_k": 3}
    glmv.Client(**server.options(dialect="litellm")).chat("hi", thinking=True, extra_body=extra)
    assert server.body["allowed_openai_params"] == ["thinking", "top_k"]


@pytest.mark.parametrize("bad", ["späße-1", "line\nbreak", "nul\0byte"])
def test_a_request_id_that_is_invalid_in_a_header_is_refused(bad: str) -> None:
    server = OtherServer()
    with pytest.raises(glmv.InvalidRequestError, match="X-Request-Id"):
        glmv.Client(**server.options()).chat("hi", request_id=bad)
    assert server.bodies == []


def test_an_error_has_the_users_request_id_and_extra_headers_replace_the_sent_id() -> None:
    server = OtherServer(())
    client = glmv.Client(**server.options())
    with pytest.raises(glmv.InvalidRequestError) as caught:
        client.chat("hi", request_id="my-own-id")
    assert caught.value.request_id == "my-own-id"
    with pytest.raises(glmv.InvalidRequestError):
        client.chat("hi", request_id="my-own-id", extra_headers={"x-request-id": "of-the-header"})
    assert server.headers[-1].get_list("x-request-id") == ["of-the-header"]
    with pytest.raises(glmv.InvalidRequestError) as caught:
        client.chat("hi")
    assert caught.value.request_id is None


@pytest.mark.parametrize("model", ["glm-4.6v", "zai-org/GLM-4.6V", "unknown"])
@pytest.mark.parametrize("dialect", OTHERS)
async def test_a_request_id_is_sent_as_a_header_for_known_and_unknown_models(dialect: str, model: str) -> None:
    server = OtherServer()
    options = server.options(dialect=dialect, model=model)
    glmv.Client(**options).chat("hi", request_id="my-own-id")
    list(glmv.Client(**options, request_id="my-own-id").stream("hi"))
    await glmv.AsyncClient(**server.options(dialect=dialect, model=model)).chat("hi", request_id="my-own-id")
    assert [headers.get_list("x-request-id") for headers in server.headers] == [["my-own-id"]] * 3
    assert all("request_id" not in body for body in server.bodies)


# ---- usage of streams


@pytest.mark.parametrize("dialect", [None, *(name for name in OTHERS if DIALECTS[name].stream_usage)])
async def test_stream_requests_ask_for_usage_and_the_last_delta_has_it(dialect: str | None) -> None:
    server = OtherServer()
    options = server.options(dialect=dialect)
    last = list(glmv.Client(**options).stream("hi"))[-1]
    assert last.usage == glmv.Usage(5, 1, 6)
    assert [delta async for delta in glmv.AsyncClient(**options).stream("hi")][-1].usage == glmv.Usage(5, 1, 6)
    assert [body["stream_options"] for body in server.bodies] == [{"include_usage": True}] * 2


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"include_usage": False}, {"include_usage": False}),
        ({"include_usage": True, "continuous_usage_stats": True}, None),
        (False, None),
        ({}, None),
    ],
)
def test_the_users_stream_options_take_precedence(option: Any, expected: Any) -> None:
    server = OtherServer()
    list(glmv.Client(**server.options(stream_options=option)).stream("hi"))
    assert server.body.get("stream_options") == (expected or option or None)


def test_extra_body_may_add_stream_options() -> None:
    server = OtherServer()
    client = glmv.Client(**server.options())
    last = list(client.stream("hi", extra_body={"stream_options": {"continuous_usage_stats": True}}))[-1]
    assert server.body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert last.usage is not None


@pytest.mark.parametrize("base_url", ["https://server.example/v1", "https://open.bigmodel.cn/api/paas/v4"])
def test_stream_options_are_not_sent_without_streaming(base_url: str) -> None:
    server = OtherServer(ENGINE | {"request_id"})
    client = glmv.Client(**server.options(base_url=base_url, stream_options={"include_usage": True}))
    assert client.chat("hi").text == "Hi"
    list(client.stream("hi"))
    assert ["stream_options" in body for body in server.bodies] == [False, True]


def test_a_stream_request_to_the_platform_does_not_ask_for_usage() -> None:
    server = OtherServer(MESSAGES | {"stream", "request_id"}, base_url="https://api.z.ai/api/paas/v4")
    list(glmv.Client(**server.options()).stream("hi"))
    assert "stream_options" not in server.body


def test_both_requests_of_a_repaired_stream_ask_for_usage() -> None:
    server = OtherServer(message={"role": "assistant", "content": "no JSON"})
    with pytest.raises(glmv.MalformedResponse):
        list(glmv.Client(**server.options()).stream("hi", response_format={"type": "json_object"}))
    assert [body["stream_options"] for body in server.bodies] == [{"include_usage": True}] * 2


# ---- JSON and tools


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("wanted", [SCHEMA, {"type": "json_object"}, {"type": "structural_tag", "structures": []}])
@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp", "openrouter"])
def test_json_is_requested_by_response_format_if_the_server_supports_it(
    dialect: str, wanted: Any, stream: bool
) -> None:
    server = OtherServer(message={"role": "assistant", "content": "{}"})
    client = glmv.Client(**server.options(dialect=dialect))
    if stream:
        list(client.stream("hi", response_format=wanted))
    else:
        client.chat("hi", response_format=wanted)
    assert server.body["response_format"] == wanted
    assert server.body["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize("dialect", ["openai", "litellm", "transformers"])
@pytest.mark.parametrize("wanted", [SCHEMA, {"type": "json_object"}])
def test_json_is_requested_by_an_instruction_if_response_format_is_unsupported(dialect: str, wanted: Any) -> None:
    server = OtherServer(MESSAGES, message={"role": "assistant", "content": "{}"})
    assert glmv.Client(**server.options(dialect=dialect)).chat("hi", response_format=wanted).text == "{}"
    assert server.body["messages"][0]["role"] == "system"


@pytest.mark.parametrize(
    ("dialect", "tool_choice", "expected", "offered"),
    [
        ("vllm", "look", {"type": "function", "function": {"name": "look"}}, ["clock", "look"]),
        ("vllm", "required", "required", ["clock", "look"]),
        ("llama.cpp", "look", "required", ["look"]),
        ("llama.cpp", "any", "required", ["clock", "look"]),
        ("llama.cpp", "auto", "auto", ["clock", "look"]),
        ("transformers", "look", None, ["look"]),
        ("openai", "look", None, ["look"]),
        ("litellm", "look", None, ["look"]),
        ("openrouter", "look", {"type": "function", "function": {"name": "look"}}, ["clock", "look"]),
        ("openrouter", "any", "required", ["clock", "look"]),
    ],
)
def test_tool_choice_is_sent_as_far_as_the_server_supports_it(
    dialect: str, tool_choice: str, expected: Any, offered: list[str]
) -> None:
    server = OtherServer(message=CALLS)
    answer = glmv.Client(**server.options(dialect=dialect)).chat("hi", tools=[CLOCK, TOOL], tool_choice=tool_choice)
    assert [call.name for call in answer.tool_calls] == ["look"]
    assert server.body.get("tool_choice") == expected
    assert [tool["function"]["name"] for tool in server.body["tools"]] == offered
    assert (server.body["messages"][0]["role"] == "system") is (expected is None)


@pytest.mark.parametrize("dialect", ENGINES)
@pytest.mark.parametrize("kind", ["web_search", "retrieval", "mcp"])
def test_requests_with_platform_tools_to_self_hosted_engines_are_refused(dialect: str, kind: str) -> None:
    server = OtherServer()
    with pytest.raises(glmv.UnsupportedContent, match=rf"tools\[1\].*{kind}.*{dialect}"):
        glmv.Client(**server.options(dialect=dialect)).chat("hi", tools=[TOOL, {"type": kind}])
    assert server.bodies == []


# ---- limits


@pytest.mark.parametrize("dialect", ENGINES)
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 1.7},
        {"temperature": 0},
        {"top_p": 0.0},
        {"max_tokens": 500_000},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"request_id": "a"},
        {"request_id": "a" * 200},
        {"user_id": "me"},
        {"reasoning_effort": "minimal"},
        {"tools": [TOOL] * 200},
        {"thinking": True},
    ],
    ids=lambda options: f"{next(iter(options))}",
)
def test_the_platforms_limits_do_not_apply_to_self_hosted_engines(dialect: str, options: dict[str, Any]) -> None:
    server = OtherServer(ENGINE | {"reasoning_effort"}, model="glm-4v")
    answer = glmv.Client(**server.options(dialect=dialect)).chat("hi", **options)
    assert answer.notes == ()
    glmv.Client(**server.options(dialect=dialect), **options).chat("hi")
    assert server.bodies[0] == server.bodies[1]
    known_fields = {name: value for name, value in options.items() if name in ENGINE}
    assert server.body.items() >= known_fields.items()


RANGES = [{"temperature": 1.7}, {"request_id": "a" * 65}, {"user_id": "me"}, {"user_id": "x" * 129}]


@pytest.mark.parametrize("values", RANGES)
@pytest.mark.parametrize(
    "where",
    [
        {},
        {"dialect": "platform", "base_url": "https://proxy.example/v1"},
        {"base_url": PLATFORM},
        {"base_url": "https://api.z.ai/api/coding/paas/v4/"},
        {"base_url": "http://127.0.0.1:8080/api/paas/v4"},
    ],
)
def test_values_outside_the_platforms_ranges_are_refused_on_the_platform(
    where: dict[str, Any], values: dict[str, Any]
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=next(iter(values))):
        glmv.Settings(**where, **values)
    with pytest.raises(glmv.InvalidRequestError, match=next(iter(values))):
        glmv.Client("k", **where).request("hi", **values)


@pytest.mark.parametrize("values", RANGES)
@pytest.mark.parametrize("model", ["glm-4.6v", "ours"])
@pytest.mark.parametrize(
    "where", [{}, *({"dialect": name} for name in PROXIES), {"base_url": "https://openrouter.ai/api/v1"}]
)
def test_values_outside_the_platforms_ranges_are_sent_to_proxies(
    where: dict[str, Any], model: str, values: dict[str, Any]
) -> None:
    server = OtherServer(OPENAI)
    options = server.options(model=model, **where)
    answers = [glmv.Client(**options).chat("hi", **values), glmv.Client(**options, **values).chat("hi")]
    assert server.bodies[0] == server.bodies[1]
    fields = server.body | {"request_id": server.headers[-1].get("x-request-id"), "user_id": server.body.get("user")}
    assert fields.items() >= values.items()
    notes = [note for answer in answers for note in answer.notes if "temperature: glm-4.6v takes 0 to 1" in note]
    assert len(notes) == (2 if "temperature" in values and model == "glm-4.6v" else 0)


@pytest.mark.parametrize("values", RANGES)
@pytest.mark.parametrize("variable", ["GLMV_BASE_URL", "ZHIPUAI_BASE_URL"])
def test_the_platforms_ranges_do_not_apply_to_a_proxy_set_in_the_environment(
    variable: str, values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = OtherServer(OPENAI)
    options = {name: value for name, value in server.options().items() if name != "base_url"}
    monkeypatch.setenv(variable, "http://127.0.0.1:4000/v1")
    assert glmv.Client(**options, **values).chat("hi").text == "Hi"
    monkeypatch.setenv(variable, PLATFORM)
    with pytest.raises(glmv.InvalidRequestError, match=next(iter(values))):
        glmv.Settings(**values)


@pytest.mark.parametrize("values", RANGES)
def test_the_platforms_ranges_apply_if_the_resolved_server_is_the_platform(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAI_BASE_URL", "http://127.0.0.1:4000/v1")
    monkeypatch.setenv("ZAI_API_KEY", "another-key")
    server = OtherServer()
    options = {name: value for name, value in server.options().items() if name != "base_url"}
    client = glmv.Client(**options, **values)  # whose key is that of another variable
    with pytest.raises(glmv.InvalidRequestError, match=next(iter(values))):
        client.chat("hi")
    assert server.bodies == []


OVER: list[tuple[str, Any, dict[str, Any], str]] = [
    ("glm-4.5v", [glmv.Image.from_url(f"https://example.com/{n}.png") for n in range(51)], {}, "takes 50 pictures"),
    ("glm-4v-flash", [glmv.Video.from_url("https://example.com/v.mp4"), "?"], {}, "does not accept videos"),
    ("glm-4.6v", "hi", {"max_tokens": 900_000}, "max_tokens: glm-4.6v generates"),
    ("glm-4.5v", "hi", {"top_p": 0.0}, "top_p: glm-4.5v takes"),
    ("glm-4v", "hi", {"thinking": True}, "thinking: glm-4v cannot think"),
    ("glm-4.6v", "hi", {"reasoning_effort": "minimal"}, "reasoning_effort: glm-4.6v"),
    ("glm-4v", "hi", {"tools": [TOOL]}, "tools: glm-4v does not support tools"),
    ("glm-4.6v", "hi", {"tools": [CLOCK] * 129}, "takes at most 128 tools"),
    ("glm-ocr", "hi", {}, "glm-ocr is not a chat"),
    ("glm-4.6v", [{"role": "system", "content": "hi"}], {}, "There is no user message"),
    ("glm-4v", [{"role": "system", "content": "hi"}], {}, "There is no user message"),
]


@pytest.mark.parametrize(("model", "messages", "options", "words"), OVER)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["itself", "a host's", "an alias"])
@pytest.mark.parametrize("dialect", [None, *PROXIES])
def test_requests_over_the_platforms_limits_are_sent_to_proxies_with_a_note(
    dialect: str | None, name: str, stream: bool, model: str, messages: Any, options: dict[str, Any], words: str
) -> None:
    server = OtherServer(ENGINE | {"thinking", "allowed_openai_params", "reasoning", "reasoning_effort"})
    named = {"itself": {"model": model}, "a host's": {"model": f"zai-org/{model}"}, "an alias": {"base_model": model}}
    client = glmv.Client(**server.options(dialect=dialect, **named[name]))
    answer = list(client.stream(messages, **options))[-1] if stream else client.chat(messages, **options)
    (note,) = (note for note in answer.notes if words in note)
    assert "sent nevertheless" in note
    for option in options.keys() & {"max_tokens", "top_p", "reasoning_effort"}:
        assert server.body[option] == options[option]
    if "tools" in options:
        assert len(server.body["tools"]) == len(options["tools"])


@pytest.mark.parametrize(("model", "messages", "options", "words"), OVER)
def test_requests_to_the_platform_over_its_limits_are_refused(
    model: str, messages: Any, options: dict[str, Any], words: str
) -> None:
    server = OtherServer()
    with pytest.raises((glmv.InvalidRequestError, glmv.UnsupportedContent, glmv.LimitExceeded), match=words):
        glmv.Client(**server.options(base_url=PLATFORM, model=model)).chat(messages, **options)
    assert server.bodies == []


def test_the_error_of_a_proxys_refusal_has_a_note_about_the_exceeded_limit() -> None:
    server = OtherServer(MESSAGES)
    with pytest.raises(glmv.InvalidRequestError) as caught:
        glmv.Client(**server.options(model="zai-org/GLM-4.5V")).chat("hi", max_tokens=900_000)
    assert any("max_tokens: glm-4.5v generates at most" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    "bad", [{"temperature": -0.1}, {"temperature": float("inf")}, {"top_p": 1.1}, {"max_tokens": 0}]
)
def test_settings_for_vllm_refuse_values_that_no_server_accepts(bad: dict[str, Any]) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=next(iter(bad))):
        glmv.Settings(dialect="vllm", **bad)


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp", "transformers", *PROXIES])
def test_pictures_are_sent_as_data_uris_to_servers_other_than_the_platform(dialect: str) -> None:
    server = OtherServer()
    png = glmv.Image.from_base64(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    glmv.Client(**server.options(dialect=dialect)).chat([png, "What?"])
    assert server.body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,iVBOR")


# ---- names


@pytest.mark.parametrize("options", [{"model": "zai-org/GLM-4.5V-FP8"}, {"model": "mine", "base_model": "glm-4.5v"}])
def test_a_model_name_sets_limits_and_only_an_explicit_base_model_also_sets_slots(options: dict[str, Any]) -> None:
    server = OtherServer(OPENAI)
    client = glmv.Client(**server.options(**options))
    pictures = [glmv.Image.from_url(f"https://example.com/{n}.png") for n in range(51)]
    assert any("glm-4.5v takes 50 pictures" in note for note in client.chat(pictures).notes)
    assert any("max_tokens" in note for note in client.chat("hi", max_tokens=20_000).notes)
    row = glmv.find_model("glm-4.5v")
    assert row is not None
    # A name with another host's prefix is that host's deployment, whose concurrency limit is not documented.
    own = "base_model" in options
    assert client.slots(options["model"]).width == (row.concurrency if own else client.slots("unknown").width)
    client.chat("hi")
    assert server.body == {"model": options["model"], "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize(
    ("options", "alone"),
    [
        ({"model": "glm-4.6v-flash"}, True),
        ({"model": "GLM-4.6V-Flash", "dialect": "litellm"}, True),
        ({"model": "zai-org/GLM-4.6V-Flash", "base_model": "glm-4.6v-flash"}, True),
        ({"model": "z-ai/glm-4.6v-flash", "base_model": "z-ai/glm-4.6v-flash"}, True),
        ({"model": "zai-org/GLM-4.6V-Flash"}, False),
        ({"model": "openai/glm-4.6v-flash", "dialect": "litellm"}, False),
        ({"model": "z-ai/glm-4.6v-flash:free", "base_url": "https://openrouter.ai/api/v1"}, False),
        ({"model": "glm-4.6v-flash", "dialect": "vllm"}, False),
    ],
)
def test_the_platforms_concurrency_limit_applies_only_to_its_own_model_names(
    options: dict[str, Any], alone: bool
) -> None:
    client = glmv.Client(**OtherServer().options(api_key=f"key-{sorted(options.values())}".replace(" ", ""), **options))
    assert (client.slots(options["model"]).width == 1) is alone


def test_pictures_are_fitted_to_the_limits_of_base_model() -> None:
    out = BytesIO()
    Pillow.new("RGB", (8, 8), "red").save(out, "WEBP")
    server = OtherServer(OPENAI)
    client = glmv.Client(**server.options())
    for options, mime in (({}, "webp"), ({"base_model": "glm-4.6v"}, "jpeg"), ({"base_model": "z-ai/glm-4v"}, "jpeg")):
        client.chat(glmv.Image.from_bytes(out.getvalue()), **options)
        url = server.body["messages"][0]["content"][0]["image_url"]["url"]
        assert url.startswith(f"data:image/{mime};base64,")


def test_base_model_of_the_settings_does_not_apply_if_a_call_names_another_model() -> None:
    server = OtherServer(OPENAI)
    client = glmv.Client(**server.options(base_model="glm-4.5v"))

    def rows(**options: Any) -> list[str]:
        return [note.split()[1] for note in client.chat("hi", max_tokens=900_000, **options).notes]

    assert rows() == ["glm-4.5v"]
    assert rows(model="another") == []
    assert rows(model="another", base_model="glm-4.6v") == ["glm-4.6v"]
    assert rows(base_model="glm-4.6v") == ["glm-4.6v"]
    assert rows(base_model=None) == []


def test_the_error_for_an_unknown_base_model_suggests_known_models() -> None:
    server = OtherServer()
    for refused in (
        lambda: glmv.Client(**server.options(base_model="glm-4.6w")),
        lambda: glmv.Client(**server.options()).chat("hi", base_model="glm-4.6w"),
    ):
        with pytest.raises(glmv.InvalidRequestError, match=r"base_model.*Did you mean.*glm-4\.6v, .*'glm-4\.6w'"):
            refused()
    assert server.bodies == []


def test_a_request_has_the_catalogue_row_of_its_model() -> None:
    client = glmv.Client("k", model="mine", base_model="glm-4.5v")
    result = client.request("hi")
    assert result.row is glmv.find_model("glm-4.5v")
    assert client.request("hi", model="glm-4v").row is glmv.find_model("glm-4v")
    assert client.request("hi", model="other").row is None
    assert client.settings.catalog_row() is result.row
    assert client.settings.catalog_row("other") is None


@pytest.mark.parametrize(
    ("dialect", "provider"),
    [("vllm", "vllm"), ("openrouter", "openrouter"), (None, "zhipu_ai"), ("openai", "zhipu_ai")],
)
def test_the_provider_in_a_trace_follows_the_dialect(dialect: Any, provider: str) -> None:
    assert _provider(glmv.Client("k", base_url="https://server.example/v1", dialect=dialect).address) == provider


@pytest.mark.parametrize("dialect", OTHERS)
async def test_the_async_client_sends_the_same_request_body_as_the_sync_client(dialect: str) -> None:
    server = OtherServer()
    options = server.options(dialect=dialect)
    values = {"do_sample": False, "user_id": "user-1", "max_tokens": 3}
    await glmv.AsyncClient(**options).chat("hi", **values)
    glmv.Client(**options).chat("hi", **values)
    assert server.bodies[0] == server.bodies[1]
