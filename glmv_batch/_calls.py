"""Items -> rows: a small window of them at a time, each read just before it is sent.

A place in the window is taken before an item is read from the source, and given back when its row was taken by
whoever wants the rows: memory does not grow with the number of items, however slow the platform or the reader is.
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

# Items beyond the calls that may be under way: their pictures are read while others wait for an answer.
AHEAD = 4
# Threads that read and encode pictures: they wait for the disk as much as they compute.
READERS = 4
# In the order of the input, rows wait for those before them: this many times the calls under way may.
PATIENCE = 8
# Rows that fail because the platform is busy are asked again when all others are done, after so many seconds each time
# ("busy evening": an hour has quiet moments). Rows in the order of the input are asked again in their place.
BUSY_PAUSES = (2.0, 15.0, 60.0)
# Bytes of the items that wait for that: what is beyond fails at once, so that memory stays as small as it is.
ASIDE = 64 * 1024 * 1024
# What will be the same for every further item: nobody is asked any more.
FATAL = (glmv.AuthenticationError, glmv.PermissionDeniedError, glmv.QuotaError)


class Memory(Protocol):
    """Who remembers answers; the ledger, or nobody."""

    def answer(self, key: str, *, retry_failed: bool = False) -> dict[str, Any] | None: ...
    def keep(self, key: str, facts: Any) -> Future[None]: ...
    def digest(self, path: str, size: int, mtime: int) -> str | None: ...
    def keep_digest(self, path: str, size: int, mtime: int, digest: str) -> None: ...
    def room(self) -> None: ...


class Forgetful:
    """Remembers nothing: a job without a ledger."""

    def answer(self, key: str, *, retry_failed: bool = False) -> None:
        """Nothing is known."""

    def keep(self, key: str, facts: Any) -> Future[None]:
        """Kept by nobody."""
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def digest(self, path: str, size: int, mtime: int) -> None:
        """Nothing is known."""

    def keep_digest(self, path: str, size: int, mtime: int, digest: str) -> None:
        """Kept by nobody."""

    def room(self) -> None:
        """There always is."""


@dataclass
class Found:
    """What is known of an item.

    Attributes:
        key: None where there is none, because the item could not be read.
        messages: what has to be sent, where neither of the next two is set.
        row: what became of it already; `known` if the ledger has it.
        same: another item that would send the same is being asked about: the row is that one's.
    """

    key: str | None = None
    messages: Any = None
    row: Row | None = None
    known: bool = False
    same: asyncio.Future[Row | Later | None] | None = None


class Later(NamedTuple):
    """A row that failed because the platform is busy, and is asked again later."""

    row: Row


class _Told(NamedTuple):
    """What came of a call: its row, whether the emulator answered, and whether it failed because all are busy."""

    row: Row
    emulated: bool
    busy: bool = False


class Calls:
    """One run of a job. `run` belongs to one event loop; the other methods are called there, too.

    Args:
        hand: gets each row; must not block. Whoever has taken a row says so by `taken`.
    """

    def __init__(
        self,
        client: glmv.AsyncClient,
        source: Iterator[Item],
        question: Question,
        memory: Memory,
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
        self._held = 0
        self._unkept = 0
        self._moved = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked: dict[str, asyncio.Future[Row | Later | None]] = {}
        self._aside: deque[Item] = deque()
        self._aside_bytes = 0
        self._pass = 0
        self._waiting: dict[int, Row | None] = {}
        self._read = self._next = 0
        self._ended = False
        self._fatal: Exception | None = None
        self._outage = Outage(progress, self._moved, known=is_platform(client.address.base_url))

    async def run(self) -> None:
        """Ask about every item.

        Raises:
            GLMVError: what would be the same for all of them (a wrong key, an empty account, a full disk); what is
                under way has ended and is kept by then.
        """
        self._loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1, "glmv source") as source, ThreadPoolExecutor(READERS, "glmv pictures") as readers:
            await self._whole(source, readers)
            while self._aside and not self._ended_early:
                await self._quiet(BUSY_PAUSES[self._pass])
                self._pass += 1
                # Each is let go when it is taken; those that fail again are a new queue.
                self._source, self._aside, self._aside_bytes = _taken(self._aside), deque(), 0
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
        """Wait until the platform may be less busy, and say so."""
        some = "1 row" if len(self._aside) == 1 else f"{len(self._aside):,} rows"
        times = f"time {self._pass + 1} of {len(BUSY_PAUSES)}"
        self._progress.waiting = f"The platform was too busy for {some}, asked again in {seconds:.0f} s ({times})."
        await self._rest(seconds)
        self._progress.waiting = None

    async def _rest(self, seconds: float) -> None:
        until = _outage.clock() + seconds
        while not self._ended_early and (left := until - _outage.clock()) > 0:
            await _outage.pause(self._moved, left)

    def stop(self, why: str) -> None:
        """Begin nothing more; what is under way ends, and its rows come. From any thread."""
        self._progress.stopped = self._progress.stopped or why
        self._ended = True
        if (loop := self._loop) is not None:
            try:
                loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # it has just ended
                pass

    def _wake(self) -> None:
        """Let those see the end who wait for a reader that may take no more rows."""
        for _ in range(self._width):
            self._window.release()
        self._move()

    def taken(self) -> None:
        """A row was taken: there is a place in the window."""
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
        """Rows in the order that is wanted; None where nobody was asked."""
        self._waiting[number if self._ordered else self._next] = row
        while self._next in self._waiting:
            ready = self._waiting.pop(self._next)
            self._next += 1
            if ready is None:
                self._window.release()
            else:
                self._hand(ready)

    async def _row(self, item: Item, readers: Executor) -> Row | Later | None:
        """What becomes of an item. In the order of the input others wait for it, so it is asked again in its place."""
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
        # A gate that has narrowed takes fewer pictures: those beyond are not read before there is a use for them.
        await self._until(lambda: self._held < self._gate.width + AHEAD or self._ended_early)
        self._held += 1
        try:
            return await self._answered(item, readers, begun, time_of)
        finally:
            self._held -= 1
            self._move()

    async def _answered(self, item: Item, readers: Executor, begun: float, time_of: int) -> Row | Later | None:
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[Row | Later | None] = loop.create_future()
        found = await loop.run_in_executor(readers, self._find, item, mine, begun)
        if found.same is not None:
            answered = await found.same
            if isinstance(answered, Later):
                if self._may_wait(item, time_of):
                    return answered
                answered = answered.row
            if answered is not None:
                self._progress.count(answered, known=True)
            return None if answered is None else replace(answered, key=item.name, columns=item.columns)
        row: Row | Later | None = found.row
        try:
            if row is None:
                row = await self._ask(item, found, begun, time_of)
            elif isinstance(row, Row):
                self._progress.count(row, known=found.known)
        finally:
            if found.key is not None:
                del self._asked[found.key]
            mine.set_result(row)
        return row

    def _find(self, item: Item, mine: asyncio.Future[Row | Later | None], begun: float) -> Found:
        """What is known of an item, or what is to be sent. In a worker thread: it reads and encodes pictures.

        `mine` is left for others with the same key before the ledger is asked: who comes later finds one or the other.
        """
        found = Found()
        try:
            keyed = self._keys.of(item)
            if (first := self._asked.setdefault(keyed.key, mine)) is not mine:
                return Found(same=first)
            found.key = keyed.key
            facts = self._memory.answer(keyed.key, retry_failed=self._retry_failed)
            if facts is not None:
                found.row = self._question.known(item, facts)
                found.known = True
            else:
                found.messages = keyed.messages()
                for part in _parts(found.messages):
                    self._encode(part)
        except LedgerUnreadable as error:
            self._give_up(error)
        except Exception as error:  # noqa: BLE001 - whatever an item or the user's own function raises is its row
            found.row = failed(item, error, time.monotonic() - begun)
        return found

    def _encode(self, part: Any) -> None:
        """Fit and encode a picture now, so that the event loop need not: it keeps what was made of it."""
        match part:
            case glmv.Image() if part.url is None and part.fit and self._limits is not None:
                part.fitted_for(self._limits)[0].base64()
            case glmv.Image() | glmv.Video() if part.url is None:
                part.base64()

    async def _ask(self, item: Item, found: Found, begun: float, time_of: int) -> Row | Later | None:
        row: Row | Later | None = None
        while row is None and not self._ended_early:
            assert found.key is not None
            trying = await self._outage.turn(found.key, lambda: self._ended_early)
            # What is asked and not kept yet is lost when the process is killed: never more than the slots.
            await self._until(lambda: self._ended_early or self._unkept < self._gate.width)
            if not (trying or self._outage.is_over):
                continue  # the network went away meanwhile
            self._unkept += 1
            try:
                row = await self._asked_and_kept(item, found, begun, time_of, trying=trying)
            finally:
                self._unkept -= 1
                self._move()
        found.messages = None
        return row

    async def _asked_and_kept(
        self, item: Item, found: Found, begun: float, time_of: int, *, trying: bool
    ) -> Row | Later | None:
        told = await self._tried(item, found, begun, trying=trying)
        if told is None:
            return None
        found.messages = None  # a picture is let go as soon as it was sent
        if told.busy and self._may_wait(item, time_of):
            return Later(told.row)  # the ledger does not hear of it: a run that is killed now asks again
        assert found.key is not None
        try:
            await asyncio.wrap_future(self._memory.keep(found.key, told.row.as_dict()))
        except (glmv.LimitExceeded, LedgerUnreadable) as full:
            self._give_up(full)  # the row itself is handed on: it is paid for
        self._progress.count(told.row, emulated=told.emulated)
        return told.row

    def _may_wait(self, item: Item, time_of: int) -> bool:
        """Whether an item that found everybody busy is asked again later."""
        if time_of >= len(BUSY_PAUSES) or self._ended_early:
            return False
        size = 0 if self._ordered else _size(item)
        if self._aside_bytes + size > ASIDE:
            return False
        self._aside_bytes += size
        return True

    async def _tried(self, item: Item, found: Found, begun: float, *, trying: bool) -> _Told | None:
        """Ask once. None where it is asked again, or nobody is any more."""
        await self._until(lambda: self._ended_early or self._budget.allows or not self._budget.under_way)
        if not self._ended_early:
            self._look()
        if self._ended_early:
            self._outage.let_go(trying=trying)
            return None
        assert found.key is not None
        self._budget.begin()
        usage = None
        options = self._question.options | ({"max_retries": 0} if trying else {})
        try:
            answer = await self._client.chat(found.messages, model=self._question.model, **options)
            self._outage.heard(found.key)
            usage = answer.usage
            return _Told(self._question.row_of(item, answer, time.monotonic() - begun), is_emulated(answer))
        except FATAL as error:
            self._give_up(error)
            return None
        except Exception as error:  # noqa: BLE001 - one item that fails, in whatever way, is its row
            try:
                last = self._ended and all(self._outage.has_broken(key) for key in {*self._asked, found.key})
                if self._outage.failed(error, found.key, trying=trying, last=last):
                    return None
            except glmv.GLMVError as same_for_all:
                self._give_up(same_for_all)
                return None
            row = failed(item, error, time.monotonic() - begun)
            usage = row.usage
            return _Told(row, is_emulated(error), is_busy(error))
        finally:
            self._outage.let_go(trying=trying)
            self._budget.end(self._model, usage)
            self._progress.width = self._gate.width
            self._move()

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            await self._moved.wait()

    def _move(self) -> None:
        """Let those who wait in `_until` look again."""
        self._moved.set()
        self._moved.clear()

    def _look(self) -> None:
        """Stop where the next call cannot be paid for, or its answer could not be kept."""
        if not self._budget.allows:
            self.stop("the budget is spent")
        try:
            self._memory.room()
        except glmv.LimitExceeded as full:
            self._give_up(full)

    @property
    def _ended_early(self) -> bool:
        return self._progress.stopped is not None or self._fatal is not None

    def _give_up(self, error: Exception) -> None:
        self._fatal = self._fatal or error
        self.stop(str(error))


def _taken(items: deque[Item]) -> Iterator[Item]:
    while items:
        yield items.popleft()


def _size(item: Item) -> int:
    """Bytes of memory that an item takes, about."""
    match item.source:
        case bytes() | bytearray() | memoryview():
            held = len(item.source)
        case glmv.Image() | glmv.Video() | glmv.File():
            held = item.source.size or 0
        case str() | os.PathLike() | None:
            held = 0
        case _:  # a picture of Pillow
            width, height = getattr(item.source, "size", (0, 0))
            held = width * height * 4
    return 1024 + held + sum(len(value) for value in item.columns.values() if isinstance(value, str | bytes))


def _parts(messages: Any) -> Iterator[Any]:
    """All parts of messages, in whatever way the user's own function put them together."""
    match messages:
        case glmv.Message():
            yield from messages.content
        case list() | tuple():
            for one in messages:
                yield from _parts(one)
        case _:
            yield messages
