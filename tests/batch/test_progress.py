"""Progress: rate, remaining time, cost and errors, computed from the rows."""

from __future__ import annotations

import json

import glmv
from glmv_batch import Progress, Row

USED = glmv.Usage(1000, 100, 1100)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_remaining_time_are_computed_from_recent_rows() -> None:
    clock = Clock()
    progress = Progress(total=100, clock=clock)
    progress.begin()
    assert (progress.rate, progress.eta) == (None, None)
    for _ in range(11):
        progress.count(Row("a", "x", usage=USED, model="glm-4.6v"))
        clock.now += 0.5
    assert progress.rate == 2.0
    assert progress.eta == (100 - 11) / 2.0


def test_rows_from_the_ledger_cost_nothing_and_do_not_count_for_the_rate() -> None:
    progress = Progress(total=2)
    progress.count(Row("a", "x", usage=USED, model="glm-4.6v"), known=True)
    assert (progress.done, progress.known, progress.spent, progress.rate, progress.input_tokens) == (
        1,
        1,
        None,
        None,
        0,
    )


def test_progress_counts_errors_by_their_class() -> None:
    progress = Progress()
    for kind in ("RateLimitError", "RateLimitError", "UnsupportedContent"):
        progress.count(Row("a", error="no", error_class=kind))
    assert progress.errors == {"RateLimitError": 2, "UnsupportedContent": 1}
    assert "2 RateLimitError, 1 UnsupportedContent" in str(progress)


def test_progress_says_that_a_price_is_not_known_and_does_not_call_it_free() -> None:
    progress = Progress(base_url="https://api.z.ai/api/paas/v4")
    progress.count(Row("a", "x", usage=USED, model="somebody-else"))
    assert progress.money == "price not known"
    progress.count(Row("b", "x", usage=USED, model="glm-4.6v"))
    assert "USD at the prices of 2026-06, 1 answers without a known price" in progress.money


def test_progress_as_json_has_the_currency_the_tokens_and_the_numbers_of_rows() -> None:
    progress = Progress(total=1, base_url="https://api.z.ai/api/paas/v4")
    progress.begin()
    progress.count(Row("a", "x", usage=USED, model="glm-4.6v"))
    data = json.loads(progress.as_json())
    assert (data["done"], data["total"], data["output_tokens"], data["currency"]) == (1, 1, 100, "USD")
