"""Faults between an application and the platform: actions of the fake server, and correct reactions of a client.

`tests/core/network/test_faults.py` runs this table against our clients; `benchmarks/reliability.py` runs the rows with
`compared` against all clients and writes docs/reliability.md, whose numbers and titles these are.
"""

from __future__ import annotations

import contextlib
import json
import math
import socket
import ssl
import subprocess
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any, Literal

import glmv
from tests.support.fake_server import DONE, WHOLE, Peer, Script, Server, chunk, event

TEXT = "hello"  # the answer when nothing goes wrong
LAST = chunk("lo", "stop")
LIMIT = 25.0  # seconds after which a client that is compared is given up

# How the answer is asked for. The last six are several calls, or what an application may do besides calling.
Use = Literal["whole", "stream", "twice", "early_break", "cancelled", "forked", "loops", "hundred"]


@dataclass(frozen=True)
class Good:
    """Correct behaviour of any client.

    Attributes:
        text: the answer; None if the fault is permanent: then the client raises its own error soon.
        most, least: the most and the least seconds that the call may take.
        requests: how many may reach the server.
        code: the platform's code, which the error has to contain.
        megabytes: the most memory that a fresh process may use.
        quiet: whether nothing may be written to standard error.
    """

    text: str | None = TEXT
    most: float = LIMIT
    least: float = 0.0
    requests: range = range(100)
    code: str = ""
    megabytes: float = math.inf
    quiet: bool = False


@dataclass(frozen=True)
class Ours:
    """Expected behaviour of glmv in detail.

    Attributes:
        kind: the class of the error; None: the answer.
        facts: attributes of the error or of the completion.
        partial: the text kept by the error of a stream.
        says: words that the error's text has to contain.
        pause: the least and the most seconds of the first pause between attempts; () if there is no pause.
        seconds: the least and the most that the call takes; a test adds its slack to the most.
    """

    kind: type[glmv.GLMVError] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    partial: str | None = None
    says: str = ""
    pause: tuple[float, float] | tuple[()] | None = None
    seconds: tuple[float, float] | None = None


Target = Callable[[Server], AbstractContextManager[str]]


@contextlib.contextmanager
def here(server: Server) -> Iterator[str]:
    """The fake server itself."""
    yield server.base_url


@dataclass(frozen=True)
class Fault:
    """One row.

    Attributes:
        scripts: the server's action for the first request, the second, and so on; the last is for all further ones.
        target: where the client connects: the fake server, or a context manager that yields another base URL.
        uses: entry points of glmv that are tested; other clients use the first one.
        options: settings of compared clients; `quick`: settings of the tested client.
        fresh: whether a new process makes the call, because memory is measured.
        only: the one kind of client to which the fault applies.
        without: clients that do not support such a call.
        compared: whether the page shows it; the others are variants for glmv only.
    """

    number: int
    title: str
    good: Good = Good()
    ours: Ours | None = None
    scripts: tuple[Script, ...] = ()
    uses: tuple[Use, ...] = ("whole",)
    target: Target = here
    options: dict[str, Any] = field(default_factory=dict)
    quick: dict[str, Any] | None = None
    fresh: bool = False
    only: Literal["both", "sync", "async"] = "both"
    without: tuple[str, ...] = ()
    compared: bool = True


# ---- targets


@contextlib.contextmanager
def nobody(server: Server) -> Iterator[str]:
    """A port without a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def no_such_host(server: Server) -> Iterator[str]:
    yield "https://host.invalid/v1"


@contextlib.contextmanager
def black_hole(server: Server) -> Iterator[str]:
    """A host that does not accept connections: its queue is full, and further connects wait."""
    with contextlib.ExitStack() as opened:
        hole = opened.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(4):
            plug = opened.enter_context(socket.socket())
            plug.setblocking(False)
            plug.connect_ex(hole.getsockname())
        yield f"http://127.0.0.1:{hole.getsockname()[1]}/v1"


@cache
def certified(name: str) -> ssl.SSLContext:
    """A self-signed certificate for this name; needs the command `openssl`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
        names = ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
        making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names]
        subprocess.run([*making, "-keyout", key, "-out", certificate], check=True, capture_output=True)
        context.load_cert_chain(certificate, key)
    return context


