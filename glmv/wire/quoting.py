"""Quotes and code in a text that comes in pieces: whether what follows is quoted. Pure.

Blocks of code are those of CommonMark (spec.commonmark.org, "Fenced code blocks"), as far as a line shows them.
"""

from __future__ import annotations

import re

# What opens a quotation, and what ends it.
_PAIRS = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "„": "“", "(": ")", "（": "）", "[": "]", "「": "」",
          "『": "』", "«": "»", "《": "》"}  # fmt: skip
# Those that open and end with the same character, without the apostrophes inside words.
_ALIKE = {"`": re.compile("`"), '"': re.compile('"'), "'": re.compile(r"(?<![^\W_])'|'(?![^\W_])")}
_FENCE = re.compile(r"[\s>]*(?:[-*+]\s+|\d+[.)]\s+)?(`{3,}(?=[^`]*$)|~{3,})(.*)", re.DOTALL)
_LINE_HEAD = 200  # characters in which a fence shows


class Quoting:
    """Tells whether what follows a text is quoted in it. It takes the text in pieces, in linear time.

    A mark in quotes or code is what the answer is about.
    """

    __slots__ = ("_fence", "_head", "_last", "_odd")

    def __init__(self) -> None:
        self._fence = ""  # what opened the block of code
        self._head = ""  # of the line
        self._odd: set[str] = set()  # quotation marks that the line opened
        self._last = ""

    def read(self, text: str) -> None:
        """More of the text."""
        if not text:
            return
        first, *others = text.split("\n")
        self._read_line(first)
        for line in others:
            self._end_line()
            self._read_line(line)
        self._last = text[-1]

    @property
    def in_code(self) -> bool:
        """Whether a block or a span of code is open."""
        return self.in_block or (not self._fence and "`" in self._odd)

    @property
    def in_block(self) -> bool:
        """Whether a block of code is open. The line may have ended it already."""
        return bool(self._fence) and not self._closes(_FENCE.match(self._head))

    @property
    def end(self) -> str:
        """The character that ends the quotation which the last one opened; "" where it opened none."""
        if self._fence or (self._last in _ALIKE and self._last not in self._odd):
            return ""
        return _PAIRS.get(self._last, "")

    def _read_line(self, text: str) -> None:
        if len(self._head) < _LINE_HEAD:
            self._head += text[: _LINE_HEAD - len(self._head)]
        for quote, sign in _ALIKE.items():
            if quote in text and len(sign.findall(text)) % 2:
                self._odd ^= {quote}

    def _end_line(self) -> None:
        if found := _FENCE.match(self._head):
            if not self._fence:
                self._fence = found[1]
            elif self._closes(found):
                self._fence = ""
        self._head = ""
        self._odd = set()

    def _closes(self, found: re.Match[str] | None) -> bool:
        return found is not None and found[1].startswith(self._fence) and not found[2].strip()
