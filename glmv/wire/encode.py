"""Converts a request to the bytes of its body. No I/O, no clock.

The shapes are those of docs.bigmodel.cn and docs.z.ai, "Chat Completion".
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from typing import Any

from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media import File, Image, Video
from glmv.media.text import shown
from glmv.options import ChatRequest
from glmv.types import Media, Message, Part, Text, media_in, modality
from glmv.wire.dialect import Dialect

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
# Replaces base64 while the body is made; random, so that no text can contain it, by chance or on purpose.
_MARK = f"@glmv-{secrets.token_hex(16)}:"


class Body:
    """The bytes of a request, iterable in parts, so that 27 MB of base64 are never copied into one string.

    `len(body)` is the Content-Length. Iterating again gives the same bytes, so a retry sends the same body.
    """

    __slots__ = ("_most", "_parts", "_size")

    def __init__(self, parts: list[bytes], most: int | None = None) -> None:
        self._parts = parts
        self._most = most
        self._size = sum(map(len, parts))

    def __len__(self) -> int:
        return self._size

    @property
    def large(self) -> bool:
        """Whether the body is sent part by part."""
        return len(self._parts) != 1

    def cut(self, most: int) -> Body:
        """The same body, iterable in pieces of at most `most` bytes, each of which is a copy."""
        return Body(self._parts, most)

    def __iter__(self) -> Iterator[bytes]:
        if self._most is None:
            yield from self._parts
            return
        for part in self._parts:
            view = memoryview(part)
            for start in range(0, len(part), self._most):
                yield bytes(view[start : start + self._most])

    def __bytes__(self) -> bytes:
        return b"".join(self._parts)

    def __repr__(self) -> str:
        return f"Body({self._size} bytes)"


def encode(
    request: ChatRequest, dialect: Dialect, *, stream: bool, lists: bool = False, request_id: str | None = None
) -> Body:
    """Makes the JSON body of a request.

    Args:
        request: checked by `request.check.check`.
        dialect: the server's dialect.
        stream: ask for server-sent events.
        lists: always send the content of user messages as a list of parts (the glm-4v of 2024 requires a list).
        request_id: the id of this attempt. "" sends no id; None sends the id from the request's options.

    Raises:
        InvalidRequestError: a value cannot be written as JSON.
    """
    blobs: list[bytes] = []
    body: dict[str, Any] = {"model": request.model}
    options = request.options
    if request_id is not None and dialect.own_fields:
        options = {**options, "request_id": request_id}
    for name, value in dialect.translated(options).items():
        body |= _option(name, value, dialect)
    body["messages"] = [_message(message, dialect, blobs, lists=lists) for message in request.messages]
    if stream:
        body["stream"] = True
        body |= _stream_options(request.options.get("stream_options"), dialect)
    if extra := request.options.get("extra_body"):
        body = _with_extra(body, extra)
    return Body(_dump(body, blobs))


def json_body(payload: Mapping[str, Any]) -> Body:
    """The body of a request to an endpoint other than chat.

    Raises:
        InvalidRequestError: a value cannot be written as JSON.
    """
    return Body(_dump(payload, []))


def _dump(body: Mapping[str, Any], blobs: list[bytes]) -> list[bytes]:
    try:
        text = _JSON.encode(body).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"The request cannot be written as JSON: {error}") from None
    if not blobs:
        return [text]
    head, *rest = text.split(_MARK.encode())
    parts = [head]
    for piece in rest:
        number, _, tail = piece.partition(b"@")
        parts += [blobs[int(number)], tail]
    return parts


def _option(name: str, value: Any, dialect: Dialect) -> dict[str, Any]:
    match name:
        case "extra_body" | "parallel_tool_calls" | "stream_options":
            return {}
        case "request_id" if not value:
            return {}
        case "thinking":
            return _thinking(value, dialect)
        case "tools" if dialect.functions_only:
            for index, tool in enumerate(value):
                if tool.get("type") != "function":
                    raise UnsupportedContent(
                        f"tools[{index}] has the type {shown(tool.get('type'))}; servers of dialect "
                        f"{dialect.name!r} take functions only."
                    )
            return {name: value}
        case _:
            return {name: value}


def _thinking(value: bool | str | Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    match value:
        case "auto":
            return {}
        case Mapping():
            on, more = value.get("type") != "disabled", {key: each for key, each in value.items() if key != "type"}
            own = dict(value)
        case _:
            on, more = bool(value), {}
            own = {"type": "enabled" if on else "disabled"}
    match dialect.thinking:
        case "chat_template_kwargs":
            # The other key of the platform's dict, `clear_thinking`, is a variable of the same name in GLM's template
            # (chat_template.jinja of zai-org/GLM-4.7).
            return {"chat_template_kwargs": {"enable_thinking": on, **more}}
        case "reasoning":
            return {"reasoning": {"enabled": on}}
        case "thinking":
            allowed = [name for name in dialect.allows if name == "thinking"]
            return {"thinking": own, **({"allowed_openai_params": allowed} if allowed else {})}


def _stream_options(options: Mapping[str, Any] | bool | None, dialect: Dialect) -> dict[str, Any]:
    """The body key that asks for the usage of a stream. Used for streams only: vLLM refuses it in other requests."""
    if options is None and dialect.stream_usage:
        return {"stream_options": {"include_usage": True}}
    return {"stream_options": options} if options else {}


# Keys that the dialect may set: values of the user for the same keys are merged, not replaced.
_MERGED = ("chat_template_kwargs", "reasoning", "stream_options", "allowed_openai_params")


def _with_extra(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The body with the keys of `extra_body`. They override keys of the body; the keys in `_MERGED` are merged."""
    merged = {name: _merged(body[name], extra[name]) for name in _MERGED if name in body and name in extra}
    return {**body, **extra, **merged}


