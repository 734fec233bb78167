"""The steps of a call: a flow yields them, and a driver takes them and sends back their results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from glmv.credentials import SecretHeaders, Secrets
from glmv.exchange.gate import Busy, Gate
from glmv.types import Delta


class Failure(Exception):
    """A failure of the connection, independent of the HTTP library.

    `kind` is a key of `exchange.retry.FAILURES`, or "network_error" if the answer has that finish reason.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Enter(NamedTuple):
    """Take a slot of the gate, if there is a gate; give up at `until` (monotonic seconds).

    Also give up if no slot becomes free for `patience` seconds; None means the default read timeout.
    """

    until: float | None
    gate: Gate | None = None
    patience: float | None = None


class Send(NamedTuple):
    """Send a request; the result is `Opened`. `until` is the deadline for the headers of the response.

    `path` is relative to the base URL. `secrets` are masked in everything that the server sends. `timeouts` are
    seconds for each phase, see `glmv.sending.timeouts`.
    """

    method: str
    path: str
    body: Any
    headers: SecretHeaders
    until: float | None
    secrets: Secrets
    timeouts: Mapping[str, float | None]


class Opened(NamedTuple):
    """The status and headers (names in lower case) of a response whose body is not read yet.

    `intermediate` is the failure that is reported if the body is not JSON, because then a forward proxy may have
    written the response. It is None without such a proxy, and for a status that proxies do not send.
    """

    status: int
    headers: Mapping[str, str]
    intermediate: Failure | None = None


class Read(NamedTuple):
    """Read from the body; the result is the next bytes, b"" at the end."""

    until: float | None


class Hand(list[Delta]):
    """Give these deltas, at least one, to the caller."""


class Drop(NamedTuple):
    """Close the response and release the slot.

    `busy` is the refusal of the platform because of too many concurrent calls, or None. If the gate pauses after it,
    the next `Enter` of the call gets the old place in the queue.
    """

    busy: Busy | None = None


class Finish(NamedTuple):
    """The answer is complete. Read the rest of the response for a short time, so that the connection can be reused."""


class Pause(NamedTuple):
    """Wait for a number of seconds."""

    seconds: float


class Work(NamedTuple):
    """Call a function that reads, checks, fits or encodes large content; the result is its return value.

    An asynchronous driver calls it in a worker thread, and waits for it until `until` (monotonic seconds).
    """

    function: Callable[[], Any]
    until: float | None = None


Step = Enter | Send | Read | Hand | Drop | Finish | Pause | Work
