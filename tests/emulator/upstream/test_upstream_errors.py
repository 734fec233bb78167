"""Errors of an upstream model become documented codes, whose messages name the server and never its key."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from typing import Any

import pytest

import glmv
from glmv_emulator import Emulator
from tests.emulator.upstream.conftest import KEY, delta, says, streams, whole
from tests.support.fake_server import Peer, Server

OLLAMA = {"error": {"message": 'model "qwen" not found, try pulling it first', "type": "not_found_error"}}
VLLM = {"object": "error", "message": "The model `qwen` does not exist.", "type": "NotFoundError", "code": 404}
LLAMA = {"error": {"code": 400, "message": "the request exceeds the available context size", "type": "exceed_context"}}
LOADING = {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}
VLLM_LONG = {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}
QUOTA = {"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}
POLICY = {"error": {"message": "The response was filtered", "code": "content_filter"}}


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401, "1000"),
        (403, {"detail": "Forbidden"}, 403, "1220"),
        (402, {"error": "no credit"}, 429, "1113"),
        (404, OLLAMA, 400, "1211"),
        (404, VLLM, 400, "1211"),
        (404, b"404 page not found", 404, "1222"),
        (405, {"detail": "Method Not Allowed"}, 404, "1222"),
        (400, LLAMA, 400, "1261"),
        (500, LLAMA, 400, "1261"),
        (400, VLLM_LONG, 400, "1261"),
        (400, {"error": {"message": "invalid image input"}}, 400, "1210"),
        (422, {"detail": [{"loc": ["body"]}]}, 400, "1210"),
        (400, POLICY, 400, "1301"),
        (429, {"error": {"message": "slow down"}}, 429, "1302"),
        (429, QUOTA, 429, "1113"),
        (503, LOADING, 429, "1305"),
        (500, {"error": {"message": "CUDA out of memory"}}, 500, "500"),
        (502, b"<html><body><h1>Bad Gateway</h1></body></html>", 500, "500"),
        (307, b"", 500, "500"),
        (200, {"error": {"message": "CUDA out of memory"}}, 500, "500"),
        (200, {"error": {"message": "the request exceeds the available context size", "code": 400}}, 400, "1261"),
        (200, b"<html>Welcome</html>", 500, "500"),
        (200, {"models": []}, 500, "500"),
        (200, [1], 500, "500"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_upstream_error_gets_a_documented_code_and_names_the_servers_address(
    before: Any, server: Server, status: int, body: Any, expected: int, code: str, stream: bool
) -> None:
    answer = before(says(body, status)).chat("Hello", stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (expected, code)
    assert f"http://127.0.0.1:{server.port}/v1" in answer.json()["error"]["message"]
    assert KEY not in answer.text


def test_an_upstream_error_is_quoted_in_a_message_in_the_language_of_the_client(before: Any) -> None:
    glm = before(says({"error": {"message": "CUDA out of memory"}}, 500))
    english = glm.post(glm.hello(), headers={"Accept-Language": "en"}).json()["error"]["message"]
    assert english.startswith("Internal error: upstream model http://")
    assert english.endswith("CUDA out of memory")
    assert "上游模型" in glm.post(glm.hello()).json()["error"]["message"]


def test_on_v1_an_upstream_error_is_sent_in_the_openai_format(before: Any) -> None:
    glm = before(says({"error": {"message": "slow down"}}, 429, "retry-after: 7"))
    answer = glm.http.post(f"{glm.emu.proxy_url}/chat/completions", json=glm.hello())
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["error"]["type"] == "rate_limit_error"
    assert "slow down" in answer.json()["error"]["message"]


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


@pytest.mark.parametrize("stream", [False, True])
def test_the_error_for_an_unreachable_upstream_server_names_its_address(emulate: Any, stream: bool) -> None:
    address = f"http://127.0.0.1:{unused_port()}/v1"
    answer = emulate(upstream=address).chat("Hello", stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "1234")
    assert address in answer.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_to_a_silent_upstream_server_ends_at_the_upstream_timeout(before: Any, stream: bool) -> None:
    answer = before(lambda peer: peer.stall(), upstream_timeout=0.1).chat("Hello", stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "1234")
    assert "ReadTimeout" in answer.json()["error"]["message"]


def half(peer: Peer) -> None:
    peer.head(200, "content-type: application/json", "content-length: 1000")
    peer.send(b'{"choices": [')
    peer.close()


def test_a_truncated_upstream_answer_becomes_an_error(before: Any) -> None:
    assert before(half).code("Hello") == "1234"


@pytest.mark.parametrize(
    ("script", "code"),
    [
        (streams(delta(content="A "), end=False), "1234"),
        (streams(delta(content="A ")), "1234"),
        (streams(delta(content="A "), {"error": {"message": "CUDA out of memory", "code": 500}}), "500"),
        (streams(delta(content="A "), b"data: {oops\n\n"), "500"),
    ],
)
def test_a_truncated_upstream_stream_ends_with_an_error_after_its_first_text(
    before: Any, server: Server, script: Any, code: str
) -> None:
    glm = before(script)
    first, last = glm.frames("Hello")
    assert first["choices"][0]["delta"]["content"] == "A "
    assert last["error"]["code"] == code
    assert f":{server.port}/v1" in last["error"]["message"]
    assert glm.emu.requests[0].code == code
    with glmv.Client(glm.emu.api_key, base_url=glm.emu.base_url, model="glm-4.6v") as client:
        got = []
        with pytest.raises(glmv.GLMVError):
            got.extend(client.stream("Hello", max_retries=0))
    assert "".join(one.text or "" for one in got) == "A "


def test_an_upstream_stream_is_complete_after_a_finish_reason_and_a_clean_end(before: Any) -> None:
    assert before(streams(delta(content="A"), delta("stop"), end=False)).frames("Hello")[-1]["error"]["code"] == "1234"
    assert before(streams(delta(content="A"), delta("stop"))).frames("Hello")[-1] == "[DONE]"


def test_glmv_retries_a_temporary_error_of_an_upstream_server(before: Any, server: Server) -> None:
    glm = before(says({"error": {"message": "Loading model"}}, 503, "retry-after: 0"), says(whole("A cat.")))
    with glmv.Client(glm.emu.api_key, base_url=glm.emu.base_url, model="glm-4.6v") as client:
        assert client.chat("Hello").text == "A cat."
    assert len(server.requests) == 2


def test_an_asynchronous_task_fails_and_is_logged_if_the_upstream_server_refuses_it(
    before: Any, caplog: pytest.LogCaptureFixture
) -> None:
    glm = before(says({"error": {"message": f"boom {KEY}"}}, 500), async_polls=0)
    body = {"model": "glm-4.6v", "messages": [glm.user("Hello")]}
    ticket = glm.post(body, "/async/chat/completions").json()
    with caplog.at_level(logging.WARNING, "glmv_emulator"):
        assert glm.get(f"/async-result/{ticket['id']}").json()["task_status"] == "FAIL"
    assert "boom <key>" in caplog.text


def test_neither_the_page_nor_the_journal_nor_the_report_contains_the_upstream_key(before: Any) -> None:
    glm = before(says({"error": {"message": f"bad key {KEY}"}}, 401))
    glm.chat("Hello")
    glm.chat("Hello", stream=True)
    page = glm.http.get(glm.emu.origin).text
    assert "HTTP 401" in page
    assert KEY not in page
    assert KEY not in repr(glm.emu.requests) + repr(glm.emu) + str(glm.emu.report(errors=2))


def test_messages_do_not_mask_an_upstream_key_that_is_an_ordinary_word(before: Any) -> None:
    glm = before(says({"error": {"message": "ollama is busy"}}, 500), upstream_key="ollama")
    assert "ollama is busy" in glm.chat("Hello").json()["error"]["message"]


def test_messages_show_the_upstream_address_without_its_password(before: Any, server: Server) -> None:
    glm = before(says(b"", 500), upstream=f"http://me:pa55word@127.0.0.1:{server.port}/v1", upstream_key=None)
    message = glm.chat("Hello").json()["error"]["message"]
    assert f"http://127.0.0.1:{server.port}/v1" in message
    assert "pa55word" not in message
    assert "authorization: basic" in server.requests[0][0].lower()


def test_proxies_of_the_environment_are_not_used_for_an_upstream_on_this_machine(
    before: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_port()}")
    assert before().chat("Hello").json()["choices"][0]["message"]["content"] == "A cat."


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"upstream": "127.0.0.1:11434/v1"}, "base URL"),
        ({"upstream": "file:///v1"}, "base URL"),
        ({"upstream": "http://127.0.0.1:1/v1", "upstream_key": f"{KEY}\n"}, "a header cannot contain"),
        ({"upstream_model": "qwen"}, "set upstream"),
        ({"upstream_key": KEY}, "set upstream"),
    ],
)
def test_invalid_upstream_settings_are_refused_and_the_error_hides_the_key(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        Emulator(**settings)
    assert KEY not in str(raised.value)


def test_a_lone_surrogate_is_sent_upstream_as_a_replacement_character(before: Any, server: Server) -> None:
    glm = before()
    body = b'{"model": "glm-4.6v", "messages": [{"role": "user", "content": "a \\ud83d b"}]}'
    headers = {"content-type": "application/json"}
    assert glm.http.post(f"{glm.emu.base_url}/chat/completions", content=body, headers=headers).status_code == 200
    assert json.loads(server.requests[0][1])["messages"][0]["content"] == "a \ufffd b"


def test_an_upstream_answer_or_stream_without_choices_becomes_an_error(before: Any) -> None:
    counted = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 0}}
    for glm, more in (
        (before(says(counted)), {}),
        (before(streams(counted)), {"stream": True}),
        (before(streams()), {"stream": True}),
    ):
        answer = glm.chat("Hello", **more)
        assert answer.status_code >= 400
        assert answer.json()["error"]["code"] == "1234"
        assert "the answer has no choices" in answer.json()["error"]["message"]


def test_the_traceback_of_a_refused_setting_has_no_key_in_its_local_variables() -> None:
    for settings in ({"upstream": "file:///v1"}, {"upstream": "http://127.0.0.1:1/v1", "pace": -1}):
        with pytest.raises(ValueError) as raised:
            Emulator(upstream_key=KEY, **settings)
        frames = traceback.TracebackException.from_exception(raised.value, capture_locals=True).stack
        shown = [str(frame.locals) for frame in frames if "glmv_emulator" in frame.filename]
        assert shown
        assert not [text for text in shown if KEY in text or "AttributeError" in text]


@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_a_stream_is_read_whatever_its_content_type_says(before: Any, kind: str) -> None:
    chunk = {"id": "x", "choices": [{"index": 0, "delta": {"content": "A cat."}, "finish_reason": "stop"}]}
    body = f": hello\n\ndata: {json.dumps(chunk)}\n\ndata: [DONE]\n\n".encode()
    glm = before(says(body, kind=kind))
    assert "A cat." in glm.chat("Hello", stream=True).text
