"""What a call does, step by step, without doing it: retries, deadlines and errors are decided here, once.

`exchange` is a generator. It yields a step ("enter the gate", "send this", "read on", "pause") and is given what
came of it, or has a `Failure` thrown in. The two clients differ only in how they take a step (ADR-0002), and this
file is tested with no client at all: `next(flow)`, `flow.send(Opened(429, {}))`, `flow.throw(Failure("reset", ""))`.

Rules kept here: nothing is retried after a piece of the answer was handed over; an error after that carries what
was handed over; a deadline covers everything from waiting for a slot to the last byte.
"""

from __future__ import annotations

import math
import secrets
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

from glmv._codes import Retry, envelope, error_from, row
from glmv._errors import (
    AuthenticationError,
    ConnectionFailed,
    ContentFilterError,
    DeadlineExceeded,
    GLMVError,
    MalformedResponse,
    RequestTimeout,
    ServerError,
    StreamInterrupted,
    StreamTruncated,
)
from glmv._retry import Policy, Tries, retry_after
from glmv._secrets import SecretHeaders, Secrets
from glmv._sse import Event, SSEDecoder
from glmv._stop import StopCutter
from glmv._tags import boxes_in
from glmv._types import Accumulator, Completion, Delta
from glmv._wire import DeltaDecoder, excerpt, parse

# A whole answer is far below; a body beyond this is dropped unread (also after decompression).
MAX_BODY_BYTES = 32 * 1024 * 1024
# A streamed token takes up to 1 KB with its chunk around it; 128K tokens are the longest documented answer.
MAX_STREAM_BYTES = 2 * 128 * 1024 * 1024
# Decompressed bytes at a time.
PIECE = 64 * 1024
# `[DONE]` in any case and with spaces around it is shorter than this.
_DONE_BYTES = 32
# "Unsafe or sensitive content in the input or the output" (bigmodel.cn docs, error codes). Others refuse a policy's.
WITHDRAWN = "1301"
# After the finish reason only usage and [DONE] can follow: a server that keeps the line open is not waited for.
LINGER = 2.0


