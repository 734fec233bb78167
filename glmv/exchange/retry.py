"""How often and how long to try: attempts, pauses, the retry budget and the deadline. Pure: clocks are given.

A call that is refused as one too many at once waits in its gate, which pauses for all of its calls; see `gate.py`.

The figures are those of well-tried clients: full jitter and the token bucket of botocore's standard mode (capacity
500, 14 a retry, 5 for throttling, 1 back for a success), and openai-python's reading of Retry-After (seconds or a
date, up to 120 s, nonsense ignored).
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
from glmv.types import Accumulator
from glmv.wire.codes import Retry

if TYPE_CHECKING:
    from glmv.exchange.shaping import Shaper

# A server that asks for a longer pause is not waited for: the caller decides.
MAX_RETRY_AFTER = 120.0
# Base and cap of the pause in seconds; the pause is random between 0 and min(cap, base * 2^n).
# 2 s for "busy": a thousand callers that are refused together come back over 2 s, no 50 ms with more than a twentieth.
PAUSES = {Retry.BUSY: (2.0, 30.0), Retry.TRANSIENT: (0.5, 8.0), Retry.TOKEN: (0.0, 0.0)}
# Seconds since its first refusal for which the refusals of a call that is one too many are free while others are
# answered. After them they count against `max_retries`.
BUSY_PATIENCE = 300.0
# A clock further off than this is worth a word: signed tokens live 210 s by default.
MAX_SKEW = 60.0

# Kinds of failure on the way -> when to try again. "reset" is a connection that broke: the first one before any answer
# is tried again at once and for free, since a kept connection may have been closed by the server just then.
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
    "network_error": Retry.TRANSIENT,
    "closed": Retry.NEVER,
}
_AFTER_BODY = ("read_timeout", "write_timeout")
# The share of a deadline from which on what preparing the content took of it is told.
_TOLD_SHARE = 0.1
# What a call was doing when a wait of this kind ended.
_WAITS = {
    "connect_timeout": ", while it connected",
    "write_timeout": ", while it sent the request",
    "read_timeout": ", while it waited for an answer",
}


class RetryBudget:
    """A token bucket over all calls of a client: while a server is out of order, little is tried again.

    Refusals as too many at once cost nothing: the gate's pauses bound them.

    Args:
        retries: how many the full bucket pays for; None is without a bound.
    """

    COST = {Retry.BUSY: 5.0, Retry.TRANSIENT: 14.0, Retry.TOKEN: 0.0}  # noqa: RUF012 - a constant table
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
        """Pay for one retry; False when the bucket does not hold enough."""
        cost = self.COST[kind]
        if self._tokens < cost:
            return False
        self._tokens -= cost
        return True

    def earn(self, *, after_retry: bool) -> None:
        """A success puts tokens back; one that needed a retry returns what the cheapest retry cost."""
        self._tokens = min(self.capacity, self._tokens + (self.COST[Retry.BUSY] if after_retry else self.EARN))

    def is_empty(self) -> str:
        """The sentence for the error of a call that is not tried again for this."""
        return (
            f"It was not tried again: the retry budget of this client is used up (retry_budget={self.retries}), as too "
            "many of its calls failed."
        )


@dataclass(slots=True)
class Policy:
    """The patience of one call.

    Attributes:
        max_retries: requests at most, less one, those apart that were refused while others of the gate were answered.
        deadline: seconds for all of the call, or None.
        idle_timeout: seconds between two events of a stream, or None.
        timeouts: seconds for each phase of a request, see `glmv.sending.timeouts`.
        gate: whose slots the attempts take, or None for endpoints without one.
        host: where the requests go, for messages.
        repeatable: whether a request that may have arrived may be sent once more.
        budget: shared by the calls of a client.
        renew: forgets a signed token, so that the next request carries a new one; False when none is signed.
        spent: seconds of the deadline that reading, checking and fitting the content took.
        clock, wall, chance: monotonic seconds, seconds since the epoch, a random number from 0 to 1.
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
        """The error for a call that took longer than its deadline; arguments as they are in its message."""
        assert self.deadline is not None
        spent = f" {prepared_in(self.spent, self.deadline)}" if self.spent > self.deadline * _TOLD_SHARE else ""
        last = f" Last: {cause}" if cause else ""
        return DeadlineExceeded(
            f"The call to {self.host} took longer than its deadline of {self.deadline:g} s{doing}.{spent}{last}"
        )

    def skew(self, date: str) -> float:
        """Seconds that this machine's clock is ahead of a `Date` header; 0 when it is close or unknown."""
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
    """The policy of one call: the call's own figures before those of the settings.

    Args:
        settings: of the client.
        call: of a request, see `ChatRequest.call`.
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
    """The sentence that says what preparing pictures took of a deadline."""
    return f"The pictures took {seconds:.1f} s of a deadline of {deadline:g} s to prepare."


class Tries:
    """The attempts of one call: what was tried, and whether to try again."""

    __slots__ = (
        "_answered",
        "_first_refused",
        "_free",
        "_refused",
        "_reset",
        "_started",
        "accumulator",
        "attempt",
        "deadline",
        "handed",
        "opened",
        "policy",
        "renewals",
        "request_id",
        "shaper",
        "timed_out",
    )

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._started = policy.clock()
        self.deadline = None if policy.deadline is None else self._started + policy.deadline - policy.spent
        self.attempt = 0
        self.handed = False  # a piece of the answer is with the caller: no retry from here on
        self.opened = False  # this attempt got an answer's headers
        self.timed_out = False
        self.renewals = 0
        self.request_id: str | None = None
        self.accumulator = Accumulator()  # what this attempt has received
        self.shaper: Shaper | None = None  # of a chat call's attempt
        self._reset = False
        self._free = 0  # attempts that do not count
        self._answered = 0 if policy.gate is None else policy.gate.answered
        self._refused: GLMVError | None = None  # the last refusal as too many at once
        self._first_refused = 0.0

    def begin(self) -> None:
        """Count an attempt."""
        self.attempt += 1
        self.opened = False

    def until(self, moment: float | None) -> float | None:
        """The earlier of a moment and the deadline."""
        if moment is None or self.deadline is None:
            return self.deadline if moment is None else moment
        return min(moment, self.deadline)

    def past_deadline(self) -> bool:
        """Whether the deadline has come (within what a timer is late)."""
        return self.deadline is not None and self.policy.clock() >= self.deadline - 0.002

    def check(self) -> None:
        """Stop a body that drips beyond the deadline.

        Raises:
            DeadlineExceeded: when it has come.
        """
        if self.deadline is not None and self.past_deadline():
            raise self.too_late()

    def too_late(self, cause: Exception | None = None, *, during: str = "") -> DeadlineExceeded:
        """The error for a call that took longer than its deadline.

        Args:
            cause: what failed last, in an earlier attempt.
            during: the kind of failure that the deadline itself caused, a key of `FAILURES`, or "".
        """
        return self.policy.too_late(_WAITS.get(during, ""), cause)

    def failed(self, kind: str) -> Retry:
        """A failure on the way -> when to try again. A request that may have arrived is sent once more at most."""
        if not self.policy.repeatable and kind in (*_AFTER_BODY, "reset"):
            return Retry.NEVER
        if kind in _AFTER_BODY:
            again = Retry.NEVER if self.timed_out else Retry.TRANSIENT
            self.timed_out = True
            return again
        return FAILURES[kind]

    def busy(self, error: GLMVError, kind: Retry) -> Busy | None:
        """What the gate is told when a call of it failed; None where that says nothing of how many are allowed."""
        if kind is not Retry.BUSY:
            return None
        asked = error.retry_after
        # Without retries the caller owns the pauses, too: its next call is sent at once.
        pauses = isinstance(error, RateLimitError) and self.policy.max_retries > 0
        held = asked if pauses and asked is not None and asked <= MAX_RETRY_AFTER else None
        return Busy(pauses, held, error.status_code, error.code)

    def waited_in_vain(self, error: GateTimeout) -> GLMVError:
        """The error of a call that got no slot: its last refusal, if it was refused."""
        if self._refused is None:
            busy = None if self.policy.gate is None else self.policy.gate.refusal
            if error.kind != "busy" or busy is None:
                return error
            return RateLimitError(error.message, status_code=busy.status, code=busy.code)
        if self.past_deadline():
            return self._no_time_after(self._refused)
        return self._refused.add_cure(error.message)

    def _queues(self, error: GLMVError, kind: Retry) -> bool:
        """Whether a call was refused as one too many, and waits for the gate and not for a time of its own."""
        return kind is Retry.BUSY and isinstance(error, RateLimitError) and self.policy.gate is not None

    def _count(self, gate: Gate, error: GLMVError) -> None:
        """A refusal is free while the queue moves: others were answered since the last one, or are under way."""
        now = self.policy.clock()
        if self._refused is None:
            self._first_refused = now
        self._refused = error
        moved = gate.answered > self._answered or gate.in_use > 0
        self._answered = gate.answered
        if moved and now < self._first_refused + BUSY_PATIENCE and self.policy.max_retries > 0:
            self._free += 1

    def again(self, error: GLMVError, kind: Retry) -> float | None:
        """Seconds to wait before the next attempt, or None when there is none; 0 too where the gate pauses.

        Raises:
            DeadlineExceeded: when the pause would end after the deadline.
        """
        gate = self.policy.gate
        queues = self._queues(error, kind)
        if queues and gate is not None:
            self._count(gate, error)
        if kind is Retry.NEVER or self.attempt - self._free > self.policy.max_retries:
            return None
        asked = error.retry_after
        if asked is not None and asked > MAX_RETRY_AFTER:
            return None
        if queues and gate is not None:
            if self.deadline is not None and gate.paused_until >= self.deadline and not gate.in_use:
                raise self._no_time_after(error)
            return 0.0
        if kind is Retry.TOKEN:
            self.renewals += 1
            pause = 0.0
        elif not (self._reset or self.opened) and getattr(error, "kind", None) == "reset":
            self._reset = True
            pause = 0.0
        elif not isinstance(error, RateLimitError) and not self.policy.budget.take(kind):
            error.add_cure(self.policy.budget.is_empty())
            return None
        elif asked:
            # "Retry-After indicates how long the user agent ought to wait" (RFC 9110, 10.2.3): never sooner;
            # up to a tenth later, so that not all come back at once.
            pause = asked + self.policy.chance() * min(0.1 * asked, 3.0)
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
    """`retry-after-ms` or `Retry-After` -> seconds; None when absent, negative or nonsense.

    Args:
        headers: with names in lower case.
        now: seconds since the epoch, for the form with a date.
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
