"""HTTP clients with their connection pools: one blocking client for each process, one asynchronous for each event loop.

If a task is cancelled at certain points of httpcore, its connection stays in the pool and is never used again. The
driver closes the socket of a cancelled call, but the entry in the pool remains. So an asynchronous pool is replaced
after `MOST_CANCELLED` cancelled calls.
"""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Mapping
from typing import Any, TypeGuard

import httpx

from glmv.errors import InvalidRequestError
from glmv.transport.http_client import (
    HEADERS,
    NetworkSettings,
    async_http_client,
    http_client,
    library_of,
    network_settings,
)
from glmv.transport.network import NetworkCall
from glmv.transport.proxies import Proxy

# A pool is replaced after this many cancelled calls. An unused entry has about 2 KB, and each later call examines all
# entries.
MOST_CANCELLED = 100


class Pool:
    """A blocking HTTP client, or an HTTP client of any kind that the user passed in.

    Attributes:
        http: the client.
        library: the module of the client, `httpx` or `httpx2`.
        keeps_deadlines: whether the client's reads and writes end at the deadline of the call.
        headers: headers of every request; empty if the client adds them itself.
        settings: the network settings with which the client was made; None for a client of the user.
        proxy: the forward proxy of the environment; None also for a client of the user, whose proxy is unknown.
        in_doubt: whether the last request failed, or a proxy may have refused it. If so, the next call reads the
            environment again.
    """

    def __init__(self, http: Any, *, settings: NetworkSettings | None = None, keeps_deadlines: bool = False) -> None:
        self.http = http
        self.settings = settings
        self.proxy: Proxy | None = None if settings is None else settings.proxy
        self.in_doubt = False
        self.library = library_of(http)
        self.keeps_deadlines = keeps_deadlines
        self.headers: Mapping[str, str] = HEADERS if settings is None else {}

    def is_outdated(self, base_url: str) -> bool:
        """Whether the last request failed, and the environment has another proxy or other certificates than before.

        Raises:
            InvalidRequestError: the environment names a proxy that cannot be used.
        """
        return self.in_doubt and self.settings != network_settings(base_url)

    def enter(self) -> None:
        """Does nothing. `AsyncPool` counts the calls that begin."""

    async def leave(self, call: NetworkCall, *, cancelled: bool) -> None:
        """Does nothing. `AsyncPool` counts the calls that end."""


class AsyncPool(Pool):
    """An asynchronous HTTP client for one event loop.

    Attributes:
        loop: the event loop.
        calls: number of running calls.
        cancelled: number of calls that were cancelled while they waited for the network.
    """

    def __init__(self, base_url: str) -> None:
        settings = network_settings(base_url)
        http, transport = async_http_client(settings)
        super().__init__(http, settings=settings, keeps_deadlines=transport.keeps_deadlines)
        self.loop = asyncio.get_running_loop()
        self.cancelled = 0
        self.calls = 0
        self._retired = False
        self._closing = _closed_with_its_loop(http)

    def enter(self) -> None:
        """Count a call that begins."""
        self.calls += 1

    async def leave(self, call: NetworkCall, *, cancelled: bool) -> None:
        """Count a call that has ended. The socket of a cancelled call is closed."""
        self.calls -= 1
        try:
            if cancelled:
                self.cancelled += 1
                await call.abort()
        finally:
            if self._retired and not self.calls:
                await self.aclose()

    async def open(self) -> None:
        """Make sure that the client is closed when its event loop ends."""
        await anext(self._closing)

    async def retire(self) -> None:
        """Close the connections when the running calls have ended. New calls use another pool."""
        self._retired = True
        if not self.calls:
            await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._closing.aclose()


async def _closed_with_its_loop(http: httpx.AsyncClient) -> AsyncGenerator[None]:
    """A generator whose end closes the client: `asyncio.run` closes all open asynchronous generators at its end."""
    try:
        yield
    finally:
        # A loop that is never closed, such as one of nest_asyncio, ends with the interpreter: then nothing can be
        # awaited, and the sockets are closed anyway.
        if _runs():
            await http.aclose()


def _runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def needs_loop() -> None:
    """Check that an event loop of asyncio is running.

    Raises:
        InvalidRequestError: no event loop of asyncio is running.
    """
    if not _runs():
        raise InvalidRequestError(
            "AsyncClient needs a running event loop of asyncio, and there is none: with trio, call `glmv.Client` in a "
            "thread (`trio.to_thread.run_sync`)."
        )


class Pools:
    """The pool of a blocking client. A forked child process gets a pool of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._current: tuple[int, Pool] | None = None
        self._replaced: list[tuple[int, Pool]] = []
        self._closed = False

    def get(self, base_url: str) -> Pool:
        """The pool of this process.

        Raises:
            InvalidRequestError: the client was closed, or the proxy or the list of trusted certificates cannot be used.
        """
        if self._closed:
            raise _closed()
        current = self._current
        if not _usable(current, base_url):
            with self._lock:
                current = self._current
                if not _usable(current, base_url):
                    if current is not None and current[0] == os.getpid():
                        self._replaced.append(current)  # other threads may have running calls
                    settings = network_settings(base_url)
                    http, transport = http_client(settings)
                    # Frameworks do not close models.
                    weakref.finalize(self, _close_here, os.getpid(), http).atexit = False
                    current = os.getpid(), Pool(http, settings=settings, keeps_deadlines=transport.keeps_deadlines)
                    self._current = current
        return current[1]

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        current, self._current = self._current, None
        replaced, self._replaced = self._replaced, []
        for process, pool in (*replaced, *([current] if current is not None else [])):
            _close_here(process, pool.http)


class AsyncPools:
    """The pools of an asynchronous client, one for each running event loop (ADR-0006)."""

    def __init__(self) -> None:
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncPool] = weakref.WeakKeyDictionary()
        self._retired: list[AsyncPool] = []
        self._closed = False

    async def get(self, base_url: str) -> AsyncPool:
        """The pool of the running loop.

        Raises:
            InvalidRequestError: the client was closed, or the proxy or the list of trusted certificates cannot be used.
        """
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        pool = self._by_loop.get(loop)
        if pool is not None and pool.cancelled < MOST_CANCELLED and not pool.is_outdated(base_url):
            return pool
        # A pool refers to its loop, so the weak dictionary alone would keep both alive.
        for ended in [ended for ended in self._by_loop if ended.is_closed()]:
            del self._by_loop[ended]
        self._by_loop[loop] = new = AsyncPool(base_url)
        await new.open()
        if pool is not None:
            self._retired = [old for old in self._retired if old.calls and not old.loop.is_closed()] + [pool]
            await pool.retire()
        return new

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        self._closed = True
        if not _runs():
            return
        loop = asyncio.get_running_loop()
        current = self._by_loop.pop(loop, None)
        retired, self._retired = self._retired, []
        for pool in (*retired, current):
            if pool is not None and pool.loop is loop:
                await pool.aclose()


def _usable(entry: tuple[int, Pool] | None, base_url: str) -> TypeGuard[tuple[int, Pool]]:
    """Whether a pool belongs to this process and has the present settings of the environment.

    A forked child must neither use nor close the sockets of its parent.
    """
    return entry is not None and entry[0] == os.getpid() and not entry[1].is_outdated(base_url)


def _close_here(process: int, http: httpx.Client) -> None:
    if process == os.getpid():
        http.close()


def _closed() -> InvalidRequestError:
    return InvalidRequestError("This client is closed. Create a new one.")
