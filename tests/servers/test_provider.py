"""LiteLLM's proxy with our provider serves the OpenAI SDK: the same words and usage as those of `glmv`."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import glmv
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV
from tests.servers.software import MASTER_KEY, Software

pytestmark = pytest.mark.servers

MODEL = "glmv/glm-4.6v"


@pytest.fixture
def openai(litellm: Software) -> Iterator[Any]:
    """A client of the SDK, for the proxy."""
    sdk = pytest.importorskip("openai", reason="LiteLLM brings the SDK")
    with sdk.OpenAI(base_url=litellm.bases["LiteLLM zai"], api_key=MASTER_KEY, max_retries=0) as client:
        yield client


@pytest.fixture
def messages(picture: Callable[..., bytes]) -> list[dict[str, Any]]:
    """A question about a picture."""
    url = f"data:image/png;base64,{b64encode(picture()).decode()}"
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": parts}]


def test_the_openai_sdk_and_langchain_and_glmv_return_the_same_text_and_usage(
    openai: Any, emu: Emulator, messages: list[dict[str, Any]]
) -> None:
    with glmv.Client(emu.api_key, base_url=emu.base_url) as client:
        core = client.chat(messages)
    chat = ChatGLMV(api_key=emu.api_key, base_url=emu.base_url).invoke(messages)
    whole = openai.chat.completions.create(model=MODEL, messages=messages)
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(openai.chat.completions.create(model=MODEL, messages=messages, **options))
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "64 x 48" in core.text
    assert [chat.text, whole.choices[0].message.content, streamed] == [core.text] * 3
    assert whole.choices[0].message.reasoning_content == core.reasoning
    assert core.usage is not None
    for usage in (whole.usage, chunks[-1].usage):
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (
            core.usage.prompt_tokens,
            core.usage.completion_tokens,
            core.usage.total_tokens,
        )


def test_a_second_request_is_sent_if_the_answer_lacks_the_forced_tool_call(
    openai: Any, emu: Emulator, messages: list[dict[str, Any]]
) -> None:
    emu.say("I would rather not.")
    emu.call("look", where="left")
    parameters = {"type": "object", "properties": {"where": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": parameters}}]
    answer = openai.chat.completions.create(model=MODEL, messages=messages, tools=tools, tool_choice="required")
    (call,) = answer.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("look", {"where": "left"})
    assert answer.choices[0].finish_reason == "tool_calls"


def test_refused_content_raises_an_error_of_the_openai_sdk_with_status_400(
    openai: Any, emu: Emulator, messages: list[dict[str, Any]]
) -> None:
    for stream in (False, True):
        emu.fail(code=1301)
        with pytest.raises(Exception, match="1301") as caught:
            list(openai.chat.completions.create(model=MODEL, messages=messages, stream=stream))
        assert getattr(caught.value, "status_code", None) == 400
