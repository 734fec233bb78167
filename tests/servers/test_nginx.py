"""Errors of nginx, in each client of glmv."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import glmv
from glmv_emulator import Emulator
from tests.servers.ways import WAYS, Way

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("way", WAYS)]
HELLO: Any = [("user", ["Good morning"])]


def at(route: str) -> pytest.MarkDecorator:
    """Run a test against this server block."""
    return pytest.mark.parametrize("route", [f"nginx {route}"])


@at("small")
def test_413_raises_invalid_request_and_is_not_retried(
    connect: Callable[..., Way], emu: Emulator, picture: Callable[..., bytes]
) -> None:
    noise = bytes(range(256)) * 4096  # it does not compress; a PNG may have any bytes behind its end
    turns: Any = [("user", [picture() + noise, "Which colour has it?"])]
    with pytest.raises(glmv.InvalidRequestError) as caught:
        connect(max_retries=2).ask(turns)
    assert caught.value.status_code == 413
    assert caught.value.attempts == 1
    assert emu.requests == []


@at("gone")
def test_502_raises_server_error_and_is_retried(connect: Callable[..., Way]) -> None:
    with pytest.raises(glmv.ServerError) as caught:
        connect(max_retries=1).ask(HELLO)
    assert caught.value.status_code == 502
    assert caught.value.attempts == 2


@at("impatient")
def test_504_raises_a_retryable_server_error(client: Way, emu: Emulator) -> None:
    emu.stall(times=None)
    with pytest.raises(glmv.ServerError) as caught:
        client.ask(HELLO)
    assert caught.value.status_code == 504
    assert caught.value.retryable


@at("impatient")
def test_a_stream_that_nginx_ends_raises_an_error_with_the_text_so_far(client: Way, emu: Emulator) -> None:
    emu.stall(after=2, times=None)
    with pytest.raises(glmv.MalformedResponse) as caught:
        client.stream([("user", ["Say something long."])], thinking=False)
    assert caught.value.partial is not None
    assert caught.value.partial.text


@at("closing")
def test_a_connection_closed_without_an_answer_raises_connection_failed(client: Way) -> None:
    with pytest.raises(glmv.ConnectionFailed) as caught:
        client.ask(HELLO)
    assert caught.value.retryable


@at("buffered")
def test_a_call_is_retried_if_the_platform_closes_the_connection_early(
    connect: Callable[..., Way], emu: Emulator
) -> None:
    emu.inject("no-answer")  # nginx answers 502
    emu.inject("half-body")  # nginx sends the half and closes
    assert connect(max_retries=2).ask(HELLO).text
    assert len(emu.requests) == 3


@at("unbuffered")
def test_a_stream_that_the_platform_cuts_raises_an_error_with_the_text_so_far(client: Way, emu: Emulator) -> None:
    emu.inject("cut", times=None, after=4)
    with pytest.raises(glmv.MalformedResponse) as caught:
        client.stream(HELLO, thinking=False)
    assert caught.value.partial is not None
    assert caught.value.partial.text


@pytest.mark.parametrize(
    ("route", "error"),
    [
        pytest.param("nginx limited", glmv.ServerError, id="503"),
        pytest.param("nginx limited 429", glmv.RateLimitError, id="429"),
    ],
)
def test_a_connection_over_the_limit_of_limit_conn_raises_a_retryable_error(
    client: Way, emu: Emulator, settings: dict[str, Any], error: type[glmv.GLMVError]
) -> None:
    emu.stall()
    result = threading.Thread(target=hold, args=(settings,))
    result.start()
    try:
        until(lambda: emu.requests)
        with pytest.raises(error) as caught:
            client.ask(HELLO)
        assert caught.value.retryable
    finally:
        emu.release()
        result.join(10)
    assert client.ask(HELLO).text


def hold(settings: dict[str, Any]) -> None:
    """Occupy a connection with a call of another client."""
    httpx.post(
        f"{settings['base_url']}/chat/completions",
        json={"model": settings["model"], "messages": [{"role": "user", "content": "Good morning"}]},
        headers={"authorization": f"Bearer {settings['api_key']}"},
        trust_env=False,
    )


def until(true: Callable[[], object]) -> None:
    """Wait until the function returns something true; fails after 5 seconds."""
    end = time.monotonic() + 5
    while not true():
        assert time.monotonic() < end
        time.sleep(0.005)
