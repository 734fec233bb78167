"""Compares pictures and videos with one another by what was measured."""

# ruff: noqa: E501 - a row of words and patterns reads better unbroken
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from glmv_emulator.answers.describe import Language, Seen, colours, describe, label, light_of, percent
from glmv_emulator.answers.turn import Numbered
from glmv_emulator.answers.words import has
from glmv_emulator.eyes import SeenImage, SeenVideo
from glmv_emulator.eyes.colours import PALETTE, tint


@dataclass(frozen=True, slots=True)
class Measure:
    """Something that pictures are ordered by. ``high`` words ask for the most of it, ``low`` words for the least."""

    high: str
    low: str
    high_chinese: str
    low_chinese: str
    words: tuple[str, str, str, str]  # more and less of it, in English and in Chinese
    value: Callable[[Seen], float]
    shown: Callable[[Seen], str]


def _area(seen: Seen) -> str:
    return f"{seen.width} x {seen.height}"


MEASURES: tuple[Measure, ...] = (
    Measure(
        "wider|widest", "narrower|narrowest", "更宽|最宽|较宽", "更窄|最窄|较窄", ("wider", "narrower", "更宽", "更窄"),
        lambda s: s.width, lambda s: f"{s.width} px",
    ),
    Measure(
        "taller|tallest|higher|highest", "shorter|shortest", "更高|最高|较高", "更矮|最矮|更低|最低",
        ("taller", "less tall", "更高", "更矮"), lambda s: s.height, lambda s: f"{s.height} px",
    ),
    Measure(
        "brighter|brightest|lighter|lightest|more light", "darker|darkest|dimmer|dimmest|less light", "更亮|最亮|较亮|亮一些|比较亮",
        "更暗|最暗|较暗|暗一些|比较暗", ("brighter", "darker", "更亮", "更暗"), lambda s: light_of(s), lambda s: f"{light_of(s):.2f}",
    ),
    Measure(
        "heavier|heaviest|more bytes|most bytes|(?:larger|bigger|largest|biggest) files?", "fewer bytes|(?:smaller|smallest) files?",
        "字节更多|文件更大|文件最大", "字节更少|文件更小|文件最小", ("the heavier file", "the lighter file", "文件更大", "文件更小"),
        lambda s: s.size_bytes, lambda s: f"{s.size_bytes} bytes",
    ),
    Measure(
        "longer|longest", "briefer|briefest", "更长|最长|较长", "更短|最短|较短", ("longer", "shorter", "更长", "更短"),
        lambda s: s.duration if isinstance(s, SeenVideo) else max(s.width, s.height),
        lambda s: f"{s.duration:.1f} s" if isinstance(s, SeenVideo) else f"{max(s.width, s.height)} px",
    ),
    Measure(
        "larger|largest|bigger|biggest|more pixels|most pixels|greater|higher resolution|highest resolution",
        "smaller|smallest|tinier|tiniest|fewer pixels|lower resolution|lowest resolution",
        "更大|最大|较大|大一些|比较大|大一点|像素更多", "更小|最小|较小|小一些|比较小|小一点|像素更少",
        ("larger", "smaller", "更大", "更小"), lambda s: s.width * s.height, _area,
    ),
)  # fmt: skip

# Of three and more one is not darker but the darkest; Chinese says so by one character.
_MOST = {"wider": "the widest", "narrower": "the narrowest", "taller": "the tallest", "less tall": "the least tall", "brighter": "the brightest",
         "darker": "the darkest", "the heavier file": "the heaviest file", "the lighter file": "the lightest file", "longer": "the longest",
         "shorter": "the shortest", "larger": "the largest", "smaller": "the smallest"}  # fmt: skip
_ORDER = ("order|sort|rank|arrange", "排序|排列|顺序")
_PLACES = ("second|2nd", "third|3rd", "fourth|4th")
# Further words for the colours of the palette.
_SYNONYMS = {"gray": "grey", "crimson": "red", "scarlet": "red", "violet": "purple", "turquoise": "cyan", "navy": "blue",
             "reddish": "red", "bluish": "blue", "greenish": "green", "redness": "red", "greenness": "green",
             "blueness": "blue"}  # fmt: skip
