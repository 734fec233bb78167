"""Request formats of servers: the platform, proxies in front of it, and engines with open weights."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest

import glmv
from glmv.wire.dialect import DIALECTS, dialect_of

KEY = "test-id.test-secret"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "GLM-4V-Plus",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
}


def sent(messages: Any, answer: Any = ANSWER, *, key: str | None = KEY, **options: Any) -> tuple[str, dict[str, Any]]:
    """The URL and the body of one call."""
    record: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        record.append(request)
        return httpx.Response(200, json=answer)

    call = {
        name: options.pop(name) for name in ("thinking", "tools", "tool_choice", "response_format") if name in options
    }
    http = httpx.Client(transport=httpx.MockTransport(reply))
    glmv.Client(key, http_client=http, **options).chat(messages, **call)
    return str(record[0].url), json.loads(record[0].content)


@pytest.mark.parametrize(
    ("base_url", "name"),
    [
        ("https://open.bigmodel.cn/api/paas/v4", "platform"),
        ("https://api.z.ai/api/paas/v4", "platform"),
        ("https://open.bigmodel.cn/api/coding/paas/v4", "platform"),
        ("https://api.z.ai/api/coding/paas/v4/", "platform"),
        ("https://OPEN.BigModel.CN/api/paas/v4", "platform"),
        ("http://127.0.0.1:9999/api/paas/v4", "platform"),
        ("https://your-proxy.example/v1", "openai"),
        ("http://127.0.0.1:8000/v1", "openai"),
        ("https://notbigmodel.cn/v1", "openai"),
        ("https://z.ai.evil.example/v1", "openai"),
        ("https://azz.ai/v1", "openai"),
    ],
)
def test_the_dialect_is_chosen_by_the_address(base_url: str, name: str) -> None:
    assert dialect_of(base_url).name == name


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_the_dialect_can_be_set(name: str) -> None:
    assert dialect_of("https://open.bigmodel.cn/api/paas/v4", name) is DIALECTS[name]


def test_an_unknown_dialect_is_refused() -> None:
    with pytest.raises(glmv.InvalidRequestError, match="dialect"):
        glmv.Client(KEY, dialect="cobol")


@pytest.mark.parametrize(
    ("options", "prefix"),
    [
        ({}, ""),
        ({"base_url": "https://proxy.example/v1"}, "data:image/png;base64,"),
        ({"base_url": "https://vllm.example/v1", "dialect": "vllm"}, "data:image/png;base64,"),
        ({"base_url": "https://proxy.example/v1", "base64_as": "raw"}, ""),
        ({"base64_as": "data_uri"}, "data:image/png;base64,"),
    ],
)
def test_pictures_are_encoded_in_the_servers_form(options: Any, prefix: str) -> None:
    _, body = sent(["What?", glmv.Image.from_bytes(PIXEL)], **options)
    url = body["messages"][0]["content"][1]["image_url"]["url"]
    assert url == prefix + base64.b64encode(PIXEL).decode()


@pytest.mark.parametrize("value", [True, False])
def test_thinking_is_switched_by_the_servers_field(value: bool) -> None:
    _, body = sent("hi", thinking=value)
    assert body["thinking"] == {"type": "enabled" if value else "disabled"}
    _, body = sent("hi", thinking=value, base_url="https://vllm.example/v1", dialect="vllm")
    assert body["chat_template_kwargs"] == {"enable_thinking": value}
    assert "thinking" not in body


def test_a_proxy_gets_its_own_path_and_model_name() -> None:
    url, body = sent("hi", base_url="https://proxy.example/v1", model="GLM-4V-Plus")
    assert url == "https://proxy.example/v1/chat/completions"
    assert body["model"] == "GLM-4V-Plus"


def test_names_of_models_match_without_regard_to_case() -> None:
    pictures = [glmv.Image.from_url(f"https://example.com/{n}.png") for n in range(6)]
    with pytest.raises(glmv.LimitExceeded, match="5"):
        sent(pictures, base_url="https://proxy.example/api/paas/v4", model="GLM-4V-Plus")


def test_the_coding_base_url_is_the_platform() -> None:
    url, body = sent(["?", glmv.Image.from_bytes(PIXEL)], base_url="https://api.z.ai/api/coding/paas/v4")
    assert url == "https://api.z.ai/api/coding/paas/v4/chat/completions"
    assert not body["messages"][0]["content"][1]["image_url"]["url"].startswith("data:")


def test_the_platforms_limits_do_not_apply_to_engines() -> None:
    pictures = [glmv.Image.from_url(f"https://example.com/{n}.png") for n in range(60)]
    options = {"model": "glm-4.5v", "temperature": 0.0}
    with pytest.raises(glmv.LimitExceeded):
        sent(pictures, **options)
    _, body = sent(pictures, base_url="https://vllm.example/v1", dialect="vllm", **options)
    assert len(body["messages"][0]["content"]) == 60
    assert body["temperature"] == 0.0
    assert "do_sample" not in body


def test_documents_are_refused_for_servers_without_file_parts() -> None:
    with pytest.raises(glmv.UnsupportedContent, match="vllm"):
        sent(["?", glmv.File.from_url("https://example.com/a.pdf")], base_url="https://vllm.example/v1", dialect="vllm")


def test_servers_with_native_fields_get_those_fields() -> None:
    tool = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    answer = {
        **ANSWER,
        "choices": [{"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [call]}}],
    }
    vllm = {"base_url": "https://vllm.example/v1", "dialect": "vllm"}
    _, body = sent("hi", answer, tools=[tool], tool_choice="look", **vllm)
    assert body["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    _, body = sent("hi", response_format=schema, **vllm)
    assert body["response_format"] == schema
    assert body["messages"] == [{"role": "user", "content": "hi"}]


def test_text_models_of_the_platform_accept_its_built_in_tools() -> None:
    search = {"type": "web_search", "web_search": {"enable": True, "search_query": "glm"}}
    _, body = sent("news?", model="glm-4", tools=[search])
    assert body["tools"] == [search]


def test_an_answer_of_a_proxy_is_read_unchanged() -> None:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER)))
    answer = glmv.Client(base_url="https://proxy.example/v1", http_client=http, model="GLM-4V").chat("hi")
    assert (answer.id, answer.model, answer.text) == ("chatcmpl-1", "GLM-4V-Plus", "hi")
