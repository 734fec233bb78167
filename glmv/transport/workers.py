"""Worker threads for what would keep an event loop from its other tasks: reading, fitting and encoding large content.

A few at a time for the whole process, whatever number of clients, loops and calls there are.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from glmv.errors import DeadlineExceeded
from glmv.exchange.retry import prepared_in
from glmv.media.stopping import STOPS

T = TypeVar("T")

WORKERS = 2
"""Pieces of work at once. Codecs hold the interpreter's lock in parts (decoding a WEBP of 12 megapixels for some 50 ms)
and the event loop waits for as many of these as there are threads. Each may hold a decoded picture of 256 MB, too."""


class Late(Exception):
    """The moment until which the work was waited for has come."""


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="glmv-worker")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


async def worked(function: Callable[[], T], until: float | None = None) -> T:
    """What a function returns, called in a worker thread, with the context variables of the caller.

    A cancelled caller leaves the queue at once. What is under way cannot be interrupted: it ends before its next
    picture, and its thread is free for others then.

    Args:
        function: takes no arguments.
        until: moment in monotonic seconds at which nobody waits any more, or None.

    Raises:
        Late: that moment has come.
    """
    gone = threading.Event()
    context = contextvars.copy_context()
    context.run(STOPS.set, gone.is_set)
    future = asyncio.get_running_loop().run_in_executor(_threads(), context.run, function)
    try:
        if until is None:
            return await future
        done, _ = await asyncio.wait([future], timeout=max(until - time.monotonic(), 0.0))
        if not done:
            raise Late
        return future.result()
    finally:
        if not future.done() or future.cancelled():
            gone.set()
            future.cancel()


async def in_worker(function: Callable[[], T], *, deadline: float | None = None) -> T:
    """What a function returns, called in a worker thread: for work on pictures beside an event loop.

    A few run at a time in a process, calls of the clients included. A cancelled caller leaves the queue.

    Args:
        function: takes no arguments.
        deadline: seconds that it may take with the wait for a thread. None is no limit; so is what is not above 0,
            which a call refuses with its other options.

    Raises:
        DeadlineExceeded: it took longer.
    """
    started = time.monotonic()
    known = isinstance(deadline, int | float) and deadline > 0
    try:
        return await worked(function, started + deadline if known and deadline is not None else None)
    except Late:
        assert deadline is not None
        raise DeadlineExceeded(prepared_in(time.monotonic() - started, deadline)) from None
