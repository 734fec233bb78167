"""How many retries a call makes, how long it pauses, and the budget of retries; with a fake clock."""

from __future__ import annotations

import random
from collections import Counter
from email.utils import formatdate
from typing import Any

import pytest

from glmv import ConnectionFailed, DeadlineExceeded, GateTimeout, GLMVError, RateLimitError, ServerError
from glmv.exchange.gate import Busy, Gate
from glmv.exchange.retry import BUSY_PATIENCE, MAX_RETRY_AFTER, Policy, RetryBudget, Tries, policy_of, retry_after
from glmv.options import Connection
from glmv.wire.codes import Retry

NOW = 1_800_000_000.0


class OneCall:
    """The retries of one call, with a clock that the test moves and a fixed random value."""

    def __init__(self, chance: float = 1.0, **options: Any) -> None:
        self.now = 50.0
        self.chance = chance
        self.policy = Policy(clock=lambda: self.now, wall=lambda: NOW, chance=lambda: self.chance, **options)
        self.tries = Tries(self.policy)

    def pauses(self, kind: Retry, error: GLMVError | None = None) -> list[float]:
        pauses = []
        for _ in range(100):
            self.tries.begin()
            pause = self.tries.again(error or RateLimitError("busy"), kind)
            if pause is None:
                return pauses
            pauses.append(pause)
        raise AssertionError("it never gave up")


def reset_error() -> ConnectionFailed:
    error = ConnectionFailed("reset")
    error.kind = "reset"
    return error


def test_a_call_makes_at_most_max_retries_plus_one_requests() -> None:
    for kind in (Retry.BUSY, Retry.TRANSIENT, Retry.TOKEN):
        for retries in (0, 1, 3):
            assert len(OneCall(max_retries=retries).pauses(kind)) == retries


def test_permanent_errors_are_never_retried() -> None:
    assert OneCall().pauses(Retry.NEVER) == []


def test_pauses_double_up_to_their_maximum() -> None:
    assert OneCall(max_retries=6).pauses(Retry.BUSY) == [2, 4, 8, 16, 30, 30]
    assert OneCall(max_retries=6).pauses(Retry.TRANSIENT) == [0.5, 1, 2, 4, 8, 8]


def test_a_pause_is_random_between_zero_and_its_bound() -> None:
    assert OneCall(chance=0.0).pauses(Retry.BUSY) == [0, 0, 0]
    assert OneCall(chance=0.25).pauses(Retry.BUSY) == [0.5, 1, 2]


def test_a_thousand_calls_refused_together_do_not_retry_together() -> None:
    dice = random.Random(7)
    firsts = [OneCall(chance=dice.random()).pauses(Retry.BUSY)[0] for _ in range(1000)]
    assert max(Counter(int(pause / 0.05) for pause in firsts).values()) <= 50


def test_retrying_the_first_reset_before_an_answer_costs_no_pause_and_no_budget() -> None:
    one_call = OneCall()
    reset = reset_error()
    assert one_call.pauses(Retry.TRANSIENT, reset) == [0, 1, 2]
    assert one_call.policy.budget._tokens == RetryBudget.CAPACITY - 2 * RetryBudget.COST[Retry.TRANSIENT]


def test_a_reset_inside_the_answer_is_retried_after_a_pause() -> None:
    one_call = OneCall()
    reset = reset_error()
    one_call.tries.begin()
    one_call.tries.opened = True
    assert one_call.tries.again(reset, Retry.TRANSIENT) == 0.5


def test_a_pause_is_at_most_3_seconds_longer_than_the_servers_retry_after() -> None:
    assert OneCall(chance=0.0).pauses(Retry.BUSY, RateLimitError("", retry_after=3.0)) == [3.0, 3.0, 3.0]
    assert OneCall(chance=1.0).pauses(Retry.BUSY, RateLimitError("", retry_after=3.0))[0] == pytest.approx(3.3)
    assert OneCall(chance=1.0).pauses(Retry.BUSY, RateLimitError("", retry_after=100.0))[0] == 103.0


def test_a_call_with_a_retry_after_longer_than_the_maximum_is_not_retried() -> None:
    assert OneCall().pauses(Retry.BUSY, RateLimitError("", retry_after=3600.0)) == []
    assert len(OneCall().pauses(Retry.BUSY, RateLimitError("", retry_after=MAX_RETRY_AFTER))) == 3


