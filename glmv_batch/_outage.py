"""A network or server that is away: one call at a time tries again, with growing pauses, and all others wait for it.

Some failures say for sure that nobody was reached. Others (a connection that broke, a timeout, a gateway's page) may
also be the doing of one picture. They are an outage when several different rows break so, with no answer between. A
row that breaks so again and again, while others are answered or alone, fails by itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from urllib.parse import urlsplit

import glmv
from glmv_batch._progress import Progress

# Seconds between two tries: the first, how much longer the next is, and the longest.
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 2.0, 2.0, 60.0
# Seconds after which a run gives up: without an answer to any call yet, as with a server that is not started; and
# where the server is known to exist: it has answered, or is the platform's.
PATIENCE_AT_FIRST, PATIENCE = 120.0, 12 * 3600.0
# The same for the last rows of a run that all break: one may be at fault itself, and nothing else can show it.
PATIENCE_AT_LAST = 3600.0
# So many different rows that break, with no answer between, are an outage.
SEVERAL = 3
# So many times a row is asked that breaks without an outage.
MOST_BREAKS = 3
# Hosts that exist, so that a machine that cannot reach them is offline.
_PLATFORM = ("bigmodel.cn", "z.ai")

# Kinds of `ConnectionFailed` in which nobody was reached.
_AWAY = {"connect", "connect_timeout", "dns", "proxy"}
# Those that are a wrong setting before anything was answered; later they are a network of another kind, as that of a
# hotel or of an office.
_AWAY_LATER = {"no_such_host", "tls", "proxy_refused"}
# The same for every item, whenever it is said. A proxy may lock an account after some wrong passwords.
_WRONG_SETTINGS = {"settings", "proxy_auth"}
# Kinds of `ConnectionFailed` that may be the network's doing or one picture's.
_BROKEN = {"reset", "read_timeout", "write_timeout"}
# What gateways and content networks say of a server that they do not reach (RFC 9110, 15.6; Cloudflare's 520 to 530).
_GATEWAY = {502, 503, 504, *range(520, 528), 530}


def kind_of(error: Exception) -> str | None:
    """How a connection failed, a deadline that passed over it included; None for any other error."""
    if isinstance(error, glmv.DeadlineExceeded) and error.__cause__ is not None:
        return kind_of(error.__cause__) if isinstance(error.__cause__, Exception) else None
    return error.kind if isinstance(error, glmv.ConnectionFailed | glmv.InvalidRequestError) else None


def nobody_reached(error: Exception) -> bool:
    """Whether a call surely did not arrive, and may when the network is back."""
    return kind_of(error) in _AWAY


def may_be_away(error: Exception) -> bool:
    """Whether a call broke in a way that many calls do when the server is away, and one may that is at fault itself.

    A page of a gateway is one that has no code of the platform.
    """
    match error:
        case glmv.ServerError():
            return error.status_code in _GATEWAY and error.code is None
        case glmv.DeadlineExceeded() if error.__cause__ is None:
            return bool(error.attempts)
        case glmv.DeadlineExceeded() if isinstance(error.__cause__, Exception):
            return may_be_away(error.__cause__)
        case _:
            return kind_of(error) in _BROKEN


def is_busy(error: Exception) -> bool:
    """Whether a call failed because the platform or all slots had too much to do: it may go well in a quiet moment."""
    match error:
        case glmv.RateLimitError() | glmv.ServerError() | glmv.GateTimeout():
            return True
        case glmv.DeadlineExceeded() if isinstance(error.__cause__, Exception):
            return is_busy(error.__cause__)
        case _:
            return False


def is_platform(base_url: str) -> bool:
    """Whether a server is the platform's own."""
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    return any(host == home or host.endswith(f".{home}") for home in _PLATFORM)


