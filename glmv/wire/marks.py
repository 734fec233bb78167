"""Reads `<think>`, boxes and stop words in the text of an answer. No I/O.

The result does not depend on the sizes of the pieces in which the text arrives.

Sources: github.com/zai-org/GLM-V README ("Grounding", `<|begin_of_box|>`), docs.bigmodel.cn "对话补全": the answer of
glm-4.5v may contain `<think> </think>` and `<|begin_of_box|> <|end_of_box|>`; GLM-4.1V writes
`<think>…</think><answer>…</answer>`. The chat templates of GLM-4.6V and later write `<think>` themselves, so that a
server without a reasoning parser sends `…</think>…` (github.com/zai-org/GLM-V/issues/243).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal

from glmv.types import GRID, Box, in_pixels
from glmv.wire.quoting import Quoting

_THINK, THOUGHT_END = "<think>", "</think>"
_DROPPED = ("<|begin_of_box|>", "<|end_of_box|>")
_ANSWER = ("<answer>", "</answer>")


_MARK = re.compile(r"</?think>")


Thought = Literal["marked", "possible", "due"]
"""Whether text without `<think>` may begin with reasoning, whose end is `</think>`; see `TagFilter`."""


class TagFilter:
    """Splits streamed content into visible text and reasoning, and removes the tags of boxes.

    `<think>` is a tag only at the start of an answer, so that an answer *about* the tag stays whole. `<answer>` is a
    tag only after reasoning. Line breaks before the answer are dropped, because vision answers begin with one.

    A `</think>` without `<think>` is a tag at the start of an answer. Elsewhere `thought` decides. "marked": this
    `</think>` is text. "possible": if neither another tag nor reasoning came before, all text up to `</think>` was
    reasoning, and `feed` reports this. "due": as "possible", but the text is held back until this is decided.
    """

    __slots__ = ("_apart", "_held", "_open", "_quoting", "_state", "_tags", "_unread", "_waiting")

    def __init__(self, thought: Thought = "marked") -> None:
        self._held = ""  # the end of the text, if it may be the beginning of a tag
        self._quoting = Quoting()  # of the text before it
        self._unread: list[str] = []  # the end of that text, which `_quoting` has not read yet
        self._state = "start"  # start -> think, or due -> text
        self._tags: tuple[str, ...] = _DROPPED
        self._open = thought != "marked"  # whether a `</think>` without `<think>` may follow
        self._waiting: list[str] | None = [] if thought == "due" else None  # text that may be reasoning
        self._apart = False  # reasoning came in a separate field

    def feed(self, content: str) -> tuple[str, str, bool]:
        """Takes the next piece of content. Returns the visible text and the reasoning that are certain now.

        The third value is True if all text so far was reasoning and that reasoning ends in this piece.
        """
        if self._state == "text" and not self._held and "<" not in content:
            if self._open:
                self._unread.append(content)
            return content, "", False
        return self._run(self._held + content, end=False)

    def finish(self) -> tuple[str, str, bool]:
        """At the end of the answer, returns the content that was held back, in the form of `feed`."""
        if self._state == "text" and not (self._held or self._open):
            return "", "", False
        return self._run(self._held, end=True)

    def settle(self, *, thought: bool) -> None:
        """Report that a separate field had reasoning (`thought=True`) or a tool call, so the text is not reasoning."""
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
            content, reasoning = self._split_waiting(content, end=end)
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
            match, certain = self._mark_in(content, end=end)
            if match is None:
                content, self._held = content[:certain], content[certain:]
            elif match[0] == THOUGHT_END:
                reasoning, content = self._plain(content[: match.start()]), content[match.end() :]
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

    def _split_waiting(self, content: str, *, end: bool) -> tuple[str, str]:
        """Splits text that may be reasoning into text and reasoning. Changes the state when the split is certain."""
        assert self._waiting is not None
        match, certain = self._mark_in(content, end=end) if self._open else (None, 0)
        if match is None and self._open and not end:
            self._waiting.append(content[:certain])
            self._held = content[certain:]
            return "", ""
        before, self._waiting = "".join(self._waiting), None
        self._open = False
        if match is None or match[0] == _THINK:
            self._state = "lead"
            return before + content, ""
        reasoning = self._plain(before + content[: match.start()])
        self._end_thought()
        return content[match.end() :], reasoning

    def _end_thought(self) -> None:
        self._state = "after"
        self._tags = _DROPPED + _ANSWER
        self._open = False

    def _may_wrap(self, content: str) -> bool:
        return self._apart and len(content) < len(_ANSWER[0]) and _ANSWER[0].startswith(content)

    def _mark_in(self, content: str, *, end: bool) -> tuple[re.Match[str] | None, int]:
        """Returns the first unquoted `<think>` or `</think>`, or None, and the position of an undecided tag.

        A tag is undecided if it may be incomplete, or if the next character decides whether it is quoted. Without such
        a tag the position is the length of the content.
        """
        quoting = self._quoting
        certain = len(content if end else _split_tail(content, (*self._tags, _THINK, THOUGHT_END))[0])
        at = 0
        for match in _MARK.finditer(content):
            quoting.read("".join([*self._unread, content[at : match.start()]]))
            self._unread = []
            at = match.end()
            if not quoting.in_block:
                following = content[at : at + 1]
                if quoting.end and not following and not end:  # the next character decides whether it is quoted
                    at = certain = match.start()
                    break
                if following != quoting.end or not following:
                    return match, certain
            quoting.read(match[0])
        self._unread.append(content[at:certain])
        return None, certain

    def _plain(self, content: str) -> str:
        return re.sub("|".join(map(re.escape, self._tags)), "", content) if "<" in content else content


def _split_tail(text: str, marks: Sequence[str]) -> tuple[str, str]:
    """Splits off the end of a text if it may be the beginning of a tag. If not, the second value is ""."""
    at = text.rfind("<", max(0, len(text) - max(map(len, marks)) + 1))
    tail = text[at:] if at >= 0 else ""
    if tail and any(len(tail) < len(mark) and mark.startswith(tail) for mark in marks):
        return text[:at], tail
    return text, ""


# Full-width punctuation and digits, character by character.
_NARROW = str.maketrans("，、［］（）【】〈〉《》．－　０１２３４５６７８９", ",,[]()[]<><>.- 0123456789")
# A bracket before a number, half or full width; most answers do not have one.
_BEGINS = re.compile(r"[\[(<［（【〈《]\s{0,9}[-－]?\d")
_NUMBER = r"\s{0,9}(-?\d{1,4}(?:\.\d{1,9})?)\s{0,9}"
_FOUR = re.compile(rf"[\[(<]{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}[\])>]")
_PAIR = rf"[\[(<]{_NUMBER},{_NUMBER}[\])>]"
_BETWEEN = r"\s{0,9},?\s{0,9}"
_TWO = re.compile(rf"{_PAIR}{_BETWEEN}{_PAIR}")
_ANOTHER_PAIR = re.compile(_BETWEEN + _PAIR)
_PAIR_BEFORE = re.compile(_PAIR + _BETWEEN + r"\Z")
_LONGEST_PAIR = 80
# After these words four numbers are a box, whatever their values.
_PLACE = re.compile(
    r"(?:\b(?:at|box|boxes|bbox(?:_2d)?|bounding box|coordinates?|position|location|region|area|located)\b"
    r"|坐标|位置|位于|区域|方框|边界框|框|在)[\s\"'“”是为:：=*`\[({<【（]{0,12}\Z",
    re.IGNORECASE,
)
# After these words four numbers are not a box, whatever their values.
_COUNT = re.compile(
    r"(?:\b(?:numbers?|counts?|counted|scores?|years?|dates?|prices?|vector|colou?rs?|rgba?|hsla?)\b"
    r"|数字|数量|分数|年份|日期|价格|颜色)[\s\"'“”是为:：=*`]{0,12}\Z",
    re.IGNORECASE,
)
_ALONE = re.compile(r"[\s\[({<>\])}`'\"“”*#,;.。；，-]*\Z")
_LIST = re.compile(r"[\[(<][-\d.,\s]{3,80}[\])>]")
# A label before each list, in a line with several objects.
_LABEL = re.compile(r"[,;.]?\s{0,3}(?!(?:and|or)\b)[^\W\d]{1,20}\s{0,3}[:：]?\s{0,3}")
_LONGEST_LINE = 2000
# The most characters between two lists that belong together.
_NEXT_TO = 40
# A coordinate up to this far outside of the grid means its edge.
_BEYOND = 100
# The smallest side of a box with unusual numbers, or without a word for a place before it.
_SMALLEST = 10


def boxes_in(text: str, sizes: Sequence[tuple[int, int] | None] = (), image: int | None = None) -> tuple[Box, ...]:
    """The boxes in an answer's text, in their order; see `read_boxes`."""
    return read_boxes(text, sizes, image)[0]


