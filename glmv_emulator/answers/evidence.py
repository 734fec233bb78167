"""All that may fill a value: what the user wrote, what was measured, and what was read in the pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from glmv_emulator.answers.facts import Fact, find_facts
from glmv_emulator.answers.mentions import (
    entities,
    iso_date,
    labelled,
    numbers,
    phrase,
    prepositional,
    quotations,
    shape_of,
    to_figure,
    to_number,
)
from glmv_emulator.answers.words import content_words, has, words

# How sure a value is: a guess from the words at hand, a value of the right kind, a value that is named so.
GUESS, KIND, NAMED = 1, 2, 3

Offer = tuple[Any, int]

# A property that takes a whole request: the text of a search, a question to pass on.
_WHOLE = ("query", "question", "prompt", "text", "input", "message", "request", "instruction", "instructions", "task",
          "search", "content", "sentence", "问题", "查询", "文本", "内容", "关键词")  # fmt: skip


class Page(Protocol):
    """What was read in a picture, as far as filling needs it."""

    def values_of(self, name: str, hint: str) -> list[str]:
        """The values beside the label that fits a property's name or the words of its title and description."""

    def rows(self, names: Sequence[str]) -> list[dict[str, str]]:
        """Rows of a table whose columns or cells fit the names; empty when there is no table."""

    def place(self, words_: str) -> tuple[int, int] | None:
        """The middle of the line that says ``words_``, in pixels; None when no line does."""

    def text(self) -> str:
        """All lines."""


