"""The two clients: the only file that imports the HTTP library, sleeps or waits (ADR-0001).

Each takes the steps that `_flow` yields. They are twins: the same text once `async` and `await` are taken out
(tests/core/test_twins.py holds them together), and what they share stands in `_Base`.
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import ssl
import sys
import threading
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any, Self

import httpx

from glmv import _strategy
from glmv._catalog import find
from glmv._errors import GateTimeout, GLMVError, InvalidRequestError
from glmv._flow import Call, Drop, Enter, Failure, Finish, Hand, Opened, Pause, Read, Send, Step, exchange
from glmv._gate import Gate, Ticket, gate
from glmv._messages import Messages
from glmv._prepare import chat_call, settings_of
from glmv._request import ChatRequest, Settings
from glmv._retry import Budget
from glmv._types import Completion, Delta
from glmv._version import __version__
from glmv._where import Place, place
from glmv._wire import Body

# The platform's own SDKs connect for 8 s and read for 300 s (zhipuai `_constants.py`): thinking models are slow.
_TIMEOUTS = {"connect": 8.0, "read": 300.0, "write": 60.0}
# How long the formal end of a body is waited for, so that the connection can be used again.
_TAIL = 0.05
# httpx's pool costs with the square of its idle connections; nobody waits in a pool without a bound, the gate bounds.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20)

_Flow = Generator[Step, Any, Any]


@functools.cache
def _tls() -> ssl.SSLContext:
    """Making a TLS context costs more than a call: all clients share one."""
    return httpx.create_ssl_context()


class _Base:
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
            self._place = place(self.settings, os.environ)
        return self._place

    def request(self, messages: Messages, *, model: str | None = None, **options: Any) -> ChatRequest:
        """Messages and options -> the request that `run` and `run_stream` take."""
        return ChatRequest.of(messages, self.settings, {"model": model, **options} if model else options)

    def _call(self, request: ChatRequest, *, stream: bool) -> Call:
        return chat_call(request, self.settings, self.place, self._budget, stream=stream)

    def slots(self, model: str) -> Gate:
        """The gate that calls of this model pass."""
        row = find(model)
        where = self.place
        return gate(where.account, where.host, model, self.settings.max_concurrency, row.concurrency if row else None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(model={self.settings.model!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Neither connections nor the key go into a pickle: the key is read from the environment again.
        return _unpickled, (type(self), self.settings.model_dump(exclude_unset=True))


class _Line:
    """One attempt on its way: the slot, the request, the answer. What both lines share."""

    def __init__(self, http: Any, client: _Base, model: str | None, timeout: Any) -> None:
        self.answer: Any = None
        self._http = http
        self._library = _library_of(http)
        self._where = client.place
        self._slots = client.slots(model) if model else None
        self._timeouts = _timeouts(client.settings.timeout if timeout is None else timeout)
        self._headers = client.settings.default_headers or {}
        self._ticket: Ticket | None = None
        self._response: Any = None
        self._data: Any = None

    def _request(self, step: Send, body: Any) -> Any:
        headers = {
            "accept": "application/json",
            "accept-encoding": "identity",
            "content-type": "application/json; charset=UTF-8",
            "user-agent": f"glmv/{__version__}",
            **step.headers,
        }
        if step.body is not None:
            headers["content-length"] = str(len(step.body))
        if (signer := self._where.signer) is not None:
            headers["authorization"] = signer.header(time.time())
        headers |= self._headers
        timeouts = dict(self._timeouts)
        if step.until is not None:
            left = max(step.until - time.monotonic(), 0.001)
            timeouts = {phase: min(left, most or left) for phase, most in timeouts.items()}
        url = step.path if "://" in step.path else self._where.base_url + step.path
        return self._http.build_request(
            step.method, url, content=body, headers=headers, extensions={"timeout": timeouts}
        )

    def _opened(self, response: Any) -> Opened:
        self._response = response
        return Opened(response.status_code, {name.lower(): value for name, value in response.headers.items()})

    def _patience(self) -> float:
        return self._timeouts["read"] or _TIMEOUTS["read"]

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


class _SyncLine(_Line):
    """Takes the steps of a flow, blocking."""

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
        self._ticket = self._slots.enter(_who(), woken.release)
        while self._ticket.state == "waiting":
            woken.acquire(timeout=self._gives_up(self._ticket, step.until, started))

    def _send(self, step: Send) -> Opened:
        request = self._request(step, _sync_body(step.body))
        _bound.until = step.until
        try:
            return self._opened(self._http.send(request, stream=True, follow_redirects=False))
        except Exception as error:
            raise _translated(error, self._library, self._where.host) from error
        finally:
            _bound.until = None

    def _read(self, step: Read) -> bytes:
        if self._data is None:
            # A mocked transport hands over bodies that are read already.
            read = self._response.is_stream_consumed
            self._data = self._response.iter_bytes() if read else self._response.iter_raw()
        _bound.until = step.until
        try:
            for data in self._data:
                if data:
                    return data  # type: ignore[no-any-return]  # the library yields bytes
            return b""
        except Exception as error:
            raise _translated(error, self._library, self._where.host) from error
        finally:
            _bound.until = None

    def _finish(self) -> None:
        try:
            self._read(Read(time.monotonic() + _TAIL))
        except Failure:
            pass
        self.drop(good=True)

    def drop(self, *, busy: bool = False, good: bool = False) -> None:
        """Close the answer, if there is one, and leave the slot. Safe to call again."""
        response, self._response, self._data = self._response, None, None
        try:
            if response is not None:
                response.close()
        except Exception:  # noqa: BLE001, S110 - a connection that cannot be closed in order is closed all the same
            pass
        finally:
            self._leave(busy=busy, good=good)


class _AsyncLine(_Line):
    """Takes the steps of a flow, awaiting."""

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
        self._ticket = self._slots.enter(_who(), lambda: _wake(loop, woken))
        while self._ticket.state == "waiting":
            try:
                await asyncio.wait_for(woken.wait(), self._gives_up(self._ticket, step.until, started))
            except TimeoutError:
                continue

    async def _send(self, step: Send) -> Opened:
        request = self._request(step, _async_body(step.body))
        try:
            async with asyncio.timeout_at(_loop_time(step.until)):
                return self._opened(await self._http.send(request, stream=True, follow_redirects=False))
        except Exception as error:
            raise _translated(error, self._library, self._where.host) from error

    async def _read(self, step: Read) -> bytes:
        if self._data is None:
            # A mocked transport hands over bodies that are read already.
            read = self._response.is_stream_consumed
            self._data = self._response.aiter_bytes() if read else self._response.aiter_raw()
        try:
            if step.until is None:
                return await self._next()
            async with asyncio.timeout_at(_loop_time(step.until)):
                return await self._next()
        except Exception as error:
            raise _translated(error, self._library, self._where.host) from error

    async def _next(self) -> bytes:
        async for data in self._data:
            if data:
                return data  # type: ignore[no-any-return]  # the library yields bytes
        return b""

    async def _finish(self) -> None:
        try:
            await self._read(Read(time.monotonic() + _TAIL))
        except Failure:
            pass
        await self.drop(good=True)

    async def drop(self, *, busy: bool = False, good: bool = False) -> None:
        """Close the answer, if there is one, and leave the slot. Safe to call again."""
        response, self._response, self._data = self._response, None, None
        try:
            if response is not None:
                await response.aclose()
        except Exception:  # noqa: BLE001, S110 - a connection that cannot be closed in order is closed all the same
            pass
        finally:
            self._leave(busy=busy, good=good)


class Client(_Base):
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
            call = self._call(plan.request, stream=False)
            answer: Completion = self._result(
                exchange(call, stream=False), plan.request.model, plan.request.call.get("timeout")
            )
            answer = plan.judge(answer)
            if plan.done:
                return answer

    def run_stream(self, request: ChatRequest) -> Generator[Delta]:
        """`stream` for a request that is made already."""
        plan = _strategy.plan(request, self.place.dialect)
        while not plan.done:
            call = self._call(plan.request, stream=True)
            line = self._line(plan.request.model, plan.request.call.get("timeout"))
            with closing(self._steps(exchange(call, stream=True), line)) as deltas:
                for delta in deltas:
                    for shown in plan.show(delta):
                        yield shown

    def _result(self, flow: _Flow, model: str | None, timeout: Any = None) -> Any:
        line = self._line(model, timeout)
        with closing(self._steps(flow, line)) as deltas:
            for _ in deltas:
                pass
        return line.answer

    def _steps(self, flow: _Flow, line: _SyncLine) -> Generator[Delta]:
        answer: Any = None
        failed: Exception | None = None
        try:
            while True:
                try:
                    step = flow.send(answer) if failed is None else flow.throw(failed)
                except StopIteration as end:
                    line.answer = end.value
                    return
                answer = failed = None
                if isinstance(step, Hand):
                    for delta in step.deltas:
                        yield delta
                    continue
                try:
                    answer = line.take(step)
                except (Failure, GLMVError) as error:
                    failed = error
        finally:
            flow.close()
            line.drop()

    def _line(self, model: str | None, timeout: Any) -> _SyncLine:
        return _SyncLine(self._http(), self, model, timeout)

    def _http(self) -> Any:
        if self.settings.http_client is not None:
            return self.settings.http_client
        if self._closed:
            raise InvalidRequestError("This client is closed: make a new one.")
        if self._pool is None or self._pool[0] != os.getpid():
            with self._lock:
                if self._pool is None or self._pool[0] != os.getpid():
                    # In a forked child the parent's sockets are not ours to use or to close.
                    pool = _bounded(httpx.Client(verify=_tls(), limits=_LIMITS))
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


class AsyncClient(_Base):
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
            call = self._call(plan.request, stream=False)
            answer: Completion = await self._result(
                exchange(call, stream=False), plan.request.model, plan.request.call.get("timeout")
            )
            answer = plan.judge(answer)
            if plan.done:
                return answer

    async def run_stream(self, request: ChatRequest) -> AsyncGenerator[Delta]:
        """`stream` for a request that is made already."""
        plan = _strategy.plan(request, self.place.dialect)
        while not plan.done:
            call = self._call(plan.request, stream=True)
            line = await self._line(plan.request.model, plan.request.call.get("timeout"))
            async with aclosing(self._steps(exchange(call, stream=True), line)) as deltas:
                async for delta in deltas:
                    for shown in plan.show(delta):
                        yield shown

    async def _result(self, flow: _Flow, model: str | None, timeout: Any = None) -> Any:
        line = await self._line(model, timeout)
        async with aclosing(self._steps(flow, line)) as deltas:
            async for _ in deltas:
                pass
        return line.answer

    async def _steps(self, flow: _Flow, line: _AsyncLine) -> AsyncGenerator[Delta]:
        answer: Any = None
        failed: Exception | None = None
        try:
            while True:
                try:
                    step = flow.send(answer) if failed is None else flow.throw(failed)
                except StopIteration as end:
                    line.answer = end.value
                    return
                answer = failed = None
                if isinstance(step, Hand):
                    for delta in step.deltas:
                        yield delta
                    continue
                try:
                    answer = await line.take(step)
                except (Failure, GLMVError) as error:
                    failed = error
        finally:
            flow.close()
            await line.drop()

    async def _line(self, model: str | None, timeout: Any) -> _AsyncLine:
        return _AsyncLine(await self._http(), self, model, timeout)

    async def _http(self) -> Any:
        if self.settings.http_async_client is not None:
            return self.settings.http_async_client
        if self._closed:
            raise InvalidRequestError("This client is closed: make a new one.")
        loop = asyncio.get_running_loop()
        kept = self._pools.get(loop)
        if kept is None:
            http = httpx.AsyncClient(verify=_tls(), limits=_LIMITS)
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


# Fields that decide where to connect and as whom: with others, other clients are needed.
_CONNECTION = (
    "api_key", "base_url", "auth", "token_ttl", "max_concurrency", "http_client", "http_async_client",
    "default_headers", "allow_http", "dialect", "base64_as",
)  # fmt: skip


class Clients:
    """Both clients of one place, made when first used. No network and no look at the key before that.

    A component keeps one and asks it by `of(self)` before each call: a copy of the component may have got another
    key or base. Copies and pickles begin without connections.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._made_for = _connection(self._settings)
        self._sync: Client | None = None
        self._async: AsyncClient | None = None

    def of(self, settings: Settings) -> Clients:
        """These clients when they are for the same place, else new ones."""
        return self if self._settings is settings and self._made_for == _connection(settings) else Clients(settings)

    def __copy__(self) -> Clients:
        return Clients(self._settings)

    def __deepcopy__(self, memo: object) -> Clients:
        return Clients()

    def __reduce__(self) -> tuple[Any, ...]:
        return Clients, ()

    @property
    def sync(self) -> Client:
        """The blocking one."""
        if self._sync is None:
            self._sync = Client.of(self._settings)
        return self._sync

    @property
    def asynchronous(self) -> AsyncClient:
        """The asynchronous one."""
        if self._async is None:
            self._async = AsyncClient.of(self._settings)
        return self._async

    def close(self) -> None:
        """Close the blocking one."""
        if self._sync is not None:
            self._sync.close()

    async def aclose(self) -> None:
        """Close both."""
        self.close()
        if self._async is not None:
            await self._async.aclose()