def read_boxes(
    text: str, sizes: Sequence[tuple[int, int] | None] = (), image: int | None = None
) -> tuple[tuple[Box, ...], tuple[str, ...]]:
    """The boxes in an answer's text, in their order, and notes on those that were clipped.

    A box is four numbers in one pair of brackets, or two corners (upper left and lower right), each in its own
    brackets. Decimals are rounded. Coordinates slightly outside of the grid are clipped to it, and a note says so. Four
    numbers are a box if they are alone in their line (a line for several objects may also have their labels), or if
    they follow a word for a place ("at", "bbox_2d"). After other words and keys the numbers may be counts. Such
    numbers are a box only if they span at least 1 % of the picture's width and height, and do not grow in equal steps
    such as "1, 2, 3, 4".

    Args:
        text: the answer, with any kind of brackets.
        sizes: (width, height) in pixels of the request's pictures, None if unknown.
        image: index of the picture of the boxes; None means the only picture.
    """
    if image is None and len(sizes) == 1:
        image = 0
    size = sizes[image] if image is not None and image < len(sizes) else None
    if not _BEGINS.search(text):
        return (), ()
    text = text.translate(_NARROW)
    boxes: list[Box] = []
    notes: list[str] = []
    lines: dict[int, bool] = {}  # start of a line -> whether it has only places
    named, end = False, 0  # whether the previous list is a place, and its end
    for match in sorted([*_FOUR.finditer(text), *_corners_in(text)], key=lambda match: match.start()):
        follows = named and match.start() - end < _NEXT_TO and not text[end : match.start()].strip(" ,;\n\t")
        named, end = follows or _is_place(match, text, lines), match.end()
        numbers = [float(number) for number in match.groups()]
        grid = _grid_of(numbers, named=named)
        if grid is None or (not named and _COUNT.search(text[max(0, match.start() - 60) : match.start()])):
            continue
        boxes.append(Box(grid, in_pixels(grid, *size), image) if size else Box(grid))
        if any(not 0 <= number <= GRID for number in numbers):
            notes.append(f"A box was clipped to the grid of 0 to {GRID}: {match[0]}.")
    return tuple(boxes), tuple(notes)


