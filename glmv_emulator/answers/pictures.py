"""Answers questions about pictures and videos."""

from __future__ import annotations

from glmv_emulator.answers.compare import compare, is_it, ordinals
from glmv_emulator.answers.describe import ATTRIBUTES, Attribute, Language, describe, label, not_looked_at
from glmv_emulator.answers.reading import about_text, all_words
from glmv_emulator.answers.turn import Numbered, Turn
from glmv_emulator.answers.words import content_words, has

_DESCRIBE = ("describe|description|caption|summari[sz]e|summary", "描述|概括|总结|说明一下")
_WRITTEN = ("text|words?|written|numbers?|read|transcribe|printed", "文字|文本|数字|写")
# Words of questions that measurements cannot answer.
_ABOUT_WORDS = (
    "reads?|written|mentions?|where|locate|coordinates?|bounding|bbox|ocr|qr|bar ?code|says?|text|total|words",
    "文字|写着|写了|提到|在哪|哪里|位置|坐标|二维码|条形码|读出|总计|合计",
)
_HOW_MANY = (
    "how many (?:pictures|images|photos|photographs|videos|screenshots)|number of (?:pictures|images)",
    "几张|多少张|几个视频",
)


def asked_of(text: str) -> list[Attribute]:
    """The attributes that a text asks for."""
    return [attribute for attribute in ATTRIBUTES if has(text, attribute.asked) or has(text, attribute.asked_chinese)]


def about_media(turn: Turn) -> str:
    """An answer to the turn's question out of what was measured and read."""
    return about_items(turn.request, turn.media, turn.language)


def about_items(text: str, items: list[Numbered], language: Language) -> str:
    """An answer to a question about some media."""
    if has(text, *_HOW_MANY):
        return _count(items, language)
    if has(text, *_DESCRIBE):
        written = has(text, *_WRITTEN)
        return " ".join(
            _described(item, asked_of(text), language, written=written) for item in chosen_media(text, items)
        )
    if has(text, *_ABOUT_WORDS) and (read := about_text(text, _named(text, items), language)) is not None:
        return read
    if (compared := compare(text, items, language)) is not None:
        unseen = [not_looked_at(item, language) for item in items if item.medium.seen is None]
        return " ".join([compared, *unseen])
    chosen = chosen_media(text, items)
    if len(chosen) == 1 and (verdict := is_it(text, chosen[0], language)) is not None:
        return verdict
    asked = asked_of(text)
    if not asked and (read := about_text(text, _named(text, items), language)) is not None:
        return read
    return " ".join(_state(item, asked, language) for item in chosen)


def _named(text: str, items: list[Numbered]) -> list[Numbered]:
    numbers = ordinals(text, len(items))
    return [item for item in items if item.number in numbers] or items


def _described(item: Numbered, asked: list[Attribute], language: Language, *, written: bool) -> str:
    """A description, of the attributes asked for alone where they are all that is asked for."""
    if not written:
        return _state(item, asked, language)
    return "\n".join(part for part in (describe(item, language), all_words(item, language)) if part)


def chosen_media(text: str, items: list[Numbered]) -> list[Numbered]:
    """The media that a text names by number, or by a word that stands before one only; else all of them."""
    if len(numbered := _named(text, items)) < len(items):
        return numbered
    wanted = content_words(text)
    shared = [len(wanted & content_words(item.note)) for item in items]
    if len(items) > 1 and max(shared) > sorted(shared)[-2]:
        return [items[shared.index(max(shared))]]
    return items


def _state(item: Numbered, asked: list[Attribute], language: Language) -> str:
    seen = item.medium.seen
    if seen is None or not asked:
        return describe(item, language)
    if language == "en":
        return f"{label(item, language)}: {'; '.join(attribute.english(seen) for attribute in asked)}."
    return f"{label(item, language)}：{'；'.join(attribute.chinese(seen) for attribute in asked)}。"


def _count(items: list[Numbered], language: Language) -> str:
    pictures = sum(item.medium.kind == "image" for item in items)
    videos = sum(item.medium.kind == "video" for item in items)
    if language == "zh":
        return f"共有 {pictures} 张图片，{videos} 个视频。"
    return f"There are {pictures} pictures and {videos} videos." if videos else f"Pictures here: {pictures}."
