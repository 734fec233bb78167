"""ChatGLMV with servers other than the platform: requests, usage of streams, and aliases."""

from __future__ import annotations

import pickle
from functools import reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from pydantic import BaseModel

import glmv
import langchain_glmv
from langchain_glmv import ChatGLMV, image
from langchain_glmv.profile import profile_of
from tests.support.other_servers import ENGINE, MESSAGES, OPENAI, OtherServer

USAGE = {"input_tokens": 5, "output_tokens": 1, "total_tokens": 6}
CALL = {"id": "c", "type": "function", "index": 0, "function": {"name": "look", "arguments": '{"at": "it"}'}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}


class Colour(BaseModel):
    """A colour."""

    name: str


@tool
def look(at: str) -> str:
    """Look at something."""
    return at


@pytest.mark.parametrize("dialect", [None, "openai", "litellm", "openrouter", "vllm", "llama.cpp", "transformers"])
async def test_a_plain_request_has_only_model_and_messages(dialect: Any) -> None:
    server = OtherServer(MESSAGES)
    model = ChatGLMV(**server.options(dialect=dialect))
    assert model.invoke("hi").text == (await model.ainvoke("hi")).text == "Hi"
    assert server.bodies == [{"model": "ours", "messages": [{"role": "user", "content": "hi"}]}] * 2


def test_vllm_gets_pictures_as_data_uris_and_options_under_its_own_field_names(red: str) -> None:
    server = OtherServer(ENGINE)
    model = ChatGLMV(**server.options(dialect="vllm"), do_sample=False, thinking=False, user_id="user-1")
    message = HumanMessage([{"type": "text", "text": "?"}, {"type": "image", "base64": red, "mime_type": "image/png"}])
    model.invoke([message])
    url = server.body["messages"][0]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    requests = {name: value for name, value in server.body.items() if name not in MESSAGES}
    assert requests == {"temperature": 0, "user": "user-1", "chat_template_kwargs": {"enable_thinking": False}}


def test_chat_template_kwargs_in_extra_body_are_merged_with_those_of_thinking() -> None:
    server = OtherServer(ENGINE)
    model = ChatGLMV(**server.options(dialect="vllm"), thinking=True)
    model.invoke("hi", extra_body={"chat_template_kwargs": {"clear_thinking": False}})
    assert server.body["chat_template_kwargs"] == {"enable_thinking": True, "clear_thinking": False}


@pytest.mark.parametrize("dialect", [None, "litellm", "openrouter", "vllm", "llama.cpp"])
async def test_streams_of_other_servers_request_usage_and_yield_it_exactly_once(dialect: Any) -> None:
    server = OtherServer(OPENAI)
    model = ChatGLMV(**server.options(dialect=dialect))
    assert reduce(add, model.stream("hi")).usage_metadata == USAGE  # type: ignore[attr-defined]  # a sum of chunks
    chunks = [chunk async for chunk in model.astream("hi")]
    assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [USAGE]
    assert model.invoke("hi").usage_metadata == USAGE
    assert ["stream_options" in body for body in server.bodies] == [True, True, False]


@pytest.mark.parametrize(
    ("settings", "call"),
    [
        ({"stream_usage": False}, {}),
        ({}, {"stream_usage": False}),
        ({"stream_options": False}, {}),
        ({}, {"stream_options": False}),
    ],
)
def test_streams_do_not_request_usage_if_stream_usage_is_switched_off(settings: Any, call: Any) -> None:
    server = OtherServer(MESSAGES | {"stream"})
    model = ChatGLMV(**server.options(**settings))
    assert [chunk.usage_metadata for chunk in model.stream("hi", **call) if chunk.usage_metadata] == []


def test_stream_options_are_not_sent_by_invoke() -> None:
    server = OtherServer(OPENAI)
    model = ChatGLMV(**server.options(stream_options={"include_usage": True}))
    assert model.invoke("hi").text == "Hi"
    assert reduce(add, model.stream("hi")).usage_metadata == USAGE  # type: ignore[attr-defined]  # a sum of chunks