def tls(name: str) -> Target:
    """The fake server with TLS and a certificate for this name."""

    @contextlib.contextmanager
    def target(server: Server) -> Iterator[str]:
        def greets(peer: Peer) -> None:
            peer.sock = certified(name).wrap_socket(peer.sock, server_side=True)

        server.greeting = greets
        yield f"https://localhost:{server.port}/v1"

    return target


@contextlib.contextmanager
def reset_in_handshake(server: Server) -> Iterator[str]:
    server.greeting = lambda peer: peer.reset()
    yield f"https://localhost:{server.port}/v1"


# ---- scripts


def well(peer: Peer) -> None:
    """Send the answer, whole or streamed as requested."""
    if peer.streaming:
        peer.stream(chunk("hel"), LAST, DONE)
    else:
        peer.say(WHOLE)


def refuses(code: str, status: int = 429, *lines: str, message: str = "m") -> Script:
    return lambda peer: peer.say({"error": {"code": code, "message": message}}, status, *lines)


def says(data: object, status: int = 200, *lines: str, kind: str = "application/json") -> Script:
    return lambda peer: peer.say(data, status, *lines, kind=kind)


def frames(*given: object, end: bool = True) -> Script:
    """Send these frames as an event stream."""
    return lambda peer: peer.stream(*given, end=end)


def closes(peer: Peer) -> None:
    peer.close()


def answers_and_closes(peer: Peer) -> None:
    well(peer)
    peer.close()


def stalls(peer: Peer) -> None:
    peer.stall()


def resets_in_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-")
    peer.reset()


def half_a_body(peer: Peer) -> None:
    peer.head(200, "content-type: application/json", "content-length: 100")
    peer.send(b'{"id":')


def half_and(then: Callable[[Peer], None]) -> Script:
    """Send half a body, and then do this."""

    def script(peer: Peer) -> None:
        half_a_body(peer)
        then(peer)

    return script


def half_a_stream_and(then: Callable[[Peer], None]) -> Script:
    """Send part of a stream, give the client time to read it, and then do this."""

    def script(peer: Peer) -> None:
        peer.stream(chunk("half"), end=False)
        peer.pause(0.05)
        then(peer)

    return script


def drips(peer: Peer) -> None:
    """Send an endless body byte by byte."""
    peer.head(200, "content-type: application/json", "content-length: 100000")
    while not peer.over.wait(0.02):
        peer.send(b" ")


def drips_in_head(peer: Peer) -> None:
    peer.send(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while not peer.over.wait(0.02):
        peer.send(b" ")


def drips_in_stream(*given: object) -> Script:
    """Send these frames, and then an endless line byte by byte."""

    def script(peer: Peer) -> None:
        peer.stream(*given, end=False)
        while not peer.over.wait(0.02):
            peer.chunk(b":")

    return script


def open_after_done(peer: Peer) -> None:
    peer.stream(chunk("hel"), LAST, DONE, end=False)
    peer.stall()


@cache
def packed(megabytes: int) -> bytes:
    """The answer after this many megabytes of spaces, compressed by gzip."""
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packing.compress(b" " * (1 << 20)) for _ in range(megabytes)]
    return b"".join([*parts, packing.compress(json.dumps(WHOLE).encode()), packing.flush()])


@contextlib.contextmanager
def packed_before(server: Server) -> Iterator[str]:
    """The fake server, after it has compressed the large answer of `gzip_bomb`, which takes seconds."""
    packed(256)
    yield server.base_url


def gzip_bomb(peer: Peer) -> None:
    peer.say(packed(256), 200, "content-encoding: gzip")


def huge_body(peer: Peer) -> None:
    answer = json.dumps(WHOLE).encode()
    peer.head(200, "content-type: application/json", f"content-length: {100_000_000 + len(answer)}")
    for _ in range(100):
        peer.send(b" " * 1_000_000)
    peer.send(answer)


def long_line(peer: Peer) -> None:
    peer.stream(b"data: ", end=False)
    for _ in range(64):
        peer.chunk(b"x" * (1 << 20))
    peer.stream(b"\n\n", head=False)


ELSEWHERE = "/redirected"


def redirects(status: int) -> Script:
    """Redirect to the same server by its other name, which is another origin."""

    def script(peer: Peer) -> None:
        if ELSEWHERE in peer.request[0].partition("\r\n")[0]:
            well(peer)
        else:
            peer.say(b"", status, f"location: http://localhost:{peer.server.port}{ELSEWHERE}")

    return script


