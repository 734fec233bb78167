"""The values that may fill a property of a JSON Schema, the most certain first: what was measured, what was read in the
pictures, `name: value` in the texts, then quoted strings and numbers in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain
from typing import Any

from glmv_emulator.answers.conversation import Conversation, NumberedMedium
from glmv_emulator.answers.facts import Fact, facts_of, find_facts
from glmv_emulator.answers.texts import (
    FORMATS,
    MOST_TEXT,
    labelled,
    numbers,
    of_format,
    quotations,
    to_number,
    without_json,
)
from glmv_emulator.eyes.sheet import Sheet, Sheets, sheet_of
from glmv_emulator.eyes.words import key_words, to_figure

# How certain a value is: KIND means the next value of the right type in the texts, NAMED one with the property's name.
KIND, NAMED = 1, 2
_TRUE, _FALSE = ("true", "yes", "on", "是"), ("false", "no", "off", "否")
# Names of properties for a text answer, and for all text in a picture.
ANSWER = ("answer", "response", "reply", "回答", "答案")
_TEXT = {"text", "ocr", "transcript", "transcription", "文字"}

Offer = tuple[Any, int]


@dataclass
class Evidence:
    """Offers values for properties, by name and type. Quoted strings and numbers are offered until they are used."""

    texts: Sequence[str] = ()
    facts: Sequence[Fact] = ()
    read: Callable[[], Sheets | None] = lambda: None
    each: Sequence[Evidence] = ()
    _used: set[str] = field(default_factory=set)

    @cached_property
    def page(self) -> Sheets | None:
        """The text in the pictures. The pictures are read when this property is first used."""
        return self.read()

    @cached_property
    def _quoted(self) -> list[str]:
        return [value for text in self.texts for value in quotations(text)]

    @cached_property
    def _numbers(self) -> list[int | float]:
        return [value for text in self.texts for value in numbers(text)]

    @property
    def is_empty(self) -> bool:
        """Whether there are neither texts nor measurements."""
        return not (self.texts or self.facts or self.each)

    def begin(self) -> None:
        """Offer everything again."""
        self._used.clear()

    def use(self, value: Any) -> None:
        """Record that a value was used."""
        self._used.add(str(value))

    def named(self, name: str, hint: str = "") -> Iterator[Any]:
        """The values that were measured, read or written under a property's name."""
        yield from find_facts(self.facts, name)
        if self.page is not None:
            yield from self.page.values_of(name, hint)
            if set(key_words(name)) & _TEXT:
                yield self.page.text()
        for text in self.texts:
            yield from labelled(text, name)

    def strings(self, name: str, hint: str, form: str) -> Iterator[Offer]:
        """Strings for a property, each with its rank. If ``form`` is one of `FORMATS`: only strings of that format."""
        named = (str(value) for value in self.named(name, hint) if not isinstance(value, (bool, list)))
        if form not in FORMATS:
            yield from ((value, NAMED) for value in named)
            yield from ((value, KIND) for value in self._quoted if value not in self._used)
            return
        read = [self.page.text()] if self.page is not None else []
        for text in chain(named, read, self.texts):
            yield from ((value, NAMED) for value in of_format(text, form))

    def words(self) -> Iterator[str]:
        """Candidates for a pattern: quoted strings, and single words that were read in pictures. Other words of the
        texts are not used, because they may be an instruction."""
        yield from self._quoted
        read = self.page.text() if self.page is not None else ""
        yield from (word.strip(",.;:!?()[]，。；：！？（）") for word in read.split())
        yield from re.findall(r"\w+", read)

    def numbers(self, name: str, hint: str) -> Iterator[tuple[float | int, int]]:
        """Numbers for a property, each with its rank: first those with the property's name, then those not used yet."""
        for value in self.named(name, hint):
            if isinstance(value, str):
                value = _figure(value)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                yield value, NAMED
        yield from ((value, KIND) for value in self._numbers if str(value) not in self._used)

    def plain(self, name: str) -> Iterator[Offer]:
        """Values of any type with the property's name, for a property without a type."""
        for value in self.named(name):
            number = (
                _figure(value) if isinstance(value, str) and re.fullmatch(r"\W{0,2}[\d.,]+\W{0,2}", value) else None
            )
            yield (value if number is None else number), NAMED

    def truth(self, name: str) -> Iterator[tuple[bool, int]]:
        """Booleans for a property, each with its rank: only values with the property's name."""
        for value in self.named(name):
            word = str(value).lower()
            if word in (*_TRUE, *_FALSE):
                yield word in _TRUE, NAMED

    def lists(self, name: str) -> Iterator[tuple[list[Any], int]]:
        """Lists for a property: measured lists, then a list of unused quoted strings, then a list of unused numbers."""
        yield from ((value, NAMED) for value in find_facts(self.facts, name) if isinstance(value, list))
        for values in (self._quoted, self._numbers):
            if unused := [value for value in values if str(value) not in self._used]:
                yield unused, KIND

    def choice(self, options: Sequence[Any], name: str) -> Any | None:
        """The option that was measured, read or written under the property's name, or that is in quotes; else None."""
        for value in chain(self.named(name), self._quoted):
            for option in options:
                if isinstance(option, str) and option.lower() == str(value).lower():
                    return option
        return None

    def everything(self) -> dict[str, Any]:
        """All measured values by `Fact.key`, for a schema without properties. For several media: {"media": [...]}."""
        if len(self.each) > 1:
            return {"media": [one.everything() for one in self.each]}
        return {fact.key: fact.get() for fact in self.facts if not fact.in_words}


def evidence_of(conversation: Conversation, words: str = "") -> Evidence:
    """The evidence in a conversation; ``words`` is the text answer, for properties such as "answer"."""
    results = [result.text for result in conversation.results]
    question = conversation.texts[:1] if conversation.question else []
    texts = [*question, *results, *conversation.texts[len(question) :]]
    language = conversation.language
    measured_media = [item for item in conversation.media if item.medium.seen is not None]
    if results:
        measured_media.reverse()  # if tools returned media, the newest ones come first
    each = [Evidence(facts=facts_of(item, language), read=partial(_read, [item])) for item in measured_media]
    answers = [Fact.of(*ANSWER, value=words, in_words=True)] if words else []
    return Evidence(
        [without_json(text[:MOST_TEXT]) for text in dict.fromkeys(texts)],
        [*(fact for one in each for fact in one.facts), *answers],
        partial(_read, measured_media),
        each,
    )


def _read(items: Sequence[NumberedMedium]) -> Sheets | None:
    sheets: list[Sheet] = []
    for item in items:
        sheet = sheet_of(item.medium.data) if item.medium.kind == "image" else None
        if sheet is not None and (sheet.lines or sheet.codes):
            sheets.append(sheet)
    return Sheets(sheets) if sheets else None


def _figure(text: str) -> int | float | None:
    number = to_number(text)
    if number is not None:
        return number
    figure = to_figure(text)
    return int(figure) if figure is not None and figure.is_integer() else figure
