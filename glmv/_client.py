"""The two clients: the only file that imports the HTTP library, sleeps or waits (ADR-0001).

Each takes the steps that `_flow` yields. They are twins: the same text once `async` and `await` are taken out
(tests/core/test_twins.py holds them together), and what they share stands in `_base`.
"""

from __future__ import annotations

import asyncio
import functools
import math
import os
import ssl
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator, Sequence
from typing import Any, Self, TypeVar

import httpx

from glmv import _strategy
from glmv._base import Base, Line, body_of, parts_of
from glmv._bounds import BOUND
from glmv._embed import Embeddings
from glmv._endpoints import AsyncEndpoints, Endpoints
from glmv._errors import GLMVError, InvalidRequestError
from glmv._failures import translated
from glmv._flow import Drop, Enter, Failure, Finish, Hand, Opened, Pause, Read, Send, Step
from glmv._messages import Messages
from glmv._pools import bounded, restored
from glmv._request import ChatRequest, Settings
from glmv._tokens import count_tokens
from glmv._types import Completion, Delta

# How long the formal end of a body is waited for, so that the connection can be used again.
_TAIL = 0.05
# httpx's pool costs with the square of its idle connections; nobody waits in a pool without a bound, the gate bounds.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)

_Flow = Generator[Step, Any, Any]
_T = TypeVar("_T")


@functools.cache
def _tls() -> ssl.SSLContext:
    """Making a TLS context costs more than a call: all clients share one."""
    return httpx.create_ssl_context()


def _pool(kind: Callable[..., Any]) -> Any:
    """A client of the HTTP library with our limits; proxies are those of the environment."""
    try:
        return bounded(kind(verify=_tls(), limits=_LIMITS))
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        told = str(error)
    raise InvalidRequestError(f"The HTTP client cannot be made: {told} Look at HTTPS_PROXY, ALL_PROXY and NO_PROXY.")


class _SyncLine(Line):
    """Takes the steps of a flow, blocking."""

    def advance(self) -> list[Delta] | None:
        """Take steps up to the next deltas; None at the end of the flow, whose result is in `answer` then."""
        answer: Any = None
        failed: Exception | None = None
        while True:
            try:
                step = self._flow.send(answer) if failed is None else self._flow.throw(failed)
            except StopIteration as end:
                self.answer = end.value
                return None
            answer = failed = None
            if isinstance(step, Hand):
                return step
            try:
                answer = self.take(step)
            except (Failure, GLMVError) as error:
                failed = error

    def end(self) -> None:
        """Let go of everything, wherever the flow was left."""
        self._flow.close()
        self.drop()

    def take(self, step: Step) -> Any:
        """Take one step and answer with what came of it; raise `Failure` when it broke."""
        match step:
            case Read():
                return self._read(step)
            case Enter():
                return self._enter(step)
            case Send():
                return self._send(step)
            case Pause():
                return time.sleep(step.seconds)
            case Drop():
                return self.drop(busy=step.busy)
            case Finish():
                return self._finish()
            case _:
                raise TypeError(f"no such step: {step!r}")

    def _enter(self, step: Enter) -> None:
        if self._slots is None:
            return
        started = time.monotonic()
        woken = threading.Lock()
        woken.acquire()
        self._ticket = self._slots.enter(f"{self._what} in {_where()}", woken.release)
        while self._ticket.state == "waiting":
            left = self._gives_up(self._ticket, step.until, started)
            woken.acquire(timeout=left)

    def _send(self, step: Send) -> Opened:
        BOUND.set(math.inf if step.until is None else step.until)
        try:
            request = self._request(step, body_of(step.body, cut=not self._ours))
            http = self._transport(request)
            if http is not None:
                return self._opened(http.handle_request(request))
            return self._opened(self._http.send(request, stream=True, follow_redirects=False))
        except Exception as error:  # noqa: BLE001 - translated
            problem = translated(error, self._library, self._where.host)
        except BaseException as error:  # noqa: BLE001 - interrupted: raised again without the library's frames
            raise error.with_traceback(None)  # noqa: B904 - they hold the headers; it is the same error
        finally:
            BOUND.set(None)
        raise problem

    def _read(self, step: Read) -> bytes:
        if self._data is None:
            self._data = self._body()
        if step.until is not None:
            BOUND.set(step.until)
        try:
            for data in self._data:
                if data:
                    return data  # type: ignore[no-any-return]  # the library yields bytes
            return b""
        except Exception as error:  # noqa: BLE001 - translated
            problem = translated(error, self._library, self._where.host)
        finally:
            if step.until is not None:
                BOUND.set(None)
        raise problem

    def _finish(self) -> None:
        end = Read(time.monotonic() + _TAIL)
        try:
            while self._read(end):
                pass
        except (Failure, GLMVError):
            pass
        self.drop(good=True)

    def _body(self) -> Any:
        response = self._response
        if self._ours:
            return iter(response.stream)  # `iter_raw` adds a count and nothing else that we need
        # A mocked transport hands over bodies that are read already.
        return response.iter_bytes() if response.is_stream_consumed else response.iter_raw()

    def _close(self, response: Any) -> None:
        response.close()

    def drop(self, *, busy: bool = False, good: bool = False) -> None:
        """Close the answer, if there is one, and leave the slot. Safe to call again."""
        response, self._response, self._data = self._response, None, None
        try:
            if response is not None:
                self._close(response)
        except Exception:  # noqa: BLE001, S110 - a connection that cannot be closed in order is closed all the same
            pass
        finally:
            self._leave(busy=busy, good=good)


