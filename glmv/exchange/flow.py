"""The flow of a call as a series of steps, without I/O. Retries, deadlines and errors are decided here.

`exchange` returns a generator. It yields a step ("enter the gate", "send this", "read on", "pause"); the driver runs
the step, and resumes the generator with the result or with a `Failure`. The two clients differ only in their drivers
(ADR-0002), and this file is tested without a client: `next(flow)`, `flow.send(Opened(429, {}))`,
`flow.throw(Failure("reset", ""))`.

Three rules: nothing is retried after the caller got a part of the answer; an error after that has this part in
`partial`; a deadline covers everything from waiting for a slot to the last byte.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from glmv.errors import (
    ConnectionFailed,
    ContentFilterError,
    ContextLengthError,
    DeadlineExceeded,
    GateTimeout,
    GLMVError,
    InvalidRequestError,
    MalformedResponse,
    RequestTimeout,
    ServerError,
    StreamInterrupted,
    StreamTruncated,
)
from glmv.exchange.bodies import (
    ERROR_PATIENCE,
    MAX_ERROR_BYTES,
    MAX_STREAM_BYTES,
    PIECE,
    Inflater,
    Unpacker,
    is_json,
    payload_of,
    refused,
    unpacker,
)
from glmv.exchange.retry import Policy, Tries
from glmv.exchange.shaping import Shaper
from glmv.exchange.steps import Drop, Enter, Failure, Finish, Hand, Opened, Pause, Read, Send, Step, Work
from glmv.request.prepare import Call, Reading
from glmv.types import Completion
from glmv.wire.codes import WITHDRAWN, Retry, row
from glmv.wire.decode import excerpt
from glmv.wire.sse import JSONLinesDecoder, SSEDecoder, is_event_stream, is_json_lines

# Seconds to wait for more after the finish reason: only usage and [DONE] can follow, and some servers do not close the
# stream.
LINGER = 2.0
# From this size of a request, in bytes, its size may be why a connection broke: nginx accepts 1 MiB by default
# (nginx.org, client_max_body_size).
LARGE_BODY = 1024 * 1024


def exchange(call: Call, policy: Policy, *, stream: bool) -> Generator[Step, Any, Completion]:
    """A chat call: yields deltas if it streams, and returns the whole answer.

    Raises:
        GLMVError: the call failed; the class depends on the platform's error code, or on what failed.
    """
    once = _streamed if stream else _whole
    return _tried(call, policy, partial(_with_withdrawn, once) if call.sensitive == "return" else once)


def fetch(call: Call, policy: Policy, *, raw: bool = False) -> Generator[Step, Any, Any]:
    """A call of an endpoint other than chat: returns the parsed JSON of the response, or its bytes if `raw`."""
    return _tried(call, policy, _bytes if raw else _json)


T = TypeVar("T")


def worked(function: Callable[[], T], policy: Policy, until: float | None = None) -> Generator[Step, Any, T]:
    """Runs a function that prepares large content, and returns its result. Adds its time to `policy.spent`.

    Args:
        function: takes no arguments.
        policy: the policy of the call.
        until: the deadline in monotonic seconds. None is for work before the first attempt: the deadline is then
            computed from the policy.

    Raises:
        DeadlineExceeded: the deadline has passed.
    """
    started = policy.clock()
    if until is None and policy.deadline is not None:
        until = started + policy.deadline - policy.spent
    late = False
    value: Any = None
    try:
        value = yield Work(function, until)
    except Failure:
        late = True
    ended = policy.clock()
    policy.spent += ended - started
    if late or (until is not None and ended >= until):
        raise policy.too_late()
    return value  # type: ignore[no-any-return]  # what the function returned


Attempt = Callable[[Call, Tries], Generator[Step, Any, Any]]


def _tried(call: Call, policy: Policy, once: Attempt) -> Generator[Step, Any, Any]:
    tries = Tries(policy)
    while True:
        try:
            result = yield from once(call, tries)
        except (Failure, GLMVError) as problem:
            error, kind = _error_and_retry(problem, tries)
        else:
            policy.budget.earn(after_retry=tries.attempt > 1)
            return result
        # Outside of `except`, so that the error does not get the handled exception as its context.
        yield Drop(busy=tries.busy(error, kind))
        pause = tries.again(error, kind)
        if pause is None:
            raise _with_facts(error, tries, call.reading)
        if pause:
            yield Pause(pause)


def _open(call: Call, tries: Tries) -> Generator[Step, Any, Opened]:
    policy = tries.policy
    request_id = secrets.token_hex(16) if call.request_id is None else call.request_id
    # Before taking a slot, because a call that waits for a thread must not hold one.
    body = (yield from worked(partial(call.body, request_id), policy, tries.deadline)) if call.large else None
    yield Enter(tries.deadline, policy.gate, policy.timeouts["read"])
    tries.begin()
    tries.request_id = request_id or None
    if body is None:
        body = call.body(request_id)
    try:
        opened: Opened = yield Send(
            call.method, call.path, body, call.headers, tries.deadline, call.secrets, policy.timeouts
        )
    except Failure as failure:
        raise _with_hint_on_size(failure, body) from failure.__cause__
    tries.opened = True
    if opened.status >= 300:
        raise (yield from _refusal(opened, call, tries))
    return opened


def _with_hint_on_size(failure: Failure, body: Any) -> Failure:
    """Adds a hint to the failure of a large request: servers close the connection when a body is too large."""
    if failure.kind not in ("reset", "write_timeout") or body is None or len(body) < LARGE_BODY:
        return failure
    return Failure(
        failure.kind,
        f"{failure} The request has {len(body) / 1e6:.1f} MB: if that is more than the server or a proxy accepts, "
        "send fewer or smaller pictures.",
    )


def _refusal(opened: Opened, call: Call, tries: Tries) -> Generator[Step, Any, Failure | GLMVError]:
    """Reads the body of a response with an error status, and returns the error."""
    body = bytearray()
    problem: Exception | None = None
    try:
        until = tries.until(tries.policy.clock() + ERROR_PATIENCE)
        yield from _collect(body, unpacker(opened.headers, min(call.limit, MAX_ERROR_BYTES)), tries, until)
    except (Failure, GLMVError) as unread:
        problem = unread
    masked_body = call.secrets.mask(bytes(body))
    if opened.intermediate is not None and problem is None and not is_json(masked_body):
        return opened.intermediate
    return refused(opened, masked_body, call.secrets, tries, problem)


def _body(call: Call, tries: Tries, unpack: Unpacker, begun: Sequence[bytes] = ()) -> Generator[Step, Any, bytes]:
    """Reads a body to its end. `begun` has the pieces that were read already; a final b"" is the end of the body."""
    body = bytearray(b"".join(begun))
    if not begun or begun[-1]:
        yield from _collect(body, unpack, tries, tries.deadline)
    return call.secrets.mask(bytes(body))


def _collect(body: bytearray, unpack: Unpacker, tries: Tries, until: float | None) -> Generator[Step, Any, None]:
    """Reads the rest of a response, and appends the decompressed bytes to `body`; after a failure they stay there."""
    while data := (yield Read(until)):
        tries.check()
        for piece in unpack.feed(data):
            body += piece
        if until is not None and tries.policy.clock() >= until:
            raise Failure("read_timeout", "The response body did not end in time.")


def _bytes(call: Call, tries: Tries) -> Generator[Step, Any, bytes]:
    opened = yield from _open(call, tries)
    body = yield from _body(call, tries, unpacker(opened.headers, call.limit))
    yield Finish()
    return body


def _json(call: Call, tries: Tries) -> Generator[Step, Any, Any]:
    opened = yield from _open(call, tries)
    body = yield from _body(call, tries, unpacker(opened.headers, call.limit))
    payload = payload_of(opened, body, call.secrets, tries)
    yield Finish()
    return payload


def _with_withdrawn(once: Attempt, call: Call, tries: Tries) -> Generator[Step, Any, Completion]:
    """One attempt of a chat call with `on_sensitive="return"`: withdrawn content is returned as an answer."""
    try:
        answer: Completion = yield from once(call, tries)
        return answer
    except ContentFilterError as error:
        if error.code not in WITHDRAWN or tries.shaper is None:
            raise
        deltas = tries.shaper.withdraw(error, tries)
    yield Drop()
    if once is _streamed:
        yield Hand(deltas)
    return tries.shaper.total.completion()


def _whole(call: Call, tries: Tries) -> Generator[Step, Any, Completion]:
    shaper = tries.shaper = Shaper(call)
    opened = yield from _open(call, tries)
    unpack = unpacker(opened.headers, call.limit)
    begun, events = yield from _head(opened, tries, unpack)
    if events is not None:
        # Some API gateways stream although the request did not ask for it.
        yield from _events(shaper, tries, events, unpack, begun, hand=False)
        shaper.end(tries)
        answer = shaper.total.completion()
    else:
        body = yield from _body(call, tries, unpack, begun)
        answer = _completed(payload_of(opened, body, call.secrets, tries), tries, shaper, opened.status)
    yield Finish()
    return answer


def _head(
    opened: Opened, tries: Tries, unpack: Unpacker, longest: float | None = None
) -> Generator[Step, Any, tuple[list[bytes], SSEDecoder | None]]:
    """Reads until the first bytes show whether the body is a stream.

    Args:
        unpack: decompresses the body.
        longest: the maximum wait for the first bytes in seconds, or None.

    Returns:
        The pieces that were read; if the body has ended, the last piece is b"". And the decoder of the stream, or None
        if the body is not a stream.
    """
    kind = _kind(opened)
    declared = kind == "text/event-stream"
    begun: list[bytes] = []
    head = b""
    until = tries.until(tries.policy.clock() + longest if longest else None)
    for _ in range(PIECE):
        try:
            data = yield Read(until)
        except Failure as failure:
            if longest and tries.policy.clock() >= (until or 0) and not tries.past_deadline():
                raise _idle(longest) from failure.__cause__
            raise
        tries.check()
        if not data:
            begun.append(b"")
            break
        for piece in unpack.feed(data):
            begun.append(piece)
            head = (head + piece).lstrip()[:PIECE]
        if (streams := is_event_stream(head)) or (streams is False and declared and head[:1] not in b"{[<"):
            return begun, SSEDecoder()
        if streams is False and (lines := is_json_lines(head, kind)) is not None:
            return begun, JSONLinesDecoder() if lines else None
        if len(head) == PIECE:
            break
        if head[:1] == b"{":
            longest, until = None, tries.deadline  # a whole answer may take longer than an event
    return begun, SSEDecoder() if declared and head[:1] != b"{" else None


def answer_of(call: Call, policy: Policy, payload: dict[str, Any]) -> Completion:
    """Converts a payload to the answer that `exchange` would return.

    The payload comes from the result of an asynchronous task, or from a line of a batch's output file.

    Raises:
        GLMVError: the finish reason means an error, or the payload is not an answer.
    """
    tries = Tries(policy)
    tries.begin()
    shaper = tries.shaper = Shaper(call)
    try:
        return _completed(payload, tries, shaper)
    except (Failure, GLMVError) as problem:
        error, _ = _error_and_retry(problem, tries)
        raise _with_facts(error, tries, call.reading) from None


def _completed(payload: dict[str, Any], tries: Tries, shaper: Shaper, status: int | None = None) -> Completion:
    shaper.take(payload)
    if not shaper.answers:
        missing = "choice that can be read" if payload.get("choices") else "choices"
        raise MalformedResponse(
            f"The response has no {missing}; its fields are {_names(payload)}: {excerpt(repr(payload).encode())}",
            status_code=status,
        )
    shaper.end(tries)
    answer = shaper.total.completion()
    answer.raw = payload
    return answer


def _streamed(call: Call, tries: Tries) -> Generator[Step, Any, Completion]:
    shaper = tries.shaper = Shaper(call)
    opened = yield from _open(call, tries)
    unpack = unpacker(opened.headers, call.limit)
    begun, events = yield from _head(opened, tries, unpack, tries.policy.idle_timeout)
    if events is None:
        body = yield from _body(call, tries, unpack, begun)
        payload = payload_of(opened, body, call.secrets, tries)  # raises the error that the JSON holds
        delta = shaper.take(payload)  # some API gateways do not stream although the request asked for it
        if not shaper.answers:
            raise MalformedResponse(
                f"Expected a stream; got a response of type {_kind(opened) or '(none)'}. Its fields are "
                f"{_names(payload)}: {excerpt(body)}",
                status_code=opened.status,
            )
        yield Hand([*([delta] if delta else []), *shaper.end(tries)])
    else:
        yield from _events(shaper, tries, events, unpack, begun)
        yield Hand(shaper.end(tries))
    yield Finish()
    return shaper.total.completion()


def _kind(opened: Opened) -> str:
    return opened.headers.get("content-type", "").partition(";")[0].strip().lower()


def _names(payload: Mapping[str, Any]) -> str:
    """The names of a body's fields, for an error message."""
    names = ["".join(c if c.isprintable() else " " for c in str(name)[:40]) for name in list(payload)[:20]]
    return (", ".join(names) + ("…" if len(payload) > 20 else ""))[:200] or "no fields"


