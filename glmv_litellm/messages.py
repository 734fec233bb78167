"""LiteLLM's messages -> those that the core reads, which are OpenAI-shaped dicts, too.

Strings in messages are not trusted: no file is opened, no URL fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# What a message may hold by OpenAI's reference, and `reasoning_content`. LiteLLM and the frameworks above it leave
# marks of their own in messages, which no server reads.
_KEYS = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "refusal", "audio", "function_call"}
)


def to_glmv(messages: Iterable[object]) -> list[Any]:
    """A conversation as LiteLLM hands it over -> the same with the keys that the core knows.

    Args:
        messages: dicts or LiteLLM's `Message` objects; they are not changed.
    """
    return [_message(message) for message in messages]


def _message(message: object) -> Any:
    match message:
        case Mapping():
            kept = {name: value for name, value in message.items() if name in _KEYS}
            content = kept.get("content")
            if isinstance(content, list):
                kept["content"] = [_part(part) for part in content]
            return kept
        case _ if callable(dump := getattr(message, "model_dump", None)):
            return _message(dump())
        case _:
            return message  # the core says what a message is


def _part(part: Any) -> Any:
    """A content part -> the same; a file in LiteLLM's words becomes what it is.

    LiteLLM takes a URL and a data URI by either of two names, and pictures and videos as files with a media type.
    """
    match part:
        case {"type": "file", "file": {"file_data": str(source), **rest}}:
            return _file(part, source, "file_data", rest)
        case {"type": "file", "file": {"file_id": str(source), **rest}}:
            return _file(part, source, "file_id", rest)
        case _:
            return part  # the core names the parts that it takes


def _file(part: Mapping[Any, Any], source: str, name: str, rest: Mapping[Any, Any]) -> dict[str, Any]:
    match source.partition(":")[0].lower():
        case "http" | "https":
            name = "file_url"
        case "data":
            name = "file_data"
    if name == "file_id":  # of a stored file, which the core judges
        return {**part, "file": {name: source, **rest}}
    others = {key: value for key, value in rest.items() if key != "format"}
    kind = _media_type(source, rest.get("format")).partition("/")[0]
    if kind in ("image", "video"):
        return {"type": f"{kind}_url", f"{kind}_url": {"url": source}}
    return {**part, "file": {name: source, **others}}


def _media_type(source: str, given: object) -> str:
    """What a file is said to be: by its data URI, or else by `format`."""
    if source[:5].lower() == "data:":
        return source[5:].partition(",")[0].partition(";")[0].lower()
    return str(given or "").lower()
