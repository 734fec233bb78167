"""The shapes of the platform's responses in each recorded era.

2024: ids of 19 digits, `created` is a string in streams, three counts in usage, a role in each delta.
2025: ids of a date and hex digits, cached tokens; streamed tool calls have index -1 in a chunk with a finish reason.
2026: `object`, reasoning tokens, the role in the first delta.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from glmv_emulator.answers import ToolCall
from glmv_emulator.platform.settings import Era
from glmv_emulator.platform.usage import tokens

# Recorded: with a charset (gateways, 2024), later without.
EVENT_STREAM: dict[Era, str] = {
    "2024": "text/event-stream;charset=UTF-8",
    "2025": "text/event-stream",
    "2026": "text/event-stream",
}
TOKENS_A_DELTA = 3
ARGUMENTS_A_DELTA = 4


@dataclass(frozen=True, slots=True)
class TokenCounts:
    """Token counts of an answer; the reasoning is part of the completion."""

    prompt: int
    completion: int
    reasoning: int = 0
    cached: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """An answer, independent of its shape."""

    id: str
    request_id: str
    created: int
    model: str
    text: str
    reasoning: str
    calls: Sequence[ToolCall]
    finish_reason: str
    usage: TokenCounts
    proxied: bool = False
    include_usage: bool = False
    tool_stream: bool = False
    arguments_object: bool = False
    content_array: bool = False
    web_search: tuple[dict[str, Any], ...] = ()
    chunking: int | Sequence[str] = TOKENS_A_DELTA


def new_id(era: Era, *, proxied: bool = False) -> str:
    """A new id in the era's form, with a prefix that marks it as the emulator's."""
    if proxied:
        return f"chatcmpl-emu-{secrets.token_hex(12)}"
    if era == "2024":
        return f"emu-{secrets.randbelow(9 * 10**18) + 10**18}"
    return f"emu-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}{secrets.token_hex(8)}"


def usage(outcome: Outcome, era: Era) -> dict[str, Any]:
    counts = outcome.usage
    figures: dict[str, Any] = {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.completion,
        "total_tokens": counts.prompt + counts.completion,
    }
    if era != "2024":
        figures["prompt_tokens_details"] = {"cached_tokens": counts.cached}
    if era == "2026":
        figures["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning}
    return figures


def whole(outcome: Outcome, era: Era) -> dict[str, Any]:
    """An answer that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": outcome.text}
    if outcome.content_array:
        message["content"] = [{"type": "text", "text": outcome.text}]
    if outcome.reasoning:
        message["reasoning_content"] = outcome.reasoning
    if outcome.calls:
        # Recorded: null in 2024, a line break later.
        message["content"] = outcome.text or (None if era == "2024" or outcome.proxied else "\n")
        message["tool_calls"] = _calls(outcome, range(len(outcome.calls)))
    choice = {"finish_reason": outcome.finish_reason, "index": 0, "message": message}
    body = _head(outcome, era, "chat.completion") | {"choices": [choice], "usage": usage(outcome, era)}
    if outcome.finish_reason == "sensitive":
        body["content_filter"] = [{"role": "assistant", "level": 1}]
    elif outcome.web_search:
        body["web_search"] = list(outcome.web_search)
    return body


def chunks(outcome: Outcome, era: Era) -> Iterator[dict[str, Any]]:
    """An answer as the chunks of a stream, without the `[DONE]`."""
    head = chunk_head(outcome, era)
    first = True
    for delta in _deltas(outcome, era):
        yield delta_chunk(head, delta, era, first=first)
        first = False
    yield from last_chunks(outcome, era, head, first=first)


def chunk_head(outcome: Outcome, era: Era) -> dict[str, Any]:
    """The fields that all chunks of an answer have in common."""
    head = _head(outcome, era, "chat.completion.chunk")
    if era == "2024" and not outcome.proxied:
        head.pop("request_id", None)
        head["created"] = str(head["created"])
    return head


def delta_chunk(head: dict[str, Any], delta: dict[str, Any], era: Era, *, first: bool) -> dict[str, Any]:
    """A chunk with a delta. In the era "2026" only the first delta has a role."""
    if not first and era == "2026":
        delta.pop("role", None)
    return head | {"choices": [{"index": 0, "delta": delta}]}


