"""Several processes on one account, with a simulated clock: their gates share the server's slots and lose no call."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from glmv import RateLimitError
from glmv.exchange.gate import Gate, Ticket
from glmv.exchange.retry import Policy, Tries
from glmv.wire.codes import Retry


class Result(NamedTuple):
    answered: int
    failed: int
    requests_each: float
    to_ideal: float


class Simulation:
    """Processes with a gate each, and a server that refuses calls beyond its slots. All times are seconds."""

    def __init__(self, seed: int, slots: int, takes: float) -> None:
        self.now = 0.0
        self.dice = random.Random(seed)
        self.slots, self.takes = slots, takes
        self.under_way = self.requests = self.answered = self.failed = 0
        self.last = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), what))

    def run(self, processes: int, calls: int, width: int) -> Result:
        for _ in range(processes):
            process = Process(self, width)
            self.after(self.dice.uniform(0, 0.5), lambda process=process: process.begin(calls))  # type: ignore[misc]
        while self._events:
            self.now, _, what = heapq.heappop(self._events)
            what()
        number = processes * calls
        ideal = number * self.takes / max(self.slots, 1)
        return Result(self.answered, self.failed, self.requests / number, self.last / ideal)


class Process:
    """Calls of one process; each takes some processor time."""

    def __init__(self, simulation: Simulation, width: int) -> None:
        self.simulation = simulation
        self.gate = Gate("glm", width, lambda: simulation.now, simulation.dice.random)
        self.free_at = 0.0
        self.queue: deque[Any] = deque()

    def begin(self, calls: int) -> None:
        for _ in range(calls):
            tries = Tries(Policy(gate=self.gate, clock=lambda: self.simulation.now, chance=self.simulation.dice.random))
            self.enter(tries, None)

    def enter(self, tries: Tries, after: Ticket | None) -> None:
        results: list[Ticket] = []

        def called() -> None:
            ticket = results[0]
            if ticket.state == "in":
                self.send(tries, ticket)
            elif (moment := self.gate.looks_at(ticket)) is not None:
                self.simulation.after(moment - self.simulation.now, self.gate.look)

        results.append(self.gate.enter("a call", lambda: self.simulation.after(0.0, called), after=after))
        called()

    def send(self, tries: Tries, ticket: Ticket) -> None:
        tries.begin()
        self.free_at = max(self.free_at, self.simulation.now) + self.simulation.dice.uniform(0.001, 0.004)
        self.simulation.after(self.free_at - self.simulation.now + 0.003, lambda: self.arrive(tries, ticket))

    def arrive(self, tries: Tries, ticket: Ticket) -> None:
        simulation = self.simulation
        simulation.requests += 1
        if simulation.under_way >= simulation.slots:
            simulation.after(0.003, lambda: self.refused(tries, ticket))
            return
        simulation.under_way += 1
        simulation.after(simulation.takes, lambda: self.answer(ticket))

    def answer(self, ticket: Ticket) -> None:
        self.simulation.under_way -= 1
        self.simulation.after(0.003, lambda: self.answered(ticket))

    def answered(self, ticket: Ticket) -> None:
        ticket.leave(good=True)
        self.simulation.answered += 1
        self.simulation.last = self.simulation.now

    def refused(self, tries: Tries, ticket: Ticket) -> None:
        error = RateLimitError("busy", status_code=429, code="1302")
        ticket.leave(busy=tries.busy(error, Retry.BUSY))
        if tries.again(error, Retry.BUSY) is None:
            self.simulation.failed += 1
        else:
            self.enter(tries, ticket)


@pytest.mark.parametrize("seed", range(10))
def test_four_processes_that_share_ten_slots_get_all_answers_with_few_refusals(seed: int) -> None:
    result = Simulation(seed, 10, 0.5).run(4, 100, 10)
    assert (result.answered, result.failed) == (400, 0)
    assert result.requests_each <= 1.3
    assert result.to_ideal <= 1.5


@pytest.mark.parametrize("seed", range(5))
def test_four_processes_with_long_calls_share_ten_slots_and_get_all_answers(seed: int) -> None:
    result = Simulation(seed, 10, 5.0).run(4, 100, 10)
    assert (result.answered, result.failed) == (400, 0)
    assert result.requests_each <= 1.4
    assert result.to_ideal <= 1.5


@pytest.mark.parametrize(("calls", "width", "slots"), [(200, 50, 3), (300, 100, 1), (100, 10, 3), (100, 10, 10)])
@pytest.mark.parametrize("seed", range(3))
def test_a_process_loses_no_call_even_if_its_limit_exceeds_the_servers_slots(
    calls: int, width: int, slots: int, seed: int
) -> None:
    result = Simulation(seed, slots, 0.5).run(1, calls, width)
    assert (result.answered, result.failed) == (calls, 0)
    assert result.requests_each <= 2.0
    assert result.to_ideal <= 1.5


def test_a_server_that_refuses_all_calls_gets_few_requests() -> None:
    simulation = Simulation(1, 0, 0.5)
    result = simulation.run(1, 3, 10)
    assert (result.answered, result.failed) == (0, 3)
    assert simulation.requests <= 3 * 4 + 3  # refusals beside others that may still be answered are free
