"""The JSON in an answer's text: what of it is the answer. Pure, and linear in the text.

A model that is asked for JSON writes it into prose, fences and boxes, behind drafts, examples, the schema itself and
thoughts, with trailing commas or full-width punctuation, in a list of one, in an object named like the class, or as
text inside a string. `json_in` finds the values and chooses one:

- Every JSON object or list that stands in the text outside of a thought is a candidate, the last `MOST_CANDIDATES` of
  them. A value inside another is none, but those in a list that does not end (a bracket of the prose) are.
- Each is judged as it stands, then as it is inside a list of one, a string, or an object that wraps it.
- The last one that fits is the answer, in whatever fence or box it stands. The schema itself never is. A value with
  nothing of what was asked for in it (`{}`, or an object without any property of the schema) is the answer only where
  no other value has anything of it; a list where an object was asked for, or a reference as in "picture [1]", likewise.
- Where none fits there is none, and the problem of the last one says why.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MOST_CANDIDATES = 200
"""Of so many values, the last ones of a text, each is judged."""

# Deeper values cannot be read by pydantic either.
_DEEPEST = 200
# The longest number or word that a value may be.
_LONGEST_WORD = 400
# Values inside values that are looked into.
_MOST_WRAPPERS = 4

# A bracket, and behind it what JSON may have there or the end of what has come.
_START = re.compile(r'[{｛](?=\s*(?:["“}｝]|\Z))|[\[［](?=\s*(?:[\[{"“\-0-9tfnNI\]］｛［]|\Z))')
_NARROW = str.maketrans("｛｝［］，：", "{}[],:")
_TOKEN = re.compile(r"[\s\ufeff\u200b]+|[{}\[\],:｛｝［］，：]|[\"“]|[-+.\w]+|.", re.DOTALL)
_SPACE = re.compile(r"[\s\ufeff\u200b]")
_JSON_SPACE = re.compile(r"[ \t\r\n]+")
_WORD = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null|NaN|-?Infinity")
# What stands in a string up to what ends it or has to be looked at.
_PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]+'), "“": re.compile(r'[^“”"\\\x00-\x1f]+')}
_ESCAPE = re.compile(
    r'\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|["\\/bfnrt])', re.DOTALL
)
_HALF = re.compile(r"\\u[dD][89a-fA-F]..")
# The end of a text that may be the beginning of an escape, or of a pair of them.
_UNSURE = re.compile(r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?))?\Z")
# A string that may hold JSON. A quotation mark that is escaped opens none, which also keeps the search linear.
_QUOTED = re.compile(r'(?<!\\)"\s{0,20}[{\[](?:[^"\\]|\\.)*"', re.DOTALL)
_THOUGHT = re.compile(r"(?<![`\"'“‘(（「『])</?think>")
# A reference in the prose, as in "picture [1] shows".
_REFERENCE = re.compile(r"\[\s*\d+\s*\]")

_KEY, _COLON, _VALUE, _MORE, _NEXT = "key", "colon", "value", "more", "next"


@dataclass(slots=True)
class _Open:
    """An object or list that has not ended: what may come next, and where it begins in the text and in the output."""

    is_object: bool
    due: str
    start: int
    piece: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A value of a text: from where to where it stands there, and the same as JSON."""

    start: int
    end: int
    text: str


