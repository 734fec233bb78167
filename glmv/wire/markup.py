"""Reads tool calls in GLM's own markup, which some servers leave in the text of an answer. No I/O.

Sources: the chat templates of GLM-4.5, 4.6 and 5 write a call as `<tool_call>name`, pairs of `<arg_key>` and
`<arg_value>`, `</tool_call>`, with strings unchanged and other values as JSON. The chat template of GLM-4 writes the
name, a line break and a JSON object. Servers turn this into `tool_calls` when they run with a tool parser. Without a
parser, or when it gives up, the text of the answer holds the markup (github.com/sgl-project/sglang/issues/30925,
github.com/zai-org/GLM-5/issues/84).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from glmv.wire.arguments import object_of, value_of
from glmv.wire.quoting import Quoting

Tools = Mapping[str, Mapping[str, Any]]
"""Names of the offered functions -> JSON Schemas of their parameters."""

CALL = "<tool_call>"
_END = "</tool_call>"
TAG = re.compile(r"(</?tool_call>|</?arg_key>|</?arg_value>)")
# Tags that a chat template puts around a function's name.
TEMPLATE = re.compile(r"<\|?/?\w+\|?>")
_GLM_4 = re.compile(r"\s*(?:<\|\w+\|>\s*)?([^\s{<]+)[ \t]*\r?\n\s*(?=\{)")
# Text that may follow the last call of an answer, also of one that was cut off.
_BETWEEN = re.compile(r"(?:\s|<\|\w+\|>)*(?:</?\w*)?\Z")


def tools_of(tools: object) -> Tools:
    """The `tools` of a request -> the functions that may be called."""
    functions: dict[str, Mapping[str, Any]] = {}
    for tool in tools if isinstance(tools, list | tuple) else ():
        match tool:
            case {"function": {"name": str(name)} as function}:
                schema = function.get("parameters")
                functions[name] = schema if isinstance(schema, Mapping) else {}
            case _:
                pass  # a tool of the platform, such as web search, which is not called by name
    return functions


class MarkupFilter:
    """Removes tool calls in markup from the text of an answer.

    Text before `<tool_call>` is passed on at once. The rest is held back until the answer ends, and then read as a
    whole: only markup at the end of an answer is a call. An answer that begins with a function's name, in the form of
    GLM-4, is held back from its beginning.
    Markup in quotes, in code or before other text stays text: the answer may quote a picture that shows markup.

    Args:
        offered: the functions that the request offers, at least one.
    """

    __slots__ = ("_begun", "_held", "_longest", "_offered", "_quoting", "_tail", "_unread")

    def __init__(self, offered: Tools) -> None:
        self._offered = offered
        self._longest = max(map(len, offered)) + 32
        self._begun = False  # whether the answer is known not to begin with a call of GLM-4
        self._held: list[str] = []
        self._tail = ""  # the end of the text, if it may be the beginning of a tag
        self._quoting = Quoting()  # of the text before the held one
        self._unread: list[str] = []  # the end of that text, which `_quoting` has not read yet

    def feed(self, text: str) -> str:
        """Takes the next piece of text. Returns the text that is not part of a call; holds back what may be one."""
        if self._held:
            self._held.append(text)
            return ""
        if self._begun and not self._tail and "<" not in text:
            self._unread.append(text)
            return text
        text = self._tail + text
        self._tail = ""
        if not self._begun:
            match self._begins(text):
                case None:
                    self._tail = text
                    return ""
                case True:
                    self._held = [text]
                    return ""
            self._begun = bool(text)
        at = 0
        while (mark := text.find(CALL, at)) >= 0:
            self._quoting.read("".join([*self._unread, text[at:mark]]))
            self._unread = []
            if not _is_quoted(self._quoting):
                self._held = [text[mark:]]
                return text[:mark]
            at = mark + len(CALL)
            self._quoting.read(CALL)
        tail = text.rfind("<", max(at, len(text) - len(CALL) + 1))
        if tail >= 0 and CALL.startswith(text[tail:]):
            text, self._tail = text[:tail], text[tail:]
        self._unread.append(text[at:])
        return text

    def finish(self, *, cut: bool) -> tuple[str, list[tuple[str, str]]]:
        """The held text, split into text and calls as (name, arguments).

        Args:
            cut: whether the answer was cut off. If so, arguments without a closing tag stay incomplete JSON.
        """
        text = self.held
        if not self._begun and (calls := _calls_of_glm_4(text, self._offered)):
            return "", calls
        return calls_in(text, self._offered, self._quoting, cut=cut)

    @property
    def held(self) -> str:
        """The text that is not returned yet, because it may be a tool call or the beginning of one."""
        return "".join(self._held) or self._tail

    def drop(self) -> str:
        """Return the held text, which turned out to be reasoning, and start again: the answer begins after it."""
        text = self.held
        self._held, self._tail, self._begun = [], "", False
        self._quoting, self._unread = Quoting(), []
        return text

    def _begins(self, text: str) -> bool | None:
        """Whether the answer begins with a call in GLM-4's form; None while it is undecided."""
        if match := _GLM_4.match(text):
            return match[1] in self._offered
        if len(text) > 2 * self._longest:
            return False
        head = text.lstrip()
        if head.startswith("<|"):
            mark = re.match(r"<\|\w*(\|>?)?", head)
            assert mark is not None
            if mark.end() == len(head):
                return None
            if not mark[0].endswith("|>"):
                return False
            head = head[mark.end() :].lstrip()
        elif head in ("", "<"):
            return None
        for name in self._offered:
            if name.startswith(head) or (head.startswith(name) and not head[len(name) :].strip()):
                return None
        return False


