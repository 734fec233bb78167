"""Shared by all endpoints: the context that makes requests, and functions that turn flows into methods."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable, Coroutine, Generator, Mapping
from typing import Any, Concatenate, NamedTuple, ParamSpec, Protocol, TypeVar
from urllib.parse import quote, urlencode

from glmv.catalog.row import Model
from glmv.credentials import SecretHeaders
from glmv.errors import InvalidRequestError
from glmv.exchange.flow import answer_of, fetch, worked
from glmv.exchange.gate import Gate, gate
from glmv.exchange.retry import Policy, RetryBudget, policy_of
from glmv.exchange.steps import Step
from glmv.media.text import shown
from glmv.options import ChatRequest, Settings
from glmv.request.build import request_of
from glmv.request.messages import Messages
from glmv.request.prepare import MAX_BODY_BYTES, Call, Reading, prepare
from glmv.request.size import is_large
from glmv.transport.address import Address
from glmv.types import Completion
from glmv.wire.encode import Body, json_body

P = ParamSpec("P")
T = TypeVar("T")
_NOTHING: Mapping[str, Any] = {}


class Run(Protocol):
    """Runs a flow to its end, and blocks until then."""

    def __call__(self, flow: Generator[Step, Any, T]) -> T: ...


class AsyncRun(Protocol):
    """Runs a flow to its end, as a coroutine."""

    async def __call__(self, flow: Generator[Step, Any, T]) -> T: ...


class Context(NamedTuple):
    """Everything that is needed to make a request to an endpoint.

    Attributes:
        settings: the settings of the client.
        address: the address of the server.
        budget: the retry budget, shared by the calls of the client.
        clock: returns monotonic seconds.
    """

    settings: Settings
    address: Address
    budget: RetryBudget
    clock: Callable[[], float] = time.monotonic

    def request(self, messages: Messages, model: str | None, options: dict[str, Any]) -> ChatRequest:
        """Makes the request from the messages and options of one call. Empties `options`."""
        return request_of(messages, self.settings, model, options)

    def row(self, subject: ChatRequest | str) -> Model | None:
        """The catalogue row for a request or for a model name; None if the limits do not apply to this server."""
        if self.address.dialect.limits == "none":
            return None
        return subject.row if isinstance(subject, ChatRequest) else self.settings.catalog_row(subject)

    def gate(self, model: str, row: Model | None) -> Gate:
        """The gate that limits the concurrent calls of a model."""
        address, limit = self.address, row.concurrency if row else None
        return gate(address.account, address.host, model, self.settings.max_concurrency, limit)

    def prepare(self, request: ChatRequest, row: Model | None, *, stream: bool = False) -> Call:
        """Makes the call from a chat request and the catalogue row. Raises the errors of `request.prepare.prepare`."""
        address, sensitive = self.address, self.settings.on_sensitive
        return prepare(
            request,
            row,
            address.dialect,
            address.secrets,
            on_sensitive=sensitive,
            stream=stream,
            base_url=address.base_url,
            keep=self.settings.picture_cache_bytes,
        )

    def chat(self, request: ChatRequest, *, stream: bool = False) -> tuple[Call, Policy]:
        """Makes the call and the policy of a chat request. Raises the errors of `prepare`."""
        row = self.row(request)
        call = self.prepare(request, row, stream=stream)
        return call, self.policy(request.call, self.gate(request.model, row))

    def converted(
        self, messages: Messages, model: str | None, options: dict[str, Any]
    ) -> Generator[Step, Any, ChatRequest]:
        """Like `request`, but a flow: large messages are converted in a worker thread."""
        make = functools.partial(self.request, messages, model, options)
        if not is_large(messages):
            return make()
        policy = self.policy({name: options[name] for name in ("deadline",) if is_limit(options.get(name))})
        request = yield from worked(make, policy)
        return request.after(policy.spent)

    def prepared(self, request: ChatRequest, *, stream: bool = False) -> Generator[Step, Any, tuple[Call, Policy]]:
        """Like `chat`, but a flow: a large request is prepared in a worker thread."""
        if not is_large(request.messages):
            return self.chat(request, stream=stream)
        row = self.row(request)
        policy = self.policy(request.call, self.gate(request.model, row))
        call = yield from worked(functools.partial(self.prepare, request, row, stream=stream), policy)
        return call._replace(large=True), policy

    def policy(self, call: Mapping[str, Any] = _NOTHING, gate: Gate | None = None) -> Policy:
        """The retries and time limits of one call."""
        address = self.address
        policy = policy_of(self.settings, call, host=address.host, budget=self.budget, renew=address.renew, gate=gate)
        policy.clock = self.clock
        return policy

    def fetch(
        self,
        method: str,
        path: str,
        payload: Mapping[str, Any] | Body | None = None,
        *,
        model: str | None = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        spent: float = 0.0,
        repeatable: bool = True,
        raw: bool = False,
        limit: int = MAX_BODY_BYTES,
    ) -> Generator[Step, Any, Any]:
        """Sends a request to an endpoint. The flow returns the parsed JSON of the response, or its bytes if `raw`.

        Args:
            method: the HTTP method.
            path: relative to the base URL, with ids quoted (see `quoted`).
            payload: JSON to send, or an encoded body.
            model: the model whose gate the request passes; None means no gate.
            query: parameters of the URL; None values are left out.
            headers: headers of this request.
            deadline: seconds. The deadline of the settings applies, too.
            spent: seconds that it took to make the payload; they count against the deadline.
            repeatable: whether a request that may have reached the server can be sent again without harm.
            raw: return the bytes of the response.
            limit: the most bytes of the response.

        Raises:
            InvalidRequestError: the payload cannot be written as JSON.
        """
        body = payload if payload is None or isinstance(payload, Body) else json_body(payload)
        parameters = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        policy = self.policy(gate=self.gate(model, self.row(model)) if model else None)
        policy.repeatable, policy.spent = repeatable, spent
        if deadline is not None:
            policy.deadline = min(deadline, policy.deadline or deadline)
        call = Call(
            method,
            f"{path}?{parameters}" if parameters else path,
            lambda _: body,
            headers=SecretHeaders(headers),
            secrets=self.address.secrets,
            request_id="",
            limit=limit,
        )
        return fetch(call, policy, raw=raw)

    def answer(self, payload: dict[str, Any], reading: Reading) -> Completion:
        """The answer in the result of a task or in a line of a batch.

        Raises:
            GLMVError: the finish reason means an error, or the payload is not an answer.
        """
        call = Call("GET", "", lambda _: None, reading=reading, sensitive=self.settings.on_sensitive)
        return answer_of(call, self.policy(), payload)


def is_limit(value: object) -> bool:
    """Whether this is a number of seconds above 0. The validation of options refuses other values."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


