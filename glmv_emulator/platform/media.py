"""Gets the bytes of media, without any network access, and measures them."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Literal

from glmv_emulator.answers import Medium
from glmv_emulator.eyes import SeenImage, SeenVideo, Unreadable, look_image, look_video
from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.messages import Place
from glmv_emulator.platform.models import MB, Model
from glmv_emulator.platform.settings import Settings

# bigmodel.cn docs, chat completion, image_url: "each under 5 MB, at most 6000 x 6000 pixels; jpg, png, jpeg".
PICTURE_BYTES = 5 * MB
PICTURE_SIDE = 6000
PICTURE_FORMATS = {"JPEG", "PNG"}
# docs.z.ai, chat completion, file: "each file at most 50 MB".
FILE_BYTES = 50 * MB

_DATA_URI = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,", re.IGNORECASE)
Own = Callable[[str], bytes | None]
Dialect = Literal["platform", "proxy"]


def look(place: Place, model: Model, settings: Settings, dialect: Dialect, hosted: Own, uploaded: Own) -> Medium:
    """The medium at a position. Its bytes are known if they were sent in base64, hosted by the emulator or uploaded.

    A picture or video whose bytes are known is measured.
    """
    if place.type == "file":
        return _file(place, model, hosted, uploaded)
    url = place.value.get("url")
    if not isinstance(url, str) or not url:
        raise Refusal("1213", f"messages.content.{place.type}.url")
    if re.match(r"https?://", url, re.IGNORECASE):
        data = hosted(url)
        return Medium(place.kind, place.message, place.part, url, _seen(place, data, model, settings), data)
    url_only = place.kind == "file" or (place.kind == "video" and "video-base64" in settings.strict)
    if url_only or not model.base64:
        raise Refusal("1210", "该模型不支持base64，请传入URL", "this model takes a URL, no base64")
    data = _decoded(url, place.kind, settings, dialect)
    return Medium(place.kind, place.message, place.part, None, _seen(place, data, model, settings), data)


def _decoded(text: str, kind: str, settings: Settings, dialect: Dialect) -> bytes:
    prefix = _DATA_URI.match(text[:200])
    if prefix is None and dialect == "proxy":
        raise Refusal("1210", "请使用URL或data URI", "give a URL or a data URI")
    if prefix is not None and dialect == "platform" and "base64" in settings.strict:
        raise _unreadable(kind, "data URI")
    if prefix is not None and (prefix["type"] or "").partition("/")[0].lower() != kind:
        raise _unreadable(kind, f"{prefix['type']}")
    try:
        # The platform accepts only the standard alphabet with padding, without blanks and line breaks.
        return binascii.a2b_base64(text[prefix.end() :] if prefix else text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise _unreadable(kind, "base64") from None


def _seen(place: Place, data: bytes | None, model: Model, settings: Settings) -> SeenImage | SeenVideo | None:
    if data is None or place.kind == "file":
        return None
    try:
        if place.kind == "image":
            return _checked_image(data)
        return _checked_video(data, model, settings)
    except Unreadable as problem:
        raise _unreadable(place.kind, problem.reason) from problem


def _checked_image(data: bytes) -> SeenImage:
    if len(data) > PICTURE_BYTES:
        raise Refusal("1210", "图片大小超过限制 5M", "the picture is over 5 MB")
    seen = look_image(data)
    if seen.format not in PICTURE_FORMATS:
        raise _unreadable("image", seen.format)
    if max(seen.width, seen.height) > PICTURE_SIDE:
        size = f"{seen.width}x{seen.height}"
        raise Refusal("1210", f"图片像素超过限制 6000*6000：{size}", f"over 6000 x 6000 pixels: {size}")
    return seen


def _checked_video(data: bytes, model: Model, settings: Settings) -> SeenVideo:
    limit = model.video_bytes // MB
    if len(data) > model.video_bytes:
        raise Refusal("1210", f"视频大小超过限制 {limit}M", f"the video is over {limit} MB")
    seen = look_video(data)
    formats = settings.read(model.video_formats)
    if seen.container.lower() not in formats:
        raise _unreadable("video", seen.container)
    if model.video_seconds is not None and seen.duration > model.video_seconds:
        raise Refusal("1210", f"视频时长超过限制 {model.video_seconds:g}s", f"over {model.video_seconds:g} seconds")
    return seen


def _file(place: Place, model: Model, hosted: Own, uploaded: Own) -> Medium:
    keys = [name for name in ("file_id", "file_url", "file_data") if place.value.get(name)]
    if len(keys) != 1:
        raise Refusal("1215" if keys else "1213", " / ".join(keys) or "file.file_id / file_url / file_data")
    value = place.value[keys[0]]
    if not isinstance(value, str):
        raise Refusal("1214", f"file.{keys[0]}")
    match keys[0]:
        case "file_id":
            data = uploaded(value) if model.file_id else None
            if data is None:
                raise _bad_file()
        case "file_url":
            if not re.match(r"https?://", value, re.IGNORECASE):
                raise _bad_file()
            data = hosted(value)
        case _:
            prefix = _DATA_URI.match(value[:200])
            if prefix is None:
                raise _bad_file()
            try:
                data = binascii.a2b_base64(value[prefix.end() :], strict_mode=True)
            except (binascii.Error, ValueError):
                raise _bad_file() from None
    if data is not None and len(data) > FILE_BYTES:
        raise Refusal("1210", "文件大小超过限制 50M", "the file is over 50 MB")
    url = value if keys[0] == "file_url" else None
    return Medium("file", place.message, place.part, url, None, data)


def _unreadable(kind: str, reason: str) -> Refusal:
    noun = {"image": "图片", "video": "视频"}.get(kind, "文件")
    return Refusal("1210", f"{noun}输入格式/解析错误（{reason}）", f"{kind} input cannot be parsed ({reason})")


def _bad_file() -> Refusal:
    return Refusal("1210", "文件解析失败，请检查文件可访问性和格式", "the file cannot be parsed, check it")
