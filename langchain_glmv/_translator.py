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
    return [*_thought_and_text(message, {}, {}), *_calls(message, {})]


def translate_content_chunk(chunk: AIMessageChunk) -> list[ContentBlock]:
    """A chunk, or the sum of some -> its content blocks, each with an index of its own."""
    blocks = _thought_and_text(chunk, {"index": "lc_rs_0"}, {"index": "lc_txt_0"})
    if chunk.chunk_position != "last":
        return [*blocks, *({**call, "index": f"lc_tc_{call['index']}"} for call in chunk.tool_call_chunks)]
    where = {call["id"]: f"lc_tc_{call['index']}" for call in chunk.tool_call_chunks}
    invalid: list[Any] = [
        {"type": "invalid_tool_call", **{k: v for k, v in call.items() if k != "type"}, "index": where.get(call["id"])}
        for call in chunk.invalid_tool_calls
    ]
    return [*blocks, *_calls(chunk, where), *invalid]


def _thought_and_text(message: AIMessage, thought: dict[str, Any], text: dict[str, Any]) -> list[Any]:
    if not isinstance(message.content, str):
        raise NotImplementedError  # content that we did not make: core's own reading is right
    blocks: list[Any] = []
    if reasoning := message.additional_kwargs.get("reasoning_content"):
        blocks.append({"type": "reasoning", "reasoning": reasoning, **thought})
    if message.content:
        blocks.append({"type": "text", "text": message.content, **text})
    return blocks


def _calls(message: AIMessage, where: dict[str | None, str]) -> list[Any]:
    return [
        {
            "type": "tool_call",
            "id": call["id"],
            "name": call["name"],
            "args": call["args"],
            **({"index": where[call["id"]]} if call["id"] in where else {}),
        }
        for call in message.tool_calls
    ]


def install() -> None:
    """Make core use these for messages whose `model_provider` is ours."""
    register_translator(PROVIDER, translate_content, translate_content_chunk)
