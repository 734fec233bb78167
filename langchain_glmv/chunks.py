"""Delta -> AIMessageChunk, and the content blocks of the messages that come of it.

A whole answer is a stream of one delta, so this is the only mapping of answers. How LangChain merges chunks
(langchain_core.messages.ai, `add_ai_message_chunks`) decides which chunk has what: usage is summed and strings are
joined, so facts come once, on the last chunk; `model_provider` is compared and may repeat.

Core numbers the content blocks of a streamed message as they come and merges them by number whatever the type; with
reasoning or text before a tool call, the call vanishes from the content. `chunk_blocks` gives each kind an index of its
own. Source: langchain_core.messages.block_translators, `register_translator`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import copy
from dataclasses import asdict
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, ToolCallChunk, message_chunk_to_message
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import ContentBlock
from langchain_core.utils.json import parse_partial_json
from pydantic import ConfigDict

import glmv
from langchain_glmv.errors import HAS_REFUSALS, in_terms

PROVIDER = "glmv"

# Merging completes broken arguments that can be completed, and would make a call of half a command. A bracket that
# nothing opened is what it gives up on at once, so such arguments stay visibly what they are.
BROKEN = "not valid JSON] "
# Finish reasons of an answer that a limit has cut.
_CUT_OFF = ("length", "model_context_window_exceeded")

_BRACES = re.compile(r'[{}"]|\\.?', re.DOTALL)


class ChunkMapper:
    """The deltas of one answer, in order -> its chunks.

    A tool call is held back until its arguments are whole JSON. A call that the token limit cut is never shown as a
    call: it stands in `response_metadata["cut_tool_calls"]`.

    Args:
        usage: whether the last chunk has the usage.
        may_replace: whether deltas may replace those before them; then the chunks are `ReplaceableChunk`s.
    """

    def __init__(self, *, usage: bool = True, may_replace: bool = False) -> None:
        self._usage = usage
        self._may_replace = may_replace
        self._begin()

    def _begin(self) -> None:
        self._held: dict[int, _HeldCall] = {}
        self._shown: set[int] = set()
        self._replaces = False  # whether the next chunk is the first of a second answer

    def feed(self, delta: glmv.Delta) -> AIMessageChunk | None:
        """One delta -> its chunk, or None when everything in it is held back."""
        if self._may_replace:
            return self._replaceable(delta)
        if delta.text and not (delta.reasoning or delta.tool_calls or delta.last):  # nearly all are so
            return _text_chunk(delta.text)
        fields = self._fields(delta)
        return AIMessageChunk(**fields) if fields else None

    def _replaceable(self, delta: glmv.Delta) -> AIMessageChunk | None:
        if delta.replaces:
            self._begin()
            self._replaces = True
        fields = self._fields(delta)
        if not fields:
            return None
        replaces, self._replaces = self._replaces, False
        return ReplaceableChunk(replaces=replaces, **fields) if replaces or not delta.last else AIMessageChunk(**fields)

    def whole(self, answer: glmv.Completion) -> AIMessage:
        """A whole answer, which is a stream of one, as the message that its chunks would add up to."""
        fields = self._fields(answer.as_delta())
        if "tool_call_chunks" in fields:
            message = message_chunk_to_message(AIMessageChunk(**fields))
            assert isinstance(message, AIMessage)
            return message
        del fields["chunk_position"]
        return AIMessage(**fields)

    def _fields(self, delta: glmv.Delta) -> dict[str, Any]:
        """What a message is made of; only what there is, since every field costs, and there may be thousands."""
        fields: dict[str, Any] = {"content": delta.text, "response_metadata": {"model_provider": PROVIDER}}
        calls = [call for piece in delta.tool_calls for call in self._take(piece)] if delta.tool_calls else []
        if delta.reasoning:
            fields["additional_kwargs"] = {"reasoning_content": delta.reasoning}
        if delta.last:
            rest, cut = self._rest(delta.finish_reason)
            calls += rest
            fields["response_metadata"] |= _facts(delta) | ({"cut_tool_calls": cut} if cut else {})
            fields["usage_metadata"] = usage_of(delta.usage) if self._usage else None
            fields["chunk_position"] = "last"
        elif not (delta.text or delta.reasoning or calls):
            return {}
        if calls:
            fields["tool_call_chunks"] = calls
        return fields

    def _take(self, piece: glmv.ToolCallDelta) -> Iterator[ToolCallChunk]:
        if piece.index in self._shown:  # something after whole arguments: shown too, and so they turn invalid
            yield ToolCallChunk(id=None, name=None, args=piece.arguments, index=piece.index, type="tool_call_chunk")
            return
        if piece.index not in self._held:
            self._held[piece.index] = _HeldCall(piece.index)
        held = self._held[piece.index]
        if held.add(piece) and _is_object((call := held.call()).arguments):
            self._shown.add(piece.index)
            del self._held[piece.index]
            yield _chunk(call)

    def _rest(self, finish_reason: str | None) -> tuple[list[ToolCallChunk], list[dict[str, Any]]]:
        """At the end: calls without arguments, broken ones, and those that the token limit cut."""
        held = [self._held[index].call() for index in sorted(self._held)]
        if finish_reason in _CUT_OFF:
            return [], [{"id": call.id, "name": call.name, "args": call.arguments} for call in held]
        for call in held:
            call.arguments = call.arguments.strip() or "{}"
            if _is_repairable(call.arguments):
                call.arguments = BROKEN + call.arguments
        return [_chunk(call) for call in held], []


class _HeldCall:
    """A tool call whose arguments are not whole yet."""

    def __init__(self, index: int) -> None:
        self._call = glmv.ToolCallDelta(index)
        self._arguments: list[str] = []
        self._depth = 0
        self._in_string = self._escaped = False

    def add(self, piece: glmv.ToolCallDelta) -> bool:
        """Take one more piece; return whether its arguments close all braces, so that they may be whole.

        Parsing at every closing brace would take quadratic time.
        """
        self._call.id = self._call.id or piece.id
        self._call.name = self._call.name or piece.name
        self._arguments.append(piece.arguments)
        closes = False
        text = piece.arguments[1:] if self._escaped else piece.arguments
        self._escaped = self._escaped and not piece.arguments
        for mark in _BRACES.findall(text):
            match mark:
                case '"':
                    self._in_string = not self._in_string
                case "{" | "}" if not self._in_string:
                    self._depth += 1 if mark == "{" else -1
                    closes = self._depth == 0
                case "\\":
                    self._escaped = True  # the next piece begins with what it escapes
                case _:
                    pass
        return closes

    def call(self) -> glmv.ToolCallDelta:
        """The call with all arguments that have come."""
        self._call.arguments = "".join(self._arguments)
        return self._call


class ReplaceableChunk(AIMessageChunk):
    """A chunk of a stream that may begin anew: a sum of chunks is that of the last one with `replaces` and those after.

    The sum of a whole stream is an ordinary chunk, so that it is stored and traced as such.
    """

    model_config = ConfigDict(defer_build=True)

    replaces: bool = False

    @classmethod
    def lc_id(cls) -> list[str]:
        """That of an ordinary chunk: whoever loads what was dumped need not know this class."""
        return AIMessageChunk.lc_id()

    def __add__(self, other: Any) -> Any:
        chunks = [self, *(other if isinstance(other, list | tuple) else [other])]
        first = max(at for at, chunk in enumerate(chunks) if at == 0 or getattr(chunk, "replaces", False))
        total = super(ReplaceableChunk, chunks[first]).__add__(chunks[first + 1 :])
        if total.chunk_position == "last":
            return AIMessageChunk(**{name: value for name, value in total if name != "replaces"})
        total.replaces = chunks[first].replaces
        return total


_BLANK = AIMessageChunk(content="", response_metadata={"model_provider": PROVIDER})
_OWN = tuple((name, type(value)) for name, value in vars(_BLANK).items() if isinstance(value, list | dict))


def _text_chunk(text: str) -> AIMessageChunk:
    """A chunk that is text alone. To copy one costs a third of what it costs to validate the same fields again."""
    chunk = copy(_BLANK)
    own = {name: kind() for name, kind in _OWN}
    vars(chunk).update(own, content=text, response_metadata={"model_provider": PROVIDER})
    return chunk


def usage_of(usage: glmv.Usage | None) -> UsageMetadata | None:
    """Tokens in LangChain's terms; the total stays as it was sent."""
    if usage is None:
        return None
    counted = UsageMetadata(
        input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        counted["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        counted["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return counted


_FACTS = ("id", "request_id", "created", "finish_reason", "content_filter", "web_search")


def _facts(delta: glmv.Delta) -> dict[str, Any]:
    """What the last chunk says about the answer: plain JSON values, so that checkpointers can keep them."""
    facts: dict[str, Any] = {}
    if delta.model:
        facts["model_name"] = delta.model
    facts |= {name: value for name in _FACTS if (value := getattr(delta, name)) is not None}
    if delta.notes:
        facts["notes"] = [in_terms(note) for note in delta.notes]
    if delta.boxes:
        facts["boxes"] = [
            {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(box).items()}
            for box in delta.boxes
        ]
    if delta.attempts > 1:
        facts["attempts"] = delta.attempts
    return facts


def _chunk(call: glmv.ToolCallDelta) -> ToolCallChunk:
    return ToolCallChunk(id=call.id, name=call.name, args=call.arguments, index=call.index, type="tool_call_chunk")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, strict=False), dict)
    except ValueError:
        return False


