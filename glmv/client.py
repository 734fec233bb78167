"""The two clients: Client, and AsyncClient with `await`. tests/core/test_sync_async.py compares their code."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Self, TypeVar, Unpack, cast

from glmv._public import public_class
from glmv.credentials import ApiKey, AsyncApiKey, without_values
from glmv.endpoints.context import Context
from glmv.endpoints.embeddings import Embeddings, embed
from glmv.endpoints.facade import AsyncEndpoints, Endpoints
from glmv.endpoints.reach import reach
from glmv.endpoints.tokens import count_tokens
from glmv.errors import InvalidRequestError
from glmv.exchange.flow import exchange
from glmv.exchange.gate import Gate
from glmv.exchange.retry import RetryBudget
from glmv.exchange.steps import Step
from glmv.keywords import CallKeywords, ClientKeywords, shows
from glmv.options import ChatRequest, Settings
from glmv.request.build import request_of
from glmv.request.messages import Messages
from glmv.request.size import is_large
from glmv.structured.plan import plan_for
from glmv.telemetry import Operation, watched
from glmv.transport.address import Address, address_of
from glmv.transport.asynchronous import AsyncDriver
from glmv.transport.pools import AsyncPools, Pool, Pools, needs_loop
from glmv.transport.proxies import proxy_variables
from glmv.transport.sync import SyncDriver
from glmv.types import Completion, Delta

_Flow = Generator[Step, Any, Any]
_T = TypeVar("_T")


class Base:
    """What both clients have in common: settings, the server's address, a retry budget, and how to make a request."""

    # The setting with the HTTP client of the user that is used, and the one that is not.
    _http_clients = ("http_client", "http_async_client")

    def __init__(self, keywords: dict[str, Any]) -> None:
        """Makes the settings from `keywords`, the fields of `glmv.Settings`. Then empties `keywords`."""
        self._begin(without_values(lambda: self._with_its_http_client(Settings(**keywords)), keywords))

    @classmethod
    def _with_its_http_client(cls, settings: Settings) -> Settings:
        used, unused = (getattr(settings, name) for name in cls._http_clients)
        if used is None and unused is not None:
            raise InvalidRequestError(
                f"{cls.__name__} sends with {cls._http_clients[0]}; got only {cls._http_clients[1]}, whose proxy, "
                "certificates and hooks would not be used."
            )
        return settings

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A client from a `Settings` object, which is read at each call."""
        client = cls.__new__(cls)
        client._begin(settings)  # noqa: SLF001 - an object of this class
        return client

    def _begin(self, settings: Settings) -> None:
        self.settings = settings
        self._budget = RetryBudget(settings.retry_budget)
        self._address: Address | None = None

    @property
    def address(self) -> Address:
        """The server's address, with the key. It is determined when first needed; no key is read before that."""
        if self._address is None:
            try:
                self._address = address_of(self.settings, os.environ)
            except InvalidRequestError as refusal:
                # Without the frames that have the base URL, because it may contain a password.
                raise refusal.with_traceback(None) from None
        return self._address

    @shows(CallKeywords)
    def request(self, messages: Messages, *, model: str | None = None, **options: Unpack[CallKeywords]) -> ChatRequest:
        """Makes a request for `run` or `run_stream` from messages and options."""
        return request_of(messages, self.settings, model, cast("dict[str, Any]", options))

    def _context(self) -> Context:
        return Context(self.settings, self.address, self._budget)

    def slots(self, model: str) -> Gate:
        """The gate that limits concurrent calls of a model, by the model's catalogue row (see `base_model`)."""
        context = self._context()
        return context.gate(model, context.row(model))

    def proxy_variables(self) -> list[str]:
        """Sentences about the proxy variables: values without passwords, and which variables or values are ignored."""
        return proxy_variables()

    def __repr__(self) -> str:
        settings = getattr(self, "settings", None)  # absent when the constructor raised
        return f"{type(self).__name__}({f'model={settings.model!r}' if settings else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Neither connections nor the key go into a pickle: the key is read from the environment again.
        return type(self).of, (self.settings,)

    def __copy__(self) -> Self:
        return type(self).of(self.settings)

    def __deepcopy__(self, memo: object) -> Self:
        return type(self).of(self.settings)


