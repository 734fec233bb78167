"""Base URL and key of a request, from settings and environment."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glmv
from glmv.options import Settings
from glmv.transport.address import BIGMODEL, ZAI, address_of

KEY = "test-id.test-secret"


@pytest.mark.parametrize(
    ("environment", "base_url", "key"),
    [
        ({"ZHIPUAI_API_KEY": "a.b"}, BIGMODEL, "a.b"),
        ({"ZAI_API_KEY": "c.d"}, ZAI, "c.d"),
        ({"ZHIPUAI_API_KEY": "a.b", "ZAI_API_KEY": "c.d"}, BIGMODEL, "a.b"),
        ({"ZHIPUAI_API_KEY": "", "ZAI_API_KEY": "c.d"}, ZAI, "c.d"),
        ({"ZHIPUAI_API_KEY": "a.b", "ZHIPUAI_BASE_URL": "https://one.example/v1"}, "https://one.example/v1", "a.b"),
        ({"ZHIPUAI_API_KEY": "a.b", "ZAI_BASE_URL": "https://two.example/v1"}, BIGMODEL, "a.b"),
        ({"ZAI_API_KEY": "c.d", "ZAI_BASE_URL": "https://two.example/v1"}, "https://two.example/v1", "c.d"),
        ({"ZAI_API_KEY": "c.d", "ZHIPUAI_BASE_URL": "https://one.example/v1"}, ZAI, "c.d"),
        (
            {"ZAI_API_KEY": "c.d", "ZAI_BASE_URL": "https://two.example/v1", "GLMV_BASE_URL": "https://g.example/v1"},
            "https://g.example/v1",
            "c.d",
        ),
    ],
)
def test_base_url_and_key_come_from_the_environment(environment: dict[str, str], base_url: str, key: str) -> None:
    address = address_of(Settings(), environment)
    assert address.base_url == base_url
    assert address.signer is not None
    assert address.signer.header(0) == f"Bearer {key}"


@pytest.mark.parametrize(
    ("environment", "base_url"),
    [
        ({}, BIGMODEL),
        ({"ZHIPUAI_BASE_URL": "https://one.example/v1"}, "https://one.example/v1"),
        ({"ZAI_BASE_URL": "https://two.example/v1"}, "https://two.example/v1"),
        ({"ZHIPUAI_BASE_URL": "https://one.example/v1", "ZAI_BASE_URL": "https://two.example/v1"},
         "https://one.example/v1"),
        ({"ZAI_API_KEY": "x.y"}, ZAI),
        ({"ZHIPUAI_API_KEY": "a.b", "ZAI_API_KEY": "x.y", "ZAI_BASE_URL": "https://two.example/v1"},
         "https://two.example/v1"),
        ({"ZAI_API_KEY": "c.d", "ZAI_BASE_URL": "https://two.example/v1"}, BIGMODEL),
        ({"ZHIPUAI_API_KEY": "a.b", "ZHIPUAI_BASE_URL": "https://one.example/v1"}, "https://one.example/v1"),
        ({"ZAI_BASE_URL": "https://two.example/v1", "GLMV_BASE_URL": "https://g.example/v1"}, "https://g.example/v1"),
    ],
)  # fmt: skip
def test_the_base_url_for_a_passed_key_depends_on_the_variables_of_the_environment(
    environment: dict[str, str], base_url: str
) -> None:
    address = address_of(Settings(api_key="x.y"), environment)
    assert address.base_url == base_url
    assert address.signer is not None
    assert address.signer.header(0) == "Bearer x.y"


def test_settings_override_the_environment() -> None:
    address = address_of(
        Settings(api_key="x.y", base_url="https://mine.example/v1/"),
        {"ZHIPUAI_API_KEY": "a.b", "GLMV_BASE_URL": "https://g.example/v1"},
    )
    assert address.base_url == "https://mine.example/v1"
    assert address.signer is not None
    assert address.signer.header(0) == "Bearer x.y"


def test_a_missing_key_raises_at_the_first_call() -> None:
    client = glmv.Client()
    with pytest.raises(glmv.AuthenticationError, match=r"ZHIPUAI_API_KEY.*ZAI_API_KEY"):
        client.chat("hi")


@pytest.mark.parametrize("base_url", ["https://proxy.example/v1", "http://127.0.0.1:8000/v1"])
def test_servers_other_than_the_platform_need_no_key(base_url: str) -> None:
    assert address_of(Settings(base_url=base_url), {}).signer is None


def test_without_a_key_no_authorization_header_is_sent() -> None:
    record: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        record.append(request.headers)
        return httpx.Response(200, json={"choices": [{"finish_reason": "stop", "message": {"content": "hi"}}]})

    http = httpx.Client(transport=httpx.MockTransport(answer))
    assert glmv.Client(base_url="https://proxy.example/v1", http_client=http).chat("hi").text == "hi"
    assert "authorization" not in record[0]


@pytest.mark.parametrize(
    "base_url",
    ["http://localhost:8000/v1", "http://127.0.0.1/v1", "http://[::1]:8000/v1", "http://app.localhost/v1",
     "HTTPS://proxy.example/v1", "  https://proxy.example/v1/ "],
)  # fmt: skip
def test_valid_base_urls_are_accepted(base_url: str) -> None:
    assert address_of(Settings(base_url=base_url), {}).base_url == base_url.strip().rstrip("/")


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("open.bigmodel.cn/api/paas/v4", "https://"),
        ("ftp://open.bigmodel.cn", "ftp"),
        ("https://", "host"),
        ("https://user:pass@proxy.example/v1", "api_key"),
        ("http://proxy.example/v1", "allow_http=True"),
        ("http://192.168.1.5:8000/v1", "allow_http=True"),
        ("http://127.0.0.1.example.com/v1", "allow_http=True"),
        ("https://proxy.example:99999/v1", "cannot be read"),
        ("https://[::1/v1", "cannot be read"),
        (f"{BIGMODEL}/chat/completions", f"{BIGMODEL} instead"),
        ("https://api.z.ai/api/anthropic", "https://api.z.ai/api/paas/v4 instead"),
    ],
)
def test_an_invalid_base_url_is_refused_with_advice(base_url: str, message: str) -> None:
    with pytest.raises(glmv.InvalidRequestError) as caught:
        address_of(Settings(api_key=KEY, base_url=base_url), {})
    assert message in str(caught.value)
    assert "pass@" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_http_url_is_accepted_with_allow_http() -> None:
    address = address_of(Settings(base_url="http://192.168.1.5:8000/v1", allow_http=True), {})
    assert (address.base_url, address.host) == ("http://192.168.1.5:8000/v1", "192.168.1.5:8000")


@given(st.text(max_size=60))
def test_any_text_as_a_base_url_is_accepted_or_raises_a_glmv_error(base_url: str) -> None:
    try:
        address_of(Settings(api_key=KEY, base_url=base_url), {})
    except glmv.GLMVError:
        pass


def test_clients_with_the_same_key_and_host_share_their_slots(monkeypatch: Any) -> None:
    monkeypatch.setenv("ZHIPUAI_API_KEY", KEY)
    assert glmv.Client().slots("glm-4.6v") is glmv.AsyncClient(KEY).slots("GLM-4.6V")
    assert glmv.Client().slots("glm-4.6v") is not glmv.Client("other.key").slots("glm-4.6v")
    assert glmv.Client().slots("glm-4.6v") is not glmv.Client(base_url=ZAI).slots("glm-4.6v")
