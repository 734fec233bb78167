"""The blocking driver. `tests/core/test_sync_async.py` compares its code with that of the asynchronous driver."""

from __future__ import annotations

import threading
import time
from typing import Any

from glmv.errors import GLMVError
from glmv.exchange.gate import Busy
from glmv.exchange.steps import Drop, Enter, Failure, Finish, Hand, Opened, Pause, Read, Send, Work
from glmv.transport.auth import Signer
from glmv.transport.driver import TAIL, Driver, content_of
from glmv.transport.keys import KeyFunction
from glmv.transport.network import CALL, NO_CALL
from glmv.types import Delta


class SyncDriver(Driver):
    """Takes the steps of a flow, with blocking I/O."""

    def advance(self) -> list[Delta] | None:
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
                        answer = self._read(step)
                    case Hand():
                        return step
                    case Enter():
                        self._enter(step)
                    case Send():
                        answer = self._send(step)
                    case Finish():
                        self._finish()
                    case Pause():
                        self._log_pause(step)
                        time.sleep(step.seconds)
                    case Drop():
                        self.drop(busy=step.busy)
                    case Work():
                        answer = self._apart(step)
                    case _:
                        raise TypeError(f"not a step: {step!r}")
            except (Failure, GLMVError) as error:
                failed = error

    def end(self) -> None:
        """Stop the flow, finished or not, and release the response and the slot."""
        self._flow.close()
        self.drop()

    def _apart(self, step: Work) -> Any:
        return step.function()

    def _enter(self, step: Enter) -> None:
        gate = self._gate = step.gate
        if gate is None:
            return
        started = time.monotonic()
        woken = threading.Lock()
        woken.acquire()
        ticket = self._enters(gate, lambda: _wake(woken))
        while ticket.state == "waiting":
            left = self._remaining_wait(gate, ticket, step, started, blocking=True)
            woken.acquire(timeout=left)

    def _signer(self, until: float | None) -> Signer | None:
        source = self._where.signer
        if not isinstance(source, KeyFunction):
            return source
        started = time.monotonic()
        signer = source.ask()
        if until is not None and time.monotonic() >= until:
            raise self._late(started)
        return signer

    def _send(self, step: Send) -> Opened:
        signer = self._signer(step.until)
        self._network.until = step.until
        CALL.set(self._network)
        try:
            request = self._request(step, content_of(step.body), signer)
            return self._opened(self._pool.http.send(request, stream=True, follow_redirects=False))
        except Exception as error:  # noqa: BLE001 - translated
            problem = self._failure(error)
            if self._is_half_open:
                self._network.close()
        finally:
            CALL.set(NO_CALL)
        raise problem

    def _read(self, step: Read) -> bytes:
        if self._chunks is None:
            self._chunks, self._ended = self._body(), False
        self._network.until = step.until
        try:
            for chunk in self._chunks:
                if chunk:
                    return chunk  # type: ignore[no-any-return]  # the library yields bytes
            self._ended = True
            return b""
        except Exception as error:  # noqa: BLE001 - translated
            problem = self._failure(error)
        raise problem

    def _finish(self) -> None:
        end = Read(time.monotonic() + TAIL)
        try:
            while not self._ended and self._read(end):
                pass
        except (Failure, GLMVError):
            pass
        self.drop(good=True)

    def _body(self) -> Any:
        response = self._response
        # The body of a mocked response may have been read already.
        return response.iter_bytes() if response.is_stream_consumed else response.iter_raw()

    def drop(self, *, busy: Busy | None = None, good: bool = False) -> None:
        """Close the response, if there is one, and release the slot. A second call has no effect."""
        response, self._response, self._chunks = self._response, None, None
        try:
            if response is not None:
                response.close()
        except Exception:  # noqa: BLE001, S110 - the connection is closed even if the protocol's closing fails
            pass
        finally:
            self._leave_gate(busy=busy, good=good)


def _wake(woken: threading.Lock) -> None:
    try:
        woken.release()
    except RuntimeError:  # it was woken already
        pass