def _exchange(context: Context, request: ChatRequest, *, stream: bool) -> Generator[Step, Any, Completion]:
    if is_large(request.messages):
        return _after_work(context, request, stream=stream)
    return _watched(context, request, exchange(*context.chat(request, stream=stream), stream=stream), stream=stream)


def _after_work(context: Context, request: ChatRequest, *, stream: bool) -> _Flow:
    call, policy = yield from context.prepared(request, stream=stream)
    return (yield from _watched(context, request, exchange(call, policy, stream=stream), stream=stream))


def _watched(context: Context, request: ChatRequest, flow: _Flow, *, stream: bool) -> _Flow:
    operation = Operation("chat", request.model, stream, request.options, request.messages)
    return watched(flow, operation, context.address, tracing=context.settings.tracing)


def _embedding(
    context: Context, texts: str | Sequence[str], model: str, dimensions: int | None
) -> Generator[Step, Any, Embeddings]:
    operation = Operation("embeddings", model)
    flow = embed(context, texts, model, dimensions)
    return watched(flow, operation, context.address, tracing=context.settings.tracing)


@public_class
class Client(Endpoints, Base):
    """GLM-4V over HTTP, blocking. Safe to share between threads; connections are reused.

    Args:
        api_key: the platform's key, or a function that returns the key and is called before each attempt. If None, the
            key is read from ZHIPUAI_API_KEY or, if this is not set, from ZAI_API_KEY, at the first call.
        options: fields of `glmv.Settings` (model, base_url, timeout, deadline, max_retries, temperature, ...).

    Raises:
        InvalidRequestError: for an unknown option or a value out of its range.

    Without `base_url`, the address is the value of GLMV_BASE_URL. If GLMV_BASE_URL is not set, the address depends on
    the key. For a key from ZAI_API_KEY it is the value of ZAI_BASE_URL, by default api.z.ai. For any other key it is
    the value of ZHIPUAI_BASE_URL, by default open.bigmodel.cn.
    """

    @shows(ClientKeywords)
    def __init__(self, api_key: ApiKey | None = None, **options: Unpack[ClientKeywords]) -> None:
        keywords = cast("dict[str, Any]", options)
        keywords["api_key"] = api_key
        del api_key
        super().__init__(keywords)

    def _begin(self, settings: Settings) -> None:
        super()._begin(settings)
        self._pools = Pools()

    @shows(CallKeywords)
    def chat(self, messages: Messages, *, model: str | None = None, **options: Unpack[CallKeywords]) -> Completion:
        """Send messages and return the whole answer.

        Args:
            messages: a string, a part, a list of strings and parts (one user turn), or a list of `Message` or
                OpenAI-shaped dicts.
            model: the model for this call, instead of the client's.
            options: fields of `glmv.Options` for this call, and timeout, deadline, idle_timeout, max_retries,
                extra_headers, on_sensitive, boxes_of, validate, may_replace, on_misfit, keep_pictures (see
                `glmv.ChatRequest`).

        Raises:
            GLMVError: the call failed; the subclass says why, see `glmv.errors`.
        """
        return self.run(request_of(messages, self.settings, model, cast("dict[str, Any]", options)))

    @shows(CallKeywords)
    def stream(
        self, messages: Messages, *, model: str | None = None, **options: Unpack[CallKeywords]
    ) -> Generator[Delta]:
        """Send messages and yield the answer in deltas as they arrive. Arguments and errors are those of `chat`.

        The last delta has `last=True`, the finish reason and the usage. Closing the iterator early frees the
        connection and the slot.

        When JSON or a tool call does not fit its schema, the model is asked once more if no text or tool call was
        yielded yet; otherwise `MalformedResponse` is raised. With `may_replace=True` the model is asked once more even
        after text was yielded. Then the first delta of the second answer has `replaces=True`, and all deltas before
        it are void.

        A server without a reasoning parser sends the reasoning as text, which ends with `</think>`. With
        `thinking=True` the text is held back until `</think>` or the end of the stream. Without `thinking=True` the
        text is yielded at once. If `</think>` comes then, the next delta has `replaces=True` and the text so far as
        `reasoning`, provided that `may_replace=True` is set. If not, the text keeps the tag, and a note says what
        to do.
        """
        return self.run_stream(request_of(messages, self.settings, model, cast("dict[str, Any]", options)))

    def run(self, request: ChatRequest) -> Completion:
        """Like `chat`, but takes a `ChatRequest`."""
        context = self._context()
        plan = plan_for(request, context.address.dialect)
        while True:
            answer = plan.judge(self._result(_exchange(context, plan.request, stream=False)))
            if plan.done:
                return answer

    def run_stream(self, request: ChatRequest) -> Generator[Delta]:
        """Like `stream`, but takes a `ChatRequest`."""
        context = self._context()
        plan = plan_for(request, context.address.dialect)
        while not plan.done:
            driver = self._driver(_exchange(context, plan.request, stream=True), "a stream")
            try:
                while (deltas := driver.advance()) is not None:
                    for delta in plan.show(deltas):
                        yield delta
            finally:
                driver.end()
            for delta in plan.end(driver.result):
                yield delta

    def embed(
        self, texts: str | Sequence[str], *, model: str = "embedding-3", dimensions: int | None = None
    ) -> Embeddings:
        """Returns one vector for each text, in the order of the texts. More than 64 texts need several requests.

        Args:
            texts: one text or several, none of them empty.
            model: "embedding-3" or "embedding-2".
            dimensions: 256, 512, 1024 or 2048; None means 2048. embedding-2 always has 1024.

        Raises:
            LimitExceeded: for dimensions that the model does not have.
        """
        return self._result(_embedding(self._context(), texts, model, dimensions))

    def count_tokens(
        self, messages: Messages, *, model: str | None = None, tools: list[dict[str, Any]] | None = None
    ) -> int:
        """How many tokens the platform counts for messages (and tools), pictures and videos included."""
        context = self._context()
        return self._result(count_tokens(context, messages, model, tools))

    def reach(self, timeout: float = 3.0) -> str | None:
        """Connect to the server as a call does, with the same proxy and TLS. No key is sent, and it costs nothing.

        Args:
            timeout: seconds for each phase of the request.

        Returns:
            The proxy in between, such as "the proxy 10.0.0.1:3128 (HTTPS_PROXY)"; None when no proxy is known.

        Raises:
            ConnectionFailed: the server did not answer.
            InvalidRequestError: an environment variable names a proxy or a certificate file that cannot be used.
        """
        where = replace(self.address, signer=None)
        driver = self._driver(reach(where, timeout), where=where)
        try:
            while driver.advance() is not None:
                pass
        finally:
            driver.end()
        return driver.through

    def _result(self, flow: Generator[Step, Any, _T]) -> _T:
        driver = self._driver(flow)
        try:
            while driver.advance() is not None:
                pass
        finally:
            driver.end()
        return driver.result  # type: ignore[no-any-return]  # what the flow returned

    def _driver(self, flow: _Flow, what: str = "a call", where: Address | None = None) -> SyncDriver:
        """A driver for a flow. If `where` is given, the headers of the settings are not sent. They can hold a key."""
        settings, address = self.settings, where or self.address
        headers = settings.default_headers if where is None else None
        pool = self._pools.get(address.base_url) if settings.http_client is None else Pool(settings.http_client)
        return SyncDriver(flow, pool, address, headers or {}, what)

    def close(self) -> None:
        """Close the connections. An HTTP client that you passed in stays open."""
        self._pools.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