def _is_quoted(quoting: Quoting) -> bool:
    return quoting.in_code or bool(quoting.end)


def calls_in(
    text: str, offered: Tools, quoting: Quoting | None = None, *, cut: bool = False
) -> tuple[str, list[tuple[str, str]]]:
    """Splits text that ends with calls in GLM's markup.

    Returns the text before the calls, and the calls as (name, JSON of the arguments). A call of an unknown function is
    text, and so is a quoted call or a call with text after it. The closing tag of a call may be missing. If it is
    missing at the end of an answer that was `cut`, the JSON of its arguments has no closing brace. `quoting` says
    whether a quotation or code is open at the start of `text`.
    """
    if CALL not in text:
        return text, []
    quoting = quoting or Quoting()
    tokens = TAG.split(text)
    following = following_of(tokens)
    calls: list[tuple[str, str]] = []
    begin = at = 0
    while at < len(tokens):
        token = tokens[at]
        if token == CALL and not _is_quoted(quoting):
            if call := _call_at(tokens, following, at + 1, offered, cut=cut):
                begin = begin if calls else at
                calls.append(call[:2])
                at = call[2]
                continue
        elif calls and (token == _END or _BETWEEN.match(token)):
            at += 1
            continue
        if calls:
            quoting.read("".join(tokens[begin:at]))
            calls = []
        quoting.read(token)
        at += 1
    before = "".join(tokens[:begin]) if calls else text
    return (before if before.strip() or not calls else ""), calls


def _call_at(
    tokens: list[str], following: list[str], at: int, offered: Tools, *, cut: bool
) -> tuple[str, str, int] | None:
    """Reads a call from token `at`. Returns its name, its arguments and the index of the token after it, or None."""
    head = TEMPLATE.sub("", tokens[at]).strip()
    if head.startswith("{"):
        call = object_of(head)
        name = str(call.get("name") or "") if call else ""
        arguments = call.get("arguments", call.get("parameters", {})) if call else {}
        if name not in offered:
            return None
        return name, arguments if isinstance(arguments, str) else _json(arguments), _after(tokens, at + 1)
    name, _, body = head.partition("\n")
    name, body = name.strip(), body.strip()
    if name not in offered:
        # The name and the object may be in one line.
        name, brace, body = head.partition("{")
        name, body = name.strip(), brace + body
    if name not in offered or (body and object_of(body) is None):
        return None
    if body:
        return name, body, _after(tokens, at + 1)
    pairs = pairs_from(tokens, following, at + 1, offered[name])
    if pairs is None:
        return None
    values, end, closed = pairs
    arguments = _json(values)
    if cut and not closed:
        arguments = arguments[:-1]
    return name, arguments, end


def _after(tokens: list[str], at: int) -> int:
    return at + 1 if at < len(tokens) and tokens[at] == _END else at


def pairs_from(
    tokens: list[str], following: list[str], at: int, schema: Mapping[str, Any]
) -> tuple[dict[str, Any], int, bool] | None:
    """Reads the pairs of keys and values from token `at`.

    Returns:
        The arguments, the index of the token after the pairs, and whether the pairs are complete. They are complete
        if a closing tag or the next call follows, and not if the text ends. None if there is other text between pairs.
    """
    values: dict[str, Any] = {}
    key = ""
    while at < len(tokens):
        tag = tokens[at]
        if tag == _END:
            return values, at + 1, True
        if tag == CALL:
            return values, at, True  # the next call: the closing tag of this one is missing
        text = tokens[at + 1] if at + 1 < len(tokens) else ""
        at += 2
        match tag:
            case "<arg_key>":
                key = text.strip() or key
            case "<arg_value>" if key:
                # A tag inside a value is part of its text if the value has a closing tag, which models sometimes omit.
                pieces = [text]
                while at < len(tokens) and tokens[at] != "</arg_value>" and following[at] == "</arg_value>":
                    pieces += tokens[at : at + 2]
                    at += 2
                if at >= len(tokens) or tokens[at] != "</arg_value>":
                    pieces = [text.rstrip("\r\n")]
                values[key] = value_of("".join(pieces), schema, key)
                key = ""
            case _ if not _BETWEEN.match(text):
                return None
            case _:
                pass
    return values, at, False


def following_of(tokens: list[str]) -> list[str]:
    """For each token, the nearest `<arg_value>` or `</arg_value>` at this token or after it; "" if there is none."""
    tags = [""] * len(tokens)
    following = ""
    for at in range(len(tokens) - 1, -1, -1):
        if tokens[at] in ("<arg_value>", "</arg_value>"):
            following = tokens[at]
        tags[at] = following
    return tags


def _calls_of_glm_4(text: str, offered: Tools) -> list[tuple[str, str]]:
    """The calls in a text that has only calls in GLM-4's form; an empty list for any other text."""
    calls: list[tuple[str, str]] = []
    for part in re.split(r"<\|\w+\|>", text):
        if not part.strip():
            continue
        match = _GLM_4.match(part)
        body = part[match.end() :].strip() if match else ""
        if match is None or match[1] not in offered or object_of(body) is None:
            return []
        calls.append((match[1], body))
    return calls


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
