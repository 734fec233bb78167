"""What can go wrong between an application and the platform: a table of faults by name.

`number` is the fault's number in docs/reliability.md. A fault is a function from the answer that would have been
played to the one that is; what is beyond the reach of an answer says where to get it instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from glmv_emulator.http.journal import Exchange
from glmv_emulator.http.playback import Hold, Response
from glmv_emulator.platform.errors import Refusal

Needs = Literal["any", "stream", "whole", "reused"]
Apply = Callable[..., Response]
Knobs = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What a fault may know of the request that it befalls.

    Attributes:
        exchange: the request's entry in the journal.
        refuse: makes the answer that refuses, in the envelope of the base and the caller's language.
        hold: makes an step that waits until the schedule is told to go on.
        other_origin: this emulator under its other name, which is another origin to any client.
    """

    exchange: Exchange
    refuse: Callable[[Refusal], Response]
    hold: Callable[[], Hold]
    other_origin: str

    def said(self, refusal: Refusal) -> bytes:
        """The JSON of a refusal."""
        return b"".join(step for step in self.refuse(refusal).steps if isinstance(step, bytes))


@dataclass(frozen=True, slots=True)
class Fault:
    """One row.

    Attributes:
        name, number: number 0 is for what has no row in docs/reliability.md.
        what: what happens.
        advice: what a client should do.
        needs: which requests it can befall.
        apply: makes the answer; None where no answer of a server can cause it.
        instead: where to get it then.
    """

    name: str
    number: int
    what: str
    advice: str
    needs: Needs = "any"
    apply: Apply | None = None
    instead: str = ""

    @property
    def knobs(self) -> dict[str, Any]:
        """What can be set, with what it is otherwise."""
        if self.apply is None:
            return {}
        return {knob.name: knob.default for knob in list(inspect.signature(self.apply).parameters.values())[2:]}

    def suits(self, exchange: Exchange) -> bool:
        """Whether it can befall this request."""
        match self.needs:
            case "any":
                return True
            case "stream":
                return exchange.stream
            case "whole":
                return not exchange.stream
            case "reused":
                return exchange.nth > 1


FAULTS: dict[str, Fault] = {}


def fault(number: int, name: str, what: str, advice: str, *, needs: Needs = "any") -> Callable[[Apply], Apply]:
    """Enter a function into the table."""

    def entered(apply: Apply) -> Apply:
        FAULTS[name] = Fault(name, number, what, advice, needs, apply)
        return apply

    return entered


def beyond(number: int, name: str, what: str, advice: str, instead: str) -> None:
    """Enter a fault that no answer can cause."""
    FAULTS[name] = Fault(name, number, what, advice, instead=instead)


def chosen(name: str, knobs: Knobs) -> tuple[Fault, dict[str, Any]]:
    """A row by its name, or by the short forms `code-1302` and `status-503`, and its knobs, checked.

    Raises:
        ValueError: for a name or a knob that is not there, or a fault that no answer can cause.
    """
    given = dict(knobs)
    for short, row, knob in (("code-", "refusal", "code"), ("status-", "bare-status", "status")):
        if name.startswith(short):
            given[knob] = name.removeprefix(short)
            name = row
    if name not in FAULTS:
        raise ValueError(f"there is no fault {name!r}; there are {', '.join(sorted(FAULTS))}")
    found = FAULTS[name]
    if found.apply is None:
        raise ValueError(f"no answer of a server can cause {name!r}: {found.instead}")
    known = found.knobs
    if unknown := sorted(given.keys() - known.keys()):
        raise ValueError(f"{name!r} has no {', '.join(unknown)}; it has {', '.join(known) or 'nothing to set'}")
    return found, {knob: _fitting(name, knob, value, known[knob]) for knob, value in given.items()}


def _fitting(name: str, knob: str, value: Any, default: Any) -> Any:
    """A value as the knob takes it: headers bring strings, and a code may be given as a number."""
    try:
        return type(default)(value)
    except (TypeError, ValueError):
        raise ValueError(f"{knob} of {name!r} is like {default!r}, not {value!r}") from None


def written(text: str) -> tuple[str, dict[str, str]]:
    """`name; knob=value; knob=value` -> the name and the knobs."""
    name, *rest = (piece.strip() for piece in text.split(";"))
    knobs = {}
    for piece in filter(None, rest):
        knob, equals, value = piece.partition("=")
        if not equals:
            raise ValueError(f"{piece!r} is not written as knob=value")
        knobs[knob.strip()] = value.strip()
    return name, knobs