def test_a_retry_after_of_0_seconds_leaves_the_usual_pauses_unchanged() -> None:
    assert OneCall().pauses(Retry.BUSY, RateLimitError("", retry_after=0.0)) == [2, 4, 8]


def test_a_pause_that_would_end_after_the_deadline_is_not_started() -> None:
    one_call = OneCall(deadline=1.5)
    one_call.tries.begin()
    with pytest.raises(DeadlineExceeded) as raised:
        one_call.tries.again(RateLimitError("busy", status_code=429, code="1302"), Retry.BUSY)
    facts = (raised.value.status_code, raised.value.code, raised.value.attempts)
    assert facts == (429, "1302", 1)
    assert "busy" in str(raised.value)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "3.5"}, 3.5),
        ({"retry-after": " 3 "}, 3.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": ""}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "3 seconds"}, None),
        ({"retry-after": "1" + "0" * 35}, 1e35),
        ({"retry-after": "1" + "0" * 400}, None),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "x", "retry-after": "9"}, 9.0),
        ({"retry-after-ms": "-5", "retry-after": "9"}, 9.0),
        ({"retry-after": formatdate(NOW + 20, usegmt=True)}, 20.0),
        ({"retry-after": formatdate(NOW - 20, usegmt=True)}, 0.0),
        ({"retry-after": "Fri, 99 Foo 2026 99:99:99 GMT"}, None),
        ({"retry-after": "Zun, 29 Sep 2016 16:26:57 GMT"}, 0.0),
    ],
)
def test_retry_after_values_are_parsed_like_in_the_standard_and_in_common_clients(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, NOW) == seconds


def test_ten_thousand_calls_in_an_outage_make_at_most_110_retries() -> None:
    budget = RetryBudget()
    extra = sum(len(OneCall(budget=budget).pauses(Retry.BUSY, ServerError("out of order"))) for _ in range(10_000))
    assert 0 < extra <= 110


def test_concurrency_refusals_do_not_use_the_retry_budget() -> None:
    one_call = OneCall(max_retries=6)
    one_call.pauses(Retry.BUSY)
    assert one_call.policy.budget._tokens == RetryBudget.CAPACITY


def test_the_error_of_a_call_not_retried_for_lack_of_budget_names_the_budget() -> None:
    one_call = OneCall(budget=RetryBudget(1))
    error = ServerError("out of order")
    assert one_call.pauses(Retry.TRANSIENT, error) == [0.5]
    assert "retry budget of this client is used up (retry_budget=1)" in str(error)


def test_a_retry_budget_of_none_is_unlimited_and_a_budget_of_0_allows_no_retries() -> None:
    budget = RetryBudget(None)
    assert all(budget.take(Retry.TRANSIENT) for _ in range(10_000))
    assert RetryBudget(0).take(Retry.TRANSIENT) is False


def refuse(one_call: OneCall, gate: Gate, others: int = 0) -> float | None:
    """Answer `others` calls, then refuse the call -> its pause in seconds, or None if it is not retried."""
    for _ in range(others):
        gate.enter("b", lambda: None).leave(good=True)
    ticket = gate.enter("a", lambda: None)
    one_call.tries.begin()
    error = RateLimitError("busy", status_code=429)
    ticket.leave(busy=one_call.tries.busy(error, Retry.BUSY))
    one_call.now = gate.paused_until
    return one_call.tries.again(error, Retry.BUSY)


def gated(answered: int = 0, **options: Any) -> tuple[OneCall, Gate]:
    """A call and its gate; the gate let `answered` other calls succeed before this call."""
    results: list[OneCall] = []
    gate = Gate("glm", 5, lambda: results[0].now if results else 50.0, lambda: 1.0)
    for _ in range(answered):
        gate.enter("b", lambda: None).leave(good=True)
    results.append(OneCall(gate=gate, **options))
    return results[0], gate


def test_a_refusal_costs_no_attempt_while_other_calls_are_answered() -> None:
    one_call, gate = gated()
    assert [refuse(one_call, gate, 1) for _ in range(50)] == [0.0] * 50
    assert [refuse(one_call, gate) for _ in range(4)] == [0.0, 0.0, 0.0, None]


@pytest.mark.parametrize(("since", "free"), [(299.5, True), (300.0, False), (300.5, False)])
def test_refusals_cost_no_attempts_until_five_minutes_after_the_first_refusal(since: float, free: bool) -> None:
    one_call, gate = gated(max_retries=1)
    first = one_call.now
    error = RateLimitError("busy", status_code=429)
    for moment in (first, first + 10.0, first + since, first + since):
        one_call.now = moment
        gate.enter("b", lambda: None).leave(good=True)
        one_call.tries.begin()
        pause = one_call.tries.again(error, Retry.BUSY)
    assert (pause is None) is not free