class _Methods:
    """Base class that sets `__name__` and `__qualname__` of the methods that `blocking` and `awaiting` made."""

    def __init_subclass__(cls) -> None:
        for name, method in vars(cls).items():
            if hasattr(method, "__wrapped__"):
                method.__name__, method.__qualname__ = name, f"{cls.__qualname__}.{name}"


class Endpoint(_Methods):
    """Methods of one endpoint of a blocking client.

    Args:
        context: returns the context of the client.
        run: runs a flow to its end.
    """

    def __init__(self, context: Callable[[], Context], run: Run) -> None:
        self._context = context
        self._run = run


class AsyncEndpoint(_Methods):
    """Methods of one endpoint of an asynchronous client; the arguments are those of `Endpoint`."""

    def __init__(self, context: Callable[[], Context], run: AsyncRun) -> None:
        self._context = context
        self._run = run


def _as_method(method: Callable[..., Any], flow: Callable[..., Any]) -> None:
    """Gives a method the docstring and signature of its flow.

    The signature does not have the parameter `context`, and its return type is the type that the flow returns.
    """
    functools.update_wrapper(method, flow)
    signature = inspect.signature(flow)
    _, *parameters = signature.parameters.values()
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    returned = str(signature.return_annotation).removeprefix("Generator[Step, Any, ").removesuffix("]")
    method.__signature__ = inspect.Signature([me, *parameters], return_annotation=returned)  # type: ignore[attr-defined]  # a function may have one
    annotations = {parameter.name: parameter.annotation for parameter in parameters}
    method.__annotations__ = {**annotations, "return": returned}


def blocking(
    flow: Callable[Concatenate[Context, P], Generator[Step, Any, T]],
) -> Callable[Concatenate[Endpoint, P], T]:
    """Makes a method that runs the flow that the function `flow` returns."""

    def method(self: Endpoint, /, *args: P.args, **options: P.kwargs) -> T:
        steps = flow(self._context(), *args, **options)
        options.clear()  # it may hold headers with credentials
        return self._run(steps)

    _as_method(method, flow)
    return method


def awaiting(
    flow: Callable[Concatenate[Context, P], Generator[Step, Any, T]],
) -> Callable[Concatenate[AsyncEndpoint, P], Coroutine[Any, Any, T]]:
    """Makes an asynchronous method that runs the flow that the function `flow` returns."""

    async def method(self: AsyncEndpoint, /, *args: P.args, **options: P.kwargs) -> T:
        steps = flow(self._context(), *args, **options)
        options.clear()  # it may hold headers with credentials
        return await self._run(steps)

    _as_method(method, flow)
    return method


def quoted(what: str, name: object) -> str:
    """An id, quoted for use in a path.

    Raises:
        InvalidRequestError: the id is not a string, or it is empty: an empty id would address the whole list.
    """
    if not isinstance(name, str) or not name.strip():
        raise InvalidRequestError(f"The id of a {what} is the string that the platform gave it; got {shown(name)}.")
    return quote(name.strip(), safe="")


def seconds(moment: object) -> int | None:
    """Converts a time that the platform sent into whole seconds since the epoch.

    The platform sends the times of files in seconds and those of batches in milliseconds, although the reference says
    otherwise.
    """
    match moment:
        case bool():
            return None
        case int() | float() if moment:
            return int(moment / 1000 if moment > 10**11 else moment)
        case _:
            return None
