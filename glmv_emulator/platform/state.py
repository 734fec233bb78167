"""The state that the endpoints, the middleware and the page of one emulator share."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

from glmv_emulator.answers import Script, Scripted
from glmv_emulator.http.hosting import Hosting
from glmv_emulator.http.journal import Exchange, Journal
from glmv_emulator.http.records import Records
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.files import Files
from glmv_emulator.platform.settings import Settings
from glmv_emulator.platform.upstream import Upstream


@dataclass(slots=True)
class State:
    """The state of a running emulator. The event loop changes it; `Emulator` changes only scripts and hosted media."""

    settings: Settings
    key: str
    script: Script
    journal: Journal
    upstream: Upstream | None = None
    hosting: Hosting = field(default_factory=Hosting)
    files: Files = field(default_factory=Files)
    records: Records = field(default_factory=Records)
    running: set[str] = field(default_factory=set)
    busy: Counter[str] = field(default_factory=Counter)
    widest: Counter[str] = field(default_factory=Counter)

    def now(self) -> float:
        """The emulator's wall clock, in seconds since the epoch."""
        return time.time() + self.settings.clock_offset

    def take(self, exchange: Exchange) -> Scripted | None:
        """The scripted answer for a request, or None. If the request fails, the answer returns to the queue."""
        scripted = self.script.take()
        if scripted is not None:
            exchange.unanswered.append(partial(self.script.put_back, scripted))
        return scripted

    def enter(self, exchange: Exchange, model: str, request_id: str | None) -> None:
        """Count a request as running until its exchange ends.

        Raises:
            Refusal: a request with this id is still running, or the model's limit is reached.
        """
        if request_id is not None and request_id in self.running:
            raise Refusal("1231", request_id)
        limit = self.settings.concurrency.get(model)
        if limit is not None and self.busy[model] >= limit:
            raise Refusal("1302")
        self.busy[model] += 1
        self.widest[model] = max(self.widest[model], self.busy[model])
        exchange.cleanup.append(lambda: self.busy.subtract([model]))
        if request_id is not None:
            self.running.add(request_id)
            exchange.cleanup.append(lambda: self.running.discard(request_id))