@pytest.mark.parametrize("answered", [0, 5])
def test_a_refusal_costs_an_attempt_if_no_other_call_succeeds_after_the_call_began(answered: int) -> None:
    one_call, gate = gated(answered, max_retries=1)
    assert [refuse(one_call, gate) for _ in range(2)] == [0.0, None]


def test_a_refusal_costs_no_attempt_while_another_call_runs() -> None:
    one_call, gate = gated(max_retries=1)
    running = gate.enter("b", lambda: None)
    assert [refuse(one_call, gate) for _ in range(10)] == [0.0] * 10
    running.leave()
    assert [refuse(one_call, gate) for _ in range(2)] == [0.0, None]


def test_a_refusal_costs_an_attempt_after_five_minutes_of_refusals() -> None:
    one_call, gate = gated()
    refuse(one_call, gate, 1)
    one_call.now += BUSY_PATIENCE
    results = [refuse(one_call, gate, 1) for _ in range(5)]
    assert (results[0], results[-1]) == (0.0, None)


@pytest.mark.parametrize(
    ("error", "pause"),
    [
        (RateLimitError("busy", status_code=429), 0.5),
        (RateLimitError("busy", status_code=429, retry_after=20.0), 22.0),
        (RateLimitError("busy", status_code=429, retry_after=120.0), 123.0),
        (RateLimitError("busy", status_code=429, retry_after=121.0), 0.5),
        (ServerError("overloaded", status_code=503, retry_after=20.0), 0.0),
    ],
    ids=["of the gate", "of the server", "the longest of the server", "too long", "a server error"],
)
@pytest.mark.parametrize("retries", [1, 3])
def test_a_refusal_pauses_the_other_calls_of_its_gate(error: GLMVError, pause: float, retries: int) -> None:
    one_call, gate = gated(max_retries=retries)
    gate.enter("a", lambda: None).leave(busy=one_call.tries.busy(error, Retry.BUSY))
    assert gate.paused_until - one_call.now == pause
    assert one_call.tries.busy(error, Retry.TRANSIENT) is None


def test_a_call_that_got_no_slot_raises_the_servers_last_refusal_of_other_calls() -> None:
    one_call, gate = gated()
    late = GateTimeout("No slot came free.")
    assert one_call.tries.waited_in_vain(late) is late
    late.kind = "busy"
    assert one_call.tries.waited_in_vain(late) is late  # the server refuses no calls
    assert OneCall().tries.waited_in_vain(late) is late
    gate.enter("b", lambda: None).leave(busy=Busy(status=429, code="1302"))
    error = one_call.tries.waited_in_vain(late)
    assert (type(error), error.message) == (RateLimitError, "No slot came free.")
    assert (error.status_code, error.code) == (429, "1302")
    late.kind = None
    assert one_call.tries.waited_in_vain(late) is late


@pytest.mark.parametrize("deadline", [None, 60.0])
def test_a_refused_call_that_got_no_second_slot_raises_its_own_refusal(deadline: float | None) -> None:
    one_call, gate = gated(deadline=deadline)
    ticket = gate.enter("a", lambda: None)
    one_call.tries.begin()
    refusal = RateLimitError("Too many calls.", status_code=429, code="1302")
    ticket.leave(busy=one_call.tries.busy(refusal, Retry.BUSY))
    assert one_call.tries.again(refusal, Retry.BUSY) == 0.0
    one_call.now += 60.0
    error = one_call.tries.waited_in_vain(GateTimeout("No slot came free."))
    assert type(error) is (DeadlineExceeded if deadline else RateLimitError)
    assert "Too many calls." in error.message
    assert ("No slot came free." in error.message) is (deadline is None)
    assert (error.status_code, error.code) == (429, "1302")


def test_with_max_retries_0_a_refusal_raises_even_if_other_calls_are_answered() -> None:
    one_call, gate = gated(max_retries=0)
    assert refuse(one_call, gate, 3) is None
    assert gate.paused_until <= 50.0  # the next call is the caller's to time