def _is_repairable(text: str) -> bool:
    """Whether merging would make an object of arguments that are none."""
    if _is_object(text):
        return False
    try:
        return isinstance(parse_partial_json(text), dict)
    except ValueError:
        return False


_INDEX = {"reasoning": "lc_rs_0", "text": "lc_txt_0"}


def message_blocks(message: AIMessage) -> list[ContentBlock]:
    """A whole message -> its content blocks: reasoning, text, tool calls, and a refusal where it was withdrawn."""
    if not isinstance(message.content, str):
        raise NotImplementedError  # content that another model made: core reads it
    blocks: list[Any] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    return [*blocks, *({"type": "tool_call", **call} for call in message.tool_calls), *_refusals(message)]


def _refusals(message: AIMessage) -> list[Any]:
    """The block by which middleware knows that content was withdrawn; the platform gives no words for it."""
    reason = message.response_metadata.get("finish_reason")
    if not (HAS_REFUSALS and glmv.is_withdrawn(reason)):
        return []
    extras = {"finish_reason": reason}
    if found := message.response_metadata.get("content_filter"):
        extras["content_filter"] = found
    return [{"type": "refusal", "refusal": "", "extras": extras}]


def chunk_blocks(chunk: AIMessageChunk) -> list[ContentBlock]:
    """A chunk, or a sum of chunks -> its content blocks; those that a later chunk may continue have an index."""
    blocks: list[Any] = [*message_blocks(chunk)]
    if chunk.chunk_position == "last":
        return [*blocks, *({**call, "type": "invalid_tool_call"} for call in chunk.invalid_tool_calls)]
    unfinished: list[Any] = [{**block, "index": _INDEX[block["type"]]} for block in blocks if block["type"] in _INDEX]
    unfinished += ({**call, "index": f"lc_tc_{call['index']}"} for call in chunk.tool_call_chunks)
    return unfinished


def register_content_blocks() -> None:
    """Make core use these for messages whose `model_provider` is ours."""
    register_translator(PROVIDER, message_blocks, chunk_blocks)