def last_chunks(outcome: Outcome, era: Era, head: dict[str, Any], *, first: bool) -> Iterator[dict[str, Any]]:
    """The chunks after the deltas: tool calls that are not in fragments, the finish reason, usage."""
    delta: dict[str, Any] = {"role": "assistant", "content": ""}
    if outcome.calls and not outcome.tool_stream:
        doubled = era == "2025" and not outcome.proxied
        indexes = [-1] * len(outcome.calls) if doubled else range(len(outcome.calls))
        calls_delta = {"tool_calls": _calls(outcome, indexes)}
        if doubled:
            choice = {"index": 0, "finish_reason": outcome.finish_reason, "delta": calls_delta}
        else:
            choice = {"index": 0, "delta": ({"role": "assistant"} if first or era == "2024" else {}) | calls_delta}
        yield head | {"choices": [choice]}
    last = head | {"choices": [{"index": 0, "finish_reason": outcome.finish_reason, "delta": delta}]}
    if outcome.finish_reason == "sensitive":
        yield withdrawn(last)
    elif outcome.proxied:
        yield last
        if outcome.include_usage:
            yield head | {"choices": [], "usage": usage(outcome, era)}
    else:
        # Users observed: `web_search` is in the chunk with the finish reason and the usage, next to the choices.
        pages = {"web_search": list(outcome.web_search)} if outcome.web_search else {}
        yield last | {"usage": usage(outcome, era)} | pages


def withdrawn(last: dict[str, Any]) -> dict[str, Any]:
    """Change a last chunk to the last chunk of an answer that the content filter withdrew.

    As on the platform's page about security audits, the delta has the role `user`, `content_filter` is next to
    `choices`, and there is no usage.
    """
    choice = last["choices"][0] | {"finish_reason": "sensitive", "delta": {"role": "user", "content": ""}}
    fields = {name: value for name, value in last.items() if name != "usage"}
    return fields | {"choices": [choice], "content_filter": [{"role": "user", "level": 1}]}


def _deltas(outcome: Outcome, era: Era) -> Iterator[dict[str, Any]]:
    chunking = outcome.chunking
    size = chunking if isinstance(chunking, int) else TOKENS_A_DELTA
    for piece in pieces(outcome.reasoning, size):
        yield {"role": "assistant", "reasoning_content": piece}
    for piece in pieces(outcome.text, size) if isinstance(chunking, int) else _cut(outcome.text, chunking):
        yield {"role": "assistant", "content": piece}
    if outcome.calls and outcome.tool_stream:
        for index, call in enumerate(_calls(outcome, range(len(outcome.calls)))):
            call["function"]["arguments"] = ""
            yield {"role": "assistant", "tool_calls": [call]}
            for piece in pieces(outcome.calls[index].written, ARGUMENTS_A_DELTA):
                yield {"role": "assistant", "tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _cut(text: str, parts: Sequence[str]) -> Iterator[str]:
    """Cut a text into pieces that are as long as `parts`. A shorter text gives fewer, a longer text gives one more."""
    at = 0
    for piece in (*parts, text):
        if cut := text[at : at + len(piece)]:
            yield cut
        at += len(piece)


def pieces(text: str, size: int) -> Iterator[str]:
    """A text in small pieces of whole tokens."""
    all_tokens = tokens(text)
    for start in range(0, len(all_tokens), size):
        yield "".join(all_tokens[start : start + size])


def _calls(outcome: Outcome, indexes: range | list[int]) -> list[dict[str, Any]]:
    return [
        {
            "id": call_id(outcome, number),
            "index": index,
            "type": "function",
            "function": {"name": call.name, "arguments": _arguments(outcome, call)},
        }
        for number, (index, call) in enumerate(zip(indexes, outcome.calls, strict=True))
    ]


def call_id(outcome: Outcome, number: int) -> str:
    """The id of the tool call with this number in the answer."""
    return f"call_{outcome.id.removeprefix('chatcmpl-')}_{number}"


def _arguments(outcome: Outcome, call: ToolCall) -> Any:
    return call.arguments if outcome.arguments_object else call.written


def _head(outcome: Outcome, era: Era, kind: str) -> dict[str, Any]:
    head: dict[str, Any] = {"id": outcome.id, "created": outcome.created, "model": outcome.model}
    if outcome.proxied:
        return head | {"object": kind, "system_fingerprint": "emu-glm"}
    head["request_id"] = outcome.request_id
    return head | {"object": kind} if era == "2026" else head
