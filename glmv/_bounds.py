"""How long a wait may take: the timeouts of a phase, and the deadline of the whole call inside each of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from glmv._errors import InvalidRequestError

# The platform's own SDKs connect for 8 s and read for 300 s (zhipuai `_constants.py`): thinking models are slow.
TIMEOUTS = {"connect": 8.0, "read": 300.0, "write": 60.0}
# Until when the blocking call of this thread may wait, in monotonic seconds.
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


class _BoundedStream:
    """A network stream whose every wait ends at the call's deadline.

    The library's own timeouts hold for one read each, so a server that drips a byte a second would never end.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return self._stream.read(max_bytes, left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> Any:
        return self._stream.write(buffer, left(timeout))

    def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = left(kwargs.get("timeout"))
        return _BoundedStream(self._stream.start_tls(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class BoundedBackend:
    """Makes bounded streams."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = left(kwargs.get("timeout"))
        return _BoundedStream(self._backend.connect_tcp(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def left(timeout: float | None) -> float | None:
    """A timeout in seconds, cut where the call of this thread or task has to end."""
    until = BOUND.get()
    if until is None:
        return timeout
    left = max(until - time.monotonic(), 0.0005)
    return left if timeout is None else min(left, timeout)


def bounded(http: Any, backend: Callable[[Any], Any]) -> Any:
    """Let the deadline hold inside a read: the pool has no public place for that, so its own field is used.

    Args:
        http: a client of ours.
        backend: wraps the one that makes the pool's network streams.
    """
    for transport in (http._transport, *http._mounts.values()):  # noqa: SLF001 - see above; a test watches it
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = backend(pool._network_backend)  # noqa: SLF001
    return http
