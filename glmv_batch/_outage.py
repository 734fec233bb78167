"""Outages of the network or server: one call at a time probes, with growing pauses, and all other calls wait.

Some failures prove that the server was not reached. Others (a broken connection, a timeout, a gateway's page) can also
be caused by one picture. They count as an outage if several different rows fail this way without an answer in between.
A row that fails this way repeatedly is a failed row if other rows are answered meanwhile, or if no other row is left.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from urllib.parse import urlsplit

import glmv
from glmv_batch._progress import Progress

# Seconds between two probes: the first pause, its growth factor, and the longest pause.
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 2.0, 2.0, 60.0
# Seconds of an outage after which a run ends: if no call was answered yet, as with a server that is not started; and
# if the server is known to exist, because it has answered or is the platform.
PATIENCE_AT_FIRST, PATIENCE = 120.0, 12 * 3600.0
# The same for the last rows of a run: one of them may be the cause, and no other row can show that.
PATIENCE_AT_LAST = 3600.0
# The number of different rows that fail without an answer in between, and so make an outage.
SEVERAL = 3
# The number of attempts for a row that fails this way without an outage.
MOST_BREAKS = 3
# Hosts that exist: if they cannot be reached, this machine is offline.
_PLATFORM = ("bigmodel.cn", "z.ai")

# Kinds of `ConnectionFailed` that prove that the server was not reached.
_UNREACHABLE = {"connect", "connect_timeout", "dns", "proxy"}
# Before the first answer these mean a wrong setting. Later they mean that the machine is in another network, such as a
# hotel's.
_UNREACHABLE_LATER = {"no_such_host", "tls", "proxy_refused"}
# These always mean a wrong setting, so the run ends. A proxy may lock an account after some wrong passwords.
_WRONG_SETTINGS = {"settings", "proxy_auth"}
# Kinds of `ConnectionFailed` that the network or one picture can cause.
_BROKEN = {"reset", "read_timeout", "write_timeout"}
# Statuses of gateways and content networks that cannot reach a server (RFC 9110, 15.6; Cloudflare's 520 to 530).
_GATEWAY = {502, 503, 504, *range(520, 528), 530}


def kind_of(error: Exception) -> str | None:
    """The `kind` of a ConnectionFailed or InvalidRequestError, also as the cause of a DeadlineExceeded; else None."""
    if isinstance(error, glmv.DeadlineExceeded) and error.__cause__ is not None:
        return kind_of(error.__cause__) if isinstance(error.__cause__, Exception) else None
    return error.kind if isinstance(error, glmv.ConnectionFailed | glmv.InvalidRequestError) else None


def server_not_reached(error: Exception) -> bool:
    """Whether an error proves that a call did not arrive, so that it may succeed when the network is back."""
    return kind_of(error) in _UNREACHABLE


def may_be_outage(error: Exception) -> bool:
    """Whether a call failed in a way that both an outage and a single bad item can cause.

    A server error without a code of the platform is the page of a gateway.
    """
    match error:
        case glmv.ServerError():
            return error.status_code in _GATEWAY and error.code is None
        case glmv.DeadlineExceeded() if error.__cause__ is None:
            return bool(error.attempts)
        case glmv.DeadlineExceeded() if isinstance(error.__cause__, Exception):
            return may_be_outage(error.__cause__)
        case _:
            return kind_of(error) in _BROKEN


def is_busy(error: Exception) -> bool:
    """Whether a call failed because the platform or the gate was overloaded, so that it may succeed later."""
    match error:
        case glmv.RateLimitError() | glmv.ServerError() | glmv.GateTimeout():
            return True
        case glmv.DeadlineExceeded() if isinstance(error.__cause__, Exception):
            return is_busy(error.__cause__)
        case _:
            return False


def is_platform(base_url: str) -> bool:
    """Whether a base URL is the platform's."""
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    return any(host == home or host.endswith(f".{home}") for home in _PLATFORM)


