"""Words that come in pieces -> lines that a terminal need not break within a word. No I/O."""

from __future__ import annotations

from rich.cells import cell_len

FENCE = "```"


class Wrap:
    """Breaks prose between words at `width` cells. Code between fences stays as it is: it is there to be copied."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._column = 0
        self._line = self._spaces = self._word = ""
        self._code = False

    def feed(self, text: str) -> str:
        """The next piece of an answer -> what can be written now; a word that may go on is kept."""
        return "".join(self._taken(letter) for letter in text)

    def rest(self) -> str:
        """The word that was kept."""
        return self._placed()

    def _taken(self, letter: str) -> str:
        if letter == "\n":
            return self._ended()
        self._line = (self._line + letter)[: len(FENCE)]
        if letter.isspace():
            done = self._placed()
            self._spaces += letter
            return done
        if cell_len(letter) < 2:
            self._word += letter
            return ""
        # Chinese and Japanese put no spaces between words: a line may end at any character.
        done = self._placed()
        self._word = letter
        return done + self._placed()

    def _placed(self) -> str:
        if not self._word:
            return ""
        spaces, word, self._spaces, self._word = self._spaces, self._word, "", ""
        needed = self._column + len(spaces) + cell_len(word)
        if needed > self._width and self._column and not self._code and self._line != FENCE:
            self._column = cell_len(word)
            return f"\n{word}"
        self._column = needed
        return spaces + word

    def _ended(self) -> str:
        done = self._placed() + self._spaces + "\n"
        if self._line == FENCE:
            self._code = not self._code
        self._column, self._line, self._spaces = 0, "", ""
        return done
