"""One run of a job, by calls or by the platform's batches, and the thread that it has for itself."""

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
from glmv_batch._calls import Calls, Forgetful
from glmv_batch._items import Item
from glmv_batch._key import Keys
from glmv_batch._ledger import Ledger, LedgerUnreadable, Waiting
from glmv_batch._prices import Budget, is_emulated
from glmv_batch._progress import Progress
from glmv_batch._question import Question, failed
from glmv_batch._row import Row

Hand = Callable[[Row], None]

# Rows of the platform's batches that wait for whoever takes them.
_ROOM = 1_000
# Rows that may wait together for the disk.
_GROUP = 200
_LOOK = 0.1  # seconds between two looks whether a reader that takes nothing has left


@dataclass(frozen=True)
class RunSettings:
    """All that a run has to know."""

    source: Iterator[Item]
    question: Question
    model: str
    client: Callable[[], glmv.AsyncClient]
    own: bool
    sync_client: Callable[[], glmv.Client]
    ledger: str | os.PathLike[str] | None
    place: str
    claim: Callable[[], None]  # the output, before anything is asked
    progress: Progress
    budget: Budget
    retry_failed: bool
    ordered: bool


class JobRun(Protocol):
    """One run. All of its methods are called on its own event loop."""

    async def __call__(self, hand: Hand) -> None:
        """Run; `hand` gets each row."""

    def taken(self) -> None:
        """A row was taken by whoever wants it."""

    def stop(self, why: str) -> None:
        """Begin nothing more."""


class ByCalls:
    """A call an item."""

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
                ledger or Forgetful(),
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
    """The platform's batches. Its work blocks, so it is done in a worker thread."""

    def __init__(self, settings: RunSettings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._room = threading.Semaphore(_ROOM)
        self._kept: deque[tuple[Future[None] | None, Row, bool]] = deque()

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
                options=_of_a_batch(settings.question.options),
                stop=self._stop,
                question_hash=keys.question_hash,
                waits=lambda told: setattr(settings.progress, "waiting", told),
            )
            stack.callback(setattr, settings.progress, "waiting", None)
            settings.progress.begin()
            stack.callback(settings.progress.end)
            batches.take_up(retry_failed=settings.retry_failed)
            requests = self._requests(keys, ledger, lambda row, known: self._give(hand, row, known=known))
            for key, error in batches.hand_in(requests):
                self._answered(hand, ledger, key, error)
                self._give_kept(hand, all_of_them=True)  # the same may come once more, and has to be known then
            for key, answer in batches.answers():
                self._answered(hand, ledger, key, answer)
                self._give_kept(hand)
            self._give_kept(hand, all_of_them=True)

    def _requests(self, keys: Keys, ledger: Ledger, give: Callable[[Row, bool], None]) -> Iterator[Request]:
        """The items that nobody has asked about."""
        settings = self._settings
        for item in settings.source:
            if self._stop.is_set():
                return
            try:
                key, holding, _ = keys.of(item)
            except LedgerUnreadable:
                raise
            except Exception as error:  # noqa: BLE001 - whatever an item or the user's own function raises is its row
                give(failed(item, error, 0.0), False)
                continue
            facts = ledger.answer(key, retry_failed=settings.retry_failed)
            if facts is not None:
                give(settings.question.known(item, facts), True)
            elif not ledger.wait_for(Waiting(key, item.name, item.columns)):
                ledger.room()
                yield _Request(key, settings.question, item, _size(holding))

    def _answered(
        self, hand: Callable[[Row], Any], ledger: Ledger, key: str, answer: glmv.Completion | glmv.GLMVError
    ) -> None:
        row = replace(self._settings.question.row_of(Item(""), answer, 0.0), seconds=None)
        emulated = is_emulated(answer)
        kept: Future[None] | None = ledger.keep(key, row.as_dict())
        for waiting in ledger.waited(key):
            self._kept.append((kept, replace(row, key=waiting.name, columns=waiting.columns), emulated))
            kept = None  # it is paid for once

    def _give_kept(self, hand: Callable[[Row], Any], *, all_of_them: bool = False) -> None:
        """Hand out rows that are on disk. Many share one wait for it; their chunk ends after all are."""
        while self._kept and (all_of_them or len(self._kept) > _GROUP or _done(self._kept[0][0])):
            kept, row, emulated = self._kept.popleft()
            if kept is not None:
                kept.result()
            self._give(hand, row, known=kept is None, emulated=emulated)

    def _give(self, hand: Callable[[Row], Any], row: Row, *, known: bool, emulated: bool = False) -> None:
        while not self._room.acquire(timeout=_LOOK):
            if self._stop.is_set():
                return
        self._settings.progress.count(row, known=known, emulated=emulated)
        hand(row)


@dataclass(frozen=True)
class _Request:
    """One item that goes into a batch; its picture is read when its line is written."""

    key: str
    question: Question
    item: Item
    size: int

    def messages(self) -> Any:
        """What is sent."""
        return self.question.messages_of(self.item)


def _of_a_batch(options: dict[str, Any]) -> dict[str, Any]:
    """Options without the check that a second turn would need: there is none."""
    return {name: value for name, value in options.items() if name != "validate"}


def _size(item: Item) -> int:
    """Bytes of its picture on the wire, about."""
    if item.path is not None:
        return item.path.stat().st_size * 4 // 3
    part = item.source
    return (part.size or 0) * 4 // 3 if isinstance(part, glmv.Image | glmv.Video | glmv.File) else 0


def _done(kept: Future[None] | None) -> bool:
    return kept is None or kept.done()


class Thread:
    """A run on an event loop of its own, for callers that have none.

    Args:
        put: gets each row; then None, or what ended the run.
    """

    def __init__(self, run: JobRun, put: Callable[[Row | BaseException | None], None]) -> None:
        self._run = run
        self._put = put
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready = threading.Event()
        # In the caller's context: its span is the parent of ours, and what it suppresses is obeyed.
        main = partial(contextvars.copy_context().run, self._main)
        self._thread = threading.Thread(target=main, name="glmv job", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._ready.wait()

    def taken(self) -> None:
        """A row was taken."""
        self._call(self._run.taken)

    def stop(self, why: str) -> None:
        """Begin nothing more."""
        self._call(lambda: self._run.stop(why))

    def join(self) -> None:
        """Wait until what is under way has ended."""
        while self._thread.is_alive():
            self._thread.join(_LOOK)

    def _call(self, what: Callable[[], None]) -> None:
        if self._loop is not None and self._thread.is_alive():
            try:
                self._loop.call_soon_threadsafe(what)
            except RuntimeError:  # it has just ended
                pass

    def _main(self) -> None:
        async def whole() -> None:
            self._loop = asyncio.get_running_loop()
            self._ready.set()
            await self._run(self._put)

        try:
            asyncio.run(whole())
        except BaseException as error:  # noqa: BLE001 - it is raised where the rows are taken
            self._put(error)
        else:
            self._put(None)
        finally:
            self._ready.set()