class Outage:
    """What the calls of one run know of the network. All of it belongs to one event loop.

    Args:
        progress: told what is waited for.
        moved: set for a moment when a waiting call has to look again.
        known: whether the server exists for sure, so that it is waited for before its first answer, too.
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
        self._unreached = False  # the last failure says for sure that nobody was reached
        self._broken: set[Hashable] = set()  # rows that broke since the last answer
        self._breaks: dict[Hashable, int] = {}
        self._queue: deque[Hashable] = deque()

    async def turn(self, row: Hashable, stopped: Callable[[], bool]) -> bool:
        """Wait until a row may be asked about. The row that has waited longest tries first.

        Returns:
            Whether the network may be away and this call tries it: it must end in `failed`, `heard` or `let_go`.
        """
        if self._since is None:
            return False
        self._queue.append(row)
        try:
            while self._since is not None and not stopped():
                fresh = None if self._is_outage else next((one for one in self._queue if one not in self._broken), None)
                # A row that has not broken yet shows whether another one is at fault: it need not wait.
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
        """The server answered about a row, whatever it said."""
        self._answered = True
        self._unreached = False
        self._broken.clear()
        self._breaks.pop(row, None)
        if self._since is not None:
            self._since, self._trying, self._pause = None, False, FIRST_PAUSE
            self._progress.waiting = None

    def failed(self, error: Exception, row: Hashable, *, trying: bool, last: bool = False) -> bool:
        """A call failed. Whether the row has to be asked about again, after the next `turn`.

        Args:
            error: what it failed with.
            row: what was asked about.
            trying: what `turn` returned.
            last: no other rows come, and all that are left have broken, too: nothing else can show who is at fault.

        Raises:
            GLMVError: the error, where it would be the same for every item, or was waited for long enough.
        """
        kind = kind_of(error)
        if kind in _WRONG_SETTINGS or (kind in _AWAY_LATER and not self._answered):
            raise error
        if trying:
            self._trying = False
        was_outage = self._is_outage
        if kind in _AWAY or kind in _AWAY_LATER:
            self._unreached = True
        elif may_be_away(error):
            self._unreached = self._unreached and not trying
            self._broken.add(row)
            self._breaks[row] = self._breaks.get(row, 0) + 1
            at_last = last and self._gone() > PATIENCE_AT_LAST
            if self._breaks[row] >= MOST_BREAKS and (at_last or not self._is_outage):
                del self._breaks[row]
                return False
        elif isinstance(error, glmv.GLMVError) and error.attempts and kind is None:
            if isinstance(error, glmv.GateTimeout | glmv.DeadlineExceeded):
                return False
            self.heard(row)
            # Tried without retries: when all come back at once, the platform may say that it is busy.
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
        """Whether a row broke since the last answer."""
        return row in self._broken

    def let_go(self, *, trying: bool) -> None:
        """A call was given up; another one may try."""
        if trying:
            self._trying = False

    @property
    def is_over(self) -> bool:
        """Whether calls may be made without a `turn`."""
        return self._since is None

    @property
    def _is_outage(self) -> bool:
        return self._unreached or len(self._broken) >= SEVERAL

    def _gone(self) -> float:
        """Seconds since the first failure after the last answer."""
        return 0.0 if self._since is None else clock() - self._since

    def _wait(self, error: Exception) -> None:
        if self._since is None:
            self._since, self._pause = clock(), FIRST_PAUSE
        self._next = clock() + self._pause
        if self._is_outage:
            gone = self._gone()
            if gone > (PATIENCE if self._answered or self._known else PATIENCE_AT_FIRST):
                raise error
            message = error.message if isinstance(error, glmv.GLMVError) else str(error)
            self._progress.waiting = f"{message} Trying again in {self._pause:.0f} s, for {gone:.0f} s by now."
        self._pause = min(self._pause * GROWTH, LONGEST_PAUSE)


clock = time.monotonic


async def pause(moved: asyncio.Event, seconds: float) -> None:
    """Wait so many seconds, or until something has moved."""
    try:
        await asyncio.wait_for(moved.wait(), seconds)
    except TimeoutError:
        pass
