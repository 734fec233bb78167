"""Parses an answer from the bytes that were sent, even if a fault has damaged them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from glmv_emulator.answers.values import joined_text

DATA = b"data:"
MOST_OTHER = 8_000


@dataclass(slots=True)
class Answer:
    """The content of a response. `calls` are [name, arguments]; `other` is a body that is not a chat response."""

    text: str = ""
    reasoning: str = ""
    calls: list[list[str]] = field(default_factory=list)
    finish_reason: str | None = None
    usage: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] | None = None
    other: Any = None
    events: int = 0
    done: bool = False


def read(body: bytes, kind: str) -> Answer:
    """Read the content from a response body with the media type `kind`; never raises."""
    answer = Answer()
    if kind.startswith("text/event-stream"):
        for event in _events(body):
            answer.events += 1
            if event == b"[DONE]":
                answer.done = True
            else:
                _fold(answer, _parsed(event))
    elif body:
        value = _parsed(body)
        if value is None and not kind.startswith("image/"):
            value = body[:MOST_OTHER].decode("utf-8", "replace")
        if not _fold(answer, value):
            answer.other = value
    return answer


def _events(body: bytes) -> Iterator[bytes]:
    for line in body.splitlines():
        if line.startswith(DATA):
            yield line[len(DATA) :].strip()


def _parsed(data: bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None


def _fold(answer: Answer, value: Any) -> bool:
    """Add the content of `value` to `answer`; returns False if `value` is not a whole answer, a chunk or an error."""
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("error"), dict):
        answer.error = value["error"]
        return True
    if isinstance(value.get("usage"), dict):
        answer.usage = value["usage"]
    choices = value.get("choices")
    if not isinstance(choices, list):
        return False
    for choice in (one for one in choices if isinstance(one, dict)):
        answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
        message = choice.get("delta") or choice.get("message")
        if isinstance(message, dict):
            answer.text += joined_text(message.get("content"))
            answer.reasoning += joined_text(message.get("reasoning_content"))
            calls = message.get("tool_calls")
            for call in calls if isinstance(calls, list) else ():
                _add_call(answer, call)
    return True


def _add_call(answer: Answer, call: Any) -> None:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        return
    arguments = function.get("arguments", "")
    piece = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    if function.get("name"):
        answer.calls.append([str(function["name"]), piece])
    elif answer.calls:
        answer.calls[-1][1] += piece
