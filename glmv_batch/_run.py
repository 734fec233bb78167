"""One run of a job, by calls or by the platform's batches, and the thread for callers without an event loop."""

from __future__ import annotations

import asyncio
import contextvars
import os
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import glmv
from glmv_batch._batches import PlatformBatches, Request
from glmv_batch._calls import Calls, NullStore
from glmv_batch._items import Item
from glmv_batch._key import Keys
from glmv_batch._ledger import Ledger, LedgerUnreadable, Waiting
from glmv_batch._prices import Budget, is_emulated
from glmv_batch._progress import Progress
from glmv_batch._question import Question, failed
from glmv_batch._row import Row

Hand = Callable[[Row], None]

# Rows of the platform's batches that may wait for the consumer.
_ROOM = 1_000
# Rows that may wait for the disk together.
_GROUP = 200
_LOOK = 0.1  # seconds between two checks for a stop while the consumer takes no rows


@dataclass(frozen=True)
class RunSettings:
    """The settings of a run."""

    source: Iterator[Item]
    question: Question
    model: str
    client: Callable[[], glmv.AsyncClient]
    own: bool
    sync_client: Callable[[], glmv.Client]
    ledger: str | os.PathLike[str] | None
    place: str
    claim: Callable[[], None]  # locks the output before the first call
    progress: Progress
    budget: Budget
    retry_failed: bool
    ordered: bool


class JobRun(Protocol):
    """One run. Its methods are called on its event loop."""

    async def __call__(self, hand: Hand) -> None:
        """Run, and call `hand` with each row."""

    def taken(self) -> None:
        """Report that the consumer has taken a row."""

    def stop(self, why: str) -> None:
        """Start no more calls."""


class ByCalls:
    """A run with one call for each item."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._calls: Calls | None = None
        self._stopped: str | None = None

    async def __call__(self, hand: Hand) -> None:
        """Run; see `JobRun`."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            ledger = None
            if settings.ledger is not None:
                ledger = await asyncio.to_thread(Ledger, settings.ledger, place=settings.place)
                stack.push_async_callback(asyncio.to_thread, ledger.close)
            await asyncio.to_thread(settings.claim)
            client = settings.client()
            if not settings.own:
                await stack.enter_async_context(client)
            calls = self._calls = Calls(
                client,
                settings.source,
                settings.question,
                ledger or NullStore(),
                settings.progress,
                hand=hand,
                budget=settings.budget,
                retry_failed=settings.retry_failed,
                ordered=settings.ordered,
            )
            if self._stopped is not None:
                calls.stop(self._stopped)
            settings.progress.begin()
            stack.callback(settings.progress.end)
            await calls.run()

    def taken(self) -> None:
        """See `JobRun`."""
        if self._calls is not None:
            self._calls.taken()

    def stop(self, why: str) -> None:
        """See `JobRun`."""
        self._stopped = why
        if self._calls is not None:
            self._calls.stop(why)


