"""Our deltas and completions -> LlamaIndex's responses, and the tools that a response selects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
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
from llama_index.core.llms.llm import ToolSelection
from pydantic_core import from_json

import glmv
from llama_index_glmv.intake import in_terms
from llama_index_glmv.messages import legacy_calls

# What the last delta knows beside its text, handed on under the same names.
_FACTS = ("finish_reason", "id", "request_id", "model", "created", "attempts", "content_filter", "web_search")
_COUNTS = tuple(field.name for field in fields(glmv.Usage))
_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")


class Answer:
    """An answer as it grows: each delta in, LlamaIndex's cumulative response out.

    The sum is of what is shown. That of the core is of what the server sent, up to the last read of the network.
    """

    __slots__ = ("_blocks", "_calls", "_sum", "_wire")

    def __init__(self) -> None:
        self._sum = glmv.Accumulator()
        self._clear()

    def _clear(self) -> None:
        # One of each a call. Only those that a delta adds to are made anew, since there may be thousands.
        self._calls: list[glmv.ToolCallDelta] = []
        self._blocks: list[ToolCallBlock] = []
        self._wire: list[dict[str, Any]] = []

    def add(self, delta: glmv.Delta) -> ChatResponse:
        """Take one more delta.

        Returns:
            All of the answer so far in `message`, in blocks of its own, so that a consumer may keep it;
            in `delta` the new visible text; in `additional_kwargs["thinking_delta"]` the new reasoning, where
            agents read it; in `raw` the plain wire dict. The last one has the usage in `raw` and in
            `additional_kwargs`, so that token counters need not estimate. The first of a second answer, which
            replaces the one before, has `additional_kwargs["replaces"]`.
        """
        total = self._sum
        total.add(delta)
        if delta.replaces:
            self._clear()
        for piece in delta.tool_calls:
            self._grow(piece)
        tokens = delta.usage.reasoning_tokens if delta.usage else None
        message = _message(total.reasoning, tokens, total.text, self._blocks, self._wire)
        facts, raw = (_facts(delta), _raw(delta)) if delta.last else ({}, delta.raw)
        if delta.reasoning:
            facts["thinking_delta"] = delta.reasoning
        if delta.replaces:
            facts["replaces"] = True
        return ChatResponse(message=message, delta=delta.text, raw=raw, additional_kwargs=facts)

    def _grow(self, piece: glmv.ToolCallDelta) -> None:
        while len(self._calls) <= piece.index:
            self._calls.append(glmv.ToolCallDelta(len(self._calls)))
            self._blocks.append(ToolCallBlock(tool_name="", tool_kwargs={}))
            self._wire.append({})
        call = self._calls[piece.index]
        call.id = call.id or piece.id
        call.name = call.name or piece.name
        call.arguments += piece.arguments
        made = glmv.ToolCall(call.id, call.name, call.arguments or "{}")
        self._blocks[piece.index], self._wire[piece.index] = _block(made), _wire_call(made)


def whole(answer: glmv.Completion) -> ChatResponse:
    """A whole answer -> its response: the last of its stream, without the deltas."""
    tokens = answer.usage.reasoning_tokens if answer.usage else None
    calls = answer.tool_calls
    message = _message(answer.reasoning, tokens, answer.text, list(map(_block, calls)), list(map(_wire_call, calls)))
    return ChatResponse(message=message, raw=_raw(answer), additional_kwargs=_facts(answer))


def as_chat(response: ChatResponse) -> ChatResponse:
    """A chat response for `chat` and its kin: itself."""
    return response


def as_completion(response: ChatResponse) -> CompletionResponse:
    """A chat response -> the same for `complete` and its kin."""
    return CompletionResponse(
        text=response.message.content or "",
        delta=response.delta,
        raw=response.raw,
        additional_kwargs=dict(response.additional_kwargs),
    )


def _message(
    reasoning: str, tokens: int | None, text: str, calls: Sequence[ToolCallBlock], wire: Sequence[dict[str, Any]]
) -> ChatMessage:
    blocks: list[ContentBlock] = []
    if reasoning:
        blocks.append(ThinkingBlock(content=reasoning, num_tokens=tokens))
    # An answer without any text is "" and not None, unless it only calls tools.
    if text or not calls:
        blocks.append(TextBlock(text=text))
    blocks += calls
    # The streaming of structured output looks for calls here only (core, program/utils.py).
    extra = {"tool_calls": list(wire)} if wire else {}
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=extra)


def _block(call: glmv.ToolCall) -> ToolCallBlock:
    return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=_arguments(call))


def _arguments(call: glmv.ToolCall) -> dict[str, Any] | str:
    """Arguments as a dict; while they are cut or broken, the text as it came."""
    parsed = _parsed(call.arguments)
    return call.arguments if parsed is None else parsed


def _parsed(arguments: str, *, partial: bool = False) -> dict[str, Any] | None:
    try:
        parsed = from_json(arguments, allow_partial="trailing-strings" if partial else False)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _wire_call(call: glmv.ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _facts(answer: glmv.Delta | glmv.Completion) -> dict[str, Any]:
    facts = {name: value for name in _FACTS if (value := getattr(answer, name)) is not None}
    if answer.usage is not None:
        facts |= {name: value for name in _COUNTS if (value := getattr(answer.usage, name)) is not None}
    if answer.notes:
        facts["notes"] = [in_terms(note) for note in answer.notes]
    if answer.boxes:
        facts["boxes"] = [asdict(box) for box in answer.boxes]
    return facts


def _raw(answer: glmv.Delta | glmv.Completion) -> dict[str, Any]:
    """The wire's dict, its usage that of the whole call: of both turns, when the model was asked twice.

    TokenCountingHandler reads it here; without it, it estimates, and fetches the user's picture URLs to do so.
    """
    if answer.usage is None:
        return answer.raw
    wire = answer.raw.get("usage") or {}
    total = {name: getattr(answer.usage, name) for name in _TOKENS}
    return answer.raw if total.items() <= wire.items() else {**answer.raw, "usage": {**wire, **total}}


def selections(response: ChatResponse, *, required: bool) -> list[ToolSelection]:
    """The tools that an answer selects; of a chunk, with the arguments that came so far.

    Args:
        response: an answer or a chunk, ours or of another integration.
        required: raise when there is none.

    Raises:
        ValueError: there is none and one was required.
    """
    message = response.message
    calls = [
        (block.tool_call_id or "", block.tool_name, block.tool_kwargs)
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ] or [(call.id, call.name, call.arguments) for call in legacy_calls(message.additional_kwargs.get("tool_calls"))]
    if required and not calls:
        raise ValueError(
            f"A tool call was expected, but the answer is text only: {(message.content or '')[:200]!r}. "
            "tool_required=True asks for one; error_on_no_tool_call=False allows an answer without."
        )
    over = "finish_reason" in response.additional_kwargs
    return [
        ToolSelection(tool_id=call_id, tool_name=name, tool_kwargs=_selected(arguments, partial=not over))
        for call_id, name, arguments in calls
    ]


def first_only(response: ChatResponse) -> ChatResponse:
    """The answer with its first tool call only; the other blocks stay."""
    message = response.message
    seen = False
    blocks = []
    for block in message.blocks:
        if not isinstance(block, ToolCallBlock) or not seen:
            blocks.append(block)
        seen = seen or isinstance(block, ToolCallBlock)
    extra = dict(message.additional_kwargs)
    if extra.get("tool_calls"):
        extra["tool_calls"] = extra["tool_calls"][:1]
    kept = ChatMessage(role=message.role, blocks=blocks, additional_kwargs=extra)
    return response.model_copy(update={"message": kept})


def _selected(arguments: object, *, partial: bool) -> dict[str, Any]:
    """Arguments -> a dict. Those of a finished answer are whole or nothing: half a path is not acted on."""
    match arguments:
        case dict():
            return arguments
        case str():
            return _parsed(arguments, partial=partial) or {}
        case _:
            return {}
