"""Converts the bytes of a response to completions and deltas. No I/O, no clock.

The shapes are those of docs.bigmodel.cn and docs.z.ai, "Chat Completion". tests/core/wire/test_wire.py has more shapes,
most of them of text models, from SDKs, gateways and their bug reports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import from_json

from glmv.credentials import Secrets
from glmv.errors import MalformedResponse, label
from glmv.types import Delta, ToolCallDelta, Usage
from glmv.wire.finish_reasons import is_withdrawn
from glmv.wire.marks import TagFilter, Thought
from glmv.wire.markup import MarkupFilter, Tools
from glmv.wire.shapes import KNOWN, calls_of, counted, piece_of, text_of, unread, unread_in, unwrapped
from glmv.wire.tool_calls import ToolCalls

# The most values in a body, because a few bytes of JSON may become a large object. 64 vectors of 4,096 numbers fit.
MAX_VALUES = 300_000


def parse(data: bytes | bytearray, what: str = "The response", secrets: Secrets | None = None) -> Any:
    """Parses the bytes of a JSON value. Invalid UTF-8 and lone surrogates become U+FFFD.

    Args:
        data: the bytes, in which credentials are masked already.
        what: the name of the data, for the message.
        secrets: credentials that are masked again in the value, because escapes may hide them in the bytes.

    Raises:
        MalformedResponse: the data is not JSON, or has more than `MAX_VALUES` values; the message quotes its beginning.
    """
    if len(data) > MAX_VALUES and data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise MalformedResponse(f"{what} has more than {MAX_VALUES} values and was dropped: {excerpt(data)}")
    try:
        payload = from_json(data)
    except ValueError:
        try:
            payload = from_json(_mended(data))
        except ValueError as error:
            raise MalformedResponse(f"{what} is not JSON ({error}): {excerpt(data)}") from None
    # Two searches, because one byte is found faster than two, and most events have no escapes.
    escaped = b"\\" in data and b"\\u" in data
    return secrets.mask_values(payload) if escaped and secrets is not None else payload


def _mended(data: bytes | bytearray) -> str:
    """The JSON as text, with U+FFFD for invalid UTF-8 and lone surrogates, and with escaped control characters."""
    text = _ESCAPE.sub(_whole_character, data.decode("utf-8-sig", "replace"))
    return _STRING.sub(lambda string: _CONTROL.sub(_escaped, string[0]), text) if _CONTROL.search(text) else text


# An escape of JSON; the first two are surrogates. JavaScript may cut a string inside a pair, which leaves one half.
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)")
_CONTROL = re.compile("[\x00-\x1f]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _escaped(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"


def _whole_character(escape: re.Match[str]) -> str:
    return "\\ufffd" if len(escape[0]) == 6 else escape[0]


def excerpt(data: bytes | bytearray, limit: int = 160) -> str:
    """The beginning of a body for an error message: at most `limit` characters, without control characters."""
    text = data[: limit * 4].decode("utf-8", "replace").strip()
    printable = "".join(c if c.isprintable() else " " for c in text)
    return f"{printable[:limit]!r}" + ("…" if len(printable) > limit else "")


_FACTS = ("id", "model", "request_id")
_EVERY = (*_FACTS, "created")


class DeltaDecoder:
    """Converts the chunks of one answer, in order, to deltas. An answer that is not streamed is one chunk.

    It handles the differences between servers: usage and finish reason may be in any chunk, once or twice; content may
    be a string, a list, an object or null; of several choices, choice 0 is the answer, or the choice with the
    lowest index if there is no choice 0. `ToolCalls` handles differences in tool calls.

    Args:
        thought: whether text may begin with reasoning, see `TagFilter`.
        tools: the functions in the request.
        markup: whether markup of calls at the end of the text is read as tool calls.
    """

    __slots__ = (
        "_calls",
        "_chunk",
        "_deltas",
        "_every",
        "_filter",
        "_has_content",
        "_has_known_field",
        "_markup",
        "_noted",
        "_odd",
        "_others",
        "_rising",
        "_unread",
        "_usage",
        "answered",
        "ended",
        "facts",
        "finish_reason",
        "left_in_text",
        "usage",
    )

    def __init__(self, thought: Thought = "marked", tools: Tools | None = None, *, markup: bool = True) -> None:
        self._filter = TagFilter(thought)
        self._markup = MarkupFilter(tools) if tools and markup else None
        self._calls = ToolCalls(tools or {})
        self._chunk: Mapping[str, Any] = {}  # the one with the finish reason, or the newest
        self._usage: Mapping[str, Any] | None = None
        self._others: dict[int, list[dict[str, Any]]] = {}  # chunks of other choices, until choice 0 has content
        self._rising: list[dict[str, Any]] | None = []  # chunks of other choices, while their indexes count up
        self._has_content = False  # choice 0 has content
        self._odd: set[str] = set()  # kinds of content that are not read
        self._deltas = False  # text came in deltas
        self.ended = False  # `[DONE]` was seen
        self.answered = False  # a choice was seen
        self.facts: dict[str, Any] = {}
        self._noted: frozenset[str] = frozenset()  # keys whose facts are recorded
        self._every: tuple[Any, ...] = (None,) * len(_EVERY)  # the facts in every delta
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.left_in_text = 0  # tool calls that the server left in the text
        self._has_known_field = False  # a known field of an answer was seen, even if empty
        self._unread: set[str] = set()  # unknown fields

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen: then the answer is complete, even without `[DONE]`."""
        return self.finish_reason is not None

    def feed(self, chunk: dict[str, Any]) -> Delta | None:
        """The delta of a chunk, or None if the chunk has no content.

        A delta with `replaces` means that all text before was reasoning, see `TagFilter.feed`.
        """
        if not self._noted.issuperset(chunk):
            self._note(chunk)
        if self.finish_reason is None:
            self._chunk = chunk
        choices = chunk.get("choices")
        if not choices:
            return self._without_choices(chunk)
        if not isinstance(choices, list):
            return None
        choice = choices[0]
        if not isinstance(choice, dict):
            return None
        if choice.get("index") or len(choices) > 1:
            choice = self._first_of(chunk, choices)
            if choice is None:
                return None
        elif self._rising:
            self._rising = None
        self.answered = True
        piece = choice.get("delta")
        if piece and isinstance(piece, dict):
            self._deltas = self._deltas or "content" in piece
        else:
            piece = piece_of(choice)
            if self._deltas and piece is choice.get("message"):
                # The last chunk repeats the whole message.
                piece = {name: value for name, value in piece.items() if name == "tool_calls"}
        if reason := choice.get("finish_reason"):
            if self.finish_reason is None or is_withdrawn(str(reason)):  # content may be withdrawn after "stop"
                self.finish_reason = str(reason)
            self._has_content = True
            self._chunk = chunk
            if "usage" in choice:
                self._count(choice["usage"])
        content = piece.get("content")
        text = reasoning = ""
        replaces = False
        calls = piece.get("tool_calls")
        if content:
            self._has_content = True
            if isinstance(content, str):
                text, reasoning, replaces = self._filter.feed(content)
            else:
                calls = calls_of(piece)
                content, thought = text_of(content)
                if not (content or thought or calls):
                    self._odd |= unread_in(choice, piece)
                text, reasoning, replaces = self._filter.feed(content)
                reasoning = thought + reasoning
            if self._markup is not None:
                text, reasoning = self._without_calls(text, reasoning, replaces)
        thought = piece.get("reasoning_content") or piece.get("reasoning")
        if thought:
            reasoning = (thought if isinstance(thought, str) else "".join(text_of(thought))) + reasoning
            self._has_content = True
            self._filter.settle(thought=True)
        pieces: Sequence[ToolCallDelta] = ()
        if calls or not (content or thought):
            calls = calls or self._rarely(choice, piece)
            if calls:
                self._filter.settle(thought=False)
                self._has_content = True
                pieces = self._calls.feed(calls)
            elif refusal := piece.get("refusal"):
                text = str(refusal)
            elif isinstance(other := piece.get("text"), str):  # in place of "content", as in completions
                text = other
            elif isinstance(audio := piece.get("audio"), dict):
                text = str(audio.get("transcript") or "")
        if not (text or reasoning or pieces or replaces):
            return None
        ident, model, request_id, created = self._every
        # Positional arguments, because keywords take twice as long.
        delta = Delta(text, reasoning, pieces, ident, model, request_id, created, chunk)
        if replaces:
            delta.replaces = True
        return delta

    def _rarely(self, choice: Mapping[str, Any], piece: Mapping[str, Any]) -> object:
        """The tool calls, also in older forms, of a chunk without text and reasoning. Records what is not read."""
        if not KNOWN.isdisjoint(piece):
            self._has_known_field = True
        elif not (self._has_known_field or self._unread):
            self._unread = unread(choice, piece)
        if not (self._has_content and self._deltas):
            self._odd |= unread_in(choice, piece)
        return calls_of(piece)

    @property
    def unread(self) -> set[str]:
        """The names of unknown fields that may contain the answer if the known fields contain no answer."""
        return self._odd if self._has_known_field else self._odd | self._unread

    def _without_choices(self, chunk: Mapping[str, Any]) -> Delta | None:
        if not self._deltas and not _SEEN_KEYS.issuperset(chunk):
            payload = unwrapped(chunk)
            if payload is not None:
                return self.feed(dict(payload))
        return None

    def _first_of(self, chunk: dict[str, Any], choices: list[Any]) -> dict[str, Any] | None:
        """The choice of a chunk with index 0 or without a valid index; None if the chunk has no such choice.

        Other choices are kept until choice 0 has content. If choice 0 never has content, `other` returns the answer.
        """
        indexes = [_integer(each.get("index")) or 0 if isinstance(each, dict) else -1 for each in choices]
        if 0 in indexes:
            self._rising = None
            first = choices[indexes.index(0)]
            return first if isinstance(first, dict) else None
        lowest = min((index for index in indexes if index > 0), default=None)
        if lowest is None or (self._has_content and self._rising is None):
            return None
        single = {**chunk, "choices": [{**choices[indexes.index(lowest)], "index": 0}]}
        if not self._has_content:
            self._others.setdefault(lowest, []).append(single)
        if self._rising is not None:
            if len(choices) > 1 or lowest != len(self._rising) + 1:
                self._rising = None
            else:
                self._rising.append(single)
        return None

    def _without_calls(self, text: str, reasoning: str, ended: bool) -> tuple[str, str]:
        """Text and reasoning without calls in GLM's markup.

        `ended` says that all text so far was reasoning. Then the text that was held back is put before `reasoning`.
        """
        assert self._markup is not None
        if ended:
            reasoning = self._markup.drop() + reasoning
        return (self._markup.feed(text) if text else ""), reasoning

    def finish(self) -> Delta:
        """The last delta. It has no text: call `rest` first to get the text that was held back."""
        return Delta(last=True, finish_reason=self.finish_reason, usage=self.usage, raw=self._raw(), **self.facts)

    @property
    def has_others(self) -> bool:
        """Whether choices other than choice 0 are kept: one of them may be the answer if choice 0 has no content."""
        return bool(self._others)

    def other(self) -> list[Delta]:
        """The deltas of an answer that is not in choice 0.

        The answer is the choice with the lowest index. But if the index grows by 1 with each chunk, and no
        chunk before the last has a finish reason, all chunks together are the answer.
        """
        others, rising = self._others, self._rising or []
        self._others, self._rising = {}, None
        ends = [bool(chunk["choices"][0].get("finish_reason")) for chunk in rising]
        if self.finish_reason is None and len(rising) > 1 and not any(ends[:-1]):
            chunks = rising
        elif self._has_content or not others:
            return []
        else:
            chunks = others[min(others)]
        return [delta for chunk in chunks if (delta := self.feed(chunk)) is not None]

    def rest(self) -> Delta | None:
        """The text and the tool calls that were held back until the end of the stream."""
        text, reasoning, replaces = self._filter.finish()
        markup_calls: list[tuple[str, str]] = []
        if self._markup is not None:
            text, reasoning = self._without_calls(text, reasoning, replaces)
            markup_text, markup_calls = self._markup.finish(cut=self.finish_reason in (None, "length"))
            if markup_calls and len(self._calls):
                # The server reads calls itself: those in the text are repeated ones, or the server took them for text.
                if not self._calls.hold(markup_calls):
                    markup_text = self._markup.held
                markup_calls = []
            text += markup_text
        pieces = self._calls.rest()
        for name, arguments in markup_calls:
            new = self._calls.add(name, arguments)
            self.left_in_text += len(new)
            pieces += new
        if not (text or reasoning or pieces or replaces):
            return None
        return Delta(text, reasoning, pieces, raw=self._raw(), replaces=replaces)

    def _raw(self) -> dict[str, Any]:
        """The last chunk, with usage added if that came in another chunk."""
        return {**self._chunk, "usage": self._usage} if self._usage else dict(self._chunk)

    def _note(self, chunk: Mapping[str, Any]) -> None:
        facts = self.facts
        for name in _FACTS:
            value = chunk.get(name)
            if value and name not in facts:
                facts[name] = label(str(value))
        if "created" not in facts and (created := _integer(chunk.get("created"))) is not None:
            facts["created"] = created
        self._every = tuple(map(facts.get, _EVERY))
        # These facts are the same in all chunks; one without a value is read again.
        self._noted = _NEVER_NOTED.union(facts) - _ROWS.keys()
        for name, other in _ROWS.items():
            rows = chunk.get(name) or chunk.get(other)
            if isinstance(rows, list) and rows:
                facts[name] = rows
        usage = chunk.get("usage")
        if usage is None:
            groq = chunk.get("x_groq")
            usage = groq.get("usage") if isinstance(groq, dict) else counted(chunk)
        self._count(usage)

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            new = usage_of(usage)
            # The last usage counts, unless all its numbers are 0.
            if self.usage is None or new.total_tokens or new.prompt_tokens or new.completion_tokens:
                self.usage = new
                self._usage = usage


