"""The values of the public interface: messages as input, deltas and completions as output. No I/O.

Input is validated (`Options` by pydantic, messages by `match`). Output is slotted dataclasses, because one is
made for each chunk of a stream (ADR-0007).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Literal

from glmv._public import public_class
from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media import File, Image, Video
from glmv.media.text import kind_of

GRID = 1000
"""The model family's grid over a picture: "coordinates are normalised to 0–1000" (GLM-V README, Grounding)."""

Role = Literal["system", "user", "assistant", "tool"]


@public_class
@dataclass(frozen=True, slots=True)
class Text:
    """A text part of a message."""

    text: str


Media = Image | Video | File
Part = Text | Media


@public_class
@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function that the model asks for.

    `arguments` is the JSON text as the model wrote it; it may be invalid JSON.
    """

    id: str
    name: str
    arguments: str = "{}"


@public_class
@dataclass(frozen=True, slots=True)
class Message:
    """One message of a conversation.

    Args:
        role: "system", "user", "assistant" or "tool".
        content: parts in the order in which the model reads them; a string is one `Text`.
        tool_calls: calls that an assistant message made.
        tool_call_id: the call that a tool message answers.
        reasoning: the model's reasoning, sent back to models that continue from it.
    """

    role: Role
    content: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None

    def __init__(
        self,
        role: Role,
        content: str | Part | Iterable[str | Part] = (),
        *,
        tool_calls: Iterable[ToolCall] = (),
        tool_call_id: str | None = None,
        reasoning: str | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "role", role)
        put(self, "content", parts_of(content))
        put(self, "tool_calls", tuple(tool_calls))
        put(self, "tool_call_id", tool_call_id)
        put(self, "reasoning", reasoning)

    @property
    def text(self) -> str:
        """All text of the message, joined."""
        return "".join([part.text for part in self.content if isinstance(part, Text)])


def part_of(item: object) -> Part | None:
    """Returns a part unchanged, a string as `Text`, or None for anything else.

    Only this function decides what a part is.
    """
    match item:
        case str():
            return Text(item)
        case Text() | Image() | Video() | File():
            return item
        case _:
            return None


def parts_of(content: str | Part | Iterable[str | Part]) -> tuple[Part, ...]:
    """Converts content in any accepted form to parts. Strings become `Text`.

    Raises:
        UnsupportedContent: for anything that is not a part.
    """
    if (part := part_of(content)) is not None:
        return (part,)
    items: object = content
    return tuple(_part(item) for item in (items if isinstance(items, Iterable) else (items,)))


def _part(item: object) -> Part:
    part = part_of(item)
    if part is None:
        raise UnsupportedContent(
            f"A content part is a str, Text, Image, Video or File; got {kind_of(item)} "
            "Pictures are made with glmv.Image.of, which takes paths, bytes, open files, URLs and Pillow pictures."
        )
    return part


def media_in(content: Iterable[Part]) -> list[tuple[int, Media]]:
    """The parts that are not text, each with its index."""
    return [(index, part) for index, part in enumerate(content) if not isinstance(part, Text)]


def modality(part: Media) -> Literal["image", "video", "file"]:
    """The kind of media of a part.

    Raises:
        TypeError: for anything but a picture, a video or a file.
    """
    match part:
        case Image():
            return "image"
        case Video():
            return "video"
        case File():
            return "file"
        case _:
            raise TypeError(f"{type(part).__name__} is not a picture, a video or a file")


def in_pixels(grid: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """Converts a region from the grid to pixels of a picture with this width and height."""
    x1, y1, x2, y2 = grid
    return tuple(round(v * side / GRID) for v, side in ((x1, width), (y1, height), (x2, width), (y2, height)))  # type: ignore[return-value]  # four numbers


@public_class
@dataclass(frozen=True, slots=True)
class Box:
    """A region the model pointed at.

    Attributes:
        grid: x1, y1, x2, y2 in the model's own grid, 0 to 1000 over the picture's width and height.
        pixels: the same region in pixels of the original picture. If the request has several
            pictures, the option `boxes_of` is the index of this picture. None if there is no such picture or its size
            is not known. The method `on` returns the region in pixels of any picture.
        image: the index in the request of the picture to which `pixels` refers; None if `pixels` is None.
    """

    grid: tuple[int, int, int, int]
    pixels: tuple[int, int, int, int] | None = None
    image: int | None = None

    def on(self, picture: Image) -> tuple[int, int, int, int]:
        """The region in pixels of a picture: x1, y1, x2, y2.

        Raises:
            InvalidRequestError: the picture is a URL, so its size is not known.
        """
        if not (picture.width and picture.height):
            raise InvalidRequestError(
                f"The size in pixels of {picture!r} is not known: only the platform fetches the URL."
            )
        return in_pixels(self.grid, picture.width, picture.height)


@public_class
@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of a call, as the platform counted them.

    `total_tokens` may differ from the sum of `prompt_tokens` and `completion_tokens`.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


@public_class
@dataclass(slots=True)
class ToolCallDelta:
    """A piece of a tool call. `index` counts calls from 0 without gaps. Only the first piece has `id` and `name`."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@public_class
