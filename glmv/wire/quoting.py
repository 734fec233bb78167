"""Follows quotes and code in a text that arrives in pieces. No I/O.

Blocks of code are recognized by their fences, line by line (spec.commonmark.org, "Fenced code blocks").
"""

from __future__ import annotations

import re

# Opening quotation marks and brackets, with the closing ones.
_PAIRS = {"`": "`", '"': '"', "'": "'", "“": "”", "‘": "’", "„": "“", "(": ")", "（": "）", "[": "]", "「": "」",
          "『": "』", "«": "»", "《": "》"}  # fmt: skip
# Marks that open and close with the same character; not apostrophes inside words.
_ALIKE = {"`": re.compile("`"), '"': re.compile('"'), "'": re.compile(r"(?<![^\W_])'|'(?![^\W_])")}
_FENCE = re.compile(r"[\s>]*(?:[-*+]\s+|\d+[.)]\s+)?(`{3,}(?=[^`]*$)|~{3,})(.*)", re.DOTALL)
_LINE_HEAD = 200  # characters of a line that are examined for a fence


class Quoting:
    """Determines whether the next character of a text is in quotes or code. Takes the text in pieces, in linear time.

    A tag in quotes or code is ordinary text, not markup.
    """

    __slots__ = ("_fence", "_head", "_last", "_odd")

    def __init__(self) -> None:
        self._fence = ""  # the fence that opened the block of code
        self._head = ""  # the beginning of the line
        self._odd: set[str] = set()  # quotation marks that the line opened
        self._last = ""

    def read(self, text: str) -> None:
        """Takes the next piece of the text."""
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
        """Whether a block of code is open. A fence in the current line closes it, even before the line ends."""
        return bool(self._fence) and not self._closes(_FENCE.match(self._head))

    @property
    def end(self) -> str:
        """The closing mark if the last character opened a quotation, else ""."""
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
        if fence := _FENCE.match(self._head):
            if not self._fence:
                self._fence = fence[1]
            elif self._closes(fence):
                self._fence = ""
        self._head = ""
        self._odd = set()

    def _closes(self, fence: re.Match[str] | None) -> bool:
        return fence is not None and fence[1].startswith(self._fence) and not fence[2].strip()
