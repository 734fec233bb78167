"""Network work that is stopped only where it waits for the network.

httpcore (below httpx) awaits its own locks between two steps, and asyncio delivers a cancellation at any await. One
that hits there loses the connection: it stays "active" in the pool for ever (github.com/encode/httpcore, issues on
cancellation and leaked connections). So the work of a call runs in a task of its own. When the caller is cancelled
that task is stopped inside a read, write or connect, where the library is ready for it, and cleans up to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, TypeVar

from glmv._bounds import BOUND, left

_T = TypeVar("_T")


class _Errand:
    """One piece of work: whether it waits for the network just now, and whether it shall stop."""

    __slots__ = ("stopped", "task", "waits")

    def __init__(self) -> None:
        self.task: asyncio.Task[Any] | None = None
        self.waits = False
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True
        if self.waits and self.task is not None:
            self.task.cancel()


_ERRAND: ContextVar[_Errand | None] = ContextVar("errand", default=None)


async def errand(work: Coroutine[Any, Any, _T], until: float | None) -> _T:
    """Do the work; when the caller is cancelled, stop it in order first.

    Args:
        work: awaits a pool whose backend is a `WatchedBackend`.
        until: when the network's patience ends, in monotonic seconds, or None.
    """
    own = _Errand()

    async def run() -> _T:
        _ERRAND.set(own)
        BOUND.set(until)
        return await work

    task = asyncio.create_task(run())
    own.task = task
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        own.stop()
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()  # seen: nobody is interested any more
        raise
    return task.result()


async def _waiting(work: Coroutine[Any, Any, _T]) -> _T:
    """Wait for the network: the one place where an errand is stopped."""
    own = _ERRAND.get()
    if own is None:
        return await work
    if own.stopped:
        work.close()
        raise asyncio.CancelledError
    own.waits = True
    try:
        return await work
    finally:
        own.waits = False


class _WatchedStream:
    """A network stream whose every wait ends at the call's deadline, or when its errand is stopped."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return await _waiting(self._stream.read(max_bytes, left(timeout)))

    async def write(self, buffer: bytes, timeout: float | None = None) -> Any:
        return await _waiting(self._stream.write(buffer, left(timeout)))

    async def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = left(kwargs.get("timeout"))
        return _WatchedStream(await _waiting(self._stream.start_tls(*args, **kwargs)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class WatchedBackend:
    """Makes watched streams."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = left(kwargs.get("timeout"))
        return _WatchedStream(await _waiting(self._backend.connect_tcp(*args, **kwargs)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
