"""The cost of tokens at a dated price, and the budget that ends a job."""

from __future__ import annotations

import re

import pytest

import glmv
from glmv_batch._prices import BATCH_SHARE, Budget, cost, is_emulated
from glmv_batch._progress import Progress
from glmv_batch._row import Row

CNY_HOST, USD_HOST = "https://open.bigmodel.cn/api/paas/v4", "https://api.z.ai/api/paas/v4"
USED = glmv.Usage(1_000_000, 100_000, 1_100_000)


def test_the_cost_is_tokens_times_the_servers_price_and_names_the_month_of_the_price() -> None:
    result = cost("glm-4.6v", USED, USD_HOST)
    assert result is not None
    assert (round(result.amount, 6), result.currency) == (0.39, "USD")
    assert str(result) == "0.39 USD at the prices of 2026-06"
    assert str(cost("glm-4.6v", glmv.Usage(10_000, 1_000), CNY_HOST)) == "0.013 CNY at the prices of 2026-08"


def test_cached_tokens_are_priced_at_the_lower_price_of_the_model() -> None:
    result = cost("glm-5v-turbo", glmv.Usage(100_000, 0, 100_000, cached_tokens=90_000), USD_HOST)
    assert result is not None
    assert result.amount == pytest.approx(0.0336)


def test_a_call_in_a_batch_costs_half_of_a_direct_call() -> None:
    whole, half = cost("glm-4.6v", USED, USD_HOST), cost("glm-4.6v", USED, USD_HOST, share=BATCH_SHARE)
    assert whole is not None
    assert half is not None
    assert half.amount == whole.amount / 2


def test_a_call_of_a_free_model_is_free_and_the_cost_is_none_if_no_price_is_known() -> None:
    assert str(cost("glm-4.6v-flash", USED, CNY_HOST)) == "free"
    assert cost("somebody-else", USED, CNY_HOST) is None
    assert cost("glm-4.6v", None, CNY_HOST) is None
    assert cost("glm-4.6v", USED, "http://127.0.0.1:8765/api/paas/v4") is None


@pytest.mark.parametrize(
    ("answer", "emulated"), [("emu-1", True), ("chatcmpl-emu-1", True), ("20250818", False), (None, False)]
)
def test_answers_of_the_emulator_are_recognized_by_their_ids(answer: str | None, emulated: bool) -> None:
    result = glmv.Completion(id=answer)
    assert is_emulated(result) is emulated
    assert is_emulated(glmv.MalformedResponse("no JSON", partial=result)) is emulated
    assert not is_emulated(glmv.ServerError("away"))


def test_answers_of_the_emulator_are_free_and_unknown_servers_have_no_known_price() -> None:
    row = Row("a", "red", usage=USED, model="glm-4.6v")
    progress = Progress(base_url="http://127.0.0.1:8765/api/paas/v4")
    progress.count(row, emulated=True)
    assert progress.money == "free"
    proxied = Progress(base_url="http://127.0.0.1:4000/v1")
    proxied.count(row)
    assert proxied.money == "price not known"


@pytest.mark.parametrize(
    ("model", "text"),
    [("glm-4.6v", "10 CNY"), ("glm-4.6v", "$3"), ("glm-4.6v", "3 USD"), ("glm-4.6v", "¥10"), ("glm-4.5v", "10 cny"),
     ("glm-4v-plus-0111", "10 CNY"), ("glm-4.6v-flash", "$3"), ("glm-4.6v-flash", "10 CNY"), ("glm-5.3-flash", "$0.5"),
     ("glm-5v-turbo", "￥20")],
)  # fmt: skip
def test_a_budget_is_accepted_in_any_currency_in_which_the_model_has_a_price(model: str, text: str) -> None:
    budget = Budget.of(text, model)
    assert budget.currency in {"CNY", "USD"}
    budget.begin()
    budget.end(model, glmv.Usage(10_000, 1_000, 11_000))
    assert (budget.spent == 0) == model.endswith("-flash") or model == "glm-5.3-flash"


def test_the_error_for_a_currency_without_prices_names_the_currency_with_prices() -> None:
    with pytest.raises(glmv.InvalidRequestError, match="glm-4v-plus-0111 is known in CNY and not in USD: give"):
        Budget.of("$3", "glm-4v-plus-0111")


@pytest.mark.parametrize(
    ("text", "limit", "currency"),
    [
        ("2000000 tokens", 2_000_000, None),
        ("2,000,000 Tokens", 2_000_000, None),
        ("1 token", 1, None),
        ("$3.50", 3.5, "USD"),
        ("3 usd", 3, "USD"),
        ("USD 3", 3, "USD"),
        ("3$", 3, "USD"),
        ("US$3", 3, "USD"),
        ("$3", 3, "USD"),
        ("3 dollars", 3, "USD"),
        ("1 Dollar", 1, "USD"),
        ("3美元", 3, "USD"),
        ("10元", 10, "CNY"),
        ("人民币10元", 10, "CNY"),
        ("¥10", 10, "CNY"),
        ("￥10", 10, "CNY"),
        ("10¥", 10, "CNY"),
        ("10 yuan", 10, "CNY"),
        ("RMB 10", 10, "CNY"),
        ("RMB10", 10, "CNY"),
        ("cny 10.50", 10.5, "CNY"),
    ],
)
def test_common_spellings_of_a_budget_are_accepted(text: str, limit: float, currency: str | None) -> None:
    budget = Budget.of(text, "glm-4.6v")
    assert (budget.limit, budget.currency) == (limit, currency)


