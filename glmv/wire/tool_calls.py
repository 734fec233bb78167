"""Assembles the pieces of an answer's tool calls. No I/O."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from glmv.types import ToolCallDelta
from glmv.wire.arguments import object_of
from glmv.wire.markup import CALL, TAG, TEMPLATE, Tools, following_of, pairs_from

_ODD = re.compile(r"[<\s]")
# The most times that the arguments of a call are parsed to detect a repeated call; each takes time by their length.
_PARSES = 16


class _Call:
    """One call, as far as it was received."""

    __slots__ = (
        "again", "arguments", "chunk", "grows", "id", "index", "name", "parses", "place", "returned_pieces",
        "size", "wire_id",
    )  # fmt: skip

    def __init__(self, place: int, index: int | None, wire_id: str, chunk: int) -> None:
        self.place = place  # its number in the answer
        self.index = index  # of the server, or None
        self.wire_id = wire_id
        self.chunk = chunk  # the number of its first chunk
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []
        self.size = 0  # characters of the arguments
        self.grows = False  # whether each piece repeats the arguments from their beginning
        self.parses = _PARSES
        self.returned_pieces = -1  # number of pieces of the arguments that were returned; -1 before the name was
        self.again = False  # whether the name came again after complete arguments

    def text(self) -> str:
        if len(self.arguments) > 1 and self.returned_pieces < 0:
            self.arguments = ["".join(self.arguments)]
        return self.arguments[0] if len(self.arguments) == 1 else "".join(self.arguments)

    def is_empty(self) -> bool:
        """Whether the arguments are an empty object, which some servers send before the arguments."""
        return 2 <= self.size < 8 and self.text().strip() == "{}"

    def holds_object(self) -> bool:
        """Whether the arguments are a complete JSON object."""
        if not self.arguments or not self.arguments[-1].rstrip().endswith("}") or self.parses == 0:
            return False
        self.parses -= 1
        return object_of(self.text()) is not None


class ToolCalls:
    """Assembles pieces of tool calls.

    Servers differ in how they identify calls. Two calls may have the same id, the same index, or neither id nor index.
    The name and the arguments of a call may come in several pieces. Each piece may repeat the id and the name, or have
    neither. A server may also send a whole call twice.

    Args:
        offered: the functions in the request. Their names show whether the name in a piece is complete.
    """

    __slots__ = (
        "_by_id", "_by_index", "_by_pair", "_calls", "_chunk", "_ids", "_last", "_offered", "_pending",
    )  # fmt: skip

    def __init__(self, offered: Tools) -> None:
        self._offered = offered
        self._calls: list[_Call] = []
        self._pending: dict[int, _Call] = {}  # place -> a call that was not returned yet
        self._by_pair: dict[tuple[int | None, str], _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._by_index: dict[int, _Call] = {}
        self._last: _Call | None = None
        self._ids: set[str] = set()
        self._chunk = 0

    def __len__(self) -> int:
        return len(self._calls)

    def feed(self, pieces: object) -> list[ToolCallDelta]:
        """`tool_calls` of one chunk -> the deltas to return now."""
        self._chunk += 1
        if isinstance(pieces, Mapping):
            pieces = [pieces] if "function" in pieces or "name" in pieces else list(pieces.values())
        deltas: list[ToolCallDelta] = []
        if isinstance(pieces, list):
            for piece in pieces:
                if isinstance(piece, Mapping):
                    self._take(piece, deltas)
        return deltas

    def hold(self, calls: Sequence[tuple[str, str]]) -> bool:
        """Whether all of these calls, as (name, arguments), were already received."""
        own = {(call.name, _canonical(call.text())) for call in self._calls}
        return all((name, _canonical(arguments)) in own for name, arguments in calls)

    def add(self, name: str, arguments: str) -> list[ToolCallDelta]:
        """Add a complete call from the text."""
        call = self._new(None, "")
        call.name, call.arguments = name, [arguments]
        return self._out(call)

    def rest(self) -> list[ToolCallDelta]:
        """Returns the deltas that were held back until the end of the answer."""
        return [delta for call in list(self._pending.values()) for delta in self._out(call)]

    def _take(self, piece: Mapping[str, Any], deltas: list[ToolCallDelta]) -> None:
        function = piece.get("function")
        if not isinstance(function, Mapping):
            function = piece
        index = _index(piece.get("index"))
        call_id = str(piece.get("id") or "")
        name = str(function.get("name") or "")
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            # The response schema has an object here; known answers have a string.
            arguments = json.dumps(arguments, ensure_ascii=False)
        if not (call_id or name or arguments):
            return
        call = self._continued(index, call_id, name, arguments)
        if call is not None:
            if arguments and self._repeats(call, call_id, arguments):
                return
            if call.arguments and _opens(arguments) and name in ("", call.name):
                arguments = self._behind(call, call_id, name, arguments)
                if not arguments:
                    return
            if name:
                call = self._named(call, name, arguments)
            elif call.again and _opens(arguments):  # the name alone began a second call
                name, call.again, call = call.name, False, None
        if call is None:
            if self._last is not None and self._last.place in self._pending and self._last.is_empty():
                deltas += self._out(self._last)  # calls are returned in their order
            call = self._new(index, call_id)
            call.name = name
        elif index is not None and call.index is None:
            call.index = index
            self._by_index.setdefault(index, call)
        self._last = call
        if arguments:
            call.arguments.append(arguments)
            call.size += len(arguments)
        deltas += self._ready(call)

    def _continued(self, index: int | None, call_id: str, name: str, arguments: str) -> _Call | None:
        """The call that a piece continues, or None if the piece begins a new call."""
        if call_id:
            if match := self._by_pair.get((index, call_id)):
                return match
            if match := self._by_id.get(call_id):
                if index is None or match.index is None or not name:
                    return match
                # One id with two indexes means two calls, unless each piece has the next index.
                goes_on = arguments and not _opens(arguments) and not match.holds_object()
                return match if goes_on else None
            if index is None:
                return None if name else self._last
            same = self._by_index.get(index)
            if same is not None and name and same.wire_id and (name != same.name or same.holds_object()):
                return None
            return same  # its id came in pieces, or each piece has a new id
        if index is not None:
            return self._by_index.get(index)
        last = self._last
        return None if last is not None and name and not self._continues(last, name, arguments) else last

    def _continues(self, last: _Call, name: str, arguments: str) -> bool:
        """Whether a piece with a name, but without id and index, continues the call before it."""
        if name != last.name:
            return last.name + name in self._offered and name not in self._offered
        if last.chunk == self._chunk:
            return not _opens(arguments)
        return not last.holds_object() or _same(last.text(), arguments)

    def _named(self, call: _Call, name: str, arguments: str) -> _Call | None:
        """Adds the name in a piece to a call. Returns the call, or None if the piece begins another call."""
        if name == call.name or not call.name:
            call.name = name
        elif call.returned_pieces < 0 and not call.arguments:
            if name.startswith(call.name):
                call.name = name
            elif call.name in self._offered and name in self._offered:
                return None
            else:
                call.name += name
        elif call.holds_object():
            return None
        if not arguments:
            call.again = call.returned_pieces > 0 and call.holds_object()
        elif _opens(arguments) and call.arguments and call.holds_object() and object_of(arguments) is not None:
            return None
        return call

    def _behind(self, call: _Call, call_id: str, name: str, arguments: str) -> str:
        """The new part of a piece of arguments. A piece that begins with "{" may begin with all earlier pieces."""
        if len(arguments) <= call.size:
            return "" if call.grows and call.text().startswith(arguments) else arguments
        if call.is_empty() and (not name or (call_id and call_id == call.wire_id)) and call.returned_pieces <= 0:
            call.arguments.clear()
            call.size = 0
        elif (
            arguments.startswith(call.arguments[0])
            and arguments.startswith(text := call.text())
            # After these characters an object may be a value that begins as the arguments do.
            and (call.grows or text.rstrip()[-1:] not in (":", ",", "["))
        ):
            call.grows = True
            return arguments[call.size :]
        return arguments

    def _repeats(self, call: _Call, call_id: str, arguments: str) -> bool:
        """Whether a piece repeats a complete call, as some servers do in their last chunk."""
        if not _opens(arguments) or not call.arguments or not (call_id or call.chunk != self._chunk):
            return False
        return call.holds_object() and _same(call.text(), arguments)

    def _new(self, index: int | None, wire_id: str) -> _Call:
        call = _Call(len(self._calls), index, wire_id, self._chunk)
        call.id = wire_id if wire_id and wire_id not in self._ids else f"call_{secrets.token_hex(8)}"
        self._ids.add(call.id)
        self._calls.append(call)
        self._pending[call.place] = call
        if wire_id:
            self._by_pair[index, wire_id] = self._by_id[wire_id] = call
        if index is not None:
            self._by_index[index] = call
        return call

    def _ready(self, call: _Call) -> list[ToolCallDelta]:
        """The deltas of a call that can be returned now. Id and name are returned once, when the name is complete."""
        if call.name and call.is_empty():
            self._pending[call.place] = call  # the arguments may follow
            return []
        if call.returned_pieces >= 0:
            return self._out(call)
        if not call.name or _ODD.search(call.name):
            return []
        if call.arguments or (
            call.name in self._offered
            and not any(len(name) > len(call.name) and name.startswith(call.name) for name in self._offered)
        ):
            return self._out(call)
        return []

    def _out(self, call: _Call) -> list[ToolCallDelta]:
        """Returns deltas for a call's pieces that were held back. Later pieces of the call are not held back."""
        self._pending.pop(call.place, None)
        if call.returned_pieces >= 0:
            pieces = call.arguments[call.returned_pieces :]
            call.returned_pieces = len(call.arguments)
            return [ToolCallDelta(call.place, arguments=piece) for piece in pieces]
        arguments = call.text()
        if _ODD.search(call.name):
            call.name, arguments = cleaned(call.name, arguments, self._offered)
        call.returned_pieces = len(call.arguments)
        return [ToolCallDelta(call.place, call.id, call.name, arguments)]


