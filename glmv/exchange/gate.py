"""Limits the concurrent calls of this process for an account, host and model. First come, first served.

The platform limits concurrent requests, not requests a minute (docs.bigmodel.cn, "速率限制"), and refuses those above
the limit with code 1302. With a gate that has as many slots as the platform allows, no call is refused and sent again.

If other programs use the account, too, the platform may still refuse calls. Then a gate does what TCP does in a
congested network (RFC 5681): it reduces its width (the number of slots) immediately by a factor, and increases it again
after a round of answers. After a refusal it also pauses: it gives no slots for a time that grows with each refusal in
a row. An answer ends the pause, because it frees a slot at the server. A refused call gets its old place in the queue.

A gate never waits. A call that has to wait gets a `Ticket`. The callback of the ticket runs when the call gets a
slot. It also runs when a pause begins at whose end the owner of the ticket must call `Gate.look`: then `Gate.looks_at`
returns the time.
"""

from __future__ import annotations

import bisect
import itertools
import os
import random
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Literal, NamedTuple

# The width if no number is documented: the pool limit of the platform's own SDKs (zhipuai and zai `_constants.py`).
DEFAULT_WIDTH = 50
# The factor for the width after a refusal.
NARROW = 0.7
# The width grows after this many answers for each of its slots: by 1 first, then each time by this factor more.
ROUNDS = 1.5
FASTER = 1.3
# The pause after a refusal: seconds, factor for each further refusal in a row, and the longest. The actual pause is
# random between half of it and all of it, so that processes do not return at the same time.
PAUSE, LONGER, LONGEST = 0.5, 1.5, 8.0
# After this many seconds in which all calls were refused, a call that waited through them fails.
STANDSTILL = 60.0
# How many unused gates keep their width. A server that uses the keys of its users has a gate for each key.
KEPT = 256

State = Literal["waiting", "in", "left"]


class Caller(NamedTuple):
    """The thread that asks for a slot, and its asyncio task if there is one.

    Attributes:
        name: the name of the task or thread, for messages.
        thread: the identifier of the thread.
        task: the task, or None.
    """

    name: str
    thread: int
    task: weakref.ref[object] | None


class Busy(NamedTuple):
    """A refusal of a call because of too many concurrent calls.

    Attributes:
        pauses: whether the gate pauses, so that it gives no slots for some time. If False, it only reduces its width.
        retry_after: seconds that the server asked the client to wait, or None.
        status, code: the HTTP status and the code of the refusal, for messages.
    """

    pauses: bool = True
    retry_after: float | None = None
    status: int | None = None
    code: str | None = None


class Ticket:
    """A place in the queue, and later a slot. `leave` may be called in any state and more than once.

    Attributes:
        what: the kind of call, for messages.
        by: the thread and task of the call, or None.
        number: the place in the queue: lower numbers come first.
        refused: how often the server refused the call.
        since: when it entered the queue or got its slot, in monotonic seconds.
        state: "waiting", "in" (it has a slot), or "left".
        epoch: the period in which the ticket got its slot; a new period begins with each reduction of the width. None
            before it got a slot.
    """

    __slots__ = ("_gate", "by", "epoch", "notify", "number", "refused", "since", "state", "what")

    def __init__(
        self, gate: Gate, what: str, notify: Callable[[], None], number: int, refused: int, by: Caller | None
    ) -> None:
        self._gate = gate
        self.what = what
        self.by = by
        self.notify = notify
        self.number = number
        self.refused = refused
        self.state: State = "waiting"
        self.since = gate.clock()
        self.epoch: object = None

    def leave(self, *, busy: Busy | None = None, good: bool = False) -> None:
        """Release the slot or the place in the queue; the next call in the queue is notified.

        Args:
            busy: the refusal, if the server refused the call because of too many concurrent calls.
            good: whether the server answered the call.
        """
        self._gate.leave(self, busy=busy, good=good)


