"""What an answer is made from, and what it is."""

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
        url: its address, where it was sent by one.
        seen: all that was measured, for the default rules; None for a file, and where nobody looked, as at an address
            outside of the emulator.
        data: its bytes, where they are known.
    """

    kind: Literal["image", "video", "file"]
    message: int
    part: int
    url: str | None
    seen: SeenImage | SeenVideo | None
    data: bytes | None

    @property
    def width(self) -> int | None:
        """Pixels across, as displayed; None where nobody looked."""
        return None if self.seen is None else self.seen.width

    @property
    def height(self) -> int | None:
        """Pixels down, as displayed; None where nobody looked."""
        return None if self.seen is None else self.seen.height

    @property
    def seconds(self) -> float | None:
        """How long a video lasts; None for pictures and files, and where it is unknown."""
        return getattr(self.seen, "duration", None) or None

    @property
    def colours(self) -> tuple[str, ...]:
        """Names of the main colours, the largest first; of a video those of its first frame."""
        return () if self.seen is None else tuple(colour.name for colour in self.seen.colours)

    @property
    def text(self) -> str:
        """The words and codes that can be read in a picture; "" without the extra `eyes`. The first time takes long."""
        from glmv_emulator.eyes.sheet import sheet_of

        sheet = sheet_of(self.data) if self.kind == "image" and self.seen is not None else None
        return "" if sheet is None else sheet.text()


@dataclass(frozen=True, kw_only=True)
class Ask:
    """A request, as far as an answer depends on it.

    Attributes:
        model: its name, in lower case.
        kind: "chat", "task" (asynchronous) or "batch" (a line of one).
        messages: as they came.
        media: the pictures, videos and files in them, in order.
        tools: as they came.
        tool_choice: as it came, where the server obeys it (`/v1`); None on the platform's own API, which does not.
        response_format: as it came, where the server obeys it (`/v1`, and text models); None otherwise.
        thinking: whether the model is to think.
        stream: whether the answer is to be streamed.
        seed: the request's, else the emulator's.
        stubborn: whether the emulator was made so.
        body: the whole body as it came.
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
        """The text of the newest message of the user that has any."""
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
    """A tool that is called.

    Args:
        name: its name; nobody checks whether it is offered.
        arguments: a dict, or a str that is sent as it is, such as JSON that breaks off.

    Raises:
        TypeError, ValueError: for a name or arguments that cannot be sent.
    """

    name: str
    arguments: Mapping[str, Any] | str = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise TypeError(f"the name of a tool is a str that is not empty, not {self.name!r}")
        if isinstance(self.arguments, str):
            return
        if not isinstance(self.arguments, Mapping):
            raise TypeError(f"the arguments of {self.name} are a dict or a str, not {self.arguments!r}")
        try:
            json.dumps(self.arguments)
        except (TypeError, ValueError, RecursionError) as problem:
            raise ValueError(f"the arguments of {self.name} are no JSON: {problem}") from None

    @property
    def written(self) -> str:
        """The arguments as the wire has them."""
        return self.arguments if isinstance(self.arguments, str) else json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says.

    Args:
        text: the visible text.
        reasoning: what it thought; sent also where the request turned thinking off.
        tool_calls: the tools that it calls.
        finish_reason: why it ends; wins over what follows from tool calls, `max_tokens` and content filters.
        usage: tokens by the names prompt_tokens, completion_tokens, cached_tokens and reasoning_tokens; what is left
            out is counted. The total is the sum of prompt and completion.
        boxes: regions (x1, y1, x2, y2) in the model's grid of 0 to 1000; they follow the text in GLM's form,
            `<|begin_of_box|>[[x1,y1,x2,y2]]<|end_of_box|>`.
        chunking: how a stream is cut: the tokens of one delta, or the pieces of the text one by one (the text is
            their sum, and may be left out).

    Raises:
        TypeError, ValueError: for a value that cannot be sent.
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
                raise TypeError(f"{name} is a str, not {getattr(self, name)!r}")
        if self.finish_reason is not None and not (isinstance(self.finish_reason, str) and self.finish_reason):
            raise TypeError(f"finish_reason is a str or None, not {self.finish_reason!r}")
        calls = _several(self.tool_calls)
        if calls is None or not all(isinstance(one, ToolCall) for one in calls):
            raise TypeError(f"tool_calls is a list of ToolCall, not {self.tool_calls!r}")
        object.__setattr__(self, "tool_calls", calls)
        self._check_usage()
        self._check_boxes()
        self._check_chunking()

    def _check_usage(self) -> None:
        if self.usage is not None and not isinstance(self.usage, Mapping):
            raise TypeError(f"usage is a dict of tokens or None, not {self.usage!r}")
        for name, tokens in (self.usage or {}).items():
            if name not in USAGE:
                raise ValueError(f"usage has no {name!r}; it has {', '.join(USAGE)}")
            if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
                raise ValueError(f"{name} is a number of tokens, not {tokens!r}")

    def _check_boxes(self) -> None:
        given = _several(self.boxes)
        if given is None:
            raise TypeError(f"boxes is a list of boxes (x1, y1, x2, y2), not {self.boxes!r}")
        boxes = []
        for one in given:
            box = _several(one)
            if box is None or not _is_box(box):
                raise ValueError(f"a box is x1, y1, x2, y2 in whole numbers of 0 to {GRID}, not {one!r}")
            boxes.append(box)
        object.__setattr__(self, "boxes", tuple(boxes))

    def _check_chunking(self) -> None:
        match self.chunking:
            case None:
                return
            case int() if not isinstance(self.chunking, bool):
                if self.chunking < 1:
                    raise ValueError(f"a delta has at least one token, not {self.chunking}")
            case _:
                pieces = _several(self.chunking)
                if pieces is None:
                    raise TypeError(f"chunking is a number of tokens or a list of str, not {self.chunking!r}")
                if not all(isinstance(piece, str) and piece for piece in pieces):
                    raise TypeError(f"the pieces of a text are str that are not empty, not {self.chunking!r}")
                whole = "".join(pieces)
                if self.text not in ("", whole):
                    raise ValueError(f"the pieces add up to {whole!r} and not to the text {self.text!r}")
                object.__setattr__(self, "chunking", pieces)
                object.__setattr__(self, "text", whole)

    @property
    def content(self) -> str:
        """The text and the boxes behind it, as the wire has them."""
        if not self.boxes:
            return self.text
        boxes = ",".join(f"[{','.join(map(str, box))}]" for box in self.boxes)
        return f"{self.text} <|begin_of_box|>[{boxes}]<|end_of_box|>".lstrip()


def _several(value: object) -> tuple[Any, ...] | None:
    """The values in a list, or in whatever else can be gone through once; None for a text, a dict or one value."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping) else None


def _is_box(box: Sequence[Any]) -> bool:
    if len(box) != 4 or not all(isinstance(side, int) and not isinstance(side, bool) for side in box):
        return False
    left, top, right, bottom = box
    return bool(0 <= left <= right <= GRID and 0 <= top <= bottom <= GRID)


for _public in (Ask, Medium, Reply, ToolCall):
    _public.__module__ = "glmv_emulator"


def joined_text(content: Any) -> str:
    """The text of an answer's content, a str or a list of parts; "" for anything else."""
    match content:
        case str():
            return content
        case list():
            return "".join(joined_text(part.get("text")) for part in content if isinstance(part, dict))
        case _:
            return ""
