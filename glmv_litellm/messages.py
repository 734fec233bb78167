"""Converts LiteLLM's messages to dicts in OpenAI's form, which `glmv` accepts.

Strings in messages are not trusted: no file is opened, and no URL is fetched.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

# The keys of a message in OpenAI's reference, and `reasoning_content`. LiteLLM and frameworks that use it add keys that
# no server reads.
_KEYS = frozenset(
    {"role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content", "refusal", "audio", "function_call"}
)


def to_glmv(messages: Iterable[object]) -> list[Any]:
    """The messages of a conversation from LiteLLM as dicts, with only the keys that `glmv` knows.

    Args:
        messages: dicts or LiteLLM's `Message` objects; they are not changed.
    """
    return [_message(message) for message in messages]


def _message(message: object) -> Any:
    match message:
        case Mapping():
            fields = {name: value for name, value in message.items() if name in _KEYS}
            content = fields.get("content")
            if isinstance(content, list):
                fields["content"] = [_part(part) for part in content]
            return fields
        case _ if callable(dump := getattr(message, "model_dump", None)):
            return _message(dump())
        case _:
            return message  # `glmv` raises an error that says what a message is


def _part(part: Any) -> Any:
    """Convert a file in LiteLLM's form to a file, picture or video in OpenAI's form; return other parts unchanged.

    In LiteLLM's form, a URL or data URI may be under `file_data` or `file_id`, and a picture or video may be a file
    with a media type.
    """
    match part:
        case {"type": "file", "file": {"file_data": str(source), **rest}}:
            return _file(part, source, "file_data", rest)
        case {"type": "file", "file": {"file_id": str(source), **rest}}:
            return _file(part, source, "file_id", rest)
        case _:
            return part  # for an unknown part `glmv` raises an error that lists the accepted ones


def _file(part: Mapping[Any, Any], source: str, name: str, rest: Mapping[Any, Any]) -> dict[str, Any]:
    match source.partition(":")[0].lower():
        case "http" | "https":
            name = "file_url"
        case "data":
            name = "file_data"
    if name == "file_id":  # the id of a stored file, which `glmv` checks
        return {**part, "file": {name: source, **rest}}
    others = {key: value for key, value in rest.items() if key != "format"}
    kind = _media_type(source, rest.get("format")).partition("/")[0]
    if kind in ("image", "video"):
        return {"type": f"{kind}_url", f"{kind}_url": {"url": source}}
    return {**part, "file": {name: source, **others}}


def _media_type(source: str, media_type: object) -> str:
    """The media type in a data URI. If the source is another URL or an id: `media_type`, or "" if that is missing."""
    if source[:5].lower() == "data:":
        return source[5:].partition(",")[0].partition(";")[0].lower()
    return str(media_type or "").lower()