def test_a_budget_allows_only_one_call_before_the_first_answer() -> None:
    budget = Budget.of("1000 tokens", "glm-4.6v")
    assert budget.allows
    budget.begin()
    assert not budget.allows
    budget.end("glm-4.6v", glmv.Usage(90, 10, 100))
    assert budget.allows


def test_a_budget_of_zero_starts_no_call() -> None:
    assert not Budget.of("0 tokens", "glm-4.6v").allows


def test_a_budget_counts_running_calls_at_the_highest_cost_so_far() -> None:
    budget = Budget.of("1000 tokens", "glm-4.6v")
    budget.begin()
    budget.end("glm-4.6v", glmv.Usage(200, 0, 200))
    begun = 0
    while budget.allows:
        budget.begin()
        begun += 1
    assert begun == 3


def test_a_failed_call_costs_nothing_and_its_reserved_cost_is_freed_in_the_budget() -> None:
    budget = Budget.of("1000 tokens", "glm-4.6v")
    budget.begin()
    budget.end("glm-4.6v", None)
    assert budget.allows
    assert budget.spent == 0


def test_any_number_of_calls_is_allowed_without_a_budget() -> None:
    budget = Budget.of(None, "glm-4.6v")
    for _ in range(1000):
        budget.begin()
    assert budget.allows


def test_a_known_alias_of_a_model_has_the_price_of_that_model() -> None:
    assert cost("zai-org/GLM-4.6V-FP8", USED, USD_HOST) == cost("glm-4.6v", USED, USD_HOST) is not None
    for host in (USD_HOST, "https://openrouter.ai/api/v1"):
        assert str(cost("z-ai/glm-4.6v:free", USED, host)) == "free"
    with pytest.raises(glmv.InvalidRequestError, match="ours is not known"):
        Budget.of("$1", "ours")
    budget = Budget.of("$1", "ours", base_model="glm-4.6v")
    budget.begin()
    budget.end("ours", USED)
    assert round(budget.spent, 6) == 0.39


@pytest.mark.parametrize(
    "text",
    [
        "0,50 USD",
        "1,5 CNY",
        "$3 CNY",
        "$3 tokens",
        "1,0000 CNY",
        "3",
        "CNY",
        "$",
        "-1 CNY",
        "10 EUR",
        "€3",
        "10 块",
        "USD",
        "3 USD CNY",
        "RMB 10 USD",
        "",
        "two dollars",
        "1e3 USD",
        "2M tokens",
    ],
)
def test_an_ambiguous_budget_is_refused(text: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="budget must be written like"):
        Budget.of(text, "glm-4.6v")


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1,000.50 USD", 1000.5),
        ("$3 usd", 3.0),
        ("2_000 CNY", 2000.0),
        ("12,345,678 tokens", 12345678.0),
        ("¥0.5", 0.5),
    ],
)
def test_a_comma_in_a_budget_separates_thousands(text: str, limit: float) -> None:
    assert Budget.of(text, "glm-4.6v").limit == limit


@pytest.mark.parametrize("model", ["glm-4v-flash", "glm-4.1v-thinking-flash", "glm-4.6v-flash"])
@pytest.mark.parametrize("text", ["$3", "10 CNY"])
def test_a_free_model_accepts_a_budget_in_any_currency(model: str, text: str) -> None:
    budget = Budget.of(text, model)
    budget.begin()
    budget.end(model, USED)
    assert (budget.spent, budget.allows) == (0, True)


def test_the_error_for_an_invalid_budget_lists_valid_forms() -> None:
    with pytest.raises(glmv.InvalidRequestError) as refused:
        Budget.of("10 EUR", "glm-4.6v")
    forms = re.findall(r"'([^']+)'", str(refused.value))
    assert forms[-1] == "10 EUR"
    assert len(forms) > 8
    for form in forms[:-1]:
        assert Budget.of(form, "glm-4.6v").limit > 0


@pytest.mark.parametrize("text", ["$3", "10 CNY"])
def test_a_model_with_the_suffix_free_has_a_price_of_zero_and_accepts_a_budget(text: str) -> None:
    budget = Budget.of(text, "z-ai/glm-4.5v:free")
    budget.begin()
    budget.end("z-ai/glm-4.5v:free", USED)
    assert (budget.spent, budget.allows) == (0, True)
