"""The state of one call while it runs, with all its attempts: slot, request, response. Shared by both drivers."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from types import ModuleType
from typing import Any

from glmv.credentials import SecretBytes
from glmv.errors import DeadlineExceeded, GateTimeout, GLMVError
from glmv.exchange.gate import Busy, Caller, Gate, Ticket
from glmv.exchange.steps import Enter, Failure, Opened, Pause, Send, Step
from glmv.sending import TIMEOUTS
from glmv.transport.address import Address
from glmv.transport.auth import Signer
from glmv.transport.failures import Way, heard_from, perhaps_refused_by_proxy, refused_by_proxy, translated
from glmv.transport.network import NetworkCall
from glmv.transport.pools import Pool
from glmv.wire.encode import Body

log = logging.getLogger("glmv")

# Bytes of a large body that are written at a time; the deadline is checked before each piece.
PIECE = 1024 * 1024
# After this many seconds a call logs a warning if it waits for a slot of its own thread or task. While all calls are
# refused, waiting calls also check the gate at this interval.
WARN_AFTER = 5.0
# Seconds to wait for the end of a response after a complete answer, so that the connection can be reused.
TAIL = 0.05


class Driver:
    """Takes the steps of one flow.

    Args:
        flow: a generator of steps, see `glmv.exchange.flow`.
        pool: the HTTP client to use.
        where: the server.
        headers: added to each request.
        what: "a call" or "a stream", for messages about the slot that this flow holds or waits for.
    """

    def __init__(
        self,
        flow: Generator[Step, Any, Any],
        pool: Pool,
        where: Address,
        headers: Mapping[str, str],
        what: str,
    ) -> None:
        self.result: Any = None
        self._what = what
        self._flow = flow
        self._pool = pool
        self._where = where
        self._headers = headers
        self._timeouts: Mapping[str, float | None] = {}
        self._network = NetworkCall(where.secrets, None)
        self._gate: Gate | None = None
        self._ticket: Ticket | None = None
        self._refused: Ticket | None = None
        self._warned = False
        self._response: Any = None
        self._chunks: Any = None
        self._ended = True  # the body of the response was read to its end
        self._cancelled = False
        self._sent_at = 0.0

    def _request(self, step: Send, body: Any, signer: Signer | None) -> Any:
        """Makes the HTTP library's request for a `Send` step."""
        headers: dict[str, str | bytes] = dict(self._pool.headers)
        if step.body is not None:
            headers["content-length"] = str(len(step.body))
        if signer is not None:
            headers["authorization"] = SecretBytes(signer.header(time.time()), "ascii")
        for name, value in (*self._headers.items(), *step.headers.items()):
            headers[name.lower()] = value
        self._timeouts = step.timeouts
        self._network.secrets, self._network.handshake_timeout = step.secrets, step.timeouts["connect"]
        self._network.tunnels = self._pool.proxy is not None and self._way().tunnelled
        limits = dict(step.timeouts)
        if step.until is not None:
            left = max(step.until - time.monotonic(), 0.001)
            limits = {phase: min(left, limit or left) for phase, limit in limits.items()}
        self._network.stage = "kept"
        self._sent_at = time.monotonic()
        log.debug("Sending %s %s to %s", step.method, step.path, self._where.host)
        return self._pool.http.build_request(
            step.method, _url(self._pool.library, self._where.base_url + step.path), content=body, headers=headers,
            extensions={"timeout": limits},
        )  # fmt: skip

    def _late(self, started: float) -> GLMVError:
        """The error for an api_key function that took longer than the deadline allows."""
        seconds = time.monotonic() - started
        return DeadlineExceeded(f"The api_key function took {seconds:.1f} s, longer than the deadline allows.")

    def _opened(self, response: Any) -> Opened:
        self._response = response
        log.debug(
            "HTTP %d from %s after %.2f s", response.status_code, self._where.host, time.monotonic() - self._sent_at
        )
        # Masked together, which takes as long as one value. A line break in a value becomes a space (RFC 9110, 5.5).
        raw = response.headers.raw
        values = self._network.secrets.mask(b"\n".join([value.replace(b"\n", b" ") for _, value in raw]))
        names = [name.decode("ascii").lower() for name, _ in raw]
        # Not strict: without headers there is one empty value.
        headers = dict(zip(names, values.decode("latin-1").split("\n"), strict=False))
        if response.is_stream_consumed:
            # A mocked response has read and decompressed its body already (`httpx.Response(content=...)`).
            headers.pop("content-encoding", None)
        intermediate = None
        proxy = self._pool.proxy
        if response.status_code >= 400 and proxy is not None:
            way = self._way()
            if (refused := refused_by_proxy(response.status_code, headers, way)) is not None:
                raise refused
            intermediate = perhaps_refused_by_proxy(response.status_code, headers, way)
        # If a proxy may have refused the request, the next call reads the environment again.
        self._pool.in_doubt = intermediate is not None
        if intermediate is None:
            heard_from(self._where.host, proxy)
        return Opened(response.status_code, headers, intermediate)

    def _failure(self, error: Exception) -> Failure | GLMVError:
        """Converts an error of the HTTP library to an error for the flow."""
        if isinstance(error, Failure):
            problem: Failure | GLMVError = error
        else:
            problem = translated(error, self._pool.library, self._way(), self._timeouts, self._network.secrets)
        self._pool.in_doubt = isinstance(problem, Failure)
        log.debug("No complete response from %s: %s", self._where.host, problem)
        return problem

    @property
    def through(self) -> str | None:
        """The forward proxy as text for messages, or None if there is no proxy."""
        return None if self._pool.proxy is None else str(self._pool.proxy)

    @property
    def _is_half_open(self) -> bool:
        """Whether a SOCKS proxy is connected but has made no tunnel. The HTTP library leaves such a connection open."""
        proxy = self._pool.proxy
        return proxy is not None and proxy.scheme == "socks5" and self._network.stage == "connected"

    def _way(self) -> Way:
        pool, where, network = self._pool, self._where, self._network
        return Way(
            where.base_url, where.host, where.named_by, pool.proxy, pool.settings is not None,
            network.stage, network.encrypts_with,
        )  # fmt: skip

    def _enters(self, gate: Gate, notify: Callable[[], None]) -> Ticket:
        """Ask for a slot. A call that the server refused gets its old place in the queue."""
        after, self._refused = self._refused, None
        by = caller()
        self._ticket = ticket = gate.enter(f"{self._what} in {by.name}", notify, after=after, by=by)
        return ticket

    def _remaining_wait(self, gate: Gate, ticket: Ticket, step: Enter, started: float, *, blocking: bool) -> float:
        """Seconds to wait for a slot before checking again. Pauses of the gate do not count as waiting.

        Args:
            gate: the gate of the call.
            ticket: the call's ticket for a slot.
            step: the step of the flow. Its `until` is the deadline; its `patience` is the longest time without a free
                slot, in seconds.
            started: when the wait began, in monotonic seconds.
            blocking: whether the wait blocks the thread.

        Raises:
            GateTimeout: no time is left.
        """
        gate.look()
        if ticket.state != "waiting":
            return 0.0
        now = time.monotonic()
        limit = max(gate.moved, started, gate.paused_until) + (step.patience or TIMEOUTS["read"])
        left = (limit if step.until is None else min(limit, step.until)) - now
        if left <= 0 or gate.stands_still(started):
            holders = gate.holders()
            ticket.leave()
            late = GateTimeout(
                f"No slot came free in {now - started:.1f} s: {holders}. Close streams that are no longer "
                "read, do not make blocking calls in the thread of a running event loop, or raise max_concurrency if "
                "the account allows more.",
                retryable=True,
            )
            late.kind = "busy" if left > 0 else None
            raise late
        if not self._warned:
            if (early := started + WARN_AFTER - now) <= 0:
                self._warn(gate, now - started, blocking=blocking)
            else:
                left = min(left, early)
        if gate.refusal is not None:
            left = min(left, WARN_AFTER)
        looks_at = gate.looks_at(ticket)
        return left if looks_at is None else min(left, max(looks_at - now, 0.001))

    def _warn(self, gate: Gate, seconds: float, *, blocking: bool) -> None:
        """Log a warning if this call waits for a slot that a stream of the same thread or task holds."""
        self._warned = True
        by = caller()
        if (holder := gate.own(by, blocking=blocking)) is not None:
            log.warning(
                "%s in %s has waited %.0f s for a slot of %s, but the same task or thread holds one: %s. Read that "
                "stream to its end or close it before the next call, or raise max_concurrency if the account allows "
                "more.",
                self._what.capitalize(), by.name, seconds, gate.name, holder,
            )  # fmt: skip

    def _leave_gate(self, *, busy: Busy | None = None, good: bool = False) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is None or self._gate is None:
            return
        before = self._gate.width
        ticket.leave(busy=busy, good=good)
        self._refused = ticket if busy is not None and busy.pauses else None
        if self._gate.width != before:
            log.debug("The gate of %s has %d slots now; it had %d", self._gate.name, self._gate.width, before)
        if busy is not None and (pause := self._gate.paused_until - self._gate.clock()) > 0:
            log.debug("The gate of %s pauses for %.2f s", self._gate.name, pause)

    def _log_pause(self, step: Pause) -> None:
        log.debug("Waiting %.2f s before the next attempt", step.seconds)


@functools.lru_cache(maxsize=64)
def _url(library: ModuleType, url: str) -> Any:
    """A URL object of the library. It is cached, because parsing a URL takes as long as reading a small answer."""
    return library.URL(url)


def content_of(body: Body | None) -> bytes | Body | None:
    """A body for the blocking HTTP client: as a whole, or in pieces if it is large."""
    if body is None:
        return None
    return body.cut(PIECE) if body.large else bytes(body)


def async_content_of(body: Body | None) -> bytes | AsyncBody | None:
    """A body for the asynchronous HTTP client."""
    content = content_of(body)
    return AsyncBody(content) if isinstance(content, Body) else content


class AsyncBody:
    """A body for `async for`. It can be iterated more than once, because mocks and recorders do so."""

    def __init__(self, body: Body) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._body:
            yield piece


def caller() -> Caller:
    """The present task and thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:  # there is no event loop
        task = None
    if task is None:
        return Caller(f"thread {threading.current_thread().name}", threading.get_ident(), None)
    return Caller(task.get_name(), threading.get_ident(), weakref.ref(task))
