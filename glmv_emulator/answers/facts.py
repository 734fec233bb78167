"""Measurements by name, for properties such as "width" or "dominant_color"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

from glmv_emulator.answers.conversation import NumberedMedium
from glmv_emulator.answers.describe import Seen, describe, light_of, orientation
from glmv_emulator.answers.texts import Language
from glmv_emulator.eyes import SeenImage, SeenVideo
from glmv_emulator.eyes.words import key_words


@dataclass(frozen=True, slots=True)
class Fact:
    """A value that can fill a property. The property's name must contain all words of at least one set in ``names``.

    ``key`` is the fact's own name. ``value`` may be a function that returns the value. ``in_words`` marks a
    description or an answer in words, which `Evidence.everything` leaves out.
    """

    key: str
    names: tuple[frozenset[str], ...]
    value: Any
    in_words: bool = False

    @classmethod
    def of(cls, *names: str, value: Any, in_words: bool = False) -> Self:
        """A fact with these names; the first one becomes its ``key``."""
        return cls(names[0].replace(" ", "_"), tuple(frozenset(key_words(name)) for name in names), value, in_words)

    def get(self) -> Any:
        """The value."""
        return self.value() if callable(self.value) else self.value


_IN_WORDS = ("description", "caption", "summary", "alt text", "描述", "说明", "概述")


def facts_of(item: NumberedMedium, language: Language) -> list[Fact]:
    """All facts about a medium; [] if it was not measured."""
    seen = item.medium.seen
    if seen is None:
        return []
    return [
        *_shared(seen),
        *(_of_image(seen) if isinstance(seen, SeenImage) else _of_video(seen)),
        Fact.of(*_IN_WORDS, value=partial(describe, item, language), in_words=True),
    ]


def _shared(seen: Seen) -> list[Fact]:
    names = [colour.name for colour in seen.colours]
    shape = orientation(seen.width, seen.height)[0]
    return [
        Fact.of("width", "w", "宽度", "宽", value=seen.width),
        Fact.of("height", "h", "高度", "高", value=seen.height),
        Fact.of("size bytes", "file size", "bytes", "字节", value=seen.size_bytes),
        Fact.of("sha256", "sha 256", "hash", "checksum", "digest", "哈希", value=seen.sha256),
        Fact.of("size", "dimensions", "resolution", "尺寸", "大小", "分辨率", value=f"{seen.width}x{seen.height}"),
        Fact.of("aspect ratio", "比例", value=round(seen.width / seen.height, 4)),
        Fact.of("orientation", "方向", value=shape),
        Fact.of("portrait", value=shape == "portrait"),
        Fact.of("landscape", value=shape == "landscape"),
        Fact.of("square", value=shape == "square"),
        Fact.of("pixels", "pixel count", "像素", value=seen.width * seen.height),
        Fact.of("megapixels", value=round(seen.width * seen.height / 1e6, 3)),
        Fact.of("brightness", "luminance", "亮度", value=round(light_of(seen), 4)),
        Fact.of("dark", value=light_of(seen) < 0.35),
        Fact.of("bright", value=light_of(seen) > 0.65),
        *(
            [
                Fact.of("hex", "hex color", "color hex", "rgb hex", value=seen.colours[0].hex),
                Fact.of("red", "r", value=seen.colours[0].rgb[0]),
                Fact.of("green", "g", value=seen.colours[0].rgb[1]),
                Fact.of("blue", "b", value=seen.colours[0].rgb[2]),
                Fact.of("rgb", value=list(seen.colours[0].rgb)),
                Fact.of("color", "colour", "hue", "颜色", "主色", "色彩", value=names[0]),
                Fact.of("colors", "palette", "color", value=names),
            ]
            if seen.colours
            else []
        ),
    ]


def _of_image(seen: SeenImage) -> list[Fact]:
    return [
        Fact.of("format", "file type", "image type", "格式", "类型", value=seen.format),
        Fact.of("mime type", "content type", "media type", value=f"image/{seen.format.lower()}"),
        Fact.of("mode", "模式", value=seen.mode),
        Fact.of("frames", "frame count", "帧数", value=seen.frames),
        Fact.of("animated", value=seen.frames > 1),
        Fact.of("transparent", "transparency", "alpha", value=seen.transparent > 0),
    ]


def _of_video(seen: SeenVideo) -> list[Fact]:
    return [
        Fact.of("format", "container", "格式", "类型", value=seen.container),
        Fact.of("codec", "编码", value=seen.codec),
        *([Fact.of("duration", "seconds", "length", "时长", value=round(seen.duration, 3))] if seen.duration else []),
    ]


def find_facts(facts: Sequence[Fact], name: str) -> list[Any]:
    """The values of the facts that fit a property's name; those that share more words with the name come first."""
    have = key_words(name)
    whole = set(have)
    scored: list[tuple[int, int, Fact]] = []
    for place, fact in enumerate(facts):
        fits = [len(key) for key in fact.names if key and key <= whole]
        # The last word is the noun: "line_width_color" is a colour and not a width.
        if fits and (have[-1] in {word for key in fact.names for word in key} or len(have) <= 2):
            scored.append((-max(fits), place, fact))
    return [fact.get() for _, _, fact in sorted(scored, key=lambda row: row[:2])]