def _connection(settings: Settings) -> tuple[Any, ...]:
    return tuple(getattr(settings, name) for name in _CONNECTION)


def _unpickled(kind: type[_Base], options: dict[str, Any]) -> _Base:
    return kind(**options)


class _Bound(threading.local):
    """Until when the call on this thread may wait, in monotonic seconds."""

    until: float | None = None


_bound = _Bound()


class _BoundedStream:
    """A network stream whose every wait ends at the call's deadline.

    The library's own timeouts hold for one read each, so a server that drips a byte a second would never end.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> Any:
        return self._stream.read(max_bytes, _left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> Any:
        return self._stream.write(buffer, _left(timeout))

    def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        return _BoundedStream(self._stream.start_tls(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _BoundedBackend:
    """Makes bounded streams."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        return _BoundedStream(self._backend.connect_tcp(*args, **kwargs | {"timeout": _left(kwargs.get("timeout"))}))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


def _left(timeout: float | None) -> float | None:
    if _bound.until is None:
        return timeout
    left = max(_bound.until - time.monotonic(), 0.0005)
    return left if timeout is None else min(left, timeout)


def _bounded(http: httpx.Client) -> httpx.Client:
    """Let the deadline hold inside a read: the pool has no public place for that, so its own field is used."""
    for transport in (http._transport, *http._mounts.values()):  # noqa: SLF001 - see above; a test watches it
        pool = getattr(transport, "_pool", None)
        if pool is not None:
            pool._network_backend = _BoundedBackend(pool._network_backend)  # noqa: SLF001
    return http