_SAME = (r"same|identical|equal|duplicates?|alike|copies", "相同|一样|一致|同一")
_DIFFERENT = (r"differ\w*|compar\w+|distinguish\w*|contrast\w*|versus|vs", "不同|区别|差别|差异|比较|对比")
_WHICH = (r"which|what (?:picture|image|photo)", "哪")
_IS = re.compile(r"^\W*(?:is|are|does|do|has|have)\b|吗|是否|是不是", re.IGNORECASE)


def colour_asked(text: str) -> str | None:
    """The palette's name of the first colour that a text names, such as 'red' for "the reddest"."""
    found: list[tuple[int, int, str]] = []
    for name, chinese, _ in PALETTE:
        base = name.split()[-1]
        root = base.removesuffix("e")
        double = root + root[-1]
        forms = rf"{name}|{root}e?(?:r|st|er|est)|{double}(?:er|est)"
        for match in re.finditer(rf"\b(?:{forms})\b", text, re.IGNORECASE):
            exact = match.group().lower() == name
            found.append((match.start(), -len(match.group()), name if exact else base))
        at = text.find(
            chinese.removesuffix("色") if len(chinese) == 2 and chinese[0] in "红黄蓝绿黑白紫粉" else chinese
        )
        if at >= 0:
            found.append((at, -len(chinese), name))
    for word, name in _SYNONYMS.items():
        at = text.lower().find(word)
        if at >= 0:
            found.append((at, -len(word), name))
    return min(found)[2] if found else None


def ordinals(text: str, count: int) -> list[int]:
    """The numbers of the pictures that a text names, in its order: "picture 2", "the second image", "第二张"."""
    found: list[tuple[int, int]] = []
    words = ("first|1st", "second|2nd", "third|3rd", "fourth|4th", "fifth|5th", "sixth|6th")
    kind = "(?:picture|image|photo|photograph|figure|pic|screenshot|video|clip|one|of)"
    for number, word in enumerate(words, 1):
        found += [(m.start(), number) for m in re.finditer(rf"\b(?:{word})\s+{kind}s?\b", text, re.IGNORECASE)]
    found += [(m.start(), count) for m in re.finditer(rf"\blast\s+{kind}s?\b|最后一", text, re.IGNORECASE)]
    pattern = rf"\b{kind[:-1]})s?\s*(?:no\.?|number|#)?\s*(\d+)\b|(?:图片?|视频|照片)\s*(\d+)|第\s*(\d+)\s*[张个幅]"
    for match in re.finditer(pattern, text, re.IGNORECASE):
        found.append((match.start(), int(next(group for group in match.groups() if group))))
    for match in re.finditer(r"第\s*([一二三四五六七八九])\s*[张个幅]", text):
        found.append((match.start(), "一二三四五六七八九".index(match.group(1)) + 1))
    if not found:
        for match in re.finditer(r"\b(\d+)(?:\s*(?:,|or|and|vs\.?|versus|和|与|或|还是)\s*(\d+)\b)+", text):
            found += [(match.start(), int(number)) for number in re.findall(r"\d+", match.group())]
    return list(dict.fromkeys(number for _, number in sorted(found) if 1 <= number <= count))


def compare(text: str, items: list[Numbered], language: Language) -> str | None:
    """The answer to a question that compares; None when the text does not compare, or there is only one."""
    looked_at = [item for item in items if item.medium.seen is not None]
    if len(looked_at) < 2:
        return None
    named = ordinals(text, len(items))
    if len(pair := [item for item in looked_at if item.number in named]) > 1:
        looked_at = pair
    colour = colour_asked(text)
    comparative = has(text, r"more|most|less|least|\w+er than|\w+est") or has(text, "更|最|较|多")
    if colour and (has(text, *_WHICH) or comparative):
        return _rank_by_colour(text, colour, looked_at, language)
    for measure in MEASURES:
        high, low = _at(text, measure.high, measure.high_chinese), _at(text, measure.low, measure.low_chinese)
        if min(high, low) < len(text):
            return _rank(text, measure, looked_at, language, high=high < low)
    if has(text, *_SAME) or has(text, *_DIFFERENT):
        return _difference(looked_at, language)
    return None


def _at(text: str, english: str, chinese: str) -> int:
    """Where the first of these words stands; the length of the text when none does."""
    found = (re.search(pattern, text, re.IGNORECASE) for pattern in (rf"\b(?:{english})\b", chinese))
    return min((match.start() for match in found if match), default=len(text))


