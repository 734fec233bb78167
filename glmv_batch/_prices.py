"""Tokens -> money, by the price that was listed on the day that stands beside it; and what may be spent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import glmv

# "价格为同步调用的 50%" (docs.bigmodel.cn, "批量处理")
BATCH_SHARE = 0.5

# The next answer may well be a little longer than the longest so far.
_CAUTION = 1.2

_UNITS = {
    "USD": ("usd", "us$", "$", "＄", "dollars", "dollar", "美元"),
    "CNY": ("cny", "rmb", "cn¥", "¥", "￥", "yuan", "人民币", "元"),
    None: ("tokens", "token"),
}
_CURRENCIES = {unit: currency for currency, units in _UNITS.items() for unit in units}
_UNIT = "|".join(re.escape(unit) for unit in _CURRENCIES)
# A comma parts thousands. Where it is read as a decimal point elsewhere, "0,50" is refused rather than read as 50.
_BUDGET = re.compile(
    rf"(?P<before>{_UNIT})?\s*(?P<amount>(?:\d{{1,3}}(?:,\d{{3}})+|\d[\d_]*)(?:\.\d+)?)\s*(?P<after>{_UNIT})?",
    re.IGNORECASE,
)
_FORMS = "'10 CNY', 'RMB 10', '10 yuan', '10元', '¥10', '3 USD', 'USD 3', '3 dollars', '$3', '3$' or '2000000 tokens'"


# Ids of the emulator's answers begin so (docs/fidelity.md); its `/v1` puts OpenAI's prefix in front.
_EMULATED = ("emu-", "chatcmpl-emu-")


class Money(NamedTuple):
    """An amount, and what it is told by."""

    amount: float
    currency: str
    date: str

    def __str__(self) -> str:
        return "free" if self.amount == 0 else f"{self.amount:.4g} {self.currency} by the price of {self.date}"


NOTHING = Money(0.0, "", "")
"""What an answer of the emulator costs."""


def is_emulated(answer: glmv.Completion | Exception) -> bool:
    """Whether an answer, or what an error has of one, is the emulator's, for which nobody pays."""
    told = getattr(answer, "partial", None) if isinstance(answer, Exception) else answer
    return told is not None and (told.id or "").startswith(_EMULATED)


def cost(
    model: str | None, usage: glmv.Usage | None, base_url: str, *, currency: str | None = None, share: float = 1.0
) -> Money | None:
    """What an answer cost; None when the price of the model at that server is not known, or its tokens are not.

    Args:
        currency: of the budget, by whose listed price answers of other servers than the platform's are counted.
        share: of the listed price: `BATCH_SHARE` in the platform's batches.
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
    """What a job may spend, what it has spent, and what the calls under way may come to cost.

    A call under way is expected to cost a little more than the dearest before it did; before the first answer nobody
    knows, so there is one call at a time until then.
    """

    limit: float = float("inf")
    currency: str | None = None  # None counts tokens
    share: float = 1.0
    spent: float = 0.0
    dearest: float | None = None
    under_way: int = 0
    base_model: str | None = None  # whose price holds, whatever name the server answers with

    @classmethod
    def of(cls, told: str | None, model: str, *, base_model: str | None = None, share: float = 1.0) -> Budget:
        """ "10 CNY", "RMB 10", "$3", "3 dollars", "2,000,000 tokens" or None -> a budget.

        Money is counted by the price that is listed in its currency, whatever server is asked: at the emulator too, so
        that a run can be tried there.

        Args:
            model: that is asked.
            base_model: the one of the catalogue that it is, where its name does not tell.
            share: of the listed price.

        Raises:
            InvalidRequestError: when it is neither money nor tokens, or money where no price of the model is known in
                that currency.
        """
        if told is None:
            return cls()
        found = _BUDGET.fullmatch(str(told).strip())
        units = {_CURRENCIES[unit.lower()] for unit in found.group("before", "after") if unit} if found else set()
        if found is None or len(units) != 1:
            raise glmv.InvalidRequestError(f"A budget is written like {_FORMS}; got {told!r}.")
        limit = float(found["amount"].replace(",", "").replace("_", ""))
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
            known = [price.currency for price in row.prices]
            works = ", ".join(f"'10 {each}'" for each in known)
            raise glmv.InvalidRequestError(
                f"The price of {model} is known in {' or '.join(known)} and not in {currency}: give a budget such as "
                f"{works} or '2000000 tokens'."
            )
        return cls(limit, currency, share, base_model=base_model)

    @property
    def allows(self) -> bool:
        """Whether one more call fits, beside those under way."""
        if self.limit == float("inf"):
            return True
        if self.dearest is None:
            return not self.under_way and self.limit > 0
        return self.spent + (self.under_way + 1) * self.dearest * _CAUTION <= self.limit

    def begin(self) -> None:
        """One more call is under way."""
        self.under_way += 1

    def end(self, model: str | None, usage: glmv.Usage | None) -> None:
        """It has ended, and this is what it used; None when nobody counted, as after most errors."""
        self.under_way -= 1
        if usage is None:
            return
        if self.currency is None:
            paid: float = usage.prompt_tokens + usage.completion_tokens
        else:
            row = glmv.find_model(self.base_model or model or "")
            money = _money(row.price_in(self.currency) if row else None, usage, self.share)
            if money is None:
                return
            paid = money.amount
        self.spent += paid
        self.dearest = max(paid, self.dearest or 0)
