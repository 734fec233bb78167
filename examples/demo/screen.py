"""What the demo prints: chapters, facts, and answers that arrive word by word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from place import Place
from rich.console import Console

NO_KEY = (
    "No key is set, so an emulator on this machine answers. It is not GLM-4V: whatever is asked, it says what it "
    "measures in the pictures, and what it reads where the extra `eyes` is installed. "
    "With ZHIPUAI_API_KEY or ZAI_API_KEY set, the same program asks the real platform."
)
MARGIN = 12
WIDTH = 96


class Column:
    """Text on its way to the terminal, wrapped to the right of a label.

    Attributes:
        seconds: from the label to the last word.
        first_word: from the label to the first word, or None while there is none.
    """

    def __init__(self, console: Console, label: str) -> None:
        console.print(f"  [dim]{label:<{MARGIN - 2}}[/]", end="")
        self._console = console
        self._width = min(console.width, WIDTH) - MARGIN
        self._column = 0
        self._word = ""
        self._begun = time.perf_counter()
        self.first_word: float | None = None
        self.seconds = 0.0

    def write(self, words: str) -> None:
        """Add text. A word is printed when it is complete, so that it can be wrapped."""
        if words and self.first_word is None:
            self.first_word = time.perf_counter() - self._begun
        for letter in words:
            if not letter.isspace():
                self._word += letter
                continue
            self._put_word()
            if letter == "\n":
                self._new_line()

    def end(self) -> None:
        self._put_word()
        self._console.print()
        self.seconds = time.perf_counter() - self._begun

    def _put_word(self) -> None:
        gap = " " if self._column and self._word else ""
        if self._column + len(gap + self._word) > self._width:
            self._new_line()
            gap = ""
        self._put(gap + self._word)
        self._word = ""

    def _new_line(self) -> None:
        self._console.print("\n" + " " * MARGIN, end="")
        self._column = 0

    def _put(self, text: str) -> None:
        self._column += len(text)
        self._console.print(text, end="", markup=False, soft_wrap=True)


class Screen:
    """The terminal, for as long as the demo runs."""

    def __init__(self, here: Place) -> None:
        self._console = Console(highlight=False)
        self._tag = "  [black on yellow] EMULATOR [/]" if here.is_emulator else ""
        self._console.print(f"\n[bold]glmv[/]  GLM-4V in LangChain and LlamaIndex{self._tag}")
        if here.is_emulator:
            self._console.print(NO_KEY, style="dim", width=min(self._console.width, WIDTH))

    def chapter(self, title: str, how: str, model: str) -> None:
        self._console.print(f"\n[bold cyan]{title}[/]")
        self.fact("with", f"{how}, {model}")

    def fact(self, label: str, value: str) -> None:
        column = Column(self._console, label)
        column.write(value)
        column.end()

    @contextmanager
    def answer(self) -> Iterator[Column]:
        """A column for an answer; its time begins now and ends with the block."""
        column = Column(self._console, "answer")
        try:
            yield column
        finally:
            column.end()

    def cost(self, answer: Column, asked: int, answered: int) -> None:
        first = f", the first word after {answer.first_word:.2f} s" if answer.first_word is not None else ""
        self._console.print(
            f"  [dim]{'cost':<{MARGIN - 2}}{asked} + {answered} tokens, {answer.seconds:.2f} s{first}[/]{self._tag}"
        )

    def end(self) -> None:
        self._console.print()