class _AsyncLine(Line):
    """Takes the steps of a flow, awaiting."""

    async def advance(self) -> list[Delta] | None:
        """Take steps up to the next deltas; None at the end of the flow, whose result is in `answer` then."""
        answer: Any = None
        failed: Exception | None = None
        while True:
            try:
                step = self._flow.send(answer) if failed is None else self._flow.throw(failed)
            except StopIteration as end:
                self.answer = end.value
                return None
            answer = failed = None
            if isinstance(step, Hand):
                return step
            try:
                answer = await self.take(step)
            except (Failure, GLMVError) as error:
                failed = error

    async def end(self) -> None:
        """Let go of everything, wherever the flow was left."""
        self._flow.close()
        try:
            await self.drop()
        finally:
            if self.answer is None:
                await restored(self._http, self._mark)

    async def take(self, step: Step) -> Any:
        """Take one step and answer with what came of it; raise `Failure` when it broke."""
        match step:
            case Read():
                return await self._read(step)
            case Enter():
                return await self._enter(step)
            case Send():
                return await self._send(step)
            case Pause():
                return await asyncio.sleep(step.seconds)
            case Drop():
                return await self.drop(busy=step.busy)
            case Finish():
                return await self._finish()
            case _:
                raise TypeError(f"no such step: {step!r}")

    async def _enter(self, step: Enter) -> None:
        if self._slots is None:
            return
        started = time.monotonic()
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._ticket = self._slots.enter(f"{self._what} in {_where()}", lambda: _wake(loop, woken))
        while self._ticket.state == "waiting":
            left = self._gives_up(self._ticket, step.until, started)
            try:
                await asyncio.wait_for(woken.wait(), left)
            except TimeoutError:
                continue

    async def _send(self, step: Send) -> Opened:
        return await self._work(self._sent(step), step.until)

    async def _sent(self, step: Send) -> Opened:
        request = self._request(step, parts_of(step.body, cut=not self._ours))
        http = self._transport(request)
        if http is not None:
            return self._opened(await http.handle_async_request(request))
        return self._opened(await self._http.send(request, stream=True, follow_redirects=False))

    async def _read(self, step: Read) -> bytes:
        if self._data is None:
            self._data = self._body()
        return await self._work(self._next(), step.until)

    def _body(self) -> Any:
        response = self._response
        if self._ours:
            return aiter(response.stream)  # `aiter_raw` adds a count and nothing else that we need
        # A mocked transport hands over bodies that are read already.
        return response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()

    async def _close(self, response: Any) -> None:
        await self._work(response.aclose(), None)

    async def _work(self, work: Coroutine[Any, Any, _T], until: float | None) -> _T:
        BOUND.set(math.inf if until is None else until)
        try:
            if self._ours or until is None:
                return await work
            async with asyncio.timeout_at(_loop_time(until)):
                return await work
        except Exception as error:  # noqa: BLE001 - translated
            problem = translated(error, self._library, self._where.host)
        except BaseException as error:  # noqa: BLE001 - cancelled: raised again without the library's frames
            raise error.with_traceback(None)  # noqa: B904 - they hold the headers; it is the same error
        finally:
            BOUND.set(None)
        raise problem

    async def _next(self) -> bytes:
        async for data in self._data:
            if data:
                return data  # type: ignore[no-any-return]  # the library yields bytes
        return b""

    async def _finish(self) -> None:
        end = Read(time.monotonic() + _TAIL)
        try:
            while await self._read(end):
                pass
        except (Failure, GLMVError):
            pass
        await self.drop(good=True)

    async def drop(self, *, busy: bool = False, good: bool = False) -> None:
        """Close the answer, if there is one, and leave the slot. Safe to call again."""
        response, self._response, self._data = self._response, None, None
        try:
            if response is not None:
                await self._close(response)
        except Exception:  # noqa: BLE001, S110 - a connection that cannot be closed in order is closed all the same
            pass
        finally:
            self._leave(busy=busy, good=good)


