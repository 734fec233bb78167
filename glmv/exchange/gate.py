"""How many calls may be under way for an account, host and model in this process. First come, first served.

The platform counts requests in flight, not requests a minute (docs.bigmodel.cn, "速率限制"), and refuses the one too
many with 1302. A gate that knows the number sends 100 calls through 10 slots with 100 requests. When the platform
says "busy" all the same, the gate narrows, and widens again slowly.

A gate never waits. A call that has to wait gets a `Ticket`, which calls back when a slot is free.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Literal

# Where no number is documented: the pool limit of the platform's own SDKs (zhipuai and zai `_constants.py`).
DEFAULT_WIDTH = 50
# What is left of the width when the platform says "busy".
NARROW = 0.7

State = Literal["waiting", "in", "left"]


class Ticket:
    """A place in the queue, then a slot. `leave` it in any state, once or more."""

    __slots__ = ("_gate", "epoch", "notify", "since", "state", "what")

    def __init__(self, gate: Gate, what: str, notify: Callable[[], None]) -> None:
        self._gate = gate
        self.what = what
        self.notify = notify
        self.state: State = "waiting"
        self.since = time.monotonic()
        self.epoch = 0

    def leave(self, *, busy: bool = False, good: bool = False) -> None:
        """Give the slot or the place in the queue back; the next in the queue is called.

        Args:
            busy: the platform said that there are too many calls.
            good: it answered.
        """
        self._gate.leave(self, busy=busy, good=good)


class Gate:
    """The slots of one account, host and model."""

    def __init__(self, name: str, width: int) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._leaving: deque[tuple[Ticket, bool, bool]] = deque()
        self._most = width
        self._width = float(width)
        self._holders: OrderedDict[int, Ticket] = OrderedDict()
        self._queue: deque[Ticket] = deque()
        self._epoch = 0
        self._good = 0
        self._moved = time.monotonic()

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

    def widen_to(self, width: int) -> None:
        """Take the user's own number; what was learnt from "busy" is forgotten."""
        with self._lock:
            if width == self._most:
                return
            self._most, self._width = width, float(width)
            called = self._call()
        _notify(called)
        self._settle()

    def enter(self, what: str, notify: Callable[[], None]) -> Ticket:
        """Ask for a slot. The ticket's `state` is "in" when there is one now; else `notify` is called once there is.

        Args:
            what: who asks, for the message to others who wait in vain.
            notify: called from whatever thread leaves; must not block.
        """
        ticket = Ticket(self, what, notify)
        with self._lock:
            self._queue.append(ticket)
            called = self._call()
        _notify([other for other in called if other is not ticket])
        self._settle()
        return ticket

    def leave(self, ticket: Ticket, *, busy: bool, good: bool) -> None:
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

    def _strike(self, ticket: Ticket, busy: bool, good: bool) -> None:
        match ticket.state:
            case "waiting":
                self._queue.remove(ticket)
            case "in":
                del self._holders[id(ticket)]
                self._learn(ticket, busy=busy, good=good)
            case "left":
                return
        ticket.state = "left"

    def holders(self) -> str:
        """Who holds the slots, for people."""
        now = time.monotonic()
        with self._lock:
            held = [f"{ticket.what}, for {now - ticket.since:.1f} s" for ticket in self._holders.values()]
        self._settle()
        shown = "; ".join(held[:5]) + (f"; and {len(held) - 5} more" if len(held) > 5 else "")
        return f"{len(held)} of {self.width} slots of {self.name} are held ({shown or 'by nobody'})"

    def _call(self) -> list[Ticket]:
        called = []
        while self._queue and len(self._holders) < self.width:
            ticket = self._queue.popleft()
            ticket.state = "in"
            ticket.epoch = self._epoch
            ticket.since = self._moved = time.monotonic()
            self._holders[id(ticket)] = ticket
            called.append(ticket)
        return called

    def _learn(self, ticket: Ticket, *, busy: bool, good: bool) -> None:
        if busy and ticket.epoch == self._epoch:
            # Those that were sent before we narrowed tell the same news again: they count once.
            self._width = max(1.0, min(self._width, len(self._holders) + 1.0) * NARROW)
            self._epoch += 1
            self._good = 0
        elif good and self._width < self._most:
            self._good += 1
            if self._good >= self.width:
                self._good = 0
                self._width = min(float(self._most), self._width + 1)


def _notify(called: list[Ticket]) -> None:
    for ticket in called:
        try:
            ticket.notify()
        except RuntimeError:  # the event loop that waited is closed: nobody will use this slot
            ticket.leave()


_gates: dict[tuple[str, str, str], Gate] = {}
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
            return found
    if width is not None:
        found.widen_to(width)
    return found


def _after_fork() -> None:
    """A child has none of the calls that its parent has under way."""
    global _gates_lock  # the parent's lock may be held by a thread that does not exist here
    _gates_lock = threading.Lock()
    _gates.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
