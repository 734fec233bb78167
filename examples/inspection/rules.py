"""The rules of the inspection: the order, the label as it was read, and the verdict on it. Pure code."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field

Verdict = Literal["pass", "rework", "reject", "by hand"]


class Label(BaseModel):
    """The label of a tin of tea."""

    product: str
    batch: str
    best_before: date
    net_weight: int = Field(description="in grams")


class Order(BaseModel):
    """The tea that is being packed, and the required text of each code."""

    product: str = "Harbour Green"
    batch: str = "B-2041"
    net_weight: int = 250
    code: str = "HG250/B-2041"
    shelf_until: date = date(2027, 11, 1)


def judge(label: Label, code: str | None, order: Order) -> tuple[Verdict, list[str]]:
    """The verdict on a label and the text of its code, with reasons. "reject" if a new label does not solve it."""
    fatal = []
    if label.product.casefold() != order.product.casefold():
        fatal.append(f"it says {label.product!r}, {order.product!r} is being packed")
    if label.net_weight != order.net_weight:
        fatal.append(f"it holds {label.net_weight} g, {order.net_weight} g were ordered")
    if label.best_before < order.shelf_until:
        fatal.append(f"best before {label.best_before}, it has to keep until {order.shelf_until}")
    mendable = []
    if label.batch != order.batch:
        mendable.append(f"the label says batch {label.batch}, this is {order.batch}")
    if code is None:
        mendable.append("there is no code that can be read")
    elif code != order.code:
        mendable.append(f"the code says {code}, not {order.code}")
    verdict: Verdict = "reject" if fatal else "rework" if mendable else "pass"
    return verdict, fatal + mendable
