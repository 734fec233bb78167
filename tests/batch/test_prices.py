"""Tokens become money by a dated price, and a budget holds."""

from __future__ import annotations

import pytest

import glmv
from glmv_batch._prices import BATCH_SHARE, Budget, cost

USED = glmv.Usage(1_000_000, 100_000, 1_100_000)


def test_money_is_tokens_by_the_listed_price_and_says_of_which_day() -> None:
    told = cost("glm-4.6v", USED)
    assert told is not None
    assert (round(told.amount, 6), told.currency) == (0.39, "USD")
    assert str(told) == "0.39 USD by the price of 2026-01"


def test_batches_cost_half() -> None:
    whole, half = cost("glm-4.6v", USED), cost("glm-4.6v", USED, share=BATCH_SHARE)
    assert whole is not None
    assert half is not None
    assert half.amount == whole.amount / 2


def test_a_free_model_says_so_and_an_unknown_price_is_none() -> None:
    assert str(cost("glm-4.6v-flash", USED)) == "free"
    assert cost("somebody-else", USED) is None
    assert cost("glm-4.6v", None) is None


@pytest.mark.parametrize(
    ("told", "limit", "currency"),
    [
        ("2000000 tokens", 2_000_000, None),
        ("2,000,000 Tokens", 2_000_000, None),
        ("1 token", 1, None),
        ("$3.50", 3.5, "USD"),
        ("3 usd", 3, "USD"),
    ],
)
def test_a_budget_is_read_as_people_write_it(told: str, limit: float, currency: str | None) -> None:
    budget = Budget.of(told, "glm-4.6v")
    assert (budget.limit, budget.currency) == (limit, currency)


def test_before_the_first_answer_one_call_goes_alone() -> None:
    budget = Budget.of("1000 tokens", "glm-4.6v")
    assert budget.allows
    budget.begin()
    assert not budget.allows
    budget.end("glm-4.6v", glmv.Usage(90, 10, 100))
    assert budget.allows


def test_a_budget_of_nothing_begins_nothing() -> None:
    assert not Budget.of("0 tokens", "glm-4.6v").allows


def test_calls_under_way_are_counted_as_dear_as_the_dearest() -> None:
    budget = Budget.of("1000 tokens", "glm-4.6v")
    budget.begin()
    budget.end("glm-4.6v", glmv.Usage(200, 0, 200))
    begun = 0
    while budget.allows:
        budget.begin()
        begun += 1
    assert begun == 3


def test_a_failed_call_costs_nothing_and_frees_its_place() -> None:
    budget = Budget.of("1000 tokens", "glm-4.6v")
    budget.begin()
    budget.end("glm-4.6v", None)
    assert budget.allows
    assert budget.spent == 0


def test_without_a_budget_everything_is_allowed() -> None:
    budget = Budget.of(None, "glm-4.6v")
    for _ in range(1000):
        budget.begin()
    assert budget.allows


def test_the_price_of_an_alias_is_that_of_the_model_it_is() -> None:
    assert cost("zai-org/GLM-4.6V-FP8", USED) == cost("glm-4.6v", USED)
    assert cost("z-ai/glm-4.6v:free", USED) is None
    with pytest.raises(glmv.InvalidRequestError, match="ours is not known"):
        Budget.of("$1", "ours")
    budget = Budget.of("$1", "ours", base_model="glm-4.6v")
    budget.begin()
    budget.end("ours", USED)
    assert round(budget.spent, 6) == 0.39
