"""Descriptions of media, in English and in Chinese. They state all that was measured and read.

For a picture: format, size in pixels, shape, bytes, main colours, brightness and the beginning of its SHA-256; then the
words and codes that were read, labels with their values, table rows, and the bars of a chart. For a video: container,
length, size and the colours of some frames. For a file: kind, bytes and its beginning.
"""

# ruff: noqa: E501 - a row of words and patterns is easier to read on one line
from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from glmv_emulator.answers.conversation import NumberedMedium
from glmv_emulator.answers.texts import Language
from glmv_emulator.eyes import Colour, SeenImage, SeenVideo, can_read
from glmv_emulator.eyes.sheet import sheet_of

Seen = SeenImage | SeenVideo

_KINDS = {"image": ("Picture", "图"), "video": ("Video", "视频"), "file": ("File", "文件")}
LONGEST_URL = 80


def label(item: NumberedMedium, language: Language) -> str:
    """The name of a medium in answers: "Picture 2", "图2"."""
    english, chinese = _KINDS[item.medium.kind]
    return f"{english} {item.number}" if language == "en" else f"{chinese}{item.number}"


def orientation(width: int, height: int) -> tuple[str, str]:
    """The shape (landscape, portrait or square) in English and in Chinese."""
    if width == height:
        return "square", "正方形"
    return ("landscape", "横向") if width > height else ("portrait", "纵向")


def percent(share: float) -> str:
    return f"{round(100 * share)}%"


def colours(items: Sequence[Colour], language: Language) -> str:
    """The names, mean RGB values and shares of colours: "red #ff0000 (60%), ..."."""
    if language == "en":
        return ", ".join(f"{colour.name} {colour.hex} ({percent(colour.share)})" for colour in items)
    return "、".join(f"{colour.chinese} {colour.hex}（{percent(colour.share)}）" for colour in items)


def light_of(seen: Seen) -> float:
    if isinstance(seen, SeenImage):
        return seen.brightness
    return sum(frame.brightness for frame in seen.frames) / len(seen.frames) if seen.frames else 0.0


def _tone(light: float) -> tuple[str, str]:
    if light < 0.35:
        return "dark", "偏暗"
    return ("bright", "明亮") if light > 0.65 else ("of medium brightness", "亮度适中")


_MAGIC = ((b"%PDF", "PDF"), (b"PK\x03\x04", "ZIP"), (b"\xd0\xcf\x11\xe0", "OLE"), (b"{\\rtf", "RTF"))
LONGEST_EXCERPT = 300


def _file(item: NumberedMedium, data: bytes, language: Language) -> str:
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
        pages_text = f"，{pages} 页" if pages else ""
        sentence = f"{label(item, language)}：类型 {kind}，{len(data)} 字节{pages_text}，SHA-256 开头为 {digest}。"
        return sentence + (f"开头的内容：{excerpt}" if excerpt else "")
    pages_text = f", pages: {pages}" if pages else ""
    sentence = (
        f"{label(item, language)} holds {len(data)} bytes of kind {kind}{pages_text}; its SHA-256 begins with {digest}."
    )
    return sentence + (f" It begins: {excerpt}" if excerpt else "")


def not_measured(item: NumberedMedium, language: Language) -> str:
    """The description of a medium that was not measured.

    For a file whose bytes are known: its kind, size and beginning. For any other medium: that its URL was not opened.
    """
    if item.medium.data is not None:
        return _file(item, item.medium.data, language)
    url = item.medium.url or ""
    short_url = url if len(url) <= LONGEST_URL else url[: LONGEST_URL - 1] + "…"
    where = f" ({short_url})" if short_url and not short_url.startswith("data:") else ""
    if language == "en":
        return f"{label(item, language)}{where} was not looked at, since this emulator opens no outside address."
    return f"{label(item, language)}{where}没有被查看：模拟器不访问外部地址。"


def describe(item: NumberedMedium, language: Language) -> str:
    """The description of a medium: all that was measured and read."""
    seen, name = item.medium.seen, label(item, language)
    match seen:
        case None:
            return not_measured(item, language)
        case SeenImage():
            return "\n".join([_describe_image(seen, name, language), *_read(item, language)])
        case SeenVideo():
            return _describe_video(seen, name, language)
        case _:
            raise AssertionError(seen)


def _describe_image(seen: SeenImage, name: str, language: Language) -> str:
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


def _read(item: NumberedMedium, language: Language) -> list[str]:
    """The text read in a picture, as lines; [] if there is none or the extra `eyes` is not installed."""
    sheet = sheet_of(item.medium.data) if can_read() else None
    if sheet is None or not (sheet.lines or sheet.codes):
        return []
    name = label(item, language)
    bars = [f"{label}: {value:g}" for label, value in sheet.bars()]
    pairs = [f"{label}: {value}" for label, value in sheet.pairs()]
    rows = [] if bars else [" | ".join(row) for row in sheet.table()]
    groups = [("Pairs", "对应", pairs), ("Rows", "行", rows), ("Bars", "柱", bars)]
    if language == "zh":
        sentences = [f"{chinese}：{'；'.join(values)}。" for _, chinese, values in groups if values]
        return [f"{name}上的文字：", sheet.text(), *sentences]
    return [
        f"{name} reads:",
        sheet.text(),
        *(f"{english}: {'; '.join(values)}." for english, _, values in groups if values),
    ]


def _describe_video(seen: SeenVideo, name: str, language: Language) -> str:
    if language == "en":
        length = f"{seen.duration:.1f} seconds" if seen.duration else "unknown length"
        sentence = (
            f"{name} is a {seen.container.upper()} of {length}, {seen.width} x {seen.height} pixels "
            f"(codec {seen.codec}, {seen.size_bytes} bytes)."
        )
        frames_text = "; ".join(f"at {frame.at:.1f} s {colours(frame.colours[:3], language)}" for frame in seen.frames)
        return f"{sentence} Frames: {frames_text}." if frames_text else sentence
    length = f"时长 {seen.duration:.1f} 秒" if seen.duration else "没有注明时长"
    sentence = (
        f"{name}是 {seen.container.upper()}，{length}，{seen.width} × {seen.height} 像素"
        f"（编码 {seen.codec}，{seen.size_bytes} 字节）。"
    )
    frames_text = "；".join(f"{frame.at:.1f} 秒：{colours(frame.colours[:3], language)}" for frame in seen.frames)
    return f"{sentence}各帧：{frames_text}。" if frames_text else sentence