@dataclass(slots=True)
class Delta:
    """A piece of an answer.

    The last delta of a stream has `last=True` and no text. Only the last delta has `finish_reason`, `usage`, `notes`,
    `boxes` and `attempts`, even if the server repeats them in several chunks. `raw` is the chunk as received.
    `replaces` is True for a delta that replaces all deltas before it. Such a delta begins a second answer, or corrects
    the stream of a server that sent reasoning as text. Only streams with `may_replace=True` have such deltas.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCallDelta] = ()
    id: str | None = None
    model: str | None = None
    request_id: str | None = None
    created: int | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False)
    last: bool = False
    finish_reason: str | None = None
    usage: Usage | None = None
    content_filter: list[dict[str, Any]] | None = None
    web_search: list[dict[str, Any]] | None = None
    boxes: tuple[Box, ...] = ()
    notes: tuple[str, ...] = ()
    attempts: int = 1
    replaces: bool = False


@public_class
@dataclass(slots=True)
class Completion:
    """A whole answer.

    Attributes:
        text: the visible answer.
        reasoning: the model's reasoning, "" when the server sent none.
        tool_calls: the function calls that the model asks for.
        finish_reason: as the platform sent it: "stop", "length", "tool_calls", "sensitive", ...
        usage: tokens, or None when the platform sent none.
        id, request_id, created, model: as the platform sent them; `model` may differ from the requested one.
        content_filter: entries with `role` and `level`, if the platform filtered content.
        web_search: results of the platform's web search, as the platform sent them.
        boxes: regions of pictures that the answer's text contains as coordinates.
        notes: what the client changed or left out, and other remarks, one line each.
        attempts: number of requests that were sent for this call.
        raw: the body as received; for a stream, its last chunk.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str | None = None
    usage: Usage | None = None
    id: str | None = None
    model: str | None = None
    request_id: str | None = None
    created: int | None = None
    content_filter: list[dict[str, Any]] | None = None
    web_search: list[dict[str, Any]] | None = None
    boxes: tuple[Box, ...] = ()
    notes: tuple[str, ...] = ()
    attempts: int = 1
    raw: dict[str, Any] = field(default_factory=dict, repr=False)

    def message(self) -> Message:
        """The answer as an assistant message, for the next turn."""
        return Message("assistant", self.text, tool_calls=self.tool_calls, reasoning=self.reasoning or None)

    def as_delta(self) -> Delta:
        """The whole answer as a stream of one delta, so that adapters need only one conversion."""
        return Delta(
            text=self.text,
            reasoning=self.reasoning,
            tool_calls=[ToolCallDelta(i, c.id, c.name, c.arguments) for i, c in enumerate(self.tool_calls)],
            last=True,
            **dict(zip(_SHARED, _shared_of(self), strict=True)),
        )


# Fields of both `Delta` and `Completion`, in the order of `Completion`.
_SHARED = (
    "finish_reason", "usage", "id", "model", "request_id", "created",
    "content_filter", "web_search", "boxes", "notes", "attempts", "raw",
)  # fmt: skip
_shared_of = attrgetter(*_SHARED)


@public_class
class Accumulator:
    """Collects deltas. It has the text so far at any time, and the completion at the end.

    A delta with `replaces=True` discards all deltas before it.
    """

    __slots__ = ("_calls", "_first", "_last", "_reasoning", "_text")

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._calls: list[tuple[list[str], list[str]]] = []  # id and name, and pieces of the arguments
        self._first: Delta | None = None
        self._last: Delta | None = None

    def add(self, delta: Delta) -> None:
        """Add a delta."""
        if delta.replaces:
            self._clear()
        if delta.text:
            self._text.append(delta.text)
        if delta.reasoning:
            self._reasoning.append(delta.reasoning)
        for piece in delta.tool_calls:
            while len(self._calls) <= piece.index:
                self._calls.append((["", ""], []))
            identity, arguments = self._calls[piece.index]
            identity[0] = identity[0] or piece.id
            identity[1] = identity[1] or piece.name
            if piece.arguments:
                arguments.append(piece.arguments)
        if self._first is None:
            self._first = delta
        if delta.last:
            self._last = delta

    @property
    def text(self) -> str:
        """The visible text so far."""
        if len(self._text) > 1:
            self._text[:] = ["".join(self._text)]
        return self._text[0] if self._text else ""

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        if len(self._reasoning) > 1:
            self._reasoning[:] = ["".join(self._reasoning)]
        return self._reasoning[0] if self._reasoning else ""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far; the arguments of the last one may be incomplete."""
        for _, arguments in self._calls:
            if len(arguments) > 1:
                arguments[:] = ["".join(arguments)]
        return tuple(ToolCall(i, name, arguments[0] if arguments else "{}") for (i, name), arguments in self._calls)

    def completion(self) -> Completion:
        """The answer so far. A value that the last delta lacks, such as the id, comes from the first delta."""
        first, last = self._first, self._last or self._first
        if first is None or last is None:
            return Completion()
        pairs = zip(_shared_of(last), _shared_of(first), strict=True)
        facts = [earlier if fact is None else fact for fact, earlier in pairs]
        return Completion(self.text, self.reasoning, self.tool_calls, *facts)
