"""Stops a worker thread, between two pictures or encodings, if its caller was cancelled or its deadline has passed."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

STOPS: ContextVar[Callable[[], bool] | None] = ContextVar("glmv_stops", default=None)
"""Returns whether the caller no longer waits for the work in this context. None for a blocking call, which waits."""


class Stopped(BaseException):
    """The caller no longer waits. Not an `Exception`, so that handlers for damaged pictures do not catch it."""


def go_on() -> None:
    """Check whether the caller still waits.

    Raises:
        Stopped: the caller no longer waits.
    """
    stops = STOPS.get()
    if stops is not None and stops():
        raise Stopped
