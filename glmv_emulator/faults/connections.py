"""Faults of the connection: it breaks, pauses or sends byte by byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from glmv_emulator.faults.table import Context, beyond, fault
from glmv_emulator.http.playback import DONE, End, Pause, Raw, Response, Step

beyond(
    2,
    "dns-failure",
    "the host name does not exist",
    "no retry if the name does not exist, retry if it cannot be looked up now; the message names network, DNS and "
    "VPN, and `base_url` if the user set it",
    'give the client the base URL "http://host.invalid/api/paas/v4" (RFC 6761: such a name never exists)',
)


@fault(6, "reset-in-headers", "the connection is reset in the middle of the head", "retry: nothing was received")
def reset_in_headers(answer: Response, context: Context) -> Response:
    return Response(0, {}, [Raw(b"HTTP/1.1 200 OK\r\ncontent-ty"), End("rst")])


@fault(7, "reset-in-body", "the connection is reset in the middle of the body", "retry", needs="whole")
def reset_in_body(answer: Response, context: Context, fraction: float = 0.5) -> Response:
    return answer.with_steps([*_part(answer.steps, fraction)[0], End("rst")])


@fault(7, "half-body", "the connection is closed in the middle of the body", "retry", needs="whole")
def half_body(answer: Response, context: Context, fraction: float = 0.5) -> Response:
    return answer.with_steps([*_part(answer.steps, fraction)[0], End("fin")])


@fault(
    8,
    "stale-connection",
    "an idle connection is closed when the next request comes",
    "retry at once on a new connection, without counting the attempt",
    needs="reused",
)
def stale_connection(answer: Response, context: Context) -> Response:
    return Response(0, {}, [End("fin")])


@fault(0, "no-answer", "the connection is closed before any byte", "retry")
def no_answer(answer: Response, context: Context) -> Response:
    return Response(0, {}, [End("fin")])


@fault(9, "idle-close", "the connection is closed after the answer", "open a new connection for the next request")
def idle_close(answer: Response, context: Context) -> Response:
    ending: list[Step] = [] if "content-length" in answer.headers else [Raw(b"0\r\n\r\n")]
    return answer.with_steps(_then(answer.steps, [*ending, End("fin")]))


@fault(10, "stall-before-headers", "the server sends nothing", "give up at the timeout or the deadline")
def stall_before_headers(answer: Response, context: Context) -> Response:
    return answer.after([context.hold()])


@fault(11, "stall-in-body", "the body stops in the middle", "give up at the timeout or the deadline", needs="whole")
def stall_in_body(answer: Response, context: Context, fraction: float = 0.5) -> Response:
    first, rest = _part(answer.steps, fraction)
    return answer.with_steps([*first, context.hold(), *rest])


@fault(11, "stall", "the stream stops after a number of chunks", "give up at the idle timeout", needs="stream")
def stall(answer: Response, context: Context, after: int = 3) -> Response:
    return answer.with_steps(_held(answer.steps, after, context.hold()))


def _held(steps: Iterable[Step], after: int, hold: Step) -> Iterator[Step]:
    """A stream that pauses after `after` chunks, or before its [DONE] if it has fewer chunks."""
    is_held = False
    chunks = 0
    for step in steps:
        if not is_held and isinstance(step, bytes) and (chunks == after or step == DONE):
            is_held = True
            yield hold
        chunks += isinstance(step, bytes)
        yield step


@fault(12, "drip", "the body comes byte by byte", "end at the deadline", needs="whole")
def drip(answer: Response, context: Context, every: float = 0.25) -> Response:
    return answer.with_steps(_dripping(answer.steps, every))


@fault(
    13, "drip-stream", "the stream comes byte by byte",
    "end at the deadline; an event that never ends counts as no response", needs="stream",
)  # fmt: skip
def drip_stream(answer: Response, context: Context, every: float = 0.25) -> Response:
    return answer.with_steps(_dripping(answer.steps, every))


def _dripping(steps: Iterable[Step], every: float) -> Iterator[Step]:
    for step in steps:
        for byte in step if isinstance(step, bytes) else b"":
            yield bytes([byte])
            yield Pause(every)


@fault(0, "slow", "the answer takes long to begin, and each chunk takes long", "wait, up to the timeout")
def slow(answer: Response, context: Context, first: float = 0.0, between: float = 0.0) -> Response:
    played = answer.with_steps(_slowed(answer.steps, between)) if between else answer
    return played.after([Pause(first)]) if first else played


def _slowed(steps: Iterable[Step], between: float) -> Iterator[Step]:
    for number, step in enumerate(steps):
        if number and isinstance(step, bytes):
            yield Pause(between)
        yield step


def _part(steps: Iterable[Step], fraction: float) -> tuple[list[Step], list[Step]]:
    body = b"".join(step for step in steps if isinstance(step, bytes))
    cut = max(1, int(len(body) * fraction))
    return [body[:cut]], [body[cut:]]


def _then(steps: Iterable[Step], more: list[Step]) -> Iterator[Step]:
    yield from steps
    yield from more


_LISTENER = 'use the base URL of `emu.trap("{}")`'
beyond(1, "connection-refused", "no server listens on the port", "retry, and name host and port", "call `emu.refuse()`")
beyond(
    3,
    "connect-blackhole",
    "the connection is never made",
    "give up at the connect timeout",
    _LISTENER.format("blackhole"),
)
beyond(
    4,
    "tls-invalid",
    "the certificate is self-signed (or expired, or for another host)",
    "no retry; name the reason",
    'start `Emulator(tls=(certificate, key))` with such a certificate, as `emu.trap("tls-self-signed")` does',
)
beyond(5, "tls-reset", "the connection is reset in the TLS handshake", "retry", _LISTENER.format("tls-reset"))
beyond(
    40, "early-break", "the application stops reading a stream", "release the connection and its slot",
    "leave the loop of a stream early; `emu.requests[-1].ended_by` is then \"client\"",
)  # fmt: skip
beyond(
    41, "cancelled", "a task is cancelled while it waits", "pass the cancellation on, and leak nothing",
    "cancel a task while `emu.stall()` or `emu.slow()` delays it; `emu.connections` counts open connections",
)  # fmt: skip
beyond(
    42, "fork", "the process forks after a call", "the child makes its own connections",
    "fork, and compare `Exchange.connection` of the requests: two processes never share one",
)  # fmt: skip
beyond(
    43, "loop-closed", "the event loop of the first call is closed", "each event loop has its own connections",
    "call `asyncio.run` three times with one client",
)  # fmt: skip
beyond(
    44, "too-many", "more concurrent calls than the account allows",
    "queue calls: run only as many at once as the account allows",
    'start `Emulator(concurrency={"glm-4v-flash": 10})`: an eleventh call is refused with 1302',
)  # fmt: skip
