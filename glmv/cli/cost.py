"""What an answer cost, by the price that was listed on the day that stands beside it."""

from __future__ import annotations

import glmv

MILLION = 1_000_000


def money(model: str | None, usage: glmv.Usage | None, base_model: str | None = None) -> str:
    """ "0.0012 CNY (2026-09)", "free", or "" when the price is not known. `base_model` goes before the name."""
    row = glmv.find_model(base_model or model or "")
    if row is None or row.price is None or usage is None:
        return ""
    price = row.price
    if price.input == price.output == 0:
        return "free"
    spent = (usage.prompt_tokens * price.input + usage.completion_tokens * price.output) / MILLION
    return f"{spent:.2g} {price.currency} by the price of {price.date}"
