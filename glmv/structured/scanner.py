"""Finds JSON values in a text that arrives in pieces, and decides how much of it a stream may show, in linear time."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MOST_CANDIDATES = 200
"""The most values of a text that are checked. If there are more, only the last ones are checked."""

# The largest depth of a value; pydantic cannot read deeper ones either.
_DEEPEST = 200
# The longest number or word that a value may be.
_LONGEST_WORD = 400
# A bracket, followed by valid JSON or by the end of the received text.
_START = re.compile(r'[{｛](?=\s*(?:["“}｝]|\Z))|[\[［](?=\s*(?:[\[{"“\-0-9tfnNI\]］｛［]|\Z))')
_NARROW = str.maketrans("｛｝［］，：", "{}[],:")
_TOKEN = re.compile(r"[\s\ufeff\u200b]+|[{}\[\],:｛｝［］，：]|[\"“]|[-+.\w]+|.", re.DOTALL)
_SPACE = re.compile(r"[\s\ufeff\u200b]")
_JSON_SPACE = re.compile(r"[ \t\r\n]+")
_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity")
# Characters of a string that need no treatment.
_PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]+'), "“": re.compile(r'[^“”"\\\x00-\x1f]+')}
_ESCAPE = re.compile(
    r'\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|["\\/bfnrt])', re.DOTALL
)
_HALF = re.compile(r"\\u[dD][89a-fA-F]..")
# The end of a text that may be the beginning of an escape, or of a pair of them.
_UNSURE = re.compile(r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?))?\Z")
_KEY, _COLON, _VALUE, _MORE, _NEXT = "key", "colon", "value", "more", "next"


@dataclass(slots=True)
class _Open:
    """An open object or list: what may come next, and where it begins in the text and in the output."""

    is_object: bool
    due: str
    start: int
    piece: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value in a text: its start and end there, and the value as JSON."""

    start: int
    end: int
    text: str


