"""The platform's endpoints beside the chat: tasks, embeddings, tokenizer, files, batches."""

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
from glmv_emulator.http.playback import Performance
from glmv_emulator.platform import chat, embeddings, shapes
from glmv_emulator.platform.batches import Batches
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.state import World
from glmv_emulator.platform.tasks import Tickets

Endpoint = Callable[[Request], Awaitable[Performance]]
Parse = Callable[[Request, World], Awaitable[Any]]


def routes(world: World, parsed: Parse, bases: tuple[str, ...]) -> list[Route]:
    """Routes of these endpoints under each base; they share tickets, files and batches."""
    rooms = _Rooms(world, parsed)
    table: list[tuple[str, str, Endpoint]] = [
        ("POST", "/async/chat/completions", rooms.submit),
        ("GET", "/async-result/{id}", rooms.result),
        ("POST", "/embeddings", rooms.embeddings),
        ("POST", "/tokenizer", rooms.tokenizer),
        ("POST", "/files", rooms.upload),
        ("GET", "/files", rooms.files),
        ("DELETE", "/files/{id}", rooms.delete),
        ("GET", "/files/{id}/content", rooms.content),
        ("POST", "/batches", rooms.batch),
        ("GET", "/batches", rooms.batches),
        ("GET", "/batches/{id}", rooms.retrieve),
        ("POST", "/batches/{id}/cancel", rooms.cancel),
    ]
    made = [Route(base + path, endpoint, methods=[method]) for base in bases for method, path, endpoint in table]
    return [*made, Route("/v1/embeddings", rooms.embeddings, methods=["POST"])]


class _Rooms:
    def __init__(self, world: World, parsed: Parse) -> None:
        self._world = world
        self._parsed = parsed
        self._tickets = Tickets()
        self._batches = Batches()

    async def submit(self, request: Request) -> Performance:
        exchange = request.scope["emu.exchange"]
        body = await self._parsed(request, self._world)
        prepared = await chat.prepare(self._world, body, "platform", exchange)
        return responses.whole(self._tickets.open(self._world, prepared))

    async def result(self, request: Request) -> Performance:
        return responses.whole(await self._tickets.result(self._world, request.path_params["id"]))

    async def embeddings(self, request: Request) -> Performance:
        body = await self._parsed(request, self._world)
        return responses.whole(await asyncio.to_thread(embeddings.answer, body))

    async def tokenizer(self, request: Request) -> Performance:
        exchange = request.scope["emu.exchange"]
        body = await self._parsed(request, self._world)
        prepared = await chat.prepare(self._world, body, "platform", exchange)
        identity = shapes.new_id(self._world.settings.era)
        usage = {"prompt_tokens": prepared.prompt_tokens, "total_tokens": prepared.prompt_tokens}
        request_id = prepared.parameters.request_id or identity
        head = {"id": identity, "created": int(time.time()), "request_id": request_id}
        return responses.whole(head | {"usage": usage})

    async def upload(self, request: Request) -> Performance:
        try:
            async with request.form() as form:
                file, purpose = form.get("file"), form.get("purpose")
                data = await file.read() if isinstance(file, UploadFile) else None
                name = (file.filename if isinstance(file, UploadFile) else None) or "file"
        except (HTTPException, MultiPartException) as problem:
            raise Refusal("1210", "multipart/form-data") from problem
        shown = {"file": None if data is None else f"<{len(data)} bytes>", "name": name, "purpose": purpose}
        request.scope["emu.exchange"].body = self._world.journal.body(shown)
        return responses.whole(self._world.files.upload(name, purpose, data).shown(self._world.settings.era))

    async def files(self, request: Request) -> Performance:
        return responses.whole(self._world.files.list(request.query_params, self._world.settings.era))

    async def delete(self, request: Request) -> Performance:
        return responses.whole(self._world.files.delete(request.path_params["id"]))

    async def content(self, request: Request) -> Performance:
        stored = self._world.files.content(request.path_params["id"])
        name = {"content-disposition": f'attachment; filename="{stored.name}"'}
        return responses.data(stored.data, "application/octet-stream", headers=name)

    async def batch(self, request: Request) -> Performance:
        return responses.whole(self._batches.create(self._world, await self._parsed(request, self._world)))

    async def batches(self, request: Request) -> Performance:
        return responses.whole(self._batches.list(request.query_params))

    async def retrieve(self, request: Request) -> Performance:
        return responses.whole(self._batches.retrieve(request.path_params["id"]))

    async def cancel(self, request: Request) -> Performance:
        return responses.whole(self._batches.cancel(request.path_params["id"]))
