"""The asynchronous driver: the code of the blocking driver with `async` and `await` (tests/core/test_sync_async.py)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from glmv.errors import GLMVError
from glmv.exchange.gate import Busy
from glmv.exchange.steps import Drop, Enter, Failure, Finish, Hand, Opened, Pause, Read, Send, Work
from glmv.transport.auth import Signer
from glmv.transport.driver import TAIL, Driver, async_content_of
from glmv.transport.keys import KeyFunction
from glmv.transport.network import CALL, NO_CALL
from glmv.transport.workers import Late, worked
from glmv.types import Delta

T = TypeVar("T")


class AsyncDriver(Driver):
    """Takes the steps of a flow, with asynchronous I/O."""

    async def advance(self) -> list[Delta] | None:
        """Run steps until there are deltas, and return them. At the end of the flow, set `result` and return None."""
        answer: Any = None
        failed: Exception | None = None
        while True:
            try:
                step = self._flow.send(answer) if failed is None else self._flow.throw(failed)
            except StopIteration as end:
                self.result = end.value
                return None
            answer = failed = None
            try:
                match step:
                    case Read():
                        answer = await self._read(step)
                    case Hand():
                        return step
                    case Enter():
                        await self._enter(step)
                    case Send():
                        answer = await self._send(step)
                    case Finish():
                        await self._finish()
                    case Pause():
                        self._log_pause(step)
                        await asyncio.sleep(step.seconds)
                    case Drop():
                        await self.drop(busy=step.busy)
                    case Work():
                        answer = await self._apart(step)
                    case _:
                        raise TypeError(f"not a step: {step!r}")
            except (Failure, GLMVError) as error:
                failed = error

    async def end(self) -> None:
        """Stop the flow, finished or not, and release the response, the slot and the pool."""
        self._flow.close()
        try:
            await self.drop()
        finally:
            await self._pool.leave(self._network, cancelled=self._cancelled)

    async def _apart(self, step: Work) -> Any:
        try:
            return await worked(step.function, step.until)
        except Late:
            raise Failure("late", "The content was not prepared in time.") from None

    async def _enter(self, step: Enter) -> None:
        gate = self._gate = step.gate
        if gate is None:
            return
        started = time.monotonic()
        woken = asyncio.Event()
        loop = asyncio.get_running_loop()
        ticket = self._enters(gate, lambda: _wake(loop, woken))
        while ticket.state == "waiting":
            left = self._remaining_wait(gate, ticket, step, started, blocking=False)
            try:
                await asyncio.wait_for(woken.wait(), left)
            except TimeoutError:
                continue
            woken.clear()

    async def _signer(self, until: float | None) -> Signer | None:
        source = self._where.signer
        if not isinstance(source, KeyFunction):
            return source
        started = time.monotonic()
        try:
            async with asyncio.timeout_at(None if until is None else _loop_time(until)):
                # A blocking function runs in a thread, so that it does not block the event loop.
                result = source.call() if source.is_asynchronous else await asyncio.to_thread(source.call)
                return result if isinstance(result, Signer) else await source.awaited(result)
        except TimeoutError:
            raise self._late(started) from None

    async def _send(self, step: Send) -> Opened:
        signer = await self._signer(step.until)
        return await self._work(self._sent(step, signer), step.until)

    async def _sent(self, step: Send, signer: Signer | None) -> Opened:
        request = self._request(step, async_content_of(step.body), signer)
        return self._opened(await self._pool.http.send(request, stream=True, follow_redirects=False))

    async def _read(self, step: Read) -> bytes:
        if self._chunks is None:
            self._chunks, self._ended = self._body(), False
        return await self._work(self._next(), step.until)

    async def _next(self) -> bytes:
        async for chunk in self._chunks:
            if chunk:
                return chunk  # type: ignore[no-any-return]  # the library yields bytes
        self._ended = True
        return b""

    async def _work(self, work: Coroutine[Any, Any, T], until: float | None) -> T:
        """Await network I/O until a deadline in monotonic seconds."""
        self._network.until = until
        CALL.set(self._network)
        try:
            if self._pool.keeps_deadlines or until is None:
                return await work
            async with asyncio.timeout_at(_loop_time(until)):
                return await work
        except Exception as error:  # noqa: BLE001 - translated
            self._cancelled = self._cancelled or isinstance(error, TimeoutError)
            problem = self._failure(error)
            if self._is_half_open:
                await self._network.abort()
        except BaseException:
            self._cancelled = True
            raise
        finally:
            CALL.set(NO_CALL)
        raise problem

    async def _finish(self) -> None:
        end = Read(time.monotonic() + TAIL)
        try:
            while not self._ended and await self._read(end):
                pass
        except (Failure, GLMVError):
            pass
        await self.drop(good=True)

    def _body(self) -> Any:
        response = self._response
        # The body of a mocked response may have been read already.
        return response.aiter_bytes() if response.is_stream_consumed else response.aiter_raw()

    async def drop(self, *, busy: Busy | None = None, good: bool = False) -> None:
        """Close the response, if there is one, and release the slot. A second call has no effect."""
        response, self._response, self._chunks = self._response, None, None
        try:
            if response is not None:
                await self._work(response.aclose(), None)
        except Exception:  # noqa: BLE001, S110 - the connection is closed even if the protocol's closing fails
            pass
        finally:
            self._leave_gate(busy=busy, good=good)


def _loop_time(until: float) -> float:
    return asyncio.get_running_loop().time() + max(until - time.monotonic(), 0.0)


def _wake(loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> None:
    loop.call_soon_threadsafe(woken.set)
