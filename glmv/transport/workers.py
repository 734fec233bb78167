"""Worker threads for work that would block an event loop: reading, fitting and encoding large content.

The process has `WORKERS` of them, for any number of clients, loops and calls.
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
"""The number of threads. Codecs hold the interpreter's lock at times (decoding a WEBP of 12 megapixels: for 50 ms),
and the event loop may wait once for each thread. Each may also have a decoded picture of 256 MB in memory."""


class Late(Exception):
    """The work was not done in time."""


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="glmv-worker")


if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_threads.cache_clear)


async def worked(function: Callable[[], T], until: float | None = None) -> T:
    """Calls a function in a worker thread, with the context variables of the caller, and returns its result.

    If the caller is cancelled or the deadline passes, a function that waits in the queue is removed from it. A function
    that is running cannot be interrupted, but it stops before its next picture. Then its thread is free.

    Args:
        function: takes no arguments.
        until: the deadline in monotonic seconds, or None.

    Raises:
        Late: the deadline has passed.
    """
    abandoned = threading.Event()
    context = contextvars.copy_context()
    context.run(STOPS.set, abandoned.is_set)
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
            abandoned.set()
            future.cancel()


async def in_worker(function: Callable[[], T], *, deadline: float | None = None) -> T:
    """Calls a function in a worker thread and returns its result: for work on pictures in a program with an event loop.

    The process has only a few such threads, which the clients use, too. If none is free, the function waits in a queue;
    it is removed from the queue if its caller is cancelled.

    Args:
        function: takes no arguments.
        deadline: seconds, including the wait for a thread. None means no limit. A value that is not a number above 0
            raises no error here: the client refuses it in the call that gets the same deadline.

    Raises:
        DeadlineExceeded: the function has not returned before the deadline.
    """
    started = time.monotonic()
    is_limited = isinstance(deadline, int | float) and deadline > 0
    try:
        return await worked(function, started + deadline if is_limited and deadline is not None else None)
    except Late:
        assert deadline is not None
        raise DeadlineExceeded(prepared_in(time.monotonic() - started, deadline)) from None