class Failure(Exception):
    """What went wrong on the way, in terms of no HTTP library. `kind` is a key of `_retry.FAILURES`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Enter(NamedTuple):
    """Take a slot of the gate; give up at `until` (monotonic seconds)."""

    until: float | None


class Send(NamedTuple):
    """Send a request; answer with `Opened`. `until` bounds everything up to the answer's headers.

    `path` is relative to the base URL. `secrets` are masked in everything that the server sends.
    """

    method: str
    path: str
    body: Any
    headers: SecretHeaders
    until: float | None
    secrets: Secrets


class Opened(NamedTuple):
    """The status and headers (names in lower case) of an answer whose body is still to be read."""

    status: int
    headers: Mapping[str, str]


class Read(NamedTuple):
    """Read on; answer with bytes as they came, b"" at the end."""

    until: float | None


class Hand(list[Delta]):
    """Hand these deltas, at least one, to the caller."""


class Drop(NamedTuple):
    """Close the answer and leave the slot. `busy`: the platform said that there are too many calls."""

    busy: bool = False


class Finish(NamedTuple):
    """The answer is whole: read its formal end for a moment so that the connection can be used again."""


class Pause(NamedTuple):
    """Wait for so many seconds."""

    seconds: float


Step = Enter | Send | Read | Hand | Drop | Finish | Pause


@dataclass(slots=True)
class Call:
    """One call, whatever its endpoint.

    Attributes:
        method, path: of the request; the path is relative to the base URL.
        body: makes the body for one attempt from the request id of that attempt.
        policy: how often and how long to try.
        headers: of the call alone.
        secrets: credentials that are masked in what the server sends.
        request_id: the user's own, which is kept over retries; None makes a new one for each attempt, "" none.
        renew: forgets a signed token, so that the next headers carry a new one; False when there is none.
        sensitive: "raise" or "return".
        cut: stop words that we cut ourselves.
        notes: what was changed on the way so far.
        sizes: (width, height) of the pictures in the request, None where unknown, to place boxes.
        boxes_of: index of the picture that boxes are told in pixels of; None is the only one.
        limit: bytes that the answer may have.
    """

    method: str
    path: str
    body: Callable[[str], Any]
    policy: Policy
    headers: SecretHeaders = field(default_factory=SecretHeaders)
    secrets: Secrets = field(default_factory=Secrets)
    request_id: str | None = None
    renew: Callable[[], bool] = lambda: False
    sensitive: str = "raise"
    cut: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int] | None, ...] = ()
    boxes_of: int | None = None
    limit: int = MAX_BODY_BYTES
    accumulator: Accumulator = field(default_factory=Accumulator)
    shaper: _Shaper | None = None


def exchange(call: Call, *, stream: bool) -> Generator[Step, Any, Completion]:
    """A chat call: hands deltas out while it streams, and returns the whole answer.

    Raises:
        GLMVError: of the class that the platform's code, or what broke, stands for.
    """
    once = _streamed if stream else _whole
    return _tried(call, partial(_withdrawn, once) if call.sensitive == "return" else once)


def fetch(call: Call, *, raw: bool = False) -> Generator[Step, Any, Any]:
    """A call of any other endpoint: returns its parsed JSON, or its bytes when `raw`."""
    return _tried(call, _bytes if raw else _json)


Once = Callable[[Call, Tries], Generator[Step, Any, Any]]


def _tried(call: Call, once: Once) -> Generator[Step, Any, Any]:
    tries = Tries(call.policy)
    while True:
        try:
            result = yield from once(call, tries)
        except (Failure, GLMVError) as problem:
            error, kind = _judged(problem, call, tries)
        else:
            call.policy.budget.earn(after_retry=tries.attempt > 1)
            return result
        # Outside of `except`, so that the error does not drag along what was being handled.
        yield Drop(busy=kind is Retry.BUSY)
        pause = tries.again(error, kind)
        if pause is None:
            raise _told(error, call, tries)
        if pause:
            yield Pause(pause)


def _open(call: Call, tries: Tries) -> Generator[Step, Any, Opened]:
    yield Enter(tries.deadline)
    tries.begin()
    request_id = secrets.token_hex(16) if call.request_id is None else call.request_id
    tries.request_id = request_id or None
    opened: Opened = yield Send(
        call.method, call.path, call.body(request_id), call.headers, tries.deadline, call.secrets
    )
    tries.opened = True
    return opened


def _body(opened: Opened, call: Call, tries: Tries) -> Generator[Step, Any, bytes]:
    unpack = _unpacker(opened.headers, call.limit)
    body = bytearray()
    while data := (yield Read(tries.deadline)):
        tries.check()
        for piece in unpack(data):
            body += piece
    masked = call.secrets.mask(bytes(body))
    if opened.status >= 300:
        raise _refused(opened, masked, tries)
    return masked


def _bytes(call: Call, tries: Tries) -> Generator[Step, Any, bytes]:
    opened = yield from _open(call, tries)
    body = yield from _body(opened, call, tries)
    yield Finish()
    return body


def _json(call: Call, tries: Tries) -> Generator[Step, Any, Any]:
    opened = yield from _open(call, tries)
    body = yield from _body(opened, call, tries)
    payload = _payload(opened, body, tries)
    yield Finish()
    return payload


def _payload(opened: Opened, body: bytes, tries: Tries) -> Any:
    kind = opened.headers.get("content-type", "")
    if not body or body.isspace():
        raise MalformedResponse("The answer has no body.", status_code=opened.status)
    if "html" in kind:
        raise MalformedResponse(
            f"The answer is a web page ({kind}), not JSON: is base_url right, and is there a proxy that wants a login? "
            f"{excerpt(body)}",
            status_code=opened.status,
        )
    payload = parse(body)
    if found := envelope(payload):
        raise error_from(opened.status, found, retry_after=retry_after(opened.headers, tries.policy.wall()))
    if not isinstance(payload, dict):
        raise MalformedResponse(f"The answer is not a JSON object: {excerpt(body)}", status_code=opened.status)
    return payload


def _whole(call: Call, tries: Tries) -> Generator[Step, Any, Completion]:
    opened = yield from _open(call, tries)
    body = yield from _body(opened, call, tries)
    answer = _completed(call, tries, _payload(opened, body, tries), opened.status)
    yield Finish()
    return answer


def answer_of(call: Call, payload: dict[str, Any]) -> Completion:
    """An answer that came by another way, as a task's result or a line of a batch, as `exchange` would return it.

    Raises:
        GLMVError: what its finish reason stands for, or that it is no answer.
    """
    tries = Tries(call.policy)
    tries.begin()
    try:
        return _completed(call, tries, payload)
    except (Failure, GLMVError) as problem:
        error, _ = _judged(problem, call, tries)
        raise _told(error, call, tries) from None


def _completed(call: Call, tries: Tries, payload: dict[str, Any], status: int | None = None) -> Completion:
    shaper = _Shaper(call, tries)
    shaper.take(payload)
    if not payload.get("choices"):
        raise MalformedResponse(f"The answer has no choices: {excerpt(repr(payload).encode())}", status_code=status)
    shaper.end()
    answer = call.accumulator.completion()
    answer.raw = payload
    return answer


def _streamed(call: Call, tries: Tries) -> Generator[Step, Any, Completion]:
    opened = yield from _open(call, tries)
    kind = opened.headers.get("content-type", "").partition(";")[0].strip().lower()
    shaper = _Shaper(call, tries)
    if opened.status >= 300 or kind != "text/event-stream":
        body = yield from _body(opened, call, tries)
        payload = _payload(opened, body, tries)  # raises the error that the JSON holds
        if not payload.get("choices"):
            raise MalformedResponse(
                f"A stream was asked for and {kind or 'something without a content type'} came: {excerpt(body)}",
                status_code=opened.status,
            )
        delta = shaper.take(payload)  # some gateways answer at once although a stream was asked for
        yield Hand([*([delta] if delta else []), *shaper.end()])
    else:
        yield from _events(opened, shaper, tries)
        yield Hand(shaper.end())
    yield Finish()
    return call.accumulator.completion()


def _withdrawn(once: Once, call: Call, tries: Tries) -> Generator[Step, Any, Completion]:
    """One try whose content the app judges itself: what the platform refuses or withdraws is an answer, too."""
    call.shaper = None
    try:
        return (yield from once(call, tries))  # type: ignore[no-any-return]  # of a chat call
    except ContentFilterError as error:
        if error.code != WITHDRAWN:
            raise
        deltas = (call.shaper or _Shaper(call, tries)).withdraw(error)
    yield Drop()
    if once is _streamed:
        yield Hand(deltas)
    return call.accumulator.completion()


def _events(opened: Opened, shaper: _Shaper, tries: Tries) -> Generator[Step, Any, None]:
    """Reads a stream to its end and hands out what it shows."""
    packed = opened.headers.get("content-encoding", "identity") != "identity"
    unpack = _unpacker(opened.headers, MAX_BODY_BYTES if packed else MAX_STREAM_BYTES)
    events = SSEDecoder()
    decoder = shaper.decoder
    policy = tries.policy
    idle, clock = policy.idle_timeout, policy.clock
    # The driver's own timeout ends a read that is silent. A line that is kept open by comments is not.
    silent = not idle or (policy.read_timeout or math.inf) <= idle
    usual = Read(tries.deadline)
    heard = clock()
    read = usual if silent or not idle else Read(tries.until(heard + idle))
    while True:
        try:
            data = yield read
        except Failure:
            if not decoder.finished:
                raise
            data = b""
        came = False
        for found in map(events.feed, unpack(data)) if data else [events.flush()]:
            deltas, broken = shaper.events(found)
            if deltas:
                tries.handed = True
                yield deltas
            if broken is not None:
                raise broken
            came = came or bool(found)
            if decoder.ended:
                break
        if decoder.ended or not data:
            break
        patience = idle if decoder.finish_reason is None else LINGER
        if came:
            heard = clock()
        if decoder.finish_reason is None:
            tries.check()
            if idle and not came and clock() - heard > idle:
                raise Failure("read_timeout", f"No event came for {idle:g} s.")
        if came and silent and decoder.finish_reason is None:
            read = usual
        else:
            read = Read(tries.until(heard + patience if patience else None))
    if not (decoder.finished or decoder.ended):
        raise StreamTruncated("The stream ended without a finish reason and without [DONE]: the answer is not whole.")


class _Shaper:
    """Chunks -> deltas as the caller sees them: cut at stop words, added up, closed by one terminal delta."""

    __slots__ = ("_call", "_cutter", "_tries", "decoder")

    def __init__(self, call: Call, tries: Tries) -> None:
        self._call = call
        self._tries = tries
        self._cutter = StopCutter(call.cut) if call.cut else None
        self.decoder = DeltaDecoder()
        call.accumulator = Accumulator()
        call.shaper = self

    def events(self, found: Iterable[Event]) -> tuple[Hand, GLMVError | None]:
        """Events up to `[DONE]` -> their deltas, and the error that came behind them."""
        deltas = Hand()
        for kind, data in found:
            if len(data) < _DONE_BYTES and data.strip()[:6].upper() == b"[DONE]":
                self.decoder.ended = True
                break
            try:
                delta = self.event(kind, self._call.secrets.mask(data))
            except GLMVError as error:
                return deltas, error
            if delta is not None:
                deltas.append(delta)
        return deltas, None

    def event(self, kind: str, data: bytes) -> Delta | None:
        """One event of the stream -> its delta, if it shows anything."""
        if not data:
            return None
        payload = parse(data, "An event of the stream")
        if not isinstance(payload, dict):
            if kind not in ("message", "error"):
                return None
            raise MalformedResponse(f"An event of the stream is not a JSON object: {excerpt(data)}")
        if kind == "error" or "choices" not in payload or "error" in payload:
            found = envelope(payload)
            if found:
                raise error_from(None, found)
            if kind == "error":
                raise ServerError(f"The stream reports an error: {excerpt(data)}")
        return self.take(payload)

    def take(self, payload: dict[str, Any]) -> Delta | None:
        delta = self.decoder.feed(payload)
        return self._kept(delta) if delta is not None else None

    def _kept(self, delta: Delta) -> Delta | None:
        if self._cutter is not None:
            delta.text = self._cutter.feed(delta.text)
            if not (delta.text or delta.reasoning or delta.tool_calls):
                return None
        self._call.accumulator.add(delta)
        return delta

    def withdraw(self, error: ContentFilterError) -> list[Delta]:
        """The end of an answer that the platform refused, or withdrew while it streamed."""
        facts = self.decoder.facts
        if error.request_id:
            facts.setdefault("request_id", error.request_id)
        if error.content_filter:
            facts["content_filter"] = error.content_filter
        self.decoder.answered = True
        self.decoder.finish_reason = "sensitive"
        return self.end()

    def end(self) -> list[Delta]:
        """What was held back, and the terminal delta; or the error that the finish reason stands for."""
        call, decoder = self._call, self.decoder
        if not decoder.answered:
            raise MalformedResponse("The stream ended without an answer in it.")
        deltas = []
        rest = decoder.rest()
        if rest is not None and (rest := self._kept(rest)) is not None:
            deltas.append(rest)
        last = decoder.finish()
        if self._cutter is not None:
            if tail := self._cutter.finish():
                held = Delta(tail, raw=last.raw)
                call.accumulator.add(held)
                deltas.append(held)
            if self._cutter.hit and last.finish_reason != "sensitive":
                last.finish_reason = "stop"
        last.notes = call.notes
        last.attempts = self._tries.attempt
        last.request_id = last.request_id or self._tries.request_id
        last.boxes = boxes_in(call.accumulator.text, call.sizes, call.boxes_of)
        call.accumulator.add(last)
        if last.finish_reason == "network_error":
            raise Failure("network_error", "The platform broke off the answer (finish_reason network_error).")
        if last.finish_reason == "sensitive" and call.sensitive == "raise":
            raise ContentFilterError(
                "The platform found the content unsafe and withdrew it (finish_reason sensitive): "
                "remove what was shown of it.",
                content_filter=last.content_filter,
            )
        deltas.append(last)
        return deltas


def _refused(opened: Opened, body: bytes, tries: Tries) -> GLMVError:
    """An answer with an error status -> the error."""
    wait = retry_after(opened.headers, tries.policy.wall())
    try:
        found = envelope(parse(body)) if body.strip() else None
    except MalformedResponse:
        found = None
    if found is not None:
        error = error_from(opened.status, found, retry_after=wait)
    else:
        known = row(opened.status, None)
        said = f" The body says {excerpt(body)}" if body.strip() else ""
        to = opened.headers.get("location", "")[:100]
        said = f" It points to {to!r}." if to and 300 <= opened.status < 400 else said
        error = known.kind(
            f"The server answered HTTP {opened.status}. {known.advice}{said}",
            status_code=opened.status,
            retryable=known.retry in (Retry.TRANSIENT, Retry.BUSY),
            retry_after=wait,
        )
    if isinstance(error, AuthenticationError):
        error.message += _skew(opened.headers, tries)
    return error.fill(request_id=opened.headers.get("x-request-id") or opened.headers.get("x-log-id"))


def _skew(headers: Mapping[str, str], tries: Tries) -> str:
    """A clock that is off makes signed tokens invalid: say so, do not correct it."""
    off = tries.policy.skew(headers.get("date", ""))
    return f" This machine's clock is off by {off:+.0f} s against the server's: set it right." if off else ""


def _judged(problem: Exception, call: Call, tries: Tries) -> tuple[GLMVError, Retry]:
    """What went wrong -> the error to raise if it is not tried again, and when to try again."""
    kind: Retry
    match problem:
        case Failure(kind="network_error"):
            kind = Retry.TRANSIENT
            error: GLMVError = StreamInterrupted(str(problem), retryable=True)
        case Failure() if tries.handed:
            kind = Retry.NEVER
            error = StreamInterrupted(f"The stream broke: {problem}", retryable=True)
        case Failure():
            kind = tries.failed(problem.kind)
            timeout = problem.kind.endswith("timeout")
            lost = (RequestTimeout if timeout else ConnectionFailed)(str(problem), retryable=kind is not Retry.NEVER)
            lost.kind = problem.kind
            error = lost
        case StreamTruncated():
            kind, error = (Retry.NEVER if tries.handed else Retry.TRANSIENT), problem
            error.retryable = True
        case MalformedResponse():
            kind, error = Retry.NEVER, problem
        case GLMVError():
            error = problem
            kind = row(problem.status_code, problem.code).retry if problem.code or problem.status_code else Retry.NEVER
            if kind is not Retry.TOKEN and not problem.retryable:
                kind = Retry.NEVER
            if problem.code == "1231" and tries.timed_out:
                # The request that timed out on our side is still running there.
                kind = Retry.BUSY
            if kind is Retry.TOKEN and not (tries.renewals == 0 and call.renew()):
                kind = Retry.NEVER
        case _:
            raise TypeError(f"not a failure of a call: {problem!r}")
    if isinstance(problem, Failure):
        error.__cause__ = problem.__cause__
        if tries.past_deadline():
            error, kind = tries.too_late(during=problem.kind), Retry.NEVER
    return error, (Retry.NEVER if tries.handed else kind)


def _told(error: GLMVError, call: Call, tries: Tries) -> GLMVError:
    told = None
    if tries.handed or isinstance(error, ContentFilterError | StreamTruncated | StreamInterrupted | DeadlineExceeded):
        told = call.accumulator.completion()
        told.attempts = tries.attempt
        if call.shaper is not None:
            told.usage = call.shaper.decoder.usage
            error.fill(request_id=call.shaper.decoder.facts.get("request_id"))
    return error.fill(attempts=tries.attempt, request_id=tries.request_id, partial=told)


def _unpacker(headers: Mapping[str, str], limit: int) -> Callable[[bytes], Iterable[bytes]]:
    """Bytes as they come -> pieces of the body, small ones, so that a bomb is stopped before it goes off.

    We ask for `identity`; a server that compresses all the same is read with a bound on what comes out.
    """
    size = 0

    def counted(piece: bytes) -> bytes:
        nonlocal size
        size += len(piece)
        if size > limit:
            raise MalformedResponse(f"The body is larger than {limit} bytes; an answer is far smaller. It was dropped.")
        return piece

    encoding = headers.get("content-encoding", "identity").strip().lower()
    match encoding:
        case "" | "identity":
            return lambda data: (counted(data),)
        case "gzip" | "x-gzip" | "deflate":
            inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

            def inflated(data: bytes) -> Iterator[bytes]:
                piece = b""
                while data or len(piece) == PIECE:
                    try:
                        piece = inflate.decompress(data, PIECE)
                    except zlib.error as error:
                        raise MalformedResponse(f"The body cannot be decompressed ({error}).") from None
                    data = inflate.unconsumed_tail
                    yield counted(piece)

            return inflated
        case _:
            raise MalformedResponse(f"The body is compressed by {encoding!r}, which was not asked for.")
