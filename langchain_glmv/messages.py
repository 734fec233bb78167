"""Messages to the model: `image(x)` and `video(x)` make content blocks, `to_glmv` converts messages in one pass.

Nothing that a user sends is dropped without a note. Pictures, videos and files stay in their message; glmv later moves
them if the platform does not read them in a message of that role.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue, PromptValue, StringPromptValue

import glmv
from langchain_glmv.chunks import BROKEN
from langchain_glmv.content import MessageContext, lacks_mime_type, medium_in, parts_of, with_blocks, with_mime_type
from langchain_glmv.errors import joined_errors

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage


class OpenFile(Protocol):
    """An open file, or an object with the same `read` method, such as an upload of a web framework."""

    def read(self, size: int = ..., /) -> Any:
        """Return up to `size` bytes."""


Source = str | os.PathLike[str] | bytes | bytearray | memoryview | OpenFile

_ROLES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
_ASKING = ("human", "chat")  # message types that can become a user message
# Blocks of an AIMessage: those whose content is also in its `tool_calls`, and those that only their provider can read.
_CARRIED = {"tool_call_chunk", "invalid_tool_call", "function_call"}
_FOREIGN = {
    "redacted_thinking",
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_result",
    "server_tool_use",
    "web_search_tool_result",
}


def image(source: Source | PILImage | glmv.Image, *, store: glmv.PictureStore | None = None) -> dict[str, Any]:
    """A path, bytes, base64, open file, Pillow picture or URL -> `{"type": "image", ...}` for a message's content.

    A str with a scheme is a URL, which the platform fetches; a str that begins like a picture in base64 is base64; any
    other str is a path, and this function opens the file. So do not call it on a string from a message.

    Args:
        source: the picture.
        store: the picture is written into this store, and the block contains a reference to it,
            `"file_id": "glmv-sha256-..."`; `ChatGLMV(picture_store=store)` sends the picture. Without a store the
            block contains the picture as base64. The block of a URL always contains the URL.

    Raises:
        InvalidRequestError: the file does not exist, or is not a picture.
        OSError: the store cannot be written.
    """
    with joined_errors():
        return block_of(glmv.Image.of(source), store)


def video(source: Source | glmv.Video, *, store: glmv.PictureStore | None = None) -> dict[str, Any]:
    """A path, bytes, base64, an open file or a URL -> `{"type": "video", ...}` for a message's content.

    Args:
        source: the video.
        store: as for `image`.

    Raises:
        InvalidRequestError: the file does not exist, or is not a video.
        OSError: the store cannot be written.
    """
    with joined_errors():
        return block_of(glmv.Video.of(source), store)


async def aimage(source: Source | PILImage | glmv.Image, *, store: glmv.PictureStore | None = None) -> dict[str, Any]:
    """`image` for async code: a worker thread reads, checks and encodes the picture, a few pictures at a time.

    Use it in the handlers of a server, so that other requests need not wait.

    Raises:
        InvalidRequestError: as `image`.
        OSError: as `image`.
    """
    return await glmv.in_worker(partial(image, source, store=store))


async def avideo(source: Source | glmv.Video, *, store: glmv.PictureStore | None = None) -> dict[str, Any]:
    """`video` for async code: a worker thread reads, checks and encodes the video, a few videos at a time.

    Raises:
        InvalidRequestError: as `video`.
        OSError: as `video`.
    """
    return await glmv.in_worker(partial(video, source, store=store))


def block_of(media: glmv.Image | glmv.Video, store: glmv.PictureStore | None = None) -> dict[str, Any]:
    """The content block of a picture or video: with the URL if there is one, else a reference if `store` is given,
    else base64.
    """
    kind = "image" if isinstance(media, glmv.Image) else "video"
    if media.url is not None:
        return {"type": kind, "url": media.url}
    if store is not None:
        if not isinstance(store, glmv.PictureStore):
            raise glmv.InvalidRequestError(f"store must be a glmv.PictureStore; got {type(store).__name__}.")
        return {"type": kind, "file_id": store.add(media), "mime_type": media.mime}
    return {"type": kind, "base64": media.base64().decode("ascii"), "mime_type": media.mime}


def typed(prompt: PromptValue) -> PromptValue:
    """Adds missing MIME types to the base64 pictures of a prompt, because LangChain's tracing requires MIME types.

    Raises:
        InvalidRequestError: an image block contains something other than a picture, and is not a tool's result.
    """
    if isinstance(prompt, StringPromptValue):
        return prompt
    messages = prompt.to_messages()
    if not any(lacks_mime_type(block) for message in messages for block in _blocks(message.content)):
        return prompt
    return ChatPromptValue(
        messages=[
            message.model_copy(update={"content": [_typed(block, index, message) for block in message.content]})
            if isinstance(message.content, list)
            else message
            for index, message in enumerate(messages)
        ]
    )


def _typed(block: Any, index: int, message: BaseMessage) -> Any:
    try:
        return with_mime_type(block)
    except glmv.InvalidRequestError as error:
        if isinstance(message, ToolMessage):  # not the programmer's mistake: `_parts_of_result` tells the model
            return {**block, "mime_type": "application/octet-stream"}
        error.message = f"messages[{index}] ({message.type}), block {block['type']!r}: {error.message}"
        raise


def to_glmv(
    messages: Sequence[BaseMessage],
    model: str,
    store: glmv.PictureStore | None = None,
    *,
    may_be_empty: bool = False,
) -> tuple[list[glmv.Message], tuple[str, ...]]:
    """LangChain messages -> glmv messages, and notes about what was left out.

    Args:
        messages: the messages as LangChain passes them to a model.
        model: the model's name, for error messages.
        store: resolves references; a reference raises an error if there is no store.
        may_be_empty: whether the newest message may be an empty user message; True when tokens are counted. An empty
            user message before other messages is kept: whether it is sent depends on the server.

    Raises:
        UnsupportedContent: a block or message cannot be sent; the error names its type, its position and an
            alternative.
        InvalidRequestError: the newest message is an empty user message.
    """
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    notes: list[str] = []
    mapped: list[glmv.Message] = []
    for index, message in enumerate(messages):
        mapped += _converted(message, MessageContext(index, message.type, model, notes, store), answered)
    if mapped and mapped[-1].role == "user" and not mapped[-1].content and not may_be_empty:
        index = max(at for at, message in enumerate(messages) if message.type in _ASKING)
        raise glmv.InvalidRequestError(
            f"messages[{index}] ({messages[index].type}) is empty: give it text, a picture, a video or a file."
        )
    return mapped, tuple(dict.fromkeys(notes))


def _converted(message: BaseMessage, context: MessageContext, answered: set[str]) -> list[glmv.Message]:
    match message:
        case SystemMessage():
            return _unless_empty(glmv.Message("system", _lines(message.content, context)), context)
        case HumanMessage():
            return _human(message, context)
        case AIMessage():
            return _unless_empty(_assistant(message, context, answered), context)
        case ToolMessage():
            return [_tool(message.content, message.tool_call_id, message.status == "error", context)]
        case ChatMessage() if (kind := _ROLES.get(message.role.lower())) is not None:
            same = kind(content=message.content, additional_kwargs=message.additional_kwargs)
            return _converted(same, context, answered)
        case ChatMessage():
            raise glmv.UnsupportedContent(
                f"messages[{context.index}] has role {glmv.shown(message.role)}. The role of a ChatMessage is user, "
                "assistant or system; use a ToolMessage for the result of a tool."
            )
        case _:
            raise glmv.UnsupportedContent(
                f"messages[{context.index}] is a {type(message).__name__}. What works: SystemMessage, HumanMessage, "
                "AIMessage, ToolMessage, and ChatMessage with role user, assistant or system."
            )


def _unless_empty(message: glmv.Message, context: MessageContext) -> list[glmv.Message]:
    if message.content or message.tool_calls:
        return [message]
    context.notes.append(f"messages[{context.index}], an empty {message.role} message, was left out.")
    return []


def _human(message: HumanMessage, context: MessageContext) -> list[glmv.Message]:
    if message.name:
        context.leave_out("name")
    results: list[glmv.Message] = []
    parts: list[glmv.Part] = []
    for block in _blocks(message.content):
        match block:
            case {"type": "tool_result", "tool_use_id": call, **rest}:
                results.append(_tool(rest.get("content") or "", str(call), bool(rest.get("is_error")), context))
            case _:
                parts += parts_of(block, context)
    return [*results, glmv.Message("user", parts)] if parts or not results else results


def _assistant(message: AIMessage, context: MessageContext, answered: set[str]) -> glmv.Message:
    calls = [
        glmv.ToolCall(call["id"] or "", call["name"], _json(call["args"], call["name"], context))
        for call in message.tool_calls
    ]
    call_ids = {call.id for call in calls}
    thoughts: list[str] = []
    parts: list[glmv.Part] = []
    for block in _blocks(message.content):
        match block:
            case {"type": "reasoning", "reasoning": str(thought)} | {"type": "thinking", "thinking": str(thought)}:
                thoughts.append(thought)
            case {"type": "reasoning"}:
                context.leave_out("reasoning without text")
            case {"type": "tool_use" | "tool_call", "id": call_id, "name": str(name), **rest}:
                if call_id not in call_ids:
                    arguments = rest.get("input") or rest.get("args") or {}
                    calls.append(glmv.ToolCall(str(call_id), name, _json(arguments, name, context)))
            case {"type": str(kind)} if kind in _CARRIED:
                pass
            case {"type": str(kind)} | {"type": "non_standard", "value": {"type": str(kind)}} if kind in _FOREIGN:
                context.leave_out(kind)
            case {"type": "refusal", "refusal": str(refusal)}:
                parts += [glmv.Text(refusal)] if refusal else []
            case _:
                parts += parts_of(block, context)
    # Invalid calls are sent as text, since arguments must be JSON. Those with a result are also sent as calls, because
    # a result needs its call.
    for broken in message.invalid_tool_calls:
        name, arguments = broken.get("name") or "", (broken.get("args") or "").removeprefix(BROKEN)
        parts.append(glmv.Text(f"\n[A call of {name!r} had arguments that are not valid: {arguments}]"))
        if broken.get("id") in answered:
            calls.append(glmv.ToolCall(str(broken["id"]), name, "{}"))
    reasoning = "".join(thoughts) or message.additional_kwargs.get("reasoning_content") or None
    return glmv.Message("assistant", parts, tool_calls=calls, reasoning=reasoning)


def _tool(content: Any, call_id: str, failed: bool, context: MessageContext) -> glmv.Message:
    if isinstance(content, str):
        content = with_blocks(content)
    parts = _lines(content, context, _parts_of_result)
    if failed and not (parts and isinstance(parts[0], glmv.Text) and parts[0].text.lower().startswith("error")):
        parts.insert(0, glmv.Text("Error: "))
    return glmv.Message("tool", parts, tool_call_id=call_id)


def _parts_of_result(block: object, context: MessageContext) -> list[glmv.Part]:
    """Like `parts_of`, but content that cannot be sent or is not in the store becomes a sentence for the model."""
    try:
        return parts_of(block, context)
    except glmv.InvalidRequestError as error:
        what = medium_in(block, by=("url", "base64") if context.store is None else ("url", "base64", "id"))
        if what is None:
            raise
        where, reason = f"messages[{context.index}]", error.message.partition(": ")[2] or error.message
        context.notes.append(f"{where}: a {what} in a tool's result was replaced by a sentence. The reason: {reason}")
        # The error of a store names its folder, which the model must not see.
        why = reason.split(". ")[0] if medium_in(block, by=("url", "base64")) else "its reference is not in the store"
        return [glmv.Text(f"[A {what} in this result cannot be shown to you: {why}]")]


def _lines(
    content: Any,
    context: MessageContext,
    convert: Callable[[object, MessageContext], list[glmv.Part]] = parts_of,
) -> list[glmv.Part]:
    """Converts content to parts that are sent as one string, in which each block begins a new line."""
    parts: list[glmv.Part] = []
    for block in _blocks(content):
        for part in convert(block, context):
            parts += [glmv.Text("\n"), part] if parts else [part]
    return parts


def _blocks(content: Any) -> Iterable[Any]:
    return content if isinstance(content, list) else (content,)


def _json(arguments: object, name: str, context: MessageContext) -> str:
    try:
        return json.dumps(arguments, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise glmv.UnsupportedContent(
            f"messages[{context.index}].tool_calls: the arguments of {glmv.shown(name, 60)} cannot be written as JSON: "
            f"{error}"
        ) from None
