"""Marks in the text of an answer: `<think>`, boxes, and stop words. Pure; any cut of the text gives the same.

Sources: github.com/zai-org/GLM-V README ("Grounding", `<|begin_of_box|>`), docs.bigmodel.cn "对话补全": the answer of
glm-4.5v may contain `<think> </think>` and `<|begin_of_box|> <|end_of_box|>`; GLM-4.1V writes
`<think>…</think><answer>…</answer>`. The chat templates of GLM-4.6V and later open the thought themselves, so that a
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


# Full-width punctuation and digits, one character for one.
_NARROW = str.maketrans("，、［］（）【】〈〉《》．－　０１２３４５６７８９", ",,[]()[]<><>.- 0123456789")
# A bracket in front of a number, in any width; most answers have none.
_BEGINS = re.compile(r"[\[(<［（【〈《]\s{0,9}[-－]?\d")
_NUMBER = r"\s{0,9}(-?\d{1,4}(?:\.\d{1,9})?)\s{0,9}"
_FOUR = re.compile(rf"[\[(<]{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER}[\])>]")
_PAIR = rf"[\[(<]{_NUMBER},{_NUMBER}[\])>]"
_BETWEEN = r"\s{0,9},?\s{0,9}"
_TWO = re.compile(rf"{_PAIR}{_BETWEEN}{_PAIR}")
_ANOTHER_PAIR = re.compile(_BETWEEN + _PAIR)
_PAIR_BEFORE = re.compile(_PAIR + _BETWEEN + r"\Z")
_LONGEST_PAIR = 80
# Behind these words a list of four is a place, whatever its numbers are.
_PLACE = re.compile(
    r"(?:\b(?:at|box|boxes|bbox(?:_2d)?|bounding box|coordinates?|position|location|region|area|located)\b"
    r"|坐标|位置|位于|区域|方框|边界框|框|在)[\s\"'“”是为:：=*`\[({<【（]{0,12}\Z",
    re.IGNORECASE,
)
# Behind these it counts or measures something else, whatever its numbers are.
_COUNT = re.compile(
    r"(?:\b(?:numbers?|counts?|counted|scores?|years?|dates?|prices?|vector|colou?rs?|rgba?|hsla?)\b"
    r"|数字|数量|分数|年份|日期|价格|颜色)[\s\"'“”是为:：=*`]{0,12}\Z",
    re.IGNORECASE,
)
_ALONE = re.compile(r"[\s\[({<>\])}`'\"“”*#,;.。；，-]*\Z")
_LIST = re.compile(r"[\[(<][-\d.,\s]{3,80}[\])>]")
# A label, as it stands in front of each list where several objects are answered in one line.
_LABEL = re.compile(r"[,;.]?\s{0,3}(?!(?:and|or)\b)[^\W\d]{1,20}\s{0,3}[:：]?\s{0,3}")
_LONGEST_LINE = 2000
# Of so many characters are lists that follow each other apart at most.
_NEXT_TO = 40
# How far beyond the grid a model may point, and still mean the edge.
_BEYOND = 100
# Numbers in an unusual spelling, or behind a word that names no place, are a box from this size of its sides on.
_SMALLEST = 10


def boxes_in(text: str, sizes: Sequence[tuple[int, int] | None] = (), image: int | None = None) -> tuple[Box, ...]:
    """Boxes that an answer names, in the order of the text; see `read_boxes`."""
    return read_boxes(text, sizes, image)[0]


def read_boxes(
    text: str, sizes: Sequence[tuple[int, int] | None] = (), image: int | None = None
) -> tuple[tuple[Box, ...], tuple[str, ...]]:
    """Boxes that an answer names, in the order of the text, and notes on those that were changed.

    A box is four numbers in one pair of brackets, or two corners in a pair each, up to the lower right. Decimals are
    rounded, and what lies a little outside of the grid is clipped, with a note. Four numbers are a box where they stand
    alone in their line, with a label for each of several, or behind a word for a place ("at", "bbox_2d"). Behind
    other words and keys they may count things, and are a box only where they look like one: at least 1 % of the picture
    wide and high, and not in equal steps as "1, 2, 3, 4".

    Args:
        text: the answer, in whatever bracket style the model chose.
        sizes: (width, height) in pixels of the request's pictures, None where unknown.
        image: index of the picture that the boxes are of; None takes the only one.
    """
    if image is None and len(sizes) == 1:
        image = 0
    size = sizes[image] if image is not None and image < len(sizes) else None
    if not _BEGINS.search(text):
        return (), ()
    text = text.translate(_NARROW)
    boxes: list[Box] = []
    notes: list[str] = []
    lines: dict[int, bool] = {}  # where a line begins, and whether it holds places alone
    named, end = False, 0  # whether the list before is a place, and where it ends
    for match in sorted([*_FOUR.finditer(text), *_corners_in(text)], key=lambda match: match.start()):
        follows = named and match.start() - end < _NEXT_TO and not text[end : match.start()].strip(" ,;\n\t")
        named, end = follows or _is_place(match, text, lines), match.end()
        numbers = [float(number) for number in match.groups()]
        grid = _grid_of(numbers, named=named)
        if grid is None or (not named and _COUNT.search(text[max(0, match.start() - 60) : match.start()])):
            continue
        boxes.append(Box(grid, in_pixels(grid, *size), image) if size else Box(grid))
        if any(not 0 <= number <= GRID for number in numbers):
            notes.append(f"A box reached beyond the grid of 0 to {GRID} and was clipped to it: {match[0]}.")
    return tuple(boxes), tuple(notes)


def _corners_in(text: str) -> Iterator[re.Match[str]]:
    """Pairs of numbers that come in twos; more of them are the points of another shape."""
    for match in _TWO.finditer(text):
        before = text[max(0, match.start() - _LONGEST_PAIR) : match.start()]
        if not (_ANOTHER_PAIR.match(text, match.end()) or _PAIR_BEFORE.search(before)):
            yield match


def _grid_of(numbers: Sequence[float], *, named: bool) -> tuple[int, int, int, int] | None:
    """Four numbers as a box of the grid, None where they are none; `named` says that the text calls them a place."""
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
    """Whether what stands around says that the numbers are a place."""
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
    """Whether a line is nothing but lists, or a label and a list for each of several objects."""
    *labels, rest = _LIST.split(line)
    if not _ALONE.match(rest):
        return False
    return all(map(_ALONE.match, labels)) or (len(labels) > 1 and all(map(_LABEL.fullmatch, labels)))


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
