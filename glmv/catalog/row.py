"""What a catalogue row holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from glmv._public import public_class

MIB = 1024 * 1024  # bytes; the platform's documents say "MB"


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, as it was listed on a day. Prices change: the platform's own page holds."""

    input: float
    output: float
    currency: Literal["CNY", "USD"]
    date: str
    source: str


@public_class
@dataclass(frozen=True, slots=True)
class Model:
    """One model of the platform: what its documents say it takes.

    None means: not documented, so nothing is refused for it. 0 or () means: documented as not taken.
    Where documents disagree the widest reading stands here and `doubts` names the others.

    Attributes:
        name: as it goes on the wire.
        source: where the row comes from.
        status: "active", "legacy" (no longer offered to new users) or "preview".
        context: tokens of prompt and answer together.
        max_output, default_output: tokens of the answer, thinking included.
        roles: of messages. Without "system", its text goes in front of the first user text.
        string_content: whether a user's content may be a plain string; if not, it is sent as a list of parts.
        images, videos, files: how many of them a request may hold.
        images_sure: pictures that every document allows, where `images` is the widest reading.
        image_bytes, image_side, image_formats: of one picture (side in pixels).
        image_base64, video_base64: whether it may be sent inside the request, or by URL only.
        video_bytes, video_seconds, video_formats: of one video.
        video_first: whether a video has to come before the text.
        mixed_media: whether pictures, videos and files may stand in one request.
        file_bytes: of one file; `file_forms`: "url", "data", "id".
        thinking: "no", "switch" (on unless switched off) or "always".
        thinking_values: what `thinking.type` takes on the wire.
        reasoning_effort: what that takes.
        tools: functions at most; `tool_types`: what a tool's `type` may be.
        response_format: whether JSON mode is documented.
        stop: stop words that the platform takes; the rest is cut on our side.
        temperature, top_p: lowest and highest value; with their defaults.
        concurrency: requests under way at once, for an account of the lowest level.
        batch: whether the platform's guide to batches names it among the models that they take.
        price: of a million tokens.
        doubts: where documents disagree, each line begins with the field's name.
    """

    name: str
    source: str
    status: Literal["active", "legacy", "preview"] = "active"
    context: int | None = None
    max_output: int | None = None
    default_output: int | None = None
    roles: tuple[str, ...] = ("system", "user", "assistant", "tool")
    string_content: bool = True
    images: int | None = 0
    images_sure: int | None = None
    image_bytes: int | None = None
    image_side: int | None = None
    image_formats: tuple[str, ...] = ()
    image_base64: bool = True
    videos: int | None = 0
    video_bytes: int | None = None
    video_seconds: float | None = None
    video_formats: tuple[str, ...] = ()
    video_base64: bool = True
    video_first: bool = False
    mixed_media: bool = False
    files: int | None = 0
    file_bytes: int | None = None
    file_forms: tuple[str, ...] = ()
    thinking: Literal["no", "switch", "always"] = "no"
    thinking_values: tuple[str, ...] = ()
    reasoning_effort: tuple[str, ...] = ()
    tools: int = 0
    tool_types: tuple[str, ...] = ()
    response_format: bool = False
    stop: int = 1
    temperature: tuple[float, float] = (0.0, 1.0)
    default_temperature: float | None = None
    top_p: tuple[float, float] = (0.0, 1.0)
    default_top_p: float | None = None
    concurrency: int | None = None
    batch: bool | None = None
    price: Price | None = None
    doubts: tuple[str, ...] = ()

    @property
    def sees(self) -> bool:
        """Whether it takes pictures."""
        return self.images != 0

    def doubt(self, field: str) -> str | None:
        """What documents disagree about in this field, or None."""
        return next((told.partition(": ")[2] for told in self.doubts if told.startswith(f"{field}: ")), None)
