"""Reads answers in other forms than the documented one: older forms, and those of other servers. No I/O.

Only unambiguous forms are read. Sources: bigmodel.cn, API v3 (`data.choices` with the text in the choice);
OpenAI, "Completions" (`text`), "Responses" (`output`) and `function_call`; Anthropic, "Messages" (`tool_use`);
Alibaba DashScope (`output.text`, `output.choices`); Ollama (`message` or `response` without choices).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

# Fields that wrap an answer in such forms.
_WRAPS = ("data", "output", "result", "response")
# Fields of a choice or a message with parts of an answer.
KNOWN = frozenset({"content", "reasoning_content", "reasoning", "tool_calls", "function_call", "refusal", "text"})
# Fields of a choice or a message with facts about an answer.
_ABOUT = frozenset({"role", "index", "finish_reason", "stop_reason", "matched_stop", "logprobs", "token_ids", "name",
                    "delta", "message", "audio", "annotations", "provider_specific_fields", "id", "type", "object",
                    "native_finish_reason", "prompt_token_ids", "routed_experts", "images", "function"})  # fmt: skip


def unwrapped(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """An answer without `choices`, converted to the form with `choices`; None if the answer's own form is unknown."""
    for name in _WRAPS:
        match payload.get(name):
            case {"choices": [*choices], **inner} if choices:
                return {**payload, **{str(key): value for key, value in inner.items()}, "choices": choices}
            case {"text": str(text), **inner}:
                reason = inner.get("finish_reason")
                return _of({"content": text}, None if reason == "null" else reason, {**payload, "text": ""})
            case str(text) if name != "data":
                return _of({"content": text}, _reason(payload), payload)
            case [*items] if name == "output":
                if parts := [part for item in items for part in _output(item)]:
                    return _of({"content": parts}, _INCOMPLETE.get(_why(payload)), payload)
            case _:
                pass
    match payload.get("message"):
        case Mapping() as message if "content" in message or "tool_calls" in message:
            if isinstance(thought := message.get("thinking"), str):
                message = {"reasoning_content": thought, **message}
            return _of(message, _reason(payload), payload)
        case _:
            pass
    match payload:
        case {"role": "assistant", "content": content} | {"type": "message", "content": content}:
            return _of({"content": content}, _reason(payload), payload)
        case {"text": str(text)} | {"generated_text": str(text)}:
            return _of({"content": text}, _reason(payload), payload)
        case _:
            return None


def counted(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Usage in top-level fields of an answer, as Ollama sends it, or None."""
    if "eval_count" not in payload:
        return None
    return {"prompt_tokens": payload.get("prompt_eval_count"), "completion_tokens": payload["eval_count"]}


def _of(message: Mapping[str, Any], reason: object, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**payload, "choices": [{"message": message, "finish_reason": reason}]}


def _reason(payload: Mapping[str, Any]) -> object:
    reason = payload.get("finish_reason") or payload.get("done_reason") or payload.get("stop_reason")
    if not reason and payload.get("done") is True:
        return "stop"
    return {"end_turn": "stop", "stop_sequence": "stop", "max_tokens": "length", "tool_use": "tool_calls"}.get(
        str(reason), reason
    )


_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "content_filter"}


def _why(payload: Mapping[str, Any]) -> str:
    """The reason why an answer in the form of "Responses" is incomplete."""
    details = payload.get("incomplete_details")
    return str(details.get("reason")) if isinstance(details, Mapping) else ""


def _output(item: object) -> list[Any]:
    """An item of `output` -> content parts."""
    match item:
        case {"type": "reasoning" | "function_call"}:
            return [item]
        case {"content": [*parts]}:
            return parts
        case {"content": content}:
            return [content]
        case _:
            return []


def piece_of(choice: Mapping[str, Any]) -> Mapping[str, Any]:
    """The content of a choice whose `delta` is missing, empty or not an object; {} if there is no content."""
    for name in ("message", "delta"):
        match choice.get(name):
            case dict() as piece if piece:
                return piece
            case [dict() as piece]:
                return piece
            case [str(), *_] as parts:
                return {"content": parts}
            case str(text):
                return {"content": text}
            case _:
                pass
    if "content" not in choice and isinstance(choice.get("text"), str):
        return {**choice, "content": choice["text"]}
    return choice if KNOWN & choice.keys() else {}


def unread_in(choice: Mapping[str, Any], piece: Mapping[str, Any]) -> set[str]:
    """The kinds of content, such as audio, that a choice contains and glmv does not read."""
    kinds = {name for name in ("audio", "images") if piece.get(name)}
    if "message" in choice and not choice["message"] and not piece:
        kinds.add("message")
    content = piece.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, Mapping) and text_of(part) == ("", "") and not any(part.get(name) == "" for name in _TEXTS):
            kinds.add(f"content ({part.get('type')})")
    return kinds


_TEXTS = ("text", "thinking", "reasoning", "content", "refusal")


def unread(choice: Mapping[str, Any], piece: Mapping[str, Any]) -> set[str]:
    """The names of a choice's unknown fields. glmv does not read unknown fields, even if one contains an answer."""
    return {str(name) for name in {**choice, **piece} if name not in _ABOUT}


def calls_of(piece: Mapping[str, Any]) -> object:
    """The tool calls of a message or delta: in `tool_calls`, in the older `function_call`, or in content parts."""
    calls = piece.get("tool_calls")
    if not calls and isinstance(content := piece.get("content"), list | Mapping):
        return [call for part in (content if isinstance(content, list) else [content]) for call in _call_in(part)]
    if not calls and isinstance(function := piece.get("function_call"), Mapping):
        return [{"index": 0, "function": function}]
    return calls


def _call_in(part: object) -> list[dict[str, Any]]:
    match part:
        case {"type": "tool_use", "name": str(name), "input": arguments, **more}:
            return [{"id": more.get("id"), "function": {"name": name, "arguments": arguments}}]
        case {"type": "function_call", "name": str(name), "arguments": arguments, **more}:
            return [{"id": more.get("call_id") or more.get("id"), "function": {"name": name, "arguments": arguments}}]
        case _:
            return []


def text_of(content: object) -> tuple[str, str]:
    """Content in any form -> its text and its reasoning."""
    match content:
        case None:
            return "", ""
        case str():
            return content, ""
        case list():
            parts = [text_of(part) for part in content]
            return "".join(text for text, _ in parts), "".join(thought for _, thought in parts)
        case {"type": "thinking" | "reasoning" | "reasoning_text" | "summary_text" as kind, **fields}:
            thought = (fields.get(name) for name in (kind, "text", "content", "summary"))
            return "", "".join(text_of(next(filter(None, thought), None)))
        case {"type": "refusal", "refusal": str(text)}:
            return text, ""
        case {"text": {"value": str(text)}} | {"text": str(text)}:
            return text, ""
        case {"content": str() | list() as inner}:
            return text_of(inner)
        case {"type": str()}:
            return "", ""  # a picture or another part without text
        case _:
            return json.dumps(content, ensure_ascii=False), ""  # JSON that a gateway has parsed
