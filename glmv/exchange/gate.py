"""How many calls may be under way for an account, host and model in this process. First come, first served.

The platform counts requests in flight, not requests a minute (docs.bigmodel.cn, "速率限制"), and refuses the one too
many with 1302. A gate that knows the number sends 100 calls through 10 slots with 100 requests.

Where others use the account, too, the platform says "busy" all the same. Then a gate does what TCP does where a
network is full (RFC 5681): its width shrinks by a share, at once, and grows by a step after a round of answers. It
gives no slot for a moment, which grows with each refusal in a row; an answer ends it, as the slot of that call is free
there now. A refused call comes back to its place in the queue.

A gate never waits. A call that has to wait gets a `Ticket`, which calls back when a slot is free, or when it is the one
that has to look again at the end of a pause (`Gate.looks_at`).
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

# Where no number is documented: the pool limit of the platform's own SDKs (zhipuai and zai `_constants.py`).
DEFAULT_WIDTH = 50
# What is left of the width when the platform says "busy".
NARROW = 0.7
# The width grows by one after so many answers for each slot that it has, and by more each time that goes well.
ROUNDS = 1.5
FASTER = 1.3
# Seconds of the pause after a refusal, by how much it grows with each further one in a row, and its bound. The pause
# is random, from half of that to all of it, so that processes do not come back together.
PAUSE, LONGER, LONGEST = 0.5, 1.5, 8.0
# Seconds in which all calls are refused and none is answered; who waited through them waits no more.
STANDSTILL = 60.0
# Gates without a call that are kept for what they have learnt. Servers with their users' keys have one for each.
KEPT = 256

State = Literal["waiting", "in", "left"]


class Caller(NamedTuple):
    """The thread, and where a loop runs in it the task, that asks for a slot."""

    thread: int
    task: weakref.ref[object] | None


class Busy(NamedTuple):
    """The platform refused a call as one too many.

    Attributes:
        pauses: whether the gate gives no slot for a moment; else it only narrows.
        asked: seconds that the server asks to wait, or None.
        status, code: of the refusal, for messages.
    """

    pauses: bool = True
    asked: float | None = None
    status: int | None = None
    code: str | None = None


class Ticket:
    """A place in the queue, then a slot. `leave` it in any state, once or more.

    Attributes:
        what: who asks, for messages.
        by: the thread and task that ask, or None.
        number: the place in the queue: lower ones come first.
        refused: how often the call was refused.
        since: when it came, or got its slot, in monotonic seconds.
        state: "waiting", "in" with a slot, or "left".
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
        self.epoch = 0

    def leave(self, *, busy: Busy | None = None, good: bool = False) -> None:
        """Give the slot or the place in the queue back; the next in the queue is called.

        Args:
            busy: the platform said that there are too many calls.
            good: it answered.
        """
        self._gate.leave(self, busy=busy, good=good)


