"""Puts measurements into words, in English and in Chinese."""

# ruff: noqa: E501 - a row of words and patterns reads better unbroken
from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from glmv_emulator.answers.turn import Numbered
from glmv_emulator.eyes import Colour, SeenImage, SeenVideo

Language = Literal["en", "zh"]
Seen = SeenImage | SeenVideo

_KINDS = {"image": ("Picture", "图"), "video": ("Video", "视频"), "file": ("File", "文件")}
LONGEST_URL = 80


def label(item: Numbered, language: Language) -> str:
    """How an answer speaks of a medium: "Picture 2", "图2"."""
    english, chinese = _KINDS[item.medium.kind]
    return f"{english} {item.number}" if language == "en" else f"{chinese}{item.number}"


def orientation(width: int, height: int) -> tuple[str, str]:
    """Landscape, portrait or square."""
    if width == height:
        return "square", "正方形"
    return ("landscape", "横向") if width > height else ("portrait", "纵向")


def percent(share: float) -> str:
    return f"{round(100 * share)}%"


def colours(found: Sequence[Colour], language: Language) -> str:
    """Names, mean values and shares: "red #ff0000 (60%), ..."."""
    if language == "en":
        return ", ".join(f"{colour.name} {colour.hex} ({percent(colour.share)})" for colour in found)
    return "、".join(f"{colour.chinese} {colour.hex}（{percent(colour.share)}）" for colour in found)


def light_of(seen: Seen) -> float:
    if isinstance(seen, SeenImage):
        return seen.brightness
    return sum(frame.brightness for frame in seen.frames) / len(seen.frames) if seen.frames else 0.0


def _tone(light: float) -> tuple[str, str]:
    if light < 0.35:
        return "dark", "偏暗"
    return ("bright", "明亮") if light > 0.65 else ("of medium brightness", "亮度适中")


@dataclass(frozen=True, slots=True)
class Attribute:
    """Something that can be asked of one medium: the words that ask for it, and the words that answer."""

    key: str
    asked: str
    asked_chinese: str
    english: Callable[[Seen], str]
    chinese: Callable[[Seen], str]


def _format(seen: Seen) -> str:
    return seen.format if isinstance(seen, SeenImage) else seen.container.upper()


def _frames(seen: Seen) -> int:
    return seen.frames if isinstance(seen, SeenImage) else len(seen.frames)


def _channels(seen: Seen, language: Language) -> str:
    if not isinstance(seen, SeenImage):
        return f"its codec is {seen.codec}" if language == "en" else f"编码为 {seen.codec}"
    if language == "en":
        clear = (
            f"{percent(seen.transparent)} of it is transparent" if seen.transparent else "nothing of it is transparent"
        )
        return f"its mode is {seen.mode} and {clear}"
    return f"模式为 {seen.mode}，透明部分占 {percent(seen.transparent)}"


def _length(seen: Seen, language: Language) -> str:
    if isinstance(seen, SeenImage):
        return "it is a still picture" if seen.frames == 1 else f"it has {seen.frames} frames"
    if not seen.duration:
        return "it does not tell how long it lasts" if language == "en" else "没有注明时长"
    return f"it lasts {seen.duration:.1f} seconds" if language == "en" else f"时长 {seen.duration:.1f} 秒"


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute(
        "width", "width|how wide", "宽度|多宽|宽是|宽多", lambda s: f"it is {s.width} pixels wide", lambda s: f"宽 {s.width} 像素"
    ),
    Attribute(
        "height", "height|how (?:tall|high)", "高度|多高|高是|高多", lambda s: f"it is {s.height} pixels high",
        lambda s: f"高 {s.height} 像素",
    ),
    Attribute(
        "bytes", r"bytes?|file ?size|kilobytes?|kb|heavy", "字节|文件大小|体积",
        lambda s: f"the file has {s.size_bytes} bytes", lambda s: f"文件 {s.size_bytes} 字节",
    ),
    Attribute(
        "size", r"(?<!file )size|dimensions?|resolution|how (?:big|large)|pixels?|megapixels?", "尺寸|(?<!文件)大小|分辨率|多大|像素|长宽",
        lambda s: f"it measures {s.width} x {s.height} pixels", lambda s: f"尺寸 {s.width} × {s.height} 像素",
    ),
    Attribute(
        "format", r"format|(?:file|image) ?type|(?:type|kind) of (?:file|image|picture)|jpe?g|png|webp|gif|container|extension", "格式|文件类型",
        lambda s: f"its format is {_format(s)}", lambda s: f"格式为 {_format(s)}",
    ),
    Attribute(
        "orientation", "orientation|portrait|landscape|upright|aspect", "横向|竖|纵向|方向|比例",
        lambda s: f"it is {orientation(s.width, s.height)[0]} ({s.width / s.height:.2f} to 1)",
        lambda s: f"{orientation(s.width, s.height)[1]}（{s.width / s.height:.2f} : 1）",
    ),
    Attribute(
        "colour", r"colou?rs?|colou?red|hues?|palette|shades?", "颜色|色彩|什么色|主色|色调",
        lambda s: f"its colours are {colours(s.colours, 'en')}", lambda s: f"主要颜色：{colours(s.colours, 'zh')}",
    ),
    Attribute(
        "brightness", "bright(?:ness)?|dark(?:ness)?|luminance|exposure", "亮度|明亮|暗",
        lambda s: f"it is {_tone(light_of(s))[0]} (brightness {light_of(s):.2f} on a scale of 0 to 1)",
        lambda s: f"{_tone(light_of(s))[1]}（亮度 {light_of(s):.2f}，范围 0 到 1）",
    ),
    Attribute(
        "hash", r"sha-?256|hash|checksum|digest|fingerprint", "哈希|校验|指纹",
        lambda s: f"its SHA-256 is {s.sha256}", lambda s: f"SHA-256 为 {s.sha256}",
    ),
    Attribute(
        "frames", "frames?|animat(?:ed|ion)", "帧|动图|动画",
        lambda s: f"frames seen: {_frames(s)}", lambda s: f"看到 {_frames(s)} 帧",
    ),
    Attribute(
        "mode", "mode|alpha|transparen(?:t|cy)|channels?|codec|encoding", "模式|透明|通道|编码",
        lambda s: _channels(s, "en"), lambda s: _channels(s, "zh"),
    ),
    Attribute(
        "duration", "duration|how long|how many seconds|lasts?", "时长|多长|多久|几秒|多少秒",
        lambda s: _length(s, "en"), lambda s: _length(s, "zh"),
    ),
)  # fmt: skip


