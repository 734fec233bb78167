"""The endpoints, and which path leads to which."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.routing import Route, Router

from glmv_emulator.faults.schedule import Schedule
from glmv_emulator.http import responses
from glmv_emulator.http.hosting import FOLDER
from glmv_emulator.http.journal import Exchange
from glmv_emulator.http.playback import Response
from glmv_emulator.platform import endpoints, shapes
from glmv_emulator.platform.chat import answer, prepare
from glmv_emulator.platform.errors import NotImplementedHere, Refusal
from glmv_emulator.platform.media import Dialect
from glmv_emulator.platform.models import MODELS
from glmv_emulator.platform.state import State
from glmv_emulator.server.middleware import Middleware

# A body above this is parsed beside the event loop, which goes on serving others.
LARGE = 1024 * 1024
BASES = ("/api/paas/v4", "/api/coding/paas/v4")
# What the platform offers beside the chat (docs.bigmodel.cn, API reference) and the emulator does not.
ELSEWHERE = (
    "/layout_parsing",
    "/moderations",
    "/rerank",
    "/web_search",
    "/reader",
    "/images/generations",
    "/videos/generations",
    "/audio/{rest:path}",
    "/voice/{rest:path}",
    "/files/ocr",
    "/files/parser/{rest:path}",
    "/agents",
    "/tools",
)
# A method that a path is not documented for is not implemented either.
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
OTHER_BASES = ("/api/anthropic/{rest:path}", "/api/v1/responses")
Endpoint = Callable[[Request], Awaitable[Response]]


def application(state: State, schedule: Schedule) -> Middleware:
    """The whole server as an ASGI application."""
    routes = [Route(f"{FOLDER}{{name}}", _hosted(state), methods=["GET"])]
    for base in BASES:
        routes += [
            Route(f"{base}/chat/completions", chat(state, "platform"), methods=["POST"]),
            Route(f"{base}/models", models(state), methods=["GET"]),
            *[Route(base + path, elsewhere, methods=["GET", "POST", "DELETE"]) for path in ELSEWHERE],
        ]
    routes += endpoints.routes(state, parsed, BASES)
    routes += [
        Route("/v1/chat/completions", chat(state, "proxy"), methods=["POST"]),
        Route("/v1/models", models(state), methods=["GET"]),
        *[Route(path, elsewhere, methods=["GET", "POST"]) for path in OTHER_BASES],
    ]
    routes += [Route(path, elsewhere, methods=METHODS) for path in dict.fromkeys(route.path for route in routes)]
    return Middleware(state, schedule, Router(routes, redirect_slashes=False, default=_nowhere))


async def parsed(request: Request, state: State) -> Any:
    """The JSON of a body; the journal gets its redacted copy."""
    raw: bytes = request.scope["emu.body"]
    exchange: Exchange = request.scope["emu.exchange"]

    def both() -> tuple[Any, Any]:
        value = json.loads(raw, parse_constant=_no_constant)
        return value, state.journal.body(value)

    try:
        value, exchange.body = await asyncio.to_thread(both) if len(raw) > LARGE else both()
    except (ValueError, RecursionError):
        raise Refusal("1210", "请求体不是合法的 JSON", "the body is no valid JSON") from None
    return value


def _no_constant(name: str) -> float:
    raise ValueError(name)


def chat(state: State, dialect: Dialect) -> Endpoint:
    async def completions(request: Request) -> Response:
        exchange: Exchange = request.scope["emu.exchange"]
        scripted = state.take(exchange)
        prepared = await prepare(state, await parsed(request, state), dialect, exchange)
        state.enter(exchange, prepared.model.name, prepared.parameters.request_id)
        outcome = await answer(state, prepared, scripted)
        era = state.settings.era
        if prepared.parameters.stream:
            return responses.events(shapes.chunks(outcome, era), shapes.EVENT_STREAM[era], state.settings.pace)
        return responses.whole(shapes.whole(outcome, era))

    return completions


def models(state: State) -> Endpoint:
    async def listing(request: Request) -> Response:
        rows = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "z-ai"} for name in MODELS]
        return responses.whole({"object": "list", "data": rows})

    return listing


def _hosted(state: State) -> Endpoint:
    async def picture(request: Request) -> Response:
        kept = state.hosting.serve(request.url.path)
        if kept is None:
            return responses.data(b"not hosted here\n", "text/plain", 404)
        return responses.data(kept[0], kept[1])

    return picture


async def elsewhere(request: Request) -> Response:
    raise NotImplementedHere(f"{request.method} {request.url.path}")


async def _nowhere(scope: Any, receive: Any, send: Any) -> None:
    # Recorded for paths that do not exist: HTTP 200 with a flat body.
    exchange: Exchange = scope["emu.exchange"]
    exchange.code = "500"
    await responses.whole({"code": 500, "msg": "404 NOT_FOUND", "success": False})(scope, receive, send)
