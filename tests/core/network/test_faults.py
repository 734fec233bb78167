"""Faults over real sockets, blocking and awaiting, streamed and not: what arrives is an answer or a typed error.

Numbers are those of the fault matrix in docs/reliability.md; 40 to 44 stand in test_streams, test_lives, test_gate.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

import glmv

# Seconds that a busy machine may make a call late. How late a deadline is at its best: tests/core/figures.
SLACK = 1.0


def chunk(text: str, finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "delta": {"role": "assistant", "content": text}}
    return {
        "id": "1",
        "model": "glm-4.6v",
        "choices": [choice | ({"finish_reason": finish_reason} if finish_reason else {})],
    } | more


WHOLE = {"id": "1", "choices": [{"finish_reason": "stop", "message": {"content": "hello"}}]}
DONE = b"data: [DONE]\n\n"
LAST = chunk("lo", "stop")
STREAM = [True, False]


def well(peer: Any) -> None:
    peer.say(WHOLE)


def streams(peer: Any) -> None:
    peer.stream(chunk("hel"), LAST, DONE)


def good(stream: bool) -> Callable[[Any], None]:
    return streams if stream else well


def refuses(code: str, status: int = 429, *lines: str) -> Callable[[Any], None]:
    return lambda peer: peer.say({"error": {"code": code, "message": "m"}}, status, *lines)


def failure(found: object, kind: type[glmv.GLMVError], /, **facts: Any) -> Any:
    assert type(found) is kind, found
    assert {name: getattr(found, name) for name in facts} == facts
    return found


def hello(found: object) -> glmv.Completion:
    assert isinstance(found, glmv.Completion), found
    assert found.text == "hello"
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.mark.parametrize("stream", STREAM)
def test_01_connection_refused(ask: Any, no_pauses: list[float], stream: bool) -> None:
    ask.base_url = f"http://127.0.0.1:{free_port()}/v1"
    error = failure(ask(stream=stream), glmv.ConnectionFailed, kind="connect", attempts=4, retryable=True)
    assert ask.base_url[7:].removesuffix("/v1") in str(error)
    assert "Is the server (or the emulator) running" in str(error)
    assert len(no_pauses) == 3


@pytest.mark.parametrize(
    ("number", "attempts", "kind"), [(socket.EAI_NONAME, 1, "no_such_host"), (socket.EAI_AGAIN, 4, "dns")]
)
def test_02_name_not_found_for_good_or_just_now(
    ask: Any, no_pauses: list[float], monkeypatch: pytest.MonkeyPatch, number: int, attempts: int, kind: str
) -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(number, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)
    ask.base_url = "https://nowhere.example/v1"
    error = failure(ask(), glmv.ConnectionFailed, kind=kind, attempts=attempts)
    assert "nowhere.example" in str(error)


@pytest.mark.parametrize("stream", STREAM)
def test_03_a_host_that_does_not_take_the_connection(ask: Any, no_pauses: list[float], stream: bool) -> None:
    with contextlib.ExitStack() as opened:
        hole = opened.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(4):  # the queue is full: further connects wait
            plug = opened.enter_context(socket.socket())
            plug.setblocking(False)
            plug.connect_ex(hole.getsockname())
        ask.base_url = f"http://127.0.0.1:{hole.getsockname()[1]}/v1"
        started = time.monotonic()
        failure(
            ask(stream=stream, timeout=0.1, max_retries=1),
            glmv.RequestTimeout,
            kind="connect_timeout",
            attempts=2,
        )
        assert time.monotonic() - started < 0.2 + SLACK
        started = time.monotonic()
        failure(ask(stream=stream, deadline=0.2), glmv.DeadlineExceeded)
        assert time.monotonic() - started < 0.2 + SLACK


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command to make a certificate")
@pytest.mark.parametrize("flaw", ["self-signed", "other-host"])
def test_04_a_certificate_that_is_not_accepted(ask: Any, server: Any, tmp_path: Path, flaw: str) -> None:
    name = "localhost" if flaw == "self-signed" else "other.example"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-subj",
            f"/CN={name}",
            "-addext",
            f"subjectAltName=DNS:{name}",
        ],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")

    def shakes(peer: Any) -> None:
        peer.sock = context.wrap_socket(peer.sock, server_side=True)

    server.greeting = shakes
    ask.base_url = f"https://localhost:{server.port}/v1"
    error = failure(ask(), glmv.ConnectionFailed, kind="tls", attempts=1, retryable=False)
    assert "certificate" in str(error)
    assert server.requests == []


# Where the reset is there before `ssl` looks at the socket, Python 3.11 raises without closing what it has made.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_05_a_break_inside_the_tls_handshake(ask: Any, server: Any, no_pauses: list[float]) -> None:
    server.greeting = lambda peer: peer.reset()
    ask.base_url = f"https://localhost:{server.port}/v1"
    failure(ask(), glmv.ConnectionFailed, attempts=4, retryable=True)


@pytest.mark.parametrize("stream", STREAM)
def test_06_a_break_inside_the_headers(ask: Any, server: Any, no_pauses: list[float], stream: bool) -> None:
    def breaks(peer: Any) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-")
        peer.reset()

    server.plays(breaks, good(stream))
    assert hello(ask(stream=stream)).attempts == 2
    assert no_pauses == []


@pytest.mark.parametrize("end", ["reset", "close"])
def test_07_a_break_inside_a_body(ask: Any, server: Any, no_pauses: list[float], end: str) -> None:
    def breaks(peer: Any) -> None:
        peer.head(200, "content-type: application/json", "content-length: 100")
        peer.send(b'{"id":')
        getattr(peer, end)()

    server.plays(breaks, well)
    assert hello(ask()).attempts == 2
    server.plays(breaks)
    server.requests.clear()
    failure(ask(), glmv.ConnectionFailed, kind="reset", attempts=4)


@pytest.mark.parametrize("stream", STREAM)
def test_08_a_kept_connection_that_the_server_closes_as_it_is_used(
    ask: Any, server: Any, no_pauses: list[float], stream: bool
) -> None:
    server.plays(lambda peer: peer.close(), good(stream))
    assert hello(ask(stream=stream)).attempts == 2
    assert no_pauses == []


def test_09_a_kept_connection_that_the_server_closed_while_it_was_idle(server: Any) -> None:
    def ends(peer: Any) -> None:
        peer.say(WHOLE)
        peer.close()

    server.plays(ends)
    with glmv.Client("test-id.test-secret", base_url=server.base_url, max_retries=0) as glm:
        for number in range(20):
            hello(glm.chat("hi"))
            assert server.peers[number].left.wait(10)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("options", [{"timeout": 0.15, "max_retries": 0}, {"deadline": 0.15}])
def test_10_a_stall_before_the_headers(ask: Any, server: Any, stream: bool, options: dict[str, Any]) -> None:
    server.plays(lambda peer: peer.stall())
    kind = glmv.DeadlineExceeded if "deadline" in options else glmv.RequestTimeout
    started = time.monotonic()
    failure(ask(stream=stream, **options), kind, attempts=1)
    assert time.monotonic() - started < 0.15 + SLACK


@pytest.mark.parametrize("options", [{"timeout": 0.15, "max_retries": 0}, {"deadline": 0.15}])
def test_11_a_stall_inside_the_body(ask: Any, server: Any, options: dict[str, Any]) -> None:
    def stalls(peer: Any) -> None:
        peer.head(200, "content-type: application/json", "content-length: 100")
        peer.send(b'{"id":')
        peer.stall()

    server.plays(stalls)
    kind = glmv.DeadlineExceeded if "deadline" in options else glmv.RequestTimeout
    started = time.monotonic()
    failure(ask(**options), kind, attempts=1)
    assert time.monotonic() - started < 0.15 + SLACK


@pytest.mark.parametrize("where", ["headers", "body"])
def test_12_a_slow_drip_ends_at_the_deadline(ask: Any, server: Any, where: str) -> None:
    def drips(peer: Any) -> None:
        if where == "body":
            peer.head(200, "content-type: application/json", "content-length: 100000")
        else:
            peer.send(b"HTTP/1.1 200 OK\r\nx-slow: ")
        while not server.over.wait(0.02):
            peer.send(b" ")

    server.plays(drips)
    started = time.monotonic()
    failure(ask(timeout=5, deadline=0.3), glmv.DeadlineExceeded, attempts=1)
    assert 0.25 < time.monotonic() - started < 0.3 + SLACK


@pytest.mark.parametrize("options", [{"deadline": 0.8}, {"idle_timeout": 0.8}])
def test_13_a_slow_drip_of_a_stream_ends_at_the_deadline_and_at_the_idle_timeout(
    ask: Any, server: Any, options: dict[str, Any]
) -> None:
    def drips(peer: Any) -> None:
        peer.stream(chunk("half"), end=False)
        while not server.over.wait(0.02):
            peer.chunk(b":")

    server.plays(drips)
    kind = glmv.DeadlineExceeded if "deadline" in options else glmv.StreamInterrupted
    started = time.monotonic()
    error = failure(ask(stream=True, timeout=5, **options), kind, attempts=1)
    assert error.partial.text == "half"
    assert 0.75 < time.monotonic() - started < 0.8 + SLACK


@pytest.mark.parametrize("stream", STREAM)
def test_14_retry_after_is_waited(ask: Any, server: Any, no_pauses: list[float], stream: bool) -> None:
    server.plays(refuses("1302", 429, "Retry-After: 3"), good(stream))
    assert hello(ask(stream=stream)).attempts == 2
    assert 3.0 <= no_pauses[0] <= 3.3


@pytest.mark.parametrize(
    ("line", "low", "high"),
    [
        ("retry-after-ms: 1500", 1.5, 1.65),
        ("Retry-After: {date}", 55, 66),
        *((f"Retry-After: {odd}", 0, 2) for odd in ("inf", "nan", "-1", "soon", "0", "Fri, 99 Foo 2026")),
    ],
    ids=["ms", "date", "inf", "nan", "negative", "word", "zero", "no date"],
)
def test_15_retry_after_in_every_form(
    ask: Any, server: Any, no_pauses: list[float], line: str, low: float, high: float
) -> None:
    in_a_minute = formatdate(time.time() + 60, usegmt=True)
    server.plays(refuses("1302", 429, line.format(date=in_a_minute)), well)
    hello(ask())
    assert low <= no_pauses[0] <= high


@pytest.mark.parametrize("seconds", ["3600", "1" + "0" * 35])
def test_16_retry_after_too_long_to_wait_for(ask: Any, server: Any, seconds: str) -> None:
    server.plays(refuses("1302", 429, f"Retry-After: {seconds}"))
    failure(ask(), glmv.RateLimitError, attempts=1, retry_after=float(seconds), retryable=True)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("code", ["1302", "1303", "1305"])
def test_17_and_18_busy_without_end(ask: Any, server: Any, no_pauses: list[float], stream: bool, code: str) -> None:
    server.plays(refuses(code))
    failure(ask(stream=stream), glmv.RateLimitError, code=code, status_code=429, attempts=4)
    assert len(server.requests) == 4


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("code", ["1113", "1304", "1308"])
def test_19_what_waiting_does_not_mend(ask: Any, server: Any, stream: bool, code: str) -> None:
    message = "您的限额将在 2026-08-24 00:27:12 重置。"
    server.plays(lambda peer: peer.say({"error": {"code": code, "message": message}}, 429))
    failure(ask(stream=stream), glmv.QuotaError, code=code, attempts=1, reset_at="2026-08-24T00:27:12+08:00")
    assert len(server.requests) == 1


@pytest.mark.parametrize("stream", STREAM)
def test_20_unsafe_input(ask: Any, server: Any, stream: bool) -> None:
    server.plays(refuses("1301", 400))
    failure(ask(stream=stream), glmv.ContentFilterError, code="1301", attempts=1)


@pytest.mark.parametrize("stream", STREAM)
def test_21_an_expired_token_is_signed_anew(
    ask: Any, server: Any, stream: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(1_800_000_000, 1_900_000_000))
    monkeypatch.setattr("glmv.transport.driver.time.time", lambda: float(next(ticks)))
    server.plays(refuses("1003", 401), good(stream))
    assert hello(ask(stream=stream, auth="token")).attempts == 2
    tokens = {line for head, _ in server.requests for line in head.split("\r\n") if line.startswith("authorization")}
    assert len(tokens) == 2


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_22_a_gateways_page(ask: Any, server: Any, no_pauses: list[float], stream: bool, status: int) -> None:
    page = b"<html>\x1b]0;owned\x07" + b"x" * 20_000
    server.plays(lambda peer: peer.say(page, status, kind="text/html"))
    error = failure(ask(stream=stream), glmv.ServerError, status_code=status, attempts=4)
    assert len(error.message) <= 300
    assert "\x1b" not in str(error)
    server.plays(*[server.scripts[0]] * 5, good(stream))
    assert hello(ask(stream=stream)).attempts == 2


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize(
    "payload", [{"error": {"code": "1305", "message": "m"}}, {"code": 1305, "msg": "m", "success": False}]
)
def test_23_and_26_an_error_body_with_http_200(
    ask: Any, server: Any, no_pauses: list[float], stream: bool, payload: dict[str, Any]
) -> None:
    server.plays(lambda peer: peer.say(payload))
    failure(ask(stream=stream), glmv.RateLimitError, code="1305", status_code=200, attempts=4)


@pytest.mark.parametrize("stream", STREAM)
def test_24_a_login_page(ask: Any, server: Any, stream: bool) -> None:
    server.plays(lambda peer: peer.say(b"<html>Please log in</html>", kind="text/html"))
    error = failure(ask(stream=stream), glmv.MalformedResponse, status_code=200, attempts=1)
    assert "web page" in str(error)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("data", [b"", b"null", b"[]", b"{}"])
def test_25_an_empty_answer(ask: Any, server: Any, stream: bool, data: bytes) -> None:
    server.plays(lambda peer: peer.say(data))
    failure(ask(stream=stream), glmv.MalformedResponse, status_code=200, attempts=1)


@pytest.mark.parametrize("status", [400, 403, 404, 429])
def test_26_a_json_error_where_a_stream_was_asked_for(ask: Any, server: Any, status: int) -> None:
    server.plays(refuses("1220", status))
    failure(ask(stream=True), glmv.PermissionDeniedError, code="1220", status_code=status, attempts=1)


def test_27_a_stream_that_ends_in_order_but_too_early(ask: Any, server: Any) -> None:
    server.plays(lambda peer: peer.stream(chunk("half")))
    error = failure(ask(stream=True), glmv.StreamTruncated, attempts=1)
    assert error.partial.text == "half"


@pytest.mark.parametrize("end", ["reset", "close"])
def test_28_a_stream_that_breaks(ask: Any, server: Any, end: str) -> None:
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


def test_29_a_stream_that_ends_after_its_finish_reason_without_done(ask: Any, server: Any) -> None:
    server.plays(lambda peer: peer.stream(chunk("hel"), LAST))
    assert hello(ask(stream=True)).finish_reason == "stop"


@pytest.mark.parametrize("last", [{"error": {"code": "1301", "message": "m"}}, chunk("", "sensitive")])
def test_30_content_that_is_withdrawn(ask: Any, server: Any, last: dict[str, Any]) -> None:
    server.plays(lambda peer: peer.stream(chunk("bad"), last, DONE))
    error = failure(ask(stream=True), glmv.ContentFilterError, attempts=1)
    assert error.partial.text == "bad"
    if "choices" in last:
        answer = ask(stream=True, on_sensitive="return")
        assert (answer.text, answer.finish_reason) == ("bad", "sensitive")


def test_31_busy_as_the_first_event(ask: Any, server: Any, no_pauses: list[float]) -> None:
    server.plays(lambda peer: peer.stream({"error": {"code": "1302", "message": "m"}}), streams)
    assert hello(ask(stream=True)).attempts == 2


def test_32_bytes_that_are_no_utf_8(ask: Any, server: Any) -> None:
    odd = b'data: {"choices": [{"delta": {"content": "a\xffb"}}]}\n\n'
    server.plays(lambda peer: peer.stream(odd, chunk("c", "stop"), DONE))
    assert ask(stream=True).text == "a\ufffdbc"


def test_33_an_event_that_is_no_json(ask: Any, server: Any) -> None:
    server.plays(lambda peer: peer.stream(chunk("half"), b"data: {" + b"x" * 5000 + b"\n\n"))
    error = failure(ask(stream=True), glmv.MalformedResponse, attempts=1)
    assert error.partial.text == "half"
    assert len(str(error)) < 400


def test_34_done_twice_and_more_behind_it(ask: Any, server: Any) -> None:
    server.plays(lambda peer: peer.stream(chunk("hel"), LAST, DONE, DONE, chunk("more"), DONE))
    hello(ask(stream=True))


def test_35_a_line_kept_open_after_done(ask: Any, server: Any) -> None:
    def keeps(peer: Any) -> None:
        peer.stream(chunk("hel"), LAST, DONE, end=False)
        peer.stall()

    server.plays(keeps)
    started = time.monotonic()
    hello(ask(stream=True))
    assert time.monotonic() - started < 0.05 + SLACK
    assert server.peers[0].left.wait(10)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_36_framing_of_every_kind(ask: Any, server: Any, end: bytes) -> None:
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
    server.plays(lambda peer: peer.stream(end.join(lines)))
    assert ask(stream=True).text == text


def test_37_a_gzip_bomb(ask: Any, server: Any) -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024), 9)
    server.plays(lambda peer: peer.say(bomb, 200, "content-encoding: gzip"))
    error = failure(ask(), glmv.MalformedResponse, attempts=1)
    assert "larger than" in str(error)


def test_37_a_line_without_end(ask: Any, server: Any) -> None:
    def pours(peer: Any) -> None:
        peer.stream(b"data: ", end=False)
        while True:
            peer.chunk(b"x" * 1_000_000)

    server.plays(pours)
    failure(ask(stream=True), glmv.MalformedResponse, attempts=1)
    assert server.peers[0].left.wait(10)


def test_37_a_body_without_end(ask: Any, server: Any) -> None:
    def pours(peer: Any) -> None:
        peer.head(200, "content-type: application/json", "transfer-encoding: chunked")
        while True:
            peer.chunk(b" " * 1_000_000)

    server.plays(pours)
    failure(ask(), glmv.MalformedResponse, attempts=1)
    assert server.peers[0].left.wait(10)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_38_a_redirect(ask: Any, server: Any, stream: bool, status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0)
        url = f"http://127.0.0.1:{elsewhere.getsockname()[1]}/"
        server.plays(lambda peer: peer.say(b"", status, f"location: {url}"))
        error = failure(ask(stream=stream), glmv.MalformedResponse, status_code=status, attempts=1)
        assert url in str(error)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


@pytest.mark.parametrize("off", [3600, -3600])
def test_39_a_clock_that_is_off(ask: Any, server: Any, off: int) -> None:
    date = formatdate(time.time() - off, usegmt=True)
    server.plays(refuses("1003", 401, f"Date: {date}"))
    error = failure(ask(auth="token"), glmv.AuthenticationError, attempts=2)
    told = re.search(r"clock is off by ([+-]\d+) s", str(error))
    assert told is not None
    assert abs(int(told[1]) - off) <= 1


def test_a_reason_for_a_fault_is_told_with_host_and_port_but_without_the_key(ask: Any, server: Any) -> None:
    server.plays(lambda peer: peer.reset())
    found = ask(api_key="test-id.canary", max_retries=0)
    assert "canary" not in f"{found!r} {found} {vars(found)}"
    assert os.linesep not in str(found)