_NEVER_NOTED = frozenset({"object", "choices"})
_SEEN_KEYS = _NEVER_NOTED.union(_EVERY)
# Facts that any chunk may have, each with its other name.
_ROWS = {"content_filter": "contentFilter", "web_search": ""}


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Converts usage of the platform or a gateway. Accepts nulls and strings, and computes a missing total."""
    prompt = _integer(usage.get("prompt_tokens")) or _integer(usage.get("input_tokens")) or 0
    completion = _integer(usage.get("completion_tokens")) or _integer(usage.get("output_tokens")) or 0
    total = _integer(usage.get("total_tokens"))
    return Usage(
        prompt,
        completion,
        prompt + completion if total is None else total,
        _detail(usage.get("prompt_tokens_details"), "cached_tokens"),
        _detail(usage.get("completion_tokens_details"), "reasoning_tokens"),
    )


def _detail(details: object, name: str) -> int | None:
    return _integer(details.get(name)) if isinstance(details, dict) else None


def _integer(value: object) -> int | None:
    if type(value) is int:  # almost always; a bool is another type
        return value
    match value:
        case float() if value == value and abs(value) < 2**63:
            return int(value)
        case str() if len(value) < 20 and value.strip().removeprefix("-").isdecimal():
            return int(value)
        case _:
            return None
