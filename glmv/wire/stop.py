"""Stop words that the platform does not take are cut here, also when they are split over chunks."""

from __future__ import annotations

from collections.abc import Sequence


class StopCutter:
    """Feed it visible text; what comes back never holds a stop word or anything after the first one."""

    __slots__ = ("_held", "_words", "hit")

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word for word in words if word]
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """More text -> what of it is certain not to be the beginning of a stop word."""
        if self.hit or not text:
            return ""
        text = self._held + text
        self._held = ""
        # The word that is whole first ends the answer, so that it does not matter how the text was cut.
        ends = [(at + len(word), at) for word in self._words if (at := text.find(word)) >= 0]
        if ends:
            self.hit = True
            return text[: min(ends)[1]]
        for size in range(min(max(map(len, self._words), default=1) - 1, len(text)), 0, -1):
            if any(word.startswith(text[-size:]) for word in self._words if len(word) > size):
                self._held = text[-size:]
                return text[:-size]
        return text

    def finish(self) -> str:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, ""
        return "" if self.hit else held