class Gate:
    """The slots of one account, host and model.

    Args:
        name: the name of the gate in messages.
        width: the number of slots.
        clock: returns monotonic seconds.
        chance: returns a random number from 0 to 1.
    """

    def __init__(
        self,
        name: str,
        width: int,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._leaving: deque[tuple[Ticket, Busy | None, bool]] = deque()
        self._most = width
        self._width = float(width)
        self._holders: OrderedDict[int, Ticket] = OrderedDict()
        self._numbers = itertools.count()
        self._queue: deque[Ticket] = deque()
        self._again: list[Ticket] = []  # refused calls by number, which is lower than the numbers in `_queue`
        self._epoch = object()
        self._good = self._answered = self._in_a_row = 0
        self._step = 1.0
        self._moved = self._paused_until = self._retry_after_until = self._refused_at = self._standing_since = clock()
        self._refusal: Busy | None = None
        self._looks: Ticket | None = None

    @property
    def width(self) -> int:
        """The current number of slots."""
        return max(1, int(self._width))

    @property
    def in_use(self) -> int:
        """The number of slots in use."""
        return len(self._holders)

    @property
    def moved(self) -> float:
        """When a call last got a slot, in monotonic seconds. While this changes, waiting makes sense."""
        return self._moved

    @property
    def answered(self) -> int:
        """The number of calls that the server answered. While it grows, the queue moves."""
        return self._answered

    @property
    def paused_until(self) -> float:
        """The end of the pause, in monotonic seconds. An answer ends the pause earlier."""
        return self._paused_until

    @property
    def refusal(self) -> Busy | None:
        """The last refusal; None if a call was answered after it."""
        return self._refusal

    def stands_still(self, started: float) -> bool:
        """Whether the server, after `started`, refused all calls for at least `STANDSTILL` seconds.

        Then waiting is useless. Without a refusal this is False: a call that takes long may still be answered.
        """
        return self._refusal is not None and self._refused_at >= max(started, self._standing_since) + STANDSTILL

    def looks_at(self, ticket: Ticket) -> float | None:
        """When the owner of this ticket has to call `look`: at the end of the pause. None if the owner need not."""
        return self._paused_until if ticket is self._looks and self._paused_until > self.clock() else None

    def look(self) -> None:
        """Give the free slots to waiting calls."""
        with self._lock:
            notified = self._give_slots()
        _notify(notified)
        self._process_releases()

    def widen_to(self, width: int) -> None:
        """Set the number of slots to the user's value. A changed value also undoes reductions that refusals caused."""
        with self._lock:
            if width == self._most:
                return
            self._most, self._width = width, float(width)
            notified = self._give_slots()
        _notify(notified)
        self._process_releases()

    def enter(
        self, what: str, notify: Callable[[], None], *, after: Ticket | None = None, by: Caller | None = None
    ) -> Ticket:
        """Ask for a slot. If one is free, the ticket's `state` is "in"; else `notify` is called when the call gets one.

        Args:
            what: the kind of call; error messages of other calls name it while this call holds a slot.
            notify: called from the thread of another call; must not block. It is also called before the call has a
                slot when the owner of the ticket has to call `look` later: then `looks_at` returns the time.
            after: the ticket of the same call when it was refused; the call gets its old place in the queue.
            by: the thread and task of the call.
        """
        with self._lock:
            if after is None:
                ticket = Ticket(self, what, notify, next(self._numbers), 0, by)
                self._queue.append(ticket)
            else:
                ticket = Ticket(self, what, notify, after.number, after.refused + 1, by)
                bisect.insort(self._again, ticket, key=_number)
            notified = self._give_slots()
        _notify([other for other in notified if other is not ticket])
        self._process_releases()
        return ticket

    def leave(self, ticket: Ticket, *, busy: Busy | None, good: bool) -> None:
        """See `Ticket.leave`."""
        self._leaving.append((ticket, busy, good))
        self._process_releases()

    def _process_releases(self) -> None:
        """Process pending releases.

        Garbage collection may close a forgotten stream at any time, also while this thread holds the lock. So a release
        never waits for the lock: the thread that holds it processes new releases after it has released the lock.
        """
        while self._leaving and self._lock.acquire(blocking=False):
            try:
                while self._leaving:
                    self._release(*self._leaving.popleft())
                notified = self._give_slots()
            finally:
                self._lock.release()
            _notify(notified)

    def _release(self, ticket: Ticket, busy: Busy | None, good: bool) -> None:
        if ticket.state == "waiting":
            (self._queue if ticket.refused == 0 else self._again).remove(ticket)
        elif ticket.state == "in":
            del self._holders[id(ticket)]
            self._learn(ticket, busy=busy, good=good)
        ticket.state = "left"

    def holders(self) -> str:
        """A sentence about the calls that hold the slots, for error messages."""
        now = self.clock()
        with self._lock:
            calls = [f"{ticket.what}, for {now - ticket.since:.1f} s" for ticket in self._holders.values()]
        self._process_releases()
        first = "; ".join(calls[:5]) + (f"; and {len(calls) - 5} more" if len(calls) > 5 else "")
        text = f"{len(calls)} of {self.width} slots of {self.name} are in use ({first or 'by no call'})"
        refusal = self._refusal
        if refusal is None or not self._in_a_row:
            return text
        return f"{text}, and the server refuses calls because too many run at once ({refusal.code or refusal.status})"

    def own(self, by: Caller, *, blocking: bool) -> str | None:
        """Describes a call that holds a slot in the same task as `by`, or returns None.

        If `blocking`, the same thread is enough.
        """
        now = self.clock()
        with self._lock:
            for ticket in self._holders.values():
                if ticket.by is not None and (ticket.by.thread == by.thread if blocking else ticket.by.task == by.task):
                    return f"{ticket.what}, for {now - ticket.since:.1f} s"
        self._process_releases()
        return None

    def _give_slots(self) -> list[Ticket]:
        """Gives free slots to waiting tickets. Returns the tickets to notify.

        These are the tickets that got a slot, and the ticket whose owner has to call `look` at the end of a pause, if
        it was not notified of this before.
        """
        if not (self._queue or self._again):
            self._looks = None
            return []
        now = self.clock()
        notified = []
        while now >= self._paused_until and (self._queue or self._again) and len(self._holders) < self.width:
            ticket = self._next()
            ticket.state = "in"
            ticket.epoch = self._epoch
            ticket.since = self._moved = now
            self._holders[id(ticket)] = ticket
            notified.append(ticket)
        first = None
        if now < self._paused_until and (self._queue or self._again):
            first = self._again[0] if self._again else self._queue[0]
            if first is not self._looks:
                notified.append(first)
        self._looks = first
        return notified

    def _next(self) -> Ticket:
        # While no call is answered, the call with the fewest refusals tries, so that no call uses up all its attempts.
        if self._again and self._refusal is not None and not self._holders:
            if self._queue:
                return self._queue.popleft()
            least = min(self._again, key=lambda ticket: ticket.refused)
            self._again.remove(least)
            return least
        return self._again.pop(0) if self._again else self._queue.popleft()

    def _learn(self, ticket: Ticket, *, busy: Busy | None, good: bool) -> None:
        now = self.clock()
        if busy is not None:
            self._narrow(ticket, busy, now)
        elif good:
            self._answered += 1
            self._refusal = None
            self._in_a_row //= 2
            # The slot of this call is free at the server now, even if other programs use the account.
            self._paused_until = max(min(self._paused_until, now), self._retry_after_until)
            if self._width < self._most:
                self._good += 1
                if self._good >= self.width * ROUNDS:
                    self._good = 0
                    self._width = min(float(self._most), self._width + self._step)
                    self._step *= FASTER

    def _narrow(self, ticket: Ticket, busy: Busy, now: float) -> None:
        under_way = len(self._holders)
        if now - max(self._refused_at, self._paused_until) > STANDSTILL:
            self._in_a_row, self._refusal = 0, None
        if self._refusal is None or under_way:
            self._standing_since = now
        self._refused_at, self._refusal = now, busy
        is_first = ticket.epoch is self._epoch
        if not is_first:
            # It was sent before the last reduction: the server accepts no more than the running calls.
            self._width = max(1.0, min(self._width, float(under_way)))
        else:
            self._width = max(1.0, min(self._width, under_way + 1.0) * NARROW)
            self._epoch = object()
            self._good, self._step = 0, 1.0
        if busy.pauses and (is_first or busy.retry_after):
            self._in_a_row += is_first
            self._paused_until = max(self._paused_until, now + self._pause(busy))
            if busy.retry_after:
                self._retry_after_until = self._paused_until

    def _pause(self, busy: Busy) -> float:
        """The pause after a refusal, in seconds."""
        if busy.retry_after:
            # "Retry-After indicates how long the user agent ought to wait" (RFC 9110, 10.2.3): never sooner; up to a
            # tenth later, so that not all processes return at once.
            return busy.retry_after + self._chance() * min(0.1 * busy.retry_after, 3.0)
        longest = min(LONGEST, PAUSE * LONGER ** (self._in_a_row - 1))
        return longest * (0.5 + 0.5 * self._chance())


def _number(ticket: Ticket) -> int:
    return ticket.number


def _notify(tickets: list[Ticket]) -> None:
    for ticket in tickets:
        try:
            ticket.notify()
        except RuntimeError:  # the event loop of the call is closed: the call will not use its slot
            ticket.leave()


# A gate lives as long as something refers to it, and the last `KEPT` ones live longer.
_gates: weakref.WeakValueDictionary[tuple[str, str, str], Gate] = weakref.WeakValueDictionary()
_recent: OrderedDict[tuple[str, str, str], Gate] = OrderedDict()
_gates_lock = threading.Lock()


def gate(account: str, host: str, model: str, width: int | None, documented: int | None) -> Gate:
    """The gate that all clients of one account share for a model.

    Args:
        account: a name that stands for the key and does not reveal the key.
        host, model: the host and the model of the calls; the case of the model does not matter.
        width: the user's number of slots, or None.
        documented: the number of slots that the catalogue has for this model, or None.
    """
    key = (account, host, model.lower())
    with _gates_lock:
        shared = _gates.get(key)
        if shared is None:
            shared = _gates[key] = Gate(model.lower(), width or documented or DEFAULT_WIDTH)
            width = None
        _recent[key] = shared
        _recent.move_to_end(key)
        if len(_recent) > KEPT:
            _recent.popitem(last=False)
    if width is not None:
        shared.widen_to(width)
    return shared


def _after_fork() -> None:
    """Removes all gates in a forked child process, which has none of its parent's calls."""
    global _gates_lock  # the parent's lock may be held by a thread that does not exist here
    _gates_lock = threading.Lock()
    _gates.clear()
    _recent.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
