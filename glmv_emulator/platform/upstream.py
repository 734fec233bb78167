"""An OpenAI-compatible server that answers in place of the emulator's own rules, and what its errors become here."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Protocol

from glmv_emulator.answers.upstream import Malformed, Piece, Question, Reader, Reported, Unsendable, translated
from glmv_emulator.platform.errors import CODES, Refusal

LONGEST_NOTE = 300  # characters of what the server says
# Statuses of the server -> codes of the platform; every other status of 400 and more is 1210, of 500 and more 500.
STATUSES = {401: "1000", 402: "1113", 403: "1220", 404: "1222", 405: "1222", 429: "1302", 503: "1305", 529: "1305"}
# What vLLM, llama.cpp, Ollama and OpenAI say of a prompt that is too long.
TOO_LONG = re.compile(
    r"context[_ ](?:length|size|window)|maximum model length|max_model_len|prompt is too long|too long to fit",
    re.IGNORECASE,
)
FILTERED = re.compile(r"content[_ ](?:filter|policy|management)", re.IGNORECASE)
NO_MODEL = re.compile(r"\bmodel\b", re.IGNORECASE)
NO_MONEY = re.compile(r"insufficient[_ ](?:quota|balance)|exceeded your current quota", re.IGNORECASE)


class Upstream(Protocol):
    """The server. `name` is its address as it may be shown, `model` what to ask for; None is the request's model."""

    name: str
    model: str | None

    def ask(self, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The JSON values of the answer as they arrive: one, or those of a stream and the text `[DONE]`.

        Raises:
            Refusal: when the server cannot be reached, refuses, breaks off or sends what is no JSON.
        """


class UpstreamRefusal(Refusal):
    """An error of the server as a code of the platform, whose message names the server."""

    def __init__(self, code: str, name: str, said: str, slot: str | None = None, **more: Any) -> None:
        """`slot` is what the code's message has a place for; what the server said itself where there is none."""
        said = " ".join(said.split())
        said = said if len(said) <= LONGEST_NOTE else f"{said[:LONGEST_NOTE]}…"
        self._note = (f"上游模型 {name}：{said}", f"upstream model {name}: {said}")
        self._appended = slot is not None or "{}" not in CODES[code][1]
        zh, en = (slot or "", slot or "") if self._appended else self._note
        if code == "500":  # its message ends where the detail begins
            zh, en = f"：{zh}", f": {en}"
        super().__init__(code, zh, en, **more)

    def message(self, *, english: bool) -> str:
        message = super().message(english=english)
        return f"{message} ({self._note[english]})" if self._appended else message


def unreachable(name: str, problem: str) -> Refusal:
    """The server cannot be reached, is silent for too long, or breaks off."""
    return UpstreamRefusal("1234", name, problem)


def unreadable(name: str, problem: str) -> Refusal:
    """The server's answer is not one of a chat."""
    return UpstreamRefusal("500", name, problem)


def refused(name: str, status: int, error: Any, model: str, headers: Mapping[str, str] | None = None) -> Refusal:
    """What the platform would say to an error of the server.

    Args:
        name: the server's address as it may be shown.
        status: the HTTP status, or the code in an error that came with status 200.
        error: the body, as JSON where it is JSON.
        model: the name that the server was asked for.
        headers: passed on, as `retry-after`.
    """
    said, kind = _said(error)
    text = f"{kind} {said}"
    said = f"HTTP {status}, {said}" if said else f"HTTP {status}"
    if TOO_LONG.search(text):
        return UpstreamRefusal("1261", name, said)
    if FILTERED.search(text):
        return UpstreamRefusal("1301", name, said, role="user")
    if NO_MONEY.search(text):
        return UpstreamRefusal("1113", name, said)
    match STATUSES.get(status):
        case "1222" if status == 404 and NO_MODEL.search(text):
            return UpstreamRefusal("1211", name, said, slot=model)
        case "1222":
            return UpstreamRefusal("1222", name, said, slot="/chat/completions")
        case "1220":
            return UpstreamRefusal("1220", name, said, slot=model)
        case str(code):
            return UpstreamRefusal(code, name, said, headers=headers)
        case None:
            return UpstreamRefusal("1210" if 400 <= status < 500 else "500", name, said, headers=headers)


def _said(error: Any) -> tuple[str, str]:
    """The message of an error, and its type and code in one text. Servers put it in several forms."""
    match error:
        case {"error": dict() | str() as inner}:
            return _said(inner)
        case {"message": str(message)}:
            return message, f"{error.get('type') or ''} {error.get('code') or ''}"
        case {"detail": str(message)}:
            return message, ""
        case str():
            return re.sub(r"<[^>]*>", " ", error), ""
        case _:
            return "", ""


async def pieces(upstream: Upstream, question: Question, reader: Reader) -> AsyncGenerator[Piece, None]:
    """What the server answers, piece by piece as it arrives; the reader gathers it.

    Raises:
        Refusal: when there is no answer, or when it breaks off.
    """
    try:
        # Pictures are large, and frames of videos take a while: the other requests go on meanwhile.
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
    except Reported as problem:
        raise refused(upstream.name, _status(problem.error), problem.error, question.model) from None
    if not reader.complete:
        raise unreachable(upstream.name, "the answer broke off" if reader.begun else "the answer has no choices")
    for piece in reader.end():
        yield piece


def _status(error: Any) -> int:
    """The HTTP status that an error inside an answer names, 500 where it names none."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else 500


async def gathered(upstream: Upstream, question: Question, reader: Reader) -> Reader:
    """The reader, once the whole answer is in it."""
    async with aclosing(pieces(upstream, question, reader)) as arriving:
        async for _ in arriving:
            pass
    return reader