@pytest.mark.parametrize("deadline", [0.4, 0.5])
def test_a_call_does_not_wait_for_a_pause_that_ends_at_or_after_its_deadline(deadline: float) -> None:
    one_call, gate = gated(deadline=deadline)
    ticket = gate.enter("a", lambda: None)
    one_call.tries.begin()
    error = RateLimitError("busy", status_code=429, code="1302")
    ticket.leave(busy=one_call.tries.busy(error, Retry.BUSY))
    with pytest.raises(DeadlineExceeded) as raised:
        one_call.tries.again(error, Retry.BUSY)
    assert (raised.value.code, raised.value.attempts) == ("1302", 1)


def test_an_empty_retry_budget_is_full_again_after_500_successes() -> None:
    budget = RetryBudget()
    while budget.take(Retry.BUSY):
        pass
    for _ in range(500):
        budget.earn(after_retry=False)
    assert budget._tokens == RetryBudget.CAPACITY
    budget.earn(after_retry=True)
    assert budget._tokens == RetryBudget.CAPACITY


def test_a_success_after_a_retry_returns_the_cost_of_the_retry_to_the_budget() -> None:
    budget = RetryBudget()
    budget.take(Retry.BUSY)
    budget.earn(after_retry=True)
    assert budget._tokens == RetryBudget.CAPACITY


def test_signing_a_token_again_does_not_use_the_retry_budget() -> None:
    one_call = OneCall()
    assert one_call.pauses(Retry.TOKEN) == [0, 0, 0]
    assert one_call.policy.budget._tokens == RetryBudget.CAPACITY


@pytest.mark.parametrize(
    ("off", "skew"), [(0, 0), (59, 0), (60, 0), (61, 61), (-60, 0), (-61, -61), (3600, 3600), (-3600, -3600)]
)
def test_a_wrong_local_clock_is_detected_by_the_servers_date_header(off: int, skew: int) -> None:
    assert OneCall().policy.skew(formatdate(NOW - off, usegmt=True)) == skew


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 99 Foo 2026"])
def test_an_invalid_date_header_is_ignored(date: str) -> None:
    assert OneCall().policy.skew(date) == 0


def test_a_full_retry_budget_allows_35_retries() -> None:
    budget = RetryBudget()
    assert sum(budget.take(Retry.TRANSIENT) for _ in range(200)) == 35


def test_a_success_at_the_first_attempt_adds_a_fifth_of_a_retry_to_the_budget() -> None:
    budget = RetryBudget()
    while budget.take(Retry.BUSY):
        pass
    successes = 0
    while not budget.take(Retry.BUSY):
        budget.earn(after_retry=False)
        successes += 1
    assert successes == 5


def test_a_call_waits_for_a_retry_after_of_two_minutes_but_not_for_a_longer_one() -> None:
    assert OneCall(chance=0.0).pauses(Retry.BUSY, RateLimitError("", retry_after=120.0)) == [120.0] * 3
    assert OneCall(chance=0.0).pauses(Retry.BUSY, RateLimitError("", retry_after=120.1)) == []


def test_a_deadline_has_passed_at_its_time_and_not_a_second_earlier() -> None:
    one_call = OneCall(deadline=10.0)
    for moment, past in ((50.0, False), (59.0, False), (59.99, False), (59.999, True), (60.0, True), (61.0, True)):
        one_call.now = moment
        assert one_call.tries.past_deadline() is past
    one_call.now = 59.99
    one_call.tries.check()
    one_call.now = 60.0
    with pytest.raises(DeadlineExceeded, match="longer than its deadline of 10 s"):
        one_call.tries.check()
    assert OneCall().tries.past_deadline() is False


def test_the_time_to_prepare_the_pictures_counts_toward_the_deadline() -> None:
    one_call = OneCall(deadline=10.0, spent=4.0)
    one_call.now = 55.0
    assert not one_call.tries.past_deadline()
    one_call.now = 56.0
    assert one_call.tries.past_deadline()


@pytest.mark.parametrize(
    ("spent", "sentence"), [(1.0, ""), (4.0, " Preparing the pictures took 4.0 s; the deadline is 10 s.")]
)
def test_the_error_of_a_late_call_names_a_long_preparation_of_pictures(spent: float, sentence: str) -> None:
    tries = OneCall(deadline=10.0, spent=spent, host="api.example").tries
    late = "The call to api.example took longer than its deadline of 10 s"
    assert tries.too_late().message == f"{late}.{sentence}"


@pytest.mark.parametrize(
    ("kind", "doing"),
    [
        ("connect_timeout", ", while it connected"),
        ("write_timeout", ", while it sent the request"),
        ("read_timeout", ", while it waited for an answer"),
        ("", ""),
    ],
)
def test_the_error_of_a_late_call_names_its_stage_and_the_last_error(kind: str, doing: str) -> None:
    late = OneCall(deadline=10.0).tries.too_late(ServerError("It broke."), during=kind)
    begin = f"The call to the server took longer than its deadline of 10 s{doing}."
    assert late.message == f"{begin} The last error was: It broke."