def cleaned(name: str, arguments: str, offered: Tools) -> tuple[str, str]:
    """Removes tags of the chat template from a call's name and arguments, and returns both.

    If the arguments are written only in the name, they are read from the name.
    """
    text = name.strip().removeprefix(CALL)
    tokens = TAG.split(text)
    lines = [line.strip() for line in TEMPLATE.sub("\n", tokens[0]).splitlines() if line.strip()]
    if not lines:
        lines = [line.strip() for line in TEMPLATE.sub("\n", text).splitlines() if line.strip()]
    if not lines:
        return name, arguments
    clean_name = lines[0]
    if arguments.strip() in ("", "{}"):
        if len(tokens) > 1 and "<arg_key>" in tokens:
            if pairs := pairs_from(tokens, following_of(tokens), 1, offered.get(clean_name, {})):
                arguments = json.dumps(pairs[0], ensure_ascii=False)
        elif len(lines) > 1 and object_of("".join(lines[1:])) is not None:
            arguments = "".join(lines[1:])
    return clean_name, arguments


def _index(index: object) -> int | None:
    match index:
        case bool():
            return None
        case int() if index >= 0:
            return index
        case str() if len(index) < 10 and index.isdecimal():
            return int(index)
        case _:
            return None


def _opens(arguments: str) -> bool:
    return arguments.lstrip()[:1] == "{"


def _same(one: str, other: str) -> bool:
    return one == other or ((value := object_of(one)) is not None and value == object_of(other))


def _canonical(arguments: str) -> str:
    value = object_of(arguments)
    return arguments if value is None else json.dumps(value, sort_keys=True)