class Scanner:
    """Reads the JSON values out of a text that comes in pieces. How the text is cut makes no difference.

    What is JSON is kept as it stands. Trailing commas are left out, full-width punctuation becomes JSON's, line breaks
    in strings and backslashes that escape nothing are escaped. A number or a word is read when it has ended.

    Attributes:
        found: the newest `MOST_CANDIDATES` values that have ended.
        count: values that began, up to now.
        pieces: JSON of the newest value, as far as it has come.
        key: the first key of that value, once its colon was read; None before.
        items: whether that value is a list with more in it than one number or word.

    Args:
        left: is called when the newest value has ended (with True) or turned out to be none (with False).
    """

    __slots__ = (
        "_base",
        "_children",
        "_comma",
        "_held",
        "_kept",
        "_left",
        "_objects",
        "_quote",
        "_stack",
        "_string",
        "_string_piece",
        "count",
        "found",
        "items",
        "key",
        "pieces",
    )

    def __init__(self, left: Callable[[bool], None] = lambda _: None) -> None:
        self._left = left
        self.found: deque[Candidate] = deque(maxlen=MOST_CANDIDATES)
        self.count = 0
        self.pieces: list[str] = []
        self.key: str | None = None
        self.items = False
        self._stack: list[_Open] = []
        self._objects = 0  # of them
        self._children: list[tuple[int, int, int, int, int]] = []  # depth, and places of values that ended in lists
        self._base = 0  # where what is read now begins in the text
        self._held = ""  # the end of what came, when it may be half of a word or an escape
        self._comma: list[str] | None = None  # a comma that may be trailing, with the space behind it
        self._quote = ""  # what opened the string
        self._string = -1  # where the newest token begins in the text, if it is a string
        self._string_piece = 0
        self._kept: list[str] = []  # the text from there to `_base`

    def feed(self, text: str) -> None:
        """More of the text."""
        self._read(self._held + text, end=False)

    def finish(self) -> bool:
        """No more comes. Returns whether the text ended inside a value."""
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
            self._kept.append(text[max(0, self._string - self._base) : at])
        self._base += at

    def _takes(self, word: str, at: int) -> bool:
        """Whether the value may go on with this; it is read then."""
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
                self._string, self._kept = self._base + at + 1, []
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
        self._string, self._kept = -1, []
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
        self._string, self._kept = -1, []
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
            self.found.append(Candidate(ended.start, end, "".join(self.pieces)))
            self._left(True)
        elif not self._objects:
            depth = len(self._stack)
            while self._children and self._children[-1][0] > depth:
                self._children.pop()
            self._children.append((depth, ended.start, end, ended.piece, len(self.pieces)))

    def _in_string(self, text: str, at: int, *, end: bool) -> int | None:
        """Reads on in a string; returns where it stopped, or None where more has to come."""
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
            found = _ESCAPE.match(text, at)
            if found is None:  # a backslash that escapes nothing
                self.pieces.append("\\\\")
                return at + 1
            self.pieces.append("\\ufffd" if _HALF.fullmatch(found[0]) else found[0])
            return found.end()
        if self._quote == "“" and char == "“":  # a quotation inside: what this was is no string of JSON
            self._quote = ""
            self.pieces.append('"')
            return at
        self.pieces.append(json.dumps(char)[1:-1])
        return at + 1

    def _broken(self, text: str, at: int) -> tuple[str, int]:
        """What began is no JSON. Returns where to read on: in the string before, which may have been prose."""
        self._left(False)
        for _, start, end, first, after in self._children:
            self.found.append(Candidate(start, end, "".join(self.pieces[first:after])))
        self._children = []
        self._stack = []
        self._objects = 0
        self._quote = ""
        self._comma = None
        string, self._string = self._string, -1
        kept, self._kept = self._kept, []
        if string < 0:
            return text, at
        if string >= self._base:
            return text, string - self._base
        self._base = string
        return "".join(kept) + text, 0


class JSONStream:
    """Lets the first value of a streamed answer that may be what was asked for through as it comes, and nothing else.

    Args:
        array: whether a list was asked for, in place of an object.
        names: properties that the object may have; an object whose first key is none of them is not shown. None takes
            every key.
    """

    __slots__ = ("_array", "_names", "_new", "_scanner", "_shown", "_shows", "ended")

    def __init__(self, *, array: bool = False, names: frozenset[str] | None = None) -> None:
        self._scanner = Scanner(self._left)
        self._array = array
        self._names = names
        self._shows = False
        self._shown = 0  # pieces of the value
        self._new: list[str] = []
        self.ended = False

    def feed(self, text: str) -> str:
        """More of the answer -> more of its JSON."""
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


