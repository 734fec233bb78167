"""Bytes of an answer -> completions and deltas. Pure: no I/O, no clock.

Source of every shape: docs.bigmodel.cn and docs.z.ai, "Chat Completion"; the 45 cases in tests/core/wire/test_wire.py
were recorded from the platform, its SDKs and gateways in front of it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from glmv.errors import MalformedResponse, label
from glmv.types import Delta, ToolCallDelta, Usage
from glmv.wire.codes import is_withdrawn
from glmv.wire.marks import TagFilter

# Three bytes of JSON make a list of 64: what is parsed is bounded by values too. 64 vectors of 4,096 numbers fit.
MAX_VALUES = 300_000


def parse(data: bytes | bytearray, what: str = "The answer") -> Any:
    """JSON bytes -> a value; bytes that are not UTF-8 become U+FFFD.

    Raises:
        MalformedResponse: when it is not JSON, or holds more values than any answer; the message quotes the beginning.
    """
    if len(data) > MAX_VALUES and data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_VALUES:
        raise MalformedResponse(f"{what} holds more than {MAX_VALUES} values; it was dropped: {excerpt(data)}")
    try:
        return from_json(data)
    except ValueError:
        try:
            return from_json(data.decode("utf-8-sig", "replace"))
        except ValueError as error:
            raise MalformedResponse(f"{what} is not JSON ({error}): {excerpt(data)}") from None


def excerpt(data: bytes | bytearray, limit: int = 160) -> str:
    """The beginning of a body for a message: control characters escaped, never longer than `limit`."""
    text = data[: limit * 4].decode("utf-8", "replace").strip()
    shown = "".join(c if c.isprintable() else " " for c in text)
    return f"{shown[:limit]!r}" + ("…" if len(shown) > limit else "")


_FACTS = ("id", "model", "request_id")
_EVERY = (*_FACTS, "created")


class DeltaDecoder:
    """Chunks of one answer, in order -> deltas; the unstreamed answer is a stream of one.

    It settles what the wire leaves open: usage and finish reason come on any chunk, once or twice; tool calls have
    index -1, no index, or the same index twice; ids and names repeat; content is a string, a list or null.
    """

    __slots__ = (
        "_calls",
        "_chunk",
        "_every",
        "_filter",
        "_usage",
        "answered",
        "ended",
        "facts",
        "finish_reason",
        "usage",
    )

    def __init__(self) -> None:
        self._filter = TagFilter()
        self._calls: list[list[Any]] = []  # [index on the wire, id, whether it has its name] of each call, in order
        self._chunk: Mapping[str, Any] = {}  # the one that ends the answer, or the newest
        self._usage: Mapping[str, Any] | None = None
        self.ended = False  # `[DONE]` was seen
        self.answered = False  # a choice was seen
        self.facts: dict[str, Any] = {}
        self._every: tuple[Any, ...] = (None,) * len(_EVERY)  # those facts that every delta tells
        self.finish_reason: str | None = None
        self.usage: Usage | None = None

    @property
    def finished(self) -> bool:
        """Whether a finish reason was seen: the answer is whole, even without `[DONE]`."""
        return self.finish_reason is not None

    def feed(self, chunk: dict[str, Any]) -> Delta | None:
        """One chunk -> its delta, or None when it holds nothing to show."""
        if not self.facts or not _SEEN_KEYS.issuperset(chunk):
            self._note(chunk)
        if self.finish_reason is None:
            self._chunk = chunk
        choices = chunk.get("choices")
        if not (isinstance(choices, list) and choices and isinstance(choices[0], dict)):
            return None
        choice = choices[0]
        self.answered = True
        piece = choice.get("delta")
        if not isinstance(piece, dict):
            piece = choice.get("message")
            if not isinstance(piece, dict):
                piece = {}
        if reason := choice.get("finish_reason"):
            if self.finish_reason is None or is_withdrawn(str(reason)):  # withdrawn is withdrawn, also after "stop"
                self.finish_reason = str(reason)
            self._chunk = chunk
        content = piece.get("content")
        text = reasoning = ""
        if content:
            text, reasoning = self._filter.feed(content if isinstance(content, str) else _joined(content))
        thought = piece.get("reasoning_content") or piece.get("reasoning")
        if thought:
            reasoning = str(thought) + reasoning
        calls = piece.get("tool_calls")
        pieces = [self._call(call) for call in calls if isinstance(call, Mapping)] if isinstance(calls, list) else ()
        if not (text or reasoning or pieces):
            return None
        ident, model, request_id, created = self._every
        # By position: by name it takes twice as long.
        return Delta(text, reasoning, pieces, ident, model, request_id, created, chunk)

    def finish(self) -> Delta:
        """The terminal delta. Text that was held back comes before it: see `rest`."""
        return Delta(last=True, finish_reason=self.finish_reason, usage=self.usage, raw=self._raw(), **self.facts)

    def rest(self) -> Delta | None:
        """What the filter still held when the stream ended."""
        text, reasoning = self._filter.finish()
        return Delta(text, reasoning, raw=self._raw()) if text or reasoning else None

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
        if isinstance(usage, Mapping):
            self.usage = usage_of(usage)
            self._usage = usage

    def _call(self, call: Mapping[str, Any]) -> ToolCallDelta:
        function = call.get("function")
        if not isinstance(function, Mapping):
            function = {}
        wire_index = call.get("index")
        call_id = str(call.get("id") or "")
        name = str(function.get("name") or "")
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            # The response schema types it as an object, every recorded answer sends a string.
            arguments = json.dumps(arguments, ensure_ascii=False)
        index = self._index(wire_index, call_id, name)
        if index == len(self._calls):
            call_id = call_id or f"call_{secrets.token_hex(8)}"
            self._calls.append([wire_index, call_id, bool(name)])
            return ToolCallDelta(index, call_id, name, arguments)
        named, self._calls[index][2] = self._calls[index][2], self._calls[index][2] or bool(name)
        return ToolCallDelta(index, "", "" if named else name, arguments)

    def _index(self, wire_index: Any, call_id: str, name: str) -> int:
        """Which call a piece belongs to: by id, else by index, else the last one; `len` means a new one."""
        last = len(self._calls) - 1
        if call_id:
            for position, (_, known, _) in enumerate(self._calls):
                if known == call_id:
                    return position
            return last + 1 if name or last < 0 else last
        if wire_index is not None and wire_index != -1:
            for position in range(last, -1, -1):
                if self._calls[position][0] == wire_index:
                    return position
            return last + 1
        return last + 1 if name or last < 0 else last


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
    return _integer(details.get(name)) if isinstance(details, Mapping) else None


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


def _joined(content: object) -> str:
    if not isinstance(content, list):
        return str(content)
    return "".join(str(part.get("text") or "") if isinstance(part, Mapping) else str(part) for part in content)
