"""What an answer cost by the price list, with the month of that list."""

from __future__ import annotations

import glmv


def money(model: str | None, usage: glmv.Usage | None, base_url: str) -> str:
    """ "0.0012 CNY at the prices of 2026-08", "free", or "" if the price at that server is not known."""
    row = glmv.find_model(model or "")
    price = row.price_at(base_url) if row is not None else None
    if price is None or usage is None:
        return ""
    if price.free:
        return "free"
    spent = price.amount(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens or 0)
    return f"{spent:.2g} {price.currency} at the prices of {price.date}"