# What an object around the value may call it, beside the name of the class.
_WRAPPERS = frozenset({
    "result", "results", "response", "answer", "output", "data", "json", "object", "parameters", "properties",
    "arguments", "args", "input", "value", "values", "items",
})  # fmt: skip
# What may stand beside it there, as in a JSON Schema with values in place of types, or in a tool call as text.
_BESIDE = {"type", "title", "name", "description", "required", "additionalproperties", "schema", "defs", "id"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value that was asked for looks like.

    Attributes:
        array: whether it is a list; None for either.
        names: properties that it may have, None where any may be.
        wrappers: what an object around the value may call it, as the name of the class.
        schema: the JSON Schema that the model was shown.
    """

    array: bool | None = False
    names: frozenset[str] | None = None
    wrappers: frozenset[str] = frozenset()
    schema: Mapping[str, Any] | None = None


def shape_of(schema: Mapping[str, Any] | None, names: Iterable[str] = (), name: str = "") -> Shape:
    """The shape of what a JSON Schema describes.

    Args:
        schema: the schema, None for any object.
        names: further names of its properties, as of the fields of a pydantic class.
        name: what the request calls it, beside the title of the schema.
    """
    if schema is None:
        return Shape()
    found = _properties(schema, schema)
    known = frozenset([*found, *names]) if found else None
    root = _resolved(schema, schema)
    kinds = [_resolved(each, schema).get("type") for each in _forms(root)]
    array = True if kinds == ["array"] else False if {*kinds} == {"object"} or known else None
    called = map(_plain_word, map(str, (name, schema.get("title"), root.get("title"))))
    return Shape(array, known, _WRAPPERS.union(called), schema)


def _forms(schema: Mapping[str, Any]) -> list[Any]:
    several = schema.get("anyOf") or schema.get("oneOf")
    return several if isinstance(several, list) and several else [schema]


def _resolved(schema: object, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema, or the one that its `$ref` names inside the root."""
    if not isinstance(schema, Mapping):
        return {}
    ref = schema.get("$ref")
    if not (isinstance(ref, str) and ref.startswith("#/")):
        return schema
    found: object = root
    for name in ref[2:].split("/"):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _properties(schema: object, root: Mapping[str, Any], depth: int = 4) -> set[str]:
    """Names of properties that an object may have; none where it may have any."""
    found = _resolved(schema, root)
    if not depth:
        return set()
    own = found.get("properties")
    names = {str(name) for name in own} if isinstance(own, Mapping) else set()
    for key in ("anyOf", "oneOf", "allOf"):
        for each in (found.get(key) or [])[:16] if isinstance(found.get(key), list) else ():
            names |= _properties(each, root, depth - 1)
    return names


class Reading:
    """What an answer's text holds: `text`, the JSON that was asked for, or None and the `problem`.

    `unfinished` says whether the text ended inside a value.
    """

    __slots__ = ("problem", "text", "unfinished")

    def __init__(self, text: str | None, problem: str | None, *, unfinished: bool) -> None:
        self.text = text
        self.problem = problem
        self.unfinished = unfinished


_ANY = Shape(array=None)


def json_in(text: str) -> str | None:
    """The last JSON object or list in a text, None when there is none; see `read_json`."""
    return read_json(text, lambda _: None, _ANY).text


def read_json(text: str, judge: Callable[[str], str | None], shape: Shape) -> Reading:
    """The JSON that was asked for in an answer's text.

    Args:
        text: the answer, whole.
        judge: JSON -> what is wrong with it, None when it fits.
        shape: what was asked for.

    Returns:
        The last value that fits, in JSON; where it stood as JSON, exactly as it stood.
    """
    candidates, unfinished = candidates_in(text)
    empty: str | None = None  # the last value that fits and has nothing of what was asked for
    problem: str | None = None
    serious = False  # whether that is the problem of a value that has
    for candidate in reversed(candidates):
        for form, value in _unwrapped(candidate.text, shape):
            has_some = _has_some(value, shape) and not _is_reference(text, candidate)
            wrong = judge(form)
            if wrong is None and has_some:
                return Reading(form, None, unfinished=unfinished)
            if wrong is None:
                empty = form if empty is None else empty
            elif problem is None or (has_some and not serious):
                problem, serious = wrong, has_some
    if empty is not None and not serious:
        return Reading(empty, None, unfinished=unfinished)
    if problem is None:
        problem = "it holds no JSON" if text.strip() else "it is empty"
    return Reading(None, problem, unfinished=unfinished)


def candidates_in(text: str) -> tuple[list[Candidate], bool]:
    """The JSON objects and lists of a text outside of thoughts, in its order, and whether it ends inside one."""
    scanner = Scanner()
    scanner.feed(text)
    unfinished = scanner.finish()
    found = _with_quoted(text, list(scanner.found))
    return [*_outside(_thoughts(text, found), found)], unfinished


def _with_quoted(text: str, found: list[Candidate]) -> list[Candidate]:
    """The values, and those that stand as JSON in a string of JSON."""
    quoted: deque[Candidate] = deque(maxlen=MOST_CANDIDATES)
    for string in _QUOTED.finditer(text) if '\\"' in text else ():
        if '\\"' in string[0] and not _is_inside(string.start(), found) and (inner := _json_of(string[0])):
            quoted.append(Candidate(string.start(), string.end(), inner))
    if not quoted:
        return found
    others = [each for each in found if not _is_inside(each.start, quoted)]
    return sorted([*others, *quoted], key=lambda each: each.start)[-MOST_CANDIDATES:]


def _json_of(string: str) -> str | None:
    """The JSON value that a string of JSON holds and nothing else, or None."""
    try:
        inner = json.loads(string, strict=False)
    except ValueError:
        return None
    return _json_alone(inner)


def _json_alone(text: str) -> str | None:
    scanner = Scanner()
    scanner.feed(text.strip())
    scanner.finish()
    alone = scanner.found and scanner.found[0].start == 0 and scanner.found[0].end == len(text.strip())
    return scanner.found[0].text if alone else None


def _is_inside(at: int, values: Iterable[Candidate]) -> bool:
    ordered = values if isinstance(values, list) else list(values)
    before = bisect_right(ordered, at, key=lambda each: each.start)
    return before > 0 and at < ordered[before - 1].end


def _thoughts(text: str, found: list[Candidate]) -> list[tuple[int, int]]:
    """From where to where the text is a thought, by marks that are left in it and stand in no value."""
    thoughts: list[tuple[int, int]] = []
    opened: int | None = None
    for mark in _THOUGHT.finditer(text) if "think>" in text else ():
        if _is_inside(mark.start(), found):
            continue
        if mark[0] == "<think>":
            opened = mark.start() if opened is None else opened
        else:
            # A mark that nothing opened ends a thought that began with the text: all before it is one.
            if opened is None:
                thoughts.clear()
            thoughts.append((opened or 0, mark.end()))
            opened = None
    if opened is not None:
        thoughts.append((opened, len(text)))
    return thoughts


def _outside(thoughts: list[tuple[int, int]], found: list[Candidate]) -> Iterator[Candidate]:
    begins = [begin for begin, _ in thoughts]
    for each in found:
        before = bisect_right(begins, each.start)
        if not (before and each.start < thoughts[before - 1][1]):
            yield each


def _plain_word(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _unwrapped(text: str, shape: Shape) -> Iterator[tuple[str, Any]]:
    """A value, and what it holds in a list of one, a string or a wrapper, from the outside in; the schema is none."""
    value = _value_of(text)
    if value is None or _is_schema(value, shape.schema):
        return
    yield text, value
    if shape.schema is None:
        return
    for _ in range(_MOST_WRAPPERS):
        value = _inner(value, shape.wrappers)
        if isinstance(value, str):
            value = _value_of(_json_alone(value) or "")
        if not isinstance(value, dict | list) or _is_schema(value, shape.schema):
            return
        yield json.dumps(value, ensure_ascii=False), value


def _value_of(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:  # nothing, or a number of more digits than Python reads
        return None


def _inner(value: Any, wrappers: frozenset[str]) -> Any:
    match value:
        case [only]:
            return only
        case dict():
            keys = [key for key in value if _plain_word(key) not in _BESIDE]
            word = _plain_word(keys[0]) if len(keys) == 1 else ""
            return value[keys[0]] if word and word in wrappers else None
        case _:
            return None


def _is_schema(value: Any, schema: Mapping[str, Any] | None) -> bool:
    if not (isinstance(value, dict) and schema):
        return False
    inner = value.get("json_schema", value)
    told = inner.get("schema", inner) if isinstance(inner, dict) else inner
    if value == schema or told == schema:
        return True
    properties = schema.get("properties")
    return bool(properties) and value.get("properties") == properties


def _has_some(value: Any, shape: Shape) -> bool:
    """Whether a value has anything of what was asked for."""
    if isinstance(value, list):
        return bool(value) and shape.array is not False
    return bool(value) and shape.array is not True and (shape.names is None or not shape.names.isdisjoint(value))


def _is_reference(text: str, candidate: Candidate) -> bool:
    """Whether a list is a reference behind words, as in "picture [1]"."""
    if not _REFERENCE.fullmatch(candidate.text):
        return False
    before = text[max(0, candidate.start - 20) : candidate.start].rpartition("\n")[2].rstrip(" ")
    return before != "" and (before[-1].isalnum() or before[-1] in ")]")
