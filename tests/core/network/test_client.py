"""What a client sends, where its settings come from, and which HTTP client it uses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

import glmv

KEY = "test-id.test-secret"
PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
    b"\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82"
)


def headers(server: Any, number: int = -1) -> dict[str, str]:
    first, *lines = server.requests[number][0].split("\r\n")
    assert first == "POST /api/paas/v4/chat/completions HTTP/1.1"
    results = [line.partition(": ") for line in lines]
    names = [name.lower() for name, _, _ in results]
    assert sorted(names) == sorted(set(names))  # none twice
    return {name.lower(): value for name, _, value in results}


def body(server: Any, number: int = -1) -> dict[str, Any]:
    return dict(json.loads(server.requests[number][1]))


def test_a_request_has_the_headers_authorization_and_content_type_and_user_agent(ask: Any, server: Any) -> None:
    ask(api_key=KEY)
    request_headers = headers(server)
    assert request_headers["authorization"] == f"Bearer {KEY}"
    assert request_headers["content-type"] == "application/json; charset=UTF-8"
    assert (request_headers["accept"], request_headers["accept-encoding"]) == ("application/json", "identity")
    assert request_headers["user-agent"] == f"glmv/{glmv.__version__}"
    assert request_headers["content-length"] == str(len(server.requests[0][1]))


def test_each_request_body_has_a_new_request_id_and_streams_add_the_key_stream(ask: Any, server: Any) -> None:
    ask()
    ask(stream=True)
    assert [set(body(server, number)) for number in (0, 1)] == [
        {"model", "messages", "request_id"},
        {"model", "messages", "request_id", "stream"},
    ]
    assert len({body(server, number)["request_id"] for number in (0, 1)}) == 2


def test_headers_of_the_user_replace_built_in_headers_in_any_letter_case(server: Any) -> None:
    with glmv.Client(
        KEY, base_url=server.base_url, default_headers={"User-Agent": "app", "X-A": "client", "X-B": "b"}
    ) as glm:
        glm.chat("hi", extra_headers={"x-a": "call"})
    request_headers = headers(server)
    assert (request_headers["user-agent"], request_headers["x-a"], request_headers["x-b"]) == ("app", "call", "b")


def test_a_token_is_signed_once_and_reused(server: Any) -> None:
    with glmv.Client(KEY, base_url=server.base_url, auth="token") as glm:
        glm.chat("hi")
        glm.chat("hi")
    tokens = [headers(server, number)["authorization"] for number in (0, 1)]
    assert tokens[0] == tokens[1]
    assert tokens[0].count(".") == 2
    assert "test-secret" not in tokens[0]


def test_a_large_picture_is_sent_complete_with_its_content_length(ask: Any, server: Any) -> None:
    picture = glmv.Image.from_bytes(PNG + bytes(1_000_000))
    outcome = ask(messages=[picture, "hi"], stream=False)
    assert isinstance(outcome, glmv.Completion)
    assert headers(server)["content-length"] == str(len(server.requests[0][1]))
    assert "transfer-encoding" not in headers(server)
    assert body(server)["messages"][0]["content"][0]["image_url"]["url"] == picture.base64().decode()


def test_options_of_a_call_override_those_of_the_client(server: Any) -> None:
    with glmv.Client(KEY, base_url=server.base_url, model="glm-4.5v", temperature=0.5, top_p=0.5) as glm:
        glm.chat("hi", model="glm-4.6v", temperature=0.7, top_p=None)
    request_body = body(server)
    assert (request_body["model"], request_body["temperature"], "top_p" in request_body) == ("glm-4.6v", 0.7, False)


def test_answers_have_notes_and_the_number_of_attempts(server: Any, no_pauses: list[float]) -> None:
    refusal = {"error": {"code": "1302", "message": "m"}}
    server.plays(lambda peer: peer.say(refusal, 429), server.scripts[0])
    with glmv.Client(KEY + "2", base_url=server.base_url) as glm:
        answer = glm.chat("hi", strict=True)
    assert answer.attempts == 2
    assert answer.request_id == body(server)["request_id"]
    assert any("strict" in note for note in answer.notes)


def test_a_missing_key_is_reported_by_the_first_call_and_not_by_the_constructor(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for kind in (glmv.Client, glmv.AsyncClient):
        assert repr(kind(base_url="http://elsewhere.example")) == f"{kind.__name__}(model='glm-4.6v')"
    with pytest.raises(glmv.AuthenticationError, match="ZHIPUAI_API_KEY"):
        glmv.Client().chat("hi")


@pytest.mark.parametrize(
    ("variables", "base"),
    [
        ({"ZHIPUAI_API_KEY": KEY}, "https://open.bigmodel.cn/api/paas/v4"),
        ({"ZAI_API_KEY": KEY}, "https://api.z.ai/api/paas/v4"),
        ({"ZHIPUAI_API_KEY": KEY, "ZAI_API_KEY": "other.key"}, "https://open.bigmodel.cn/api/paas/v4"),
        ({"ZHIPUAI_API_KEY": KEY, "ZHIPUAI_BASE_URL": "https://a.example/v4/"}, "https://a.example/v4"),
        ({"ZAI_API_KEY": KEY, "ZHIPUAI_BASE_URL": "https://a.example/v4"}, "https://api.z.ai/api/paas/v4"),
        ({"ZAI_API_KEY": KEY, "ZAI_BASE_URL": "https://b.example/v4"}, "https://b.example/v4"),
        (
            {"ZAI_API_KEY": KEY, "ZAI_BASE_URL": "https://b.example", "GLMV_BASE_URL": "https://c.example"},
            "https://c.example",
        ),
    ],
)
def test_environment_variables_decide_the_base_url(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], base: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert glmv.Client().address.base_url == base


def test_an_http_client_that_is_passed_in_is_used_and_not_closed(server: Any) -> None:
    with httpx.Client(headers={"x-mine": "yes"}) as http:
        with glmv.Client(KEY, base_url=server.base_url, http_client=http) as glm:
            assert glm.chat("hi").text == "hello"
        assert not http.is_closed
    assert headers(server)["x-mine"] == "yes"


async def test_an_async_http_client_that_is_passed_in_is_used_and_not_closed(server: Any) -> None:
    async with httpx.AsyncClient(headers={"x-mine": "yes"}) as http:
        async with glmv.AsyncClient(KEY, base_url=server.base_url, http_async_client=http) as glm:
            assert (await glm.chat("hi")).text == "hello"
        assert not http.is_closed
    assert headers(server)["x-mine"] == "yes"


def test_a_call_with_a_closed_http_client_raises_connection_failed(server: Any) -> None:
    http = httpx.Client()
    http.close()
    with pytest.raises(glmv.ConnectionFailed) as raised:
        glmv.Client(KEY, base_url=server.base_url, http_client=http).chat("hi")
    assert raised.value.attempts == 1


def test_a_call_on_a_closed_client_raises_an_error_that_says_closed(server: Any) -> None:
    glm = glmv.Client(KEY, base_url=server.base_url)
    glm.chat("hi")
    glm.close()
    with pytest.raises(glmv.InvalidRequestError, match="closed"):
        glm.chat("hi")


@pytest.mark.parametrize("timeout", [5, 5.0, httpx.Timeout(5.0), httpx.Timeout(None), None])
def test_a_timeout_may_be_none_or_a_number_of_seconds_or_an_httpx_timeout(ask: Any, timeout: Any) -> None:
    assert isinstance(ask(timeout=timeout), glmv.Completion)


@pytest.mark.parametrize("timeout", ["5", [5], object()])
def test_a_timeout_that_is_a_string_or_a_list_or_another_object_is_refused(ask: Any, timeout: Any) -> None:
    assert isinstance(ask(timeout=timeout), glmv.InvalidRequestError)


def test_any_exception_of_a_passed_http_client_becomes_a_glmv_error(server: Any) -> None:
    for raised in (
        OSError("odd"),
        KeyError("odd"),
        httpx.ReadError("odd"),
        RuntimeError("odd"),
        ValueError("odd"),
    ):

        def fails(request: httpx.Request, raised: Exception = raised) -> httpx.Response:
            raise raised

        http = httpx.Client(transport=httpx.MockTransport(fails))
        with pytest.raises(glmv.GLMVError, match="odd"):
            glmv.Client(KEY, base_url=server.base_url, http_client=http, max_retries=0).chat("hi")


def test_an_exception_of_a_response_hook_becomes_a_glmv_error(server: Any) -> None:
    server.plays(lambda peer: peer.say({"error": {"code": "1302", "message": "m"}}, 429))
    with httpx.Client(event_hooks={"response": [lambda response: response.raise_for_status()]}) as http:
        glm = glmv.Client(KEY, base_url=server.base_url, http_client=http)
        with pytest.raises(glmv.ConnectionFailed, match="hook") as raised:
            glm.chat("hi")
    assert raised.value.attempts == 1


def test_a_clients_object_makes_each_client_once_and_closes_the_sync_client(server: Any) -> None:
    clients = glmv.Clients(glmv.Settings(api_key=KEY, base_url=server.base_url))  # type: ignore[arg-type]  # pydantic makes a secret of it
    assert clients.sync is clients.sync
    assert clients.asynchronous is clients.asynchronous
    assert clients.sync.chat("hi").text == "hello"
    clients.close()
    with pytest.raises(glmv.InvalidRequestError, match="closed"):
        clients.sync.chat("hi")
