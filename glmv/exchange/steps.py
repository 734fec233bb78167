"""The steps of a call: what the flow asks a driver to do, and what the driver gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from glmv.credentials import SecretHeaders, Secrets
from glmv.exchange.gate import Busy, Gate
from glmv.types import Delta


class Failure(Exception):
    """What went wrong on the way, in terms of no HTTP library. `kind` is a key of `exchange.retry.FAILURES`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Enter(NamedTuple):
    """Take a slot of the gate, if there is one; give up at `until` (monotonic seconds).

    `patience` is how many seconds may pass in which no slot comes free; None is the default read timeout.
    """

    until: float | None
    gate: Gate | None = None
    patience: float | None = None


class Send(NamedTuple):
    """Send a request; answer with `Opened`. `until` bounds everything up to the answer's headers.

    `path` is relative to the base URL. `secrets` are masked in everything that the server sends. `timeouts` are
    seconds for each phase, as `glmv.sending.timeouts` has them.
    """

    method: str
    path: str
    body: Any
    headers: SecretHeaders
    until: float | None
    secrets: Secrets
    timeouts: Mapping[str, float | None]


class Opened(NamedTuple):
    """The status and headers (names in lower case) of an answer whose body is still to be read.

    `intermediate` is the failure that it stands for where its body is not in the server's form: a forward proxy on the
    way may have written it. None where there is no such proxy, or its status is not one that proxies answer.
    """

    status: int
    headers: Mapping[str, str]
    intermediate: Failure | None = None


class Read(NamedTuple):
    """Read on; answer with bytes as they came, b"" at the end."""

    until: float | None


class Hand(list[Delta]):
    """Hand these deltas, at least one, to the caller."""


class Drop(NamedTuple):
    """Close the answer and leave the slot.

    `busy`: the platform said that there are too many calls. Where the gate pauses for that, the next `Enter` gets the
    place in the queue that the call had.
    """

    busy: Busy | None = None


class Finish(NamedTuple):
    """The answer is whole: read its formal end for a moment so that the connection can be used again."""


class Pause(NamedTuple):
    """Wait for so many seconds."""

    seconds: float


class Work(NamedTuple):
    """Call a function that reads, checks, fits or encodes large content; answer with what it returns.

    An event loop has it called in a thread, and is waited for up to `until` (monotonic seconds).
    """

    function: Callable[[], Any]
    until: float | None = None


Step = Enter | Send | Read | Hand | Drop | Finish | Pause | Work