class Outage:
    """The state of the network for the calls of one run. It belongs to one event loop.

    Args:
        progress: its `waiting` is set to the reason for waiting.
        moved: set for a moment when waiting calls must check their condition again.
        known: whether the server is known to exist, so that the run waits long for it even before its first answer.
    """

    def __init__(self, progress: Progress, moved: asyncio.Event, *, known: bool = False) -> None:
        self._progress = progress
        self._moved = moved
        self._known = known
        self._since: float | None = None
        self._next = 0.0
        self._pause = FIRST_PAUSE
        self._trying = False
        self._answered = False
        self._unreached = False  # whether the last failure proves that the server was not reached
        self._broken: set[Hashable] = set()  # rows that failed since the last answer
        self._breaks: dict[Hashable, int] = {}
        self._queue: deque[Hashable] = deque()

    async def turn(self, row: Hashable, stopped: Callable[[], bool]) -> bool:
        """Wait until a row's call may start. In an outage, rows probe in the order of arrival.

        Returns:
            Whether the call is a probe. The caller must then call `failed`, `heard` or `let_go`.
        """
        if self._since is None:
            return False
        self._queue.append(row)
        try:
            while self._since is not None and not stopped():
                fresh = None if self._is_outage else next((one for one in self._queue if one not in self._broken), None)
                # A row that has not failed yet shows whether another row is the cause, so it need not wait.
                left = self._next - clock() if fresh is None else 0.0
                if self._trying or row != (self._queue[0] if fresh is None else fresh):
                    await self._moved.wait()
                elif left <= 0:
                    self._trying = True
                    return True
                else:
                    await pause(self._moved, left)
            return False
        finally:
            self._queue.remove(row)

    def heard(self, row: Hashable) -> None:
        """Report that the server answered a row's call, even if with an error."""
        self._answered = True
        self._unreached = False
        self._broken.clear()
        self._breaks.pop(row, None)
        if self._since is not None:
            self._since, self._trying, self._pause = None, False, FIRST_PAUSE
            self._progress.waiting = None

    def failed(self, error: Exception, row: Hashable, *, trying: bool, last: bool = False) -> bool:
        """Report a failed call; return whether the row must be sent again after the next `turn`.

        Args:
            error: the call's error.
            row: the row of the call.
            trying: the result of `turn`.
            last: whether all rows that are left have failed in this outage. Then no other row can show whether the
                network or the row itself is the cause.

        Raises:
            GLMVError: the error, if every item would get it or the outage has lasted too long.
        """
        kind = kind_of(error)
        if kind in _WRONG_SETTINGS or (kind in _UNREACHABLE_LATER and not self._answered):
            raise error
        if trying:
            self._trying = False
        was_outage = self._is_outage
        if kind in _UNREACHABLE or kind in _UNREACHABLE_LATER:
            self._unreached = True
        elif may_be_outage(error):
            self._unreached = self._unreached and not trying
            self._broken.add(row)
            self._breaks[row] = self._breaks.get(row, 0) + 1
            at_last = last and self._elapsed() > PATIENCE_AT_LAST
            if self._breaks[row] >= MOST_BREAKS and (at_last or not self._is_outage):
                del self._breaks[row]
                return False
        elif isinstance(error, glmv.GLMVError) and error.attempts and kind is None:
            if isinstance(error, glmv.GateTimeout | glmv.DeadlineExceeded):
                return False
            self.heard(row)
            # A probe has no retries. When many clients come back at once, the platform may answer that it is busy.
            return trying and error.retryable
        else:
            if trying and kind is not None:
                self._wait(error)
            return False
        if self._is_outage and not was_outage:
            self._pause = FIRST_PAUSE
            self._wait(error)
        elif trying or self._since is None:
            self._wait(error)
        return True

    def has_broken(self, row: Hashable) -> bool:
        """Whether a row's call has failed since the last answer in a way that the row itself may have caused."""
        return row in self._broken

    def let_go(self, *, trying: bool) -> None:
        """Report that a call has ended or was never made; if it was the probe, another call may probe."""
        if trying:
            self._trying = False

    @property
    def is_over(self) -> bool:
        """Whether calls may be made without a `turn`."""
        return self._since is None

    @property
    def _is_outage(self) -> bool:
        return self._unreached or len(self._broken) >= SEVERAL

    def _elapsed(self) -> float:
        """Seconds since the first failure after the last answer."""
        return 0.0 if self._since is None else clock() - self._since

    def _wait(self, error: Exception) -> None:
        if self._since is None:
            self._since, self._pause = clock(), FIRST_PAUSE
        self._next = clock() + self._pause
        if self._is_outage:
            elapsed = self._elapsed()
            if elapsed > (PATIENCE if self._answered or self._known else PATIENCE_AT_FIRST):
                raise error
            message = error.message if isinstance(error, glmv.GLMVError) else str(error)
            self._progress.waiting = (
                f"{message} Trying again in {self._pause:.0f} s (waiting for {elapsed:.0f} s so far)."
            )
        self._pause = min(self._pause * GROWTH, LONGEST_PAUSE)


clock = time.monotonic


async def pause(moved: asyncio.Event, seconds: float) -> None:
    """Wait for a number of seconds, or until `moved` is set."""
    try:
        await asyncio.wait_for(moved.wait(), seconds)
    except TimeoutError:
        pass
