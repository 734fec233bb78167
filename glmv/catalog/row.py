"""What a catalogue row holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from glmv._public import public_class
from glmv.catalog.processor import Processor

MIB = 1024 * 1024  # bytes; the platform's documents say "MB"
MILLION = 1_000_000
CHAT = "/chat/completions"

Currency = Literal["CNY", "USD"]

# What the platform is paid in, by the end of its hosts' names.
_PAID_IN: dict[str, Currency] = {"bigmodel.cn": "CNY", "z.ai": "USD"}


def currency_at(base_url: str) -> Currency | None:
    """What is paid in at a server; None for one that is not the platform's, whose prices nobody here knows."""
    host = urlsplit(base_url).hostname or ""
    return next((paid for end, paid in _PAID_IN.items() if host == end or host.endswith(f".{end}")), None)


@public_class
@dataclass(frozen=True, slots=True)
class Rates:
    """What a million tokens cost. `cached` is for those of the prompt that the platform had in its cache."""

    input: float
    output: float
    cached: float | None = None

    def amount(self, prompt: int, answer: int, cached: int = 0) -> float:
        """What a call cost, by its tokens; `cached` are those of the prompt that the platform had in its cache."""
        again = min(cached, prompt) if self.cached is not None else 0
        spent = (prompt - again) * self.input + again * (self.cached or 0) + answer * self.output
        return spent / MILLION


@public_class
@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, as it was listed on a day. Prices change: the platform's own page holds.

    Attributes:
        input, output: of tokens of the prompt and the answer.
        cached: of those of the prompt that the platform had in its cache; None where no price of its own is listed.
        currency, date, source: of the listed price.
        long: what all tokens cost when the prompt has `long_from` or more; None where that is the same.
        any_server: whether it holds at whatever server, as where a name itself says that the model is free.
    """

    input: float
    output: float
    currency: Currency
    date: str
    source: str
    cached: float | None = None
    long: Rates | None = None
    long_from: int = 32_000  # "32K" of bigmodel.cn/pricing, which counts in thousands
    any_server: bool = False

    @property
    def free(self) -> bool:
        """Whether it costs nothing."""
        return self.input == self.output == 0

    def amount(self, prompt: int, answer: int, cached: int = 0) -> float:
        """What a call cost, by its tokens; `cached` are those of the prompt that the platform had in its cache."""
        long = self.long if prompt >= self.long_from else None
        return (long or Rates(self.input, self.output, self.cached)).amount(prompt, answer, cached)


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
        endpoint: the path under the base URL that it answers at; see `chats`.
        context: tokens of prompt and answer together.
        max_output, default_output: tokens of the answer, thinking included.
        roles: of messages. Without "system", its text goes in front of the first user text.
        string_content: whether a user's content may be a plain string; if not, it is sent as a list of parts.
        images, videos, files: how many of them a request may hold.
        images_sure, output_sure: what every document allows, where `images` or `max_output` is the widest reading.
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
        prices: of a million tokens, in each currency in which one is listed; see `price_at` and `price_in`.
        processor: what counts the tokens of pictures and videos; None where no preprocessing is published.
        doubts: where documents disagree, each line begins with the field's name.
    """

    name: str
    source: str
    status: Literal["active", "legacy", "preview"] = "active"
    endpoint: str = CHAT
    context: int | None = None
    max_output: int | None = None
    output_sure: int | None = None
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
    prices: tuple[Price, ...] = ()
    processor: Processor | None = None
    doubts: tuple[str, ...] = ()

    @property
    def chats(self) -> bool:
        """Whether it takes chat completions; a model with another endpoint is refused with a word on it."""
        return self.endpoint == CHAT

    @property
    def sees(self) -> bool:
        """Whether it takes pictures in chat."""
        return self.images != 0 and self.chats

    def price_in(self, currency: str) -> Price | None:
        """The price that is listed in a currency, "CNY" or "USD"; None where none is known."""
        return next((price for price in self.prices if price.currency == currency), None)

    def price_at(self, base_url: str) -> Price | None:
        """The price at a server: bigmodel.cn is paid in CNY, z.ai in USD; None elsewhere, and where none is known.

        What is free by its name ("z-ai/glm-4.6v:free") is free at every server.
        """
        return next((price for price in self.prices if price.any_server), self.price_in(currency_at(base_url) or ""))

    def doubt(self, field: str) -> str | None:
        """What documents disagree about in this field, or None."""
        return next((told.partition(": ")[2] for told in self.doubts if told.startswith(f"{field}: ")), None)