def _events(
    shaper: Shaper, tries: Tries, events: SSEDecoder, unpack: Unpacker, begun: Sequence[bytes], *, hand: bool = True
) -> Generator[Step, Any, None]:
    """Reads a stream to its end, after the pieces in `begun`. Its deltas are added up and, if `hand`, yielded."""
    if not isinstance(unpack, Inflater):
        unpack.limit = MAX_STREAM_BYTES
    decoder = shaper.decoder
    clock, idle = tries.policy.clock, tries.policy.idle_timeout
    last_event = clock()
    unread = list(reversed(begun))
    while True:
        longest = idle if decoder.finish_reason is None else LINGER
        is_new = not unread
        try:
            if unread:
                data = unread.pop()
            else:
                data = yield Read(tries.until(last_event + longest if longest else None))
        except (Failure, GLMVError) as failure:
            if not decoder.finished:
                if isinstance(failure, Failure) and idle and clock() - last_event >= idle:
                    raise _idle(idle) from failure.__cause__
                raise
            data = b""
        has_events = False
        try:
            pieces = unpack.feed(data) if is_new else (data,)
            for new_events in map(events.feed, pieces) if data else [events.flush()]:
                deltas, broken = shaper.events(new_events)
                if deltas and hand:
                    tries.handed = True
                    yield deltas
                if broken is not None:
                    if not data and broken.retryable and isinstance(broken, MalformedResponse):
                        raise StreamTruncated(f"The stream ended inside an event: {broken}")
                    raise broken
                has_events = has_events or bool(new_events)
                if decoder.ended:
                    break
        except MalformedResponse:
            if not decoder.finished:
                raise
            break  # the answer is complete: a failure after it does not matter
        if decoder.ended or not data:
            break
        if has_events:
            last_event = clock()
        elif idle and decoder.finish_reason is None and clock() - last_event > idle:
            raise _idle(idle)  # the driver ends a read without data; this ends a stream of comments
        if decoder.finish_reason is None:
            tries.check()
    if not (decoder.finished or decoder.ended):
        raise StreamTruncated("The stream ended without a finish reason and without [DONE]: the answer is incomplete.")