@dataclass(slots=True)
class Evidence:
    """Offers values by name and kind. Numbers and names of the text are offered once each, in their order.

    ``orders`` are sentences that tell how to answer; they count for little more than the figures in them.
    ``named_only``: what bears the name of a property fills it and nothing else does, since the words are a request to
    look at a picture and hold no values of their own.
    """

    texts: list[str]
    facts: list[Fact]
    known: set[str]
    page: Callable[[], Page | None] = lambda: None
    each: list[tuple[list[Fact], Callable[[], Page | None]]] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)
    named_only: bool = False
    _used: set[str] = field(default_factory=set)
    _guess: str | None = None

    def strings(self, name: str, hint: str, form: str | None) -> Iterator[Offer]:
        """Text for a property, the surest first."""
        shape = shape_of(name, form)
        for value in self._labelled(name):
            if shape is None or shape.search(value):
                yield self._shaped(value, shape, form), NAMED
        yield from self._prepositional(name)
        # What was measured comes before what must be read first, since reading takes seconds.
        for value in find_facts(self.facts, name):
            if not isinstance(value, (bool, list)):
                yield str(value), NAMED
        yield from self._read(name, hint, shape, form)
        if shape is not None:
            for text in self.texts:
                for match in shape.finditer(text):
                    yield self._shaped(match.group(), shape, form), NAMED
            return
        if self.named_only:
            return
        yield from self._quoted_or_named(name)
        if (guess := self.guess()) != "":
            yield guess, GUESS

    def _labelled(self, name: str) -> Iterator[str]:
        for text in (*self.texts, *self.orders):
            yield from labelled(text, name)

    def _prepositional(self, name: str) -> Iterator[Offer]:
        for text in self.texts:
            for value in prepositional(text, name):
                if self._fresh(value):
                    yield value, NAMED

    def _read(self, name: str, hint: str, shape: re.Pattern[str] | None, form: str | None) -> Iterator[Offer]:
        page = self.page()
        if page is None:
            return
        for value in page.values_of(name, hint):
            if shape is None or shape.search(value):
                yield self._shaped(value, shape, form), NAMED
        if set(words(name)) & {"text", "ocr", "transcript", "transcription", "文字"}:
            yield page.text(), NAMED
        if shape is not None and (match := shape.search(page.text())):
            yield self._shaped(match.group(), shape, form), NAMED

    def _quoted_or_named(self, name: str) -> Iterator[Offer]:
        whole = any(word in _WHOLE for word in words(name))
        for text in self.texts:
            for value in quotations(text):
                if self._fresh(value):
                    yield value, KIND
        if whole and self.texts and self.texts[0]:
            yield self.texts[0].strip().rstrip("?？"), KIND
        for text in self.texts:
            for value in entities(text):
                if self._fresh(value) and not content_words(value) <= self.known:
                    yield value, KIND
        for text in self.orders:
            for value in quotations(text):
                if self._fresh(value) and not content_words(value) <= self.known:
                    yield value, KIND

    def numbers(self, name: str, hint: str) -> Iterator[tuple[float | int, int]]:
        """Numbers for a property, the surest first."""
        for value in self._labelled(name):
            if (number := to_number(value)) is not None and re.match(r"[-+−]?[\d$€£¥]", value):
                yield number, NAMED
        for text in self.texts:
            pattern = rf"([-+]?\d+(?:\.\d+)?)[\s-]*(?:\w+\s)?{re.escape(words(name)[-1])}" if words(name) else r"(?!)"
            for match in re.finditer(pattern, text, re.IGNORECASE):
                if len(words(name)[-1]) > 2 and (number := to_number(match.group(1))) is not None:
                    yield number, NAMED
        yield from self._places(name, hint)
        for value in find_facts(self.facts, name):
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield value, NAMED
        page = self.page()
        for value in page.values_of(name, hint) if page is not None else []:
            if (number := to_figure(value)) is not None:
                yield (int(number) if number.is_integer() else number), NAMED
        if self.named_only:
            return
        for text in self.texts:
            for number in numbers(text):
                if self._fresh(str(number)):
                    yield number, KIND
        for text in self.orders:
            for number in numbers(text, figures_only=True):
                if self._fresh(str(number)):
                    yield number, KIND

    def plain(self, name: str) -> Iterator[Offer]:
        """Values of any kind that are named so, for a property of which no type is known."""
        for value in self._labelled(name):
            number = to_number(value) if re.fullmatch(r"[-+−]?[\d.,]+", value) else None
            yield (value if number is None else number), NAMED
        for value in find_facts(self.facts, name):
            yield value, NAMED
        page = self.page()
        for value in page.values_of(name, "") if page is not None else []:
            number = to_figure(value) if re.fullmatch(r"\W{0,2}[\d.,]+\W{0,2}", value) else None
            yield (value if number is None else number), NAMED

    def _places(self, name: str, hint: str) -> Iterator[tuple[int, int]]:
        """Coordinates of what the text names: for "click the button Save", the middle of the word Save."""
        last = words(name)[-1:] or [""]
        if last[0] not in ("x", "y", "left", "top") or (page := self.page()) is None:
            return
        for text in self.texts:
            for wanted in (*quotations(text), *entities(text), phrase(text, self.known)):
                if wanted and (place := page.place(wanted)) is not None:
                    yield place[0] if last[0] in ("x", "left") else place[1], NAMED

    def truth(self, name: str) -> Iterator[tuple[bool, int]]:
        """Yes or no for a property: measured, or wished for in the text."""
        for value in find_facts(self.facts, name):
            if isinstance(value, bool):
                yield value, NAMED
        wanted = content_words(name.removeprefix("is_").removeprefix("has_"))
        for text in self.texts:
            for value in labelled(text, name):
                if value.lower() in ("true", "yes", "on", "false", "no", "off"):
                    yield value.lower() in ("true", "yes", "on"), NAMED
            if wanted and wanted <= content_words(text):
                yield not has(text, "not|no|without|never|don't", "不|没|别"), NAMED

    def lists(self, name: str) -> Iterator[tuple[list[Any], int]]:
        """Lists for a property: measured ones, then all quotations, names or numbers of the text."""
        for value in find_facts(self.facts, name):
            if isinstance(value, list):
                yield value, NAMED
        if self.named_only:
            return
        for text in self.texts:
            for found in (quotations(text), entities(text), numbers(text)):
                if found:
                    yield list(found), KIND
        if (guess := self.guess()) != "":
            yield [guess], GUESS

    def choice(self, options: Sequence[Any], name: str) -> Any | None:
        """The one of several fixed values that the text or the measurements speak of."""
        said = " ".join(self.texts)
        stems = content_words(said) | set(words(said))
        measured = {str(value).lower() for value in find_facts(self.facts, name)}
        page = self.page()
        measured |= {value.lower() for value in page.values_of(name, "")} if page is not None else set()
        for option in options:
            if isinstance(option, str) and option:
                parts = content_words(option) or set(words(option))
                if option.lower() in measured or has(said, re.escape(option)) or (parts and parts <= stems):
                    return option
        return None

    def guess(self) -> str:
        """The words of the request that say most, without those of the tool itself."""
        if self._guess is None:
            self._guess = next((found for text in self.texts if (found := phrase(text, self.known)) != ""), "")
        return self._guess

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to offer."""
        return not (self.texts or self.facts or self.each)

    def use(self, value: Any) -> None:
        """Remember that a value has found its place."""
        self._used.add(str(value))

    def alone(self) -> list[Evidence]:
        """The same words with what was measured and read in one picture only, for each picture."""
        return [Evidence(self.texts, facts, self.known, page, named_only=self.named_only) for facts, page in self.each]

    def _fresh(self, value: str) -> bool:
        return value not in self._used

    @staticmethod
    def _shaped(value: str, shape: re.Pattern[str] | None, form: str | None) -> str:
        match = shape.search(value) if shape is not None else None
        found = match.group() if match else value
        return (iso_date(found) or found) if form == "date" else found
