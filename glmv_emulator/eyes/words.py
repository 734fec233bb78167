"""Words in English and Chinese: split, lower-cased and lightly stemmed."""

from __future__ import annotations

import re
from collections.abc import Iterator

_WORD = re.compile(r"[A-Za-z]+|\d+(?:\.\d+)?|[一-鿿぀-ヿ가-힯]+")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_CJK = re.compile(r"[一-鿿぀-ヿ가-힯]")
# Stems that mean the same.
_IRREGULAR = {"colour": "color", "grey": "gray", "pictur": "imag", "photo": "imag", "photograph": "imag"}


def stem(word: str) -> str:
    """The word without plural and tense endings; good enough to match 'prices' with 'price'."""
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
    """All words in order; snake_case and camelCase are split, Chinese becomes pairs of characters."""
    return list(_words(text))


def _words(text: str) -> Iterator[str]:
    for run in _WORD.findall(text):
        if _CJK.match(run):
            if len(run) == 1:
                yield run
            yield from (run[at : at + 2] for at in range(len(run) - 1))
        else:
            yield from (piece.lower() for piece in _CAMEL.split(run))


def key_words(name: str) -> list[str]:
    """The stems of the words of a property's name, in order: "dominantColours" gives ["dominant", "color"]."""
    return [stem(word) for word in words(name)]


def to_figure(text: str) -> float | None:
    """The number in a printed text; a comma before the last one or two digits is a decimal point."""
    match = re.search(r"[-−]?\d[\d.,\s]*", text)
    if match is None:
        return None
    digits = re.sub(r"\s", "", match.group()).replace("−", "-").rstrip(".,")
    if re.search(r",\d{1,2}$", digits):
        digits = digits.replace(".", "").replace(",", ".")
    try:
        return float(digits.replace(",", ""))
    except ValueError:
        return None
