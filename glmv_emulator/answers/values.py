"""What an answer is made from, and what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from glmv_emulator.eyes import SeenImage, SeenVideo


@dataclass(frozen=True, slots=True)
class Medium:
    """A picture, video or file of the conversation.

    ``message`` and ``part`` are its place: the message's index and the part's index within its content.
    ``seen`` is None when nobody looked at it, as at a URL that the emulator does not fetch.
    """

    kind: Literal["image", "video", "file"]
    message: int
    part: int
    url: str | None
    seen: SeenImage | SeenVideo | None
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Ask:
    """A whole request, as far as an answer depends on it. ``messages`` are as they came on the wire."""

    messages: list[dict[str, Any]]
    media: list[Medium]
    tools: list[dict[str, Any]]
    response_format: dict[str, Any] | None
    thinking: bool
    model: str
    vision: bool
    seed: int
    stubborn: bool


@dataclass(frozen=True, slots=True)
class Call:
    """A tool that is to be called, with arguments that are valid against its JSON Schema.

    Arguments are a str only where an upstream model wrote what is no JSON object.
    """

    name: str
    arguments: dict[str, Any] | str


@dataclass(frozen=True, slots=True)
class Reply:
    """What the model says, what it thought (empty without thinking) and which tools it calls."""

    text: str
    reasoning: str
    calls: list[Call]
