"""Content blocks of our messages for LangChain: reasoning first, then text, then tool calls.

Core numbers the blocks of a streamed message as they come and merges by number whatever the type; with reasoning or
text before a tool call, the call vanishes from the content. String indices of our own keep the kinds apart.
Source: langchain_core.messages.block_translators, `register_translator`.
"""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.block_translators import register_translator
from langchain_core.messages.content import ContentBlock

from langchain_glmv._chunks import PROVIDER


def translate_content(message: AIMessage) -> list[ContentBlock]:
    """A whole message -> its content blocks."""
    if not isinstance(message.content, str):
        raise NotImplementedError  # content that we did not make: core's own reading is right
    blocks: list[Any] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        blocks.append({"type": "reasoning", "reasoning": reasoning})
    if message.content:
        blocks.append({"type": "text", "text": message.content})
    return [*blocks, *({"type": "tool_call", **call} for call in message.tool_calls)]


def translate_content_chunk(chunk: AIMessageChunk) -> list[ContentBlock]:
    """A chunk, or the sum of some -> its content blocks; those that go on have an index of their own."""
    blocks: list[Any] = [*translate_content(chunk)]
    if chunk.chunk_position == "last":
        return [*blocks, *({**call, "type": "invalid_tool_call"} for call in chunk.invalid_tool_calls)]
    going_on: list[Any] = [{**block, "index": _INDEX[block["type"]]} for block in blocks if block["type"] in _INDEX]
    going_on += ({**call, "index": f"lc_tc_{call['index']}"} for call in chunk.tool_call_chunks)
    return going_on


_INDEX = {"reasoning": "lc_rs_0", "text": "lc_txt_0"}


def install() -> None:
    """Make core use these for messages whose `model_provider` is ours."""
    register_translator(PROVIDER, translate_content, translate_content_chunk)
