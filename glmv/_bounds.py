"""How long a wait may take: the timeouts of a phase, and the deadline of the whole call inside each of them."""

from __future__ import annotations

import math
import time
from contextvars import ContextVar
from typing import Any

from glmv._errors import InvalidRequestError

# The platform's own SDKs connect for 8 s and read for 300 s (zhipuai `_constants.py`): thinking models are slow.
TIMEOUTS = {"connect": 8.0, "read": 300.0, "write": 60.0}
# Until when the call of this thread or task may wait, in monotonic seconds: `math.inf` without a deadline, None where
# no call of ours is under way.
BOUND: ContextVar[float | None] = ContextVar("bound", default=None)


def timeouts(timeout: Any) -> dict[str, float | None]:
    """Seconds, an `httpx.Timeout`, or None -> what the library wants for each phase."""
    match timeout:
        case None:
            return {**TIMEOUTS, "pool": None}
        case int() | float():
            return {"connect": float(timeout), "read": float(timeout), "write": float(timeout), "pool": None}
        case _ if hasattr(timeout, "connect") and hasattr(timeout, "read"):
            return {"connect": timeout.connect, "read": timeout.read, "write": timeout.write, "pool": None}
        case _:
            raise InvalidRequestError(f"timeout is seconds or an httpx.Timeout; got {type(timeout).__name__}.")


def left(timeout: float | None) -> float | None:
    """A timeout in seconds, cut where the call of this thread or task has to end."""
    until = BOUND.get()
    if until is None or until == math.inf:
        return timeout
    left = max(until - time.monotonic(), 0.0005)
    return left if timeout is None else min(left, timeout)
