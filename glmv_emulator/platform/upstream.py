"""The upstream: an OpenAI-compatible server that answers instead of the rules. Its errors become platform errors."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from glmv_emulator.answers.upstream import ErrorAnswer, Malformed, Piece, Question, Reader, Unsendable, translated
from glmv_emulator.platform.errors import CODES, Refusal

LONGEST_NOTE = 300  # characters of the server's message
# Status of the server -> code of the platform. Other statuses from 400 become 1210, from 500 they become 500.
STATUSES = {401: "1000", 402: "1113", 403: "1220", 404: "1222", 405: "1222", 429: "1302", 503: "1305", 529: "1305"}
# Messages of vLLM, llama.cpp, Ollama and OpenAI for a prompt that is too long.
TOO_LONG = re.compile(
    r"context[_ ](?:length|size|window)|maximum model length|max_model_len|prompt is too long|too long to fit",
    re.IGNORECASE,
)
FILTERED = re.compile(r"content[_ ](?:filter|policy|management)", re.IGNORECASE)
NO_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)
NO_MONEY = re.compile(r"insufficient[_ ](?:quota|balance)|exceeded your current quota", re.IGNORECASE)


class Upstream(Protocol):
    """The server. `name` is its address without secrets. `model` is the model to request; None means the model
    that the client requested."""

    name: str
    model: str | None

    def ask(self, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The JSON values of the answer as they arrive: one for a whole answer; for a stream, its events and `[DONE]`.

        Raises:
            Refusal: the server cannot be reached, refuses, breaks off or sends invalid JSON.
        """


class UpstreamRefusal(Refusal):
    """An error of the server as a platform error whose message names the server."""

    def __init__(self, code: str, name: str, text: str, value: str | None = None, **more: Any) -> None:
        """`text` is the server's message. `value` fills the placeholder in the message of `code`; without a `value`,
        `text` fills it."""
        text = " ".join(text.split())
        text = text if len(text) <= LONGEST_NOTE else f"{text[:LONGEST_NOTE]}…"
        self._note = (f"上游模型 {name}：{text}", f"upstream model {name}: {text}")
        self._appended = value is not None or "{}" not in CODES[code][1]
        zh, en = (value or "", value or "") if self._appended else self._note
        if code == "500":  # the message of code 500 has no separator before the detail
            zh, en = f"：{zh}", f": {en}"
        super().__init__(code, zh, en, **more)

    def message(self, *, english: bool) -> str:
        message = super().message(english=english)
        return f"{message} ({self._note[english]})" if self._appended else message


def unreachable(name: str, problem: str) -> Refusal:
    """The error for a server that cannot be reached, sends nothing for too long, or breaks off."""
    return UpstreamRefusal("1234", name, problem)


def unreadable(name: str, problem: str) -> Refusal:
    """The error for a response that is not a chat answer."""
    return UpstreamRefusal("500", name, problem)


def refused(name: str, status: int, error: Any, model: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """The platform error that corresponds to an error of the server.

    Args:
        name: the server's address without secrets.
        status: the HTTP status, or the code in an error that came with status 200.
        error: the body, parsed if it is JSON.
        model: the requested model.
        headers: headers to pass on, such as `retry-after`.
    """
    message, kind = _message_and_kind(error)
    text = f"{kind} {message}"
    message = f"HTTP {status}, {message}" if message else f"HTTP {status}"
    if TOO_LONG.search(text):
        return UpstreamRefusal("1261", name, message)
    if FILTERED.search(text):
        return UpstreamRefusal("1301", name, message, role="user")
    if NO_MONEY.search(text):
        return UpstreamRefusal("1113", name, message)
    match STATUSES.get(status):
        case "1222" if status == 404 and NO_MODEL.search(text):
            return UpstreamRefusal("1211", name, message, value=model)
        case "1222":
            return UpstreamRefusal("1222", name, message, value="/chat/completions")
        case "1220":
            return UpstreamRefusal("1220", name, message, value=model)
        case str(code):
            return UpstreamRefusal(code, name, message, headers=headers)
        case None:
            return UpstreamRefusal("1210" if 400 <= status < 500 else "500", name, message, headers=headers)


def _message_and_kind(error: Any) -> tuple[str, str]:
    """The message of an error, and its type and code as one text. Each server has its own form of errors."""
    match error:
        case {"error": dict() | str() as inner}:
            return _message_and_kind(inner)
        case {"message": str(message)}:
            return message, f"{error.get('type') or ''} {error.get('code') or ''}"
        case {"detail": str(message)}:
            return message, ""
        case str():
            return re.sub(r"<[^>]*>", " ", error), ""
        case _:
            return "", ""


async def pieces(upstream: Upstream, question: Question, reader: Reader) -> AsyncGenerator[Piece, None]:
    """The pieces of the server's answer as they arrive; the reader accumulates them.

    Raises:
        Refusal: the request has content that cannot be converted for the server, the server sends an error, or its
            answer is missing or incomplete.
    """
    try:
        # Large pictures and frames of videos are slow, so they are converted in a worker thread.
        body = await asyncio.to_thread(translated, question) if question.media else translated(question)
    except Unsendable as problem:
        raise Refusal("1210", problem.zh, problem.en) from None
    try:
        async with aclosing(upstream.ask(body)) as values:
            async for value in values:
                for piece in reader.add(value):
                    yield piece
    except Malformed as problem:
        raise unreadable(upstream.name, str(problem)) from None
    except ErrorAnswer as problem:
        raise refused(upstream.name, _status(problem.error), problem.error, question.model) from None
    if not reader.complete:
        raise unreachable(upstream.name, "the answer broke off" if reader.begun else "the answer has no choices")
    for piece in reader.end():
        yield piece


def _status(error: Any) -> int:
    """The HTTP status in an error inside an answer; 500 if it has none."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


async def gathered(upstream: Upstream, question: Question, reader: Reader) -> Reader:
    """Read the whole answer, and return the reader."""
    async with aclosing(pieces(upstream, question, reader)) as arriving:
        async for _ in arriving:
            pass
    return reader