class Scanner:
    """Reads the JSON values in a text that arrives in pieces. The sizes of the pieces do not matter.

    Valid JSON is not changed. Trailing commas are removed, full-width punctuation is converted, and line breaks in
    strings and invalid backslashes are escaped. A number or a word is read when it is complete.

    Attributes:
        values: the newest `MOST_CANDIDATES` complete values.
        count: number of values that have begun.
        pieces: JSON of the newest value, as far as it was received.
        key: the first key of that value, once its colon was read; None before.
        items: whether that value is a list in which a string, an object, another list or a comma has begun.

    Args:
        left: called when the newest value is complete (with True) or is not valid JSON (with False).
    """

    __slots__ = (
        "_base",
        "_children",
        "_comma",
        "_held",
        "_left",
        "_objects",
        "_quote",
        "_since_string",
        "_stack",
        "_string",
        "_string_piece",
        "count",
        "items",
        "key",
        "pieces",
        "values",
    )

    def __init__(self, left: Callable[[bool], None] = lambda _: None) -> None:
        self._left = left
        self.values: deque[Candidate] = deque(maxlen=MOST_CANDIDATES)
        self.count = 0
        self.pieces: list[str] = []
        self.key: str | None = None
        self.items = False
        self._stack: list[_Open] = []
        self._objects = 0  # number of objects in the stack
        self._children: list[
            tuple[int, int, int, int, int]
        ] = []  # depth and positions of complete values in open lists
        self._base = 0  # the position in the text of the piece that is read
        self._held = ""  # the end of the text, if it may be a part of a word or an escape
        self._comma: list[str] | None = None  # a comma that may be trailing, with the space behind it
        self._quote = ""  # the mark that opened the string
        self._string = -1  # the position of the newest token, if it is a string
        self._string_piece = 0
        self._since_string: list[str] = []  # the text from there to `_base`

    def feed(self, text: str) -> None:
        """Takes the next piece of the text."""
        self._read(self._held + text, end=False)

    def finish(self) -> bool:
        """Ends the text. Returns whether it ended inside a value."""
        unfinished = bool(self._stack)
        self._read(self._held, end=True)
        while self._stack:
            self._read(*self._broken("", 0), end=True)
        return unfinished

    def _read(self, text: str, at: int = 0, *, end: bool) -> None:
        self._held = ""
        while at < len(text):
            if not self._stack:
                start = _START.search(text, at)
                if start is None:
                    at = len(text)
                    break
                at = start.start()
                self._begin(text[at], at)
                at += 1
            elif self._quote:
                after = self._in_string(text, at, end=end)
                if after is None:
                    break
                at = after
            else:
                token = _TOKEN.match(text, at)
                assert token is not None, "the last alternative matches every character"
                word = token[0]
                if token.end() == len(text) and not end and (word[0].isalnum() or word[0] in "+-._"):
                    if len(word) <= _LONGEST_WORD:
                        break
                    word = ""
                if self._takes(word, at):
                    at = token.end()
                else:
                    text, at = self._broken(text, at)
        self._held = text[at:]
        if self._string >= 0:
            self._since_string.append(text[max(0, self._string - self._base) : at])
        self._base += at

    def _takes(self, word: str, at: int) -> bool:
        """Reads a token if the value may continue with it. Returns whether the token was read."""
        if word and _SPACE.match(word):
            space = word if _JSON_SPACE.fullmatch(word) else " "
            (self.pieces if self._comma is None else self._comma).append(space)
            return True
        top = self._stack[-1]
        mark = word.translate(_NARROW)
        match mark:
            case "}" | "]":
                if top.is_object != (mark == "}") or top.due in (_COLON, _VALUE):
                    return False
                self._close(mark, at)
            case ",":
                if top.due != _MORE:
                    return False
                top.due = _NEXT
                self._comma = [","]
            case ":":
                if top.due != _COLON:
                    return False
                if len(self._stack) == 1 and self.key is None:
                    self.key = json.loads("".join(self.pieces[self._string_piece :]))
                top.due = _VALUE
                self.pieces.append(":")
            case '"' | "“":
                if top.due in (_COLON, _MORE):
                    return False
                top.due = _COLON if top.is_object and top.due in (_KEY, _NEXT) else _MORE
                self._put('"')
                self._quote = mark
                self._string, self._since_string = self._base + at + 1, []
                self._string_piece = len(self.pieces) - 1
                self.items = self.items or not self._stack[0].is_object
                return True
            case _:
                if not self._takes_value(top):
                    return False
                if mark in ("{", "["):
                    if len(self._stack) >= _DEEPEST:
                        return False
                    top.due = _MORE
                    self._open(mark, at)
                elif _WORD.fullmatch(mark):
                    top.due = _MORE
                    self._put(mark)
                else:
                    return False
        self._string, self._since_string = -1, []
        self.items = self.items or (len(self._stack) > 0 and not self._stack[0].is_object and mark in (",", "{", "["))
        return True

    @staticmethod
    def _takes_value(top: _Open) -> bool:
        return top.due in ((_VALUE,) if top.is_object else (_VALUE, _KEY, _NEXT))

    def _put(self, piece: str) -> None:
        if self._comma is not None:
            self.pieces += self._comma
            self._comma = None
        self.pieces.append(piece)

    def _begin(self, mark: str, at: int) -> None:
        self.count += 1
        self.pieces = []
        self.key, self.items = None, False
        self._children = []
        self._comma = None
        self._string, self._since_string = -1, []
        self._open(mark.translate(_NARROW), at)

    def _open(self, mark: str, at: int) -> None:
        self._put(mark)
        self._stack.append(_Open(mark == "{", _KEY, self._base + at, len(self.pieces) - 1))
        self._objects += mark == "{"

    def _close(self, mark: str, at: int) -> None:
        if self._comma is not None:  # a trailing one
            self.pieces += self._comma[1:]
            self._comma = None
        self.pieces.append(mark)
        ended = self._stack.pop()
        self._objects -= ended.is_object
        end = self._base + at + 1
        if not self._stack:
            self.values.append(Candidate(ended.start, end, "".join(self.pieces)))
            self._left(True)
        elif not self._objects:
            depth = len(self._stack)
            while self._children and self._children[-1][0] > depth:
                self._children.pop()
            self._children.append((depth, ended.start, end, ended.piece, len(self.pieces)))

    def _in_string(self, text: str, at: int, *, end: bool) -> int | None:
        """Reads on in a string; returns the next position, or None if more text is needed."""
        plain = _PLAIN[self._quote].match(text, at)
        if plain is not None:
            self.pieces.append(plain[0])
            return plain.end()
        char = text[at]
        if char == '"' or (self._quote == "“" and char == "”"):
            self.pieces.append('"')
            self._quote = ""
            return at + 1
        if char == "\\":
            if not end and _UNSURE.match(text, at):
                return None
            escape = _ESCAPE.match(text, at)
            if escape is None:  # an invalid escape
                self.pieces.append("\\\\")
                return at + 1
            self.pieces.append("\\ufffd" if _HALF.fullmatch(escape[0]) else escape[0])
            return escape.end()
        if self._quote == "“" and char == "“":  # a quotation inside: it is not a JSON string
            self._quote = ""
            self.pieces.append('"')
            return at
        self.pieces.append(json.dumps(char)[1:-1])
        return at + 1

    def _broken(self, text: str, at: int) -> tuple[str, int]:
        """Drops a value that is not valid JSON. Returns a text and the position in it at which to read on.

        If the value's last token is a string, reading goes on at the start of this string: it may be prose with JSON.
        Complete values in an open list are kept.
        """
        self._left(False)
        for _, start, end, first, after in self._children:
            self.values.append(Candidate(start, end, "".join(self.pieces[first:after])))
        self._children = []
        self._stack = []
        self._objects = 0
        self._quote = ""
        self._comma = None
        string, self._string = self._string, -1
        pieces, self._since_string = self._since_string, []
        if string < 0:
            return text, at
        if string >= self._base:
            return text, string - self._base
        self._base = string
        return "".join(pieces) + text, 0


class JSONStream:
    """Takes a streamed answer, and passes on the first JSON value that may be the requested one, as it arrives.

    Args:
        array: whether a list was requested instead of an object.
        names: properties of the requested object; an object with another first key is not shown. None accepts every
            key.
    """

    __slots__ = ("_array", "_names", "_new", "_scanner", "_shown", "_shows", "ended")

    def __init__(self, *, array: bool = False, names: frozenset[str] | None = None) -> None:
        self._scanner = Scanner(self._left)
        self._array = array
        self._names = names
        self._shows = False
        self._shown = 0  # number of pieces that were shown
        self._new: list[str] = []
        self.ended = False

    def feed(self, text: str) -> str:
        """The next piece of the answer -> the next piece of its JSON."""
        if self.ended:
            return ""
        self._scanner.feed(text)
        if not self.ended:
            self._look()
        new, self._new = "".join(self._new), []
        return new

    def _left(self, _: bool) -> None:
        if not self.ended:
            self._look()
            self.ended = self._shows

    def _look(self) -> None:
        scanner = self._scanner
        self._shows = self._shows or (scanner.items if self._array else self._is_asked_for(scanner.key))
        if self._shows:
            self._new += scanner.pieces[self._shown :]
            self._shown = len(scanner.pieces)

    def _is_asked_for(self, key: str | None) -> bool:
        return key is not None and (self._names is None or key in self._names)
