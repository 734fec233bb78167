"""Sends a response step by step: bytes, pauses, and ways to end the connection."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from glmv_emulator.http.journal import Exchange

# The last event of a stream.
DONE = b"data: [DONE]\n\n"

Scope = Any  # the ASGI values are plain dicts and callables
Receive = Any
Send = Any
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for a number of seconds; None means until the client leaves."""

    seconds: float | None


@dataclass(frozen=True, slots=True)
class End:
    """End the connection: "fin" closes it, "rst" resets it, "clean" ends the body normally."""

    how: Literal["fin", "rst", "clean"]


@dataclass(frozen=True, slots=True)
class Raw:
    """Write bytes directly to the socket, without the HTTP library."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Hold:
    """Send nothing until the event is set or the client leaves."""

    event: asyncio.Event


Step = bytes | Pause | End | Raw | Hold


@dataclass(frozen=True, slots=True)
class Response:
    """A response as an ASGI application: its headers, and the steps of its body. `status` 0 sends no headers.

    `before` are the steps before the headers. `live` makes more steps while the response is being sent; each is sent
    at once, after all `steps`.
    """

    status: int
    headers: Mapping[str, str]
    steps: Iterable[Step]
    before: tuple[Step, ...] = ()
    live: AsyncGenerator[Step, None] | None = None

    def with_steps(self, steps: Iterable[Step]) -> Response:
        """The response with these steps as its body."""
        return replace(self, steps=steps)

    def after(self, steps: Iterable[Step]) -> Response:
        """The response with these steps before its headers."""
        return replace(self, before=(*steps, *self.before))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange = scope["emu.exchange"]
        change: Callable[[Response], Response] | None = scope.get("emu.change")
        played = self if change is None else change(self)
        playing = asyncio.ensure_future(played.play(scope, send, exchange))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({playing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                exchange.ended_by = exchange.ended_by or "client"
        finally:
            for task in (playing, leaving):
                task.cancel()
            done = await asyncio.gather(playing, leaving, return_exceptions=True)
        for result in done:
            if isinstance(result, Exception):
                raise result

    async def play(self, scope: Scope, send: Send, exchange: Exchange) -> None:
        """Send the headers and the steps, one after the other."""
        for step in self.before:
            await _do(step, scope, send, exchange)
        if self.status:
            headers = [(name.lower().encode(), text.encode("latin-1")) for name, text in self.headers.items()]
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
        left = int(self.headers.get("content-length", -1))
        for step in self.steps:
            if step == End("clean"):
                break
            if isinstance(step, bytes):
                left -= len(step)
            if left == 0:
                exchange.release()
            await _do(step, scope, send, exchange)
        if self.live is not None:
            async with aclosing(self.live) as arriving:
                async for step in arriving:
                    await _do(step, scope, send, exchange)
        exchange.release()
        # A client that has read the last bytes may send its next request before this coroutine continues.
        exchange.ended = exchange.last_sent
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _do(step: Step, scope: Scope, send: Send, exchange: Exchange) -> None:
    match step:
        case bytes():
            if step == DONE:
                exchange.release()
            # Counted before it is sent, so that a client that has read a chunk finds it in the journal.
            exchange.chunks += 1
            exchange.last_sent = time.monotonic()
            await send({"type": "http.response.body", "body": step, "more_body": True})
            # Let the event loop run, so that a client that leaves is noticed before the end.
            await asyncio.sleep(0)
        case Pause(seconds=None):
            await asyncio.Event().wait()
        case Pause(seconds=float(seconds)):
            await asyncio.sleep(seconds)
        case Hold(event=event):
            await event.wait()
        case Raw(data=data):
            scope["emu.transport"].write(data)
        case End(how=how):
            exchange.ended_by, exchange.ended = "fault", time.monotonic()
            exchange.release()
            _cut(scope["emu.transport"], reset=how == "rst")
            await asyncio.Event().wait()
        case _:
            raise TypeError(f"no such step: {step!r}")


async def until_left(receive: Receive, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled if the client leaves first.

    Raises:
        ConnectionError: the client has left.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ConnectionError("the client has left")
        return working.result()
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cut(transport: asyncio.Transport, *, reset: bool) -> None:
    if reset:
        # A linger of zero seconds makes the kernel send RST in place of FIN.
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
