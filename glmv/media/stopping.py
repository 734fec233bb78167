"""Lets a worker thread stop when its caller has gone: checked between two pictures, and between two encodings."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

STOPS: ContextVar[Callable[[], bool] | None] = ContextVar("glmv_stops", default=None)
"""Returns whether the caller of the work in this context has gone. None for a blocking call, which cannot go."""


class Stopped(BaseException):
    """The caller has gone. Not an `Exception`, so that handlers for damaged pictures do not catch it."""


def go_on() -> None:
    """Check whether the caller is still there.

    Raises:
        Stopped: the caller has gone.
    """
    stops = STOPS.get()
    if stops is not None and stops():
        raise Stopped