def refuses_by_another_clock(seconds: int) -> Script:
    """Code 1003, from a server whose clock is this many seconds behind."""
    return lambda peer: refuses("1003", 401, f"Date: {formatdate(time.time() - seconds, usegmt=True)}")(peer)


def slow_stream(peer: Peer) -> None:
    """Send a stream piece by piece until the client closes the connection."""
    peer.stream(end=False)
    for _ in range(20):
        peer.chunk(event(chunk("word ")))
        peer.pause(0.2)
    peer.stream(LAST, DONE, head=False)


def after(seconds: float) -> Script:
    def script(peer: Peer) -> None:
        peer.pause(seconds)
        well(peer)

    return script


def ten_at_once(peer: Peer) -> None:
    """Refuse the eleventh concurrent request with code 1302."""
    if peer.server.active > 10:
        refuses("1302")(peer)
    else:
        after(0.3)(peer)


def odd_lines(*lines: bytes, end: bytes = b"\n") -> Script:
    """Send these lines of an event stream unchanged, in one piece."""
    return frames(end.join(lines))


# ---- the table

ANY: tuple[Use, ...] = ("whole", "stream")
STREAM: tuple[Use, ...] = ("stream",)
ONCE = range(1, 2)
AGAIN = range(2, 7)


def error(most: float = LIMIT, requests: range = range(100), code: str = "", megabytes: float = math.inf) -> Good:
    return Good(None, most, requests=requests, code=code, megabytes=megabytes)


def fails(kind: type[glmv.GLMVError], partial: str | None = None, says: str = "", /, **facts: Any) -> Ours:
    return Ours(kind, facts, partial, says)


def timed(kind: type[glmv.GLMVError], least: float, most: float, partial: str | None = None, /, **facts: Any) -> Ours:
    return Ours(kind, facts, partial, seconds=(least, most))


def waits(least: float, most: float) -> Ours:
    """The answer of the second attempt, after a pause in this range."""
    return Ours(facts={"attempts": 2}, pause=(least, most))


AT_ONCE = Ours(facts={"attempts": 2}, pause=())
SECOND = Ours(facts={"attempts": 2})
FIRST = Ours(facts={"attempts": 1})
QUICK: dict[str, Any] = {"timeout": 0.15, "max_retries": 0}
RESET_AT = "2026-08-24T00:27:12+08:00"
QUOTA = "您的限额将在 2026-08-24 00:27:12 重置。"
PAGE = b"<html>\x1b]0;owned\x07" + b"x" * 20_000
ODD_TEXT = "a\u2028b\u2029c\u0085d"


def _odd(title: str, script: Script, text: str = TEXT) -> Fault:
    return Fault(36, title, Good(text, 2), FIRST, (script,), STREAM)