def _merged(ours: Any, theirs: Any) -> Any:
    match ours, theirs:
        case Mapping(), Mapping():
            both = {name: _merged(ours[name], theirs[name]) for name in ours.keys() & theirs.keys()}
            return {**ours, **theirs, **both}
        case list(), list():
            return [*ours, *(each for each in theirs if each not in ours)]
        case _:
            return theirs


def _message(message: Message, dialect: Dialect, blobs: list[bytes], *, lists: bool) -> dict[str, Any]:
    wire: dict[str, Any] = {"role": message.role}
    match message.role:
        case "user":
            only_text = not message.content or (len(message.content) == 1 and isinstance(message.content[0], Text))
            wire["content"] = (
                message.text if only_text and not lists else [_part(part, dialect, blobs) for part in message.content]
            )
        case "system" | "assistant" | "tool":
            # "GLM chat template silently drops list content for tool/assistant": these are sent as strings.
            if media_in(message.content):
                raise UnsupportedContent(f"A {message.role} message takes text only; move media to a user message.")
            # "助理消息时，数据类型为 string" (bigmodel.cn, glm-4v), also if a user's content is a list.
            wire["content"] = message.text
            if message.reasoning:
                wire["reasoning_content"] = message.reasoning
            if message.tool_calls:
                wire["tool_calls"] = [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments},
                    }
                    for call in message.tool_calls
                ]
            if message.tool_call_id is not None:
                wire["tool_call_id"] = message.tool_call_id
        case _:
            raise UnsupportedContent(
                f"The role {shown(message.role)} does not exist; roles are system, user, assistant and tool."
            )
    return wire


def _part(part: Part, dialect: Dialect, blobs: list[bytes]) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Image() | Video():
            kind = f"{modality(part)}_url"
            url = part.url if part.url is not None else _blob(part, dialect.base64 == "data_uri", blobs)
            return {"type": kind, kind: {"url": url}}
        case File() if not dialect.files:
            raise UnsupportedContent(f"Servers of dialect {dialect.name!r} do not accept files: send pictures.")
        case File(file_id=str(file_id)):
            return {"type": "file", "file": {"file_id": file_id}}
        case File(url=str(url)):
            return {"type": "file_url", "file_url": {"url": url}}
        case File():
            file = {"file_data": _blob(part, True, blobs)}
            return {"type": "file", "file": file | ({"filename": part.name} if part.name else {})}
        case _:
            raise UnsupportedContent(f"A part of type {type(part).__name__} cannot be sent.")


def _blob(part: Media, data_uri: bool, blobs: list[bytes]) -> str:
    blobs.append(part.base64())
    prefix = f"data:{part.mime};base64," if data_uri else ""
    return f"{prefix}{_MARK}{len(blobs) - 1}@"
