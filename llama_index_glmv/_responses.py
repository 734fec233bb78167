"""Our deltas and completions -> LlamaIndex's responses. One mapping: a whole answer is a stream of one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    ContentBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from pydantic_core import from_json

import glmv

# What the last delta knows beside its text, handed on under the same names.
_FACTS = ("finish_reason", "id", "request_id", "model", "created", "attempts", "content_filter", "web_search")


class Answer:
    """An answer as it grows: each delta in, LlamaIndex's cumulative response out."""

    __slots__ = ("_sum",)

    def __init__(self) -> None:
        self._sum = glmv.Accumulator()

    def add(self, delta: glmv.Delta) -> ChatResponse:
        """Take one more delta.

        Returns:
            All of the answer so far in `message`, in blocks of its own, so that a consumer may keep it;
            in `delta` the new visible text; in `additional_kwargs["thinking_delta"]` the new reasoning, where
            agents read it; in `raw` the plain wire dict. The last one has the usage in `raw` and in
            `additional_kwargs`, so that token counters need not estimate.
        """
        self._sum.add(delta)
        calls = self._sum.tool_calls
        facts: dict[str, Any] = {"thinking_delta": delta.reasoning} if delta.reasoning else {}
        if delta.last:
            facts |= _facts(delta)
        return ChatResponse(
            message=ChatMessage(
                role=MessageRole.ASSISTANT,
                blocks=_blocks(self._sum.reasoning, self._sum.text, calls, delta.usage),
                # The streaming of structured output looks for calls here only (core, program/utils.py).
                additional_kwargs={"tool_calls": [_wire_call(call) for call in calls]} if calls else {},
            ),
            delta=delta.text,
            raw=_raw(delta),
            additional_kwargs=facts,
        )


def whole(completion: glmv.Completion) -> ChatResponse:
    """A whole answer -> its response: the last of a stream of one, without the deltas."""
    response = Answer().add(completion.as_delta())
    response.delta = None
    response.additional_kwargs.pop("thinking_delta", None)
    return response


def as_completion(response: ChatResponse) -> CompletionResponse:
    """A chat response -> the same for `complete` and its kin."""
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        additional_kwargs=dict(response.additional_kwargs),
    )


def _blocks(reasoning: str, text: str, calls: Iterable[glmv.ToolCall], usage: glmv.Usage | None) -> list[ContentBlock]:
    tool_calls = [
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=_arguments(call)) for call in calls
    ]
    blocks: list[ContentBlock] = []
    if reasoning:
        blocks.append(ThinkingBlock(content=reasoning, num_tokens=usage.reasoning_tokens if usage else None))
    # An answer without any text is "" and not None, unless it only calls tools.
    if text or not tool_calls:
        blocks.append(TextBlock(text=text))
    return [*blocks, *tool_calls]


def _arguments(call: glmv.ToolCall) -> dict[str, Any] | str:
    """Arguments as a dict; while they are cut or broken, the text as it came."""
    try:
        parsed = from_json(call.arguments)
    except ValueError:
        return call.arguments
    return parsed if isinstance(parsed, dict) else call.arguments


def _wire_call(call: glmv.ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _facts(delta: glmv.Delta) -> dict[str, Any]:
    facts = {name: value for name in _FACTS if (value := getattr(delta, name)) is not None}
    if delta.usage is not None:
        facts |= {name: value for name, value in asdict(delta.usage).items() if value is not None}
    if delta.notes:
        facts["notes"] = list(delta.notes)
    if delta.boxes:
        facts["boxes"] = [asdict(box) for box in delta.boxes]
    return facts


def _raw(delta: glmv.Delta) -> dict[str, Any]:
    """The wire's dict, its usage that of the whole call: of both turns, when the model was asked twice.

    TokenCountingHandler reads it here; without it, it estimates, and fetches the user's picture URLs to do so.
    """
    if delta.usage is None:
        return delta.raw
    wire = delta.raw.get("usage") or {}
    total = {name: getattr(delta.usage, name) for name in _TOKENS}
    return delta.raw if total.items() <= wire.items() else {**delta.raw, "usage": {**wire, **total}}


_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
