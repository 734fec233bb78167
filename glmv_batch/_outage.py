"""A network that is away: one call at a time tries again, with growing pauses, and all others wait for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeGuard

import glmv
from glmv_batch._progress import Progress

# Seconds between two tries: the first, how much longer the next is, and the longest.
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 2.0, 2.0, 60.0
# Seconds after which a run gives up: without an answer to any call yet, as with a server that is not started; and
# after one, when the network is known to have been there.
PATIENCE_AT_FIRST, PATIENCE = 120.0, 12 * 3600.0

# Kinds of `ConnectionFailed` in which nobody was reached.
_AWAY = {"connect", "connect_timeout", "dns", "proxy"}
# Those that are a wrong setting before anything was answered; later they are a network of another kind, as that of a
# hotel or of an office.
_AWAY_LATER = {"no_such_host", "tls", "proxy_refused"}
# The same for every item, whenever it is said. A proxy may lock an account after some wrong passwords.
_WRONG_SETTINGS = {"settings", "proxy_auth"}
# Errors that say nothing of whether the server was reached.
_UNHEARD = (glmv.DeadlineExceeded, glmv.GateTimeout)


def kind_of(error: Exception) -> str | None:
    """How a connection failed, a deadline that passed over it included; None for any other error."""
    if isinstance(error, glmv.DeadlineExceeded) and error.__cause__ is not None:
        return kind_of(error.__cause__) if isinstance(error.__cause__, Exception) else None
    return error.kind if isinstance(error, glmv.ConnectionFailed | glmv.InvalidRequestError) else None


def is_wrong_setting(error: Exception) -> TypeGuard[glmv.GLMVError]:
    """Whether a variable of this machine or a proxy's password is at fault: the same for every item."""
    return kind_of(error) in _WRONG_SETTINGS


def nobody_reached(error: Exception) -> bool:
    """Whether a call surely did not arrive, and may when the network is back."""
    return kind_of(error) in _AWAY


class Outage:
    """What the calls of one run know of the network. All of it belongs to one event loop.

    Args:
        progress: told what is waited for.
        moved: set for a moment when a waiting call has to look again.
    """

    def __init__(self, progress: Progress, moved: asyncio.Event) -> None:
        self._progress = progress
        self._moved = moved
        self._since: float | None = None
        self._next = 0.0
        self._pause = FIRST_PAUSE
        self._trying = False
        self._answered = False
        self._message = ""

    async def turn(self, stopped: Callable[[], bool]) -> bool:
        """Wait until a call may be made.

        Returns:
            Whether the network was away and this call tries it: it must end in `failed` or `heard`.
        """
        while self._since is not None and not stopped():
            left = self._next - clock()
            if self._trying:
                await self._moved.wait()
            elif left <= 0:
                self._trying = True
                return True
            else:
                await pause(self._moved, left)
        return False

    def heard(self) -> None:
        """The server answered, whatever it said."""
        self._answered = True
        if self._since is not None:
            self._since, self._trying, self._pause = None, False, FIRST_PAUSE
            self._progress.waiting = None

    def failed(self, error: Exception, *, trying: bool) -> bool:
        """A call failed. Whether it has to be made again, after the next `turn`.

        Raises:
            GLMVError: the error, where it would be the same for every item, or was waited for long enough.
        """
        kind = kind_of(error)
        if kind in _WRONG_SETTINGS or (kind in _AWAY_LATER and not self._answered):
            raise error
        if trying:
            self._trying = False
        if kind is None:
            if isinstance(error, glmv.GLMVError) and error.attempts and not isinstance(error, _UNHEARD):
                self.heard()
            return False
        away = kind in _AWAY or kind in _AWAY_LATER
        if trying or (away and self._since is None):
            self._wait(error)
        return away

    def let_go(self, *, trying: bool) -> None:
        """A call was given up; another one may try."""
        if trying:
            self._trying = False

    def _wait(self, error: Exception) -> None:
        now = clock()
        if self._since is None:
            self._since, self._pause = now, FIRST_PAUSE
        gone = now - self._since
        if gone > (PATIENCE if self._answered else PATIENCE_AT_FIRST):
            raise error
        self._next = now + self._pause
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