def _corners_in(text: str) -> Iterator[re.Match[str]]:
    """Matches of exactly two pairs of numbers; more pairs in a row are the points of another shape."""
    for match in _TWO.finditer(text):
        before = text[max(0, match.start() - _LONGEST_PAIR) : match.start()]
        if not (_ANOTHER_PAIR.match(text, match.end()) or _PAIR_BEFORE.search(before)):
            yield match


def _grid_of(numbers: Sequence[float], *, named: bool) -> tuple[int, int, int, int] | None:
    """The box of four numbers in the grid, or None. `named`: whether the text says that they are a position."""
    if not all(-_BEYOND <= number <= GRID + _BEYOND for number in numbers):
        return None
    x1, y1, x2, y2 = (min(max(round(number), 0), GRID) for number in numbers)
    if x1 > x2 or y1 > y2:
        return None
    usual = all(0 <= number <= GRID and number.is_integer() for number in numbers)
    large = min(x2 - x1, y2 - y1) >= _SMALLEST
    if (usual or large) and named:
        return x1, y1, x2, y2
    steps = {round(after - before, 6) for before, after in pairwise(numbers)}
    return (x1, y1, x2, y2) if large and len(steps) > 1 else None


def _is_place(match: re.Match[str], text: str, lines: dict[int, bool]) -> bool:
    """Whether the text around the numbers says that they are a position."""
    before = text[max(0, match.start() - 60) : match.start()].rpartition("\n")[2]
    if _PLACE.search(before):
        return True
    start = text.rfind("\n", max(0, match.start() - _LONGEST_LINE), match.start()) + 1
    if start == 0 and match.start() > _LONGEST_LINE:
        return False
    if start not in lines:
        end = text.find("\n", match.end(), match.end() + _LONGEST_LINE)
        line = text[start : len(text) if end < 0 else end]
        lines[start] = len(line) <= _LONGEST_LINE and _holds_places(line)
    return lines[start]


def _holds_places(line: str) -> bool:
    """Whether a line has only lists of numbers, or several such lists, each after a label."""
    *labels, rest = _LIST.split(line)
    if not _ALONE.match(rest):
        return False
    return all(map(_ALONE.match, labels)) or (len(labels) > 1 and all(map(_LABEL.fullmatch, labels)))


class StopCutter:
    """Cuts streamed text at stop words that were not sent to the server, even if a stop word is split over chunks.

    The returned text never contains a stop word, nor any text after the first stop word.
    """

    __slots__ = ("_held", "_words", "hit")

    def __init__(self, words: Sequence[str]) -> None:
        self._words = [word for word in words if word]
        self._held = ""
        self.hit = False

    def feed(self, text: str) -> str:
        """Takes the next piece of text. Returns the text that is certainly not the beginning of a stop word."""
        if self.hit or not text:
            return ""
        text = self._held + text
        self._held = ""
        # The word that is complete first ends the answer, so that the sizes of the pieces do not matter.
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
        """At the end of the answer, returns the text that was held back."""
        held, self._held = self._held, ""
        return "" if self.hit else held
