"""LangChain's messages -> glmv's, in one pass. Nothing a user sent is dropped in silence.

Pictures, videos and files stay where they stand; the core moves those that the platform would not see there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue, PromptValue, StringPromptValue

import glmv
from langchain_glmv._chunks import BROKEN
from langchain_glmv._content import Place, parts_of

_ROLES: dict[str, type[BaseMessage]] = {
    "user": HumanMessage,
    "human": HumanMessage,
    "assistant": AIMessage,
    "ai": AIMessage,
    "system": SystemMessage,
    "developer": SystemMessage,
}
# Blocks of an assistant's turn that its `tool_calls` repeat, or that only their maker can read.
_CARRIED = {"tool_call_chunk", "invalid_tool_call", "function_call"}
_FOREIGN = {
    "redacted_thinking",
    "server_tool_call",
    "server_tool_call_chunk",
    "server_tool_result",
    "server_tool_use",
    "web_search_tool_result",
}


def typed(prompt: PromptValue) -> PromptValue:
    """A prompt -> the same with a MIME type beside every picture: core's tracing raises where one is missing.

    Raises:
        UnsupportedContent: what is said to be a picture is none.
    """
    if isinstance(prompt, StringPromptValue):
        return prompt
    messages = prompt.to_messages()
    if not any(_is_untyped(block) for message in messages for block in _blocks(message.content)):
        return prompt
    return ChatPromptValue(
        messages=[
            message.model_copy(update={"content": [_typed(block) for block in message.content]})
            if isinstance(message.content, list)
            else message
            for message in messages
        ]
    )


def _is_untyped(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and block.get("type") == "image"
        and "mime_type" not in block
        and ("base64" in block or block.get("source_type") == "base64")
    )


def _typed(block: Any) -> Any:
    if not _is_untyped(block):
        return block
    return {**block, "mime_type": glmv.Image.from_base64(block.get("base64") or block.get("data") or "").mime}


def to_glmv(messages: Sequence[BaseMessage], model: str) -> tuple[list[glmv.Message], tuple[str, ...]]:
    """LangChain messages -> glmv messages, and notes about what was left out.

    Args:
        messages: as LangChain hands them over.
        model: the model's name, for error messages.

    Raises:
        UnsupportedContent: a block or message that cannot be sent; names its type, place and what would work.
        InvalidRequestError: an empty user message.
    """
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    notes: list[str] = []
    sent: list[glmv.Message] = []
    for index, message in enumerate(messages):
        sent += _sent(message, Place(index, message.type, model, notes), answered)
    return sent, tuple(dict.fromkeys(notes))


def _sent(message: BaseMessage, place: Place, answered: set[str]) -> list[glmv.Message]:
    match message:
        case SystemMessage():
            return _unless_empty(glmv.Message("system", _lines(message.content, place)), place)
        case HumanMessage():
            return _human(message, place)
        case AIMessage():
            return _unless_empty(_assistant(message, place, answered), place)
        case ToolMessage():
            return [_tool(message.content, message.tool_call_id, message.status == "error", place)]
        case ChatMessage() if (kind := _ROLES.get(message.role.lower())) is not None:
            same = kind(content=message.content, additional_kwargs=message.additional_kwargs)
            return _sent(same, place, answered)
        case ChatMessage():
            raise glmv.UnsupportedContent(
                f"messages[{place.index}] has role {message.role!r}; a ChatMessage is user, assistant or system, and a "
                "tool's result is a ToolMessage."
            )
        case _:
            raise glmv.UnsupportedContent(
                f"messages[{place.index}] is a {type(message).__name__}; what works: SystemMessage, HumanMessage, "
                "AIMessage, ToolMessage and ChatMessage with one of their roles."
            )


def _unless_empty(message: glmv.Message, place: Place) -> list[glmv.Message]:
    if message.content or message.tool_calls:
        return [message]
    place.notes.append(f"messages[{place.index}], an empty {message.role} message, was left out.")
    return []


def _human(message: HumanMessage, place: Place) -> list[glmv.Message]:
    if message.name:
        place.leave_out("name")
    results: list[glmv.Message] = []
    parts: list[glmv.Part] = []
    for block in _blocks(message.content):
        match block:
            case {"type": "tool_result", "tool_use_id": call, **rest}:
                results.append(_tool(rest.get("content") or "", str(call), bool(rest.get("is_error")), place))
            case _:
                parts += parts_of(block, place)
    if not (parts or results):
        raise glmv.InvalidRequestError(
            f"messages[{place.index}] (human) is empty: give it text, a picture, a video or a file."
        )
    return [*results, glmv.Message("user", parts)] if parts else results


def _assistant(message: AIMessage, place: Place, answered: set[str]) -> glmv.Message:
    calls = [glmv.ToolCall(call["id"] or "", call["name"], _json(call["args"])) for call in message.tool_calls]
    known = {call.id for call in calls}
    thoughts: list[str] = []
    parts: list[glmv.Part] = []
    for block in _blocks(message.content):
        match block:
            case {"type": "reasoning", "reasoning": str(thought)} | {"type": "thinking", "thinking": str(thought)}:
                thoughts.append(thought)
            case {"type": "reasoning"}:
                place.leave_out("reasoning without text")
            case {"type": "tool_use" | "tool_call", "id": call_id, "name": str(name), **rest}:
                if call_id not in known:
                    calls.append(glmv.ToolCall(str(call_id), name, _json(rest.get("input") or rest.get("args") or {})))
            case {"type": str(kind)} if kind in _CARRIED:
                pass
            case {"type": str(kind)} | {"type": "non_standard", "value": {"type": str(kind)}} if kind in _FOREIGN:
                place.leave_out(kind)
            case {"type": "refusal", "refusal": str(said)}:
                parts.append(glmv.Text(said))
            case _:
                parts += parts_of(block, place)
    # Calls that were not valid are told as text, since arguments must be JSON, and paired where they were answered.
    for broken in message.invalid_tool_calls:
        name, written = broken.get("name") or "", (broken.get("args") or "").removeprefix(BROKEN)
        parts.append(glmv.Text(f"\n[A call of {name!r} had arguments that are not valid: {written}]"))
        if broken.get("id") in answered:
            calls.append(glmv.ToolCall(str(broken["id"]), name, "{}"))
    reasoning = "".join(thoughts) or message.additional_kwargs.get("reasoning_content") or None
    return glmv.Message("assistant", parts, tool_calls=calls, reasoning=reasoning)


def _tool(content: Any, call_id: str, failed: bool, place: Place) -> glmv.Message:
    parts = _lines(content, place)
    if failed and not (parts and isinstance(parts[0], glmv.Text) and parts[0].text.lower().startswith("error")):
        parts.insert(0, glmv.Text("Error: "))
    return glmv.Message("tool", parts, tool_call_id=call_id)


def _lines(content: Any, place: Place) -> list[glmv.Part]:
    """Parts of a content that becomes one string: each block begins a line."""
    parts: list[glmv.Part] = []
    for block in _blocks(content):
        for part in parts_of(block, place):
            parts += [glmv.Text("\n"), part] if parts else [part]
    return parts


def _blocks(content: Any) -> Iterable[Any]:
    return content if isinstance(content, list) else (content,)


def _json(arguments: object) -> str:
    return json.dumps(arguments, ensure_ascii=False)
