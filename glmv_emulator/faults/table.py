"""The table of faults by name.

`number` is the fault's number in docs/reliability.md. A fault is a function from the normal response to the faulty one.
Faults that no response can cause have a text that says how to cause them.
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
Options = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Context:
    """The request in which a fault occurs.

    Attributes:
        exchange: the request's entry in the journal.
        refuse: makes the response of a refusal, in the form of the API and in the client's language.
        hold: makes a step that waits until `Schedule.release` is called.
        other_origin: the URL of this emulator under a different host name, so that clients see a different origin.
    """

    exchange: Exchange
    refuse: Callable[[Refusal], Response]
    hold: Callable[[], Hold]
    other_origin: str

    def body_of(self, refusal: Refusal) -> bytes:
        """The JSON of a refusal."""
        return b"".join(step for step in self.refuse(refusal).steps if isinstance(step, bytes))


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: the name.
        number: its number in docs/reliability.md; 0 if it is not there.
        what: what happens.
        advice: what a client should do.
        needs: the kind of requests to which it applies.
        apply: makes the response; None if no response can cause the fault.
        instead: how to cause the fault if no response can.
    """

    name: str
    number: int
    what: str
    advice: str
    needs: Needs = "any"
    apply: Apply | None = None
    instead: str = ""

    @property
    def options(self) -> dict[str, Any]:
        """The options of the fault, with their defaults."""
        if self.apply is None:
            return {}
        return {option.name: option.default for option in list(inspect.signature(self.apply).parameters.values())[2:]}

    def suits(self, exchange: Exchange) -> bool:
        """Whether the fault applies to a request."""
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
    """A decorator that adds a function to the table of faults."""

    def add(apply: Apply) -> Apply:
        FAULTS[name] = Fault(name, number, what, advice, needs, apply)
        return apply

    return add


def beyond(number: int, name: str, what: str, advice: str, instead: str) -> None:
    """Add a fault that the emulator cannot cause, because it is not part of a response; `instead` says what to do."""
    FAULTS[name] = Fault(name, number, what, advice, instead=instead)


def chosen(name: str, options: Options) -> tuple[Fault, dict[str, Any]]:
    """The fault with this name, and its converted options.

    The name `code-1302` is short for `refusal; code=1302`, and `status-503` for `bare-status; status=503`.

    Raises:
        ValueError: the name or an option does not exist, or no response can cause the fault.
    """
    values = dict(options)
    for short, row, option in (("code-", "refusal", "code"), ("status-", "bare-status", "status")):
        if name.startswith(short):
            values[option] = name.removeprefix(short)
            name = row
    if name not in FAULTS:
        raise ValueError(f"there is no fault {name!r}; the faults are {', '.join(sorted(FAULTS))}")
    entry = FAULTS[name]
    if entry.apply is None:
        raise ValueError(f"no response can cause {name!r}; instead, {entry.instead}")
    defaults = entry.options
    if unknown := sorted(values.keys() - defaults.keys()):
        raise ValueError(
            f"{name!r} has no option {', '.join(unknown)}; its options are {', '.join(defaults) or 'none'}"
        )
    return entry, {option: _converted(name, option, value, defaults[option]) for option, value in values.items()}


def _converted(name: str, option: str, value: Any, default: Any) -> Any:
    """Convert a value to the type of the option's default. For example, a number in a header is a string at first."""
    try:
        return type(default)(value)
    except (TypeError, ValueError):
        raise ValueError(f"{option} of {name!r} must be a value like {default!r}; got {value!r}") from None


def written(text: str) -> tuple[str, dict[str, str]]:
    """The name and the options in a text such as `name; option=value; option=value`."""
    name, *rest = (piece.strip() for piece in text.split(";"))
    options = {}
    for piece in filter(None, rest):
        option, equals, value = piece.partition("=")
        if not equals:
            raise ValueError(f"{piece!r} is not written as option=value")
        options[option.strip()] = value.strip()
    return name, options
