"""Finds values in the words of a request: numbers, quotations, names, dates, and what stands behind a label."""

# ruff: noqa: E501 - a row of patterns reads better unbroken
from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache

from glmv_emulator.answers.duty import sentences
from glmv_emulator.answers.words import STOP_WORDS, content_words_at, stem, words

NUMBER = re.compile(
    r"(?<![\w.])[-+−]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\w)|(?<![\w.])[-+−]?\d+(?:\.\d+)?(?![\w]|\.\d)|(?<=[一-鿿\[(=:])\d+(?:\.\d+)?|(?<![\w.])\d+(?:\.\d+)?(?=[a-zA-Z%°一-鿿])"
)
QUOTED = re.compile(
    r"\"([^\"\n]{1,200})\"|(?<!\w)'([^'\n]{1,200})'(?!\w)|“([^”\n]{1,200})”|‘([^’\n]{1,200})’|「([^」\n]{1,200})」|『([^』\n]{1,200})』|《([^》\n]{1,200})》|`([^`\n]{1,200})`"
)
_NAME = re.compile(
    r"[A-Z0-9À-Þ][\w'’&.-]*(?:(?:,\s(?=[A-Z]{2}\b)|\s+(?:(?:of|de|la|van|von|der|the|and)\s+(?=[A-Z]))?)[A-ZÀ-Þ0-9][\w'’&-]*)*"
)
_CJK_RUN = re.compile(r"[一-鿿぀-ヿ가-힯·]+")
# Chinese words that stand between what is asked and what it is asked of.
_CHINESE_GLUE = re.compile(
    r"的|了|吗|呢|吧|是|在|和|与|及|或|请问|请|帮我|帮|查询|查一下|查|看看|告诉我|告诉|一下|怎么样|怎样|怎么|如何|什么|多少|几|哪里|哪个|现在|给我|给|把|将|让|我|你|您|想|要|知道|有|关于|对|从|到|为|用|使用|调用|工具|函数|讲|说|写"
)
_SHAPES: dict[str, re.Pattern[str]] = {
    "email": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63})+"),
    "uri": re.compile(r"https?://[^\s\"'<>，。）)]+"),
    "date-time": re.compile(r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})?"),
    "date": re.compile(r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}|\d{4}年\d{1,2}月\d{1,2}日"),
    "time": re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?\b"),
    "uuid": re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b"),
    "ipv4": re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"),
    "phone": re.compile(r"\+?\d[\d\s().-]{6,}\d"),
}  # fmt: skip
# A word of a property's name that says which shape its value has.
_SHAPE_OF_WORD = {"email": "email", "mail": "email", "url": "uri", "uri": "uri", "link": "uri", "website": "uri", "dat": "date",
                  "day": "date", "time": "time", "uuid": "uuid", "phon": "phone", "telephon": "phone", "日期": "date",
                  "邮箱": "email", "电话": "phone", "网址": "uri"}  # fmt: skip
# Small words before a name that tell which of several it is.
_PREPOSITIONS: dict[str, str] = {
    "from": "from|leaving|starting (?:at|in)|out of", "sourc": "from", "origin": "from", "depart": "from", "start": "from|starting",
    "to": "to|towards?|into|for", "destin": "to|towards?|for", "target": "to|into", "arriv": "to", "end": "to|until|till",
    "city": "in|at|for|of", "locat": "in|at|for|near|of", "plac": "in|at|near", "country": "in|of", "region": "in", "address": "at|to",
    "nam": "named|called|name is|by the name of", "author": "by|from", "languag": "in|into|to", "titl": "titled|entitled|called",
    "recipient": "to|for", "receiver": "to", "sender": "from", "person": "with|for", "topic": "about|on", "subject": "about|on|regarding",
}  # fmt: skip
_LINKS = r"\s*(?:=|:|：|＝|\bis\b|\bare\b|\bto be\b|\bequals?\b|\bof\b|\bto\b|\bas\b|\bnamed\b|\bcalled\b|是|为|叫|等于|设为|到)\s*"
_CHINESE_DIGITS = "零一二三四五六七八九"
_ENGLISH_DIGITS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def to_number(text: str) -> float | int | None:
    """The number that a piece of text writes, with or without thousands separators and currency."""
    match = re.search(r"[-−]?\d[\d,]*(?:\.\d+)?", text)
    if match is None:
        return None
    digits = match.group().replace(",", "").replace("−", "-")
    return float(digits) if "." in digits else int(digits)


