"""Reads the answer of an OpenAI-compatible server, whole or in chunks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from glmv_emulator.answers.upstream.events import DONE
from glmv_emulator.answers.values import joined_text

OPENING, CLOSING = "<think>", "</think>"
# Finish reason of the server -> the platform's. Others ("eos", "abort") become "stop".
REASONS = {"length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls", "content_filter": "sensitive"}


class Malformed(Exception):
    """A value that is not a chat response."""


class ErrorAnswer(Exception):
    """The server sent an error in place of an answer; `error` is the server's error object."""

    def __init__(self, error: Any) -> None:
        super().__init__("an error in place of an answer")
        self.error = error


@dataclass(frozen=True, slots=True)
class CallPiece:
    """A part of a tool call. Only the first part of a call has a `name`; `number` counts calls from 0."""

    number: int
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an answer: text, reasoning or tool calls. Exactly one of the fields is not empty."""

    text: str = ""
    reasoning: str = ""
    calls: tuple[CallPiece, ...] = ()


@dataclass(slots=True)
class _Call:
    name: str
    identity: Any
    arguments: str = ""


@dataclass(slots=True)
class Reader:
    """Accumulates one answer.

    Reasoning is read from `reasoning_content` (vLLM, llama.cpp, SGLang), from `reasoning` (Ollama, newer vLLM), and
    from a leading `<think>` of the text. If `thinking` is false, reasoning is left out. `begun` is True after the first
    choice; without a choice the answer is never `complete`.
    """

    thinking: bool = True
    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)
    begun: bool = False
    complete: bool = False
    _calls: list[_Call] = field(default_factory=list)
    _position: dict[int, int] = field(default_factory=dict)
    _tags: _Tags = field(default_factory=lambda: _Tags())

    @property
    def calls(self) -> list[tuple[str, str]]:
        """Name and arguments of each tool call; the arguments are the server's text, which may be invalid JSON."""
        return [(call.name, call.arguments or "{}") for call in self._calls]

    def add(self, value: Any) -> Iterator[Piece]:
        """Add one JSON value, or the text `[DONE]`; yield its pieces.

        Raises:
            Malformed: the value is neither an answer nor a chunk.
            ErrorAnswer: the value is an error.
        """
        if value == DONE:
            self.complete = self.begun
            return
        if not isinstance(value, dict):
            raise Malformed("the answer is not a JSON object")
        if value.get("error"):
            raise ErrorAnswer(value["error"])
        if value.get("object") == "error":
            raise ErrorAnswer(value)
        if isinstance(value.get("usage"), dict):
            self.usage = value["usage"]
        choices = value.get("choices")
        if choices is None and value.get("usage") is None:
            raise Malformed("the answer has no choices")
        for choice in choices or ():
            if not isinstance(choice, dict):
                raise Malformed("a choice is not a JSON object")
            if choice.get("index") in (None, 0):
                yield from self._choice(choice)

    def end(self) -> Iterator[Piece]:
        """Yield the pieces that were held back; to be called after the last value."""
        yield from self._append(*self._tags.end())
        if self._calls and self.finish_reason in (None, "stop"):
            self.finish_reason = "tool_calls"

    def _choice(self, choice: dict[str, Any]) -> Iterator[Piece]:
        self.begun = True
        whole = isinstance(choice.get("message"), dict)
        message = choice["message"] if whole else choice.get("delta")
        if isinstance(message, dict):
            reasoning = message.get("reasoning_content") or message.get("reasoning")
            if isinstance(reasoning, str):
                yield from self._append(reasoning, "")
            yield from self._append(*self._tags.feed(joined_text(message.get("content"))))
            if pieces := tuple(self._pieces(message.get("tool_calls"))):
                yield Piece(calls=pieces)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = REASONS.get(reason, "stop")
        self.complete = self.complete or whole or self.finish_reason is not None

    def _append(self, reasoning: str, text: str) -> Iterator[Piece]:
        if reasoning and self.thinking:
            self.reasoning += reasoning
            yield Piece(reasoning=reasoning)
        if text:
            self.text += text
            yield Piece(text=text)

    def _pieces(self, calls: Any) -> Iterator[CallPiece]:
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if not isinstance(function, dict):
                continue
            name = function.get("name") if isinstance(function.get("name"), str) else ""
            number = self._number(call, name or "")
            if number is None:
                continue
            begins = number == len(self._calls)
            if begins:
                self._calls.append(_Call(name or "", call.get("id")))
            arguments = function.get("arguments")
            piece = (
                arguments
                if isinstance(arguments, str)
                else ""
                if arguments is None
                else json.dumps(arguments, ensure_ascii=False)
            )
            self._calls[number].arguments += piece
            yield CallPiece(number, (name or "") if begins else "", piece)

    def _number(self, call: dict[str, Any], name: str) -> int | None:
        """The number of the call that a part belongs to; a new number begins a call, None means that there is no call.

        Servers number calls by `index`. Some leave it out, and some give every call the index 0 but a different id.
        """
        index, identity = call.get("index"), call.get("id")
        number = self._position.get(index) if isinstance(index, int) else None
        if number is None and not name:
            return len(self._calls) - 1 if self._calls else None
        another = name and identity is not None and number is not None and self._calls[number].identity != identity
        if number is None or another:
            number = len(self._calls)
        if isinstance(index, int):
            self._position[index] = number
        return number


class _Tags:
    """Separates a leading `<think>...</think>` from the text after it, wherever the text is cut into chunks."""

    def __init__(self) -> None:
        self._held = ""
        self._place = "start"  # then "opened", "reasoning", "behind" and "text"

    def feed(self, text: str) -> tuple[str, str]:
        """Add characters; return the reasoning and the text that no later character can change."""
        self._held += text
        reasoning = ""
        if self._place == "start":
            start = self._held.lstrip()
            if start.startswith(OPENING):
                self._place, self._held = "opened", start.removeprefix(OPENING)
            elif not OPENING.startswith(start):
                self._place = "text"
        if self._place == "opened":
            self._held = self._held.lstrip("\n")
            self._place = "reasoning" if self._held else "opened"
        if self._place == "reasoning":
            reasoning, closed, rest = self._held.partition(CLOSING)
            if closed:
                self._place, self._held = "behind", rest
            else:
                uncertain = _started(self._held, CLOSING)
                reasoning, self._held = (
                    self._held[: len(self._held) - uncertain],
                    self._held[len(self._held) - uncertain :],
                )
        if self._place == "behind":
            self._held = self._held.lstrip()
            self._place = "text" if self._held else "behind"
        if self._place != "text":
            return reasoning, ""
        visible, self._held = self._held, ""
        return reasoning, visible

    def end(self) -> tuple[str, str]:
        """The reasoning and the text that were held back until the end."""
        rest, self._held = self._held, ""
        return (rest, "") if self._place == "reasoning" else ("", rest)


def _started(text: str, tag: str) -> int:
    """The number of characters at the end of a text that may be the beginning of a tag."""
    return next((size for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])), 0)
