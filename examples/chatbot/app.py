"""The web application: a page, a picture that is uploaded, and answers that stream as server-sent events."""

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from chats import Chat, Chats
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, Field

import glmv

HERE = Path(__file__).parent
LARGEST_PICTURE = 8_000_000  # bytes; the client shrinks to what the model takes
LONGEST_QUESTION = 4_000  # letters
DEADLINE = 120  # seconds for an answer, waiting included
# Nothing is loaded from elsewhere, and what a model says is never run.
ONLY_OURS = "default-src 'none'; script-src 'self'; style-src 'self'; img-src blob: data:; connect-src 'self'"


class Question(BaseModel):
    """What a visitor asks."""

    question: str = Field(min_length=1, max_length=LONGEST_QUESTION)


def application(glm: glmv.AsyncClient, largest: int = LARGEST_PICTURE) -> FastAPI:
    """The chatbot. All visitors share `glm`, its connections and its gate; it is closed with the application."""
    chats = Chats()

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        async with glm:
            yield

    def known(chat: str) -> Chat:
        found = chats.find(chat)
        if found is None:
            raise HTTPException(404, "This conversation is over. Reload the page to begin another one.")
        return found

    app = FastAPI(title="Chatbot with pictures", lifespan=life)

    @app.get("/")
    async def page() -> FileResponse:
        return FileResponse(HERE / "page.html", headers={"content-security-policy": ONLY_OURS})

    @app.get("/{name}")
    async def part(name: str) -> FileResponse:
        if name not in ("page.js", "page.css"):
            raise HTTPException(404, "There is no such page.")
        return FileResponse(HERE / name)

    @app.post("/chats")
    async def begin() -> dict[str, str]:
        return {"chat": chats.new()}

    @app.put("/chats/{chat}/picture")
    async def upload(request: Request, chat: Annotated[Chat, Depends(known)]) -> dict[str, Any]:
        data = await body_of(request, largest)
        try:
            chat.picture = glmv.Image.from_bytes(data)
        except glmv.GLMVError as refused:
            raise HTTPException(415, str(refused)) from refused
        return {"width": chat.picture.width, "height": chat.picture.height, "bytes": len(data)}

    @app.post("/chats/{chat}/questions")
    async def ask(question: Question, chat: Annotated[Chat, Depends(known)]) -> StreamingResponse:
        if chat.busy:
            raise HTTPException(409, "The answer before is still coming.")
        return StreamingResponse(
            answer(glm, chat, question.question),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    return app


async def body_of(request: Request, largest: int) -> bytes:
    """The body, read up to its size limit: the length in the header may be wrong or missing."""
    too_large = HTTPException(413, f"A picture may have {largest / 1e6:g} MB at most.")
    if int(request.headers.get("content-length") or 0) > largest:
        raise too_large
    held = bytearray()
    async for piece in request.stream():
        held += piece
        if len(held) > largest:
            raise too_large
    return bytes(held)


async def answer(glm: glmv.AsyncClient, chat: Chat, text: str) -> AsyncIterator[str]:
    """The answer as events: words, then one of end, withdrawn, failed.

    If the visitor leaves, the server cancels this generator where it waits; `aclosing` then closes the stream to the
    model, so that words that nobody reads cost nothing.
    """
    question = chat.question(text)
    said: list[str] = []
    chat.busy = True
    try:
        async with aclosing(glm.stream(chat.messages(question), deadline=DEADLINE)) as deltas:
            async for delta in deltas:
                if delta.text:
                    said.append(delta.text)
                    yield event("words", text=delta.text)
                if delta.last:
                    chat.add(question, "".join(said))
                    yield event("end", tokens=delta.usage.total_tokens if delta.usage else None)
    except glmv.ContentFilterError:
        yield event("withdrawn", message="The answer was withdrawn by the platform.")
    except glmv.GLMVError as error:
        yield event("failed", message=str(error), again=error.retryable)
    finally:
        chat.busy = False


def event(name: str, **data: Any) -> str:
    """One server-sent event; JSON has no bare line ends, so one `data` line holds it."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"
