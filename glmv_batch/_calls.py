"""Items -> rows: a small window of items at a time, each read just before it is sent.

An item needs a place in the window before it is read from the source. The place becomes free when the consumer has
taken the row. So memory does not grow with the number of items, however slow the platform or the consumer is.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import glmv
from glmv_batch import _outage
from glmv_batch._items import Item
from glmv_batch._key import Keys
from glmv_batch._ledger import LedgerUnreadable
from glmv_batch._outage import Outage, is_busy, is_platform
from glmv_batch._prices import Budget, is_emulated
from glmv_batch._progress import Progress
from glmv_batch._question import Question, failed
from glmv_batch._row import Row

# Items beyond the number of concurrent calls: their pictures are read while other calls wait for an answer.
AHEAD = 4
# Threads that read and encode pictures; they wait for the disk about as long as they compute.
READERS = 4
# With rows in input order, rows wait for those before them: at most this many per concurrent call.
PATIENCE = 8
# Rows that fail because the platform is busy are sent again after all others, each time after the next of these pauses,
# in seconds. With rows in input order, they are sent again in their place.
BUSY_PAUSES = (2.0, 15.0, 60.0)
# Bytes of the items that may wait for that. Further ones fail immediately, so that memory stays bounded.
ASIDE = 64 * 1024 * 1024
# Errors that every further call would raise, too: the run ends.
FATAL = (glmv.AuthenticationError, glmv.PermissionDeniedError, glmv.QuotaError)


class AnswerStore(Protocol):
    """A store of answers: the ledger, or `NullStore`."""

    def answer(self, key: str, *, retry_failed: bool = False) -> dict[str, Any] | None: ...
    def keep(self, key: str, facts: Any) -> Future[None]: ...
    def digest(self, path: str, size: int, mtime: int) -> str | None: ...
    def keep_digest(self, path: str, size: int, mtime: int, digest: str) -> None: ...
    def check_space(self) -> None: ...


class NullStore:
    """A store that keeps nothing, for a job without a ledger."""

    def answer(self, key: str, *, retry_failed: bool = False) -> None:
        """Return None."""

    def keep(self, key: str, facts: Any) -> Future[None]:
        """Return a future that is done."""
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def digest(self, path: str, size: int, mtime: int) -> None:
        """Return None."""

    def keep_digest(self, path: str, size: int, mtime: int, digest: str) -> None:
        """Do nothing."""

    def check_space(self) -> None:
        """Do nothing: no disk space is needed."""


@dataclass
class Lookup:
    """The result of looking an item up before it is sent.

    Attributes:
        key: the item's key; None if the item could not be read.
        messages: the messages to send; None if `row` or `same` is set.
        row: the item's row, if it is in the ledger or the item failed before it was sent.
        from_ledger: whether `row` comes from the ledger.
        same: if an equal request is already running, the future of that request's row; else None.
    """

    key: str | None = None
    messages: Any = None
    row: Row | None = None
    from_ledger: bool = False
    same: asyncio.Future[Row | Later | None] | None = None


class Later(NamedTuple):
    """The row of an item that failed because the platform is busy. The item is sent again later."""

    row: Row


class _CallResult(NamedTuple):
    """The result of a call: its row, whether the emulator answered, and whether it failed because of load."""

    row: Row
    emulated: bool
    busy: bool = False


class Calls:
    """One run of a job. `run` belongs to one event loop. Other threads may call only `stop`.

    Args:
        hand: called with each row; must not block. The consumer calls `taken` when it has taken the row.
    """

    def __init__(
        self,
        client: glmv.AsyncClient,
        source: Iterator[Item],
        question: Question,
        memory: AnswerStore,
        progress: Progress,
        *,
        hand: Callable[[Row], None],
        budget: Budget,
        retry_failed: bool = False,
        ordered: bool = False,
    ) -> None:
        self._client = client
        self._source = source
        self._question = question
        self._memory = memory
        self._progress = progress
        self._hand = hand
        self._budget = budget
        self._retry_failed = retry_failed
        self._ordered = ordered
        self._model = question.model or client.settings.model
        self._keys = Keys(question, self._model, client.settings, memory)
        self._gate = client.slots(self._model)
        self._limits = None if client.address.dialect.limits == "none" else client.settings.catalog_row(self._model)
        self._width = self._gate.width + AHEAD
        self._window = asyncio.Semaphore(self._width * (PATIENCE if ordered else 2))
        self._reading = asyncio.Lock()
        self._in_memory = 0
        self._unkept = 0
        self._moved = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: dict[str, asyncio.Future[Row | Later | None]] = {}
        self._aside: deque[Item] = deque()
        self._aside_bytes = 0
        self._pass = 0
        self._waiting: dict[int, Row | None] = {}
        self._read = self._next = 0
        self._ended = False
        self._fatal: Exception | None = None
        self._outage = Outage(progress, self._moved, known=is_platform(client.address.base_url))

    async def run(self) -> None:
        """Run a call for every item.

        Raises:
            GLMVError: an error that every item would get (a wrong key, an empty account, a full disk). It is raised
                after the running calls have ended and their answers are stored.
        """
        self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "glmv source") as source, ThreadPoolExecutor(READERS, "glmv pictures") as readers:
            await self._whole(source, readers)
            while self._aside and not self._ended_early:
                await self._quiet(BUSY_PAUSES[self._pass])
                self._pass += 1
                # Each item is removed from the old queue when it is read; items that fail again form a new queue.
                self._source, self._aside, self._aside_bytes = _drain(self._aside), deque(), 0
                self._ended = self._ended_early
                await self._whole(source, readers)
        self._loop = None
        self._progress.waiting = None
        if self._fatal is not None:
            raise self._fatal

    async def _whole(self, source: Executor, readers: Executor) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(self._width):
                group.create_task(self._work(source, readers))

    async def _quiet(self, seconds: float) -> None:
        """Pause, so that the platform can become less busy; the progress shows the reason."""
        some = "1 row" if len(self._aside) == 1 else f"{len(self._aside):,} rows"
        times = f"retry {self._pass + 1} of {len(BUSY_PAUSES)}"
        self._progress.waiting = f"The platform was too busy for {some}; trying again in {seconds:.0f} s ({times})."
        await self._rest(seconds)
        self._progress.waiting = None

    async def _rest(self, seconds: float) -> None:
        until = _outage.clock() + seconds
        while not self._ended_early and (left := until - _outage.clock()) > 0:
            await _outage.pause(self._moved, left)

    def stop(self, why: str) -> None:
        """Start no more calls; the running ones finish and yield their rows. Callable from any thread."""
        self._progress.stopped = self._progress.stopped or why
        self._ended = True
        if (loop := self._loop) is not None:
            try:
                loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop has just ended
                pass

    def _wake(self) -> None:
        """Wake the workers that are waiting for the consumer, so that they notice the end of the run."""
        for _ in range(self._width):
            self._window.release()
        self._move()

    def taken(self) -> None:
        """Report that the consumer has taken a row, so that another item may be read."""
        self._window.release()

    async def _work(self, source: Executor, readers: Executor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._window.acquire()
            async with self._reading:
                item = None if self._ended else await loop.run_in_executor(source, self._take)
                number, self._read = self._read, self._read + (item is not None)
            if item is None:
                self._ended = True
                self._window.release()
                return
            match await self._row(item, readers):
                case Later():
                    self._aside.append(item)
                    self._hand_on(number, None)
                case row:
                    self._hand_on(number, row)

    def _take(self) -> Item | None:
        try:
            return next(self._source, None)
        except Exception as error:  # noqa: BLE001 - whatever the user's own source raises ends the run
            self._fatal = self._fatal or error
            return None

    def _hand_on(self, number: int, row: Row | None) -> None:
        """Pass on the row of the item with this number, in the order that the user requested.

        Args:
            number: the item's position in the source.
            row: the row; None if the item has no row yet, or will not get one.
        """
        self._waiting[number if self._ordered else self._next] = row
        while self._next in self._waiting:
            ready = self._waiting.pop(self._next)
            self._next += 1
            if ready is None:
                self._window.release()
            else:
                self._hand(ready)

    async def _row(self, item: Item, readers: Executor) -> Row | Later | None:
        """The row of an item. If rows keep the source's order, this method repeats a call if the platform was busy."""
        if not self._ordered:
            return await self._row_now(item, readers, self._pass)
        for time_of, seconds in enumerate(BUSY_PAUSES):
            row = await self._row_now(item, readers, time_of)
            if not isinstance(row, Later):
                return row
            await self._rest(seconds)
        return await self._row_now(item, readers, len(BUSY_PAUSES))

    async def _row_now(self, item: Item, readers: Executor, time_of: int) -> Row | Later | None:
        begun = time.monotonic()
        # A narrower gate needs fewer pictures in memory, so further ones are not read yet.
        await self._until(lambda: self._in_memory < self._gate.width + AHEAD or self._ended_early)
        self._in_memory += 1
        try:
            return await self._answered(item, readers, begun, time_of)
        finally:
            self._in_memory -= 1
            self._move()

    async def _answered(self, item: Item, readers: Executor, begun: float, time_of: int) -> Row | Later | None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Row | Later | None] = loop.create_future()
        lookup = await loop.run_in_executor(readers, self._find, item, future, begun)
        if lookup.same is not None:
            row_of_same = await lookup.same
            if isinstance(row_of_same, Later):
                if self._may_wait(item, time_of):
                    return row_of_same
                row_of_same = row_of_same.row
            if row_of_same is not None:
                self._progress.count(row_of_same, known=True)
            return None if row_of_same is None else replace(row_of_same, key=item.name, columns=item.columns)
        row: Row | Later | None = lookup.row
        try:
            if row is None:
                row = await self._ask(item, lookup, begun, time_of)
            elif isinstance(row, Row):
                self._progress.count(row, known=lookup.from_ledger)
        finally:
            if lookup.key is not None:
                del self._running[lookup.key]
            future.set_result(row)
        return row

    def _find(self, item: Item, future: asyncio.Future[Row | Later | None], begun: float) -> Lookup:
        """Look up an item, or prepare its messages. Runs in a worker thread, because it reads and encodes pictures.

        `future`, the future of the item's row, is published under the item's key before the ledger is read. So a later
        item with the same key finds either this future or the answer in the ledger.
        """
        lookup = Lookup()
        try:
            item_key = self._keys.of(item)
            if (first := self._running.setdefault(item_key.key, future)) is not future:
                return Lookup(same=first)
            lookup.key = item_key.key
            facts = self._memory.answer(item_key.key, retry_failed=self._retry_failed)
            if facts is not None:
                lookup.row = self._question.row_of_facts(item, facts)
                lookup.from_ledger = True
            else:
                lookup.messages = item_key.messages()
                for part in _parts(lookup.messages):
                    self._encode(part)
        except LedgerUnreadable as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - any error of an item or of the user's function becomes its row
            lookup.row = failed(item, error, time.monotonic() - begun)
        return lookup

    def _encode(self, part: Any) -> None:
        """Scale a picture to the limits and encode it, or encode a video; the part caches the result."""
        match part:
            case glmv.Image() if part.url is None and part.fit and self._limits is not None:
                part.fitted_for(self._limits)[0].base64()
            case glmv.Image() | glmv.Video() if part.url is None:
                part.base64()

    async def _ask(self, item: Item, lookup: Lookup, begun: float, time_of: int) -> Row | Later | None:
        row: Row | Later | None = None
        while row is None and not self._ended_early:
            assert lookup.key is not None
            trying = await self._outage.turn(lookup.key, lambda: self._ended_early)
            # Answers not stored yet are lost if the process is killed, so there are never more of them than slots.
            await self._until(lambda: self._ended_early or self._unkept < self._gate.width)
            if not (trying or self._outage.is_over):
                continue  # the network has failed meanwhile
            self._unkept += 1
            try:
                row = await self._ask_and_store(item, lookup, begun, time_of, trying=trying)
            finally:
                self._unkept -= 1
                self._move()
        lookup.messages = None
        return row

    async def _ask_and_store(
        self, item: Item, lookup: Lookup, begun: float, time_of: int, *, trying: bool
    ) -> Row | Later | None:
        result = await self._attempt(item, lookup, begun, trying=trying)
        if result is None:
            return None
        lookup.messages = None  # free the picture as soon as it is sent
        if result.busy and self._may_wait(item, time_of):
            return Later(result.row)  # not in the ledger: a run that is killed now sends it again
        assert lookup.key is not None
        try:
            await asyncio.wrap_future(self._memory.keep(lookup.key, result.row.as_dict()))
        except (glmv.LimitExceeded, LedgerUnreadable) as full:
            self._give_up(full)  # the row is still passed on, since it is paid for
        self._progress.count(result.row, emulated=result.emulated)
        return result.row

    def _may_wait(self, item: Item, time_of: int) -> bool:
        """Decide whether an item is sent again later because the platform was busy; if so, count the item's memory."""
        if time_of >= len(BUSY_PAUSES) or self._ended_early:
            return False
        size = 0 if self._ordered else _size(item)
        if self._aside_bytes + size > ASIDE:
            return False
        self._aside_bytes += size
        return True

    async def _attempt(self, item: Item, lookup: Lookup, begun: float, *, trying: bool) -> _CallResult | None:
        """Make one call; return None if the item must be sent again, or if the run ends."""
        await self._until(lambda: self._ended_early or self._budget.allows or not self._budget.under_way)
        if not self._ended_early:
            self._look()
        if self._ended_early:
            self._outage.let_go(trying=trying)
            return None
        assert lookup.key is not None
        self._budget.begin()
        usage = None
        options = self._question.options | ({"max_retries": 0} if trying else {})
        try:
            answer = await self._client.chat(lookup.messages, model=self._question.model, **options)
            self._outage.heard(lookup.key)
            usage = answer.usage
            return _CallResult(self._question.row_of(item, answer, time.monotonic() - begun), is_emulated(answer))
        except FATAL as error:
            self._give_up(error)
            return None
        except Exception as error:  # noqa: BLE001 - any failure of one item becomes its row
            try:
                last = self._ended and all(self._outage.has_broken(key) for key in {*self._running, lookup.key})
                if self._outage.failed(error, lookup.key, trying=trying, last=last):
                    return None
            except glmv.GLMVError as same_for_all:
                self._give_up(same_for_all)
                return None
            row = failed(item, error, time.monotonic() - begun)
            usage = row.usage
            return _CallResult(row, is_emulated(error), is_busy(error))
        finally:
            self._outage.let_go(trying=trying)
            self._budget.end(self._model, usage)
            self._progress.width = self._gate.width
            self._move()

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            await self._moved.wait()

    def _move(self) -> None:
        """Make all waits in `_until` check their condition again."""
        self._moved.set()
        self._moved.clear()

    def _look(self) -> None:
        """Stop the run if the budget does not allow the next call, or if the ledger cannot store another answer."""
        if not self._budget.allows:
            self.stop("the budget is spent")
        try:
            self._memory.check_space()
        except glmv.LimitExceeded as full:
            self._give_up(full)

    @property
    def _ended_early(self) -> bool:
        return self._progress.stopped is not None or self._fatal is not None

    def _give_up(self, error: Exception) -> None:
        self._fatal = self._fatal or error
        self.stop(str(error))


def _drain(items: deque[Item]) -> Iterator[Item]:
    while items:
        yield items.popleft()


def _size(item: Item) -> int:
    """Approximate number of bytes of memory that an item takes."""
    match item.source:
        case bytes() | bytearray() | memoryview():
            size = len(item.source)
        case glmv.Image() | glmv.Video() | glmv.File():
            size = item.source.size or 0
        case str() | os.PathLike() | None:
            size = 0
        case _:  # a picture of Pillow
            width, height = getattr(item.source, "size", (0, 0))
            size = width * height * 4
    return 1024 + size + sum(len(value) for value in item.columns.values() if isinstance(value, str | bytes))


def _parts(messages: Any) -> Iterator[Any]:
    """All parts of messages, in any form that the user's function may return."""
    match messages:
        case glmv.Message():
            yield from messages.content
        case list() | tuple():
            for one in messages:
                yield from _parts(one)
        case _:
            yield messages
