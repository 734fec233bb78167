"""The types of a catalogue row."""

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

# The currency of the platform's prices, by the end of the host name.
_PAID_IN: dict[str, Currency] = {"bigmodel.cn": "CNY", "z.ai": "USD"}


def currency_at(base_url: str) -> Currency | None:
    """The currency of a server's prices; None for a server that is not the platform's: its prices are unknown."""
    host = urlsplit(base_url).hostname or ""
    return next((currency for end, currency in _PAID_IN.items() if host == end or host.endswith(f".{end}")), None)


@public_class
@dataclass(frozen=True, slots=True)
class Rates:
    """Prices per million tokens, in the currency of the `Price` that they belong to.

    `cached` is the price of prompt tokens that the platform had in its cache; None if no such price is listed.
    """

    input: float
    output: float
    cached: float | None = None

    def amount(self, prompt: int, answer: int, cached: int = 0) -> float:
        """The cost of a call. All arguments are numbers of tokens; `cached` is the part of `prompt` that was cached."""
        reused = min(cached, prompt) if self.cached is not None else 0
        spent = (prompt - reused) * self.input + reused * (self.cached or 0) + answer * self.output
        return spent / MILLION


@public_class
@dataclass(frozen=True, slots=True)
class Price:
    """The prices per million tokens, as listed on a date. Prices change: the platform's page is authoritative.

    Attributes:
        input, output: price of prompt tokens and of answer tokens.
        cached: price of prompt tokens that the platform had in its cache; None when no such price is listed.
        currency, date, source: the currency, the date and the page of the listed price.
        long: the prices of all tokens if the prompt has `long_from` tokens or more; None when none are listed.
        any_server: whether this price applies at every server, as for a model whose name ends with ":free".
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
        """Whether a call costs nothing."""
        return self.input == self.output == 0

    def amount(self, prompt: int, answer: int, cached: int = 0) -> float:
        """The cost of a call. All arguments are numbers of tokens; `cached` is the part of `prompt` that was cached."""
        long = self.long if prompt >= self.long_from else None
        return (long or Rates(self.input, self.output, self.cached)).amount(prompt, answer, cached)


@public_class
@dataclass(frozen=True, slots=True)
class Model:
    """One model of the platform, with its limits as documented.

    None means that a limit is not documented, so no request is refused for it. 0 or () means that the model does not
    accept such content. If documents disagree, the row has the widest limit and `doubts` names the others.

    Attributes:
        name: the name in requests.
        source: where the values are documented.
        status: "active", "legacy" (no longer offered to new users) or "preview".
        endpoint: the path of its endpoint under the base URL; see `chats`.
        context: tokens of prompt and answer together.
        max_output, default_output: tokens of the answer, thinking included.
        roles: the roles of messages. Without "system", system text is put in front of the first user text.
        string_content: whether a user's content may be a plain string; if not, it is sent as a list of parts.
        images, videos, files: the most of each in a request.
        images_sure, output_sure: the values that all documents allow, if they disagree about `images` or `max_output`.
        image_bytes, image_side, image_formats: the limits of one picture (side in pixels).
        image_base64, video_base64: whether a request may contain the data; if not, it may contain only a URL.
        video_bytes, video_seconds, video_formats: the limits of one video.
        video_first: whether a video has to come before the text.
        mixed_media: whether one request may have pictures, videos and files.
        file_bytes: the most bytes of one file; `file_forms`: the ways to send it: "url", "data", "id".
        thinking: "no", "switch" (on by default) or "always".
        thinking_values: values of `thinking.type` in the request body.
        reasoning_effort: values of the option `reasoning_effort`.
        tools: the most tools; `tool_types`: values of a tool's `type`.
        response_format: whether JSON mode is documented.
        stop: how many stop words are sent; the client cuts the answer at the others.
        temperature, top_p: lowest and highest value; `default_temperature` and `default_top_p` are the defaults.
        concurrency: concurrent requests of an account of the lowest level.
        batch: whether the platform's guide to batches names the model.
        prices: one for each currency in which a price is listed; see `price_at` and `price_in`.
        processor: counts the tokens of pictures and videos; None when no preprocessing is published.
        doubts: where documents disagree; each line begins with the name of a field.
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
        """Whether this is a chat model. If not, a chat with it is refused, and the error names its endpoint."""
        return self.endpoint == CHAT

    @property
    def sees(self) -> bool:
        """Whether the model accepts pictures in chat."""
        return self.images != 0 and self.chats

    def price_in(self, currency: str) -> Price | None:
        """The price in a currency, "CNY" or "USD"; None when it is unknown."""
        return next((price for price in self.prices if price.currency == currency), None)

    def price_at(self, base_url: str) -> Price | None:
        """The price at a server: in CNY at bigmodel.cn, in USD at z.ai; None elsewhere, and when it is unknown.

        A model that is free by its name ("z-ai/glm-4.6v:free") is free at every server.
        """
        return next((price for price in self.prices if price.any_server), self.price_in(currency_at(base_url) or ""))

    def doubt(self, field: str) -> str | None:
        """How documents disagree about a field, or None."""
        return next((line.partition(": ")[2] for line in self.doubts if line.startswith(f"{field}: ")), None)
