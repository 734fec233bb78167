"""Request formats of servers: the platform, proxies in front of it, and engines with open weights."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image as Pillow

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


def recording(answer: Any = ANSWER) -> tuple[httpx.Client, list[httpx.Request]]:
    """An HTTP client that gets this answer to each request, and the list of its requests."""
    record: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        record.append(request)
        return httpx.Response(200, json=answer)

    return httpx.Client(transport=httpx.MockTransport(reply)), record


def url_and_body(
    messages: Any, answer: Any = ANSWER, *, key: str | None = KEY, **options: Any
) -> tuple[str, dict[str, Any]]:
    """The URL and the body of one call."""
    call = {
        name: options.pop(name) for name in ("thinking", "tools", "tool_choice", "response_format") if name in options
    }
    http, record = recording(answer)
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
        ("http://127.0.0.1:9999/api/coding/paas/v4/", "platform"),
        # By host alone, whatever the path.
        ("https://open.bigmodel.cn/api/v5", "platform"),
        ("https://bigmodel.cn", "platform"),
        ("https://api.z.ai/v1", "platform"),
        ("https://z.ai/", "platform"),
        (" https://api.z.ai/v1 ", "platform"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://your-proxy.example/v1", "openai"),
        ("https://your-proxy.example/api/paas/v4/more", "openai"),
        ("https://your-proxy.example/api/paas/v4X", "openai"),
        ("http://127.0.0.1:8000/v1", "openai"),
        ("https://notbigmodel.cn/v1", "openai"),
        ("https://z.ai.evil.example/v1", "openai"),
        ("https://azz.ai/v1", "openai"),
    ],
)
def test_the_dialect_is_chosen_by_the_address(base_url: str, name: str) -> None:
    assert dialect_of(base_url).name == name


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_a_dialect_that_the_user_sets_overrides_the_address(name: str) -> None:
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
def test_pictures_are_sent_as_raw_base64_or_data_uri_as_the_server_requires(options: Any, prefix: str) -> None:
    _, body = url_and_body(["What?", glmv.Image.from_bytes(PIXEL)], **options)
    url = body["messages"][0]["content"][1]["image_url"]["url"]
    assert url == prefix + base64.b64encode(PIXEL).decode()


def test_a_request_to_a_proxy_uses_its_base_url_and_the_model_name_unchanged() -> None:
    url, body = url_and_body("hi", base_url="https://proxy.example/v1", model="GLM-4V-Plus")
    assert url == "https://proxy.example/v1/chat/completions"
    assert body["model"] == "GLM-4V-Plus"


def test_names_of_models_match_without_regard_to_case() -> None:
    pictures = [glmv.Image.from_url(f"https://example.com/{n}.png") for n in range(6)]
    with pytest.raises(glmv.LimitExceeded, match="5"):
        url_and_body(pictures, base_url="https://proxy.example/api/paas/v4", model="GLM-4V-Plus")


def test_the_base_url_of_the_coding_plan_uses_the_dialect_of_the_platform() -> None:
    url, body = url_and_body(["?", glmv.Image.from_bytes(PIXEL)], base_url="https://api.z.ai/api/coding/paas/v4")
    assert url == "https://api.z.ai/api/coding/paas/v4/chat/completions"
    assert not body["messages"][0]["content"][1]["image_url"]["url"].startswith("data:")


def test_the_platforms_limits_do_not_apply_to_vllm() -> None:
    pictures = [glmv.Image.from_url(f"https://example.com/{n}.png") for n in range(60)]
    options = {"model": "glm-4.5v", "temperature": 0.0}
    with pytest.raises(glmv.LimitExceeded):
        url_and_body(pictures, **options)
    _, body = url_and_body(pictures, base_url="https://vllm.example/v1", dialect="vllm", **options)
    assert len(body["messages"][0]["content"]) == 60
    assert body["temperature"] == 0.0
    assert "do_sample" not in body


def test_sending_a_document_to_vllm_is_refused() -> None:
    with pytest.raises(glmv.UnsupportedContent, match="vllm"):
        url_and_body(
            ["?", glmv.File.from_url("https://example.com/a.pdf")], base_url="https://vllm.example/v1", dialect="vllm"
        )


def test_tool_choice_and_response_format_are_sent_to_vllm_as_fields() -> None:
    tool = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    answer = {
        **ANSWER,
        "choices": [{"finish_reason": "tool_calls", "message": {"content": None, "tool_calls": [call]}}],
    }
    vllm = {"base_url": "https://vllm.example/v1", "dialect": "vllm"}
    _, body = url_and_body("hi", answer, tools=[tool], tool_choice="look", **vllm)
    assert body["tool_choice"] == {"type": "function", "function": {"name": "look"}}
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    _, body = url_and_body("hi", response_format=schema, **vllm)
    assert body["response_format"] == schema
    assert body["messages"] == [{"role": "user", "content": "hi"}]


def test_text_models_of_the_platform_accept_its_built_in_tools() -> None:
    search = {"type": "web_search", "web_search": {"enable": True, "search_query": "glm"}}
    _, body = url_and_body("news?", model="glm-4", tools=[search])
    assert body["tools"] == [search]


def test_an_answer_of_a_proxy_is_read_unchanged() -> None:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER)))
    answer = glmv.Client(base_url="https://proxy.example/v1", http_client=http, model="GLM-4V").chat("hi")
    assert (answer.id, answer.model, answer.text) == ("chatcmpl-1", "GLM-4V-Plus", "hi")


PROXY = "https://proxy.example/v1"


@pytest.mark.parametrize(
    ("settings", "environment", "refused"),
    [
        ({}, {}, True),
        ({"base_url": PROXY}, {}, False),
        ({"base_url": "https://api.z.ai/v1"}, {}, True),
        ({"base_url": "http://[broken"}, {}, False),
        ({"dialect": "vllm"}, {}, False),
        ({"dialect": "platform", "base_url": PROXY}, {}, True),
        ({"dialect": "openai", "base_url": "https://api.z.ai/v1"}, {}, False),
        ({}, {"GLMV_BASE_URL": PROXY}, False),
        ({}, {"ZHIPUAI_BASE_URL": PROXY}, False),
        ({}, {"ZAI_BASE_URL": PROXY}, False),
        ({}, {"ZAI_BASE_URL": "https://api.z.ai/v1"}, True),
        ({"base_url": "https://api.z.ai/v1"}, {"GLMV_BASE_URL": PROXY}, True),
    ],
)
def test_sampling_ranges_are_checked_only_for_the_dialect_of_the_platform(
    settings: dict[str, Any], environment: dict[str, str], refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if not refused:
        assert glmv.Settings(**settings, temperature=1.5).temperature == 1.5
        return
    with pytest.raises(glmv.InvalidRequestError, match=r"temperature.*0\.0 to 1\.0"):
        glmv.Settings(**settings, temperature=1.5)


ENGINES = ("vllm", "llama.cpp", "transformers")
LOOK = {"type": "function", "function": {"name": "look", "description": "d", "parameters": {"type": "object"}}}
WAIT = {"type": "function", "function": {"name": "wait", "description": "d", "parameters": {"type": "object"}}}
CALLED = {
    **ANSWER,
    "choices": [
        {
            "finish_reason": "tool_calls",
            "message": {
                "content": "{}",
                "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
            },
        }
    ],
}
each = pytest.mark.parametrize("name", sorted(DIALECTS))


def at(name: str) -> dict[str, Any]:
    return {"dialect": name, "base_url": "https://server.example/v1", "model": "mine"}


@each
@pytest.mark.parametrize("value", [True, False])
def test_thinking_is_switched_in_the_field_that_each_server_reads(name: str, value: bool) -> None:
    _, body = url_and_body("hi", thinking=value, **at(name))
    own = {"type": "enabled" if value else "disabled"}
    expected = {
        "openrouter": {"reasoning": {"enabled": value}},
        "litellm": {"thinking": own, "allowed_openai_params": ["thinking"]},
        **{engine: {"chat_template_kwargs": {"enable_thinking": value}} for engine in ENGINES},
    }
    rest = {key: given for key, given in body.items() if key not in ("model", "messages", "request_id")}
    assert rest == expected.get(name, {"thinking": own})
    assert url_and_body("hi", thinking=value)[1]["thinking"] == own


@each
def test_the_platforms_own_fields_become_openai_fields_for_other_servers(name: str) -> None:
    http, record = recording()
    glm = glmv.Client(KEY, http_client=http, **at(name))
    glm.chat("hi", do_sample=False, user_id="user-1", request_id="abcdef")
    body = json.loads(record[0].content)
    rest = {key: given for key, given in body.items() if key not in ("model", "messages")}
    if name == "platform":
        assert rest == {"do_sample": False, "user_id": "user-1", "request_id": "abcdef"}
        return
    assert rest == {"temperature": 0, "user": "user-1"}
    assert record[0].headers["X-Request-Id"] == "abcdef"


@each
def test_usage_of_a_stream_is_requested_unless_the_server_sends_it_by_default(name: str) -> None:
    http, record = recording()
    list(glmv.Client(KEY, http_client=http, **at(name)).stream("hi"))
    asks = name not in ("platform", "transformers")
    assert json.loads(record[0].content).get("stream_options") == ({"include_usage": True} if asks else None)


@each
def test_self_hosted_engines_accept_no_documents_and_no_tools_except_functions(name: str) -> None:
    paper = ["?", glmv.File.from_url("https://example.com/a.pdf")]
    search = [{"type": "web_search", "web_search": {}}]
    if name in ENGINES:
        with pytest.raises(glmv.UnsupportedContent, match="do not accept files"):
            url_and_body(paper, **at(name))
        with pytest.raises(glmv.UnsupportedContent, match="take functions only"):
            url_and_body("hi", tools=search, **at(name))
        return
    assert url_and_body(paper, **at(name))[1]["messages"][0]["content"][1]["type"] == "file_url"
    assert url_and_body("hi", tools=search, **at(name))[1]["tools"] == search


@each
def test_tool_choice_becomes_an_instruction_for_servers_that_ignore_the_field(name: str) -> None:
    _, body = url_and_body("hi", CALLED, tools=[LOOK, WAIT], tool_choice="look", **at(name))
    _, required = url_and_body("hi", CALLED, tools=[LOOK, WAIT], tool_choice="required", **at(name))
    names = [tool["function"]["name"] for tool in body["tools"]]
    match name:
        case "openrouter" | "vllm":
            assert body["tool_choice"] == {"type": "function", "function": {"name": "look"}}
            assert (names, required["tool_choice"]) == (["look", "wait"], "required")
        case "llama.cpp":
            assert (names, body["tool_choice"], required["tool_choice"]) == (["look"], "required", "required")
        case _:
            assert (names, "tool_choice" in body, "tool_choice" in required) == (["look"], False, False)
    in_words = [message["role"] for message in required["messages"]] == ["system", "user"]
    assert in_words is (name not in ("openrouter", "vllm", "llama.cpp"))


@each
def test_response_format_becomes_an_instruction_for_servers_that_ignore_the_field(name: str) -> None:
    answer = {**ANSWER, "choices": [{"finish_reason": "stop", "message": {"content": "{}"}}]}
    _, body = url_and_body("hi", answer, response_format={"type": "json_object"}, **at(name))
    obeys = name in ("openrouter", "vllm", "llama.cpp")
    assert body.get("response_format") == ({"type": "json_object"} if obeys else None)
    assert [message["role"] for message in body["messages"]] == (["user"] if obeys else ["system", "user"])


def notes_on(size: tuple[int, int], name: str) -> str:
    picture = io.BytesIO()
    Pillow.new("RGB", size).save(picture, "PNG")
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER)))
    glm = glmv.Client(KEY, http_client=http, **at(name))
    return " ".join(glm.chat(["?", glmv.Image.from_bytes(picture.getvalue())]).notes)


@each
def test_pictures_that_vllm_or_transformers_would_refuse_are_named_in_a_note(name: str) -> None:
    reads = name in ("vllm", "transformers")
    assert ("less than 28 pixels" in notes_on((27, 27), name)) is reads
    assert ("200" in notes_on((201 * 28, 28), name)) is reads
    assert notes_on((28, 28), name) == notes_on((200 * 28, 28), name) == ""


@each
def test_an_exceeded_limit_raises_on_the_platform_and_is_noted_only_for_proxies(name: str) -> None:
    pictures = [glmv.Image.from_url(f"https://example.com/{n}.png") for n in range(6)]
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER)))
    glm = glmv.Client(KEY, http_client=http, **{**at(name), "model": "glm-4v"})
    if name == "platform":
        with pytest.raises(glmv.LimitExceeded, match="5 pictures"):
            glm.chat(pictures)
        return
    assert any("5 pictures" in note for note in glm.chat(pictures).notes) is (name not in ENGINES)