def _idle(seconds: float) -> Failure:
    return Failure("read_timeout", f"No event of the stream came for {seconds:g} s (idle_timeout).")


def _error_and_retry(problem: Exception, tries: Tries) -> tuple[GLMVError, Retry]:
    """A failure or error -> the error to raise if there is no retry, and the kind of retry."""
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
            kind_of_error = RequestTimeout if timeout else ConnectionFailed
            lost = kind_of_error(str(problem), retryable=kind is not Retry.NEVER)
            lost.kind = problem.kind
            error = lost
        case StreamTruncated():
            kind, error = (Retry.NEVER if tries.handed else Retry.TRANSIENT), problem
            error.retryable = True
        case MalformedResponse():
            # A damaged event is retryable; a complete response that is not an answer is not.
            kind, error = (Retry.TRANSIENT if problem.retryable else Retry.NEVER), problem
        case GateTimeout():
            kind, error = Retry.NEVER, tries.waited_in_vain(problem)
        case GLMVError():
            error = problem
            has_code = problem.code or problem.status_code or isinstance(problem, ServerError)
            kind = row(problem.status_code, problem.code).retry if has_code else Retry.NEVER
            if kind is not Retry.TOKEN and not problem.retryable:
                kind = Retry.NEVER
            if problem.code == "1231" and tries.timed_out:
                # The server still runs the earlier request, which timed out here.
                kind = Retry.BUSY
            if kind is Retry.TOKEN and (tries.renewed or not tries.policy.renew()):
                kind = Retry.NEVER
        case _:
            raise TypeError(f"not a failure of a call: {problem!r}")
    if isinstance(problem, Failure):
        error.__cause__ = problem.__cause__
        if tries.past_deadline():
            error, kind = tries.too_late(during=problem.kind), Retry.NEVER
    return error, (Retry.NEVER if tries.handed else kind)


def _with_facts(error: GLMVError, tries: Tries, reading: Reading) -> GLMVError:
    received = None
    if isinstance(error, InvalidRequestError):  # a change or doubt in the notes may be why the server refused it
        for note in reading.notes:
            if note in reading.causes and not isinstance(error, ContextLengthError):
                error.add_advice(note)
            else:
                error.add_note(f"note: {note}")
    shaper = tries.shaper
    answered = shaper is not None and shaper.decoder.answered
    kinds = ContentFilterError | StreamTruncated | StreamInterrupted | DeadlineExceeded
    if tries.handed or isinstance(error, kinds) or (answered and isinstance(error, ContextLengthError)):
        received = Completion()
        if shaper is not None:
            if (rest := shaper.decoder.rest()) is not None:
                shaper.total.add(rest)
            received = shaper.total.completion()
            received.usage = shaper.decoder.usage
            error.fill(request_id=shaper.decoder.facts.get("request_id"))
        received.attempts = tries.attempt
    return error.fill(attempts=tries.attempt, request_id=tries.request_id, partial=received)
