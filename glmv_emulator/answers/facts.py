"""Measurements by name, for whoever asks for a value called "width" or "dominant_color"."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from glmv_emulator.answers.describe import Language, Seen, describe, light_of, orientation
from glmv_emulator.answers.turn import Numbered
from glmv_emulator.answers.words import stem, words
from glmv_emulator.eyes import SeenImage, SeenVideo


@dataclass(frozen=True, slots=True)
class Fact:
    """A value and the words by one set of which it may be called."""

    names: tuple[frozenset[str], ...]
    value: Any


def _named(*names: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(key_words(name)) for name in names)


def key_words(name: str) -> list[str]:
    """The stems of a property's name, in order: "dominantColours" is [domin.., color]."""
    return [stem(word) for word in words(name)]


def facts_of(item: Numbered, language: Language) -> list[Fact]:
    """All that is known by name of one medium; for one that nobody looked at only that."""
    seen = item.medium.seen
    if seen is None:
        return []
    return [
        *_shared(seen),
        *(_of_image(seen) if isinstance(seen, SeenImage) else _of_video(seen)),
        Fact(_named("description", "caption", "summary", "alt text", "描述", "说明", "概述"), describe(item, language)),
    ]


def _shared(seen: Seen) -> list[Fact]:
    names = [colour.name for colour in seen.colours]
    shape = orientation(seen.width, seen.height)[0]
    return [
        Fact(_named("width", "w", "宽度", "宽"), seen.width),
        Fact(_named("height", "h", "高度", "高"), seen.height),
        Fact(_named("size bytes", "file size", "bytes", "字节"), seen.size_bytes),
        Fact(_named("sha256", "sha 256", "hash", "checksum", "digest", "哈希"), seen.sha256),
        Fact(_named("size", "dimensions", "resolution", "尺寸", "大小", "分辨率"), f"{seen.width}x{seen.height}"),
        Fact(_named("aspect ratio", "比例"), round(seen.width / seen.height, 4)),
        Fact(_named("orientation", "方向"), shape),
        Fact(_named("portrait"), shape == "portrait"),
        Fact(_named("landscape"), shape == "landscape"),
        Fact(_named("square"), shape == "square"),
        Fact(_named("pixels", "pixel count", "像素"), seen.width * seen.height),
        Fact(_named("megapixels"), round(seen.width * seen.height / 1e6, 3)),
        Fact(_named("brightness", "luminance", "亮度"), round(light_of(seen), 4)),
        Fact(_named("dark"), light_of(seen) < 0.35),
        Fact(_named("bright"), light_of(seen) > 0.65),
        *(
            [
                Fact(_named("hex", "hex color", "color hex", "rgb hex"), seen.colours[0].hex),
                Fact(_named("red", "r"), seen.colours[0].rgb[0]),
                Fact(_named("green", "g"), seen.colours[0].rgb[1]),
                Fact(_named("blue", "b"), seen.colours[0].rgb[2]),
                Fact(_named("rgb"), list(seen.colours[0].rgb)),
                Fact(_named("color", "colour", "hue", "颜色", "主色", "色彩"), names[0]),
                Fact(_named("colors", "palette", "color"), names),
            ]
            if seen.colours
            else []
        ),
    ]


def _of_image(seen: SeenImage) -> list[Fact]:
    return [
        Fact(_named("format", "file type", "image type", "格式", "类型"), seen.format),
        Fact(_named("mime type", "content type", "media type"), f"image/{seen.format.lower()}"),
        Fact(_named("mode", "模式"), seen.mode),
        Fact(_named("frames", "frame count", "帧数"), seen.frames),
        Fact(_named("animated"), seen.frames > 1),
        Fact(_named("transparent", "transparency", "alpha"), seen.transparent > 0),
    ]


def _of_video(seen: SeenVideo) -> list[Fact]:
    return [
        Fact(_named("format", "container", "格式", "类型"), seen.container),
        Fact(_named("codec", "编码"), seen.codec),
        *([Fact(_named("duration", "seconds", "length", "时长"), round(seen.duration, 3))] if seen.duration else []),
    ]


def find_facts(facts: list[Fact], name: str) -> list[Any]:
    """The values that may bear a name, the one that is named most exactly first."""
    have = key_words(name)
    whole = set(have)
    scored: list[tuple[int, int, Any]] = []
    for place, fact in enumerate(facts):
        fits = [len(key) for key in fact.names if key and key <= whole]
        # The head noun stands last: "line_width_color" is a colour and no width.
        if fits and (have[-1] in {word for key in fact.names for word in key} or len(have) <= 2):
            scored.append((-max(fits), place, fact.value))
    return [value for _, _, value in sorted(scored, key=lambda row: row[:2])]
