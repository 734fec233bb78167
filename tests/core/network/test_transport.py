"""Tracers and mocks see every request, passed clients stay unchanged, and calls work with a changed httpx."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Any

import httpx
import pytest
from PIL import Image

import glmv
from glmv.transport import http_client

KEY = "test-id.test-secret"


def types_in(thing: Any, depth: int = 6) -> Any:
    """The types of everything inside an object, attribute by attribute."""
    if depth == 0 or not hasattr(thing, "__dict__"):
        return type(thing)
    return type(thing), {name: types_in(value, depth - 1) for name, value in vars(thing).items()}


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_no_object_inside_a_passed_http_client_is_replaced(server: Any, library: str) -> None:
    with pytest.importorskip(library).Client() as http:
        http.post(server.base_url)
        before = types_in(http)
        with glmv.Client(KEY, base_url=server.base_url, http_client=http, deadline=5) as glm:
            glm.chat("hi")
            assert types_in(http) == before
        assert types_in(http) == before


def test_the_log_of_httpx_has_one_line_for_a_request(ask: Any, server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "httpx")
    ask()
    lines = [record.getMessage() for record in caplog.records if record.name == "httpx"]
    assert [line for line in lines if "HTTP Request: POST" in line and "200" in line] == lines
    assert len(lines) == 1


def test_each_attempt_uses_the_method_that_tracers_and_mocks_replace(
    server: Any, no_pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    record: list[str] = []
    send = httpx.HTTPTransport.handle_request

    def watched(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        record.append(request.method)
        return send(self, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", watched)
    server.plays(lambda peer: peer.say(b"", 503), lambda peer: peer.say({"choices": [{"message": {"content": "a"}}]}))
    with glmv.Client(KEY, base_url=server.base_url) as glm:
        assert glm.chat("hi").attempts == 2
    assert record == ["POST", "POST"]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_calls_work_if_the_pool_of_httpx_is_not_found(server: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    # The guard looks for a pool of these classes: with other classes it finds none, as in a later httpx.
    monkeypatch.setattr(http_client.httpcore, "ConnectionPool", type("Elsewhere", (), {}))
    monkeypatch.setattr(http_client.httpcore, "AsyncConnectionPool", type("Elsewhere", (), {}))
    monkeypatch.setattr(http_client, "_pool", lambda *_: pytest.fail("the pool was replaced"))
    import httpcore._async.connection_pool as asynchronous
    import httpcore._sync.connection_pool as blocking

    def set_pool(self: Any, **_: Any) -> None:
        self._pool = blocking.ConnectionPool()

    async def ask() -> str:
        async with glmv.AsyncClient(KEY, base_url=server.base_url) as glm:
            return (await glm.chat("hi", deadline=5)).text

    def set_async_pool(self: Any, **_: Any) -> None:
        self._pool = asynchronous.AsyncConnectionPool()

    monkeypatch.setattr(httpx.HTTPTransport, "__init__", set_pool)
    monkeypatch.setattr(httpx.AsyncHTTPTransport, "__init__", set_async_pool)
    if kind == "async":
        assert asyncio.run(ask()) == "hello"
        return
    with glmv.Client(KEY, base_url=server.base_url) as glm:
        assert glm.chat("hi", deadline=5).text == "hello"


def test_debug_lines_show_attempts_and_pauses_without_content(
    server: Any, no_pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "glmv")
    server.plays(lambda peer: peer.say(b"", 503), lambda peer: peer.say({"choices": [{"message": {"content": "a"}}]}))
    with glmv.Client(KEY, base_url=server.base_url) as glm:
        glm.chat("a private question")
    lines = [record.getMessage() for record in caplog.records if record.name == "glmv"]
    assert len([line for line in lines if line.startswith("Sending POST /chat/completions to 127.0.0.1")]) == 2
    assert [line for line in lines if "HTTP 503" in line]
    assert [line for line in lines if line.startswith("Waiting ")]
    assert "private" not in " ".join(lines)


def test_a_debug_line_shows_how_a_picture_was_fitted(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "glmv")
    picture = io.BytesIO()
    Image.new("RGB", (7000, 10), "red").save(picture, "BMP")
    with glmv.Client(KEY, base_url=server.base_url) as glm:
        glm.chat(["What is this?", glmv.Image.from_bytes(picture.getvalue())])
    [line] = [record.getMessage() for record in caplog.records if "Fitted" in record.getMessage()]
    assert line.startswith("Fitted at messages[0], part 1: ")
    assert "7000x10 to 6000x9" in line
