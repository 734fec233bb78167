"""Answers questions about what is written in pictures."""

# ruff: noqa: E501 - a row of words and patterns reads better unbroken
from __future__ import annotations

import re
from collections.abc import Sequence

from glmv_emulator.answers.compare import colour_asked
from glmv_emulator.answers.describe import Language, describe, label
from glmv_emulator.answers.mentions import entities, phrase, quotations
from glmv_emulator.answers.sheet import FIGURE, SYNONYMS, Sheet, label_words
from glmv_emulator.answers.turn import Numbered
from glmv_emulator.answers.words import STOP_WORDS, content_words, has, listed, stem
from glmv_emulator.eyes import Reading, SeenImage, can_read, read_image

_READ = (
    r"read|transcribe|ocr|text|words?|written|writing|says?|said|printed|spell\w*|caption|inscription|quote",
    "文字|文本|读|写|字|内容是什么|识别",
)
_WHERE = (
    r"where|locate|location of|position of|coordinates?|bounding|bbox|box(?:es)?|ground\w*|point (?:to|at|out)|find the",
    "在哪|哪里|位置|坐标|定位|框出|找到",
)
_CODE = (r"qr|bar ?codes?|qr ?codes?|scan", "二维码|条形码|条码|扫码")
_MENTION = (
    r"mentions?|contains?|says?|shows?|has|reads?|about|with|speaks?|names?|is (?:the|a|an|from|for)",
    "提到|写着|包含|写有|出现|关于|是",
)
_WHICH = (r"which|what (?:picture|image|photo|page|document)", "哪")
_NUMBER = (r"how (?:many|much)|number|total|amount|sum|price|cost|tax|quantity|value", "多少|几|总|金额|价|数")
_TIME = ("what time|which time|when|o'clock|time", "几点|时间|什么时候")
_WHEN = ("when|what day|which day|date", "什么时候|哪天|几号|日期")
_WHO = ("who|whom|whose", "谁")
_HIGH = (r"highest|most|largest|biggest|maximum|max|best|greatest|top|peak", "最高|最多|最大")
_LOW = (r"lowest|least|smallest|minimum|min|worst|fewest", "最低|最少|最小")
# Words that name the page or the asking and not what stands on it.
_FRAME = content_words(
    "picture image photo screenshot page document receipt form chart diagram graph table sign label invoice bill ticket card poster "
    "menu slide scan describe detail see look find locate position coordinates bounding box button link icon word text read write "
    "written say mention contain print transcribe please ocr grid normalize pixel where located answer question visible appear "
    "exactly stand list many much highest lowest most least largest smallest"
) | listed(
    "发票 收据 小票 图表 表格 表单 截图 按钮 文字 哪里 在哪 位置 坐标 多少 提到 写着 上的 这张 张图 片上 图片 哪张"
)


_LABEL_FRAME = {SYNONYMS.get(word, word) for word in _FRAME | {stem(word) for word in STOP_WORDS}} - {"total", "number"}
_CLOCK = re.compile(r"\d{1,2}:\d{2}")
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:\s\d{1,2}:\d\d)?|\d{4}年\d{1,2}月\d{1,2}日")


def sheet_of(item: Numbered) -> Sheet | None:
    """What was read in one picture; None where nothing can be read or nobody looked."""
    if item.medium.data is None or not isinstance(item.medium.seen, SeenImage):
        return None
    reading = read_image(item.medium.data)
    return Sheet(reading) if reading is not None else None


