"""LangChain's messages -> glmv's, in one pass. Nothing a user sent is dropped in silence.

The platform reads pictures, videos and files from users only (docs.bigmodel.cn, chat completions: only `user` content
takes parts). Those in system, assistant and tool messages move into a user message that follows; numbered lines at
both ends say which belongs where. They come after the last tool message of a group, since calls and results pair up.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

import glmv
from langchain_glmv._chunks import BROKEN
from langchain_glmv._content import Block, Part, Place, parts_of

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
_KINDS = {glmv.Image: "image", glmv.Video: "video", glmv.File: "file"}


def to_glmv(messages: Sequence[BaseMessage], model: str) -> tuple[tuple[glmv.Message, ...], tuple[str, ...]]:
    """LangChain messages -> glmv messages, and notes about what was left out or moved.

    Args:
        messages: as LangChain hands them over.
        model: the model's name, for error messages.

    Raises:
        UnsupportedContent: a block or message that cannot be sent; names its type, place and what would work.
        InvalidRequestError: an empty message.
    """
    turn = _Conversation(messages, model)
    for index, message in enumerate(messages):
        turn.add(index, message)
    turn.flush()
    return tuple(turn.out), tuple(dict.fromkeys(turn.notes))


class _Conversation:
    def __init__(self, messages: Sequence[BaseMessage], model: str) -> None:
        self.model = model
        self.out: list[glmv.Message] = []
        self.notes: list[str] = []
        self.moved: list[Part] = []
        self.count = 0
        self.answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}

    def add(self, index: int, message: BaseMessage) -> None:
        place = Place(index, message.type, self.model, self.notes)
        match message:
            case SystemMessage():
                self._system(message, place)
            case HumanMessage():
                self._human(message, place)
            case AIMessage():
                self._assistant(message, place)
            case ToolMessage():
                self._tool(message.content, message.tool_call_id, message.name, message.status == "error", place)
            case ChatMessage() if (kind := _ROLES.get(message.role.lower())) is not None:
                self.add(index, kind(content=message.content, additional_kwargs=message.additional_kwargs))
            case ChatMessage():
                raise glmv.UnsupportedContent(
                    f"messages[{index}] has role {message.role!r}; a ChatMessage is user, assistant or system, and a "
                    "tool's result is a ToolMessage."
                )
            case _:
                raise glmv.UnsupportedContent(
                    f"messages[{index}] is a {type(message).__name__}; what works: SystemMessage, HumanMessage, "
                    "AIMessage, ToolMessage and ChatMessage with one of their roles."
                )

    def flush(self) -> None:
        if self.moved:
            self.out.append(glmv.Message("user", self.moved))
            self.moved = []

    def _system(self, message: SystemMessage, place: Place) -> None:
        text = self._text_only(message.content, "the system message", place, between="\n")
        if text:
            self.out.append(glmv.Message("system", text))
        else:
            place.notes.append(f"messages[{place.index}], an empty system message, was left out.")

    def _human(self, message: HumanMessage, place: Place) -> None:
        if message.name:
            place.leave_out("name")
        parts: list[Part] = []
        sent = len(self.out)
        for block in _blocks(message.content):
            match block:
                case {"type": "tool_result", "tool_use_id": call, **rest}:
                    self._tool(rest.get("content") or "", str(call), None, bool(rest.get("is_error")), place)
                case _:
                    parts += parts_of(block, place)
        if parts or self.moved:
            self.out.append(glmv.Message("user", [*self.moved, *parts]))
            self.moved = []
        elif len(self.out) == sent:
            raise glmv.InvalidRequestError(
                f"messages[{place.index}] (human) is empty: give it text, a picture, a video or a file."
            )

    def _assistant(self, message: AIMessage, place: Place) -> None:
        self.flush()
        calls = [
            glmv.ToolCall(call["id"] or "", call["name"], json.dumps(call["args"], ensure_ascii=False))
            for call in message.tool_calls
        ]
        known = {call.id for call in calls}
        reasoning: list[str] = []
        content: list[str | Block] = []
        for block in _blocks(message.content):
            match block:
                case {"type": "reasoning", "reasoning": str(thought)} | {"type": "thinking", "thinking": str(thought)}:
                    reasoning.append(thought)
                case {"type": "reasoning"}:
                    place.leave_out("reasoning without text")
                case {"type": "tool_use" | "tool_call", "id": call_id, "name": str(name), **rest}:
                    if call_id not in known:
                        arguments = rest.get("input") if "input" in rest else rest.get("args")
                        calls.append(glmv.ToolCall(str(call_id), name, json.dumps(arguments or {}, ensure_ascii=False)))
                case {"type": str(kind)} if kind in _CARRIED:
                    pass
                case {"type": str(kind)} | {"type": "non_standard", "value": {"type": str(kind)}} if kind in _FOREIGN:
                    place.leave_out(kind)
                case {"type": "refusal", "refusal": str(said)}:
                    content.append(said)
                case _:
                    content.append(block)
        text = self._text_only(content, "the assistant's message", place)
        text += self._broken_calls(message, calls)
        thought = "".join(reasoning) or str(message.additional_kwargs.get("reasoning_content") or "")
        if text or calls:
            self.out.append(glmv.Message("assistant", text, tool_calls=calls, reasoning=thought or None))
        else:
            place.notes.append(f"messages[{place.index}], an empty assistant message, was left out.")

    def _broken_calls(self, message: AIMessage, calls: list[glmv.ToolCall]) -> str:
        """Calls that were not valid: told as text, since arguments must be JSON; paired where they were answered."""
        told = ""
        for call in message.invalid_tool_calls:
            written = (call.get("args") or "").removeprefix(BROKEN)
            told += f"\n[A call of {call.get('name')!r} had arguments that are not valid: {written}]"
            if call.get("id") in self.answered:
                calls.append(glmv.ToolCall(str(call["id"]), call.get("name") or "", "{}"))
        return told

    def _tool(self, content: Any, call_id: str, name: str | None, failed: bool, place: Place) -> None:
        source = f"tool {name!r}, call {call_id}" if name else f"call {call_id}"
        text = self._text_only(content, f"the result of {source}", place, between="\n")
        if failed and not text.lower().startswith("error"):
            text = f"Error: {text}"
        self.out.append(glmv.Message("tool", text, tool_call_id=call_id))

    def _text_only(self, content: Any, source: str, place: Place, *, between: str = "") -> str:
        """The text of a content that has room for text only; media move on, a line stands in their place."""
        lines: list[str] = []
        for block in _blocks(content):
            for part in parts_of(block, place):
                if isinstance(part, glmv.Text):
                    lines.append(part.text)
                    continue
                self.count += 1
                label = f"{_KINDS[type(part)]} {self.count}"
                lines.append(f"[{label}: shown in the user message below]")
                self.moved += [glmv.Text(f"[{label}, from {source}]"), part]
                place.notes.append(
                    f"{label} of {source} was moved into a user message: GLM reads media from users only."
                )
        return between.join(lines)


def _blocks(content: Any) -> Iterable[Any]:
    return content if isinstance(content, list) else (content,)
