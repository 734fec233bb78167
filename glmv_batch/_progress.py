"""The progress of a job: counts, as one line of text or as JSON."""

import json
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from glmv_batch._prices import NOTHING, Money, cost
from glmv_batch._row import Row

# The rate is computed from this many recent rows, so that it follows changes of the gate's width.
_RECENT = 200


@dataclass
class Progress:
    """Counts of one run.

    Attributes:
        total: number of items; None before they are counted, or if they cannot be counted.
        answered, failed: rows of this run.
        known: rows that were not sent, because this run or an earlier run has already sent an equal item.
        known_failed: how many of the `known` rows are errors.
        input_tokens, output_tokens: tokens of this run, as far as the server reported them.
        errors: number of failed rows by the name of the error class.
        retryable: how many of `failed` and `known_failed` may succeed when they are sent again (`retry_failed=True`).
        spent: cost of this run, in the server's currency; None if no price is known. At the emulator it is 0,
            without a currency.
        unpriced: number of answers without a known price.
        width: number of concurrent calls that the gate allows now; it shrinks when the platform is busy.
        waiting: what the run is waiting for, such as the network; else None.
        stopped: why the run ended before all items were done; else None.
    """

    total: int | None = None
    answered: int = 0
    failed: int = 0
    known: int = 0
    known_failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    retryable: int = 0
    spent: Money | None = None
    unpriced: int = 0
    width: int | None = None
    waiting: str | None = None
    stopped: str | None = None
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    share: float = field(default=1.0, repr=False)
    base_url: str = field(default="", repr=False)
    base_model: str | None = field(default=None, repr=False)
    currency: str | None = field(default=None, repr=False)
    _begun: float | None = field(default=None, repr=False)
    _ended: float | None = field(default=None, repr=False)
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT), repr=False)

    def begin(self) -> None:
        """Record that the run starts now."""
        self._begun = self.clock()

    def end(self) -> None:
        """Record that the run ends now."""
        self._ended = self.clock()

    def count(self, row: Row, *, known: bool = False, emulated: bool = False) -> None:
        """Count one row. For `known` see the attribute; `emulated` means that the emulator answered, at no cost."""
        self.retryable += bool(row.retryable) and not row.ok
        if known:
            self.known += 1
            self.known_failed += not row.ok
            return
        self._recent.append(self.clock())
        if row.ok:
            self.answered += 1
        else:
            self.failed += 1
            self.errors[row.error_class or "Error"] += 1
        if row.usage is None:
            return
        self.input_tokens += row.usage.prompt_tokens
        self.output_tokens += row.usage.completion_tokens
        model = self.base_model or row.model
        priced = cost(model, row.usage, self.base_url, currency=self.currency, share=self.share)
        money = NOTHING if emulated else priced
        if money is None:
            self.unpriced += 1
        else:
            self.spent = money._replace(amount=money.amount + (self.spent.amount if self.spent else 0))

    @property
    def done(self) -> int:
        """Rows so far."""
        return self.answered + self.failed + self.known

    @property
    def seconds(self) -> float:
        """Duration of the run so far, or of the whole run after its end."""
        if self._begun is None:
            return 0.0
        return (self._ended if self._ended is not None else self.clock()) - self._begun

    @property
    def rate(self) -> float | None:
        """Recent rows per second, without the `known` rows; None before the second row."""
        if len(self._recent) < 2:
            return None
        return (len(self._recent) - 1) / max(self._recent[-1] - self._recent[0], 1e-9)

    @property
    def eta(self) -> float | None:
        """Seconds until the end at the current rate; None if the total or the rate is unknown."""
        if self.total is None or self.rate is None:
            return None
        return max(0, self.total - self.done) / self.rate

    @property
    def money(self) -> str:
        """The cost of the run as text."""
        if self.unpriced and self.spent is None:
            return "price not known"
        text = str(self.spent) if self.spent is not None else "nothing spent"
        return f"{text}, {self.unpriced} answers without a known price" if self.unpriced else text

    def as_dict(self) -> dict[str, Any]:
        """All counts as plain data."""
        spent = self.spent
        return {
            "total": self.total,
            "done": self.done,
            "answered": self.answered,
            "failed": self.failed,
            "known": self.known,
            "known_failed": self.known_failed,
            "rate": None if self.rate is None else round(self.rate, 2),
            "eta": None if self.eta is None else round(self.eta, 1),
            "seconds": round(self.seconds, 2),
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "spent": None if spent is None else round(spent.amount, 6),
            "currency": None if spent is None else spent.currency or None,
            "price_date": None if spent is None else spent.date or None,
            "unpriced": self.unpriced,
            "width": self.width,
            "errors": dict(self.errors),
            "retryable": self.retryable,
            "waiting": self.waiting,
            "stopped": self.stopped,
        }

    def as_json(self) -> str:
        """All counts as one line of JSON."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def __str__(self) -> str:
        text = f"{self.answered:,} answered, {self.failed:,} failed, {self.known:,} already in the ledger"
        text += f" ({self.known_failed:,} of these failed)" if self.known_failed else ""
        text += f"; {self.input_tokens + self.output_tokens:,} tokens, {self.money}; {self.seconds:.1f} s"
        if self.errors:
            text += f"; {', '.join(f'{count} {name}' for name, count in self.errors.most_common())}"
        text += f"; retry_failed would send {self.retryable:,} of the failed rows again" if self.retryable else ""
        text += f"; waiting: {self.waiting}" if self.waiting else ""
        return f"{text}; stopped: {self.stopped}" if self.stopped else text


# The annotations above are not strings: strings would be looked up in the module `glmv_batch`, which lacks their names.
Progress.__module__ = "glmv_batch"
