"""Converts deltas to AIMessageChunks, and messages to content blocks.

A whole answer is converted as a stream of one delta. The fields of each chunk follow from how LangChain merges chunks
(langchain_core.messages.ai, `add_ai_message_chunks`): it adds up usage and joins strings, so only the last chunk has
usage and data about the answer. Every chunk has `model_provider`, because LangChain does not join this string.

langchain-core numbers the content blocks of a streamed message in order of arrival and merges blocks of the same number
even if their types differ; a tool call after reasoning or text would vanish from the content. So `chunk_blocks` gives
each type its own index. Source: langchain_core.messages.block_translators, `register_translator`.
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

# langchain-core completes cut JSON when it merges chunks, and would make a valid call of half a command. It gives up at
# a closing bracket without an opening one, so this prefix keeps such arguments visibly invalid.
BROKEN = "not valid JSON] "
# Finish reasons of an answer that a token limit has cut.
_CUT_OFF = ("length", "model_context_window_exceeded")

_BRACES = re.compile(r'[{}"]|\\.?', re.DOTALL)


class ChunkMapper:
    """Maps the deltas of one answer, in order, to LangChain's chunks.

    A tool call is held back until its arguments are complete JSON. A call that the token limit has cut is never
    returned as a tool call: it is in `response_metadata["cut_tool_calls"]`.

    Args:
        usage: whether the last chunk has the usage.
        may_replace: whether a delta may replace all deltas before it; then the chunks are `ReplaceableChunk`s.
    """

    def __init__(self, *, usage: bool = True, may_replace: bool = False) -> None:
        self._usage = usage
        self._may_replace = may_replace
        self._begin()

    def _begin(self) -> None:
        self._pending: dict[int, _PendingCall] = {}
        self._complete: set[int] = set()
        self._replaces = False  # whether the next chunk is the first of a second answer

    def feed(self, delta: glmv.Delta) -> AIMessageChunk | None:
        """One delta -> its chunk, or None if the whole content of the delta is held back."""
        if self._may_replace:
            return self._replaceable(delta)
        if delta.text and not (delta.reasoning or delta.tool_calls or delta.last):  # most deltas are of this kind
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
        """A whole answer -> the message that the sum of its chunks would be."""
        fields = self._fields(answer.as_delta())
        if "tool_call_chunks" in fields:
            message = message_chunk_to_message(AIMessageChunk(**fields))
            assert isinstance(message, AIMessage)
            return message
        del fields["chunk_position"]
        return AIMessage(**fields)

    def _fields(self, delta: glmv.Delta) -> dict[str, Any]:
        """The fields of a delta's chunk. Empty fields are left out to save time: there may be thousands of chunks."""
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
        if piece.index in self._complete:  # text after complete arguments: pass it on, so that they become invalid
            yield ToolCallChunk(id=None, name=None, args=piece.arguments, index=piece.index, type="tool_call_chunk")
            return
        if piece.index not in self._pending:
            self._pending[piece.index] = _PendingCall(piece.index)
        pending = self._pending[piece.index]
        if pending.add(piece) and _is_object((call := pending.call()).arguments):
            self._complete.add(piece.index)
            del self._pending[piece.index]
            yield _chunk(call)

    def _rest(self, finish_reason: str | None) -> tuple[list[ToolCallChunk], list[dict[str, Any]]]:
        """The calls pending at the answer's end: as dicts if the token limit cut the answer, else as chunks."""
        calls = [self._pending[index].call() for index in sorted(self._pending)]
        if finish_reason in _CUT_OFF:
            return [], [{"id": call.id, "name": call.name, "args": call.arguments} for call in calls]
        for call in calls:
            call.arguments = call.arguments.strip() or "{}"
            if _is_repairable(call.arguments):
                call.arguments = BROKEN + call.arguments
        return [_chunk(call) for call in calls], []


