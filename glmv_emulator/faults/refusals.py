"""Faults that are responses: refusals, and bodies that are not valid answers."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from email.utils import formatdate
from http import HTTPStatus

from glmv_emulator.faults.table import Context, fault
from glmv_emulator.http.playback import End, Pause, Raw, Response, Step
from glmv_emulator.platform.errors import CODES, Refusal

HTML = {"content-type": "text/html; charset=utf-8"}
JSON = {"content-type": "application/json; charset=UTF-8"}
MEGABYTE = 1024 * 1024


def _refusal(context: Context, code: str, status: int = 0, **headers: str) -> Response:
    if code not in CODES:
        raise ValueError(f"the platform documents no code {code!r}")
    named_headers = {name.replace("_", "-"): value for name, value in headers.items() if value}
    return context.refuse(Refusal(code, status=status or None, headers=named_headers))


@fault(0, "refusal", "a documented code", "as the code says")
def refusal(answer: Response, context: Context, code: str = "500", status: int = 0, retry_after: str = "") -> Response:
    return _refusal(context, code, status, retry_after=retry_after)


@fault(0, "bare-status", "an HTTP status and the small page of a gateway", "as the status says")
def bare_status(answer: Response, context: Context, status: int = 503, retry_after: str = "") -> Response:
    page = f"<html><body><h1>{status} {HTTPStatus(status).phrase}</h1></body></html>".encode()
    hint = {"retry-after": retry_after} if retry_after else {}
    return Response(status, HTML | hint | {"content-length": str(len(page))}, [page])


@fault(14, "retry-after", "429 with Retry-After", "wait for the time that Retry-After states, then retry")
def retry_after(answer: Response, context: Context, seconds: str = "3", code: str = "1302") -> Response:
    return _refusal(context, code, retry_after=seconds)


@fault(15, "odd-retry-after", "429 with a strange Retry-After", "read milliseconds and dates, ignore nonsense")
def odd_retry_after(answer: Response, context: Context, value: str = "inf", ms: str = "") -> Response:
    return _refusal(context, "1302", retry_after=value, retry_after_ms=ms)


@fault(16, "long-retry-after", "429 with Retry-After of an hour", "do not wait: raise, and say for how long")
def long_retry_after(answer: Response, context: Context, seconds: str = "3600") -> Response:
    return _refusal(context, "1302", retry_after=seconds)


@fault(17, "busy", "429 with code 1302, too many calls at once", "retry later, with fewer concurrent calls")
def busy(answer: Response, context: Context, retry_after: str = "") -> Response:
    return _refusal(context, "1302", retry_after=retry_after)


@fault(18, "overloaded", "429 with code 1305 (or 1303), the model is overloaded", "retry later")
def overloaded(answer: Response, context: Context, code: str = "1305") -> Response:
    return _refusal(context, code)


@fault(19, "arrears", "429 with code 1113 (or 1304, 1308): no balance or quota left", "do not retry; report the error")
def arrears(answer: Response, context: Context, code: str = "1113") -> Response:
    return _refusal(context, code)


@fault(20, "content-filter", "400 with code 1301", "do not retry; report the error")
def content_filter(answer: Response, context: Context) -> Response:
    return context.refuse(Refusal("1301", role="user"))


@fault(21, "token-expired", "401 with code 1003", "sign a new token and retry once")
def token_expired(answer: Response, context: Context) -> Response:
    return _refusal(context, "1003")


@fault(22, "gateway-page", "502 (or 500, 503, 504) and 20 KB of HTML", "retry; never show the page")
def gateway_page(answer: Response, context: Context, status: int = 502, size: int = 20_000) -> Response:
    page = (b"<html><head><title>Bad Gateway</title></head><body>" + b"<p>\x1b[31mbad gateway</p>" * (size // 20))[
        :size
    ]
    return Response(status, HTML | {"content-length": str(len(page))}, [page])


@fault(23, "error-in-200", "200 whose body is an error", "the typed error of its code", needs="whole")
def error_in_200(answer: Response, context: Context, code: str = "1302") -> Response:
    return _refusal(context, code, 200)


@fault(24, "login-page", "200 and a web page", "say that this is not a response of the platform")
def login_page(answer: Response, context: Context) -> Response:
    page = b"<!DOCTYPE html><html><body><form>Sign in to the network</form></body></html>"
    return Response(200, HTML | {"content-length": str(len(page))}, [page])


@fault(25, "empty-body", "200 and nothing (or null, or [])", "an error that says that the body is empty", needs="whole")
def empty_body(answer: Response, context: Context, text: str = "") -> Response:
    body = text.encode()
    return Response(200, JSON | {"content-length": str(len(body))}, [body] if body else [])


@fault(26, "error-for-stream", "a JSON error for a streamed request", "its typed error", needs="stream")
def error_for_stream(answer: Response, context: Context, code: str = "1113", status: int = 0) -> Response:
    return _refusal(context, code, status)


@fault(37, "gzip-bomb", "a small compressed body that grows to 256 MB", "stop at a size limit", needs="whole")
def gzip_bomb(answer: Response, context: Context, megabytes: int = 256) -> Response:
    # JSON may begin with white space: a client that unpacks the whole body gets the answer.
    return Response(200, JSON | {"content-encoding": "gzip"}, _bomb(answer, megabytes))


def _bomb(answer: Response, megabytes: int) -> Iterator[Step]:
    packer = zlib.compressobj(wbits=31)
    space = b" " * MEGABYTE
    for _ in range(megabytes):
        if packed := packer.compress(space):
            yield packed
        yield Pause(0.0)  # lets other tasks run
    yield packer.compress(b"".join(step for step in answer.steps if isinstance(step, bytes))) + packer.flush()


@fault(37, "huge-body", "a JSON body of 100 MB", "stop at a size limit", needs="whole")
def huge_body(answer: Response, context: Context, megabytes: int = 100) -> Response:
    return Response(200, JSON, _huge(b'{"choices":[{"message":{"content":"', b"a", b'"}}]}', megabytes))


@fault(37, "endless-line", "a line of 64 MiB in a stream", "stop at a size limit", needs="stream")
def endless_line(answer: Response, context: Context, megabytes: int = 64) -> Response:
    return Response(200, answer.headers, _huge(b"data: ", b"a", b"", megabytes))


def _huge(head: bytes, filling: bytes, tail: bytes, megabytes: int) -> Iterator[Step]:
    yield head
    for _ in range(megabytes):
        yield filling * MEGABYTE
        yield Pause(0.0)  # lets other tasks run
    yield tail


@fault(
    38, "redirect", "307 (or 301 to 308) to another origin", "do not follow it: that origin must get no key and no body"
)
def redirect(answer: Response, context: Context, status: int = 307, to: str = "") -> Response:
    location = to or f"{context.other_origin}/redirected"
    return Response(status, {"location": location, "content-length": "0"}, [])


@fault(
    39,
    "clock-skew",
    "401 with code 1003, the server's clock is an hour ahead",
    "sign a new token once; say by how much the clocks differ",
)
def clock_skew(answer: Response, context: Context, seconds: float = 3600.0) -> Response:
    return _refusal(context, "1003", date=formatdate(time.time() + seconds, usegmt=True))


@fault(0, "garbage", "bytes that are not HTTP", "like a broken connection")
def garbage(answer: Response, context: Context) -> Response:
    return Response(0, {}, [Raw(b"\x16\x03\x03\x00\x02\x02\x28\r\n\r\n"), End("fin")])