class Client(Endpoints, Base):
    """GLM-4V over HTTP, blocking. Safe to share between threads; connections are kept and used again.

    Args:
        api_key: the platform's key; None reads ZHIPUAI_API_KEY, then ZAI_API_KEY, at the first call.
        options: fields of `glmv.Settings` (model, base_url, timeout, deadline, max_retries, temperature, ...).

    Raises:
        InvalidRequestError: for an unknown option or a value out of its range.

    Without `base_url`: GLMV_BASE_URL, then ZHIPUAI_BASE_URL or ZAI_BASE_URL as the key's variable is; else a key
    from ZAI_API_KEY goes to api.z.ai and any other to open.bigmodel.cn.
    """

    def _begin(self, settings: Settings) -> None:
        super()._begin(settings)
        self._lock = threading.Lock()
        self._pool: tuple[int, Any] | None = None

    def chat(self, messages: Messages, *, model: str | None = None, **options: Any) -> Completion:
        """Ask, and get the whole answer.

        Args:
            messages: a string, a part, a list of strings and parts (one user turn), or a list of `Message` or
                OpenAI-shaped dicts.
            model: another model than the client's, for this call.
            options: fields of `glmv.Options` for this call, and timeout, deadline, idle_timeout, max_retries,
                extra_headers, on_sensitive.

        Raises:
            GLMVError: one of its classes; see `glmv._errors`.
        """
        return self.run(self.request(messages, model=model, **options))

    def stream(self, messages: Messages, *, model: str | None = None, **options: Any) -> Iterator[Delta]:
        """Ask, and get the answer piece by piece as it comes; arguments and errors as `chat`.

        The last delta has `last=True`, the finish reason and the usage. Closing the iterator early frees the
        connection and the slot.
        """
        return self.run_stream(self.request(messages, model=model, **options))

    def run(self, request: ChatRequest) -> Completion:
        """`chat` for a request that is made already."""
        plan = _strategy.plan(request, self.place.dialect)
        while True:
            flow = self._exchange(plan.request, stream=False)
            answer: Completion = self._result(flow, plan.request.model, plan.request.call.get("timeout"))
            answer = plan.judge(answer)
            if plan.done:
                return answer

    def run_stream(self, request: ChatRequest) -> Generator[Delta]:
        """`stream` for a request that is made already."""
        plan = _strategy.plan(request, self.place.dialect)
        while not plan.done:
            flow = self._exchange(plan.request, stream=True)
            line = self._line(flow, plan.request.model, plan.request.call.get("timeout"), "a stream")
            try:
                while (deltas := line.advance()) is not None:
                    for delta in plan.show(deltas):
                        yield delta
            finally:
                line.end()

    def embed(
        self, texts: str | Sequence[str], *, model: str = "embedding-3", dimensions: int | None = None
    ) -> Embeddings:
        """Texts -> vectors, in the order of the texts; more than 64 texts take several calls.

        Args:
            texts: one text or several, none of them empty.
            model: "embedding-3" or "embedding-2".
            dimensions: 256, 512, 1024 or 2048; None is 2048. embedding-2 has 1024 and no choice.

        Raises:
            LimitExceeded: for dimensions that the model does not have.
        """
        return self._result(self._embedding(texts, model, dimensions), model)

    def count_tokens(
        self, messages: Messages, *, model: str | None = None, tools: list[dict[str, Any]] | None = None
    ) -> int:
        """How many tokens the platform counts for messages (and tools), pictures and videos included."""
        desk = self._desk()
        return self._result(count_tokens(desk, desk.request(messages, model, {"tools": tools})))

    def _result(self, flow: Generator[Step, Any, _T], model: str | None = None, timeout: Any = None) -> _T:
        line = self._line(flow, model, timeout)
        try:
            while line.advance() is not None:
                pass
        finally:
            line.end()
        return line.answer  # type: ignore[no-any-return]  # what the flow returned

    def _line(self, flow: _Flow, model: str | None, timeout: Any, what: str = "a call") -> _SyncLine:
        return _SyncLine(flow, (http := self._http()), _library_of(http), self, model, timeout, what)

    def _http(self) -> Any:
        if self.settings.http_client is not None:
            return bounded(self.settings.http_client)
        if self._closed:
            raise InvalidRequestError("This client is closed: make a new one.")
        if self._pool is None or self._pool[0] != os.getpid():
            with self._lock:
                if self._pool is None or self._pool[0] != os.getpid():
                    # In a forked child the parent's sockets are not ours to use or to close.
                    pool = _pool(httpx.Client)
                    # Frameworks drop models without closing them.
                    weakref.finalize(self, _close_here, os.getpid(), pool).atexit = False
                    self._pool = (os.getpid(), pool)
        return self._pool[1]

    def close(self) -> None:
        """Close the connections. Clients that you passed in stay open."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None and pool[0] == os.getpid():
            pool[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class AsyncClient(AsyncEndpoints, Base):
    """GLM-4V over HTTP, asynchronous: `Client` with `await` and `async for`.

    It may outlive its event loop: connections are kept for each running loop, so three `asyncio.run` in a row work.
    """

    def _begin(self, settings: Settings) -> None:
        super()._begin(settings)
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()

    async def chat(self, messages: Messages, *, model: str | None = None, **options: Any) -> Completion:
        """As `Client.chat`."""
        return await self.run(self.request(messages, model=model, **options))

    def stream(self, messages: Messages, *, model: str | None = None, **options: Any) -> AsyncIterator[Delta]:
        """As `Client.stream`."""
        return self.run_stream(self.request(messages, model=model, **options))

    async def run(self, request: ChatRequest) -> Completion:
        """`chat` for a request that is made already."""
        plan = _strategy.plan(request, self.place.dialect)
        while True:
            flow = self._exchange(plan.request, stream=False)
            answer: Completion = await self._result(flow, plan.request.model, plan.request.call.get("timeout"))
            answer = plan.judge(answer)
            if plan.done:
                return answer

    async def run_stream(self, request: ChatRequest) -> AsyncGenerator[Delta]:
        """`stream` for a request that is made already."""
        plan = _strategy.plan(request, self.place.dialect)
        while not plan.done:
            flow = self._exchange(plan.request, stream=True)
            line = await self._line(flow, plan.request.model, plan.request.call.get("timeout"), "a stream")
            try:
                while (deltas := await line.advance()) is not None:
                    for delta in plan.show(deltas):
                        yield delta
            finally:
                await line.end()

    async def embed(
        self, texts: str | Sequence[str], *, model: str = "embedding-3", dimensions: int | None = None
    ) -> Embeddings:
        """As `Client.embed`."""
        return await self._result(self._embedding(texts, model, dimensions), model)

    async def count_tokens(
        self, messages: Messages, *, model: str | None = None, tools: list[dict[str, Any]] | None = None
    ) -> int:
        """As `Client.count_tokens`."""
        desk = self._desk()
        return await self._result(count_tokens(desk, desk.request(messages, model, {"tools": tools})))

    async def _result(self, flow: Generator[Step, Any, _T], model: str | None = None, timeout: Any = None) -> _T:
        line = await self._line(flow, model, timeout)
        try:
            while await line.advance() is not None:
                pass
        finally:
            await line.end()
        return line.answer  # type: ignore[no-any-return]  # what the flow returned

    async def _line(self, flow: _Flow, model: str | None, timeout: Any, what: str = "a call") -> _AsyncLine:
        return _AsyncLine(flow, (http := await self._http()), _library_of(http), self, model, timeout, what)

    async def _http(self) -> Any:
        if self.settings.http_async_client is not None:
            return bounded(self.settings.http_async_client)
        if self._closed:
            raise InvalidRequestError("This client is closed: make a new one.")
        loop = asyncio.get_running_loop()
        kept = self._pools.get(loop)
        if kept is None:
            # A pool knows its loop, so that the dictionary alone would let neither go.
            for old in [old for old in self._pools if old.is_closed()]:
                del self._pools[old]
            http = _pool(httpx.AsyncClient)
            keeper = _keeper(http)
            await anext(keeper)
            kept = self._pools.setdefault(loop, (http, keeper))
        return kept[0]

    async def aclose(self) -> None:
        """Close the connections of the running loop. Clients that you passed in stay open."""
        self._closed = True
        kept = self._pools.pop(asyncio.get_running_loop(), None)
        if kept is not None:
            await kept[1].aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()


def _close_here(process: int, http: httpx.Client) -> None:
    if process == os.getpid():
        http.close()


async def _keeper(http: httpx.AsyncClient) -> AsyncGenerator[httpx.AsyncClient]:
    """Closes a pool when its loop ends: `asyncio.run` closes the asynchronous generators that are still open."""
    try:
        yield http
    finally:
        await http.aclose()


def _loop_time(until: float | None) -> float | None:
    if until is None:
        return None
    return asyncio.get_running_loop().time() + max(until - time.monotonic(), 0.0)


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
    loop.call_soon_threadsafe(woken.set)


def _where() -> str:
    """Where a slot is asked for, for the message to others who wait in vain."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task.get_name() if task else f"thread {threading.current_thread().name}"


def _library_of(http: Any) -> Any:
    """The library that an injected client comes from: `httpx`, or `httpx2`, its continuation."""
    for base in type(http).__mro__:
        name = base.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    return httpx
