"""Words of English and Chinese: cut, lower-cased, lightly stemmed, and told apart by whether they mean something."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?|[一-鿿぀-ヿ가-힯]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CJK = re.compile(r"[一-鿿぀-ヿ가-힯]")
_CHINESE = re.compile(r"[一-鿿]")


def listed(text: str) -> frozenset[str]:
    """The words of a text, parted at blanks."""
    return frozenset(text.split())


STOP_WORDS = listed(
    """a about above after again all also am an and any are as at be because been before being below between both
    but by can could did do does doing done down during each few for from further had has have having he her here
    hers him his how i if in into is it its itself just let like ll made make many may me might mine more most much
    must my no nor not now of off on once one ones only onto or other our ours out over own per please re s same
    shall she should so some such t than that the their them then there these they this those through to too under
    until up upon us ve very was we well were what when where whether which while who whom whose why will with
    within without would yes you your yours hello hi hey thanks thank ok okay"""
)
# Words that stand in every description of a tool and in every request; they tie no request to a tool.
HOLLOW_WORDS = listed(
    """tool function call use return give get got given take want need know tell show help result value input output
    argument parameter param arg data do thing way user run invoke perform provide answer reply respond response
    question ask say something anything work new good able example based using used useful first second third
    current string number integer object list type field key null none true false default optional required"""
)
_CHINESE_HOLLOW = listed(
    """请问 一个 这个 那个 什么 怎么 如何 哪个 哪些 是什 工具 函数 调用 使用 用户 返回 结果 获取 可以 需要 我们 你们
    我想 想要 帮我 告诉 给我 一下 问题 回答 输入 输出 参数 图片 张图 这张 图中 图里 里的 中的 的是 是多 多少 有什"""
)
# Stems that mean the same.
_IRREGULAR = {"colour": "color", "grey": "gray", "pictur": "imag", "photo": "imag", "photograph": "imag"}


def language_of(text: str) -> str:
    """``"zh"`` when a text is mainly Chinese, else ``"en"``."""
    chinese = len(_CHINESE.findall(text))
    latin = len(re.findall(r"[A-Za-z]+", text))
    return "zh" if chinese and 2 * chinese >= latin else "en"


def stem(word: str) -> str:
    """The word without the endings of plural and tense; good enough to pair 'converts' with 'convert'."""
    word = word.lower()
    for ending, least in (("ations", 4), ("ation", 4), ("ings", 3), ("ing", 3), ("ies", 2), ("ied", 2), ("ed", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least:
            word = word.removesuffix(ending) + ("y" if ending in ("ies", "ied") else "")
            break
    else:
        if word.endswith(("sses", "shes", "ches", "xes")):
            word = word[:-2]
        elif word.endswith("s") and not word.endswith(("ss", "us", "is")) and len(word) > 3:
            word = word[:-1]
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]
    if len(word) > 3:
        word = word.removesuffix("e")
    return _IRREGULAR.get(word, word)


def words(text: str) -> list[str]:
    """All words in their order; snake_case and camelCase are cut, Chinese comes in pairs of characters."""
    return [word for word, _ in words_at(text)]


def words_at(text: str) -> Iterator[tuple[str, int]]:
    """Each word with its place in the text."""
    for match in _WORD.finditer(text):
        run = match.group()
        if _CJK.match(run):
            if len(run) == 1:
                yield run, match.start()
            for index in range(len(run) - 1):
                yield run[index : index + 2], match.start() + index
        else:
            offset = match.start()
            for piece in _CAMEL.split(run):
                yield piece.lower(), offset
                offset += len(piece)


_HOLLOW_STEMS = frozenset(stem(word) for word in HOLLOW_WORDS)


def content_words(text: str) -> set[str]:
    """Stems of the words that say what a text is about."""
    return {stem_ for stem_, _ in content_words_at(text)}


def content_words_at(text: str) -> Iterator[tuple[str, int]]:
    """Stems of the words that say what a text is about, each with its place."""
    for word, at in words_at(text):
        if _CJK.match(word):
            if len(word) > 1 and word not in _CHINESE_HOLLOW:
                yield word, at
            continue
        if word in STOP_WORDS or (len(word) < 2 and not word.isdigit()) or word.isdigit():
            continue
        root = stem(word)
        if root not in _HOLLOW_STEMS:
            yield root, at


def has(text: str, *patterns: str) -> bool:
    """Whether a pattern (a regular expression, any case) occurs: as whole words, or anywhere if it is Chinese."""
    return any(
        re.search(pattern if _CJK.search(pattern) else rf"\b(?:{pattern})\b", text, re.IGNORECASE)
        for pattern in patterns
    )