def test_a_step_ends_at_its_own_limit_or_at_the_deadline_whichever_is_earlier() -> None:
    bounded, free = OneCall(deadline=10.0).tries, OneCall().tries
    assert (bounded.until(55.0), bounded.until(65.0), bounded.until(None)) == (55.0, 60.0, 60.0)
    assert (free.until(55.0), free.until(None)) == (55.0, None)


def test_the_cause_of_a_deadline_error_is_the_last_failure() -> None:
    one_call = OneCall(deadline=1.5)
    busy = RateLimitError("busy", status_code=429, code="1302", request_id="r", retry_after=2.0)
    one_call.tries.begin()
    with pytest.raises(DeadlineExceeded) as raised:
        one_call.pauses(Retry.BUSY, busy)
    assert raised.value.__cause__ is busy
    assert (raised.value.request_id, raised.value.retry_after) == ("r", 2.0)


def test_a_pause_that_ends_before_the_deadline_is_waited_for() -> None:
    one_call = OneCall(deadline=2.5)
    one_call.tries.begin()
    assert one_call.tries.again(RateLimitError("busy"), Retry.BUSY) == 2.0
    exact = OneCall(deadline=2.0)
    exact.tries.begin()
    with pytest.raises(DeadlineExceeded):
        exact.tries.again(RateLimitError("busy"), Retry.BUSY)


def test_a_reset_before_the_answer_of_a_later_attempt_is_retried_immediately() -> None:
    one_call = OneCall()
    reset = reset_error()
    one_call.tries.begin()
    one_call.tries.opened = True
    assert one_call.tries.again(ServerError("500"), Retry.TRANSIENT) == 0.5
    one_call.tries.begin()
    assert one_call.tries.again(reset, Retry.TRANSIENT) == 0.0


def test_a_request_that_may_have_arrived_is_retried_at_most_once() -> None:
    for first, second in (("read_timeout", "write_timeout"), ("write_timeout", "read_timeout")):
        tries = OneCall().tries
        assert (tries.failed(first), tries.failed(second)) == (Retry.TRANSIENT, Retry.NEVER)
    tries = OneCall().tries
    assert [tries.failed("connect") for _ in range(3)] == [Retry.TRANSIENT] * 3


@pytest.mark.parametrize(
    ("kind", "again"),
    [
        ("read_timeout", Retry.NEVER),
        ("write_timeout", Retry.NEVER),
        ("reset", Retry.NEVER),
        ("connect", Retry.TRANSIENT),
        ("connect_timeout", Retry.TRANSIENT),
    ],
)
def test_a_non_repeatable_request_is_retried_only_if_it_cannot_have_arrived(kind: str, again: Retry) -> None:
    assert OneCall(repeatable=False).tries.failed(kind) is again


@pytest.mark.parametrize(
    ("settings", "call", "expected"),
    [
        ({}, {}, (3, None, 300.0, 8.0, 0.0)),
        ({"max_retries": 5, "deadline": 9.0, "idle_timeout": 7.0, "timeout": 6.0}, {}, (5, 9.0, 7.0, 6.0, 0.0)),
        (
            {"max_retries": 5, "deadline": 9.0, "idle_timeout": 7.0, "timeout": 6.0},
            {"max_retries": 0, "deadline": None, "idle_timeout": 2.0, "timeout": 1.0, "spent": 0.5},
            (0, None, 2.0, 1.0, 0.5),
        ),
        ({"timeout": 6.0}, {"idle_timeout": None}, (3, None, 6.0, 6.0, 0.0)),
    ],
    ids=["defaults", "of the client", "of the call", "idle as read"],
)
def test_retry_settings_of_a_call_take_precedence_over_those_of_its_client(
    settings: dict[str, Any], call: dict[str, Any], expected: tuple[object, ...]
) -> None:
    budget = RetryBudget()
    policy = policy_of(Connection(**settings), call, host="h", budget=budget, renew=lambda: True, gate=None)
    figures = (policy.max_retries, policy.deadline, policy.idle_timeout, policy.timeouts["connect"], policy.spent)
    assert figures == expected
    assert (policy.host, policy.budget, policy.renew(), policy.repeatable) == ("h", budget, True, True)