class Gate:
    """The slots of one account, host and model.

    Args:
        name: for messages.
        width: calls at once.
        clock, chance: monotonic seconds, and a random number from 0 to 1.
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
        self._again: list[Ticket] = []  # refused calls, by number; all of them came before those in `_queue`
        self._epoch = 0
        self._good = 0
        self._step = 1.0
        self._moved = clock()
        self._answered = 0
        self._in_a_row = 0
        self._paused_until = self._asked_until = clock()
        self._refused_at = self._standing_since = 0.0
        self._refusal: Busy | None = None
        self._looks: Ticket | None = None

    @property
    def width(self) -> int:
        """Calls that may be under way now."""
        return max(1, int(self._width))

    @property
    def in_use(self) -> int:
        """Calls that are under way now."""
        return len(self._holders)

    @property
    def moved(self) -> float:
        """When a slot was last given (monotonic seconds): while it moves, waiting makes sense."""
        return self._moved

    @property
    def answered(self) -> int:
        """Calls that were answered so far: while it grows, the queue moves."""
        return self._answered

    @property
    def paused_until(self) -> float:
        """Before this moment no slot is given, unless a call is answered (monotonic seconds)."""
        return self._paused_until

    @property
    def refusal(self) -> Busy | None:
        """The last refusal, if nothing was answered since; else None."""
        return self._refusal

    def stands_still(self, started: float) -> bool:
        """Whether all calls were refused, and none answered, for so long since `started` that waiting is in vain.

        It takes a refusal to say so: a call that is under way for long may still be answered.
        """
        return self._refusal is not None and self._refused_at >= max(started, self._standing_since) + STANDSTILL

    def looks_at(self, ticket: Ticket) -> float | None:
        """When this waiting ticket has to call `look`, as it is first when a pause ends; None for the others."""
        return self._paused_until if ticket is self._looks and self._paused_until > self.clock() else None

    def look(self) -> None:
        """Give out the slots that are free by now."""
        with self._lock:
            called = self._call()
        _notify(called)
        self._settle()

    def widen_to(self, width: int) -> None:
        """Take the user's own number; what was learnt from "busy" is forgotten."""
        with self._lock:
            if width == self._most:
                return
            self._most, self._width, self._step = width, float(width), 1.0
            called = self._call()
        _notify(called)
        self._settle()

    def enter(
        self, what: str, notify: Callable[[], None], *, after: Ticket | None = None, by: Caller | None = None
    ) -> Ticket:
        """Ask for a slot. The ticket's `state` is "in" when there is one now; else `notify` is called once there is.

        Args:
            what: who asks, for the message to others who wait in vain.
            notify: called from whatever thread leaves; must not block. It may be called before there is a slot, too,
                and then `looks_at` tells of a new moment.
            after: the ticket with which the same call was refused; it gets its place again.
            by: the thread and task that ask.
        """
        with self._lock:
            if after is None:
                ticket = Ticket(self, what, notify, next(self._numbers), 0, by)
                self._queue.append(ticket)
            else:
                ticket = Ticket(self, what, notify, after.number, after.refused + 1, by)
                bisect.insort(self._again, ticket, key=_number)
            called = self._call()
        _notify([other for other in called if other is not ticket])
        self._settle()
        return ticket

    def leave(self, ticket: Ticket, *, busy: Busy | None, good: bool) -> None:
        """See `Ticket.leave`."""
        self._leaving.append((ticket, busy, good))
        self._settle()

    def _settle(self) -> None:
        """Strike those off who left.

        Garbage collection closes forgotten streams at any moment, also while this very thread holds the lock. So
        who leaves never waits for it: who holds it looks again after giving it back.
        """
        while self._leaving and self._lock.acquire(blocking=False):
            try:
                while self._leaving:
                    self._strike(*self._leaving.popleft())
                called = self._call()
            finally:
                self._lock.release()
            _notify(called)

    def _strike(self, ticket: Ticket, busy: Busy | None, good: bool) -> None:
        match ticket.state:
            case "waiting":
                (self._queue if ticket.refused == 0 else self._again).remove(ticket)
            case "in":
                del self._holders[id(ticket)]
                self._learn(ticket, busy=busy, good=good)
            case "left":
                return
        ticket.state = "left"

    def holders(self) -> str:
        """Who holds the slots, for people."""
        now = self.clock()
        with self._lock:
            held = [f"{ticket.what}, for {now - ticket.since:.1f} s" for ticket in self._holders.values()]
        self._settle()
        shown = "; ".join(held[:5]) + (f"; and {len(held) - 5} more" if len(held) > 5 else "")
        told = f"{len(held)} of {self.width} slots of {self.name} are held ({shown or 'by nobody'})"
        refusal = self._refusal
        if refusal is None or not self._in_a_row:
            return told
        return f"{told}, and the server refuses calls as too many at once ({refusal.code or refusal.status})"

    def own(self, by: Caller, *, blocking: bool) -> str | None:
        """Who of the holders is of the same task, or thread where that is blocked, for people; None when nobody is."""
        now = self.clock()
        with self._lock:
            for held in self._holders.values():
                if held.by is not None and (held.by.thread == by.thread if blocking else held.by.task == by.task):
                    return f"{held.what}, for {now - held.since:.1f} s"
        self._settle()
        return None

    def _call(self) -> list[Ticket]:
        """Gives the free slots out, and returns whom to call: those, and who has to look again after a pause."""
        now = self.clock()
        called = []
        while now >= self._paused_until and (self._queue or self._again) and len(self._holders) < self.width:
            ticket = self._next()
            ticket.state = "in"
            ticket.epoch = self._epoch
            ticket.since = self._moved = now
            self._holders[id(ticket)] = ticket
            called.append(ticket)
        first = None
        if now < self._paused_until and (self._queue or self._again):
            first = self._again[0] if self._again else self._queue[0]
            if first is not self._looks:
                called.append(first)
        self._looks = first
        return called

    def _next(self) -> Ticket:
        # While nobody is answered, the calls that were refused least try: no call uses up its attempts alone.
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
            # This call's slot is free there, whoever else uses the account.
            self._paused_until = max(min(self._paused_until, now), self._asked_until)
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
        is_first = ticket.epoch == self._epoch
        if not is_first:
            # It was sent before we narrowed. It tells only that what is under way is as much as there is room for.
            self._width = max(1.0, min(self._width, float(under_way)))
        else:
            self._width = max(1.0, min(self._width, under_way + 1.0) * NARROW)
            self._epoch += 1
            self._good, self._step = 0, 1.0
        if busy.pauses and (is_first or busy.asked):
            self._in_a_row += is_first
            self._paused_until = max(self._paused_until, now + self._pause(busy))
            if busy.asked:
                self._asked_until = self._paused_until

    def _pause(self, busy: Busy) -> float:
        """Seconds of the pause after a refusal."""
        if busy.asked:
            # "Retry-After indicates how long the user agent ought to wait" (RFC 9110, 10.2.3): never sooner; up to a
            # tenth later, so that not all processes come back at once.
            return busy.asked + self._chance() * min(0.1 * busy.asked, 3.0)
        longest = min(LONGEST, PAUSE * LONGER ** (self._in_a_row - 1))
        return longest * (0.5 + 0.5 * self._chance())


