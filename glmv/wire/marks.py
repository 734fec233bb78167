"""Marks in the text of an answer: `<think>`, boxes, and stop words. Pure; any cut of the text gives the same.

Sources: github.com/zai-org/GLM-V README ("Grounding", `<|begin_of_box|>`), docs.bigmodel.cn "对话补全": the answer of
glm-4.5v may contain `<think> </think>` and `<|begin_of_box|> <|end_of_box|>`; GLM-4.1V writes
`<think>…</think><answer>…</answer>`. The chat templates of GLM-4.6V and later open the thought themselves, so that a
server without a reasoning parser sends `…</think>…` (github.com/zai-org/GLM-V/issues/243).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from glmv.types import GRID, Box, in_pixels
from glmv.wire.quoting import Quoting

_THINK, THOUGHT_END = "<think>", "</think>"
_DROPPED = ("<|begin_of_box|>", "<|end_of_box|>")
_ANSWER = ("<answer>", "</answer>")


_MARK = re.compile(r"</?think>")


Thought = Literal["marked", "possible", "due"]
"""Whether text that does not begin with `<think>` may begin inside a thought: only `</think>` shows it then."""


class TagFilter:
    """Splits streamed content into visible text and reasoning, and takes the box marks out.

    `<think>` counts only where an answer starts, so that an answer *about* the tag stays whole; `<answer>` only
    after a thought. Line breaks in front of the answer are dropped: vision answers begin with one.

    A `</think>` that nothing opened ends a thought where an answer starts, and elsewhere as `thought` says: never
    ("marked"); where no other mark and no thought came before it ("possible"): the text up to there was a thought, and
    `feed` says so; or also so, and text is held until it is settled ("due").
    """

    __slots__ = ("_apart", "_held", "_open", "_quoting", "_state", "_tags", "_unread", "_waiting")

    def __init__(self, thought: Thought = "marked") -> None:
        self._held = ""  # the end of what came, when it may be the beginning of a mark
        self._quoting = Quoting()  # of the text before it
        self._unread: list[str] = []  # the end of that text, which was not looked at for quotations yet
        self._state = "start"  # start -> think, or due -> text
        self._tags: tuple[str, ...] = _DROPPED
        self._open = thought != "marked"  # whether a thought may still end that nothing opened
        self._waiting: list[str] | None = [] if thought == "due" else None  # text that may be a thought
        self._apart = False  # the thought came in a field of its own

    def feed(self, content: str) -> tuple[str, str, bool]:
        """More content -> (visible text, reasoning) that is certain by now.

        The third value says whether all text before was a thought, which this content ends.
        """
        if self._state == "text" and not self._held and "<" not in content:
            if self._open:
                self._unread.append(content)
            return content, "", False
        return self._run(self._held + content, end=False)

    def finish(self) -> tuple[str, str, bool]:
        """What was held back, when nothing more comes, as `feed` returns it."""
        return self._run(self._held, end=True)

    def settle(self, *, thought: bool) -> None:
        """Say that the text is no thought: a thought, or a tool call, came in a field of its own."""
        self._open = False
        self._apart = self._apart or (thought and self._state == "start")

    def _run(self, content: str, *, end: bool) -> tuple[str, str, bool]:
        self._held = ""
        closed = False
        reasoning = ""
        if self._state == "start":
            content = content.lstrip("\r\n")
            if content.startswith(_THINK):
                self._state, content = "think", content[len(_THINK) :]
                self._tags = _DROPPED + _ANSWER
                self._open = False
            elif content.startswith(THOUGHT_END):
                self._end_thought()
                content = content[len(THOUGHT_END) :]
            elif not end and (_THINK.startswith(content) or THOUGHT_END.startswith(content) or self._may_wrap(content)):
                self._held = content
                return "", "", False
            elif self._apart and content.startswith(_ANSWER[0]):
                self._state = "after"
                self._tags = _DROPPED + _ANSWER
            else:
                self._state = "lead" if self._waiting is None else "due"
        if self._state == "due":
            content, reasoning = self._waited(content, end=end)
            if self._state == "due":
                return "", "", False
        if self._state == "think":
            reasoning, mark, content = content.partition(THOUGHT_END)
            if not mark:
                if not end:
                    reasoning, self._held = _split_tail(reasoning, (THOUGHT_END,))
                return "", reasoning, closed
            self._state = "after"
        if self._open:
            found, certain = self._mark_in(content, end=end)
            if found is None:
                content, self._held = content[:certain], content[certain:]
            elif found[0] == THOUGHT_END:
                reasoning, content = self._plain(content[: found.start()]), content[found.end() :]
                closed = True
                self._end_thought()
            else:
                self._open = False
        if self._state == "after":
            content = content.lstrip("\r\n ")
            if not end and len(content) < len(_ANSWER[0]) and _ANSWER[0].startswith(content):
                self._held = content
                return "", reasoning, closed
            content = content.removeprefix(_ANSWER[0])
            self._state = "lead"
        if self._state == "lead":
            content = content.lstrip("\r\n")
            if not content:
                return "", reasoning, closed
            self._state = "text"
        if not (end or self._open):
            content, self._held = _split_tail(content, self._tags)
        return self._plain(content), reasoning, closed

    def _waited(self, content: str, *, end: bool) -> tuple[str, str]:
        """Text that may be a thought -> (text, reasoning), and another state, once it is settled."""
        assert self._waiting is not None
        found, certain = self._mark_in(content, end=end) if self._open else (None, 0)
        if found is None and self._open and not end:
            self._waiting.append(content[:certain])
            self._held = content[certain:]
            return "", ""
        before, self._waiting = "".join(self._waiting), None
        self._open = False
        if found is None or found[0] == _THINK:
            self._state = "lead"
            return before + content, ""
        reasoning = self._plain(before + content[: found.start()])
        self._end_thought()
        return content[found.end() :], reasoning

    def _end_thought(self) -> None:
        self._state = "after"
        self._tags = _DROPPED + _ANSWER
        self._open = False

    def _may_wrap(self, content: str) -> bool:
        return self._apart and len(content) < len(_ANSWER[0]) and _ANSWER[0].startswith(content)

    def _mark_in(self, content: str, *, end: bool) -> tuple[re.Match[str] | None, int]:
        """The first mark of a thought that is not quoted, and up to where the content holds none for certain."""
        quoting = self._quoting
        certain = len(content if end else _split_tail(content, (*self._tags, _THINK, THOUGHT_END))[0])
        at = 0
        for found in _MARK.finditer(content):
            quoting.read("".join([*self._unread, content[at : found.start()]]))
            self._unread = []
            at = found.end()
            if not quoting.in_block:
                following = content[at : at + 1]
                if quoting.end and not following and not end:  # what comes next tells whether it is quoted
                    at = certain = found.start()
                    break
                if following != quoting.end or not following:
                    return found, certain
            quoting.read(found[0])
        self._unread.append(content[at:certain])
        return None, certain

    def _plain(self, content: str) -> str:
        return re.sub("|".join(map(re.escape, self._tags)), "", content) if "<" in content else content


def _split_tail(text: str, marks: Sequence[str]) -> tuple[str, str]:
    """Text -> what is certain, and a tail that may yet become one of the marks."""
    at = text.rfind("<", max(0, len(text) - max(map(len, marks)) + 1))
    tail = text[at:] if at >= 0 else ""
    if tail and any(len(tail) < len(mark) and mark.startswith(tail) for mark in marks):
        return text[:at], tail
    return text, ""


_NUMBER = r"\s*(\d{1,4})\s*"
_BOX = re.compile(rf"[\[(<]{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}[\])>]")


def boxes_in(text: str, sizes: Sequence[tuple[int, int] | None] = (), image: int | None = None) -> tuple[Box, ...]:
    """Boxes that an answer names, in the order of the text.

    Args:
        text: the answer, in whatever bracket style the model chose.
        sizes: (width, height) in pixels of the request's pictures, None where unknown.
        image: index of the picture that the boxes are of; None takes the only one.
    """
    if image is None and len(sizes) == 1:
        image = 0
    size = sizes[image] if image is not None and image < len(sizes) else None
    found = []
    for match in _BOX.finditer(text):
        x1, y1, x2, y2 = (int(number) for number in match.groups())
        grid = x1, y1, x2, y2
        if max(x2, y2) <= GRID and x1 <= x2 and y1 <= y2:
            found.append(Box(grid, in_pixels(grid, *size), image) if size else Box(grid))
    return tuple(found)


class StopCutter:
    """Cuts streamed text at stop words that the platform does not take, also when they are split over chunks.

    What comes back never holds a stop word or anything after the first one.
    """

    __slots__ = ("_held", "_words", "hit")

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word for word in words if word]
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """More text -> what of it is certain not to be the beginning of a stop word."""
        if self.hit or not text:
            return ""
        text = self._held + text
        self._held = ""
        # The word that is whole first ends the answer, so that it does not matter how the text was cut.
        ends = [(at + len(word), at) for word in self._words if (at := text.find(word)) >= 0]
        if ends:
            self.hit = True
            return text[: min(ends)[1]]
        for size in range(min(max(map(len, self._words), default=1) - 1, len(text)), 0, -1):
            if any(word.startswith(text[-size:]) for word in self._words if len(word) > size):
                self._held = text[-size:]
                return text[:-size]
        return text

    def finish(self) -> str:
        """What was held back, when nothing more comes."""
        held, self._held = self._held, ""
        return "" if self.hit else held
