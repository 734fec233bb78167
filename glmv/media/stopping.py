"""Whether somebody still waits for what a worker thread does: asked between two pictures, and between two tries."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar

STOPS: ContextVar[Callable[[], bool] | None] = ContextVar("glmv_stops", default=None)
"""Of the work of this context: returns whether its caller has gone. None where nobody can go, as in a blocking call."""


class Stopped(BaseException):
    """The caller has gone. Not an `Exception`: no handler of damaged pictures may take it for one."""


def go_on() -> None:
    """Go on, unless the caller has gone.

    Raises:
        Stopped: it has.
    """
    stops = STOPS.get()
    if stops is not None and stops():
        raise Stopped
