"""The platform's endpoints other than chat: tasks, embeddings, tokenizer, files, batches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.routing import Route

from glmv_emulator.http import responses
from glmv_emulator.http.playback import Response
from glmv_emulator.platform import chat, embeddings, shapes
from glmv_emulator.platform.batches import Batches
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.state import State
from glmv_emulator.platform.tasks import Tickets

Endpoint = Callable[[Request], Awaitable[Response]]
Parse = Callable[[Request, State], Awaitable[Any]]


def routes(state: State, parsed: Parse, bases: tuple[str, ...]) -> list[Route]:
    """The routes of these endpoints under each base path. All base paths share tasks, files and batches."""
    endpoints = _Endpoints(state, parsed)
    table: list[tuple[str, str, Endpoint]] = [
        ("POST", "/async/chat/completions", endpoints.submit),
        ("GET", "/async-result/{id}", endpoints.result),
        ("POST", "/embeddings", endpoints.embeddings),
        ("POST", "/tokenizer", endpoints.tokenizer),
        ("POST", "/files", endpoints.upload),
        ("GET", "/files", endpoints.files),
        ("DELETE", "/files/{id}", endpoints.delete),
        ("GET", "/files/{id}/content", endpoints.content),
        ("POST", "/batches", endpoints.batch),
        ("GET", "/batches", endpoints.batches),
        ("GET", "/batches/{id}", endpoints.retrieve),
        ("POST", "/batches/{id}/cancel", endpoints.cancel),
    ]
    routes_by_base = [
        Route(base + path, endpoint, methods=[method]) for base in bases for method, path, endpoint in table
    ]
    return [*routes_by_base, Route("/v1/embeddings", endpoints.embeddings, methods=["POST"])]


class _Endpoints:
    def __init__(self, state: State, parsed: Parse) -> None:
        self._state = state
        self._parsed = parsed
        self._tickets = Tickets()
        self._batches = Batches()

    async def submit(self, request: Request) -> Response:
        exchange = request.scope["emu.exchange"]
        scripted = self._state.take(exchange)
        body = await self._parsed(request, self._state)
        prepared = await chat.prepare(self._state, body, "platform", exchange)
        exchange.answered_by = chat.source_of(self._state, prepared, scripted)
        return responses.whole(self._tickets.open(self._state, prepared, scripted))

    async def result(self, request: Request) -> Response:
        return responses.whole(await self._tickets.result(self._state, request.path_params["id"]))

    async def embeddings(self, request: Request) -> Response:
        body = await self._parsed(request, self._state)
        return responses.whole(await asyncio.to_thread(embeddings.answer, body))

    async def tokenizer(self, request: Request) -> Response:
        exchange = request.scope["emu.exchange"]
        body = await self._parsed(request, self._state)
        prepared = await chat.prepare(self._state, body, "platform", exchange)
        identity = shapes.new_id(self._state.settings.era)
        usage = {"prompt_tokens": prepared.prompt_tokens, "total_tokens": prepared.prompt_tokens}
        request_id = prepared.parameters.request_id or identity
        head = {"id": identity, "created": int(time.time()), "request_id": request_id}
        return responses.whole(head | {"usage": usage})

    async def upload(self, request: Request) -> Response:
        try:
            async with request.form() as form:
                file, purpose = form.get("file"), form.get("purpose")
                data = await file.read() if isinstance(file, UploadFile) else None
                name = (file.filename if isinstance(file, UploadFile) else None) or "file"
        except (HTTPException, MultiPartException) as problem:
            raise Refusal("1210", "multipart/form-data") from problem
        fields = {"file": None if data is None else f"<{len(data)} bytes>", "name": name, "purpose": purpose}
        request.scope["emu.exchange"].body = self._state.journal.body(fields)
        return responses.whole(self._state.files.upload(name, purpose, data).api_object(self._state.settings.era))

    async def files(self, request: Request) -> Response:
        return responses.whole(self._state.files.list(request.query_params, self._state.settings.era))

    async def delete(self, request: Request) -> Response:
        return responses.whole(self._state.files.delete(request.path_params["id"]))

    async def content(self, request: Request) -> Response:
        stored = self._state.files.content(request.path_params["id"])
        name = {"content-disposition": f'attachment; filename="{stored.name}"'}
        return responses.data(stored.data, "application/octet-stream", headers=name)

    async def batch(self, request: Request) -> Response:
        return responses.whole(self._batches.create(self._state, await self._parsed(request, self._state)))

    async def batches(self, request: Request) -> Response:
        return responses.whole(self._batches.list(request.query_params))

    async def retrieve(self, request: Request) -> Response:
        return responses.whole(self._batches.retrieve(request.path_params["id"]))

    async def cancel(self, request: Request) -> Response:
        return responses.whole(self._batches.cancel(request.path_params["id"]))