def test_vllm_gets_tool_choice_for_tools_and_response_format_for_schemas() -> None:
    server = OtherServer(message=CALLS)
    model = ChatGLMV(**server.options(dialect="vllm"))
    assert model.bind_tools([look], tool_choice="look").invoke("hi").tool_calls[0]["name"] == "look"
    assert server.body["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    server = OtherServer(message={"role": "assistant", "content": '{"name": "red"}'})
    model = ChatGLMV(**server.options(dialect="vllm"))
    assert model.with_structured_output(Colour).invoke("hi") == Colour(name="red")
    assert server.body["response_format"]["type"] == "json_schema"
    assert model.with_structured_output(Colour, method="json_mode").invoke("hi") == Colour(name="red")
    assert server.body["response_format"] == {"type": "json_object"}
    assert [message["role"] for message in server.body["messages"]] == ["user"]


@pytest.mark.parametrize("dialect", [None, "litellm", "vllm"])
def test_temperatures_beyond_the_platforms_range_are_sent_to_other_servers(dialect: Any) -> None:
    server = OtherServer()
    model = ChatGLMV(**server.options(dialect=dialect), temperature=1.5)
    model.invoke("hi")
    model.bind(temperature=1.7).invoke("hi")
    assert [body["temperature"] for body in server.bodies] == [1.5, 1.7]
    platform = server.options(base_url="https://open.bigmodel.cn/api/paas/v4")
    with pytest.raises(glmv.InvalidRequestError):
        ChatGLMV(**platform, temperature=1.5)
    with pytest.raises(glmv.InvalidRequestError):
        ChatGLMV(**platform).invoke("hi", temperature=1.5)
    model.base_url, model.dialect = platform["base_url"], None
    with pytest.raises(glmv.InvalidRequestError):
        model.invoke("hi")
    assert len(server.bodies) == 2


# ---- aliases


@pytest.mark.parametrize("options", [{"model": "zai-org/GLM-4.5V-FP8"}, {"model": "ours", "base_model": "glm-4.5v"}])
def test_the_profile_and_the_limits_of_a_model_are_those_of_its_base_model(options: dict[str, Any]) -> None:
    server = OtherServer(OPENAI)
    model = ChatGLMV(**server.options(**options))
    assert model.profile == profile_of("glm-4.5v")
    answer = model.invoke([HumanMessage([image(f"https://example.com/{n}.png") for n in range(51)])])
    assert any("glm-4.5v takes 50 pictures" in note for note in answer.response_metadata["notes"])
    model.invoke("hi")
    assert server.body["model"] == options["model"]


def test_the_profile_changes_with_the_base_model() -> None:
    model = ChatGLMV(model="ours", api_key="k")
    assert model.profile is None
    copied = model.model_copy(update={"base_model": "glm-4.6v"})
    assert copied.profile == profile_of("glm-4.6v")
    copied.base_model = "glm-4.5v"
    assert copied.profile == profile_of("glm-4.5v")
    assert ChatGLMV(model="ours", base_model="glm-4.6v", profile=copied.profile, api_key="k").profile == profile_of(
        "glm-4.6v"
    )
    assert ChatGLMV(model="ours", base_model="glm-4.6v", profile={"max_input_tokens": 7}, api_key="k").profile == {
        "max_input_tokens": 7
    }


def test_base_model_can_be_bound_to_one_call() -> None:
    server = OtherServer(OPENAI)
    model = ChatGLMV(**server.options())
    assert "notes" not in model.invoke("hi", max_tokens=900_000).response_metadata
    (note,) = model.bind(base_model="z-ai/glm-4.6v").invoke("hi", max_tokens=900_000).response_metadata["notes"]
    assert note.startswith("max_tokens: glm-4.6v generates at most")


def test_copies_and_pickles_and_dumps_and_traces_keep_the_base_model() -> None:
    model = ChatGLMV(model="ours", base_model="z-ai/glm-4.6v", api_key="k", base_url="https://server.example/v1")
    for copy in (
        model,
        pickle.loads(pickle.dumps(model)),
        model.model_copy(deep=True),
        langchain_glmv.load(langchain_glmv.dumps(model)),
    ):
        assert (copy.model, copy.base_model) == ("ours", "glm-4.6v")
        assert copy.profile == profile_of("glm-4.6v")
    assert model._identifying_params["base_model"] == "glm-4.6v"
    assert model._get_invocation_params()["base_model"] == "glm-4.6v"
    assert ChatGLMV(model="ours", api_key="k")._get_llm_string() != model._get_llm_string()


def test_the_error_for_an_unknown_base_model_lists_the_known_models() -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"base_model.*glm-4\.6v, "):
        ChatGLMV(model="ours", base_model="glm-9", api_key="k")


@pytest.mark.parametrize("dialect", ["openrouter", "vllm", "llama.cpp"])
@pytest.mark.parametrize("said", ['```json\n{"name": "red"}\n```', 'It is {"name": "red"}.'], ids=["fence", "prose"])
def test_json_is_found_in_prose_or_a_code_fence_although_the_server_got_a_schema(said: str, dialect: Any) -> None:
    server = OtherServer(message={"role": "assistant", "content": said})
    reader = ChatGLMV(**server.options(dialect=dialect)).with_structured_output(Colour)
    assert reader.invoke("?") == Colour(name="red")
    assert list(reader.stream("?"))[-1] == Colour(name="red")
    assert all(body["response_format"]["type"] == "json_schema" for body in server.bodies)
    assert len(server.bodies) == 2


def test_a_structured_stream_raises_if_the_answer_contains_no_object() -> None:
    server = OtherServer(message={"role": "assistant", "content": "no object"})
    reader = ChatGLMV(**server.options(dialect="vllm")).with_structured_output(Colour)
    with pytest.raises(glmv.MalformedResponse, match="it has no JSON"):
        list(reader.stream("?"))