@public_class
class AsyncClient(AsyncEndpoints, Base):
    """GLM-4V over HTTP, asynchronous: `Client` with `await` and `async for`.

    If `api_key` is a function, it may be asynchronous. A blocking function runs in a worker thread.

    A client may be used in several event loops, one after the other: each loop has its own connections.
    """

    _http_clients = ("http_async_client", "http_client")

    @shows(ClientKeywords)
    def __init__(self, api_key: AsyncApiKey | None = None, **options: Unpack[ClientKeywords]) -> None:
        keywords = cast("dict[str, Any]", options)
        keywords["api_key"] = api_key
        del api_key
        super().__init__(keywords)

    def _begin(self, settings: Settings) -> None:
        super()._begin(settings)
        self._pools = AsyncPools()

    @shows(CallKeywords)
    async def chat(
        self, messages: Messages, *, model: str | None = None, **options: Unpack[CallKeywords]
    ) -> Completion:
        """Like `Client.chat`, but large content is read, checked, fitted and encoded in a worker thread."""
        keywords = cast("dict[str, Any]", options)
        if is_large(messages):
            return await self.run(await self._converted(messages, model, keywords))
        return await self.run(request_of(messages, self.settings, model, keywords))

    @shows(CallKeywords)
    def stream(
        self, messages: Messages, *, model: str | None = None, **options: Unpack[CallKeywords]
    ) -> AsyncGenerator[Delta]:
        """Like `Client.stream`, but large content is read, checked, fitted and encoded in a worker thread."""
        keywords = cast("dict[str, Any]", options)
        if is_large(messages):
            return self.run_stream(partial(self._converted, messages, model, keywords))
        return self.run_stream(request_of(messages, self.settings, model, keywords))

    async def _converted(self, messages: Messages, model: str | None, options: dict[str, Any]) -> ChatRequest:
        return await self._result(self._context().converted(messages, model, options))

    async def run(self, request: ChatRequest) -> Completion:
        """Like `chat`, but takes a `ChatRequest`."""
        context = self._context()
        plan = plan_for(request, context.address.dialect)
        while True:
            answer = plan.judge(await self._result(_exchange(context, plan.request, stream=False)))
            if plan.done:
                return answer

    async def run_stream(
        self, request: ChatRequest | Callable[[], Coroutine[Any, Any, ChatRequest]]
    ) -> AsyncGenerator[Delta]:
        """Like `stream`, but takes a `ChatRequest` or an asynchronous function that returns one."""
        if not isinstance(request, ChatRequest):
            request = await request()
        context = self._context()
        plan = plan_for(request, context.address.dialect)
        while not plan.done:
            driver = await self._driver(_exchange(context, plan.request, stream=True), "a stream")
            try:
                while (deltas := await driver.advance()) is not None:
                    for delta in plan.show(deltas):
                        yield delta
            finally:
                await driver.end()
            for delta in plan.end(driver.result):
                yield delta

    async def embed(
        self, texts: str | Sequence[str], *, model: str = "embedding-3", dimensions: int | None = None
    ) -> Embeddings:
        """The asynchronous form of `Client.embed`."""
        return await self._result(_embedding(self._context(), texts, model, dimensions))

    async def count_tokens(
        self, messages: Messages, *, model: str | None = None, tools: list[dict[str, Any]] | None = None
    ) -> int:
        """The asynchronous form of `Client.count_tokens`."""
        context = self._context()
        return await self._result(count_tokens(context, messages, model, tools))

    async def reach(self, timeout: float = 3.0) -> str | None:
        """The asynchronous form of `Client.reach`."""
        where = replace(self.address, signer=None)
        driver = await self._driver(reach(where, timeout), where=where)
        try:
            while await driver.advance() is not None:
                pass
        finally:
            await driver.end()
        return driver.through

    async def _result(self, flow: Generator[Step, Any, _T]) -> _T:
        driver = await self._driver(flow)
        try:
            while await driver.advance() is not None:
                pass
        finally:
            await driver.end()
        return driver.result  # type: ignore[no-any-return]  # what the flow returned

    async def _driver(self, flow: _Flow, what: str = "a call", where: Address | None = None) -> AsyncDriver:
        """A driver for a flow. If `where` is given, the headers of the settings are not sent. They can hold a key."""
        settings, address = self.settings, where or self.address
        headers = settings.default_headers if where is None else None
        http = settings.http_async_client
        needs_loop()
        pool = await self._pools.get(address.base_url) if http is None else Pool(http)
        pool.enter()
        return AsyncDriver(flow, pool, address, headers or {}, what)

    async def aclose(self) -> None:
        """Close the connections of the running loop. An HTTP client that you passed in stays open."""
        await self._pools.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()