_MAGIC = ((b"%PDF", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\xd0\xcf\x11\xe0", "OLE"), (b"{\\rtf", "RTF"))
LONGEST_EXCERPT = 300


def _file(item: Numbered, data: bytes, language: Language) -> str:
    kind = next((name for magic, name in _MAGIC if data.startswith(magic)), "")
    excerpt = ""
    if not kind:
        try:
            excerpt = " ".join(data.decode()[: 4 * LONGEST_EXCERPT].split())[:LONGEST_EXCERPT]
        except UnicodeDecodeError:
            excerpt = ""
        kind = "text" if excerpt else "unknown"
    pages = len(re.findall(rb"/Type\s*/Page(?![a-zA-Z])", data)) if kind == "PDF" else 0
    digest = hashlib.sha256(data).hexdigest()[:12]
    if language == "zh":
        counted = f"，{pages} 页" if pages else ""
        told = f"{label(item, language)}：类型 {kind}，{len(data)} 字节{counted}，SHA-256 开头为 {digest}。"
        return told + (f"开头的内容：{excerpt}" if excerpt else "")
    counted = f", pages: {pages}" if pages else ""
    told = f"{label(item, language)} holds {len(data)} bytes of kind {kind}{counted}; its SHA-256 begins with {digest}."
    return told + (f" It begins: {excerpt}" if excerpt else "")


def not_looked_at(item: Numbered, language: Language) -> str:
    """Says of a medium that nobody looked at it; of a file that came with the request, what its bytes show."""
    if item.medium.data is not None:
        return _file(item, item.medium.data, language)
    url = item.medium.url or ""
    shown = url if len(url) <= LONGEST_URL else url[: LONGEST_URL - 1] + "…"
    where = f" ({shown})" if shown and not shown.startswith("data:") else ""
    if language == "en":
        return f"{label(item, language)}{where} was not looked at, since this emulator opens no outside address."
    return f"{label(item, language)}{where}没有被查看：模拟器不访问外部地址。"


def describe(item: Numbered, language: Language) -> str:
    """All that was measured of a medium, in two or three sentences."""
    seen, name = item.medium.seen, label(item, language)
    match seen:
        case None:
            return not_looked_at(item, language)
        case SeenImage():
            shape_en, shape_zh = orientation(seen.width, seen.height)
            tone_en, tone_zh = _tone(seen.brightness)
            if language == "en":
                frames = f", {seen.frames} frames" if seen.frames > 1 else ""
                return (
                    f"{name} is a {seen.format} of {seen.width} x {seen.height} pixels ({shape_en}{frames}, "
                    f"{seen.size_bytes} bytes). Its main colours are {colours(seen.colours, language)}. "
                    f"It is {tone_en} ({seen.brightness:.2f}); its SHA-256 begins with {seen.sha256[:12]}."
                )
            frames = f"，{seen.frames} 帧" if seen.frames > 1 else ""
            return (
                f"{name}是 {seen.format} 图片，{seen.width} × {seen.height} 像素（{shape_zh}{frames}，{seen.size_bytes} 字节）。"
                f"主要颜色：{colours(seen.colours, language)}。{tone_zh}（亮度 {seen.brightness:.2f}）；"
                f"SHA-256 开头为 {seen.sha256[:12]}。"
            )
        case SeenVideo():
            return _describe_video(seen, name, language)
        case _:
            raise AssertionError(seen)


def _describe_video(seen: SeenVideo, name: str, language: Language) -> str:
    if language == "en":
        length = f"{seen.duration:.1f} seconds" if seen.duration else "unknown length"
        told = (
            f"{name} is a {seen.container.upper()} of {length}, {seen.width} x {seen.height} pixels "
            f"(codec {seen.codec}, {seen.size_bytes} bytes)."
        )
        shown = "; ".join(f"at {frame.at:.1f} s {colours(frame.colours[:3], language)}" for frame in seen.frames)
        return f"{told} Frames: {shown}." if shown else told
    told = (
        f"{name}是 {seen.container.upper()}，{_length(seen, language)}，{seen.width} × {seen.height} 像素"
        f"（编码 {seen.codec}，{seen.size_bytes} 字节）。"
    )
    shown = "；".join(f"{frame.at:.1f} 秒：{colours(frame.colours[:3], language)}" for frame in seen.frames)
    return f"{told}各帧：{shown}。" if shown else told
