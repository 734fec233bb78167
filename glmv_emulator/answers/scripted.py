"""Answers that a test has written: the next ones in order, or a function for all of them."""

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
    """The function of `answer` raised `error`, which may be any exception: `SystemExit`, or an outcome of pytest."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error

    def __repr__(self) -> str:
        return repr(self.error)


class Scripted:
    """An answer of a script; `Emulator.call` returns it."""

    def __init__(self, script: Script, number: int, reply: Reply) -> None:
        self._script = script
        self.number = number
        self.reply = reply

    def __lt__(self, other: Scripted) -> bool:
        return self.number < other.number

    def __repr__(self) -> str:
        return f"<scripted answer: {shortened(self.reply)}>"

    def also(self, name: str, /, **arguments: Any) -> Self:
        """Add a call of another tool, or of the same, to this answer.

        Raises:
            RuntimeError: when the answer is no longer waiting.
            TypeError, ValueError: for a name or arguments that cannot be sent.
        """
        self._script.extend(self, ToolCall(name, arguments))
        return self


class Script:
    """The answers that wait, and the function that answers when none does. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[Scripted] = []
        self._count = 0
        self._first = 0  # numbers below it belong to a script that was reset
        self._function: Answer | None = None
        self._errors: list[BaseException] = []

    def add(self, reply: Reply) -> Scripted:
        """Let a reply be the last of those that wait."""
        with self._lock:
            self._count += 1
            self._waiting.append(added := Scripted(self, self._count, reply))
        return added

    def extend(self, scripted: Scripted, call: ToolCall) -> None:
        """Add a call to an answer that waits."""
        with self._lock:
            if scripted not in self._waiting:
                raise RuntimeError(f"{scripted!r} waits no more, so no call can be added to it")
            scripted.reply = replace(scripted.reply, tool_calls=(*scripted.reply.tool_calls, call))

    def take(self) -> Scripted | None:
        """The next answer, or None."""
        with self._lock:
            return self._waiting.pop(0) if self._waiting else None

    def put_back(self, scripted: Scripted) -> None:
        """An answer that was taken and did not reach its client waits again, in its place."""
        with self._lock:
            if scripted.number > self._first:
                insort(self._waiting, scripted)

    def unused(self) -> list[Reply]:
        """The answers that wait, in order."""
        with self._lock:
            return [scripted.reply for scripted in self._waiting]

    @property
    def function(self) -> Answer | None:
        """The function that answers what no waiting answer does."""
        return self._function

    def use(self, function: Answer) -> None:
        """Let a function answer.

        Raises:
            TypeError: for what cannot be called with a request, or returns a coroutine.
        """
        if not callable(function):
            raise TypeError(f"answer() takes a function from Ask to Reply or str, not {function!r}")
        if inspect.iscoroutinefunction(function):
            raise TypeError("the function that answers is called in a thread: it must not be async")
        try:
            inspect.signature(function).bind(Ask())
        except TypeError as problem:
            raise TypeError(f"the function that answers is called with one Ask: {problem}") from None
        except ValueError:  # some functions that are written in C have no signature
            pass
        self._function = function

    async def call(self, ask: Ask) -> Reply:
        """The reply of the function, which runs in a thread of its own.

        The thread is not waited for when the server ends, and takes none from other work: a function may block.

        Raises:
            FunctionFailed: the function raises, or returns what is no answer; its exception is kept for `errors`.
        """
        function = self._function or default_answer
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Reply | BaseException] = loop.create_future()

        def told(result: Reply | BaseException) -> None:
            if not answered.done():
                answered.set_result(result)

        def work() -> None:
            result = self._result(function, ask)
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(told, result)

        threading.Thread(target=work, name="glmv-emulator-answer", daemon=True).start()
        match await answered:
            case Reply() as reply:
                return reply
            case error:
                raise FunctionFailed(error) from error

    def _result(self, function: Answer, ask: Ask) -> Reply | BaseException:
        """What the function returns or raises. As a value: a future takes no StopIteration."""
        try:
            return as_reply(function(ask))
        except BaseException as error:  # noqa: BLE001 - pytest.fail() and exit() raise no Exception
            with self._lock:
                self._errors.append(error)
            return error

    def errors(self) -> list[BaseException]:
        """What the function raised, in order."""
        with self._lock:
            return list(self._errors)

    def reset(self) -> None:
        """As at the start: nothing waits, no function answers."""
        with self._lock:
            self._waiting.clear()
            self._errors.clear()
            self._first = self._count
            self._function = None


def as_reply(answer: object) -> Reply:
    """A str or a Reply -> a Reply.

    Raises:
        TypeError: for anything else.
    """
    match answer:
        case Reply():
            return answer
        case str():
            return Reply(answer)
        case _:
            raise TypeError(f"an answer is a Reply or a str, not {answer!r}")


def default_answer(ask: Ask) -> Reply:
    """What the emulator answers to a request where nothing is scripted; for a function that answers only some."""
    from glmv_emulator.answers.rules import answer

    return answer(ask)


def shortened(reply: Reply, length: int = 60) -> str:
    """A reply in one line, for people."""
    called = ", ".join(f"{call.name}({call.written})" for call in reply.tool_calls)
    shown = " ".join(piece for piece in (repr(reply.text) if reply.text or not called else "", called) if piece)
    return shown if len(shown) <= length else f"{shown[:length]}…"


default_answer.__module__ = "glmv_emulator"
