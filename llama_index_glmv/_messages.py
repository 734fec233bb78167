"""LlamaIndex's messages -> ours: every block is mapped, or refused by its name. No I/O but for typed paths.

A block's `path` is a typed field, so the programmer vouches for it and it is read. A block's `url` is handed
on for the platform to fetch and never fetched here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)

import glmv
from llama_index_glmv._intake import Intake

Role = Literal["system", "user", "assistant", "tool"]

# docs.bigmodel.cn, "对话补全": system, user, assistant and tool; the others are older names of these.
ROLES: dict[MessageRole, Role] = {
    MessageRole.SYSTEM: "system",
    MessageRole.DEVELOPER: "system",
    MessageRole.USER: "user",
    MessageRole.ASSISTANT: "assistant",
    MessageRole.MODEL: "assistant",
    MessageRole.CHATBOT: "assistant",
    MessageRole.TOOL: "tool",
    MessageRole.FUNCTION: "tool",
}


def to_glmv(messages: Iterable[ChatMessage], intake: Intake) -> list[glmv.Message]:
    """A conversation of LlamaIndex -> ours.

    Args:
        messages: read only; neither they nor their blocks are changed.
        intake: the rules; its notes get one line for each thing that was left out.

    Returns:
        Messages without empty ones, every block in its place; the core moves media of tools and assistants to users.

    Raises:
        UnsupportedContent: a block that the wire has no place for, by message, role and name.
    """
    mapped = (_message(message, index, intake) for index, message in enumerate(messages))
    return [message for message in mapped if message is not None]


def reads_files(messages: Iterable[ChatMessage]) -> bool:
    """Whether a block names a file that mapping will read: then async callers do it in a thread."""
    return any(_path_of(block) for message in messages for block in message.blocks)


def _path_of(block: object) -> bool:
    match block:
        case CitableBlock(content=blocks):
            return any(map(_path_of, blocks))
        case CitationBlock(cited_content=inner):
            return _path_of(inner)
        case _:
            return getattr(block, "path", None) is not None


def _message(message: object, index: int, intake: Intake) -> glmv.Message | None:
    if not isinstance(message, ChatMessage):
        kind = type(message).__name__
        raise glmv.InvalidRequestError(f"messages[{index}] is a {kind}; give a ChatMessage, with blocks for pictures.")
    role = ROLES[message.role]
    where = f"messages[{index}] ({message.role.value})"
    parts: list[glmv.Part] = []
    calls: list[glmv.ToolCall] = []
    thoughts: list[str] = []
    for block in message.blocks:
        match block:
            case TextBlock():
                parts.append(glmv.Text(block.text))
            case ThinkingBlock() if role == "assistant":
                thoughts.append(block.content or "")
            case ToolCallBlock() if role == "assistant":
                calls.append(_call(block.tool_call_id, block.tool_name, block.tool_kwargs))
            case _:
                parts.extend(parts_of_block(block, where, intake))
    legacy = message.additional_kwargs
    if role == "assistant" and not calls:
        calls.extend(legacy_calls(legacy.get("tool_calls")))
    if role != "user":
        parts = _in_lines(parts)
    if not (calls or role == "tool" or any(not isinstance(part, glmv.Text) or part.text for part in parts)):
        # Chat engines send system messages without any block; the platform refuses empty content.
        return None
    return glmv.Message(
        role,
        parts,
        tool_calls=calls,
        tool_call_id=legacy.get("tool_call_id") if role == "tool" else None,
        reasoning="\n".join(thoughts) or None,
    )


def _in_lines(parts: list[glmv.Part]) -> list[glmv.Part]:
    """Texts in lines of their own, as `ChatMessage.content` has them: the wire has one string for these roles."""
    first = next((part for part in parts if isinstance(part, glmv.Text)), None)
    return [
        glmv.Text(f"\n{part.text}") if isinstance(part, glmv.Text) and part is not first else part for part in parts
    ]


def parts_of_block(block: object, where: str, intake: Intake) -> list[glmv.Part]:
    """One block -> its parts.

    Args:
        block: a content block that any role can hold.
        where: the place, for messages: "messages[2] (tool)".
        intake: the rules, and where notes go.

    Raises:
        InvalidRequestError: a block that cannot be sent, by its place and name.
    """
    try:
        return list(_parts(block, where, intake))
    except glmv.InvalidRequestError as error:
        intake.refuse(error, f"{where}, {type(block).__name__}")
        return []


def _parts(block: object, where: str, intake: Intake) -> Iterator[glmv.Part]:
    match block:
        case TextBlock():
            yield glmv.Text(block.text)
        case ImageBlock():
            yield intake.medium(glmv.Image, data=block.image, path=block.path, url=block.url)
            if block.detail is not None:
                intake.note(where, f"detail={block.detail!r} was left out, GLM-4V has no such field.")
        case VideoBlock():
            yield intake.medium(glmv.Video, data=block.video, path=block.path, url=block.url)
            for name, value in (("detail", block.detail), ("fps", block.fps)):
                if value is not None:
                    intake.note(where, f"{name}={value!r} was left out, GLM-4V samples videos by itself.")
        case DocumentBlock():
            yield intake.medium(glmv.File, data=block.data, path=block.path, url=block.url, name=block.title)
        case CitableBlock():
            yield glmv.Text(f"[{block.title}] ({block.source})")
            for inner in block.content:
                yield from parts_of_block(inner, f"{where}, CitableBlock", intake)
        case CitationBlock():
            yield from parts_of_block(block.cited_content, f"{where}, CitationBlock", intake)
            yield glmv.Text(f"[{block.title}] ({block.source})")
        case CachePoint():
            intake.note(where, "a CachePoint was left out, the platform caches prompts by itself.")
        case ThinkingBlock() | ToolCallBlock():
            raise intake.no_place("It belongs into a message of the assistant.")
        case _:
            raise intake.no_place(
                "GLM-4V takes text, pictures, video, files: give its content as a TextBlock, such as a transcript."
            )


def _call(call_id: object, name: str, arguments: object) -> glmv.ToolCall:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)
    return glmv.ToolCall(str(call_id or ""), name, text or "{}")


def legacy_calls(calls: object) -> list[glmv.ToolCall]:
    """`additional_kwargs["tool_calls"]` of other integrations, dicts or OpenAI's objects -> our calls."""
    if not isinstance(calls, Sequence) or isinstance(calls, str):
        return []
    found = []
    for call in calls:
        function = _get(call, "function")
        name = _get(function, "name")
        if name:
            found.append(_call(_get(call, "id"), str(name), _get(function, "arguments") or "{}"))
    return found


def _get(holder: Any, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