def to_figure(text: str) -> float | None:
    """The number in a piece of print; a comma before two digits at the end is a decimal one, a space groups."""
    match = re.search(r"[-−]?\d[\d.,\s]*", text)
    if match is None:
        return None
    digits = re.sub(r"\s", "", match.group()).replace("−", "-").rstrip(".,")
    if re.search(r",\d{1,2}$", digits):
        digits = digits.replace(".", "").replace(",", ".")
    digits = digits.replace(",", "")
    try:
        return float(digits)
    except ValueError:
        return None


@lru_cache(maxsize=64)
def numbers(text: str, *, figures_only: bool = False) -> tuple[float | int, ...]:
    """The numbers of a text in their order; written-out ones only where there are no figures."""
    found = [number for match in NUMBER.finditer(text) if (number := to_number(match.group())) is not None]
    if not found and not figures_only:
        found = [_ENGLISH_DIGITS.index(word) for word in re.findall(r"[a-z]+", text.lower()) if word in _ENGLISH_DIGITS]
    if not found and not figures_only:
        found = [
            _CHINESE_DIGITS.index(char)
            for char in re.findall(r"(?<!第)[零一二三四五六七八九](?=个|次|张|天|人|和|加|乘|减)", text)
        ]
    return tuple(found)


@lru_cache(maxsize=64)
def quotations(text: str) -> tuple[str, ...]:
    """What stands in quotation marks of any kind."""
    return tuple(next(group for group in match.groups() if group) for match in QUOTED.finditer(text))


def iso_date(text: str) -> str | None:
    """A written date as YYYY-MM-DD; with dots, or where it must be, the day comes first."""
    parts = re.findall(r"\d+", text)
    if len(parts) != 3:
        return None
    if len(parts[0]) == 4:
        year, month, day = parts
    elif "/" in text and int(parts[0]) <= 12:
        month, day, year = parts
    else:
        day, month, year = parts
    try:
        return date(int(year), int(month), int(day)).isoformat()
    except ValueError:
        return None


def shape_of(name: str, form: str | None) -> re.Pattern[str] | None:
    """The pattern of the values of a property, told by its format or its name; None when they have none."""
    if form in _SHAPES:
        return _SHAPES[form]
    for word in words(name):
        if (shape := _SHAPE_OF_WORD.get(stem(word))) is not None:
            return _SHAPES[shape]
    return None


@lru_cache(maxsize=64)
def entities(text: str) -> tuple[str, ...]:
    """Names: runs of capitalised words within a sentence, and runs of Chinese, Japanese or Korean in other text."""
    found: list[tuple[int, str]] = []
    starts = {0, *(match.end() for match in re.finditer(r"[.!?:\n。！？]\s*(?=\S)|^\W+", text))}
    for match in _NAME.finditer(text):
        run, at = match.group().rstrip(".'’-"), match.start()
        first, _, rest = run.partition(" ")
        if at in starts or text[:at].strip() == "":
            # A sentence begins with a capital anyway.
            run, at = (rest, at + len(first) + 1) if rest and _NAME.match(rest) else ("", at)
        if run and not run.replace(" ", "").isdigit() and run.lower() not in STOP_WORDS and len(run) > 1:
            found.append((at, run))
    latin = len(re.findall(r"[A-Za-z]", text))
    cjk = len("".join(_CJK_RUN.findall(text)))
    if cjk and latin > cjk:
        found += [(match.start(), match.group()) for match in _CJK_RUN.finditer(text)]
    return tuple(run for _, run in sorted(found))


