"""Abuse of the emulator: web pages, foreign hosts, floods, and content that the journal must not store."""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
from typing import Any

import httpx
import pytest

from glmv_emulator.server import middleware


def address(glm: Any) -> tuple[str, int]:
    return "127.0.0.1", int(glm.emu.origin.rpartition(":")[2])


def all_bytes(peer: socket.socket) -> bytes:
    """All bytes that a server sends until it closes the connection."""
    peer.settimeout(10)
    return b"".join(iter(lambda: peer.recv(65536), b""))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "rebound.evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
    ],
)
def test_a_request_from_a_web_page_is_refused_even_with_the_key(glm: Any, headers: dict[str, str]) -> None:
    answer = glm.post(glm.hello(), headers=headers)
    assert answer.status_code == 403
    assert "choices" not in answer.text


def test_a_cors_preflight_is_refused(glm: Any) -> None:
    asking = {
        "origin": "https://evil.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, x-glmv-fault",
    }
    answer = glm.http.options(f"{glm.emu.base_url}/chat/completions", headers=asking)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_fault_header_without_the_key_of_the_emulator_causes_no_fault(glm: Any) -> None:
    headers = {"x-glmv-fault": "stall-before-headers", "authorization": "Bearer test-id.test-secret"}
    answer = glm.post(glm.hello(), headers=headers)
    assert answer.status_code == 401
    assert glm.emu.requests[-1].fault is None


def test_the_emulator_listens_on_one_loopback_address_by_default(glm: Any) -> None:
    assert address(glm)[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", address(glm)[1]), timeout=5)


@pytest.mark.parametrize("target", ["example.com:443", "127.0.0.1:{port}"])
def test_a_request_with_the_method_connect_is_refused_without_a_traceback(
    glm: Any, target: str, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = address(glm)
    named = target.format(port=port)
    with socket.create_connection((host, port), timeout=10) as peer:
        peer.sendall(f"CONNECT {named} HTTP/1.1\r\nhost: {named}\r\n\r\n".encode())
        answer = all_bytes(peer)
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"the emulator is not a forward proxy" in answer
    assert glm.chat("Hello").status_code == 200
    assert [record for record in caplog.records if record.exc_info] == []


HALF = '{"model": "glm-4v", "request_id": "half \\ud83d", "messages": [{"role": "user", "content": "a \\ud83d sign"}]}'


@pytest.mark.parametrize("path", ["/chat/completions", "/tokenizer", "/embeddings", "/batches", "/no/such/path"])
def test_a_lone_surrogate_in_a_request_breaks_neither_the_answer_nor_the_page(glm: Any, path: str) -> None:
    answer = glm.http.post(glm.emu.base_url + path, content=HALF.encode())
    assert answer.status_code in (200, 400)
    assert answer.content.decode()  # it is UTF-8
    for page in ("/", "/page/news"):
        response = glm.http.get(glm.emu.origin + page)
        assert response.status_code == 200
        assert response.content.decode()


def test_a_lone_surrogate_in_a_batch_does_not_end_the_batch(glm: Any) -> None:
    line = {"custom_id": "line-1", "method": "POST", "url": "/v4/chat/completions"}
    body = {"model": "glm-4v", "messages": [glm.user("Say \ud83d")]}
    jsonl = json.dumps(line | {"body": body}).encode()
    form = {"data": {"purpose": "batch"}, "files": {"file": ("a.jsonl", jsonl)}}
    file = glm.http.post(f"{glm.emu.base_url}/files", **form).json()["id"]
    data = glm.post({"input_file_id": file, "endpoint": "/v4/chat/completions"}, "/batches").json()
    for _ in range(500):
        batch = glm.get(f"/batches/{data['id']}").json()
        if batch["status"] == "completed":
            break
    assert batch["request_counts"]["completed"] == 1


def test_an_incomplete_body_is_refused_after_a_timeout(glm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "SLOWEST_BODY", 0.2)
    host, port = address(glm)
    head = ["POST /api/paas/v4/chat/completions HTTP/1.1", f"host: {host}:{port}", "content-length: 99", "", "{"]
    with socket.create_connection(address(glm)) as peer:
        peer.sendall("\r\n".join(head).encode())
        assert all_bytes(peer).startswith(b"HTTP/1.1 408 ")


def test_an_endless_request_head_is_refused(glm: Any) -> None:
    with socket.create_connection(address(glm), timeout=10) as peer, pytest.raises(ConnectionError):
        peer.sendall(b"x" * 64 * 1024 * 1024)
    assert glm.chat("Hello").status_code == 200


def test_an_endless_chunked_body_is_refused_at_the_limit(emulate: Any) -> None:
    glm = emulate(largest_body=1_000_000)
    # The client gets the refusal, or only an error because the server stops reading.
    with contextlib.suppress(httpx.TransportError):
        glm.http.post(f"{glm.emu.base_url}/chat/completions", content=itertools.repeat(b" " * 65536))
    assert glm.emu.requests[-1].status == 413
    assert glm.emu.requests[-1].size < 2_000_000
    assert glm.chat("Hello").status_code == 200


def test_requests_are_served_during_hundreds_of_silent_connections(glm: Any) -> None:
    with contextlib.ExitStack() as opened:
        for _ in range(400):
            opened.enter_context(socket.create_connection(address(glm)))
        assert glm.chat("Hello").status_code == 200


def test_the_journal_stores_no_key_no_token_no_cookie_and_no_base64_data(glm: Any) -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJhcGlfa2V5IjoidGVzdC1pZCJ9.c2lnbmF0dXJlLW9mLWEtdGVzdA"
    blob = glm.base64(bytes(range(256)))
    glm.post(
        glm.hello() | {"messages": [glm.user(f"My token is {token}, my picture {blob}, my key {glm.emu.api_key}")]},
        headers={"cookie": "session=test-cookie", "x-api-key": "test-key", "x-note": f"key {glm.emu.api_key}"},
    )
    journal = repr(glm.emu.requests)
    secrets = [glm.emu.api_key.partition(".")[2], token, token.rpartition(".")[2], blob, "test-cookie", "test-key"]
    assert [secret for secret in secrets if secret in journal] == []


def test_the_journal_stores_less_than_70_kilobytes_of_a_large_request(glm: Any) -> None:
    many = [{"type": "text", "text": "word " * 700} for _ in range(200)]
    glm.post(glm.hello() | {"messages": [{"role": "user", "content": many}]})
    assert len(repr(glm.emu.requests[-1].body)) < 70_000
