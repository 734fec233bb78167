"""Faults over real sockets, sync and async, streamed or not: the outcome is an answer or a typed error.

The table is `tests/support/faults.py`; faults that need more than one call or a closer look have their own test here.
Numbers are those of docs/reliability.md; faults 40 to 44 are tested in test_streams, test_threads_and_loops and
test_gate.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import threading
import time
from typing import Any

import pytest

import glmv
from tests.support.fake_server import chunk
from tests.support.faults import (
    ELSEWHERE,
    FAULTS,
    Fault,
    here,
    named,
    nobody,
    odd_lines,
    refuses_by_another_clock,
    well,
)

# Seconds that a busy machine may make a call late. How late a deadline is at its best: tests/core/figures.
SLACK = 1.0
STREAM = [True, False]


def failure(outcome: object, kind: type[glmv.GLMVError], /, **facts: Any) -> Any:
    assert type(outcome) is kind, outcome
    assert {name: getattr(outcome, name) for name in facts} == facts
    return outcome


def hello(outcome: object) -> glmv.Completion:
    assert isinstance(outcome, glmv.Completion), outcome
    assert outcome.text == "hello"
    return outcome


def _rows() -> list[Any]:
    """Each fault of the table that needs only one call, streamed and not streamed."""
    rows = []
    for fault in FAULTS:
        for use in fault.uses if fault.ours is not None else ():
            marks = []
            if fault.number == 4:
                marks = [pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")]
            if fault.number == 5:
                # If the reset arrives before `ssl` looks at the socket, Python 3.11 raises without closing the socket
                # that it has made.
                marks = [pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")]
            rows.append(pytest.param(fault, use == "stream", marks=marks, id=f"{fault.number} {fault.title}, {use}"))
    return rows


@pytest.mark.parametrize(("fault", "stream"), _rows())
def test_each_fault_has_the_outcome_in_the_table(
    ask: Any, server: Any, request: pytest.FixtureRequest, fault: Fault, stream: bool
) -> None:
    assert fault.ours is not None
    ours = fault.ours
    # Who measures time leaves the clock alone, unless there are pauses between attempts.
    real = ours.seconds is not None and ours.facts.get("attempts", 1) == 1
    pauses: list[float] = [] if real else request.getfixturevalue("no_pauses")
    server.plays(*(fault.scripts or (well,)))
    with fault.target(server) as base_url:
        ask.base_url = base_url
        started = time.monotonic()
        outcome = ask(stream=stream, **(fault.options if fault.quick is None else fault.quick))
        took = time.monotonic() - started
    if ours.kind is None:
        assert isinstance(outcome, glmv.Completion), outcome
        assert outcome.text == fault.good.text
        assert {name: getattr(outcome, name) for name in ours.facts} == ours.facts
    else:
        error = failure(outcome, ours.kind, **ours.facts)
        assert ours.says in str(error)
        assert len(error.message) <= 300
        assert len(str(error)) < 400
        assert "\x1b" not in str(error)
        if ours.partial is not None:
            assert error.partial.text == ours.partial
    if fault.target is here and "attempts" in ours.facts and not real:
        assert len(server.requests) == ours.facts["attempts"]
    match ours.pause:
        case None:
            pass
        case ():
            assert pauses == []
        case (low, high):
            assert low <= pauses[0] <= high
    if ours.seconds is not None:
        assert ours.seconds[0] <= took < ours.seconds[1] + SLACK


@pytest.mark.parametrize("stream", STREAM)
def test_01_a_refused_connection_is_retried_and_the_error_names_the_address(
    ask: Any, server: Any, no_pauses: list[float], stream: bool
) -> None:
    with nobody(server) as ask.base_url:
        error = failure(ask(stream=stream), glmv.ConnectionFailed)
    assert ask.base_url[7:].removesuffix("/v1") in str(error)
    assert len(no_pauses) == 3


@pytest.mark.parametrize(
    ("number", "attempts", "kind"), [(socket.EAI_NONAME, 1, "no_such_host"), (socket.EAI_AGAIN, 4, "dns")]
)
def test_02_an_unknown_host_is_retried_only_if_the_failure_is_temporary(
    ask: Any, no_pauses: list[float], monkeypatch: pytest.MonkeyPatch, number: int, attempts: int, kind: str
) -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(number, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    ask.base_url = "https://nowhere.example/v1"
    error = failure(ask(), glmv.ConnectionFailed, kind=kind, attempts=attempts)
    assert "nowhere.example" in str(error)


@pytest.mark.parametrize("title", ["self-signed certificate", "certificate of another host"])
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")
def test_04_a_certificate_that_is_not_accepted_raises_connection_failed(ask: Any, server: Any, title: str) -> None:
    with named(title).target(server) as ask.base_url:
        failure(ask(), glmv.ConnectionFailed)
    assert server.requests == []


def test_09_an_idle_connection_closed_by_the_server_is_replaced(server: Any) -> None:
    server.plays(*named("idle connection closed").scripts)
    with glmv.Client("test-id.test-secret", base_url=server.base_url, max_retries=0) as glm:
        for number in range(20):
            hello(glm.chat("hi"))
            assert server.peers[number].left.wait(10)


@pytest.mark.parametrize("stream", STREAM)
def test_21_a_call_whose_signed_token_has_expired_is_retried_with_a_new_token(
    ask: Any, server: Any, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1_800_000_000, 1_900_000_000))
    monkeypatch.setattr("glmv.transport.driver.time.time", lambda: float(next(ticks)))
    server.plays(*named("401 code 1003 for a signed token, once").scripts)
    assert hello(ask(stream=stream, auth="token")).attempts == 2
    tokens = {line for head, _ in server.requests for line in head.split("\r\n") if line.startswith("authorization")}
    assert len(tokens) == 2


@pytest.mark.parametrize("end", ["reset", "close"])
def test_28_the_error_of_a_broken_stream_holds_the_text_so_far(ask: Any, server: Any, end: str) -> None:
    read = threading.Event()
    ask.on_delta = read.set

    def breaks(peer: Any) -> None:
        peer.stream(chunk("half"), end=False)
        read.wait(10)
        getattr(peer, end)()

    server.plays(breaks)
    error = failure(ask(stream=True), glmv.StreamInterrupted, attempts=1, retryable=True)
    assert error.partial.text == "half"
    assert error.__cause__ is not None


def test_30_withdrawn_text_is_returned_if_the_option_on_sensitive_says_return(ask: Any, server: Any) -> None:
    server.plays(*named("finish_reason sensitive").scripts)
    answer = ask(stream=True, on_sensitive="return")
    assert (answer.text, answer.finish_reason) == ("bad", "sensitive")


def test_35_the_client_closes_a_connection_that_the_server_leaves_open_after_done(ask: Any, server: Any) -> None:
    server.plays(*named("open after [DONE]").scripts)
    hello(ask(stream=True))
    assert server.peers[0].left.wait(10)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_36_events_are_read_with_any_line_end_and_framing(ask: Any, server: Any, end: bytes) -> None:
    text = "a\u2028b\u2029c\u0085d"
    lines = [
        b"\xef\xbb\xbf: hi",
        b"",
        b"event: message",
        b"id: 7",
        b'data: {"choices":',
        b"data: [{",
        b'data: "delta": {"content":',
        b'data: "' + text.encode() + b'"}, "finish_reason": "stop"}]}',
        b"",
        b"data:[DONE]",
        b"",
        b"",
    ]
    server.plays(odd_lines(*lines, end=end))
    assert ask(stream=True).text == text


def test_37_an_endless_line_is_cut_off_at_the_size_limit(ask: Any, server: Any) -> None:
    def pours(peer: Any) -> None:
        peer.stream(b"data: ", end=False)
        while True:
            peer.chunk(b"x" * 1_000_000)

    server.plays(pours)
    failure(ask(stream=True), glmv.MalformedResponse, attempts=1)
    assert server.peers[0].left.wait(10)


def test_37_an_endless_body_is_cut_off_at_the_size_limit(ask: Any, server: Any) -> None:
    def pours(peer: Any) -> None:
        peer.head(200, "content-type: application/json", "transfer-encoding: chunked")
        while True:
            peer.chunk(b" " * 1_000_000)

    server.plays(pours)
    failure(ask(), glmv.MalformedResponse, attempts=1)
    assert server.peers[0].left.wait(10)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_38_the_error_of_a_redirect_names_its_target(ask: Any, server: Any, stream: bool, status: int) -> None:
    server.plays(*named(f"{status} to another origin").scripts)
    error = failure(ask(stream=stream), glmv.MalformedResponse)
    assert f"http://localhost:{server.port}{ELSEWHERE}" in str(error)
    assert server.connections == 1


@pytest.mark.parametrize("off", [3600, -3600])
def test_39_the_error_says_by_how_many_seconds_the_local_clock_is_wrong(ask: Any, server: Any, off: int) -> None:
    server.plays(refuses_by_another_clock(off))
    error = failure(ask(auth="token"), glmv.AuthenticationError, attempts=2)
    skew = re.search(rf"clock is (\d+) s {'ahead of' if off > 0 else 'behind'} the server's", str(error))
    assert skew is not None
    assert abs(int(skew[1]) - abs(off)) <= 1


def test_the_error_of_a_reset_shows_no_key_and_has_one_line(ask: Any, server: Any) -> None:
    server.plays(lambda peer: peer.reset())
    outcome = ask(api_key="test-id.canary", max_retries=0)
    assert "canary" not in f"{outcome!r} {outcome} {vars(outcome)}"
    assert os.linesep not in str(outcome)


def test_the_titles_in_the_table_of_faults_are_unique() -> None:
    titles = [fault.title for fault in FAULTS]
    assert len(set(titles)) == len(titles)
