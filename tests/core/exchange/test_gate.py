"""The limit of calls at once: calls enter in the order they came, and fewer at once after a refusal."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
import uuid
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

import glmv
from glmv.exchange.gate import DEFAULT_WIDTH, KEPT, LONGEST, STANDSTILL, Busy, Caller, Gate, gate

BUSY = {"error": {"code": "1302", "message": "busy"}}
ANSWER = {"id": "1", "choices": [{"finish_reason": "stop", "message": {"content": "hello"}}]}
STREAM = b'data: {"choices": [{"delta": {"content": "hel"}}]}\n\n'
REST = b'data: {"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


class Crowd:
    """Callers waiting at a gate; the order in which they enter is recorded."""

    def __init__(self, width: int) -> None:
        self.now = 1000.0
        self.gate = Gate("glm", width, lambda: self.now, lambda: 1.0)
        self.called: list[str] = []

    def enter(self, name: str, notify: Callable[[], None] | None = None) -> Any:
        return self.gate.enter(name, notify or (lambda: self.called.append(name)))


def test_calls_beyond_the_number_of_slots_wait_and_enter_in_order() -> None:
    crowd = Crowd(2)
    a, b, c, d, e = (crowd.enter(name) for name in "abcde")
    assert [ticket.state for ticket in (a, b, c, d, e)] == ["in", "in", "waiting", "waiting", "waiting"]
    b.leave()
    assert (crowd.called, c.state, crowd.gate.in_use) == (["c"], "in", 2)
    a.leave()
    c.leave()
    assert (crowd.called, e.state) == (["c", "d", "e"], "in")


def test_a_caller_that_gave_up_waiting_does_not_get_a_slot() -> None:
    crowd = Crowd(1)
    a, b, c = (crowd.enter(name) for name in "abc")
    b.leave()
    a.leave()
    assert (crowd.called, b.state, c.state) == (["c"], "left", "in")


def test_the_second_release_of_a_slot_has_no_effect() -> None:
    crowd = Crowd(1)
    a, b, c = (crowd.enter(name) for name in "abc")
    a.leave()
    a.leave()
    assert (b.state, c.state, crowd.gate.in_use) == ("in", "waiting", 1)


def test_refusals_of_several_calls_sent_together_reduce_the_slots_once() -> None:
    crowd = Crowd(10)
    tickets = [crowd.enter(str(number)) for number in range(10)]
    for ticket in tickets[:3]:
        ticket.leave(busy=Busy())
    assert crowd.gate.width == 7  # seven are under way


def test_a_gate_whose_calls_are_all_refused_lets_one_call_try() -> None:
    crowd = Crowd(10)
    tickets = [crowd.enter(str(number)) for number in range(10)]
    for ticket in tickets:
        ticket.leave(busy=Busy())
    assert crowd.gate.width == 1


def test_a_gate_always_has_at_least_one_slot() -> None:
    crowd = Crowd(1)
    for _ in range(5):
        crowd.enter("a").leave(busy=Busy())
        crowd.now += LONGEST
    assert crowd.gate.width == 1
    assert crowd.enter("b").state == "in"


def test_successful_answers_slowly_raise_the_slots_of_a_gate_to_its_limit() -> None:
    crowd = Crowd(4)
    results = [crowd.enter("a") for _ in range(4)]
    results[0].leave(busy=Busy())
    for ticket in results[1:]:
        ticket.leave()
    assert crowd.gate.width == 2
    crowd.now += LONGEST
    widths = []
    for _ in range(12):
        crowd.enter("a").leave(good=True)
        widths.append(crowd.gate.width)
    assert widths == [2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4]


def test_each_increase_of_slots_is_three_tenths_larger_than_the_increase_before_it() -> None:
    crowd = Crowd(100)
    crowd.enter("a").leave(busy=Busy())
    crowd.now += LONGEST
    widths = [1]
    for _ in range(42):
        crowd.enter("a").leave(good=True)
        if crowd.gate.width != widths[-1]:
            widths.append(crowd.gate.width)
    assert widths == [1, 2, 3, 4, 7, 10, 13]


def test_a_gate_that_had_all_slots_for_long_regains_them_slowly_after_a_refusal() -> None:
    crowd = Crowd(20)
    first, *others, old = [crowd.enter("a") for _ in range(10)]
    first.leave(busy=Busy())
    for ticket in others:
        ticket.leave()
    crowd.now += LONGEST
    for _ in range(500):
        crowd.enter("a").leave(good=True)
    assert crowd.gate.width == 20
    old.leave(busy=Busy())  # it was sent before the first refusal, and no other call is under way
    crowd.now += LONGEST
    widths = [crowd.gate.width]
    for _ in range(8):
        crowd.enter("a").leave(good=True)
        widths.append(crowd.gate.width)
    assert widths[0] == 1
    assert widths[-1] < 20


def test_calls_that_end_without_an_answer_add_no_slots_to_the_gate() -> None:
    crowd = Crowd(4)
    crowd.enter("a").leave(busy=Busy())
    crowd.now += LONGEST
    for _ in range(50):
        crowd.enter("a").leave()
    assert crowd.gate.width == 1


def test_every_refusal_pauses_all_calls_of_a_gate_longer_than_the_previous_refusal() -> None:
    crowd = Crowd(1)
    pauses = []
    for _ in range(8):
        crowd.enter("a").leave(busy=Busy())
        assert crowd.enter("early").state == "waiting"
        pauses.append(crowd.gate.paused_until - crowd.now)
        crowd.now = crowd.gate.paused_until
        crowd.gate.look()
        assert crowd.called[-1] == "early"
        for ticket in list(crowd.gate._holders.values()):
            ticket.leave()
    assert pauses == pytest.approx([0.5, 0.75, 1.125, 1.6875, 2.53125, 3.796875, 5.6953125, 8.0])


def test_an_answer_halves_the_number_of_refusals_on_which_the_next_pause_depends() -> None:
    crowd = Crowd(1)
    for _ in range(5):
        crowd.enter("a").leave(busy=Busy())
        crowd.now += LONGEST
    crowd.enter("a").leave(good=True)
    crowd.enter("a").leave(busy=Busy())
    assert crowd.gate.paused_until - crowd.now == 1.125  # as after the third one


def test_pauses_are_random_so_that_processes_do_not_retry_together() -> None:
    results = []
    for chance in (0.0, 0.5, 1.0):
        one = Gate("glm", 1, lambda: 0.0, lambda chance=chance: chance)  # type: ignore[misc]  # bound here
        one.enter("a", lambda: None).leave(busy=Busy())
        results.append(one.paused_until)
    assert results == [0.25, 0.375, 0.5]


def test_an_answer_ends_the_pause_and_a_waiting_call_gets_its_slot() -> None:
    crowd = Crowd(4)
    results = [crowd.enter("a") for _ in range(4)]
    results[0].leave(busy=Busy())
    assert crowd.enter("b").state == "waiting"
    for ticket in results[1:]:
        ticket.leave(good=True)
    assert crowd.called == ["b"]


def test_a_gate_pauses_for_the_whole_retry_after_even_if_other_calls_are_answered() -> None:
    crowd = Crowd(4)
    results = [crowd.enter("a") for _ in range(4)]
    results[0].leave(busy=Busy(retry_after=20.0))
    waiting = crowd.enter("b")
    for ticket in results[1:]:
        ticket.leave(good=True)
    assert (waiting.state, crowd.gate.paused_until - crowd.now) == ("waiting", 22.0)
    crowd.now += 22.0
    crowd.gate.look()
    assert waiting.state == "in"


def test_a_server_error_reduces_the_slots_of_a_gate_without_a_pause() -> None:
    crowd = Crowd(4)
    crowd.enter("a").leave(busy=Busy(pauses=False))
    assert (crowd.gate.width, crowd.enter("b").state) == (1, "in")


def test_a_refused_call_returns_to_its_place_in_the_queue() -> None:
    crowd = Crowd(3)
    a, b, c = (crowd.enter(name) for name in "abc")
    crowd.enter("d")
    b.leave(busy=Busy())
    a.leave(busy=Busy())
    again = [crowd.gate.enter("b", lambda: crowd.called.append("b"), after=b)]
    again.append(crowd.gate.enter("a", lambda: crowd.called.append("a"), after=a))
    crowd.called.clear()
    c.leave(good=True)
    while (held := list(crowd.gate._holders.values())) and len(crowd.called) < 3:
        held[0].leave(good=True)
    assert crowd.called == ["a", "b", "d"]


def test_while_no_call_is_answered_the_call_with_fewest_refusals_is_sent_next() -> None:
    crowd = Crowd(1)
    order = []
    tickets = {name: crowd.enter(name) for name in "abc"}
    for _ in range(6):
        crowd.now += LONGEST
        crowd.gate.look()
        name, ticket = next((name, ticket) for name, ticket in tickets.items() if ticket.state == "in")
        order.append(name)
        ticket.leave(busy=Busy())
        tickets[name] = crowd.gate.enter(name, lambda: None, after=ticket)
    assert order == ["a", "b", "c", "a", "b", "c"]


def test_only_the_first_waiting_call_checks_the_gate_at_the_end_of_a_pause() -> None:
    crowd = Crowd(1)
    crowd.enter("a").leave(busy=Busy())
    b, c = crowd.enter("b"), crowd.enter("c")
    assert (crowd.gate.looks_at(b), crowd.gate.looks_at(c)) == (crowd.gate.paused_until, None)
    b.leave()
    assert crowd.called == ["c"]  # so that it asks when to look
    assert crowd.gate.looks_at(c) == crowd.gate.paused_until


def test_a_call_stops_waiting_after_a_minute_in_which_all_calls_are_refused() -> None:
    crowd = Crowd(1)
    started = crowd.now
    crowd.enter("a").leave(busy=Busy())
    waiting = 0
    while not crowd.gate.stands_still(started):
        crowd.now += LONGEST
        waiting += 1
        crowd.enter("a").leave(busy=Busy())
    assert STANDSTILL <= crowd.now - started <= STANDSTILL + LONGEST
    assert waiting < 12
    assert not crowd.gate.stands_still(crowd.now)  # a new call has its own minute
    crowd.now += LONGEST
    crowd.enter("a").leave(good=True)
    assert not crowd.gate.stands_still(started)


def test_after_a_pause_of_over_a_minute_the_next_refusal_ends_the_wait_of_a_call() -> None:
    crowd = Crowd(1)
    started = crowd.now
    crowd.enter("a").leave(busy=Busy(retry_after=90.0))
    assert crowd.gate.paused_until - crowd.now == 93.0  # never sooner, and at most three seconds later
    crowd.now = crowd.gate.paused_until
    assert not crowd.gate.stands_still(started)
    crowd.enter("a").leave(busy=Busy(retry_after=90.0))
    assert crowd.gate.stands_still(started)


def test_a_later_refusal_with_a_longer_retry_after_extends_the_pause() -> None:
    crowd = Crowd(4)
    a, b, c = (crowd.enter(name) for name in "abc")
    a.leave(busy=Busy())
    b.leave(busy=Busy(retry_after=20.0))
    assert crowd.gate.paused_until - crowd.now == 22.0
    c.leave(good=True)
    assert crowd.gate.paused_until - crowd.now == 22.0


def test_a_call_that_comes_after_a_pause_enters_after_the_calls_that_waited() -> None:
    crowd = Crowd(2)
    crowd.enter("a").leave(busy=Busy())
    waiting = [crowd.enter(name) for name in "bc"]
    crowd.called.clear()
    crowd.now = crowd.gate.paused_until
    last = crowd.enter("d")
    assert ([ticket.state for ticket in (*waiting, last)], crowd.called) == (["in", "waiting", "waiting"], ["b"])


def test_the_message_about_slots_names_the_last_refusal_until_a_call_is_answered() -> None:
    crowd = Crowd(4)
    assert (crowd.gate.answered, crowd.gate.refusal) == (0, None)
    refused = Busy(status=429, code="1302")
    for number in range(1, 4):
        ticket = crowd.enter("a")
        ticket.leave(busy=refused)
        again = crowd.gate.enter("a", lambda: None, after=ticket)
        assert (again.refused, crowd.gate.refusal) == (1, refused)
        again.leave()
        assert crowd.gate.holders().endswith("and the server refuses calls because too many run at once (1302)"), number
        crowd.now += LONGEST
    crowd.enter("a").leave(busy=Busy(status=429))
    assert crowd.gate.holders().endswith("too many run at once (429)")
    crowd.now += LONGEST
    crowd.enter("a").leave(good=True)
    assert (crowd.gate.answered, crowd.gate.refusal) == (1, None)
    assert crowd.gate.holders() == "0 of 1 slots of glm are in use (by no call)"


def test_the_minute_after_which_calls_stop_waiting_begins_at_the_first_refusal() -> None:
    crowd = Crowd(1)
    started = crowd.now
    for begin in (50.0, 250.0):
        crowd.now = started + begin
        for seconds, stands_still in ((0, False), (20, False), (20, False), (20, True)):
            crowd.now += seconds
            crowd.enter("a").leave(busy=Busy(pauses=False))
            assert crowd.gate.stands_still(started) is stands_still
        crowd.enter("a").leave(good=True)


def test_the_minute_after_which_calls_stop_waiting_begins_only_if_no_call_runs() -> None:
    crowd = Crowd(2)
    started = crowd.now
    crowd.enter("long")
    for _ in range(5):
        crowd.enter("a").leave(busy=Busy(pauses=False))
        assert not crowd.gate.stands_still(started)
        crowd.now += 30.0
        crowd.gate.widen_to(crowd.gate.width + 3)


def test_calls_do_not_stop_waiting_for_a_slot_while_another_call_runs() -> None:
    crowd = Crowd(1)
    started = crowd.now
    crowd.enter("a").leave(busy=Busy())
    crowd.now += LONGEST
    long = crowd.enter("a")
    crowd.now += 10 * STANDSTILL
    assert (long.state, crowd.gate.stands_still(started)) == ("in", False)


def test_a_refusal_long_after_the_previous_one_pauses_as_briefly_as_the_first() -> None:
    crowd = Crowd(1)
    for _ in range(9):
        crowd.enter("a").leave(busy=Busy())
        crowd.now += LONGEST
    crowd.now += 2 * STANDSTILL
    crowd.enter("a").leave(busy=Busy())
    assert crowd.gate.paused_until - crowd.now == 0.5


def test_gates_without_calls_are_released_when_many_newer_gates_exist() -> None:
    account = uuid.uuid4().hex
    first = gate(account, "h", "m", 3, None)
    result = first.enter("a", lambda: None)
    was = id(first)
    for number in range(KEPT + 50):
        gate(f"{account}{number}", "h", "m", None, None)
    assert id(gate(account, "h", "m", None, None)) == was  # a call is under way
    reference = weakref.ref(first)
    result.leave()
    del first, result
    for number in range(KEPT - 1):
        gate(f"{account}{number}", "h", "m", None, None)
    gc.collect()
    assert reference() is not None
    gate(f"{account}{KEPT}", "h", "m", None, None)
    gc.collect()
    assert reference() is None


def test_a_gate_that_is_used_again_is_kept_longer_than_unused_gates() -> None:
    account = uuid.uuid4().hex
    reference = weakref.ref(gate(account, "h", "m", None, None))
    for number in range(KEPT):
        gate(f"{account}{number}", "h", "m", None, None)
        gate(account, "h", "m", None, None)
    gc.collect()
    assert reference() is not None


def test_a_higher_max_concurrency_lets_waiting_calls_enter() -> None:
    crowd = Crowd(1)
    _, b, c = (crowd.enter(name) for name in "abc")
    crowd.gate.widen_to(2)
    assert (b.state, c.state, crowd.called) == ("in", "waiting", ["b"])


def test_a_waiting_call_whose_event_loop_is_closed_does_not_block_the_next_call() -> None:
    crowd = Crowd(1)

    def gone() -> None:
        raise RuntimeError("Event loop is closed")

    first = crowd.enter("a")
    dead = crowd.enter("dead", gone)
    alive = crowd.enter("alive")
    first.leave()
    assert (dead.state, alive.state, crowd.called) == ("left", "in", ["alive"])


def test_a_slot_released_while_the_gate_is_locked_becomes_free_on_unlock() -> None:
    # Garbage collection closes forgotten streams at any moment, also in the middle of the gate's own work.
    crowd = Crowd(1)
    first = crowd.enter("a")
    waiting = crowd.enter("b")
    with crowd.gate._lock:
        first.leave()
        assert waiting.state == "waiting"
    assert "1 of 1" in crowd.gate.holders()
    assert waiting.state == "in"


@pytest.mark.parametrize(
    "act", [lambda gate: gate.enter("d", int), lambda gate: gate.widen_to(2)], ids=["enter", "widen"]
)
def test_a_slot_freed_under_the_lock_is_taken_when_a_call_enters_or_the_gate_widens(
    act: Callable[[Gate], object],
) -> None:
    crowd = Crowd(1)
    first, second, third = (crowd.enter(name) for name in "abc")
    with crowd.gate._lock:
        first.leave()
    act(crowd.gate)
    assert (first.state, second.state) == ("left", "in")
    assert third.state == ("in" if crowd.gate.width == 2 else "waiting")
    assert crowd.gate.in_use == crowd.gate.width


def test_an_unchanged_max_concurrency_does_not_restore_slots_that_a_refusal_took() -> None:
    crowd = Crowd(4)
    crowd.enter("a").leave(busy=Busy())
    crowd.gate.widen_to(4)
    assert crowd.gate.width == 1
    crowd.gate.widen_to(5)
    assert crowd.gate.width == 5


def test_a_gate_says_when_a_slot_was_last_given() -> None:
    crowd = Crowd(1)
    assert crowd.gate.moved == 1000.0
    crowd.now = 1010.0
    first = crowd.enter("a call in thread a")
    crowd.now = 1020.0
    crowd.enter("b")
    assert crowd.gate.moved == 1010.0
    assert crowd.gate.holders() == "1 of 1 slots of glm are in use (a call in thread a, for 10.0 s)"
    crowd.now = 1030.0
    first.leave()
    assert crowd.gate.moved == 1030.0
    assert crowd.gate.holders() == "1 of 1 slots of glm are in use (b, for 0.0 s)"
    crowd.gate._holders.clear()
    assert crowd.gate.holders() == "0 of 1 slots of glm are in use (by no call)"


@pytest.mark.parametrize(("count", "more"), [(5, None), (6, "; and 1 more")])
def test_the_message_about_used_slots_counts_calls_beyond_the_fifth(count: int, more: str | None) -> None:
    crowd = Crowd(8)
    for number in range(count):
        crowd.enter(f"call {number}")
    held = crowd.gate.holders()
    assert held.startswith(f"{count} of 8 slots of glm are in use (call 0, for ")
    assert ("call 4, for" in held, "call 5, for" in held) == (True, False)
    assert ("more" in held) is (more is not None)
    assert more is None or held.endswith(f"{more})")


@pytest.mark.parametrize(("running", "width"), [(12, 8), (20, 14)])
def test_a_refusal_reduces_the_slots_to_seven_tenths_of_the_running_calls(running: int, width: int) -> None:
    crowd = Crowd(50)
    held = [crowd.enter(str(number)) for number in range(running)]
    held[0].leave(busy=Busy())
    assert crowd.gate.width == width


def test_the_message_about_used_slots_names_five_calls() -> None:
    crowd = Crowd(8)
    for name in "abcdefg":
        crowd.enter(f"a call in thread {name}")
    five = "; ".join(f"a call in thread {name}, for 0.0 s" for name in "abcde")
    assert crowd.gate.holders() == f"7 of 8 slots of glm are in use ({five}; and 2 more)"


def test_the_call_that_holds_a_slot_in_the_same_thread_or_task_is_found() -> None:
    crowd = Crowd(2)
    crowd.gate.enter("unknown", lambda: None)
    tasks = Crowd(1), Crowd(1)
    one, other = (weakref.ref(task) for task in tasks)
    crowd.gate.enter("a stream", lambda: None, by=Caller("a", 1, other))
    crowd.now += 3.0
    for by, blocking, is_own in (
        (Caller("b", 1, one), True, True),
        (Caller("b", 1, one), False, False),
        (Caller("b", 2, other), True, False),
        (Caller("b", 2, other), False, True),
    ):
        assert crowd.gate.own(by, blocking=blocking) == ("a stream, for 3.0 s" if is_own else None)


def test_after_2000_calls_from_16_threads_no_slot_is_in_use() -> None:
    result = Gate("glm", 3)
    most = []

    def come_and_go(number: int) -> None:
        called = threading.Event()
        ticket = result.enter(str(number), called.set)
        while ticket.state == "waiting":
            called.wait(10)
        most.append(result.in_use)
        ticket.leave(good=True)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(come_and_go, range(2000)))
    assert max(most) <= 3
    assert (result.in_use, len(result._queue), len(result._leaving)) == (0, 0, 0)


def test_calls_of_the_same_account_host_and_model_share_one_gate() -> None:
    account = uuid.uuid4().hex
    one = gate(account, "h", "GLM-4V", None, 10)
    assert one.width == 10
    assert gate(account, "h", "glm-4v", None, 10) is one
    others = [
        gate("other" + account, "h", "glm-4v", None, 10),
        gate(account, "h2", "glm-4v", None, 10),
        gate(account, "h", "x", None, 10),
    ]
    assert one not in others
    assert gate(account, "h", "glm-4v", 3, 10).width == one.width == 3
    assert gate(account, "h", "unknown", None, None).width == DEFAULT_WIDTH


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_process_starts_with_all_slots_free() -> None:
    account = uuid.uuid4().hex
    gate(account, "h", "m", 1, None).enter("the parent's call", lambda: None)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, gate(account, "h", "m", 1, None).enter("the child's call", lambda: None).state.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 9) == b"in"
    os.close(read)
    os.close(write)


class Server:
    """A platform with a number of slots; it answers when the test says so."""

    def __init__(self, slots: int = 10, **options: Any) -> None:
        self.slots = slots
        self.under_way = self.peak = self.requests = self.refused = 0
        self.options = {
            "api_key": f"{uuid.uuid4().hex}.test-secret",
            "base_url": "https://open.bigmodel.cn/api/paas/v4",
        } | options
        self.go = threading.Event()
        self._lock = threading.Lock()

    def sync(self, **options: Any) -> glmv.Client:
        return glmv.Client(
            **self.options | options, http_client=httpx.Client(transport=httpx.MockTransport(self._answer))
        )

    def asynchronous(self, **options: Any) -> glmv.AsyncClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self._aanswer))
        return glmv.AsyncClient(**self.options | options, http_async_client=http)

    def _enters(self) -> httpx.Response | None:
        with self._lock:
            self.requests += 1
            self.under_way += 1
            self.peak = max(self.peak, self.under_way)
            if self.under_way > self.slots:
                self.refused += 1
                self.under_way -= 1
                return httpx.Response(429, json=BUSY)
            return None

    def _leaves(self) -> None:
        with self._lock:
            self.under_way -= 1

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if (refused := self._enters()) is not None:
            return refused
        self.go.wait(10)
        self._leaves()
        return httpx.Response(200, json=ANSWER)

    async def _aanswer(self, request: httpx.Request) -> httpx.Response:
        if (refused := self._enters()) is not None:
            return refused
        for _ in range(20):
            await asyncio.sleep(0)
        self._leaves()
        if b'"stream":true' in await request.aread():
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=self._pieces())
        return httpx.Response(200, json=ANSWER)

    async def _pieces(self) -> AsyncIterator[bytes]:
        yield STREAM
        yield REST


async def test_a_hundred_calls_to_a_model_with_ten_slots_need_a_hundred_requests() -> None:
    server = Server(10)
    glm = server.asynchronous(model="glm-4v-flash")
    answers = await asyncio.gather(*(glm.chat("hi") for _ in range(100)))
    assert [answer.text for answer in answers] == ["hello"] * 100
    assert (server.requests, server.peak, server.refused) == (100, 10, 0)


async def test_a_hundred_calls_to_a_server_with_three_slots_need_at_most_150_requests() -> None:
    server = Server(3)
    glm = server.asynchronous(model="glm-4v-flash")
    answers = await asyncio.gather(*(glm.chat("hi") for _ in range(100)))
    assert [answer.text for answer in answers] == ["hello"] * 100
    assert server.requests <= 150


async def test_a_refused_call_with_max_retries_0_raises_after_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(0)
    with pytest.raises(glmv.RateLimitError):
        await server.asynchronous(max_retries=0).chat("hi")
    assert server.requests == 1


@pytest.mark.parametrize("blocking", [True, False])
async def test_calls_that_waited_while_all_were_refused_raise_the_rate_limit_error(
    monkeypatch: pytest.MonkeyPatch, blocking: bool
) -> None:
    monkeypatch.setattr("glmv.exchange.gate.STANDSTILL", 0.0)
    monkeypatch.setattr("glmv.exchange.gate.PAUSE", 0.02)
    server = Server(0, max_concurrency=1)
    glm: Any = server.sync() if blocking else server.asynchronous()
    ask = (lambda: asyncio.to_thread(glm.chat, "hi")) if blocking else (lambda: glm.chat("hi"))
    result = await asyncio.gather(*(ask() for _ in range(4)), return_exceptions=True)
    assert {type(one) for one in result} == {glmv.RateLimitError}
    assert all("code 1302" in str(one) for one in result)
    assert server.requests < 16


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_call_that_waits_for_a_stream_of_the_same_task_or_thread_logs_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, blocking: bool
) -> None:
    monkeypatch.setattr("glmv.transport.driver.WARN_AFTER", 0.05)
    server = Server(max_concurrency=1, timeout=0.2)
    glm = server.asynchronous()
    stream = glm.stream("hi")
    await anext(stream)
    with pytest.raises(glmv.GateTimeout):
        await (asyncio.sleep(0, server.sync().chat("nested")) if blocking else glm.chat("nested"))
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert line.name == "glmv"
    assert "a slot of glm-4.6v, but the same task or thread holds one: a stream in Task-" in line.getMessage()
    await stream.aclose()


async def test_a_call_that_waits_for_a_stream_of_another_task_logs_no_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("glmv.transport.driver.WARN_AFTER", 0.05)
    glm = Server(max_concurrency=1, timeout=0.2).asynchronous()
    stream = glm.stream("hi")
    await anext(stream)
    with pytest.raises(glmv.GateTimeout):
        await asyncio.create_task(glm.chat("hi"))
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
    await stream.aclose()


async def test_sync_and_async_clients_with_the_same_key_share_their_slots() -> None:
    server = Server(2, max_concurrency=2, model="glm-4v")
    sync, other = server.sync(), server.asynchronous()
    threads = [asyncio.create_task(asyncio.to_thread(sync.chat, "hi")) for _ in range(4)]
    result = sync.slots("glm-4v")
    while server.under_way < 2:
        await asyncio.sleep(0)
    waiting = asyncio.create_task(other.chat("hi"))
    while len(result._queue) < 3:
        await asyncio.sleep(0)
    assert not waiting.done()
    server.go.set()
    answers = await asyncio.gather(*threads, waiting)
    assert [answer.text for answer in answers] == ["hello"] * 5
    assert (server.peak, server.refused) == (2, 0)


# A slot that can never come free is given up after the smaller of the two.
PATIENCE = [{"timeout": 0.2}, {"timeout": 0.2, "deadline": 30}, {"timeout": 30, "deadline": 0.2}, {"deadline": 0.2}]


@contextmanager
def given_up_after_a_fifth_of_a_second(match: str) -> Iterator[None]:
    began = time.monotonic()
    with pytest.raises(glmv.GateTimeout, match=match) as raised:
        yield
    assert 0.19 <= time.monotonic() - began < 10
    assert (raised.value.attempts, raised.value.retryable) == (0, True)


@pytest.mark.parametrize("patience", PATIENCE)
async def test_the_error_of_a_call_inside_a_stream_with_the_only_slot_names_the_stream(
    patience: dict[str, Any],
) -> None:
    glm = Server().asynchronous(max_concurrency=1, **patience)
    stream = glm.stream("hi")
    await anext(stream)
    with given_up_after_a_fifth_of_a_second(r"1 of 1 slots of glm-4.6v are in use \(a stream in Task-\d+, for"):
        await glm.chat("nested")
    await stream.aclose()
    assert (await glm.chat("afterwards")).text == "hello"


@pytest.mark.parametrize("patience", PATIENCE)
def test_the_error_of_a_sync_call_inside_a_sync_stream_names_the_stream(patience: dict[str, Any]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=iter([STREAM, REST]))

    http = httpx.Client(transport=httpx.MockTransport(answer))
    glm = glmv.Client(f"{uuid.uuid4().hex}.test-secret", http_client=http, max_concurrency=1, **patience)
    stream = glm.stream("hi")
    next(stream)
    with given_up_after_a_fifth_of_a_second("a stream in thread MainThread"):
        glm.chat("nested")
    stream.close()


@pytest.mark.parametrize("patience", PATIENCE)
async def test_the_error_of_a_sync_call_on_a_running_event_loop_names_the_loop(patience: dict[str, Any]) -> None:
    server = Server(max_concurrency=1, **patience)
    stream = server.asynchronous().stream("hi")
    await anext(stream)
    with given_up_after_a_fifth_of_a_second(r"a stream in Task-\d+, for .* running event loop"):
        server.sync().chat("on the loop's own thread")
    await stream.aclose()


def test_the_error_for_no_free_slot_names_the_call_that_holds_the_slot() -> None:
    server = Server(max_concurrency=1, deadline=0.2)
    with ThreadPoolExecutor(1, "worker") as threads:
        held = threads.submit(server.sync(deadline=30).chat, "hi")
        while not server.requests:
            time.sleep(0.001)
        with given_up_after_a_fifth_of_a_second(r"a call in thread worker_0, for"):
            server.sync().chat("hi")
        server.go.set()
        assert held.result().text == "hello"


async def test_cancelled_calls_leave_the_queue_and_a_closed_stream_frees_its_slot() -> None:
    server = Server(max_concurrency=1)
    glm = server.asynchronous()
    stream = glm.stream("hi")
    await anext(stream)
    waiting = [asyncio.create_task(glm.chat("hi")) for _ in range(5)]
    result = glm.slots("glm-4.6v")
    while len(result._queue) < 5:
        await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (len(result._queue), result.in_use) == (0, 1)
    await stream.aclose()
    assert result.in_use == 0


async def test_an_abandoned_stream_releases_its_slot() -> None:
    glm = Server(max_concurrency=1).asynchronous()
    async for _ in glm.stream("hi"):
        break
    gc.collect()
    assert (await glm.chat("next")).text == "hello"


async def test_an_exception_inside_a_loop_over_a_stream_releases_the_slot() -> None:
    glm = Server(max_concurrency=1).asynchronous()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the loop is the point
        async for _ in glm.stream("hi"):
            raise ZeroDivisionError
    gc.collect()
    assert (await glm.chat("next")).text == "hello"


async def test_a_call_does_not_hold_its_slot_while_it_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(0, max_concurrency=1)
    glm = server.asynchronous()
    results = []

    def pause(gate: Gate, busy: Busy) -> float:
        results.append(gate.in_use)
        return 0.0

    monkeypatch.setattr(Gate, "_pause", pause)
    with pytest.raises(glmv.RateLimitError) as raised:
        await glm.chat("hi")
    assert (results, raised.value.attempts) == ([0, 0, 0, 0], 4)


@pytest.mark.parametrize("blocking", [True, False])
async def test_a_call_waits_for_a_pause_that_is_longer_than_its_timeout(blocking: bool) -> None:
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if len(requests) == 1:
            return httpx.Response(429, json=BUSY, headers={"retry-after-ms": "300"})
        return httpx.Response(200, json=ANSWER)

    options: Any = Server(max_concurrency=1, timeout=0.1).options
    transport = httpx.MockTransport(answer)
    if blocking:
        glm = glmv.Client(**options, http_client=httpx.Client(transport=transport))
        result = await asyncio.to_thread(glm.chat, "hi")
    else:
        result = await glmv.AsyncClient(**options, http_async_client=httpx.AsyncClient(transport=transport)).chat("hi")
    assert (result.text, len(requests)) == ("hello", 2)
