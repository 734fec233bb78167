"""Network work that a cancellation stops only where it waits for the network.

httpcore (below httpx) passes locks between two steps, and asyncio delivers a cancellation there as anywhere else. One
that comes there loses the connection: it stays "active" in the pool for ever. So a cancellation that comes while no
network is waited for is held back until the work waits for it, or is done.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from typing import Any, TypeVar

from glmv._bounds import left

_T = TypeVar("_T")


class _Work:
    """Whether a piece of work waits for the network just now."""

    __slots__ = ("on_network",)

    def __init__(self) -> None:
        self.on_network = False


_WORK: ContextVar[_Work | None] = ContextVar("work", default=None)


@types.coroutine
def steady(work: Coroutine[Any, Any, _T], *, watched: bool) -> Generator[Any, Any, _T]:
    """Await the work, steadily: see above.

    Args:
        work: what a pool does.
        watched: whether the pool's backend is an `AsyncBoundedBackend`, so that waits for the network are known
            from others. Else every wait counts as one, and only the steps between waits are protected.
    """
    own = _Work()
    _WORK.set(own)
    held: asyncio.CancelledError | None = None
    given: Any = None
    step = work.send
    while True:
        try:
            waited = step(given)
        except StopIteration as end:
            if held is not None:
                raise held from None
            return end.value  # type: ignore[no-any-return]  # what the coroutine returned
        step, given = work.send, None
        if waited is not None and watched and not own.on_network:
            held = (yield from _outlasted(waited)) or held
            continue
        if waited is not None and held is not None:
            waited.cancel()  # as `Task.cancel` does with the future that a task waits for
            held = None
        try:
            given = yield waited
        except asyncio.CancelledError as error:
            # A timeout of anyio's, which httpcore sets around each wait, is meant for the place where it comes.
            if waited is None and "cancel scope" not in str(error):
                held = error
            else:
                step, given = work.throw, error
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the work's
            step, given = work.throw, error


def _outlasted(waited: asyncio.Future[Any]) -> Generator[Any, Any, asyncio.CancelledError | None]:
    """Wait for a lock, also when cancelled meanwhile: that is returned."""
    waited._asyncio_future_blocking = False  # noqa: SLF001 - what a task does with a future that it is given
    held = None
    while not waited.done():
        turn = waited.get_loop().create_future()

        def wake(_: object, turn: asyncio.Future[None] = turn) -> None:
            if not turn.done():
                turn.set_result(None)

        waited.add_done_callback(wake)
        try:
            yield from turn
        except asyncio.CancelledError as error:
            held = error
        finally:
            waited.remove_done_callback(wake)
    return held


async def _on_network(wait: Coroutine[Any, Any, _T]) -> _T:
    own = _WORK.get()
    if own is None:
        return await wait
    own.on_network = True
    try:
        return await wait
    finally:
        own.on_network = False


class _BoundedStream:
    """A network stream whose every wait ends at the call's deadline."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return await _on_network(self._stream.read(max_bytes, left(timeout)))

    async def write(self, buffer: bytes, timeout: float | None = None) -> Any:
        return await _on_network(self._stream.write(buffer, left(timeout)))

    async def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = left(kwargs.get("timeout"))
        return _BoundedStream(await _on_network(self._stream.start_tls(*args, **kwargs)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class AsyncBoundedBackend:
    """Makes bounded streams that are awaited."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        kwargs["timeout"] = left(kwargs.get("timeout"))
        return _BoundedStream(await _on_network(self._backend.connect_tcp(*args, **kwargs)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)