FAULTS = (
    Fault(
        1, "nobody listens", error(10),
        fails(glmv.ConnectionFailed, None, "Is the server (or the emulator) running", kind="connect", attempts=4,
              retryable=True),
        uses=ANY, target=nobody,
    ),
    Fault(2, "no such host", error(1), target=no_such_host),
    Fault(
        3, "connection is never made", error(20),
        timed(glmv.RequestTimeout, 0, 0.2, kind="connect_timeout", attempts=2),
        uses=ANY, target=black_hole, quick={"timeout": 0.1, "max_retries": 1},
    ),
    Fault(
        3, "connection is never made, deadline", ours=timed(glmv.DeadlineExceeded, 0, 0.2),
        uses=ANY, target=black_hole, quick={"deadline": 0.2}, compared=False,
    ),
    Fault(
        4, "self-signed certificate", error(1, range(1)),
        fails(glmv.ConnectionFailed, None, "certificate", kind="tls", attempts=1, retryable=False),
        target=tls("localhost"),
    ),
    Fault(
        4, "certificate of another host", error(1, range(1)),
        fails(glmv.ConnectionFailed, None, "certificate", kind="tls", attempts=1, retryable=False),
        target=tls("other.example"), compared=False,
    ),
    Fault(
        5, "reset in the TLS handshake", error(20), fails(glmv.ConnectionFailed, attempts=4, retryable=True),
        target=reset_in_handshake,
    ),
    Fault(6, "reset in the head, once", Good(), AT_ONCE, (resets_in_head, well), ANY),
    *(
        fault
        for title, then in (("reset in the body", Peer.reset), ("half a body", Peer.close))
        for fault in (
            Fault(7, f"{title}, once", Good(), SECOND, (half_and(then), well)),
            Fault(
                7, f"{title}, always", ours=fails(glmv.ConnectionFailed, kind="reset", attempts=4),
                scripts=(half_and(then),), compared=False,
            ),
        )
    ),
    Fault(8, "kept connection closed when used again", Good(most=2), scripts=(well, closes, well), uses=("twice",)),
    Fault(8, "connection closed, once", Good(), AT_ONCE, (closes, well), ANY, compared=False),
    Fault(9, "idle connection closed", Good(most=2), scripts=(answers_and_closes,), uses=("twice",)),
    Fault(
        10, "nothing comes", error(20), timed(glmv.RequestTimeout, 0, 0.15, attempts=1), (stalls,), ANY, quick=QUICK
    ),
    Fault(
        10, "nothing comes, deadline", ours=timed(glmv.DeadlineExceeded, 0, 0.15, attempts=1), scripts=(stalls,),
        uses=ANY, quick={"deadline": 0.15}, compared=False,
    ),
    Fault(
        11, "body stops half-way", error(20), timed(glmv.RequestTimeout, 0, 0.15, attempts=1),
        (half_and(Peer.stall),), quick=QUICK,
    ),
    Fault(
        11, "body stops half-way, deadline", ours=timed(glmv.DeadlineExceeded, 0, 0.15, attempts=1),
        scripts=(half_and(Peer.stall),), quick={"deadline": 0.15}, compared=False,
    ),
    Fault(
        11, "stream stops half-way", error(20), timed(glmv.StreamInterrupted, 0, 0.15, "half", attempts=1),
        (half_a_stream_and(Peer.stall),), STREAM, quick=QUICK,
    ),
    Fault(
        12, "body byte by byte, deadline 4 s", error(4.25), timed(glmv.DeadlineExceeded, 0.25, 0.3, attempts=1),
        (drips,), options={"deadline": 4.0}, quick={"timeout": 5, "deadline": 0.3},
    ),
    Fault(
        12, "head byte by byte", ours=timed(glmv.DeadlineExceeded, 0.25, 0.3, attempts=1),
        scripts=(drips_in_head,), quick={"timeout": 5, "deadline": 0.3}, compared=False,
    ),
    Fault(
        13, "stream byte by byte, deadline 4 s", error(4.25),
        timed(glmv.DeadlineExceeded, 0.75, 0.8, attempts=1), (drips_in_stream(),), STREAM,
        options={"deadline": 4.0}, quick={"timeout": 5, "deadline": 0.8},
    ),
    *(
        Fault(
            13, f"stream byte by byte after some text, {option}", ours=timed(kind, 0.75, 0.8, "half", attempts=1),
            scripts=(drips_in_stream(chunk("half")),), uses=STREAM, quick={"timeout": 5, option: 0.8}, compared=False,
        )
        for option, kind in (("deadline", glmv.DeadlineExceeded), ("idle_timeout", glmv.StreamInterrupted))
    ),
    Fault(
        14, "429, Retry-After: 3, once", Good(most=3.9, least=2.99, requests=range(3)), waits(3, 3.3),
        (refuses("1302", 429, "Retry-After: 3"), well), ANY,
    ),
    Fault(
        15, "429, Retry-After: inf, once", Good(most=10, requests=range(3)), waits(0, 2),
        (refuses("1302", 429, "Retry-After: inf"), well),
    ),
    Fault(
        15, "429, retry-after-ms: 1500, once", Good(most=2.2, least=1.49, requests=range(3)), waits(1.5, 1.65),
        (refuses("1302", 429, "retry-after-ms: 1500"), well),
    ),
    Fault(
        15, "429, Retry-After: a date, once", ours=waits(55, 66), compared=False,
        scripts=(
            lambda peer: refuses("1302", 429, f"Retry-After: {formatdate(time.time() + 60, usegmt=True)}")(peer),
            well,
        ),
    ),
    *(
        Fault(
            15, f"429, Retry-After: {odd}, once", ours=waits(0, 2),
            scripts=(refuses("1302", 429, f"Retry-After: {odd}"), well), compared=False,
        )
        for odd in ("nan", "-1", "soon", "0", "Fri, 99 Foo 2026")
    ),
    *(
        Fault(
            16, f"429, Retry-After: {seconds}", error(2, ONCE),
            fails(glmv.RateLimitError, attempts=1, retry_after=float(seconds), retryable=True),
            (refuses("1302", 429, f"Retry-After: {seconds}"),), compared=seconds == "3600",
        )
        for seconds in ("3600", "1" + "0" * 35)
    ),
    *(
        Fault(
            number, f"429 code {code}, always", error(LIMIT, AGAIN, code),
            fails(glmv.RateLimitError, code=code, status_code=429, attempts=4), (refuses(code),), ANY,
            compared=code != "1303",
        )
        for number, code in ((17, "1302"), (17, "1303"), (18, "1305"))
    ),
    *(
        Fault(
            19, f"429 code {code}{', arrears' * (code == '1113')}", error(2, ONCE, code),
            fails(glmv.QuotaError, code=code, attempts=1, reset_at=RESET_AT),
            (refuses(code, message=QUOTA),), ANY, compared=code == "1113",
        )
        for code in ("1113", "1304", "1308")
    ),
    Fault(
        20, "400 code 1301, content filter", error(2, ONCE, "1301"),
        fails(glmv.ContentFilterError, code="1301", attempts=1), (refuses("1301", 400),), ANY,
    ),
    Fault(
        21, "401 code 1003 for a signed token, once", Good(most=3), SECOND, (refuses("1003", 401), well), ANY,
        options={"auth": "token"}, without=("openai",),
    ),
    Fault(
        22, "502 and 20 KB of HTML, always", error(20, AGAIN),
        fails(glmv.ServerError, status_code=502, attempts=4), (says(PAGE, 502, kind="text/html"),), ANY,
    ),
    *(
        Fault(
            22, f"{status} and HTML, always", error(), fails(glmv.ServerError, status_code=status, attempts=4),
            (says(PAGE, status, kind="text/html"),), ANY, compared=False,
        )
        for status in (500, 503, 504)
    ),
    *(
        Fault(22, f"{status} and HTML, once", Good(), SECOND, (says(PAGE, status, kind="text/html"), well), ANY,
              compared=False)
        for status in (500, 502, 503, 504)
    ),
    Fault(
        23, "200 with an error body", error(20, code="1302"),
        fails(glmv.RateLimitError, code="1302", status_code=200, attempts=4), (refuses("1302", 200),), ANY,
    ),
    *(
        Fault(
            23, f"200 with an error body, {shape}",
            ours=fails(glmv.RateLimitError, code="1305", status_code=200, attempts=4), scripts=(says(body),), uses=ANY,
            compared=False,
        )
        for shape, body in (
            ("nested", {"error": {"code": "1305", "message": "m"}}),
            ("flat", {"code": 1305, "msg": "m", "success": False}),
        )
    ),
    Fault(
        24, "200 with a login page", error(2),
        fails(glmv.MalformedResponse, None, "web page", status_code=200, attempts=1),
        (says(b"<html>Please log in</html>", kind="text/html"),), ANY,
    ),
    *(
        Fault(
            25, f"200 with {what}", error(20), fails(glmv.MalformedResponse, status_code=200, attempts=1),
            (says(body),), ANY, compared=what in ("nothing", "null"),
        )
        for what, body in (("nothing", b""), ("null", b"null"), ("a list", b"[]"), ("an object", b"{}"))
    ),
    Fault(
        26, "JSON error for a stream, code 1113", error(2, ONCE, "1113"),
        fails(glmv.QuotaError, code="1113", attempts=1), (refuses("1113"),), STREAM,
    ),
    *(
        Fault(
            26, f"JSON error for a stream, status {status}", error(),
            fails(glmv.PermissionDeniedError, code="1220", status_code=status, attempts=1),
            (refuses("1220", status),), STREAM, compared=False,
        )
        for status in (400, 403, 404, 429)
    ),
    Fault(
        27, "stream ends before its end", error(2), fails(glmv.StreamTruncated, "half", attempts=1),
        (frames(chunk("half")),), STREAM,
    ),
    *(
        Fault(
            28, title, error(2), fails(glmv.StreamInterrupted, attempts=1, retryable=True),
            (half_a_stream_and(then),), STREAM,
        )
        for title, then in (("stream closed without terminator", Peer.close), ("stream reset", Peer.reset))
    ),
    Fault(
        29, "no [DONE] after the finish reason", Good(most=2), Ours(facts={"finish_reason": "stop"}),
        (frames(chunk("hel"), LAST),), STREAM,
    ),
    Fault(
        30, "code 1301 inside the stream", error(2, code="1301"), fails(glmv.ContentFilterError, "bad", attempts=1),
        (frames(chunk("bad"), {"error": {"code": "1301", "message": "m"}}, DONE),), STREAM,
    ),
    Fault(
        30, "finish_reason sensitive", error(2), fails(glmv.ContentFilterError, "bad", attempts=1),
        (frames(chunk("bad"), chunk("", "sensitive"), DONE),), STREAM,
    ),
    Fault(
        31, "code 1302 as the first event, once", Good(most=10, requests=range(3)), SECOND,
        (frames({"error": {"code": "1302", "message": "m"}}), well), STREAM,
    ),
    Fault(
        32, "invalid UTF-8 in the stream", Good("a\ufffdbc"), FIRST,
        (frames(b'data: {"choices": [{"index": 0, "delta": {"content": "a\xffb"}}]}\n\n', chunk("c", "stop"), DONE),),
        STREAM,
    ),
    Fault(
        33, "invalid JSON in the stream", error(2), fails(glmv.MalformedResponse, "half", attempts=1),
        (frames(chunk("half"), b"data: {" + b"x" * 5000 + b"\n\n"),), STREAM,
    ),
    Fault(
        34, "[DONE] twice, a chunk between", Good(most=2), FIRST,
        (frames(chunk("hel"), LAST, DONE, DONE, chunk("more"), DONE),), STREAM,
    ),
    Fault(35, "open after [DONE]", Good(most=1), Ours(seconds=(0, 0.05)), (open_after_done,), STREAM),
    _odd("BOM first", frames(b"\xef\xbb\xbf" + event(chunk("hel")), LAST, DONE)),
    _odd(
        "lines end with CR and CRLF",
        frames(event(chunk("hel")).replace(b"\n", b"\r"), event(LAST).replace(b"\n", b"\r\n"), DONE),
    ),
    _odd(
        "comments, id and retry",
        frames(b": keep-alive\n\nretry: 3000\nid: 1\n\n", chunk("hel"), b": keep-alive\n\n", LAST, DONE),
    ),
    _odd(
        "JSON over several data lines",
        odd_lines(*(b"data: " + line.encode() for line in json.dumps(chunk(TEXT, "stop"), indent=1).split("\n")),
                  b"", DONE),
    ),
    _odd(
        "U+2028, U+2029, U+0085 in JSON",
        odd_lines(b"data: " + json.dumps(chunk(ODD_TEXT, "stop"), ensure_ascii=False).encode(), b"", DONE), ODD_TEXT,
    ),
    Fault(
        37, "gzip bomb, 0.26 to 256 MB", error(8, megabytes=64),
        fails(glmv.MalformedResponse, None, "larger than", attempts=1), (gzip_bomb,),
        target=packed_before, fresh=True,
    ),
    Fault(
        37, "body of 100 MB", error(8, megabytes=64), fails(glmv.MalformedResponse, attempts=1), (huge_body,),
        fresh=True,
    ),
    Fault(
        37, "line of 64 MiB in a stream", error(8, megabytes=64), fails(glmv.MalformedResponse, attempts=1),
        (long_line,), STREAM, fresh=True,
    ),
    *(
        Fault(
            38, f"{status} to another origin", error(2, ONCE),
            fails(glmv.MalformedResponse, None, ELSEWHERE, status_code=status, attempts=1), (redirects(status),), ANY,
            compared=status == 307,
        )
        for status in (301, 302, 303, 307, 308)
    ),
    Fault(
        39, "clock an hour off, 401 code 1003", error(6, range(1, 3)),
        fails(glmv.AuthenticationError, attempts=2), (refuses_by_another_clock(3600),), options={"auth": "token"},
    ),
    Fault(40, "loop over a stream left early", scripts=(slow_stream,), uses=("early_break",)),
    Fault(41, "90 tasks cancelled, then a call", scripts=(after(0.25),), uses=("cancelled",), only="async"),
    Fault(42, "8 forks x 20 calls after a call", Good(requests=range(999)), scripts=(well,), uses=("forked",),
          only="sync"),
    Fault(43, "three event loops, one client", Good(quiet=True), scripts=(well,), uses=("loops",), only="async"),
    Fault(
        44, "100 calls, 10 at once allowed", Good(requests=range(100, 101)), scripts=(ten_at_once,), uses=("hundred",)
    ),
)  # fmt: skip


def named(title: str) -> Fault:
    """The row of this title."""
    return next(fault for fault in FAULTS if fault.title == title)
