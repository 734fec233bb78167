"""Regular expressions turned round: a short string that matches one."""

from __future__ import annotations

import re
from functools import lru_cache

# The standard library's own parser is the one that knows what its patterns mean; it has no public name.
from re import _constants as ops  # type: ignore[attr-defined]  # typeshed leaves the parser's tables out
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

LONGEST = 2000
MOST_REPEATS = 64
_REPEATS = (ops.MAX_REPEAT, ops.MIN_REPEAT, ops.POSSESSIVE_REPEAT)
_PRINTABLE = [
    chr(code) for code in (*range(97, 123), *range(48, 58), *range(65, 91), 95, 45, 32, *range(33, 127), 0x4E2D)
]
_CATEGORIES = {
    ops.CATEGORY_DIGIT: "0", ops.CATEGORY_NOT_DIGIT: "a", ops.CATEGORY_SPACE: " ", ops.CATEGORY_NOT_SPACE: "a",
    ops.CATEGORY_WORD: "a", ops.CATEGORY_NOT_WORD: " ",
}  # fmt: skip


@lru_cache(maxsize=256)
def matching(pattern: str, least: int = 0) -> str | None:
    """A string of at least ``least`` characters that the pattern matches; None when none is found."""
    try:
        tree = parser.parse(pattern)
    except (re.error, RecursionError, OverflowError):
        return None
    for more in range(min(least, MOST_REPEATS) + 1):
        made = _write(tree, {}, more)[:LONGEST]
        if len(made) >= least and _matches(pattern, made):
            return made
    made = _write(tree, {}, 0)[:LONGEST]
    for padded in (
        made + made[-1:] * (least - len(made)),
        made + "a" * (least - len(made)),
        "0" * (least - len(made)) + made,
    ):
        if len(padded) >= least and _matches(pattern, padded):
            return padded
    return None


def _matches(pattern: str, made: str) -> bool:
    return (len(made) <= 24 or not is_risky(pattern)) and re.search(pattern, made) is not None


@lru_cache(maxsize=256)
def is_risky(pattern: str) -> bool:
    """Whether a repetition stands within a repetition, so that a search may take exponential time."""
    try:
        return _nested(parser.parse(pattern), within=False)
    except (re.error, RecursionError, OverflowError):
        return True


def _nested(tree: Any, *, within: bool) -> bool:
    for op, argument in tree:
        if op in _REPEATS:
            _, high, body = argument
            many = high > 8
            if (many and within) or _nested(body, within=within or many):
                return True
        elif op is ops.SUBPATTERN:
            if _nested(argument[-1], within=within):
                return True
        elif op is ops.BRANCH:
            if within or any(_nested(branch, within=within) for branch in argument[1]):
                return True
        elif op in (ops.ASSERT, ops.ASSERT_NOT, ops.GROUPREF):
            return True
    return False


def _write(tree: Any, groups: dict[int, str], more: int) -> str:
    made = []
    for op, argument in tree:
        piece = ""
        if op is ops.LITERAL:
            piece = chr(argument)
        elif op is ops.NOT_LITERAL:
            piece = "a" if argument != ord("a") else "b"
        elif op is ops.ANY:
            piece = "a"
        elif op is ops.IN:
            piece = _one_of(argument)
        elif op in _REPEATS:
            low, high, body = argument
            times = min(max(low, more), high, LONGEST)
            piece = (_write(body, groups, 0) * times)[:LONGEST] if times else ""
        elif op is ops.SUBPATTERN:
            number, _, _, body = argument
            piece = _write(body, groups, more)
            groups[number] = piece
        elif op is ops.BRANCH:
            piece = min((_write(branch, groups, more) for branch in argument[1]), key=len)
        elif op is ops.GROUPREF:
            piece = groups.get(argument, "")
        elif op is ops.ATOMIC_GROUP:
            piece = _write(argument, groups, more)
        # Anchors and look-arounds write nothing; whether the string matches is tried in the end.
        made.append(piece)
    return "".join(made)


def _one_of(members: Any) -> str:
    if members[0][0] is not ops.NEGATE:
        for op, argument in members:
            if op is ops.LITERAL:
                return chr(argument)
            if op is ops.RANGE:
                return chr(argument[0])
            if op is ops.CATEGORY:
                return _CATEGORIES.get(argument, "a")
    return next((char for char in _PRINTABLE if not _holds(members[1:], char)), "a")


def _holds(members: Any, char: str) -> bool:
    for op, argument in members:
        if op is ops.LITERAL and chr(argument) == char:
            return True
        if op is ops.RANGE and argument[0] <= ord(char) <= argument[1]:
            return True
        if op is ops.CATEGORY:
            sample = {
                ops.CATEGORY_DIGIT: char.isdigit(), ops.CATEGORY_NOT_DIGIT: not char.isdigit(),
                ops.CATEGORY_SPACE: char.isspace(), ops.CATEGORY_NOT_SPACE: not char.isspace(),
                ops.CATEGORY_WORD: char.isalnum() or char == "_",
                ops.CATEGORY_NOT_WORD: not (char.isalnum() or char == "_"),
            }  # fmt: skip
            if sample.get(argument, False):
                return True
    return False