class _PendingCall:
    """A tool call whose arguments are not complete yet."""

    def __init__(self, index: int) -> None:
        self._call = glmv.ToolCallDelta(index)
        self._arguments: list[str] = []
        self._depth = 0
        self._in_string = self._escaped = False

    def add(self, piece: glmv.ToolCallDelta) -> bool:
        """Add one piece; return whether all braces are closed now, so that the arguments may be complete.

        Counting braces takes linear time; parsing at every closing brace would take quadratic time.
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
                    self._escaped = True  # the escaped character is the first of the next piece
                case _:
                    pass
        return closes

    def call(self) -> glmv.ToolCallDelta:
        """The call with the arguments received so far."""
        self._call.arguments = "".join(self._arguments)
        return self._call


class ReplaceableChunk(AIMessageChunk):
    """A chunk of a stream that may begin again. Adding a chunk with `replaces` drops all chunks before that chunk.

    The sum of a whole stream is an ordinary `AIMessageChunk`, so stores and traces need not know this class.
    """

    model_config = ConfigDict(defer_build=True)

    replaces: bool = False

    @classmethod
    def lc_id(cls) -> list[str]:
        """The id of an ordinary chunk, so that a dump can be loaded without this class."""
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
    """A chunk of text only. It is a copy of a blank chunk: copying takes a third of the time of validation."""
    chunk = copy(_BLANK)
    own = {name: kind() for name, kind in _OWN}
    vars(chunk).update(own, content=text, response_metadata={"model_provider": PROVIDER})
    return chunk


def usage_of(usage: glmv.Usage | None) -> UsageMetadata | None:
    """Usage -> LangChain's form of it. The total is copied, because the server's total need not be the sum."""
    if usage is None:
        return None
    result = UsageMetadata(
        input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens, total_tokens=usage.total_tokens
    )
    if usage.cached_tokens is not None:
        result["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        result["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return result


_FACTS = ("id", "request_id", "created", "finish_reason", "content_filter", "web_search")


def _facts(delta: glmv.Delta) -> dict[str, Any]:
    """Data about the answer for the last chunk's `response_metadata`, in plain JSON that checkpointers can store."""
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
    """Whether langchain-core would turn these invalid arguments into an object."""
    if _is_object(text):
        return False
    try:
        return isinstance(parse_partial_json(text), dict)
    except ValueError:
        return False


_INDEX = {"reasoning": "lc_rs_0", "text": "lc_txt_0"}


def message_blocks(message: AIMessage) -> list[ContentBlock]:
    """A whole message -> its content blocks: reasoning, text, tool calls, and a refusal if content was withdrawn."""
    if not isinstance(message.content, str):
        raise NotImplementedError  # content of another model, which langchain-core translates
    blocks: list[Any] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    return [*blocks, *({"type": "tool_call", **call} for call in message.tool_calls), *_refusals(message)]


def _refusals(message: AIMessage) -> list[Any]:
    """The block that tells middleware of withdrawn content, or []. Its text is empty: the platform sends no text."""
    reason = message.response_metadata.get("finish_reason")
    if not (HAS_REFUSALS and glmv.is_withdrawn(reason)):
        return []
    extras = {"finish_reason": reason}
    if ratings := message.response_metadata.get("content_filter"):
        extras["content_filter"] = ratings
    return [{"type": "refusal", "refusal": "", "extras": extras}]


def chunk_blocks(chunk: AIMessageChunk) -> list[ContentBlock]:
    """A chunk, or a sum of chunks -> its content blocks; blocks that a later chunk may continue have an index."""
    blocks: list[Any] = [*message_blocks(chunk)]
    if chunk.chunk_position == "last":
        return [*blocks, *({**call, "type": "invalid_tool_call"} for call in chunk.invalid_tool_calls)]
    unfinished: list[Any] = [{**block, "index": _INDEX[block["type"]]} for block in blocks if block["type"] in _INDEX]
    unfinished += ({**call, "index": f"lc_tc_{call['index']}"} for call in chunk.tool_call_chunks)
    return unfinished


def register_content_blocks() -> None:
    """Make langchain-core use `message_blocks` and `chunk_blocks` for messages whose `model_provider` is "glmv"."""
    register_translator(PROVIDER, message_blocks, chunk_blocks)
