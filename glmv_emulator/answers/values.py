"""The types of a request (`Ask`) and of an answer (`Reply`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:  # Pillow is loaded when an emulator starts
    from glmv_emulator.eyes import SeenImage, SeenVideo

GRID = 1000
USAGE = ("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens")


@dataclass(frozen=True, slots=True)
class Medium:
    """A picture, video or file of the conversation.

    Attributes:
        kind: "image", "video" or "file".
        message: the index of its message.
        part: its index within that message's content.
        url: its URL, if it was sent by URL.
        seen: its measurements, for the default rules; None for a file, and for a URL outside of the emulator, which is
            not fetched.
        data: its bytes, if they are known.
    """

    kind: Literal["image", "video", "file"]
    message: int
    part: int
    url: str | None
    seen: SeenImage | SeenVideo | None
    data: bytes | None

    @property
    def width(self) -> int | None:
        """Width in pixels as displayed; None if it was not measured."""
        return None if self.seen is None else self.seen.width

    @property
    def height(self) -> int | None:
        """Height in pixels as displayed; None if it was not measured."""
        return None if self.seen is None else self.seen.height

    @property
    def seconds(self) -> float | None:
        """Duration of a video in seconds; None for pictures and files, or if it is unknown."""
        return getattr(self.seen, "duration", None) or None

    @property
    def colours(self) -> tuple[str, ...]:
        """Names of the main colours, the largest share first; for a video, those of its first frame."""
        return () if self.seen is None else tuple(colour.name for colour in self.seen.colours)

    @property
    def text(self) -> str:
        """The words and codes in a picture; "" without the extra `eyes`. Slow at first use."""
        from glmv_emulator.eyes.sheet import sheet_of

        sheet = sheet_of(self.data) if self.kind == "image" and self.seen is not None else None
        return "" if sheet is None else sheet.text()


@dataclass(frozen=True, kw_only=True)
class Ask:
    """The parts of a request that an answer can depend on.

    Attributes:
        model: the model's name, in lower case.
        kind: "chat", "task" (asynchronous) or "batch" (one line of a batch).
        messages: the messages, unchanged.
        media: the pictures, videos and files in the messages, in order.
        tools: the tools, unchanged.
        tool_choice: the request's value on `/v1`; None on the platform's own API, which ignores it.
        response_format: the request's value on `/v1` and for text models; None for other requests, which ignore it.
        thinking: whether the model should think.
        stream: whether the answer is streamed.
        seed: the request's seed, else the emulator's.
        stubborn: the emulator's setting `stubborn`.
        body: the whole body, unchanged.
    """

    messages: Sequence[Mapping[str, Any]] = ()
    media: Sequence[Medium] = ()
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: Any = None
    response_format: Mapping[str, Any] | None = None
    thinking: bool = False
    stream: bool = False
    model: str = "glm-4.6v"
    kind: Literal["chat", "task", "batch"] = "chat"
    seed: int = 0
    stubborn: bool = False
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The text of the newest user message that has text."""
        texts = (text_of(message) for message in reversed(self.messages) if message.get("role") == "user")
        return next((text for text in texts if text.strip()), "")

    @property
    def system(self) -> str:
        """The text of all system messages, with a blank line between them."""
        return "\n\n".join(text_of(m) for m in self.messages if m.get("role") in ("system", "developer"))


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message, whatever form its content has."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "\n".join(text for text in texts if isinstance(text, str))


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool call of an answer.

    Args:
        name: the tool's name; it need not be one of the request's tools.
        arguments: a dict, or a str that is sent unchanged, such as incomplete JSON.

    Raises:
        TypeError, ValueError: the name or the arguments cannot be sent.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"the name of a tool must be a non-empty str; got {self.name!r}")
        if isinstance(self.arguments, str):
            return
        if not isinstance(self.arguments, Mapping):
            raise TypeError(f"the arguments of {self.name} must be a dict or a str; got {self.arguments!r}")
        try:
            json.dumps(self.arguments)
        except (TypeError, ValueError, RecursionError) as problem:
            raise ValueError(f"the arguments of {self.name} are not serializable: {problem}") from None

    @property
    def written(self) -> str:
        """The arguments as they are sent."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of the model.

    Args:
        text: the visible text.
        reasoning: the reasoning; it is sent even if the request turned thinking off.
        tool_calls: the tool calls.
        finish_reason: the finish reason; None means that it follows from tool calls, `max_tokens` and filters.
        usage: token counts by the names prompt_tokens, completion_tokens, cached_tokens and reasoning_tokens; missing
            counts are computed. The total is prompt_tokens + completion_tokens.
        boxes: regions (x1, y1, x2, y2) in the model's grid of 0 to 1000; they follow the text in GLM's form,
            `<|begin_of_box|>[[x1,y1,x2,y2]]<|end_of_box|>`.
        chunking: how a stream is cut: the number of tokens in a delta, or the list of the text's pieces (then `text`
            is their sum and can be left out).

    Raises:
        TypeError, ValueError: a value cannot be sent.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCall] = ()
    finish_reason: str | None = None
    usage: Mapping[str, int] | None = None
    boxes: Sequence[Sequence[int]] = ()
    chunking: int | Sequence[str] | None = None

    def __post_init__(self) -> None:
        for name in ("text", "reasoning"):
            if not isinstance(getattr(self, name), str):
                raise TypeError(f"{name} must be a str; got {getattr(self, name)!r}")
        if self.finish_reason is not None and not (isinstance(self.finish_reason, str) and self.finish_reason):
            raise TypeError(f"finish_reason must be a str or None; got {self.finish_reason!r}")
        calls = _several(self.tool_calls)
        if calls is None or not all(isinstance(one, ToolCall) for one in calls):
            raise TypeError(f"tool_calls must be a list of ToolCall; got {self.tool_calls!r}")
        object.__setattr__(self, "tool_calls", calls)
        self._check_usage()
        self._check_boxes()
        self._check_chunking()

    def _check_usage(self) -> None:
        if self.usage is not None and not isinstance(self.usage, Mapping):
            raise TypeError(f"usage must be a dict of token counts or None; got {self.usage!r}")
        for name, tokens in (self.usage or {}).items():
            if name not in USAGE:
                raise ValueError(f"usage has no field {name!r}. Its fields: {', '.join(USAGE)}")
            if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
                raise ValueError(f"{name} must be a number of tokens; got {tokens!r}")

    def _check_boxes(self) -> None:
        items = _several(self.boxes)
        if items is None:
            raise TypeError(f"boxes must be a list of boxes (x1, y1, x2, y2); got {self.boxes!r}")
        boxes = []
        for one in items:
            box = _several(one)
            if box is None or not _is_box(box):
                raise ValueError(f"a box must be four integers x1, y1, x2, y2 from 0 to {GRID}; got {one!r}")
            boxes.append(box)
        object.__setattr__(self, "boxes", tuple(boxes))

    def _check_chunking(self) -> None:
        match self.chunking:
            case None:
                return
            case int() if not isinstance(self.chunking, bool):
                if self.chunking < 1:
                    raise ValueError(f"chunking must be at least 1 token; got {self.chunking}")
            case _:
                pieces = _several(self.chunking)
                if pieces is None:
                    raise TypeError(f"chunking must be a number of tokens or a list of str; got {self.chunking!r}")
                if not all(isinstance(piece, str) and piece for piece in pieces):
                    raise TypeError(f"the pieces in chunking must be non-empty str; got {self.chunking!r}")
                whole = "".join(pieces)
                if self.text not in ("", whole):
                    raise ValueError(f"the pieces in chunking add up to {whole!r}, but text is {self.text!r}")
                object.__setattr__(self, "chunking", pieces)
                object.__setattr__(self, "text", whole)

    @property
    def content(self) -> str:
        """The text, followed by the boxes, as they are sent."""
        if not self.boxes:
            return self.text
        boxes = ",".join(f"[{','.join(map(str, box))}]" for box in self.boxes)
        return f"{self.text} <|begin_of_box|>[{boxes}]<|end_of_box|>".lstrip()


def _several(value: object) -> tuple[Any, ...] | None:
    """The items of an iterable; None for a text, a dict or a single value."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) else None


def _is_box(box: Sequence[Any]) -> bool:
    if len(box) != 4 or not all(isinstance(side, int) and not isinstance(side, bool) for side in box):
        return False
    left, top, right, bottom = box
    return bool(0 <= left <= right <= GRID and 0 <= top <= bottom <= GRID)


for _public in (Ask, Medium, Reply, ToolCall):
    _public.__module__ = "glmv_emulator"


def joined_text(content: Any) -> str:
    """The text of an answer's content, which is a str or a list of parts; "" for other values."""
    match content:
        case str():
            return content
        case list():
            return "".join(joined_text(part.get("text")) for part in content if isinstance(part, dict))
        case _:
            return ""
