"""HTTP clients with their connection pools: one in each process, or one in each event loop.

httpcore loses track of a connection when a task is cancelled between two of its own steps: the entry stays in the pool
and is never used again. The driver closes the socket of a cancelled call by itself. What stays are entries without a
socket, so an asynchronous pool is replaced after `MOST_CANCELLED` of them.
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

# Cancelled calls after which a pool is replaced. An entry that is left behind has about 2 KB, and each later call
# looks at all of them.
MOST_CANCELLED = 100


class Pool:
    """A blocking HTTP client, or one that was passed in.

    Attributes:
        http: the client.
        library: the module that it comes from, `httpx` or `httpx2`.
        keeps_deadlines: whether its reads and writes end at the call's deadline by themselves.
        headers: those of every request; none where the client adds them by itself.
        settings: what the environment said when it was made; None for a client that was passed in.
        proxy: the forward proxy that the environment named; of a client that was passed in none is known.
        in_doubt: its last connection failed. The environment may have been corrected since.
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
        """Whether its connections fail and the environment names another proxy or other certificates by now.

        Raises:
            InvalidRequestError: it names a proxy that cannot be used.
        """
        return self.in_doubt and self.settings != network_settings(base_url)

    def enter(self) -> None:
        """A call begins."""

    async def leave(self, call: NetworkCall, *, cancelled: bool) -> None:
        """A call has ended."""


class AsyncPool(Pool):
    """An asynchronous HTTP client of our own, in one event loop.

    Attributes:
        loop: the event loop.
        calls: calls that are under way.
        cancelled: calls that were cancelled while they waited for the network.
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
        """A call begins."""
        self.calls += 1

    async def leave(self, call: NetworkCall, *, cancelled: bool) -> None:
        """A call has ended; a cancelled one leaves no open socket behind."""
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
        """Close as soon as the calls under way have ended. No new ones may come."""
        self._retired = True
        if not self.calls:
            await self.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._closing.aclose()


async def _closed_with_its_loop(http: httpx.AsyncClient) -> AsyncGenerator[None]:
    """Closes a client when its loop ends: `asyncio.run` closes the asynchronous generators that are still open."""
    try:
        yield
    finally:
        # A loop that was never closed, as those of nest_asyncio, is gone when the interpreter ends: nothing can be
        # awaited then, and the sockets close by themselves.
        if _runs():
            await http.aclose()


def _runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def needs_loop() -> None:
    """Make sure that an event loop of asyncio runs.

    Raises:
        InvalidRequestError: none does.
    """
    if not _runs():
        raise InvalidRequestError(
            "AsyncClient runs in an event loop of asyncio, and none runs here: with trio, call `glmv.Client` in a "
            "thread (`trio.to_thread.run_sync`)."
        )


class Pools:
    """The pool of a blocking client. A forked child gets its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: tuple[int, Pool] | None = None
        self._replaced: list[tuple[int, Pool]] = []
        self._closed = False

    def get(self, base_url: str) -> Pool:
        """The pool of this process.

        Raises:
            InvalidRequestError: it was closed, or the proxy or the list of trusted certificates cannot be used.
        """
        if self._closed:
            raise _closed()
        made = self._made
        if not _usable(made, base_url):
            with self._lock:
                made = self._made
                if not _usable(made, base_url):
                    if made is not None and made[0] == os.getpid():
                        self._replaced.append(made)  # other threads may be in the middle of a call
                    settings = network_settings(base_url)
                    http, transport = http_client(settings)
                    # Frameworks drop models without closing them.
                    weakref.finalize(self, _close_here, os.getpid(), http).atexit = False
                    made = os.getpid(), Pool(http, settings=settings, keeps_deadlines=transport.keeps_deadlines)
                    self._made = made
        return made[1]

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        made, self._made = self._made, None
        replaced, self._replaced = self._replaced, []
        for process, pool in (*replaced, *([made] if made is not None else [])):
            _close_here(process, pool.http)


class AsyncPools:
    """The pools of an asynchronous client, one for each running event loop (ADR-0006)."""

    def __init__(self) -> None:
        self._made: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncPool] = weakref.WeakKeyDictionary()
        self._retired: list[AsyncPool] = []
        self._closed = False

    async def get(self, base_url: str) -> AsyncPool:
        """The pool of the running loop.

        Raises:
            InvalidRequestError: it was closed, or the proxy or the list of trusted certificates cannot be used.
        """
        if self._closed:
            raise _closed()
        loop = asyncio.get_running_loop()
        pool = self._made.get(loop)
        if pool is not None and pool.cancelled < MOST_CANCELLED and not pool.is_outdated(base_url):
            return pool
        # A pool knows its loop, so that the dictionary alone would let neither go.
        for ended in [ended for ended in self._made if ended.is_closed()]:
            del self._made[ended]
        self._made[loop] = new = AsyncPool(base_url)
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
        current = self._made.pop(loop, None)
        retired, self._retired = self._retired, []
        for pool in (*retired, current):
            if pool is not None and pool.loop is loop:
                await pool.aclose()


def _usable(made: tuple[int, Pool] | None, base_url: str) -> TypeGuard[tuple[int, Pool]]:
    """Whether a pool is this process' and leads to the server as the environment says by now.

    In a forked child the parent's sockets are not ours to use or to close.
    """
    return made is not None and made[0] == os.getpid() and not made[1].is_outdated(base_url)


def _close_here(process: int, http: httpx.Client) -> None:
    if process == os.getpid():
        http.close()


def _closed() -> InvalidRequestError:
    return InvalidRequestError("This client is closed. Create a new one.")