def _loop_time(until: float | None) -> float | None:
    if until is None:
        return None
    return asyncio.get_running_loop().time() + max(until - time.monotonic(), 0.0)


def _timeouts(timeout: Any) -> dict[str, float | None]:
    """Seconds, an `httpx.Timeout`, or None -> what the library wants for each phase."""
    match timeout:
        case None:
            return {**_TIMEOUTS, "pool": None}
        case int() | float():
            return {"connect": float(timeout), "read": float(timeout), "write": float(timeout), "pool": None}
        case _ if hasattr(timeout, "connect") and hasattr(timeout, "read"):
            return {"connect": timeout.connect, "read": timeout.read, "write": timeout.write, "pool": None}
        case _:
            raise InvalidRequestError(f"timeout is seconds or an httpx.Timeout; got {type(timeout).__name__}.")


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
    loop.call_soon_threadsafe(woken.set)


def _who() -> str:
    """Who asks for a slot, for the message to others who wait in vain."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return f"a call in {task.get_name()}" if task else f"a call in thread {threading.current_thread().name}"


def _sync_body(body: Body | None) -> Any:
    return body if body is None or body.large else bytes(body)


def _async_body(body: Body | None) -> Any:
    return body if body is None else _AsyncBody(body) if body.large else bytes(body)


class _AsyncBody:
    """A body in pieces, for the asynchronous client."""

    def __init__(self, body: Body) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._body:
            yield piece


def _library_of(http: Any) -> Any:
    """The library that an injected client comes from: `httpx`, or `httpx2`, its continuation."""
    for base in type(http).__mro__:
        name = base.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    return httpx


def _translated(error: Exception, library: Any, host: str) -> Exception:
    """What the HTTP library raises -> what the flow knows. Anything else is a mistake of ours and stays as it is."""
    match error:
        case TimeoutError():
            return Failure("read_timeout", "Nothing came in time.")
        case library.ConnectTimeout():
            return Failure("connect_timeout", f"No connection to {host} in time: {_said(error)}.")
        case library.WriteTimeout():
            return Failure("write_timeout", "The request could not be sent in time.")
        case library.TimeoutException():
            return Failure("read_timeout", "Nothing came in time.")
        case library.ConnectError() | library.ProxyError():
            return _not_connected(error, host)
        case library.NetworkError() | library.RemoteProtocolError():
            return Failure("reset", f"The server broke the connection: {_said(error)}.")
        case library.InvalidURL() | library.UnsupportedProtocol() | library.LocalProtocolError():
            return InvalidRequestError(f"The request cannot be sent: {_said(error)}.")
        case library.HTTPError():
            return Failure("reset", f"The answer cannot be read: {_said(error)}.")
        case library.StreamError() | RuntimeError():
            return Failure("closed", f"The connection was closed on this side: {_said(error)}.")
        case _:
            return error


def _not_connected(error: Exception, host: str) -> Failure:
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ssl.SSLCertVerificationError():
                return Failure("tls", f"The certificate of {host} is not accepted: {cause.verify_message}.")
            case socket.gaierror(errno=socket.EAI_AGAIN):
                return Failure("dns", f"The name of {host} cannot be looked up just now.")
            case socket.gaierror():
                return Failure("no_such_host", f"There is no host {host}: check base_url.")
            case _:
                cause = cause.__cause__ or cause.__context__
    return Failure(
        "connect", f"No connection to {host}: {_said(error)}. Is the server (or the emulator) running there?"
    )


def _said(error: Exception) -> str:
    return str(error)[:200].rstrip(".") or type(error).__name__
