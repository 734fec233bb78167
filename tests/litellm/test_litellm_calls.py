"""Calls through LiteLLM give the text and usage of `glmv`, and accept its options."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

import glmv
from glmv_emulator import Emulator, Reply
from tests.litellm.conftest import text_of, tool

Ask = Callable[..., Any]


def about(picture: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": picture}}]


def counts(usage: Any) -> tuple[Any, ...]:
    return (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.prompt_tokens_details.cached_tokens,
        usage.completion_tokens_details.reasoning_tokens,
    )


async def test_litellm_and_langchain_and_glmv_return_the_same_text_and_usage(
    emu: Emulator, ask: Ask, aask: Ask, picture: str, litellm: Any
) -> None:
    from langchain_glmv import ChatGLMV

    message = {"role": "user", "content": about(picture)}
    with glmv.Client(emu.api_key, base_url=emu.base_url) as client:
        core = client.chat([message])
    chat = ChatGLMV(api_key=emu.api_key, base_url=emu.base_url).invoke([message])
    whole, awaited = ask(message["content"]), await aask(message["content"])
    streamed = list(ask(message["content"], stream=True))
    built = litellm.stream_chunk_builder(streamed)
    from_async = [chunk async for chunk in await aask(message["content"], stream=True)]

    assert "64 x 48" in core.text
    assert chat.text == core.text
    assert core.usage is not None
    usage = core.usage
    expected = (
        usage.prompt_tokens,
        usage.completion_tokens,
        usage.total_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
    )
    for answer in (whole, awaited, built):
        assert answer.choices[0].message.content == core.text
        assert answer.choices[0].message.reasoning_content == core.reasoning
        assert answer.choices[0].finish_reason == "stop"
        assert counts(answer.usage) == expected
    assert text_of(from_async) == core.text


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_stream_ends_with_its_usage_if_the_call_asks_for_it(
    ask: Ask, aask: Ask, emu: Emulator, asynchronous: bool
) -> None:
    emu.say(Reply("One two.", usage={"prompt_tokens": 11, "completion_tokens": 3}))
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = [chunk async for chunk in await aask(**options)] if asynchronous else list(ask(**options))
    assert text_of(chunks) == "One two."
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (11, 3)


def test_image_url_parts_and_file_parts_with_pictures_reach_the_server(
    emu: Emulator, ask: Ask, picture: str, tmp_path: Any
) -> None:
    hosted = emu.host(glmv.Image.from_base64(picture).data())
    ask([*about(picture), {"type": "image_url", "image_url": {"url": hosted, "detail": "low", "format": "image/png"}}])
    ask([{"type": "file", "file": {"file_data": picture, "filename": "a.png"}}, {"type": "text", "text": "And this?"}])
    assert [len(exchange.media) for exchange in emu.requests if exchange.path.endswith("completions")] == [2, 1]


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look"}}])
def test_an_answer_without_the_forced_tool_call_is_asked_for_again(emu: Emulator, ask: Ask, choice: Any) -> None:
    emu.say("I would rather not.")
    emu.call("look", where="left")
    answer = ask(tools=[tool("look", "where")], tool_choice=choice)
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("look", {"where": "left"})
    assert answer.choices[0].finish_reason == "tool_calls"


async def test_streamed_tool_calls_and_their_results_are_accepted_in_the_next_request(
    emu: Emulator, aask: Ask, litellm: Any, settings: dict[str, Any]
) -> None:
    emu.call("look", where="left").also("look", where="right")
    emu.say("A cup and a spoon.")
    tools = [tool("look", "where")]
    chunks = [chunk async for chunk in await aask("Look.", tools=tools, stream=True)]
    message = litellm.stream_chunk_builder(chunks).choices[0].message
    assert [json.loads(call.function.arguments)["where"] for call in message.tool_calls] == ["left", "right"]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    results = [{"role": "tool", "tool_call_id": call.id, "content": "something"} for call in message.tool_calls]
    history = [{"role": "user", "content": "Look."}, message, *results]
    answer = await litellm.acompletion(messages=history, tools=tools, **settings)
    assert answer.choices[0].message.content == "A cup and a spoon."


class Size(BaseModel):
    """The size of a picture."""

    width: int
    height: int


SCHEMA = Size.model_json_schema()


@pytest.mark.parametrize(
    "response_format",
    [
        Size,
        {"type": "json_schema", "json_schema": {"name": "Size", "schema": SCHEMA, "strict": True}},
        {"type": "json_object", "response_schema": SCHEMA},
    ],
)
def test_an_answer_that_does_not_fit_its_schema_is_requested_again(
    emu: Emulator, ask: Ask, picture: str, response_format: Any
) -> None:
    emu.say('{"large": true}', '{"width": 64, "height": 48}')
    answer = ask(about(picture), response_format=response_format)
    assert Size.model_validate_json(answer.choices[0].message.content) == Size(width=64, height=48)


def test_a_second_answer_that_does_not_fit_the_schema_is_returned_with_a_note(emu: Emulator, ask: Ask) -> None:
    emu.say("It is large.", "It is very large.")
    message = ask(response_format=Size).choices[0].message
    assert message.content == "It is very large."
    assert message.provider_specific_fields["notes"]


@pytest.mark.parametrize(
    "options", [{"extra_body": {"thinking": True}}, {"thinking": True, "allowed_openai_params": ["thinking"]}]
)
def test_thinking_is_accepted_in_extra_body_and_as_an_allowed_openai_param(
    emu: Emulator, ask: Ask, options: dict[str, Any]
) -> None:
    emu.say(Reply("Yes.", reasoning="Let me see."))
    message = ask(**options).choices[0].message
    assert (message.content, message.reasoning_content) == ("Yes.", "Let me see.")
    assert emu.requests[-1].body["thinking"] == {"type": "enabled"}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("length", "length"), ("sensitive", "content_filter"), ("stop", "stop"), ("tool_calls", "tool_calls")],
)
@pytest.mark.parametrize("stream", [False, True])
def test_finish_reasons_are_converted_to_the_names_of_openai(
    emu: Emulator, ask: Ask, reason: str, expected: str, stream: bool
) -> None:
    emu.say(Reply("Yes.", finish_reason=reason))
    answer = ask(stream=stream, on_sensitive="return")
    last = list(answer)[-1] if stream else answer
    assert last.choices[0].finish_reason == expected


def test_the_headers_and_max_completion_tokens_and_do_sample_of_a_call_are_sent(emu: Emulator, ask: Ask) -> None:
    ask(extra_headers={"X-Team": "kitchen"}, headers={"X-Shift": "night"}, do_sample=False, max_completion_tokens=9)
    request = emu.requests[-1]
    assert (request.headers["x-team"], request.headers["x-shift"]) == ("kitchen", "night")
    assert (request.body["do_sample"], request.body["max_tokens"]) == (False, 9)


def test_without_a_key_argument_the_key_of_the_environment_is_used(
    emu: Emulator, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZHIPUAI_API_KEY", emu.api_key)
    assert ask(api_key=None).choices[0].message.content


def test_the_next_call_uses_the_key_that_was_corrected_in_the_environment(
    emu: Emulator, ask: Ask, litellm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZHIPUAI_API_KEY", "mistyped.key")
    with pytest.raises(litellm.AuthenticationError):
        ask(api_key=None)
    monkeypatch.setenv("ZHIPUAI_API_KEY", emu.api_key)
    assert ask(api_key=None).choices[0].message.content


def test_one_client_serves_all_calls_of_a_key_over_one_connection(emu: Emulator, ask: Ask) -> None:
    for _ in range(3):
        ask()
        list(ask(stream=True))
    assert len({request.connection for request in emu.requests}) == 1


def test_asynchronous_calls_work_in_several_event_loops_in_a_row(emu: Emulator, aask: Ask) -> None:
    async def streamed() -> str:
        return text_of([chunk async for chunk in await aask(stream=True)])

    emu.say("One.", "Two.", "Three.")
    assert [asyncio.run(streamed()) for _ in range(3)] == ["One.", "Two.", "Three."]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_stream_that_is_left_early_frees_its_connection(
    emu: Emulator, ask: Ask, aask: Ask, asynchronous: bool
) -> None:
    emu.stall(after=6)
    emu.answer(lambda _: Reply("One two three four five six seven eight nine ten.", chunking=1))
    if asynchronous:
        stream = await aask(stream=True)
        await anext(stream)
        await stream.aclose()
    else:
        stream = ask(stream=True)
        next(stream)
        stream.close()
    ends = time.monotonic() + 10
    while emu.requests[-1].ended is None and time.monotonic() < ends:
        await asyncio.sleep(0.01)
    assert emu.requests[-1].ended_by == "client"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_closing_a_stream_frees_its_slot_before_it_returns(
    emu: Emulator, ask: Ask, aask: Ask, asynchronous: bool
) -> None:
    options = {"max_concurrency": 1, "deadline": 5}
    if asynchronous:
        stream = await aask(stream=True, **options)
        await anext(stream)
        await stream.aclose()
    else:
        stream = ask(stream=True, **options)
        next(stream)
        stream.close()
    assert ask(**options).choices[0].message.content  # it blocks the event loop, which can free nothing meanwhile


def test_a_router_passes_a_timeout_to_glmv_only_if_one_is_set(
    litellm: Any, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[dict[str, Any]] = []
    chat = glmv.Client.chat

    def recorded(client: glmv.Client, messages: Any, **options: Any) -> glmv.Completion:
        given.append(options)
        return chat(client, messages, **options)

    monkeypatch.setattr(glmv.Client, "chat", recorded)
    for more in ({}, {"timeout": 7.0}):
        router = litellm.Router(model_list=[{"model_name": "seeing", "litellm_params": {**settings, **more}}])
        router.completion("seeing", [{"role": "user", "content": "Hello"}])
    assert [options.get("timeout") for options in given] == [None, 7.0]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", [{"code": 1302}, {"code": 1301}, {"status": 500}])
async def test_a_router_asks_the_next_model_if_the_first_one_fails(
    emu: Emulator, litellm: Any, settings: dict[str, Any], fault: dict[str, Any], stream: bool
) -> None:
    models = [
        {"model_name": name, "litellm_params": {**settings, "extra_headers": {"X-Model": name}}}
        for name in ("first", "second")
    ]
    router = litellm.Router(model_list=models, fallbacks=[{"first": ["second"]}], num_retries=0)
    for asynchronous in (False, True):
        emu.fail(**fault)
        emu.say("Yes.")
        messages = [{"role": "user", "content": "Hello"}]
        if asynchronous:
            answer = await router.acompletion("first", messages, stream=stream)
            text = text_of([chunk async for chunk in answer]) if stream else answer.choices[0].message.content
        else:
            answer = router.completion("first", messages, stream=stream)
            text = text_of(answer) if stream else answer.choices[0].message.content
        assert text == "Yes."
        assert [request.headers["x-model"] for request in emu.requests[-2:]] == ["first", "second"]


def test_calling_register_again_does_not_add_a_second_provider(litellm: Any) -> None:
    import glmv_litellm

    before = list(litellm.custom_provider_map)
    glmv_litellm.register()
    assert litellm.custom_provider_map == before
    assert [item["provider"] for item in before].count("glmv") == 1


def test_registering_adds_missing_models_and_keeps_existing_prices(
    litellm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import glmv_litellm

    monkeypatch.setattr(litellm, "model_cost", dict(litellm.model_cost))
    del litellm.model_cost["glmv/glm-4.6v"]
    litellm.model_cost["glmv/glm-4.5v"] = {"litellm_provider": "glmv", "mode": "chat", "input_cost_per_token": 1.0}
    glmv_litellm.register()
    assert litellm.supports_vision("glmv/glm-4.6v")
    assert litellm.model_cost["glmv/glm-4.5v"]["input_cost_per_token"] == 1.0


def test_litellm_knows_prices_and_limits_and_capabilities_of_registered_models(litellm: Any) -> None:
    name = "glmv/glm-4.6v"
    assert litellm.supports_vision(name)
    assert litellm.supports_function_calling(name)
    assert not litellm.supports_vision("glmv/glm-4.7")
    row = glmv.find_model("glm-4.6v")
    assert row is not None
    assert litellm.get_model_info(name)["max_input_tokens"] == row.context
    price = row.price_in("USD")
    assert price is not None
    cost = sum(litellm.cost_per_token(model=name, prompt_tokens=1_000_000, completion_tokens=1_000_000))
    assert cost == pytest.approx(price.input + price.output)


FIRST_CALL = """
import asyncio, sys
import litellm, glmv_litellm

glmv_litellm.register()
before = set(sys.modules)
messages = [{"role": "user", "content": "Hello"}]
call = {"api_base": "http://127.0.0.1:9/v1", "api_key": "a.b", "allow_http": True, "max_retries": 0}

async def main(**options):
    try:
        await litellm.acompletion("glmv/glm-4.6v", messages, **call, **options)
    except litellm.exceptions.APIConnectionError:
        pass

asyncio.run(main())
print(*sorted(name for name in set(sys.modules) - before if name.startswith(("glmv", "httpx", "httpcore"))))
"""


def test_the_first_call_on_an_event_loop_imports_neither_the_client_nor_httpx(litellm: Any) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FIRST_CALL],
        capture_output=True,
        text=True,
        env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
        timeout=100,
        check=True,
    )
    assert result.stdout.split() == []
