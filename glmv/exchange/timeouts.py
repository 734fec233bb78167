"""Timeouts of the phases of a request, in seconds."""

from __future__ import annotations

import math
from typing import Any

from glmv.errors import InvalidRequestError

# The platform's own SDKs connect for 8 s and read for 300 s (zhipuai `_constants.py`): thinking models are slow.
TIMEOUTS = {"connect": 8.0, "read": 300.0, "write": 60.0}


def timeouts(timeout: Any) -> dict[str, float | None]:
    """Seconds, an `httpx.Timeout`, or None -> what the library wants for each phase.

    Raises:
        InvalidRequestError: it is neither, or not a number of seconds above 0.
    """
    match timeout:
        case None:
            return {**TIMEOUTS, "pool": None}
        case bool():
            raise InvalidRequestError("timeout is seconds or an httpx.Timeout; got bool.")
        case int() | float() if not 0 < timeout < math.inf:
            raise InvalidRequestError(f"timeout is a number of seconds above 0; got {timeout!r}. None is the default.")
        case int() | float():
            return {"connect": float(timeout), "read": float(timeout), "write": float(timeout), "pool": None}
        case _ if hasattr(timeout, "connect") and hasattr(timeout, "read"):
            return {"connect": timeout.connect, "read": timeout.read, "write": timeout.write, "pool": None}
        case _:
            raise InvalidRequestError(f"timeout is seconds or an httpx.Timeout; got {type(timeout).__name__}.")