def phrase(text: str, known: set[str]) -> str:
    """The longest run of words that say something, ``known`` stems left out: "cats" of "a joke about cats".

    It comes from the first sentence that has one.
    """
    for sentence in sentences(text):
        if found := _phrase(sentence, known):
            return found
    return ""


def _phrase(text: str, known: set[str]) -> str:
    runs: list[tuple[int, int]] = []
    for word, at in content_words_at(text):
        if word in known or not re.match(r"[A-Za-z]", word):
            continue
        end = re.compile(r"[\w'’-]*").match(text, at)
        stop = end.end() if end else at
        if runs and re.fullmatch(r"[\s-]+", text[runs[-1][1] : at]):
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((at, stop))
    if runs:
        # Of runs of equal length the later one: the object stands behind the verb.
        start, stop = max(reversed(runs), key=lambda run: text.count(" ", *run))
        return text[start:stop]
    return _chinese_phrase(text, known)


def _chinese_phrase(text: str, known: set[str]) -> str:
    pieces: list[str] = []
    for match in _CJK_RUN.finditer(text):
        run = match.group()
        for word in sorted(known, key=len, reverse=True):
            if _CJK_RUN.match(word):
                run = run.replace(word, " ")
        pieces += [piece for piece in _CHINESE_GLUE.sub(" ", run).split() if len(piece) > 1]
    return max(pieces, key=len, default="")


def labelled(text: str, name: str) -> Iterator[str]:
    """What a text says right behind a property's name: "width 300", "name: Alice", "the city is Paris"."""
    parts = words(name)
    tried = [parts] if len(parts) < 2 else [parts, parts[-1:]]
    for piece in tried:
        written = r"[\s_-]*".join(re.escape(part) for part in piece)
        short = len("".join(piece)) < 2
        edge = "" if re.search(r"[一-鿿]", written) else r"\b"
        pattern = re.compile(rf"{edge}{written}(?:s|es)?{edge}({_LINKS}|\s+)", re.IGNORECASE)
        for match in pattern.finditer(text):
            link = match.group(1).strip()
            if short and link not in ("=", ":", "：", "is", "＝", "是", "为"):
                continue
            if (value := _value_at(text, match.end(), explicit=bool(link))) is not None:
                yield value


def prepositional(text: str, name: str) -> Iterator[str]:
    """The names that stand behind the small words that belong to a property's name: "from Paris to Berlin"."""
    for word in words(name):
        small = _PREPOSITIONS.get(stem(word)) or _PREPOSITIONS.get(word)
        if small is None:
            continue
        for match in re.finditer(rf"\b(?:{small})\s+(?:the\s+)?", text, re.IGNORECASE):
            value = _value_at(text, match.end(), explicit=False)
            if value is not None and to_number(value) is None:
                yield value


def _value_at(text: str, at: int, *, explicit: bool) -> str | None:
    rest = text[at : at + 240]
    if quoted := QUOTED.match(rest):
        return next(group for group in quoted.groups() if group)
    for shape in ("email", "uri", "date-time", "date", "time"):
        if match := _SHAPES[shape].match(rest):
            return match.group()
    if number := NUMBER.match(rest):
        return number.group()
    if (named := _NAME.match(rest)) and named.group().lower() not in STOP_WORDS:
        return named.group().rstrip(".'’-")
    if run := re.match(r"[一-鿿぀-ヿ가-힯·]{1,20}", rest):
        return _CHINESE_GLUE.split(run.group())[0] or None
    if explicit and (run := re.match(r"[^\s,;.!?，。；！？][^,;.!?\n，。；！？]{0,80}", rest)):
        return re.split(r"\s+(?:and|with|then|but|or)\s+", run.group())[0].strip()
    return None
