"""Faults of the connection: it breaks, stalls or drips."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from glmv_emulator.faults.table import Moment, beyond, fault
from glmv_emulator.http.playback import Act, End, Pause, Performance, Raw
from glmv_emulator.http.responses import DONE

beyond(
    2,
    "dns-failure",
    "the host has no name",
    "one that does not exist: no retry; one that cannot be looked up just now: retry",
    'give the client the base URL "http://host.invalid/api/paas/v4" (RFC 6761: such a name never exists)',
)


@fault(6, "reset-in-headers", "the connection is reset in the middle of the head", "try again: nothing was received")
def reset_in_headers(answer: Performance, moment: Moment) -> Performance:
    return Performance(0, {}, [Raw(b"HTTP/1.1 200 OK\r\ncontent-ty"), End("rst")])


@fault(7, "reset-in-body", "the connection is reset in the middle of the body", "try again", needs="whole")
def reset_in_body(answer: Performance, moment: Moment, fraction: float = 0.5) -> Performance:
    return answer.with_acts([*_part(answer.acts, fraction)[0], End("rst")])


@fault(7, "half-body", "the connection is closed in the middle of the body", "try again", needs="whole")
def half_body(answer: Performance, moment: Moment, fraction: float = 0.5) -> Performance:
    return answer.with_acts([*_part(answer.acts, fraction)[0], End("fin")])


@fault(
    8,
    "stale-connection",
    "a kept connection is closed when the next request comes",
    "at once on a new connection, without counting it",
    needs="reused",
)
def stale_connection(answer: Performance, moment: Moment) -> Performance:
    return Performance(0, {}, [End("fin")])


@fault(0, "no-answer", "the connection is closed before any byte", "try again")
def no_answer(answer: Performance, moment: Moment) -> Performance:
    return Performance(0, {}, [End("fin")])


@fault(9, "idle-close", "the connection is closed after the answer", "nothing to see: a new one next time")
def idle_close(answer: Performance, moment: Moment) -> Performance:
    ending: list[Act] = [] if "content-length" in answer.headers else [Raw(b"0\r\n\r\n")]
    return answer.with_acts(_then(answer.acts, [*ending, End("fin")]))


@fault(10, "stall-before-headers", "nothing comes", "give up at the timeout or the deadline")
def stall_before_headers(answer: Performance, moment: Moment) -> Performance:
    return answer.after([moment.hold()])


@fault(11, "stall-in-body", "the body stops in the middle", "give up at the timeout or the deadline", needs="whole")
def stall_in_body(answer: Performance, moment: Moment, fraction: float = 0.5) -> Performance:
    first, rest = _part(answer.acts, fraction)
    return answer.with_acts([*first, moment.hold(), *rest])


@fault(11, "stall", "the stream stops after so many chunks", "give up at the idle timeout", needs="stream")
def stall(answer: Performance, moment: Moment, after: int = 3) -> Performance:
    return answer.with_acts(_held(answer.acts, after, moment.hold()))


def _held(acts: Iterable[Act], after: int, hold: Act) -> Iterator[Act]:
    """A stream that holds before chunk number `after`, or before its [DONE] if it is shorter."""
    held = False
    chunks = 0
    for act in acts:
        if not held and isinstance(act, bytes) and (chunks == after or act == DONE):
            held = True
            yield hold
        chunks += isinstance(act, bytes)
        yield act


@fault(12, "drip", "the body comes byte by byte", "end at the deadline, whatever comes", needs="whole")
def drip(answer: Performance, moment: Moment, every: float = 0.25) -> Performance:
    return answer.with_acts(_dripping(answer.acts, every))


@fault(
    13, "drip-stream", "the stream comes byte by byte", "end at the deadline; an event that never ends is silence",
    needs="stream",
)  # fmt: skip
def drip_stream(answer: Performance, moment: Moment, every: float = 0.25) -> Performance:
    return answer.with_acts(_dripping(answer.acts, every))


def _dripping(acts: Iterable[Act], every: float) -> Iterator[Act]:
    for act in acts:
        for byte in act if isinstance(act, bytes) else b"":
            yield bytes([byte])
            yield Pause(every)


@fault(0, "slow", "the answer takes long to begin, and each chunk takes long", "wait, up to the timeout")
def slow(answer: Performance, moment: Moment, first: float = 0.0, between: float = 0.0) -> Performance:
    played = answer.with_acts(_slowed(answer.acts, between)) if between else answer
    return played.after([Pause(first)]) if first else played


def _slowed(acts: Iterable[Act], between: float) -> Iterator[Act]:
    for number, act in enumerate(acts):
        if number and isinstance(act, bytes):
            yield Pause(between)
        yield act


def _part(acts: Iterable[Act], fraction: float) -> tuple[list[Act], list[Act]]:
    body = b"".join(act for act in acts if isinstance(act, bytes))
    cut = max(1, int(len(body) * fraction))
    return [body[:cut]], [body[cut:]]


def _then(acts: Iterable[Act], more: list[Act]) -> Iterator[Act]:
    yield from acts
    yield from more


_LISTENER = 'take the base URL of `emu.trap("{}")`'
beyond(1, "connection-refused", "nobody listens", "try again, and name host and port", "call `emu.refuse()`")
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
beyond(5, "tls-reset", "the connection is reset in the TLS handshake", "try again", _LISTENER.format("tls-reset"))
beyond(
    40, "early-break", "the application stops reading a stream", "free connection and slot",
    "leave the loop of a stream early; `emu.requests[-1].ended_by` is then \"client\"",
)  # fmt: skip
beyond(
    41, "cancelled", "a task is cancelled while it waits", "pass it on, and leak nothing",
    "cancel a task while `emu.stall()` or `emu.slow()` holds; `emu.connections` counts what stayed open",
)  # fmt: skip
beyond(
    42, "fork", "the process forks after a call", "the child makes its own connections",
    "fork, and look at `Exchange.connection`: two processes never share one",
)  # fmt: skip
beyond(
    43, "loop-closed", "the event loop of the first call is closed", "connections are kept for each loop",
    "call `asyncio.run` three times with one client",
)  # fmt: skip
beyond(
    44, "too-many", "more calls at once than the account may have", "queue: never more at once than allowed",
    'start `Emulator(concurrency={"glm-4v-flash": 10})`: one more is refused with 1302',
)  # fmt: skip
