"""The parts of a conversation that an answer is about: the newest turn, its question, media and tool results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from glmv_emulator.answers.texts import Language, language_of
from glmv_emulator.answers.values import Ask, Medium, text_of


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a tool, and the tool's name ('' if the messages do not say it)."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class NumberedMedium:
    """A medium and its number in answers. Pictures, videos and files are counted separately, from 1."""

    number: int
    medium: Medium


class Conversation:
    """The newest turn of a request: all messages since the last answer that is text."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        messages = ask.messages
        self.start = _start(messages)
        newest = messages[self.start :]
        self.results = _results(newest)
        first = next((at for at, message in enumerate(newest) if message.get("role") == "tool"), len(newest))
        # Text after a tool's result belongs to the result: clients move the pictures of tools into user messages.
        questions = [text_of(message) for message in newest[:first] if message.get("role") == "user"]
        earlier = [text_of(message) for message in messages[: self.start] if message.get("role") == "user"]
        self.texts = [text for text in (*reversed(questions), *reversed(earlier)) if text.strip()]
        self.question = next((text for text in reversed(questions) if text.strip()), "")

    @cached_property
    def tools(self) -> dict[str, Any]:
        """The functions in the request: name -> schema of the arguments."""
        functions = [tool.get("function") for tool in self.ask.tools if isinstance(tool, Mapping)]
        return {
            str(function["name"]): function.get("parameters")
            for function in functions
            if isinstance(function, Mapping) and function.get("name")
        }

    @cached_property
    def language(self) -> Language:
        """The language of the question, or of an earlier question if this turn has none."""
        return language_of(self.texts[0] if self.texts else "")

    @cached_property
    def media(self) -> list[NumberedMedium]:
        """The media of the turn, numbered in order; if the turn has none, all media of the conversation."""
        everything = self.ask.media
        newest = [medium for medium in everything if medium.message >= self.start] or everything
        counts: dict[str, int] = {}
        numbered = []
        for medium in sorted(newest, key=lambda medium: (medium.message, medium.part)):
            counts[medium.kind] = counts.get(medium.kind, 0) + 1
            numbered.append(NumberedMedium(counts[medium.kind], medium))
        return numbered

    @property
    def answered_in_words(self) -> bool:
        """Whether the answer before this turn was text without JSON."""
        return self.start > 0 and "{" not in text_of(self.ask.messages[self.start - 1])


def _start(messages: Sequence[Mapping[str, Any]]) -> int:
    """The index of the first message of the newest turn.

    The turn begins after the last text answer that precedes the newest user message; without such an answer, at 0.
    """
    last_user = max((at for at, message in enumerate(messages) if message.get("role") == "user"), default=0)
    for index in range(last_user - 1, -1, -1):
        if messages[index].get("role") == "assistant" and not messages[index].get("tool_calls"):
            return index + 1
    return 0


def _results(messages: Sequence[Mapping[str, Any]]) -> list[Result]:
    names: dict[str, str] = {}
    results = []
    for message in messages:
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else []:
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                names[str(call.get("id"))] = str(call["function"].get("name") or "")
        if message.get("role") == "tool":
            name = names.get(str(message.get("tool_call_id"))) or str(message.get("name") or "")
            results.append(Result(name, text_of(message)))
    return results
