"""Attempts, pauses, the retry budget and the deadline. No I/O; clocks are parameters.

A call that the server refuses because of too many concurrent calls waits in its gate; see `gate.py`.

The figures are those of established clients: full jitter and the token bucket of botocore's standard mode (500
tokens, here rounded down to the price of 35 retries; a retry costs 14 tokens, or 5 after throttling; a success returns
1 token), and openai-python's rules for Retry-After (seconds or a date, up to 120 s, invalid values are ignored).
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from glmv.errors import DeadlineExceeded, GateTimeout, GLMVError, RateLimitError
from glmv.exchange.gate import Busy, Gate
from glmv.options import Connection
from glmv.sending import RETRY_BUDGET, timeouts
from glmv.wire.codes import Retry

if TYPE_CHECKING:
    from glmv.exchange.shaping import Shaper

# If the server asks for a longer wait, in seconds, the call fails, and the caller decides.
MAX_RETRY_AFTER = 120.0
# Base and cap of the pause in seconds; the pause is random between 0 and min(cap, base * 2^n).
# 2 s for BUSY: a thousand calls that are refused together return spread over 2 s, at most a twentieth in any 50 ms.
PAUSES = {Retry.BUSY: (2.0, 30.0), Retry.TRANSIENT: (0.5, 8.0)}
# For this many seconds after its first refusal because of too many calls, further refusals of a call are free while
# other calls are answered. After that they count against `max_retries`.
BUSY_PATIENCE = 300.0
# A difference of clocks above this, in seconds, is reported: signed tokens are valid for 210 s by default.
MAX_SKEW = 60.0

# Kinds of connection failure -> when to retry. "reset" is a broken connection: the first one before any response is
# retried immediately and for free, because the server may just have closed an idle connection.
FAILURES: dict[str, Retry] = {
    "connect": Retry.TRANSIENT,
    "connect_timeout": Retry.TRANSIENT,
    "dns": Retry.TRANSIENT,
    "no_such_host": Retry.NEVER,
    "tls": Retry.NEVER,
    "proxy": Retry.TRANSIENT,
    "proxy_refused": Retry.NEVER,
    "proxy_auth": Retry.NEVER,
    "reset": Retry.TRANSIENT,
    "read_timeout": Retry.TRANSIENT,
    "write_timeout": Retry.TRANSIENT,
    "closed": Retry.NEVER,
}
_AFTER_BODY = ("read_timeout", "write_timeout")
# When preparing the content took more than this share of the deadline, the error message says so.
_TOLD_SHARE = 0.1
# The activity of a call when the deadline ended a wait of this kind.
_WAITS = {
    "connect_timeout": ", while it connected",
    "write_timeout": ", while it sent the request",
    "read_timeout": ", while it waited for an answer",
}


class RetryBudget:
    """A token bucket for all calls of a client: it limits retries while a server is down.

    Refusals because of too many concurrent calls cost nothing: the pauses of the gate limit them.

    Args:
        retries: the number of retries that a full bucket pays for; None means no limit.
    """

    COST = {Retry.BUSY: 5.0, Retry.TRANSIENT: 14.0}  # noqa: RUF012 - a constant table
    CAPACITY = RETRY_BUDGET * COST[Retry.TRANSIENT]
    EARN = 1.0

    __slots__ = ("_tokens", "retries")

    def __init__(self, retries: int | None = RETRY_BUDGET) -> None:
        self.retries = retries
        self._tokens = self.capacity

    @property
    def capacity(self) -> float:
        """Tokens of the full bucket."""
        return math.inf if self.retries is None else self.retries * self.COST[Retry.TRANSIENT]

    def take(self, kind: Retry) -> bool:
        """Pay for one retry, of kind BUSY or TRANSIENT; returns False when the bucket has too few tokens."""
        cost = self.COST[kind]
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True

    def earn(self, *, after_retry: bool) -> None:
        """Put tokens back after a successful call: the price of the cheapest retry if it was retried, else `EARN`."""
        self._tokens = min(self.capacity, self._tokens + (self.COST[Retry.BUSY] if after_retry else self.EARN))

    def empty_message(self) -> str:
        """The sentence for the error of a call that is not retried because the bucket is empty."""
        return (
            f"There was no retry: the retry budget of this client is used up (retry_budget={self.retries}), because "
            "too many of its calls failed."
        )


@dataclass(slots=True)
class Policy:
    """The retries and time limits of one call.

    Attributes:
        max_retries: the maximum number of requests after the first one. A refused request does not count if the server
            answers other calls of the gate in the meantime.
        deadline: seconds for the whole call, or None.
        idle_timeout: seconds between two events of a stream, or None.
        timeouts: seconds for each phase of a request, see `glmv.sending.timeouts`.
        gate: the gate for slots, or None for endpoints without one.
        host: host and port of the server, for messages.
        repeatable: whether a request that may have reached the server may be sent again.
        budget: the retry budget, shared by the calls of a client.
        renew: drops the signed token, so that the next request has a new one; returns False if requests have no token.
        spent: seconds of the deadline that reading, checking and fitting the content took.
        clock, wall, chance: return monotonic seconds, seconds since the epoch, a random number from 0 to 1.
    """

    max_retries: int = 3
    deadline: float | None = None
    idle_timeout: float | None = None
    budget: RetryBudget = field(default_factory=RetryBudget)
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    repeatable: bool = True
    timeouts: Mapping[str, float | None] = field(default_factory=partial(timeouts, None))
    gate: Gate | None = None
    host: str = "the server"
    renew: Callable[[], bool] = lambda: False
    spent: float = 0.0

    def too_late(self, doing: str = "", cause: Exception | None = None) -> DeadlineExceeded:
        """The error for a call that took longer than its deadline. `doing` and `cause` become part of its message."""
        assert self.deadline is not None
        spent = f" {prepared_in(self.spent, self.deadline)}" if self.spent > self.deadline * _TOLD_SHARE else ""
        last_error = f" The last error was: {cause}" if cause else ""
        return DeadlineExceeded(
            f"The call to {self.host} took longer than its deadline of {self.deadline:g} s{doing}.{spent}{last_error}"
        )

    def skew(self, date: str) -> float:
        """Seconds by which the local clock is ahead of a `Date` header; 0 if the difference is small or unknown."""
        try:
            off = self.wall() - parsedate_to_datetime(date).timestamp()
        except (TypeError, ValueError):
            return 0.0
        return off if abs(off) > MAX_SKEW else 0.0


def policy_of(
    settings: Connection,
    call: Mapping[str, Any],
    *,
    host: str,
    budget: RetryBudget,
    renew: Callable[[], bool],
    gate: Gate | None,
) -> Policy:
    """The policy of one call: options of the call override those of the settings.

    Args:
        settings: the settings of the client.
        call: options of the call, see `ChatRequest.call`.
        host, budget, renew, gate: see `Policy`.
    """
    retries = settings.max_retries if call.get("max_retries") is None else call["max_retries"]
    limits = timeouts(settings.timeout if call.get("timeout") is None else call["timeout"])
    return Policy(
        retries,
        call.get("deadline", settings.deadline),
        call.get("idle_timeout", settings.idle_timeout) or limits["read"],
        budget,
        host=host,
        renew=renew,
        timeouts=limits,
        gate=gate,
        spent=call.get("spent", 0.0),
    )


def prepared_in(seconds: float, deadline: float) -> str:
    """The sentence about the time that preparing pictures took."""
    return f"Preparing the pictures took {seconds:.1f} s; the deadline is {deadline:g} s."


class Tries:
    """The attempts of one call, and the decision whether to try again."""

    __slots__ = (
        "_answered",
        "_first_refused",
        "_free",
        "_refused",
        "_reset",
        "_started",
        "attempt",
        "deadline",
        "handed",
        "opened",
        "policy",
        "renewed",
        "request_id",
        "shaper",
        "timed_out",
    )

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._started = policy.clock()
        self.deadline = None if policy.deadline is None else self._started + policy.deadline - policy.spent
        self.attempt = 0
        # `handed`: the caller has a part of the answer, so there is no retry any more.
        # `opened`: this attempt received the headers of a response. `renewed`: a new token was signed.
        self.handed = self.opened = self.renewed = self.timed_out = self._reset = False
        self.request_id: str | None = None
        self.shaper: Shaper | None = None  # of a chat call's attempt
        self._free = 0  # attempts that do not count
        self._answered = 0 if policy.gate is None else policy.gate.answered
        self._refused: GLMVError | None = None  # the last refusal because of too many concurrent calls
        self._first_refused = math.inf

    def begin(self) -> None:
        """Count an attempt."""
        self.attempt += 1
        self.opened = False

    def until(self, moment: float | None) -> float | None:
        """The earlier of `moment` and the deadline, in monotonic seconds; None stands for no limit."""
        if moment is None or self.deadline is None:
            return self.deadline if moment is None else moment
        return min(moment, self.deadline)

    def past_deadline(self) -> bool:
        """Whether the deadline has passed or is less than 2 ms away, because timers are not exact."""
        return self.deadline is not None and self.policy.clock() >= self.deadline - 0.002

    def check(self) -> None:
        """Stop reading a slow body at the deadline.

        Raises:
            DeadlineExceeded: the deadline has passed.
        """
        if self.past_deadline():
            raise self.too_late()

    def too_late(self, cause: Exception | None = None, *, during: str = "") -> DeadlineExceeded:
        """The error for a call that took longer than its deadline.

        Args:
            cause: the error of the last attempt.
            during: the kind of failure that the deadline itself caused, a key of `FAILURES`, or "".
        """
        return self.policy.too_late(_WAITS.get(during, ""), cause)

    def failed(self, kind: str) -> Retry:
        """The kind of retry after a connection failure. A request that may have arrived is sent again at most once."""
        if not self.policy.repeatable and kind in (*_AFTER_BODY, "reset"):
            return Retry.NEVER
        if kind in _AFTER_BODY:
            again = Retry.NEVER if self.timed_out else Retry.TRANSIENT
            self.timed_out = True
            return again
        return FAILURES[kind]

    def busy(self, error: GLMVError, kind: Retry) -> Busy | None:
        """The refusal that an error means for the gate; None if the error is not about too many concurrent calls."""
        if kind is not Retry.BUSY:
            return None
        server_wait = error.retry_after
        # Without retries the caller also decides about pauses: its next call is sent immediately.
        pauses = isinstance(error, RateLimitError) and self.policy.max_retries > 0
        wait = server_wait if pauses and server_wait is not None and server_wait <= MAX_RETRY_AFTER else None
        return Busy(pauses, wait, error.status_code, error.code)

    def waited_in_vain(self, error: GateTimeout) -> GLMVError:
        """The error of a call that got no slot. If the server refused the call before, this is the last refusal."""
        if self._refused is None:
            refusal = None if self.policy.gate is None else self.policy.gate.refusal
            if error.kind != "busy" or refusal is None:
                return error
            return RateLimitError(error.message, status_code=refusal.status, code=refusal.code)
        if self.past_deadline():
            return self._no_time_after(self._refused)
        return self._refused.add_advice(error.message)

    def _gate_of(self, error: GLMVError, kind: Retry) -> Gate | None:
        """The gate in which a refused call waits, or None if the call makes its own pause."""
        return self.policy.gate if kind is Retry.BUSY and isinstance(error, RateLimitError) else None

    def _count(self, gate: Gate, error: GLMVError) -> None:
        """Record a refusal of this call.

        The refused attempt does not count if other calls are running, or if another call was answered since the last
        refusal of this call. It does count if retries are off, or if the first refusal was `BUSY_PATIENCE` seconds ago.
        """
        now = self.policy.clock()
        self._first_refused = min(self._first_refused, now)
        self._refused = error
        moved = gate.answered > self._answered or gate.in_use > 0
        self._answered = gate.answered
        if moved and now < self._first_refused + BUSY_PATIENCE and self.policy.max_retries > 0:
            self._free += 1

    def again(self, error: GLMVError, kind: Retry) -> float | None:
        """Seconds to wait before the next attempt; None if there is no next attempt; 0.0 if the call waits in its gate.

        Raises:
            DeadlineExceeded: the pause would end after the deadline.
        """
        gate = self._gate_of(error, kind)
        if gate is not None:
            self._count(gate, error)
        if kind is Retry.NEVER or self.attempt - self._free > self.policy.max_retries:
            return None
        server_wait = error.retry_after
        if server_wait is not None and server_wait > MAX_RETRY_AFTER:
            return None
        if gate is not None:
            if self.deadline is not None and gate.paused_until >= self.deadline and not gate.in_use:
                raise self._no_time_after(error)
            return 0.0
        if kind is Retry.TOKEN:
            self.renewed = True
            pause = 0.0
        elif not (self._reset or self.opened) and getattr(error, "kind", None) == "reset":
            self._reset = True
            pause = 0.0
        elif not isinstance(error, RateLimitError) and not self.policy.budget.take(kind):
            error.add_advice(self.policy.budget.empty_message())
            return None
        elif server_wait:
            # "Retry-After indicates how long the user agent ought to wait" (RFC 9110, 10.2.3): never sooner;
            # up to a tenth later, so that not all calls return at once.
            pause = server_wait + self.policy.chance() * min(0.1 * server_wait, 3.0)
        else:
            base, cap = PAUSES[kind]
            pause = self.policy.chance() * min(cap, base * 2 ** (self.attempt - 1))
        if self.deadline is not None and self.policy.clock() + pause >= self.deadline:
            raise self._no_time_after(error)
        return pause

    def _no_time_after(self, error: GLMVError) -> DeadlineExceeded:
        """The error of a call that has no time for another attempt."""
        late = self.too_late(error)
        late.__cause__ = error
        facts = {name: getattr(error, name) for name in ("status_code", "code", "request_id", "retry_after")}
        return late.fill(attempts=self.attempt, **facts).fill(request_id=self.request_id)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """The wait in seconds that `retry-after-ms` or `Retry-After` asks for; None if it is absent, negative or invalid.

    Args:
        headers: the names are in lower case.
        now: the current time in seconds since the epoch, to which a date is compared.
    """
    if (seconds := _seconds(headers.get("retry-after-ms", ""), 1000)) is not None:
        return seconds
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    if value[0].isalpha():
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - now)
        except (TypeError, ValueError, OverflowError):
            return None
    return _seconds(value, 1)


def _seconds(value: str, per: int) -> float | None:
    try:
        seconds = float(value) / per
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