def about_text(text: str, items: Sequence[Numbered], language: Language) -> str | None:
    """The answer to a question about words in the pictures; None when it is about something else."""
    wanted = content_words(text) - _FRAME
    explicit = has(text, *_READ) or has(text, *_WHERE) or has(text, *_CODE)
    if not explicit and not wanted:
        return None
    pictures = [item for item in items if item.medium.data is not None and isinstance(item.medium.seen, SeenImage)]
    if not pictures:
        return None
    if not can_read():
        return _cannot(language) if explicit else None
    sheets = [(item, sheet) for item in pictures if (sheet := sheet_of(item)) is not None]
    if has(text, *_WHERE):
        return _where(text, sheets, language)
    if has(text, *_CODE):
        return _codes(sheets, language)
    if len(sheets) > 1 and has(text, *_WHICH) and has(text, *_MENTION):
        return _which(text, wanted, sheets, language)
    for item, sheet in _likeliest(text, sheets):
        if (found := _value(text, sheet, item.note)) is not None:
            return _beside(item, *found, language)
    if explicit:
        return " ".join(_all(item, sheet, language) for item, sheet in sheets)
    if colour_asked(text) is not None:
        return None
    return " ".join(_nothing(item, sheet, language) for item, sheet in sheets)


def _cannot(language: Language) -> str:
    if language == "zh":
        return "这个模拟器没有安装 eyes 扩展，读不出图片里的文字。"
    return "I cannot read words in pictures: the emulator's extra `eyes` is not installed here."


def _likeliest(text: str, sheets: Sequence[tuple[Numbered, Sheet]]) -> list[tuple[Numbered, Sheet]]:
    """The pages, those first that hold most words of the question, in print or in the text before them."""
    wanted = label_words(text)

    def shared(pair: tuple[Numbered, Sheet]) -> int:
        item, sheet = pair
        return len(wanted & (label_words(sheet.text()) | label_words(item.note)))

    return sorted(sheets, key=lambda pair: (-shared(pair), pair[0].number))


def _value(text: str, sheet: Sheet, note: str) -> tuple[str, str] | None:
    """The label that fits the question, and the value that belongs to it."""
    pairs = sheet.pairs()
    for pattern, choose in ((_HIGH, max), (_LOW, min)):
        if pairs and has(text, *pattern):
            name, number = choose(pairs, key=lambda pair: pair[1])
            return name, f"{number:g}"
    timed = _CLOCK if has(text, *_TIME) else None
    kind = timed if timed is not None and timed.search(sheet.text()) else (FIGURE if has(text, *_NUMBER) else None)
    if (found := sheet.said(text, kind)) is not None:
        return found
    if has(text, *_NUMBER):
        for name, number in pairs:
            if any(word.startswith(name.lower()) or name.lower().startswith(word) for word in _raw(text)):
                return name, f"{number:g}"
    # The words of the heading tell which page is meant, and not which line of it.
    asked = sorted(label_words(text) - _LABEL_FRAME)
    narrower = set(asked) - label_words(sheet.heading()) - label_words(note)
    for word, pattern in (("dat", _WHEN), ("nam", _WHO)):
        narrower |= {word} if has(text, *pattern) else set()
    for wanted in (narrower, set(asked)):
        for whole in (False, True):
            if (found := next(sheet.labelled(wanted, whole_label=whole, kind=kind), None)) is not None:
                return found
    if narrower & {"dat", "time"} and (match := _DATE.search(sheet.text())):
        return "date", match.group()
    for key in asked:
        if (found := next(sheet.labelled({key}, kind=kind), None)) is not None:
            return found
        if values := sheet.values_of(key, ""):
            return key, values[0]
    return None


def _raw(text: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Za-z]{3,}|[\u4e00-\u9fff]{2,}", text)]


def _beside(item: Numbered, name: str, value: str, language: Language) -> str:
    if language == "zh":
        return f"{value}（{label(item, language)}中“{name}”对应的内容）。"
    return f'{value} (it stands with "{name}" in {label(item, language).lower()}).'


def _all(item: Numbered, sheet: Sheet, language: Language) -> str:
    text = sheet.text()
    if language == "zh":
        return f"{label(item, language)}上的文字：\n{text}" if text else f"{label(item, language)}上没有读到文字。"
    return f"{label(item, language)} reads:\n{text}" if text else f"I read no words in {label(item, language).lower()}."


