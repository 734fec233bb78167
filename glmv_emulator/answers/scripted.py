"""The answers that a test prescribes: a queue of answers, or a function for all requests."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
from bisect import insort
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

from glmv_emulator.answers.values import Ask, Reply, ToolCall

Answer = Callable[[Ask], Reply | str]


class FunctionFailed(Exception):
    """The function given to `answer` failed with `error`, which may be any exception, such as `SystemExit`."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error

    def __repr__(self) -> str:
        return repr(self.error)


class Scripted:
    """An answer in the queue of a script. `Emulator.call` returns it, so that `also` can add tool calls to it."""

    def __init__(self, script: Script, number: int, reply: Reply) -> None:
        self._script = script
        self.number = number
        self.reply = reply

    def __lt__(self, other: Scripted) -> bool:
        return self.number < other.number

    def __repr__(self) -> str:
        return f"<scripted answer: {shortened(self.reply)}>"

    def also(self, name: str, /, **arguments: Any) -> Self:
        """Add a tool call to this answer. The answer may call the same tool several times.

        Raises:
            RuntimeError: the answer was already used or removed.
            TypeError, ValueError: the name or the arguments cannot be sent.
        """
        self._script.extend(self, ToolCall(name, arguments))
        return self


class Script:
    """The queue of answers, and the function that answers when it is empty. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Scripted] = []
        self._count = 0
        self._first = 0  # answers up to this number were removed by `reset`
        self._function: Answer | None = None
        self._errors: list[BaseException] = []

    def add(self, reply: Reply) -> Scripted:
        """Append a reply to the queue."""
        with self._lock:
            self._count += 1
            self._waiting.append(added := Scripted(self, self._count, reply))
        return added

    def extend(self, scripted: Scripted, call: ToolCall) -> None:
        """Add a tool call to an answer in the queue."""
        with self._lock:
            if scripted not in self._waiting:
                raise RuntimeError(f"cannot add a call to {scripted!r}: it was already used or removed")
            scripted.reply = replace(scripted.reply, tool_calls=(*scripted.reply.tool_calls, call))

    def take(self) -> Scripted | None:
        """Remove and return the next answer, or None."""
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def put_back(self, scripted: Scripted) -> None:
        """Put an answer back in its old place if its client did not get it. No effect if `reset` removed the answer."""
        with self._lock:
            if scripted.number > self._first:
                insort(self._waiting, scripted)

    def unused(self) -> list[Reply]:
        """The answers in the queue, in order."""
        with self._lock:
            return [scripted.reply for scripted in self._waiting]

    @property
    def function(self) -> Answer | None:
        """The function that answers when the queue is empty."""
        return self._function

    def use(self, function: Answer) -> None:
        """Set the function that answers.

        Raises:
            TypeError: the object cannot be called with an `Ask`, or is an async function.
        """
        if not callable(function):
            raise TypeError(f"answer() takes a function from an Ask to a Reply or a str; got {function!r}")
        if inspect.iscoroutinefunction(function):
            raise TypeError("answer() calls its function in a thread: the function must not be async")
        try:
            inspect.signature(function).bind(Ask())
        except TypeError as problem:
            raise TypeError(f"the function given to answer() must take one argument, an Ask: {problem}") from None
        except ValueError:  # some functions that are written in C have no signature
            pass
        self._function = function

    async def call(self, ask: Ask) -> Reply:
        """The reply of the function, which runs in a new thread.

        The function may block: its thread is not from a pool, and a server that stops does not wait for the thread.

        Raises:
            FunctionFailed: the function raises, or returns neither a Reply nor a str; `errors` has the exception.
        """
        function = self._function or default_answer
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply | BaseException] = loop.create_future()

        def set_result(result: Reply | BaseException) -> None:
            if not future.done():
                future.set_result(result)

        def work() -> None:
            result = self._result(function, ask)
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(set_result, result)

        threading.Thread(target=work, name="glmv-emulator-answer", daemon=True).start()
        match await future:
            case Reply() as reply:
                return reply
            case error:
                raise FunctionFailed(error) from error

    def _result(self, function: Answer, ask: Ask) -> Reply | BaseException:
        """The function's reply, or its exception as a value, because a future does not accept StopIteration."""
        try:
            return as_reply(function(ask))
        except BaseException as error:  # noqa: BLE001 - pytest.fail() and exit() raise other classes
            with self._lock:
                self._errors.append(error)
            return error

    def errors(self) -> list[BaseException]:
        """The exceptions of the function, in order."""
        with self._lock:
            return list(self._errors)

    def reset(self) -> None:
        """Return to the initial state: an empty queue, no function and no errors."""
        with self._lock:
            self._waiting.clear()
            self._errors.clear()
            self._first = self._count
            self._function = None


def as_reply(answer: object) -> Reply:
    """A str or a Reply -> a Reply.

    Raises:
        TypeError: the value is neither.
    """
    match answer:
        case Reply():
            return answer
        case str():
            return Reply(answer)
        case _:
            raise TypeError(f"an answer must be a Reply or a str; got {answer!r}")


def default_answer(ask: Ask) -> Reply:
    """The emulator's default answer to a request. A function for `Emulator.answer` may return it."""
    from glmv_emulator.answers.rules import answer

    return answer(ask)


def shortened(reply: Reply, length: int = 60) -> str:
    """A reply in one line, for messages."""
    calls = ", ".join(f"{call.name}({call.written})" for call in reply.tool_calls)
    text = " ".join(piece for piece in (repr(reply.text) if reply.text or not calls else "", calls) if piece)
    return text if len(text) <= length else f"{text[:length]}…"


default_answer.__module__ = "glmv_emulator"
