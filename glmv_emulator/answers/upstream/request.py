"""Translates a request to the platform into a request to an OpenAI-compatible server.

Fields that the platform ignores are not sent: `tool_choice` for every model, and `response_format` for a vision model.
Requests to `/v1` keep both fields. `request_id`, `user_id` and other fields that only the platform has are not sent.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from glmv_emulator.answers.values import Medium
from glmv_emulator.eyes import SeenVideo, Unreadable
from glmv_emulator.eyes.frames import sampled_frames

# First bytes of a picture -> its media type.
PICTURES = {
    re.compile(rb"\xff\xd8\xff"): "image/jpeg",
    re.compile(rb"\x89PNG\r\n"): "image/png",
    re.compile(rb"GIF8"): "image/gif",
    re.compile(rb"RIFF....WEBP", re.DOTALL): "image/webp",
}
SAME = ("temperature", "top_p", "seed")
SAME_OF_PROXIES = ("tool_choice", "frequency_penalty", "presence_penalty", "parallel_tool_calls")


class Unsendable(Exception):
    """Content that cannot be sent to the server; `zh` and `en` are the message in Chinese and in English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A valid request. `body` is the original body; `messages`, `response_format` and `stream` override it.

    `model` is the model's name on the server; `proxied` means that the request came to `/v1`.
    """

    body: Mapping[str, Any]
    messages: Sequence[Mapping[str, Any]]
    media: Sequence[Medium]
    response_format: Mapping[str, Any] | None
    model: str
    stream: bool
    proxied: bool


def translated(question: Question) -> dict[str, Any]:
    """The body of the request to the server. The function can be slow, because it decodes frames of videos.

    - Pictures whose bytes are known become data URIs; URLs of other pictures are passed on to the server.
    - Videos whose bytes are known become pictures of their frames; URLs of other videos are passed on to the server.
    - Files become their text, or a picture.
    - `do_sample` false becomes temperature 0; `max_completion_tokens` becomes `max_tokens`, which all servers support.
    - `thinking` becomes `chat_template_kwargs.enable_thinking` (vLLM, SGLang, llama.cpp) if the request has it.
    - Tools of the platform itself (`web_search`, `retrieval`, `mcp`) are left out.

    Raises:
        Unsendable: a video cannot be decoded, PyAV is not installed for a video, a file is neither text nor a picture,
            or the bytes of a file are unknown.
    """
    fields = {name: value for name, value in question.body.items() if value is not None}
    body: dict[str, Any] = {"model": question.model, "messages": _messages(question), "stream": question.stream}
    if question.stream:
        body["stream_options"] = {"include_usage": True}
    for name in (*SAME, *(SAME_OF_PROXIES if question.proxied else ())):
        if name in fields:
            body[name] = fields[name]
    if fields.get("do_sample") is False:
        body.pop("top_p", None)
        body["temperature"] = 0
    if most := fields.get("max_completion_tokens", fields.get("max_tokens")):
        body["max_tokens"] = most
    if stop := fields.get("stop"):
        body["stop"] = stop
    if tools := [tool for tool in fields.get("tools", []) if tool.get("type") == "function"]:
        body["tools"] = tools
    else:
        for name in ("tool_choice", "parallel_tool_calls"):
            body.pop(name, None)
    if question.response_format is not None and question.response_format.get("type") != "text":
        body["response_format"] = question.response_format
    if (thinking := _thinking(fields)) is not None:
        body["chat_template_kwargs"] = {"enable_thinking": thinking}
    return body


def _thinking(fields: Mapping[str, Any]) -> bool | None:
    """Whether `thinking` or `chat_template_kwargs` turns thinking on; None if the request has neither field."""
    match fields:
        case {"thinking": {"type": "enabled" | "disabled" as kind}}:
            return bool(kind == "enabled")
        case {"chat_template_kwargs": {"enable_thinking": bool(switched)}}:
            return switched
        case _:
            return None


def _messages(question: Question) -> list[dict[str, Any]]:
    media = {(medium.message, medium.part): medium for medium in question.media}
    result = []
    unanswered: list[str] = []
    for index, message in enumerate(question.messages):
        # Not every server supports the role `developer`.
        role = "system" if message["role"] == "developer" else message["role"]
        converted: dict[str, Any] = {"role": role, "content": _content(message.get("content"), index, media)}
        calls = message.get("tool_calls")
        if role == "assistant" and isinstance(calls, list) and calls:
            converted["tool_calls"] = [_call(call, number) for number, call in enumerate(calls)]
            unanswered = [call["id"] for call in converted["tool_calls"]]
        if role == "tool":
            # The platform accepts a result without an id, other servers do not. Such results follow the calls' order.
            call_id = message.get("tool_call_id")
            converted["tool_call_id"] = (
                str(call_id) if call_id is not None else unanswered[0] if unanswered else "call_0"
            )
            unanswered = [identity for identity in unanswered if identity != converted["tool_call_id"]]
        result.append(converted)
    return result


def _call(call: Mapping[str, Any], number: int) -> dict[str, Any]:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {}, ensure_ascii=False)
    function_call = {"name": function.get("name"), "arguments": text}
    return {"id": str(call.get("id") or f"call_{number}"), "type": "function", "function": function_call}


def _content(content: Any, index: int, media: Mapping[tuple[int, int], Medium]) -> str | list[dict[str, Any]]:
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    parts = [sent for place, part in enumerate(content) for sent in _part(part, media.get((index, place)))]
    # Chat templates of text models accept only a string.
    texts = [part["text"] for part in parts if part["type"] == "text"]
    return "\n".join(texts) if len(texts) == len(parts) else parts


def _part(part: Any, medium: Medium | None) -> Iterator[dict[str, Any]]:
    if medium is None:
        yield {"type": "text", "text": part.get("text", "") if isinstance(part, dict) else str(part)}
    elif medium.kind == "file":
        yield _file(medium)
    elif medium.data is None:
        kind = f"{medium.kind}_url"
        yield {"type": kind, kind: {"url": medium.url}}
    elif medium.kind == "image":
        yield _picture(
            medium.data, {name: part["image_url"][name] for name in ("detail",) if name in part["image_url"]}
        )
    else:
        yield from _frames(medium, medium.data)


def _picture(data: bytes, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    kind = _picture_type(data) or "image/png"
    uri = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return {"type": "image_url", "image_url": {"url": uri, **(more or {})}}


def _picture_type(data: bytes) -> str | None:
    return next((kind for first, kind in PICTURES.items() if first.match(data)), None)


def _frames(medium: Medium, data: bytes) -> Iterator[dict[str, Any]]:
    seconds = medium.seen.duration if isinstance(medium.seen, SeenVideo) else 0.0
    try:
        frames = sampled_frames(data, seconds)
    except ImportError:
        raise Unsendable(
            '上游模型不接收视频，抽取画面需要 PyAV：pip install "glmv[video]"',
            'the upstream model takes no videos; PyAV can turn them into frames: pip install "glmv[video]"',
        ) from None
    except Unreadable as problem:
        raise Unsendable(
            f"视频画面无法解码（{problem.reason}）", f"no frame can be decoded: {problem.reason}"
        ) from None
    times = ", ".join(f"{at:.1f}" for at, _ in frames)
    yield {"type": "text", "text": f"{len(frames)} frames of a video of {seconds:.1f} s, at {times} s:"}
    yield from (_picture(frame) for _, frame in frames)


def _file(medium: Medium) -> dict[str, Any]:
    data = medium.data
    if data is None:
        raise Unsendable(
            "上游模型不接收文件，且模拟器不访问该 URL",
            "the upstream model takes no files, and the emulator fetches no URL",
        )
    if _picture_type(data) is not None:
        return _picture(data)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise Unsendable("上游模型只接收文本文件和图片", "the upstream model takes only text files and pictures")
    return {"type": "text", "text": text}