class ByBatches:
    """A run through the platform's batches. The calls for batches block, so a worker thread makes them."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._room = threading.Semaphore(_ROOM)
        self._queue: deque[tuple[Future[None] | None, Row, bool]] = deque()

    async def __call__(self, hand: Hand) -> None:
        """Run; see `JobRun`."""
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._work, lambda row: loop.call_soon_threadsafe(hand, row))

    def taken(self) -> None:
        """See `JobRun`."""
        self._room.release()

    def stop(self, why: str) -> None:
        """See `JobRun`."""
        self._settings.progress.stopped = self._settings.progress.stopped or why
        self._stop.set()

    def _work(self, hand: Callable[[Row], Any]) -> None:
        settings = self._settings
        with ExitStack() as stack:
            path = settings.ledger or Path(stack.enter_context(tempfile.TemporaryDirectory())) / "job.ledger"
            ledger = stack.enter_context(Ledger(path, place=settings.place))
            settings.claim()
            client = stack.enter_context(settings.sync_client())
            keys = Keys(settings.question, settings.model, client.settings, ledger)
            batches = PlatformBatches(
                client,
                ledger,
                model=settings.model,
                options=_batch_options(settings.question.options),
                stop=self._stop,
                question_hash=keys.question_hash,
                waits=lambda reason: setattr(settings.progress, "waiting", reason),
            )
            stack.callback(setattr, settings.progress, "waiting", None)
            settings.progress.begin()
            stack.callback(settings.progress.end)
            batches.resume(retry_failed=settings.retry_failed)
            requests = self._requests(keys, ledger, lambda row, known: self._give(hand, row, known=known))
            for key, error in batches.submit(requests):
                self._answered(hand, ledger, key, error)
                self._pass_on_rows(hand, all_of_them=True)  # an equal item may follow, and must find it in the ledger
            for key, answer in batches.answers():
                self._answered(hand, ledger, key, answer)
                self._pass_on_rows(hand)
            self._pass_on_rows(hand, all_of_them=True)

    def _requests(self, keys: Keys, ledger: Ledger, give: Callable[[Row, bool], None]) -> Iterator[Request]:
        """The requests to send. An item that fails or has a stored answer gets no request; its row goes to `give`."""
        settings = self._settings
        for item in settings.source:
            if self._stop.is_set():
                return
            try:
                key, holding, _ = keys.of(item)
            except LedgerUnreadable:
                raise
            except Exception as error:  # noqa: BLE001 - any error of an item or of the user's function becomes its row
                give(failed(item, error, 0.0), False)
                continue
            facts = ledger.answer(key, retry_failed=settings.retry_failed)
            if facts is not None:
                give(settings.question.row_of_facts(item, facts), True)
            elif not ledger.wait_for(Waiting(key, item.name, item.columns)):
                ledger.check_space()
                yield _Request(key, settings.question, item, _size(holding))

    def _answered(
        self, hand: Callable[[Row], Any], ledger: Ledger, key: str, answer: glmv.Completion | glmv.GLMVError
    ) -> None:
        row = replace(self._settings.question.row_of(Item(""), answer, 0.0), seconds=None)
        emulated = is_emulated(answer)
        future: Future[None] | None = ledger.keep(key, row.as_dict())
        for waiting in ledger.waited(key):
            self._queue.append((future, replace(row, key=waiting.name, columns=waiting.columns), emulated))
            future = None  # further items with this key are counted as known, since the answer is paid for once

    def _pass_on_rows(self, hand: Callable[[Row], Any], *, all_of_them: bool = False) -> None:
        """Pass on the rows that have been written to disk; with `all_of_them`, wait until all are written.

        Without `all_of_them`, up to `_GROUP` unwritten rows stay in the queue, so that one wait for the disk covers
        them all.
        """
        while self._queue and (all_of_them or len(self._queue) > _GROUP or _done(self._queue[0][0])):
            future, row, emulated = self._queue.popleft()
            if future is not None:
                future.result()
            self._give(hand, row, known=future is None, emulated=emulated)

    def _give(self, hand: Callable[[Row], Any], row: Row, *, known: bool, emulated: bool = False) -> None:
        while not self._room.acquire(timeout=_LOOK):
            if self._stop.is_set():
                return
        self._settings.progress.count(row, known=known, emulated=emulated)
        hand(row)


@dataclass(frozen=True)
class _Request:
    """The request for one item of a batch. The picture is read when the request is written to the batch's file."""

    key: str
    question: Question
    item: Item
    size: int

    def messages(self) -> Any:
        """The messages to send."""
        return self.question.messages_of(self.item)


def _batch_options(options: dict[str, Any]) -> dict[str, Any]:
    """Options without `validate`, because a batch cannot repeat a request whose answer does not fit."""
    return {name: value for name, value in options.items() if name != "validate"}


def _size(item: Item) -> int:
    """Approximate number of bytes of an item's picture when it is sent."""
    if item.path is not None:
        return item.path.stat().st_size * 4 // 3
    part = item.source
    return (part.size or 0) * 4 // 3 if isinstance(part, glmv.Image | glmv.Video | glmv.File) else 0


def _done(future: Future[None] | None) -> bool:
    return future is None or future.done()


class Thread:
    """Runs a `JobRun` on a new event loop in a thread, for synchronous callers.

    Args:
        put: called with each row; at the end with None, or with the exception that ended the run.
    """

    def __init__(self, run: JobRun, put: Callable[[Row | BaseException | None], None]) -> None:
        self._run = run
        self._put = put
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        # In the caller's context, so that its tracing span is the parent and its suppression of tracing applies.
        main = partial(contextvars.copy_context().run, self._main)
        self._thread = threading.Thread(target=main, name="glmv job", daemon=True)

    def start(self) -> None:
        """Start the thread, and wait until its event loop runs."""
        self._thread.start()
        self._ready.wait()

    def taken(self) -> None:
        """Report that the consumer has taken a row."""
        self._call(self._run.taken)

    def stop(self, why: str) -> None:
        """Start no more calls."""
        self._call(lambda: self._run.stop(why))

    def join(self) -> None:
        """Wait until the running calls and the thread have ended."""
        while self._thread.is_alive():
            self._thread.join(_LOOK)

    def _call(self, what: Callable[[], None]) -> None:
        if self._loop is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(what)
            except RuntimeError:  # the loop has just ended
                pass

    def _main(self) -> None:
        async def whole() -> None:
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self._run(self._put)

        try:
            asyncio.run(whole())
        except BaseException as error:  # noqa: BLE001 - the consumer of the rows raises it
            self._put(error)
        else:
            self._put(None)
        finally:
            self._ready.set()
