"""Stops a worker thread whose caller was cancelled or is late: checked between two pictures and two encodings."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

STOPS: ContextVar[Callable[[], bool] | None] = ContextVar("glmv_stops", default=None)
"""Returns whether the caller of the work in this context no longer waits for it. None for a blocking call: it waits."""


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