def _place(text: str, measure: Measure) -> tuple[int, str]:
    """Which of the order is asked for, as in "the second darkest", and the word for it."""
    for place, word in enumerate(_PLACES, 1):
        if has(text, rf"(?:{word})[\s-]+(?:{measure.high}|{measure.low})"):
            return place, f"the {word.partition('|')[0]} "
    return 0, "the "


def _rank(text: str, measure: Measure, items: list[Numbered], language: Language, *, high: bool) -> str:
    def value(item: Numbered) -> float:
        assert item.medium.seen is not None
        return measure.value(item.medium.seen)

    def shown(item: Numbered) -> str:
        assert item.medium.seen is not None
        return measure.shown(item.medium.seen)

    word, chinese = measure.words[0 if high else 1], measure.words[2 if high else 3]
    if many := len(items) > 2:
        word, chinese = _MOST[word], chinese.replace("更", "最")
    ordered = sorted(items, key=lambda item: (-value(item) if high else value(item), item.number))
    rest = ", ".join(f"{label(item, language)}: {shown(item)}" for item in ordered)
    if has(text, *_ORDER):
        return f"{', '.join(label(item, language) for item in ordered)} ({rest})."
    place, nth = _place(text, measure)
    found = ordered[min(place, len(ordered) - 1)]
    word = f"{nth}{word.removeprefix('the ')}" if many else word
    if sum(value(item) == value(found) for item in ordered) > 1:
        nobody = "None of them" if many else "Neither"
        return f"{nobody} is {word}: {rest}." if language == "en" else f"一样（{rest}）。"
    told = f"{_yes(text, found, items, language)}{label(found, language)}"
    return f"{told} is {word} ({rest})." if language == "en" else f"{told}{chinese}（{rest}）。"


def _yes(text: str, winner: Numbered, items: list[Numbered], language: Language) -> str:
    named = ordinals(text, max(item.number for item in items))
    if not named or not _IS.search(text):
        return ""
    if named[0] == winner.number:
        return "Yes: " if language == "en" else "是的，"
    return "No: " if language == "en" else "不是，"


def _rank_by_colour(text: str, colour: str, items: list[Numbered], language: Language) -> str:
    def lean(item: Numbered) -> float:
        assert item.medium.seen is not None
        return tint(item.medium.seen.colours, colour)

    fewest = has(text, "less|least|fewest") or has(text, "最少|更少|最不")
    ordered = sorted(items, key=lambda item: (lean(item) if fewest else -lean(item), item.number))
    told = []
    for item in ordered:
        assert item.medium.seen is not None
        share = sum(c.share for c in item.medium.seen.colours if colour in (c.name, c.name.split()[-1]))
        told.append(f"{label(item, language)}: {percent(share)} {colour}")
    chinese = next(zh for name, zh, _ in PALETTE if name == colour)
    if language == "zh":
        shares = "，".join(line.replace(colour, chinese) for line in told)
        return f"{label(ordered[0], language)}的{chinese}{'最少' if fewest else '最多'}（{shares}）。"
    degree = "least" if fewest else "most"
    return f"{label(ordered[0], language)} has the {degree} {colour} ({', '.join(told)})."


def _difference(items: list[Numbered], language: Language) -> str:
    hashes = {item.medium.seen.sha256 for item in items if item.medium.seen is not None}
    told = " ".join(describe(item, language) for item in items)
    if len(hashes) == 1:
        return "They are the same file, byte for byte." if language == "en" else "它们是同一个文件，逐字节相同。"
    return f"They differ. {told}" if language == "en" else f"它们不同。{told}"


def is_it(text: str, item: Numbered, language: Language) -> str | None:
    """The answer to "is the picture blue?"; None when that is not the question."""
    seen, colour = item.medium.seen, colour_asked(text)
    if colour is None or seen is None or not _IS.search(text) or not isinstance(seen, SeenImage):
        return None
    share = sum(c.share for c in seen.colours if colour in (c.name, c.name.split()[-1]))
    top = seen.colours[0]
    yes = share >= max(0.1, top.share / 3)
    if language == "zh":
        return f"{'是' if yes else '不是'}：{label(item, language)}的颜色为{colours(seen.colours, language)}。"
    return f"{'Yes' if yes else 'No'}: the colours of {label(item, language).lower()} are {colours(seen.colours, language)}."
