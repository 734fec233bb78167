"""What an emulator can be told at its start, and the doubts between which it can be told to choose."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

Era = Literal["2024", "2025", "2026"]
T = TypeVar("T")

# Where public sources disagree, the emulator takes the reading that allows more, unless told `strict={name}`.
DOUBTS = {
    "base64": "a data: URI in image_url or video_url is refused with 1210; the documents show raw base64 only",
    "output-2024": "glm-4v and glm-4v-plus write at most 1024 tokens; another page says 4095",
    "output-4.1v": "glm-4.1v-thinking-flash writes at most 16384 tokens; another page says 32768",
    "images-50": "glm-4.6v and glm-5v-turbo take at most 50 pictures; another page says 150",
    "video-mp4": "videos are mp4 only; newer pages add mkv and mov",
    "stop-one": "one stop word at most and in a list; newer pages say four, and OpenAI clients send a string",
    "request-id-6": "request_id has 6 characters or more; docs.bigmodel.cn asks for a unique one only",
    "system-2025": "glm-4v-flash and glm-4v-plus-0111 take user and assistant turns only, and lists as content",
    "tools-4.5v": "glm-4.5v takes no tools; they are absent from its schema",
    "file-part": "the part `file` is for glm-5.3-flash only; another page calls it compatible with the older file_url",
    "context-flash": "glm-4v-flash reads 16K tokens; another page says 128K",
    "range-open": "temperature and top_p lie between 0 and 1, and are not 0 or 1 themselves",
    "detail": "image_url has a url and nothing else; a shipped application sends detail too",
    "tool-turns": "vision models take no tool messages and no tool_calls in messages; their schema lacks both",
    "video-base64": "video_url takes a URL only; older examples send base64",
    "arguments-object": "tool calls are answered with arguments as an object, as the schema has it, not as a string",
    "fields": "/v1 refuses the fields of a body that OpenAI's request has not, with 422, as strict servers do",
    "content-array": "vision models answer with content as a list of text parts, as the schema allows",
}


def check_seconds(name: str, value: object) -> None:
    """Raise ValueError for what is no time from 0 s on."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} is a number of seconds from 0 on, not {value!r}")


def check_count(name: str, value: object, least: int) -> None:
    """Raise ValueError for what is no whole number from `least` on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} is a whole number from {least} on, not {value!r}")


# bigmodel.cn docs, video of 200 MB at most; in base64 that is 267 MB, and the rest of a body is small beside it.
LARGEST_BODY = 300 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Doubt(Generic[T]):
    """A limit that sources state differently."""

    name: str
    loose: T
    strict: T

    def __post_init__(self) -> None:
        if self.name not in DOUBTS:
            raise ValueError(f"the doubt {self.name!r} is not listed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How this emulator behaves. `pace` is in seconds between two chunks of a stream, `clock_offset` in seconds.

    `any_key` says whether `/v1` takes any key, as servers do that run without one.
    """

    era: Era = "2026"
    strict: frozenset[str] = frozenset()
    seed: int = 0
    stubborn: bool = False
    pace: float = 0.0
    concurrency: Mapping[str, int] = field(default_factory=dict)
    async_polls: int = 1
    largest_body: int = LARGEST_BODY
    clock_offset: float = 0.0
    any_key: bool = True

    def __post_init__(self) -> None:
        if self.era not in ("2024", "2025", "2026"):
            raise ValueError(f"era is '2024', '2025' or '2026', not {self.era!r}")
        if unknown := self.strict - DOUBTS.keys():
            raise ValueError(f"strict names no doubt of ours: {sorted(unknown)}; they are {sorted(DOUBTS)}")
        check_seconds("pace", self.pace)
        for name, least in (("async_polls", 0), ("largest_body", 1)):
            check_count(name, getattr(self, name), least)
        if not isinstance(self.seed, int):
            raise TypeError(f"seed is a whole number, not {self.seed!r}")
        for model, most in self.concurrency.items():
            check_count(f"concurrency of {model}", most, 0)

    def read(self, value: T | Doubt[T]) -> T:
        """The reading of a limit that holds here."""
        if not isinstance(value, Doubt):
            return value
        return value.strict if value.name in self.strict else value.loose


def answered_by(upstream: str | None) -> str:
    """Where the answers of an emulator come from, in one sentence for its commands and its page.

    Args:
        upstream: the address of the server that answers; None where the emulator answers itself.
    """
    if upstream is None:
        return "it answers what it measures in pictures, or as scripted; it is not GLM-4V"
    return f"its answers come from {upstream}; it is not GLM-4V"
