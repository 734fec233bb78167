"""LlamaIndex's messages -> ours: every block is mapped, or refused by its name. No I/O but for typed paths.

A block's `path` is a typed field, so the programmer vouches for it and it is read. A block's `url` is handed
on for the platform to fetch and never fetched here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import IOBase
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


def to_glmv(messages: Sequence[ChatMessage], notes: list[str]) -> list[glmv.Message]:
    """A conversation of LlamaIndex -> ours.

    Args:
        messages: read only; neither they nor their blocks are changed.
        notes: gets one line for each thing that was left out.

    Returns:
        Messages without empty ones, every block in its place; the core moves media of tools and assistants to users.

    Raises:
        UnsupportedContent: a block that the wire has no place for, by message, role and name.
    """
    mapped = (_message(message, index, notes) for index, message in enumerate(messages))
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


def _message(message: ChatMessage, index: int, notes: list[str]) -> glmv.Message | None:
    role = ROLES[message.role]
    where = f"messages[{index}] ({message.role.value})"
    parts: list[glmv.Part] = []
    calls: list[glmv.ToolCall] = []
    thoughts: list[str] = []
    for block in message.blocks:
        match block:
            case ThinkingBlock() if role == "assistant":
                thoughts.append(block.content or "")
            case ToolCallBlock() if role == "assistant":
                calls.append(_call(block.tool_call_id, block.tool_name, block.tool_kwargs))
            case ThinkingBlock() | ToolCallBlock():
                raise glmv.UnsupportedContent(
                    f"{where}: a {type(block).__name__} belongs into an assistant message only."
                )
            case _:
                parts.extend(part_of(block, where, notes))
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


def part_of(block: object, where: str, notes: list[str]) -> Iterator[glmv.Part]:
    """One block -> its parts.

    Args:
        block: a content block that any role can hold.
        where: the place, for messages: "messages[2] (tool)".
        notes: gets one line for each thing that was left out.

    Raises:
        UnsupportedContent: a block that the wire has no place for.
    """
    match block:
        case TextBlock():
            yield glmv.Text(block.text)
        case ImageBlock():
            if block.detail is not None:
                notes.append(f"{where}: detail={block.detail!r} was left out, GLM-4V has no such field.")
            yield _image(block, where)
        case VideoBlock():
            for name, value in (("detail", block.detail), ("fps", block.fps)):
                if value is not None:
                    notes.append(f"{where}: {name}={value!r} was left out, GLM-4V samples videos by itself.")
            yield _video(block, where)
        case DocumentBlock():
            yield _file(block, where)
        case CitableBlock():
            yield glmv.Text(f"[{block.title}] ({block.source})")
            for inner in block.content:
                yield from part_of(inner, where, notes)
        case CitationBlock():
            yield from part_of(block.cited_content, where, notes)
            yield glmv.Text(f"[{block.title}] ({block.source})")
        case CachePoint():
            notes.append(f"{where}: a CachePoint was left out, the platform caches prompts by itself.")
        case _:
            raise glmv.UnsupportedContent(
                f"{where}: {type(block).__name__} cannot be sent; GLM-4V takes text, pictures, video, files. "
                "Give its content as a TextBlock, for example as a transcript."
            )


def _image(block: ImageBlock, where: str) -> glmv.Image:
    match block:
        case ImageBlock(image=bytes(base64)) if base64:
            # The block's own validator stores base64: `resolve_image` would decode and encode it again.
            return glmv.Image.from_base64(base64)
        case ImageBlock(image=IOBase() as file):
            return glmv.Image.from_bytes(_content(file))
        case ImageBlock(path=path) if path is not None:
            return glmv.Image.from_path(path)
        case ImageBlock(url=url) if url is not None:
            return glmv.Image.from_url(str(url))
        case _:
            raise _empty(block, where)


def _video(block: VideoBlock, where: str) -> glmv.Video:
    match block:
        case VideoBlock(video=bytes(base64)) if base64:
            return glmv.Video.from_base64(base64)
        case VideoBlock(video=IOBase() as file):
            return glmv.Video.from_bytes(_content(file))
        case VideoBlock(path=path) if path is not None:
            return glmv.Video.from_path(path)
        case VideoBlock(url=url) if url is not None:
            return glmv.Video.from_url(str(url))
        case _:
            raise _empty(block, where)


def _file(block: DocumentBlock, where: str) -> glmv.File:
    name = block.title
    match block:
        case DocumentBlock(data=bytes(base64)) if base64:
            return glmv.File.from_base64(base64, name=name)
        case DocumentBlock(data=IOBase() as file):
            return glmv.File.from_bytes(_content(file), name=name)
        case DocumentBlock(path=path) if path is not None:
            return glmv.File.from_path(path)
        case DocumentBlock(url=url) if url is not None:
            return glmv.File.from_url(str(url), name=name)
        case _:
            raise _empty(block, where)


def _content(file: IOBase) -> bytes:
    file.seek(0)
    data = file.read()
    file.seek(0)  # the block belongs to the caller, who may send it again
    return bytes(data)


def _empty(block: object, where: str) -> glmv.UnsupportedContent:
    kind = type(block).__name__
    return glmv.UnsupportedContent(f"{where}: the {kind} is empty, it has neither content nor path nor url.")


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