def all_words(item: Numbered, language: Language) -> str:
    """All that can be read in one picture; '' where there is nothing or nobody can read."""
    sheet = sheet_of(item)
    return _all(item, sheet, language) if sheet is not None and (sheet.lines or sheet.codes) else ""


def _nothing(item: Numbered, sheet: Sheet, language: Language) -> str:
    if language == "zh":
        return f"没有找到直接对应的内容。{_all(item, sheet, language) if sheet.lines else describe(item, language)}"
    seen = _all(item, sheet, language) if sheet.lines else describe(item, language)
    return f"Nothing that I read or measured answers this. {seen}"


def _sought(text: str) -> list[str]:
    """The words that are sought on the page: quoted ones, names, else what the question is about."""
    found = [*quotations(text), *entities(text)]
    return found or ([left] if (left := phrase(text, _FRAME)) else [])


def _grid(box: tuple[int, int, int, int], reading: Reading) -> str:
    """A box in the grid of 0 to 1000 in which the model family gives coordinates."""
    left, top, right, bottom = box
    sides = (left / reading.width, top / reading.height, right / reading.width, bottom / reading.height)
    return "[" + ",".join(str(min(1000, max(0, round(1000 * side)))) for side in sides) + "]"


def _where(text: str, sheets: Sequence[tuple[Numbered, Sheet]], language: Language) -> str:
    for wanted in _sought(text):
        for item, sheet in reversed(sheets):
            if lines := sheet.find(wanted):
                boxes = ",".join(_grid(line.box, sheet.reading) for line in lines)
                boxed = f"<|begin_of_box|>[{boxes}]<|end_of_box|>"
                if language == "zh":
                    return f"“{lines[0].text}”在{label(item, language)}中的位置：{boxed}"
                return f'"{lines[0].text}" stands in {label(item, language).lower()} at {boxed}'
    wanted = (_sought(text) or ["?"])[0]
    read = " ".join(_all(item, sheet, language) for item, sheet in sheets)
    return f"没有读到“{wanted}”。{read}" if language == "zh" else f'I do not read "{wanted}" anywhere. {read}'


def _codes(sheets: Sequence[tuple[Numbered, Sheet]], language: Language) -> str:
    found = []
    for item, sheet in sheets:
        for code in sheet.codes:
            boxed = f"<|begin_of_box|>[{_grid(code.box, sheet.reading)}]<|end_of_box|>"
            if language == "zh":
                found.append(f"{label(item, language)}中的 {code.kind}：{code.text}，位置 {boxed}。")
            else:
                found.append(
                    f"The {code.kind} in {label(item, language).lower()} says {code.text} and stands at {boxed}."
                )
    return " ".join(found) or (
        "没有找到二维码或条形码。" if language == "zh" else "I find neither a QR code nor a bar code."
    )


def _which(text: str, wanted: set[str], sheets: Sequence[tuple[Numbered, Sheet]], language: Language) -> str:
    for sought in _sought(text):
        holding = [(item, lines[0].text) for item, sheet in sheets if (lines := sheet.find(sought))]
        if holding:
            if language == "zh":
                return "；".join(f"{label(item, language)}提到“{sought}”：{line}" for item, line in holding) + "。"
            return "; ".join(f'{label(item, language)} mentions "{sought}": {line}' for item, line in holding) + "."
    scored = [(len(wanted & content_words(sheet.text())), -item.number, item) for item, sheet in sheets]
    best = max(scored, key=lambda row: row[:2])
    if best[0]:
        return (
            f"{label(best[2], language)}最符合。"
            if language == "zh"
            else f"{label(best[2], language)} fits best by its words."
        )
    read = " ".join(_all(item, sheet, language) for item, sheet in sheets)
    return f"没有一张图提到它。{read}" if language == "zh" else f"None of the pictures says so. {read}"
