"""Bytes of an answer -> completions and deltas. Pure: no I/O, no clock.

Source of every shape: docs.bigmodel.cn and docs.z.ai, "Chat Completion". tests/core/wire/test_wire.py holds
further ones, seen in SDKs, gateways and their bug reports, most of them of text models, and written anew there.
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

# Three bytes of JSON make a list of 64: what is parsed is bounded by values too. 64 vectors of 4,096 numbers fit.
MAX_VALUES = 300_000


def parse(data: bytes | bytearray, what: str = "The answer", secrets: Secrets | None = None) -> Any:
    """JSON bytes -> a value; bytes that are not UTF-8, and halves of a surrogate pair, become U+FFFD.

    Args:
        data: the bytes, in which credentials are masked already.
        what: the name of the data, for the message.
        secrets: credentials that are masked once more in the value, where escapes could hide one.

    Raises:
        MalformedResponse: when it is not JSON, or holds more values than any answer; the message quotes the beginning.
    """
    if len(data) > MAX_VALUES and data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise MalformedResponse(f"{what} holds more than {MAX_VALUES} values; it was dropped: {excerpt(data)}")
    try:
        payload = from_json(data)
    except ValueError:
        try:
            payload = from_json(_mended(data))
        except ValueError as error:
            raise MalformedResponse(f"{what} is not JSON ({error}): {excerpt(data)}") from None
    return secrets.mask_values(payload) if secrets is not None and b"\\u" in data else payload


def _mended(data: bytes | bytearray) -> str:
    """JSON with bytes, halves of a pair or control characters that a parser refuses -> the same without them."""
    text = _ESCAPE.sub(_whole_character, data.decode("utf-8-sig", "replace"))
    return _STRING.sub(lambda string: _CONTROL.sub(_escaped, string[0]), text) if _CONTROL.search(text) else text


# An escape of JSON; the first two are of surrogates. JavaScript cuts strings inside a pair, and JSON writes the half.
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)")
_CONTROL = re.compile("[\x00-\x1f]")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _escaped(control: re.Match[str]) -> str:
    return f"\\u{ord(control[0]):04x}"


def _whole_character(escape: re.Match[str]) -> str:
    return "\\ufffd" if len(escape[0]) == 6 else escape[0]


def excerpt(data: bytes | bytearray, limit: int = 160) -> str:
    """The beginning of a body for a message: control characters escaped, never longer than `limit`."""
    text = data[: limit * 4].decode("utf-8", "replace").strip()
    shown = "".join(c if c.isprintable() else " " for c in text)
    return f"{shown[:limit]!r}" + ("…" if len(shown) > limit else "")


_FACTS = ("id", "model", "request_id")
_EVERY = (*_FACTS, "created")


class DeltaDecoder:
    """Chunks of one answer, in order -> deltas; the unstreamed answer is a stream of one.

    It settles what the wire leaves open: usage and finish reason come on any chunk, once or twice; content is a string,
    a list, an object or null; there may be several choices, of which the one with index 0 is the answer, or the lowest
    where none has it; and `ToolCalls` settles the rest.

    Args:
        thought: whether text may begin inside a thought, see `TagFilter`.
        tools: functions that the request offers.
        markup: whether calls of them that end the text are tool calls.
    """

    __slots__ = (
        "_calls",
        "_chunk",
        "_deltas",
        "_every",
        "_filter",
        "_known",
        "_markup",
        "_odd",
        "_others",
        "_rising",
        "_shown",
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
        self._chunk: Mapping[str, Any] = {}  # the one that ends the answer, or the newest
        self._usage: Mapping[str, Any] | None = None
        self._others: dict[int, list[dict[str, Any]]] = {}  # chunks of other choices, until the first has something
        self._rising: list[dict[str, Any]] | None = []  # chunks of other choices, while each has the next index
        self._shown = False  # something of the first choice came
        self._odd: set[str] = set()  # what came in place of text, thought and calls
        self._deltas = False  # text came in deltas
        self.ended = False  # `[DONE]` was seen
        self.answered = False  # a choice was seen
        self.facts: dict[str, Any] = {}
        self._every: tuple[Any, ...] = (None,) * len(_EVERY)  # those facts that every delta tells
        self.finish_reason: str | None = None
        self.usage: Usage | None = None
        self.left_in_text = 0  # tool calls that the server left in the text
        self._known = False  # a field was seen in which an answer stands, empty as it was
        self._unread: set[str] = set()  # fields that are not known

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen: the answer is whole, even without `[DONE]`."""
        return self.finish_reason is not None

    def feed(self, chunk: dict[str, Any]) -> Delta | None:
        """One chunk -> its delta, or None when it holds nothing to show.

        Where a delta `replaces`, its reasoning ends with the text that was shown up to then: see `TagFilter.feed`.
        """
        if not self.facts or not _SEEN_KEYS.issuperset(chunk):
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
                # The last chunk has the whole message once more.
                piece = {name: value for name, value in piece.items() if name == "tool_calls"}
        if reason := choice.get("finish_reason"):
            if self.finish_reason is None or is_withdrawn(str(reason)):  # withdrawn is withdrawn, also after "stop"
                self.finish_reason = str(reason)
            self._shown = True
            self._chunk = chunk
            if "usage" in choice:
                self._count(choice["usage"])
        content = piece.get("content")
        text = reasoning = ""
        replaces = False
        calls = piece.get("tool_calls")
        if content:
            self._shown = True
            thought = ""
            if not isinstance(content, str):
                calls = calls_of(piece)
                content, thought = text_of(content)
                if not (content or thought or calls):
                    self._odd |= unread_in(choice, piece)
            text, reasoning, replaces = self._filter.feed(content)
            if self._markup is not None:
                text, reasoning = self._without_calls(text, reasoning, replaces)
            reasoning = thought + reasoning
        thought = piece.get("reasoning_content") or piece.get("reasoning")
        if thought:
            reasoning = (thought if isinstance(thought, str) else "".join(text_of(thought))) + reasoning
            self._shown = True
            self._filter.settle(thought=True)
        pieces: Sequence[ToolCallDelta] = ()
        if calls or not (content or thought):
            calls = calls or self._rarely(choice, piece)
            if calls:
                self._filter.settle(thought=False)
                self._shown = True
                pieces = self._calls.feed(calls)
            elif refusal := piece.get("refusal"):
                text = str(refusal)
            elif not (content or thought) and isinstance(audio := piece.get("audio"), dict):
                text = str(audio.get("transcript") or "")
        if not (text or reasoning or pieces or replaces):
            return None
        ident, model, request_id, created = self._every
        # By position: by name it takes twice as long.
        delta = Delta(text, reasoning, pieces, ident, model, request_id, created, chunk)
        if replaces:
            delta.replaces = True
        return delta

    def _rarely(self, choice: Mapping[str, Any], piece: Mapping[str, Any]) -> object:
        """What a chunk without text, thought and tool calls may hold: a call in the older form, or what is not read."""
        if not KNOWN.isdisjoint(piece):
            self._known = True
        elif not (self._known or self._unread):
            self._unread = unread(choice, piece)
        if not (self._shown and self._deltas):
            self._odd |= unread_in(choice, piece)
        return calls_of(piece)

    @property
    def unread(self) -> set[str]:
        """Fields in which there may be an answer, where there was none in those that are known."""
        return self._odd if self._known else self._odd | self._unread

    def _without_choices(self, chunk: Mapping[str, Any]) -> Delta | None:
        if not self._deltas and not _SEEN_KEYS.issuperset(chunk):
            found = unwrapped(chunk)
            if found is not None:
                return self.feed(dict(found))
        return None

    def _first_of(self, chunk: dict[str, Any], choices: list[Any]) -> dict[str, Any] | None:
        """The choice that is the answer: that with index 0, or one whose index cannot be read.

        Others are kept until something of that with index 0 came; without it the lowest is the answer.
        """
        indexes = [_integer(each.get("index")) or 0 if isinstance(each, dict) else -1 for each in choices]
        if 0 in indexes:
            self._rising = None
            found = choices[indexes.index(0)]
            return found if isinstance(found, dict) else None
        lowest = min((index for index in indexes if index > 0), default=None)
        if lowest is None or (self._shown and self._rising is None):
            return None
        alone = {**chunk, "choices": [{**choices[indexes.index(lowest)], "index": 0}]}
        if not self._shown:
            self._others.setdefault(lowest, []).append(alone)
        if self._rising is not None:
            if len(choices) > 1 or lowest != len(self._rising) + 1:
                self._rising = None
            else:
                self._rising.append(alone)
        return None

    def _without_calls(self, text: str, reasoning: str, ended: bool) -> tuple[str, str]:
        """Text without calls in GLM's markup. What was held of a thought that `ended` belongs to the thought."""
        assert self._markup is not None
        if ended:
            reasoning = self._markup.drop() + reasoning
        return (self._markup.feed(text) if text else ""), reasoning

    def finish(self) -> Delta:
        """The terminal delta. Text that was held back comes before it: see `rest`."""
        return Delta(last=True, finish_reason=self.finish_reason, usage=self.usage, raw=self._raw(), **self.facts)

    @property
    def has_others(self) -> bool:
        """Whether there were choices that may be the answer where there is none with index 0."""
        return bool(self._others)

    def other(self) -> list[Delta]:
        """The deltas of an answer that is not in the choice with index 0.

        They are those of the lowest index; or of all, where each chunk has the next index and only the last one ends.
        """
        others, rising = self._others, self._rising or []
        if not (others or rising):
            return []
        self._others, self._rising = {}, None
        ends = [bool(chunk["choices"][0].get("finish_reason")) for chunk in rising]
        if self.finish_reason is None and len(rising) > 1 and not any(ends[:-1]):
            chunks = rising
        elif self._shown or not others:
            return []
        else:
            chunks = others[min(others)]
        return [delta for chunk in chunks if (delta := self.feed(chunk)) is not None]

    def rest(self) -> Delta | None:
        """What was still held when the stream ended."""
        text, reasoning, replaces = self._filter.finish()
        found: list[tuple[str, str]] = []
        if self._markup is not None:
            text, reasoning = self._without_calls(text, reasoning, replaces)
            held, found = self._markup.finish(cut=self.finish_reason in (None, "length"))
            if found and len(self._calls):
                # The server reads calls itself. What it left in the text it did not take for one, or it is the same.
                if not self._calls.hold(found):
                    held = self._markup.held
                found = []
            text += held
        pieces = self._calls.rest()
        for name, arguments in found:
            called = self._calls.add(name, arguments)
            self.left_in_text += len(called)
            pieces += called
        if not (text or reasoning or pieces or replaces):
            return None
        return Delta(text, reasoning, pieces, raw=self._raw(), replaces=replaces)

    def _raw(self) -> dict[str, Any]:
        """The last chunk, with usage in it even when usage came on another one."""
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
        for name, other in (("content_filter", "contentFilter"), ("web_search", "")):
            found = chunk.get(name) or chunk.get(other)
            if isinstance(found, list) and found:
                facts[name] = found
        usage = chunk.get("usage")
        if usage is None:
            groq = chunk.get("x_groq")
            usage = groq.get("usage") if isinstance(groq, dict) else counted(chunk)
        self._count(usage)

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            found = usage_of(usage)
            # The last one counts; one that counts nothing at all says nothing.
            if self.usage is None or found.total_tokens or found.prompt_tokens or found.completion_tokens:
                self.usage = found
                self._usage = usage


_SEEN_KEYS = frozenset({"id", "object", "created", "model", "request_id", "choices"})


def usage_of(usage: Mapping[str, Any]) -> Usage:
    """Usage as the platform or a gateway counts it; nulls and strings are tolerated, a missing total is the sum."""
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
    match value:
        case bool() | None:
            return None
        case int():
            return value
        case float() if value == value and abs(value) < 2**63:
            return int(value)
        case str() if len(value) < 20 and value.strip().removeprefix("-").isdecimal():
            return int(value)
        case _:
            return None