def _number(ticket: Ticket) -> int:
    return ticket.number


def _notify(called: list[Ticket]) -> None:
    for ticket in called:
        try:
            ticket.notify()
        except RuntimeError:  # the event loop that waited is closed: nobody will use this slot
            ticket.leave()


# A gate lives as long as a call or a client's user holds it; the last few that were asked for are kept, too.
_gates: weakref.WeakValueDictionary[tuple[str, str, str], Gate] = weakref.WeakValueDictionary()
_kept: OrderedDict[tuple[str, str, str], Gate] = OrderedDict()
_gates_lock = threading.Lock()


def gate(account: str, host: str, model: str, width: int | None, documented: int | None) -> Gate:
    """The gate that all clients of one account share for a model.

    Args:
        account: a name for the key that does not tell it.
        host, model: where and what; the model's case does not matter.
        width: the user's own number, or None.
        documented: the catalogue's number, or None when there is none.
    """
    key = (account, host, model.lower())
    with _gates_lock:
        found = _gates.get(key)
        if found is None:
            found = _gates[key] = Gate(model.lower(), width or documented or DEFAULT_WIDTH)
            width = None
        _kept[key] = found
        _kept.move_to_end(key)
        if len(_kept) > KEPT:
            _kept.popitem(last=False)
    if width is not None:
        found.widen_to(width)
    return found


def _after_fork() -> None:
    """A child has none of the calls that its parent has under way."""
    global _gates_lock  # the parent's lock may be held by a thread that does not exist here
    _gates_lock = threading.Lock()
    _gates.clear()
    _kept.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
