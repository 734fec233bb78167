"""What the demo prints: chapters, facts, and answers that arrive word by word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from place import Place
from rich.console import Console

NO_KEY = """\
No key is set: an emulator on this machine answers. It measures pictures and is not GLM-4V.
With ZHIPUAI_API_KEY or ZAI_API_KEY set, the same program asks the real platform."""
MARGIN = 14
WIDTH = 96


class Answer:
    """An answer on its way to the terminal, wrapped in a column of its own."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._column = 0
        self._space = min(console.width, WIDTH) - MARGIN
        self._word = ""
        self._begun = time.perf_counter()
        self.first_word: float | None = None
        self.seconds = 0.0

    def write(self, words: str) -> None:
        """Show more of the answer. A word is printed when it is complete, so that it can be wrapped."""
        if words and self.first_word is None:
            self.first_word = time.perf_counter() - self._begun
        for letter in words:
            if not letter.isspace():
                self._word += letter
                continue
            self._put()
            if letter == "\n":
                self._line()
            elif self._column:
                self._column += 1
                self._print(" ")

    def end(self) -> None:
        self._put()
        self._print("\n")
        self.seconds = time.perf_counter() - self._begun

    def _put(self) -> None:
        if self._column and self._column + len(self._word) > self._space:
            self._line()
        self._column += len(self._word)
        self._print(self._word)
        self._word = ""

    def _line(self) -> None:
        self._column = 0
        self._print("\n" + " " * MARGIN)

    def _print(self, text: str) -> None:
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)


class Screen:
    """The terminal, for as long as the demo runs."""

    def __init__(self, here: Place) -> None:
        self._console = Console(highlight=False)
        self._tag = "  [black on yellow] EMULATOR [/]" if here.is_emulator else ""
        self._console.print(f"\n[bold]glmv[/]  GLM-4V in LangChain and LlamaIndex{self._tag}")
        if here.is_emulator:
            self._console.print(NO_KEY, style="dim")

    def chapter(self, title: str, how: str, model: str) -> None:
        self._console.print(f"\n[bold cyan]{title}[/]")
        self._console.print(f"{how}, {model}", style="dim", markup=False)

    def fact(self, name: str, value: str) -> None:
        self._console.print(f"  [dim]{name:<{MARGIN - 2}}[/]", end="")
        self._console.print(value, markup=False, soft_wrap=True)

    @contextmanager
    def answer(self) -> Iterator[Answer]:
        """An answer to write to; it begins now and ends with the block."""
        self._console.print(f"  [dim]{'answer':<{MARGIN - 2}}[/]", end="")
        answer = Answer(self._console)
        try:
            yield answer
        finally:
            answer.end()

    def cost(self, answer: Answer, asked: int, answered: int) -> None:
        first = f", the first word after {answer.first_word:.2f} s" if answer.first_word is not None else ""
        self._console.print(f"  [dim]{'cost':<{MARGIN - 2}}[/]", end="")
        self._console.print(
            f"{asked} + {answered} tokens, {answer.seconds:.2f} s{first}{self._tag}", soft_wrap=True
        )

    def end(self) -> None:
        self._console.print()
