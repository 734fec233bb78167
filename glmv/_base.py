"""What both clients share: settings, a place and a budget, and one attempt on its way. No waiting here."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from typing import Any, Self

from glmv._auth import Secret
from glmv._bounds import TIMEOUTS, timeouts
from glmv._embed import Embeddings, embed
from glmv._endpoint import Desk
from glmv._errors import GateTimeout
from glmv._flow import Call, Opened, Send, Step, exchange
from glmv._gate import Gate, Ticket, gate
from glmv._messages import Messages
from glmv._pools import MARK, PIECE
from glmv._prepare import chat_call, row_of, settings_of
from glmv._request import ChatRequest, Settings
from glmv._retry import Budget
from glmv._telemetry import Asked, watched
from glmv._types import Completion
from glmv._version import __version__
from glmv._where import Place, known, place
from glmv._wire import Body

_HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "content-type": "application/json; charset=UTF-8",
    "user-agent": f"glmv/{__version__}",
}


class Base:
    """What both clients are: settings, a place, a budget; and how messages become a call."""

    def __init__(self, api_key: str | None = None, **options: Any) -> None:
        self._begin(settings_of(api_key, options))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A client for settings that are made already; they are read at each call."""
        client = cls.__new__(cls)
        client._begin(settings)  # noqa: SLF001 - our own, before anyone has seen it
        return client

    def _begin(self, settings: Settings) -> None:
        self.settings = settings
        self._budget = Budget()
        self._place: Place | None = None
        self._closed = False

    @property
    def place(self) -> Place:
        """Where requests go; decided when first needed, so that no key is asked for before."""
        if self._place is None:
            self._place = place(self.settings, known(os.environ))
        return self._place

    def request(self, messages: Messages, *, model: str | None = None, **options: Any) -> ChatRequest:
        """Messages and options -> the request that `run` and `run_stream` take."""
        return ChatRequest.of(messages, self.settings, {"model": model, **options} if model else options)

    def _call(self, request: ChatRequest, *, stream: bool) -> Call:
        return chat_call(request, self.settings, self.place, self._budget, stream=stream)

    def _exchange(self, request: ChatRequest, *, stream: bool) -> Generator[Step, Any, Completion]:
        flow = exchange(self._call(request, stream=stream), stream=stream)
        return watched(flow, Asked("chat", request.model, stream, request.options, request.messages), self.place)

    def _embedding(
        self, texts: str | Sequence[str], model: str, dimensions: int | None
    ) -> Generator[Step, Any, Embeddings]:
        return watched(embed(self._desk(), texts, model, dimensions), Asked("embeddings", model), self.place)

    def _desk(self) -> Desk:
        return Desk(self.settings, self.place, self._budget)

    def slots(self, model: str) -> Gate:
        """The gate that calls of this model pass."""
        where = self.place
        row = row_of(model, where.dialect)
        return gate(where.account, where.host, model, self.settings.max_concurrency, row.concurrency if row else None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.settings.model!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Neither connections nor the key go into a pickle: the key is read from the environment again.
        return type(self).of, (self.settings,)

    def __copy__(self) -> Self:
        return type(self).of(self.settings)

    def __deepcopy__(self, memo: object) -> Self:
        return type(self).of(self.settings)


class Line:
    """One attempt on its way: the slot, the request, the answer. What both lines share."""

    def __init__(
        self,
        flow: Generator[Step, Any, Any],
        http: Any,
        library: Any,
        client: Base,
        model: str | None,
        timeout: Any,
        what: str,
    ) -> None:
        self.answer: Any = None
        self._what = what
        self._flow = flow
        self._http = http
        self._library = library
        self._ours = http is not client.settings.http_client and http is not client.settings.http_async_client
        self._where = client.place
        self._slots = client.slots(model) if model else None
        self._timeouts = timeouts(client.settings.timeout if timeout is None else timeout)
        self._headers = client.settings.default_headers or {}
        self._ticket: Ticket | None = None
        self._response: Any = None
        self._data: Any = None
        self._mark = object()

    def _request(self, step: Send, body: Any) -> Any:
        url = step.path if "://" in step.path else self._where.base_url + step.path
        headers: dict[str, str | bytes] = dict(_HEADERS)
        if step.body is not None:
            headers["content-length"] = str(len(step.body))
        if (signer := self._where.signer) is not None:
            headers["authorization"] = Secret(signer.header(time.time()), "ascii")
        for given in filter(None, (self._headers, step.headers)):
            headers |= {name.lower(): value for name, value in given.items()}
        timeouts = dict(self._timeouts)
        if step.until is not None:
            left = max(step.until - time.monotonic(), 0.001)
            timeouts = {phase: min(left, most or left) for phase, most in timeouts.items()}
        extensions = {"timeout": timeouts, MARK: self._mark}
        if not self._ours:
            return self._http.build_request(step.method, url, content=body, headers=headers, extensions=extensions)
        # Our own client has neither cookies nor headers to merge in: half the cost of a call was merging. Nor does a
        # request whose body is ready, and which says its host.
        where = _url(self._library.URL, url)
        sent = {"stream": self._library.ByteStream(body)} if isinstance(body, bytes) else {"content": body}
        headers = {"host": where.netloc, **headers}
        return self._library.Request(step.method, where, headers=headers, extensions=extensions, **sent)

    def _transport(self, request: Any) -> Any:
        """What carries a request of our own client, None for one that was passed in: its hooks and cookies count.

        Redirects are not followed, and no endpoint sets cookies: a client has nothing to do in between.
        """
        return self._http._transport_for_url(request.url) if self._ours else None  # noqa: SLF001 - a test watches it

    def _opened(self, response: Any) -> Opened:
        self._response = response
        return Opened(response.status_code, response.headers)

    def _patience(self) -> float:
        return self._timeouts["read"] or TIMEOUTS["read"]

    def _gives_up(self, ticket: Ticket, until: float | None, started: float) -> float:
        """Seconds that waiting for a slot still makes sense: while the queue moves, or until the deadline."""
        assert self._slots is not None
        limit = max(self._slots.moved, started) + self._patience()
        left = (limit if until is None else min(limit, until)) - time.monotonic()
        if left > 0:
            return left
        told = self._slots.holders()
        ticket.leave()
        raise GateTimeout(
            f"No slot came free in {time.monotonic() - started:.1f} s: {told}. Close streams that are no longer read, "
            "do not call synchronously on the thread of a running event loop, or raise max_concurrency if the "
            "account allows more.",
            retryable=True,
        )

    def _leave(self, *, busy: bool = False, good: bool = False) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.leave(busy=busy, good=good)


@functools.lru_cache(maxsize=64)
def _url(parse: Callable[[str], Any], url: str) -> Any:
    """The library's own form of a URL: endpoints are few, and reading one costs as much as a small answer."""
    return parse(url)


def body_of(body: Body | None, *, cut: bool) -> Any:
    """A body as the blocking HTTP client takes it; `cut` for one that was passed in.

    Such a client may have connections that we do not see, or speak HTTP/2: the write timeout holds for all that it is
    given at once, and it copies what is left after each part of that.
    """
    if body is None or not body.large:
        return body if body is None else bytes(body)
    return body.cut(PIECE) if cut else body


def parts_of(body: Body | None, *, cut: bool) -> Any:
    """A body as the asynchronous one takes it."""
    content = body_of(body, cut=cut)
    return _Parts(content) if isinstance(content, Body) else content


class _Parts:
    def __init__(self, body: Body) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._body:
            yield part
