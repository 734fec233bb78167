"""Shared code of the probes of both comparisons. Runs in the environment of the tested class.

A probe is a function that takes a `Subject` and returns whether an expectation is met, or that and an observation.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

COLOUR = "What is the main colour?"


class Subject:
    """The tested class, with the servers and files of the run: name -> URL or path."""

    def __init__(self, make: Callable[..., Any], given: dict[str, str]) -> None:
        self.make, self.given = make, given
        self.url, self.key = given["url"], given["key"]

    def model(self, **options: Any) -> Any:
        """A model, made as documented for its class."""
        return self.make(self.url, self.key, **options)

    def at(self, server: str, **options: Any) -> Any:
        """A model that uses another server."""
        return self.make(self.given[server], self.key, **options)


Probe = Callable[[Any], object]
PROBES: dict[str, Probe] = {}


# Marks a row whose outcome depends only on our emulator: no third party has shown that the platform behaves this way.
ALONE = " ¹"


def probe(name: str, *, alone: bool = False) -> Callable[[Probe], Probe]:
    """Add a function to the table; `alone` marks a row that depends only on our emulator."""

    def keep(function: Probe) -> Probe:
        PROBES[name + ALONE * alone] = function
        return function

    return keep


def outcome(function: Probe, subject: Subject) -> list[Any]:
    """Whether an expectation is met, and an observation if it is not."""
    try:
        found = function(subject)
    except Exception as error:  # noqa: BLE001  # whatever the class raises is the finding
        return [False, f"{type(error).__name__}: {error}".replace(subject.key, "<key>")[:160]]
    met, seen = found if isinstance(found, tuple) else (found, "")
    return [bool(met), "" if met else str(seen)[:160]]


def raised(call: Callable[[], Any]) -> Exception | None:
    """The exception that a call raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  # whatever the class raises is the finding
        return error
    return None


def misspelt(call: Callable[[], Any]) -> tuple[bool, str]:
    """Whether an option `temprature` is refused with its name."""
    error = raised(call)
    if error is None:
        return False, "it is ignored"
    return "temperature" in str(error) or "temprature" in str(error), f"{type(error).__name__}: {error}"


def fastest(call: Callable[[], Any], clock: Callable[[], float]) -> float:
    """Seconds of the fastest of 20 calls, after one warm-up call."""
    call()
    taken = []
    for _ in range(20):
        started = clock()
        call()
        taken.append(clock() - started)
    return min(taken)


def square(width: int = 64, height: int = 64) -> bytes:
    """A red PNG."""
    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return out.getvalue()


def schema() -> Any:
    """A pydantic class to fill."""
    from pydantic import BaseModel, Field

    class Picture(BaseModel):
        """Content of a picture."""

        colour: str = Field(description="the main colour")
        width: int = Field(description="pixels across")

    return Picture


def filled(found: Any) -> tuple[bool, str]:
    """Whether `schema` was filled with the content of `square`."""
    return (found.colour, found.width) == ("red", 64), str(found)
