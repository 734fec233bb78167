"""The routes, and the endpoints of chat and models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from starlette.requests import Request
from starlette.routing import Route, Router

from glmv_emulator.faults.schedule import Schedule
from glmv_emulator.http import responses
from glmv_emulator.http.hosting import FOLDER
from glmv_emulator.http.journal import Exchange
from glmv_emulator.http.parsing import parsed_json
from glmv_emulator.http.playback import DONE, Pause, Response, Step, until_left
from glmv_emulator.platform import endpoints, live, shapes
from glmv_emulator.platform.chat import Prepared, answer, prepare, source_of, upstream_for
from glmv_emulator.platform.errors import NotImplementedHere, Refusal
from glmv_emulator.platform.media import Dialect
from glmv_emulator.platform.models import MODELS, find
from glmv_emulator.platform.state import State
from glmv_emulator.platform.upstream import Upstream
from glmv_emulator.server.middleware import Middleware

# Larger bodies are parsed in a worker thread, so that the event loop can serve other requests.
LARGE = 1024 * 1024
BASES = ("/api/paas/v4", "/api/coding/paas/v4")
# Endpoints of the platform (docs.bigmodel.cn, API reference) that the emulator does not implement.
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
# Undocumented methods of a path get the same refusal.
METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
OTHER_BASES = ("/api/anthropic/{rest:path}", "/api/v1/responses")
Endpoint = Callable[[Request], Awaitable[Response]]


def application(state: State, schedule: Schedule) -> Middleware:
    """The server as an ASGI application."""
    routes = [Route(f"{FOLDER}{{name}}", _hosted(state), methods=["GET"])]
    for base in BASES:
        routes += [
            Route(f"{base}/chat/completions", chat(state, "platform", schedule), methods=["POST"]),
            Route(f"{base}/models", models, methods=["GET"]),
            Route(f"{base}/models/{{name:path}}", model, methods=["GET"]),
            *[Route(base + path, elsewhere, methods=["GET", "POST", "DELETE"]) for path in ELSEWHERE],
        ]
    routes += endpoints.routes(state, parsed, BASES)
    routes += [
        Route("/v1/chat/completions", chat(state, "proxy", schedule), methods=["POST"]),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{name:path}", model, methods=["GET"]),
        *[Route(path, elsewhere, methods=["GET", "POST"]) for path in OTHER_BASES],
    ]
    routes += [Route(path, elsewhere, methods=METHODS) for path in dict.fromkeys(route.path for route in routes)]
    return Middleware(state, schedule, Router(routes, redirect_slashes=False, default=_nowhere))


async def parsed(request: Request, state: State) -> Any:
    """Parse the JSON of a body, and write a redacted copy into the journal."""
    raw: bytes = request.scope["emu.body"]
    exchange: Exchange = request.scope["emu.exchange"]

    def both() -> tuple[Any, Any]:
        value = parsed_json(raw)
        return value, state.journal.body(value)

    try:
        value, exchange.body = await asyncio.to_thread(both) if len(raw) > LARGE else both()
    except (ValueError, RecursionError):
        raise Refusal("1210", "请求体不是合法的 JSON", "the body is not valid JSON") from None
    return value


def chat(state: State, dialect: Dialect, schedule: Schedule) -> Endpoint:
    async def completions(request: Request) -> Response:
        exchange: Exchange = request.scope["emu.exchange"]
        scripted = state.take(exchange)
        prepared = await prepare(state, await parsed(request, state), dialect, exchange)
        state.enter(exchange, prepared.model.name, prepared.parameters.request_id)
        exchange.answered_by = source_of(state, prepared, scripted)
        upstream = upstream_for(state, prepared, scripted)
        if upstream is None:
            outcome = await answer(state, prepared, scripted)
        elif prepared.parameters.stream and not schedule.awaits(request.headers, exchange):
            return await _streamed(request, state, prepared, upstream)
        else:
            outcome = await until_left(request.receive, answer(state, prepared))
        era = state.settings.era
        if prepared.parameters.stream:
            return responses.events(shapes.chunks(outcome, era), shapes.EVENT_STREAM[era], state.settings.pace)
        return responses.whole(shapes.whole(outcome, era))

    return completions


async def _streamed(request: Request, state: State, prepared: Prepared, upstream: Upstream) -> Response:
    """Stream the upstream's answer. Awaits the first chunk, because an error before it gets its own HTTP status."""
    pace, refuse = state.settings.pace, request.scope["emu.refuse"]
    arriving = live.chunks(upstream, state, prepared)
    first = await until_left(request.receive, anext(arriving))

    async def steps() -> AsyncGenerator[Step, None]:
        async with aclosing(arriving):
            yield responses.event(first)
            try:
                async for chunk in arriving:
                    if pace:
                        yield Pause(pace)
                    yield responses.event(chunk)
            except Refusal as refusal:
                body = b"".join(step for step in refuse(refusal).steps)
                yield b"data: " + body + b"\n\n"
                return
            yield DONE

    # A fault that was added in the meantime is for another request.
    request.scope["emu.change"] = None
    return responses.live(steps(), shapes.EVENT_STREAM[state.settings.era])


async def models(request: Request) -> Response:
    return responses.whole({"object": "list", "data": [_model(name) for name in MODELS]})


async def model(request: Request) -> Response:
    name: str = request.path_params["name"]
    row = find(name)
    if row is None:
        raise Refusal("1211", "", name[:64], status=404)
    return responses.whole(_model(row.name))


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "z-ai"}


def _hosted(state: State) -> Endpoint:
    async def picture(request: Request) -> Response:
        medium = state.hosting.serve(request.url.path)
        if medium is None:
            return responses.data(b"not hosted here\n", "text/plain", 404)
        return responses.data(medium[0], medium[1])

    return picture


async def elsewhere(request: Request) -> Response:
    raise NotImplementedHere(f"{request.method} {request.url.path}")


async def _nowhere(scope: Any, receive: Any, send: Any) -> None:
    if not scope["path"].startswith(BASES):
        raise NotImplementedHere(f"{scope['method']} {scope['path'][:200]}")
    # Recorded for unknown paths of the platform: HTTP 200 with a flat body.
    exchange: Exchange = scope["emu.exchange"]
    exchange.code = "500"
    await responses.whole({"code": 500, "msg": "404 NOT_FOUND", "success": False})(scope, receive, send)
