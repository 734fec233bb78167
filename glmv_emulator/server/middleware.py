"""The middleware of every request: access checks, size limit, faults, and recording in the journal."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any
from weakref import WeakKeyDictionary

from glmv_emulator.faults.schedule import Schedule
from glmv_emulator.http.hosts import LOOPBACK
from glmv_emulator.http.journal import Exchange
from glmv_emulator.http.playback import Receive, Response, Scope, Send
from glmv_emulator.http.records import Record
from glmv_emulator.http.responses import whole
from glmv_emulator.page.app import Page, belongs
from glmv_emulator.platform import auth
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.state import State

log = logging.getLogger("glmv_emulator")

# Seconds without a byte of the body after which a request gets 408.
SLOWEST_BODY = 30.0
PLATFORM = ("/api/paas/v4/", "/api/coding/paas/v4/")
PROXY = "/v1/"
# The answer to CONNECT, which clients send if the emulator is set as HTTPS_PROXY. An ASGI server cannot be a proxy.
NO_PROXY = "the emulator is not a forward proxy: send requests to its base URL"


class _TooLarge(Exception):
    pass


class Middleware:
    """The outermost ASGI application."""

    def __init__(self, state: State, schedule: Schedule, app: Any) -> None:
        self._state = state
        self._schedule = schedule
        self._app = app
        self._page = Page(state)
        self._connections: WeakKeyDictionary[Any, tuple[int, int]] = WeakKeyDictionary()
        self._latest = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if belongs(scope) and self._stranger(_by_name(scope)) is None:
            await self._page(scope, receive, send)
            return
        exchange = self._state.journal.open(scope["method"], scope["path"], scope["headers"])
        scope["emu.exchange"] = exchange
        # The faults need the connection; `receive` is a method of uvicorn's request object, which has it.
        scope["emu.transport"] = receive.__self__.transport
        exchange.connection, exchange.nth = self._counted(scope["emu.transport"])
        try:
            await self._answer(
                scope, receive, self._marked(exchange, self._state.records.open(exchange), send), exchange
            )
        except asyncio.CancelledError:
            log.debug("the emulator stopped while it answered %s", exchange.path)
        finally:
            exchange.finish()

    async def _answer(self, scope: Scope, receive: Receive, send: Send, exchange: Exchange) -> None:
        headers = _by_name(scope)
        try:
            # CONNECT is checked before the host, because its host is that of another server.
            if scope["method"] == "CONNECT":
                answer = whole({"error": {"code": "405", "message": NO_PROXY}}, 405, {"connection": "close"})
            elif (stranger := self._stranger(headers)) is not None:
                answer = whole({"error": {"code": "403", "message": stranger}}, 403)
            else:
                scope["emu.body"] = body = await self._body(headers, receive, exchange)
                if not headers.get("content-type", "").startswith("multipart/"):
                    exchange.digest = hashlib.blake2b(body, digest_size=8).hexdigest()
                self._check_key(scope["path"], headers)
                self._schedule_fault(scope, headers, exchange)
                await self._app(scope, _again(scope["emu.body"], receive), send)
                return
        except _TooLarge:
            limit = self._state.settings.largest_body
            message = f"a request may have {limit} bytes at most"
            answer = whole({"error": {"code": "413", "message": message}}, 413, {"connection": "close"})
        except TimeoutError:
            message = f"no byte of the body came for {SLOWEST_BODY:g} s"
            answer = whole({"error": {"code": "408", "message": message}}, 408, {"connection": "close"})
        except ConnectionError:
            exchange.ended_by = "client"
            return
        except Refusal as refusal:
            answer = refused(refusal, scope["path"], headers, exchange)
        except Exception as problem:
            log.exception("the emulator failed while it answered %s", scope["path"])
            answer = refused(Refusal("500", f"：{problem!r}", f": {problem!r}"), scope["path"], headers, exchange)
        await answer(scope, receive, send)

    def _stranger(self, headers: dict[str, str]) -> str | None:
        """The reason to refuse a request that comes from a foreign web page (by its host name or origin), or None."""
        hosts = self._state.hosting.hosts
        host = headers.get("host", "")
        if host not in hosts:
            return f"the Host header must be {hosts}"
        origin = headers.get("origin")
        if origin is not None and not hosts.of_page(origin, host):
            return "requests from web pages are refused"
        return None

    async def _body(self, headers: dict[str, str], receive: Receive, exchange: Exchange) -> bytes:
        limit = self._state.settings.largest_body
        announced = headers.get("content-length", "0")
        if announced.isdigit() and int(announced) > limit:
            raise _TooLarge
        pieces: list[bytes] = []
        more = True
        while more:
            message = await asyncio.wait_for(receive(), SLOWEST_BODY)
            if message["type"] == "http.disconnect":
                raise ConnectionError
            pieces.append(message.get("body", b""))
            exchange.size += len(pieces[-1])
            if exchange.size > limit:
                raise _TooLarge
            more = message.get("more_body", False)
        return b"".join(pieces)

    def _check_key(self, path: str, headers: dict[str, str]) -> None:
        # The platform checks the key before the path.
        keyed = path.startswith(PROXY) and not self._state.settings.any_key
        if path.startswith(PLATFORM) or keyed:
            auth.check(headers.get("authorization"), self._state.key, self._state.now())
        elif path.startswith(PROXY) and not headers.get("authorization"):
            raise Refusal("1001")

    def _schedule_fault(self, scope: Scope, headers: dict[str, str], exchange: Exchange) -> None:
        if not scope["path"].startswith((*PLATFORM, PROXY)):
            return
        name = "localhost" if headers["host"].startswith(LOOPBACK) else LOOPBACK
        other = f"{scope['scheme']}://{name}:{self._state.hosting.hosts.port}"
        schedule = self._schedule

        def refuse(refusal: Refusal) -> Response:
            return refused(refusal, scope["path"], headers, exchange)

        scope["emu.refuse"] = refuse
        scope["emu.change"] = schedule.changing(schedule.requested(headers), exchange, refuse, other)

    def _counted(self, transport: Any) -> tuple[int, int]:
        """The number of the connection, and the number of the request on it."""
        number, requests = self._connections.get(transport, (self._latest + 1, 0))
        self._latest = max(self._latest, number)
        self._connections[transport] = (number, requests + 1)
        return number, requests + 1

    def _marked(self, exchange: Exchange, record: Record, send: Send) -> Send:
        async def marked(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                exchange.status = message["status"]
                headers = dict(message.get("headers", ()))
                exchange.retry_after = _asked_to_wait(headers)
                self._state.records.head(record, headers)
                message["headers"] = [*self._marks(message.get("headers", ())), *message.get("headers", ())]
            else:
                self._state.records.piece(record, message.get("body", b""))
            await send(message)

        return marked

    def _marks(self, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        marks = [(b"x-glmv-emulator", b"1")]
        if not any(name.lower() == b"date" for name, _ in headers):
            marks.append((b"date", formatdate(self._state.now(), usegmt=True).encode()))
        return marks


def _by_name(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1").lower(): text.decode("latin-1") for name, text in scope["headers"]}


def _asked_to_wait(headers: dict[bytes, bytes]) -> float | None:
    for name, per in ((b"retry-after-ms", 1000), (b"retry-after", 1)):
        value = headers.get(name, b"")
        if value.isdigit():
            return int(value[:9]) / per
    return None


def refused(refusal: Refusal, path: str, headers: dict[str, str], exchange: Exchange) -> Response:
    """The response of a refusal, in the form of the API and in the client's language."""
    exchange.fail()
    exchange.code = refusal.code
    if path.startswith(PROXY):
        return whole(refusal.openai_envelope(), refusal.openai_status, refusal.headers)
    english = headers.get("accept-language", "").lower().startswith("en")
    envelope = refusal.envelope(english=english, request_id=exchange.request_id)
    return whole(envelope, refusal.status, refusal.headers)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that first returns the body that was already read, then the messages of the connection."""
    done = False

    async def again() -> dict[str, Any]:
        nonlocal done
        if not done:
            done = True
            return {"type": "http.request", "body": body, "more_body": False}
        message: dict[str, Any] = await receive()
        return message

    return again
