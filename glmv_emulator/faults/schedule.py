"""Which fault occurs in which request: by script, at random, by header or by profile."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Importing these modules adds their faults to the table.
from glmv_emulator.faults import connections, refusals, streams  # noqa: F401
from glmv_emulator.faults.table import FAULTS, Context, Fault, chosen, written
from glmv_emulator.http.journal import Exchange
from glmv_emulator.http.playback import Hold, Response
from glmv_emulator.platform.errors import Refusal

HEADER = "x-glmv-fault"
# Faults that have status 200 and no error code, but leave the client without the whole answer.
BREAKING = {"reset-in-body", "half-body", "login-page", "empty-body", "huge-body", "endless-line", "truncated", "cut",
            "invalid-json"}  # fmt: skip
FOR = {
    "stream": "that are streamed",
    "whole": "that are not streamed",
    "reused": "on a connection that was used before",
}


@dataclass(slots=True)
class Planned:
    """A fault to cause in the next `left` requests whose path contains `path`; in all of them if `left` is None."""

    fault: Fault
    options: dict[str, Any]
    left: int | None = 1
    path: str | None = None

    def suits(self, exchange: Exchange) -> bool:
        """Whether the fault applies to a request. Without `path`, it applies only to POST requests."""
        there = exchange.method == "POST" if self.path is None else self.path in exchange.path
        return there and self.left != 0 and self.fault.suits(exchange)


@dataclass(frozen=True, slots=True)
class Profile:
    """A named set of faults. `chance` is the probability of a fault in a request; all `faults` are equally likely."""

    what: str
    chance: float
    faults: tuple[str, ...]
    always: tuple[str, ...] = ()
    concurrency: Mapping[str, int] = field(default_factory=dict)


PROFILES: Mapping[str, Profile] = {
    "busy evening": Profile(
        "the platform is overloaded: slow answers, 1302 and 1305, at most two concurrent calls of a model",
        0.25,
        ("busy", "busy; retry_after=1", "overloaded", "busy-event", "status-503"),
        always=("slow; first=0.2; between=0.01",),
        concurrency={"glm-4v-flash": 2, "glm-4.6v-flash": 2, "glm-4.6v": 2},
    ),
    "shaky network": Profile(
        "connections break and pause at every stage",
        0.3,
        (
            "reset-in-headers",
            "reset-in-body",
            "half-body",
            "cut",
            "cut; how=rst",
            "truncated",
            "no-answer",
            "idle-close",
        ),
    ),
    "bad gateway": Profile(
        "a gateway between the application and the platform answers instead",
        0.3,
        ("gateway-page", "gateway-page; status=504", "login-page", "error-in-200", "empty-body", "redirect", "garbage"),
    ),
    "strange streams": Profile(
        "event streams in unusual and in invalid forms",
        0.5,
        ("odd-framing", "double-done", "no-done", "invalid-utf8", "invalid-json", "filtered-midway", "withdrawn"),
    ),
    "month's end": Profile("the quota is used up now and then", 0.2, ("arrears", "arrears; code=1308", "code-1304")),
}


class Schedule:
    """The faults to cause. Any thread may add a fault; only the emulator's event loop causes faults."""

    def __init__(
        self, *, faults: Sequence[str] = (), chance: float | None = None, profile: str | None = None, seed: int = 0
    ) -> None:
        if profile is not None and profile not in PROFILES:
            raise ValueError(f"there is no profile {profile!r}; the profiles are {', '.join(PROFILES)}")
        day = PROFILES[profile] if profile is not None else Profile("", 0.0, ())
        if chance is not None and not 0 <= chance <= 1:
            raise ValueError(f"chance must be from 0 to 1; got {chance!r}")
        self._seed = seed
        scripted = bool(faults) and chance is None
        self._chance = 0.0 if scripted else day.chance if chance is None else chance
        texts = tuple(faults) or day.faults
        self._likely = [chosen(*written(one)) for one in texts]
        # Without `chance`, the faults of the constructor are a script: each occurs once, in this order.
        self._first = self._likely if scripted else []
        self._always = [chosen(*written(one)) for one in day.always]
        self.concurrency = day.concurrency
        self._lock = threading.Lock()
        self._held: list[asyncio.Event] = []
        self.reset()

    def reset(self) -> None:
        """Return to the initial state: the same requests get the same faults again."""
        with self._lock:
            self._random = random.Random(self._seed)  # noqa: S311 - not used for secrets
            self._planned = [Planned(fault, options) for fault, options in self._first]
            self._planned += [Planned(fault, options, None) for fault, options in self._always]

    def add(self, name: str, times: int | None, path: str | None, options: Mapping[str, Any]) -> None:
        """Plan a fault for the next `times` requests to which it applies; for all of them if `times` is None.

        If `path` is given, the fault applies only to requests whose path contains it.
        """
        fault, checked = chosen(name, options)
        with self._lock:
            self._planned.append(Planned(fault, checked, times, path))

    def release(self) -> None:
        """Continue all responses that a fault has paused. Call this on the emulator's event loop."""
        events, self._held = self._held, []
        for event in events:
            event.set()

    def hold(self) -> Hold:
        event = asyncio.Event()
        self._held.append(event)
        return Hold(event)

    def requested(self, headers: Mapping[str, str]) -> Planned | None:
        """The fault that a request names in the header `x-glmv-fault`, or None.

        Raises:
            Refusal: the header is invalid.
        """
        text = headers.get(HEADER)
        if text is None:
            return None
        try:
            return Planned(*chosen(*written(text)))
        except ValueError as problem:
            raise Refusal("1210", f"{HEADER}: {problem}") from None

    def awaits(self, headers: Mapping[str, str], exchange: Exchange) -> bool:
        """Whether a fault may change the answer to a request. If so, the whole answer is needed before it is sent."""
        with self._lock:
            return HEADER in headers or self._chance > 0 or any(one.suits(exchange) for one in self._planned)

    def changing(
        self, own: Planned | None, exchange: Exchange, refuse: Callable[[Refusal], Response], other_origin: str
    ) -> Callable[[Response], Response]:
        """A function that applies the faults to a response before it is sent, unless the response is a refusal.

        `own` is the fault that the request's header names.
        """
        context = Context(exchange, refuse, self.hold, other_origin)

        def change(answer: Response) -> Response:
            if answer.status != 200 or exchange.code is not None:
                return answer
            if own is not None and not own.fault.suits(exchange):
                needs = f"{HEADER}: {own.fault.name} is for requests {FOR[own.fault.needs]}"
                return refuse(Refusal("1210", needs))
            for planned in self._taken(own, exchange):
                exchange.fault = exchange.fault or planned.fault.name
                assert planned.fault.apply is not None
                answer = planned.fault.apply(answer, context, **planned.options)
                if answer.status != 200 or exchange.code is not None or planned.fault.name in BREAKING:
                    exchange.fail()
            return answer

        return change

    def _taken(self, own: Planned | None, exchange: Exchange) -> list[Planned]:
        """The faults for a request: `slow` if it is planned, and at most one other fault. Counts them as caused."""
        with self._lock:
            planned_faults = [planned for planned in self._planned if planned.suits(exchange)]
            slow = [planned for planned in planned_faults if planned.fault.name == "slow"][:1]
            other = [own] if own else [planned for planned in planned_faults if planned.fault.name != "slow"][:1]
            for planned in (*slow, *other):
                if planned.left is not None:
                    planned.left -= 1
            return (other or self._by_chance(exchange)) + slow

    def _by_chance(self, exchange: Exchange) -> list[Planned]:
        if exchange.method != "POST" or not self._chance or self._random.random() >= self._chance:
            return []
        choices = [(fault, options) for fault, options in self._likely if fault.suits(exchange)]
        return [Planned(*self._random.choice(choices))] if choices else []


def table() -> list[Fault]:
    """All faults, the numbered ones first."""
    return sorted(FAULTS.values(), key=lambda fault: (fault.number or 99, fault.name))
