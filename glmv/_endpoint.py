"""What the platform's other endpoints have in common: a call for each of them, and who runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from glmv._errors import InvalidRequestError
from glmv._flow import MAX_BODY_BYTES, Call, Step
from glmv._messages import Messages
from glmv._prepare import policy_of, renewed
from glmv._request import ChatRequest, Settings
from glmv._retry import Budget
from glmv._secrets import SecretHeaders
from glmv._where import Place
from glmv._wire import Body, json_body

T = TypeVar("T")


class Run(Protocol):
    """Runs a flow to its end, blocking."""

    def __call__(self, flow: Generator[Step, Any, T], model: str | None = None, timeout: Any = None) -> T: ...


class AsyncRun(Protocol):
    """Runs a flow to its end, awaiting."""

    async def __call__(self, flow: Generator[Step, Any, T], model: str | None = None, timeout: Any = None) -> T: ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What every call is made from. `clock` tells monotonic seconds."""

    settings: Settings
    place: Place
    budget: Budget
    clock: Callable[[], float] = time.monotonic

    def request(self, messages: Messages, model: str | None, options: Mapping[str, Any]) -> ChatRequest:
        """Messages and options of one call -> the request."""
        return ChatRequest.of(messages, self.settings, {**options, "model": model} if model else options)

    def call(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | Body | None = None,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        repeatable: bool = True,
        limit: int = MAX_BODY_BYTES,
    ) -> Call:
        """A call of an endpoint.

        Args:
            path: relative to the base URL, ids in it quoted (see `quoted`).
            payload: JSON to send, or a body that is made already.
            query: what goes behind the "?"; None values are left out.
            deadline: seconds, when shorter than the settings' own.
            repeatable: whether it does no harm when a request that broke on its way is sent once more.
            limit: bytes that the answer may have.

        Raises:
            InvalidRequestError: when the payload cannot be written as JSON.
        """
        body = payload if payload is None or isinstance(payload, Body) else json_body(payload)
        asked = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        policy = policy_of(self.settings, self.place, self.budget, {})
        policy.clock = self.clock
        policy.repeatable = repeatable
        if deadline is not None:
            policy.deadline = min(deadline, policy.deadline or deadline)
        return Call(
            method,
            f"{path}?{asked}" if asked else path,
            lambda _: body,
            policy,
            headers=SecretHeaders(headers),
            secrets=self.place.secrets,
            request_id="",
            renew=lambda: renewed(self.place),
            sensitive=self.settings.on_sensitive,
            limit=limit,
        )


def quoted(what: str, name: object) -> str:
    """An id as it may stand in a path.

    Raises:
        InvalidRequestError: for anything but a string with something in it: "" would ask for all of them.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequestError(f"The id of a {what} is the string that the platform gave it; got {name!r}.")
    return quote(name.strip(), safe="")


def seconds(moment: object) -> int | None:
    """A moment as the platform tells it -> whole seconds since the epoch.

    Files count in seconds and batches in milliseconds, whatever their reference says.
    """
    match moment:
        case bool():
            return None
        case int() | float() if moment:
            return int(moment / 1000 if moment > 10**11 else moment)
        case _:
            return None
