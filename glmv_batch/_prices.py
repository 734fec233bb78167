"""Computes the cost of tokens from the dated prices of the catalogue, and keeps the budget of a job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import glmv

# "价格为同步调用的 50%" (docs.bigmodel.cn, "批量处理")
BATCH_SHARE = 0.5

# A call is expected to cost up to this factor of the most expensive one so far.
_CAUTION = 1.2

_UNITS = {
    "USD": ("usd", "us$", "$", "＄", "dollars", "dollar", "美元"),
    "CNY": ("cny", "rmb", "cn¥", "¥", "￥", "yuan", "人民币", "元"),
    None: ("tokens", "token"),
}
_CURRENCIES = {unit: currency for currency, units in _UNITS.items() for unit in units}
_UNIT = "|".join(re.escape(unit) for unit in _CURRENCIES)
# A comma separates thousands. Elsewhere it is a decimal point, so "0,50" is refused rather than read as 50.
_BUDGET = re.compile(
    rf"(?P<before>{_UNIT})?\s*(?P<amount>(?:\d{{1,3}}(?:,\d{{3}})+|\d[\d_]*)(?:\.\d+)?)\s*(?P<after>{_UNIT})?",
    re.IGNORECASE,
)
_FORMS = "'10 CNY', 'RMB 10', '10 yuan', '10元', '¥10', '3 USD', 'USD 3', '3 dollars', '$3', '3$' or '2000000 tokens'"


# Prefixes of the ids of the emulator's answers (docs/fidelity.md); on `/v1` they follow OpenAI's prefix.
_EMULATED = ("emu-", "chatcmpl-emu-")


class Money(NamedTuple):
    """An amount, its currency, and the date of the price list."""

    amount: float
    currency: str
    date: str

    def __str__(self) -> str:
        return "free" if self.amount == 0 else f"{self.amount:.4g} {self.currency} at the prices of {self.date}"


NOTHING = Money(0.0, "", "")
"""The cost of an answer of the emulator."""


def is_emulated(answer: glmv.Completion | Exception) -> bool:
    """Whether an answer, or an error's partial answer, comes from the emulator and so costs nothing."""
    completion = getattr(answer, "partial", None) if isinstance(answer, Exception) else answer
    return completion is not None and (completion.id or "").startswith(_EMULATED)


def cost(
    model: str | None, usage: glmv.Usage | None, base_url: str, *, currency: str | None = None, share: float = 1.0
) -> Money | None:
    """The cost of an answer; None if the tokens, or the model's price at that server, are not known.

    Args:
        currency: the budget's currency. For servers other than the platform, the model's listed price in this currency
            is used.
        share: the fraction of the listed price to pay: `BATCH_SHARE` in the platform's batches.
    """
    row = glmv.find_model(model or "")
    price = (row.price_at(base_url) or row.price_in(currency or "")) if row else None
    return _money(price, usage, share)


def _money(price: Any, usage: glmv.Usage | None, share: float) -> Money | None:
    if price is None or usage is None:
        return None
    spent = price.amount(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens or 0)
    return Money(share * spent, price.currency, price.date)


@dataclass
class Budget:
    """What a job may spend and has spent, and an estimate for the running calls.

    A running call is expected to cost a little more than the most expensive one so far. Before the first answer the
    cost is unknown, so there is only one call at a time until then.
    """

    limit: float = float("inf")
    currency: str | None = None  # None counts tokens
    share: float = 1.0
    spent: float = 0.0
    dearest: float | None = None
    under_way: int = 0
    base_model: str | None = None  # the model whose price is used, whatever name the server answers with

    @classmethod
    def of(cls, text: str | None, model: str, *, base_model: str | None = None, share: float = 1.0) -> Budget:
        """Read a budget such as "10 CNY", "RMB 10", "$3", "3 dollars" or "2,000,000 tokens"; None means no limit.

        The cost in money is computed from the listed price in the same currency, for every server. This includes the
        emulator, so that a budget can be tried there.

        Args:
            model: the model's name.
            base_model: the model's name in the catalogue, if `model` is a server's alias.
            share: the fraction of the listed price to pay.

        Raises:
            InvalidRequestError: the text is neither money nor tokens, or the model's price in that currency is not
                known.
        """
        if text is None:
            return cls()
        match = _BUDGET.fullmatch(str(text).strip())
        units = {_CURRENCIES[unit.lower()] for unit in match.group("before", "after") if unit} if match else set()
        if match is None or len(units) != 1:
            raise glmv.InvalidRequestError(f"budget must be written like {_FORMS}; got {text!r}.")
        limit = float(match["amount"].replace(",", "").replace("_", ""))
        (currency,) = units
        if currency is None:
            return cls(limit)
        row = glmv.find_model(base_model or model)
        if row is not None and any(price.free for price in row.prices):
            return cls(limit, currency, share, base_model=base_model)
        if row is None or not row.prices:
            raise glmv.InvalidRequestError(
                f"The price of {model} is not known: give a budget such as '2000000 tokens'."
            )
        if row.price_in(currency) is None:
            currencies = [price.currency for price in row.prices]
            works = ", ".join(f"'10 {each}'" for each in currencies)
            raise glmv.InvalidRequestError(
                f"The price of {model} is known in {' or '.join(currencies)} and not in {currency}: give a budget such "
                f"as {works} or '2000000 tokens'."
            )
        return cls(limit, currency, share, base_model=base_model)

    @property
    def allows(self) -> bool:
        """Whether the budget allows one more call in addition to the running ones."""
        if self.limit == float("inf"):
            return True
        if self.dearest is None:
            return not self.under_way and self.limit > 0
        return self.spent + (self.under_way + 1) * self.dearest * _CAUTION <= self.limit

    def begin(self) -> None:
        """Count a call that starts."""
        self.under_way += 1

    def end(self, model: str | None, usage: glmv.Usage | None) -> None:
        """Count a call that has ended; `usage` is None if it is not known, as after most errors."""
        self.under_way -= 1
        if usage is None:
            return
        if self.currency is None:
            amount: float = usage.prompt_tokens + usage.completion_tokens
        else:
            row = glmv.find_model(self.base_model or model or "")
            money = _money(row.price_in(self.currency) if row else None, usage, self.share)
            if money is None:
                return
            amount = money.amount
        self.spent += amount
        self.dearest = max(amount, self.dearest or 0)
