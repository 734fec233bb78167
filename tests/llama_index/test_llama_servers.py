"""GLMV with servers other than the platform: requests, usage of streams, and aliases."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.schema import ImageNode
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

import glmv
from llama_index_glmv import GLMV, GLMVImageCaptioner, GLMVMultiModal
from tests.support.other_servers import ENGINE, MESSAGES, OPENAI, OtherServer

TOKENS = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
CALL = {"id": "c", "type": "function", "index": 0, "function": {"name": "look", "arguments": '{"at": "it"}'}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [CALL]}
HI = [ChatMessage("hi")]


def look(at: str) -> str:
    """Look at something."""
    return at


@pytest.mark.parametrize("kind", [GLMV, GLMVMultiModal])
@pytest.mark.parametrize("dialect", [None, "openai", "litellm", "openrouter", "vllm", "llama.cpp", "transformers"])
async def test_a_plain_request_has_only_model_and_messages(kind: type[GLMV], dialect: Any) -> None:
    server = OtherServer(MESSAGES)
    llm = kind(**server.options(dialect=dialect))
    assert llm.complete("hi").text == (await llm.achat(HI)).message.content == "Hi"
    assert {frozenset(body) for body in server.bodies} == {frozenset(MESSAGES)}


def test_options_have_the_field_names_of_vllm_and_pictures_are_sent_as_data_uris(red: bytes) -> None:
    server = OtherServer(ENGINE)
    llm = GLMV(**server.options(dialect="vllm"), do_sample=False, thinking=False, user_id="user-1")
    llm.chat([ChatMessage(blocks=[TextBlock(text="?"), ImageBlock(image=red)])])
    url = server.body["messages"][0]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/png;base64,")
    requests = {name: value for name, value in server.body.items() if name not in MESSAGES}
    assert requests == {"temperature": 0, "user": "user-1", "chat_template_kwargs": {"enable_thinking": False}}


@pytest.mark.parametrize("dialect", [None, "litellm", "openrouter", "vllm", "llama.cpp"])
async def test_streams_of_other_servers_request_usage_and_end_with_it(dialect: Any) -> None:
    server = OtherServer(OPENAI)
    llm = GLMV(**server.options(dialect=dialect))
    lasts: list[Any] = [list(llm.stream_chat(HI))[-1], list(llm.stream_complete("hi"))[-1]]
    lasts += [[part async for part in await llm.astream_chat(HI)][-1]]
    for last in lasts:
        assert last.additional_kwargs.items() >= TOKENS.items()
        assert last.raw["usage"].items() >= TOKENS.items()
    llm.chat(HI)
    assert ["stream_options" in body for body in server.bodies] == [True, True, True, False]


def test_streams_do_not_request_usage_if_stream_options_is_switched_off() -> None:
    server = OtherServer(MESSAGES | {"stream"})
    assert list(GLMV(**server.options(stream_options=False)).stream_chat(HI))[-1].message.content == "Hi"


def test_the_option_tool_required_is_sent_to_vllm_as_tool_choice_required() -> None:
    server = OtherServer(message=CALLS)
    llm = GLMV(**server.options(dialect="vllm"))
    tools = [FunctionTool.from_defaults(look)]
    response = llm.chat_with_tools(tools, "hi", tool_required=True)
    assert [call.tool_name for call in llm.get_tool_calls_from_response(response)] == ["look"]
    assert server.body["tool_choice"] == "required"
    assert [message["role"] for message in server.body["messages"]] == ["user"]


# ---- aliases


@pytest.mark.parametrize("kind", [GLMV, GLMVMultiModal])
@pytest.mark.parametrize("options", [{"model": "zai-org/GLM-4.6V-FP8"}, {"model": "ours", "base_model": "glm-4.6v"}])
def test_the_metadata_and_the_limits_of_a_model_are_those_of_its_base_model(
    kind: type[GLMV], options: dict[str, Any]
) -> None:
    server = OtherServer(OPENAI)
    llm = kind(**server.options(**options))
    assert (llm.metadata.context_window, llm.metadata.is_function_calling_model) == (131_072, True)
    assert llm.metadata.model_name == options["model"]
    assert llm.to_payload()["context_window"] == 131_072
    (note,) = llm.complete("hi", max_tokens=900_000).additional_kwargs["notes"]
    assert note.startswith("max_tokens: glm-4.6v generates at most")
    llm.complete("hi")
    assert server.body["model"] == options["model"]


def test_a_base_model_without_tools_is_not_a_function_calling_model() -> None:
    assert not GLMV(model="ours", base_model="glm-4v", api_key="k").metadata.is_function_calling_model
    assert GLMV(model="ours", api_key="k").metadata.is_function_calling_model
    assert GLMV(model="ours", base_model="glm-4v", context_window=9, api_key="k").metadata.context_window == 9


def test_blocks_that_the_base_model_does_not_support_are_left_out(red: bytes) -> None:
    server = OtherServer(OPENAI)
    llm = GLMV(**server.options(base_model="glm-4.6"), on_unsupported="warn")
    message = ChatMessage(blocks=[TextBlock(text="?"), ImageBlock(image=red)])
    with pytest.warns(UserWarning, match="takes no images"):
        llm.chat([message])
    assert server.body["messages"] == [{"role": "user", "content": "?"}]
    llm.chat([message], base_model="glm-4.6v")
    assert len(server.body["messages"][0]["content"]) == 2


def test_base_model_is_kept_by_copies_pickles_and_dicts() -> None:
    llm = GLMV(model="ours", base_model="z-ai/glm-4.6v", api_key="k")
    for copy in (llm, pickle.loads(pickle.dumps(llm)), llm.model_copy(deep=True), GLMV.from_dict(llm.to_dict())):
        assert (copy.base_model, copy.metadata.context_window) == ("glm-4.6v", 131_072)
    assert llm.to_payload()["base_model"] == "glm-4.6v"
    shared = GLMV(client=glmv.Client("k", model="ours", base_model="glm-4.6v"))
    assert shared.metadata.context_window == 131_072


def test_the_captioner_sends_the_model_name_and_not_the_base_model(red: bytes) -> None:
    server = OtherServer(OPENAI)
    captioner = GLMVImageCaptioner(llm=GLMV(**server.options(base_model="glm-4.6v")))
    (node,) = captioner([ImageNode(image=glmv.Image.from_bytes(red).base64().decode())])
    assert node.get_content() == "Hi"
    assert server.body["model"] == "ours"


def test_the_error_for_an_unknown_base_model_lists_the_known_models() -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"base_model.*glm-4\.6v, "):
        GLMV(model="ours", base_model="glm-9", api_key="k")


class Size(BaseModel):
    width: int
    height: int


SIZE = PromptTemplate("How large is it?")
OBJECTS: dict[str, Callable[[GLMV], Any]] = {
    "predict": lambda llm: llm.structured_predict(Size, SIZE),
    "apredict": lambda llm: asyncio.run(llm.astructured_predict(Size, SIZE)),
    "stream": lambda llm: list(llm.stream_structured_predict(Size, SIZE))[-1],
    "structured LLM": lambda llm: llm.as_structured_llm(Size).complete("?").raw,
}


@pytest.mark.parametrize("ask", OBJECTS.values(), ids=OBJECTS)
@pytest.mark.parametrize("dialect", ["openrouter", "vllm", "llama.cpp"])
@pytest.mark.parametrize(
    "said",
    ['{"width": 3, "height": 4}', '```json\n{"width": 3, "height": 4}\n```', 'Here it is: {"width": "3", "height": 4}'],
    ids=["bare", "fence", "prose"],
)
def test_the_schema_is_sent_as_json_schema_and_the_object_is_read_from_the_answer(
    said: str, dialect: Any, ask: Callable[[GLMV], Any]
) -> None:
    server = OtherServer(message={"role": "assistant", "content": said})
    assert ask(GLMV(**server.options(dialect=dialect))) == Size(width=3, height=4)
    assert [body["response_format"]["type"] for body in server.bodies] == ["json_schema"]
    assert [message["role"] for message in server.body["messages"]] == ["user"]


@pytest.mark.parametrize("ask", OBJECTS.values(), ids=OBJECTS)
@pytest.mark.parametrize("said", ["no object", '{"width": 3}', ""], ids=["prose", "misfit", "empty"])
def test_two_answers_without_the_object_raise_malformed_response(said: str, ask: Callable[[GLMV], Any]) -> None:
    server = OtherServer(message={"role": "assistant", "content": said})
    with pytest.raises(glmv.MalformedResponse, match="asked for JSON"):
        ask(GLMV(**server.options(dialect="vllm")))
    assert all(body["response_format"]["type"] == "json_schema" for body in server.bodies)
    assert len(server.bodies) == 2
    assert "Your last reply cannot be used" in server.body["messages"][-1]["content"]
