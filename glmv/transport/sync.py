"""The blocking driver. `tests/core/test_twins.py` holds it to the text of the asynchronous one."""

from __future__ import annotations

import threading
import time
from typing import Any

from glmv.errors import GLMVError
from glmv.exchange.steps import Drop, Enter, Failure, Finish, Hand, Opened, Pause, Read, Send, Step, Work
from glmv.transport.driver import TAIL, Driver, content_of, here
from glmv.transport.network import CALL
from glmv.types import Delta


class SyncDriver(Driver):
    """Takes the steps of a flow, blocking."""

    def advance(self) -> list[Delta] | None:
        """Take steps up to the next deltas; None at the end of the flow, whose result is in `result` then."""
        answer: Any = None
        failed: Exception | None = None
        while True:
            try:
                step = self._flow.send(answer) if failed is None else self._flow.throw(failed)
            except StopIteration as end:
                self.result = end.value
                return None
            answer = failed = None
            if isinstance(step, Hand):
                return step
            try:
                answer = self.take(step)
            except (Failure, GLMVError) as error:
                failed = error

    def end(self) -> None:
        """Release everything, wherever the flow was left."""
        self._flow.close()
        self.drop()

    def take(self, step: Step) -> Any:
        """Take one step and return what came of it; raise `Failure` when it broke."""
        match step:
            case Read():
                return self._read(step)
            case Enter():
                return self._enter(step)
            case Send():
                return self._send(step)
            case Pause():
                self._log_pause(step)
                return time.sleep(step.seconds)
            case Drop():
                return self.drop(busy=step.busy)
            case Finish():
                return self._finish()
            case Work():
                return self._apart(step)
            case _:
                raise TypeError(f"not a step: {step!r}")

    def _apart(self, step: Work) -> Any:
        return step.function()

    def _enter(self, step: Enter) -> None:
        gate = self._gate = step.gate
        if gate is None:
            return
        started = time.monotonic()
        woken = threading.Lock()
        woken.acquire()
        self._ticket = gate.enter(f"{self._what} in {here()}", woken.release)
        while self._ticket.state == "waiting":
            left = self._remaining_wait(gate, self._ticket, step, started)
            woken.acquire(timeout=left)

    def _send(self, step: Send) -> Opened:
        self._network.until = step.until
        CALL.set(self._network)
        try:
            request = self._request(step, content_of(step.body))
            return self._opened(self._pool.http.send(request, stream=True, follow_redirects=False))
        except Exception as error:  # noqa: BLE001 - translated
            problem = self._failure(error)
            if self._is_half_open:
                self._network.close()
        finally:
            CALL.set(None)
        raise problem

    def _read(self, step: Read) -> bytes:
        if self._chunks is None:
            self._chunks = self._body()
        self._network.until = step.until
        CALL.set(self._network)
        try:
            for chunk in self._chunks:
                if chunk:
                    return chunk  # type: ignore[no-any-return]  # the library yields bytes
            return b""
        except Exception as error:  # noqa: BLE001 - translated
            problem = self._failure(error)
        finally:
            CALL.set(None)
        raise problem

    def _finish(self) -> None:
        end = Read(time.monotonic() + TAIL)
        try:
            while self._read(end):
                pass
        except (Failure, GLMVError):
            pass
        self.drop(good=True)

    def _body(self) -> Any:
        response = self._response
        # A mock's body may have been read already.
        return response.iter_bytes() if response.is_stream_consumed else response.iter_raw()

    def drop(self, *, busy: bool = False, good: bool = False) -> None:
        """Close the response, if there is one, and leave the gate. Calling it again does nothing."""
        response, self._response, self._chunks = self._response, None, None
        try:
            if response is not None:
                response.close()
        except Exception:  # noqa: BLE001, S110 - a connection that cannot be closed in order is closed all the same
            pass
        finally:
            self._leave_gate(busy=busy, good=good)
