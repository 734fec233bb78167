"""Checks the messages of a request and finds the media in them (docs.bigmodel.cn, chat completion, "messages")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from glmv_emulator.platform import proxy
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.models import Model
from glmv_emulator.platform.settings import Settings

ROLES = ("system", "user", "assistant", "tool")
KINDS: dict[str, Literal["image", "video", "file"]] = {
    "image_url": "image",
    "video_url": "video",
    "file_url": "file",
    "file": "file",
}


@dataclass(frozen=True, slots=True)
class Place:
    """The position of a medium in the messages, and its content part."""

    kind: Literal["image", "video", "file"]
    type: str
    message: int
    part: int
    value: dict[str, Any]


def check(messages: Any, model: Model, settings: Settings, *, proxied: bool = False) -> list[Place]:
    """The media in messages, in order; raises the platform's refusal if the messages are invalid.

    `proxied` means that the request came to `/v1`, where every role may have a list of parts, in any order.
    """
    if messages is None:
        raise Refusal("1213", "messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise Refusal("1214", "messages")
    if proxied:
        return _proxied(messages, model, settings)
    turns_only = settings.read(model.turns_only)
    tool_turns = takes_tool_turns(model, settings)
    places: list[Place] = []
    for index, message in enumerate(messages):
        _check_role(message.get("role"), turns_only, tool_turns)
        places += _content(message, index, model, settings, turns_only=turns_only)
    _check_results(messages)
    _check_order([message["role"] for message in messages])
    _check_counts(places, model, settings)
    _check_mixture(places, model)
    return places


def _proxied(messages: list[dict[str, Any]], model: Model, settings: Settings) -> list[Place]:
    places: list[Place] = []
    for index, message in enumerate(messages):
        if message.get("role") not in proxy.ROLES:
            raise Refusal("1214", "messages.role")
        match message.get("content"):
            case None if message["role"] != "assistant":
                raise Refusal("1213", "messages.content")
            case None | str():
                continue
            case list() as parts:
                places += [
                    place
                    for part, value in enumerate(parts)
                    for place in _part(value, "user", index, part, model, settings, strict=False)
                ]
            case _:
                raise Refusal("1214", "messages.content")
    _check_results(messages)
    _check_counts(places, model, settings)
    return places


def takes_tool_turns(model: Model, settings: Settings) -> bool:
    """Whether the messages may contain tool calls and their results."""
    return settings.read(model.tools) and not (model.kind == "vision" and "tool-turns" in settings.strict)


def _check_role(role: Any, turns_only: bool, tools: bool) -> None:
    # Users report the message "Incorrect role information" for a role that the model does not accept.
    allowed = ("user", "assistant") if turns_only else ROLES if tools else ROLES[:3]
    if role not in allowed:
        name = str(role)[:32]
        raise Refusal("1214", f"角色信息不正确：{name}，", f"messages.role (Incorrect role information {name})")


def _check_order(roles: list[str]) -> None:
    turns = [role for role in roles if role != "system"]
    if "user" not in turns or turns[0] != "user":
        raise Refusal("1214", "messages")


def _check_results(messages: list[dict[str, Any]]) -> None:
    """Check that each tool result has the id of an earlier call; a result without an id is accepted."""
    call_ids: set[str] = set()
    for message in messages:
        if (
            message["role"] == "tool"
            and message.get("tool_call_id") is not None
            and str(message["tool_call_id"]) not in call_ids
        ):
            raise Refusal("1214", "messages.tool_call_id")
        calls = message.get("tool_calls")
        call_ids |= (
            {str(call.get("id")) for call in calls if isinstance(call, dict)} if isinstance(calls, list) else set()
        )


def _content(message: dict[str, Any], index: int, model: Model, settings: Settings, *, turns_only: bool) -> list[Place]:
    role, content = message["role"], message.get("content")
    if role == "assistant" and message.get("tool_calls"):
        if not takes_tool_turns(model, settings):
            raise Refusal("1210", "该模型不支持 tool_calls", "this model takes no tool_calls")
        if content is None:
            return []
    match content:
        case None:
            raise Refusal("1213", "messages.content")
        case str() if role == "user" and turns_only:
            raise Refusal("1210", "messages.content 应为数组", "messages.content must be an array")
        case str():
            if role == "user" and not content.strip():
                raise Refusal("1214", "messages.content", "messages: Input cannot be empty, content")
            return []
        case list() if role in ("user", "assistant") and content:
            return [
                place
                for part, value in enumerate(content)
                for place in _part(value, role, index, part, model, settings)
            ]
        case _:
            raise Refusal("1214", "messages.content")


def _part(
    value: Any, role: str, message: int, part: int, model: Model, settings: Settings, *, strict: bool = True
) -> list[Place]:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise Refusal("1214", "messages.content.type")
    kind = value["type"]
    if kind == "text":
        if not isinstance(value.get("text"), str):
            raise Refusal("1213", "messages.content.text")
        return []
    types_allowed = _types_of(model, settings) if role == "user" else set()
    if kind not in types_allowed:
        types = str(sorted(types_allowed | {"text"}))
        raise Refusal(
            "1210",
            f"messages.content.type 参数非法，取值范围 {types}",
            f"messages.content.type is illegal, it may be {types}",
        )
    inner = value.get(kind)
    if not isinstance(inner, dict):
        raise Refusal("1213", f"messages.content.{kind}")
    if strict and kind == "image_url" and "detail" in settings.strict and set(inner) - {"url"}:
        raise Refusal("1210", "image_url 只有 url", "image_url has a url only")
    return [Place(KINDS[kind], kind, message, part, inner)]


def _types_of(model: Model, settings: Settings) -> set[str]:
    types = {"image_url"} if model.images else set()
    if model.videos:
        types.add("video_url")
    if model.files:
        types.add("file_url")
    if settings.read(model.file_part):
        types.add("file")
    return types


def _check_counts(places: list[Place], model: Model, settings: Settings) -> None:
    number = {kind: sum(place.kind == kind for place in places) for kind in ("image", "video", "file")}
    if number["image"] > settings.read(model.images):
        raise Refusal("1210", "输入图片数量超过限制", "too many pictures in the input")
    if number["video"] > model.videos:
        raise Refusal("1210", "输入视频数量超过限制", "too many videos in the input")
    if number["file"] > model.files:
        raise Refusal("1210", "输入文件数量超过限制", "too many files in the input")


def _check_mixture(places: list[Place], model: Model) -> None:
    number = {kind: sum(place.kind == kind for place in places) for kind in ("image", "video", "file")}
    # "Pictures, videos and files cannot be understood at the same time" (bigmodel.cn docs, GLM-4V to GLM-5.3-Flash).
    if sum(1 for many in number.values() if many) > 1:
        kinds = " 与 ".join(kind for kind, many in number.items() if many)
        raise Refusal("1215", kinds, kinds.replace("与", "and"))
    for place in places:
        if place.kind == "video" and model.video_first and place.part != 0:
            raise Refusal("1210", "video_url 必须位于 content 首位", "video_url must be first in content")
