"""glmv's deltas and completions -> LlamaIndex's responses, and the tool calls of a response."""

from __future__ import annotations

import logging
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

log = logging.getLogger("glmv")

# Fields of the last delta that are copied into `additional_kwargs` under the same names.
_FACTS = ("finish_reason", "id", "request_id", "model", "created", "attempts", "content_filter", "web_search")
_COUNTS = tuple(field.name for field in fields(glmv.Usage))
_TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")


class Answer:
    """An answer while it streams: it takes deltas, and returns LlamaIndex's cumulative responses.

    It sums only the deltas passed to `add`. glmv's own accumulator sums all that the server sent, so it can be ahead.
    """

    __slots__ = ("_blocks", "_calls", "_sum", "_wire")

    def __init__(self) -> None:
        self._sum = glmv.Accumulator()
        self._clear()

    def _clear(self) -> None:
        # Each list has one item per tool call. A delta rebuilds only the items it adds to: there may be thousands.
        self._calls: list[glmv.ToolCallDelta] = []
        self._blocks: list[ToolCallBlock] = []
        self._wire: list[dict[str, Any]] = []

    def add(self, delta: glmv.Delta) -> ChatResponse:
        """Add one delta.

        Returns:
            The response. `message` is the answer so far; later deltas do not change it. `delta` is the new visible
            text. `additional_kwargs["thinking_delta"]` is the new reasoning, where agents look for it. `raw` is the
            server's chunk as a dict. The last response has the usage in `raw` and in `additional_kwargs`, so
            that token counters need not estimate. If a second answer replaces the first, the first response of
            the second answer has `additional_kwargs["replaces"]`.
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
        tool_call = glmv.ToolCall(call.id, call.name, call.arguments or "{}")
        self._blocks[piece.index], self._wire[piece.index] = _block(tool_call), _wire_call(tool_call)


def whole(answer: glmv.Completion) -> ChatResponse:
    """A whole answer -> its response: the same as the last response of a stream, but without deltas."""
    tokens = answer.usage.reasoning_tokens if answer.usage else None
    calls = answer.tool_calls
    message = _message(answer.reasoning, tokens, answer.text, list(map(_block, calls)), list(map(_wire_call, calls)))
    return ChatResponse(message=message, raw=_raw(answer), additional_kwargs=_facts(answer))


def as_chat(response: ChatResponse) -> ChatResponse:
    """Return the response unchanged. `chat` and its variants use this where `complete` uses `as_completion`."""
    return response


def as_completion(response: ChatResponse) -> CompletionResponse:
    """A chat response -> the completion response for `complete` and its variants."""
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
    # The text of an empty answer is "" instead of None, unless the answer has tool calls.
    if text or not calls:
        blocks.append(TextBlock(text=text))
    blocks += calls
    # Streamed structured output reads tool calls only here (llama-index-core, program/utils.py).
    extra = {"tool_calls": list(wire)} if wire else {}
    return ChatMessage(role=MessageRole.ASSISTANT, blocks=blocks, additional_kwargs=extra)


def _block(call: glmv.ToolCall) -> ToolCallBlock:
    return ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=_arguments(call))


def _arguments(call: glmv.ToolCall) -> dict[str, Any] | str:
    """Arguments as a dict; incomplete or invalid arguments as the text that was received."""
    parsed = _parsed(call.arguments)
    return call.arguments if parsed is None else parsed


def _parsed(arguments: str, *, partial: bool = False) -> dict[str, Any] | None:
    try:
        parsed = from_json(arguments, allow_partial="trailing-strings" if partial else False)
    except ValueError:
        return None
    if isinstance(parsed, str) and not partial and parsed.lstrip().startswith("{"):
        return _parsed(parsed)  # some servers write the JSON as a string
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
    """The server's response as a dict, with the usage of the whole call, which may be the sum of two requests.

    TokenCountingHandler reads the usage here. Without it, the handler estimates, and fetches picture URLs to do so.
    """
    if answer.usage is None:
        return answer.raw
    wire = answer.raw.get("usage") or {}
    total = {name: getattr(answer.usage, name) for name in _TOKENS}
    return answer.raw if total.items() <= wire.items() else {**answer.raw, "usage": {**wire, **total}}


def selections(response: ChatResponse, *, required: bool) -> list[ToolSelection]:
    """The tool calls of an answer or a chunk; in a chunk, calls have the arguments received so far.

    Args:
        response: an answer or a chunk, from this or another integration.
        required: whether to raise if there is no tool call.

    Raises:
        ValueError: there is no tool call and `required` is set.
    """
    message = response.message
    calls = [
        (block.tool_call_id or "", block.tool_name, block.tool_kwargs)
        for block in message.blocks
        if isinstance(block, ToolCallBlock)
    ] or [(call.id, call.name, call.arguments) for call in legacy_calls(message.additional_kwargs.get("tool_calls"))]
    if required and not calls:
        raise ValueError(
            f"A tool call was expected, but the answer has only text: {(message.content or '')[:200]!r}. "
            "Set tool_required=True to force a call, or error_on_no_tool_call=False to allow an answer without one."
        )
    complete = "finish_reason" in response.additional_kwargs
    if complete:
        for _, name, arguments in calls:
            if isinstance(arguments, str) and arguments.strip() not in ("", "null") and _parsed(arguments) is None:
                # A tool whose arguments all have defaults runs without an error.
                log.warning("The arguments of the call of %s are not a JSON object: the tool gets no arguments.", name)
    return [
        ToolSelection(tool_id=call_id, tool_name=name, tool_kwargs=_tool_kwargs(arguments, partial=not complete))
        for call_id, name, arguments in calls
    ]


def first_only(response: ChatResponse) -> ChatResponse:
    """The answer with its first tool call only; blocks that are not tool calls stay."""
    message = response.message
    has_call = False
    blocks = []
    for block in message.blocks:
        if not isinstance(block, ToolCallBlock) or not has_call:
            blocks.append(block)
        has_call = has_call or isinstance(block, ToolCallBlock)
    extra = dict(message.additional_kwargs)
    if extra.get("tool_calls"):
        extra["tool_calls"] = extra["tool_calls"][:1]
    first = ChatMessage(role=message.role, blocks=blocks, additional_kwargs=extra)
    return response.model_copy(update={"message": first})


def _tool_kwargs(arguments: object, *, partial: bool) -> dict[str, Any]:
    """Arguments -> a dict. Incomplete arguments of a finished answer give {}, because a cut value must not be used."""
    match arguments:
        case dict():
            return arguments
        case str():
            return _parsed(arguments, partial=partial) or {}
        case _:
            return {}
