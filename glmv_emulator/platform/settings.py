"""The settings of an emulator, and the doubts: limits on which sources disagree. The setting `strict` resolves them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar

Era = Literal["2024", "2025", "2026"]
T = TypeVar("T")

# If public sources disagree, the emulator uses the reading that allows more, unless `strict` contains the doubt's name.
DOUBTS = {
    "base64": "a data: URI in image_url or video_url is refused with 1210; the documents show only raw base64",
    "output-2024": "glm-4v and glm-4v-plus write at most 1024 tokens; another page says 4095",
    "output-4.1v": "glm-4.1v-thinking-flash writes at most 16384 tokens; another page says 32768",
    "images-50": "glm-4.6v and glm-5v-turbo take at most 50 pictures; another page says 150",
    "video-mp4": "the only video format is mp4; newer pages add mkv and mov",
    "stop-one": "at most one stop word, in a list; newer pages say four, and OpenAI clients send a string",
    "request-id-6": "request_id has at least 6 characters; docs.bigmodel.cn only requires that it is unique",
    "system-2025": "glm-4v-flash and glm-4v-plus-0111 take only user and assistant messages; user content is a list",
    "tools-4.5v": "glm-4.5v takes no tools; they are absent from its schema",
    "file-part": "only glm-5.3-flash takes the part `file`; another page calls `file` compatible with file_url",
    "context-flash": "glm-4v-flash has a context of 16K tokens; another page says 128K",
    "range-open": "temperature and top_p are above 0 and below 1; the values 0 and 1 are refused",
    "detail": "image_url has only the field url; a shipped application also sends the field detail",
    "tool-turns": "vision models take no tool messages and no tool_calls in messages; their schema lacks both",
    "video-base64": "video_url takes only a URL; older examples send base64",
    "arguments-object": "the arguments of a tool call are an object, as in the schema, and not a string",
    "fields": "/v1 refuses with 422 a body that has fields unknown to OpenAI's API, like strict servers",
    "content-array": "vision models answer with content as a list of text parts, as the schema allows",
}


def check_seconds(name: str, value: object) -> None:
    """Raise ValueError unless the value is a finite number of seconds, 0 or more."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a number of seconds, 0 or more; got {value!r}")


def check_count(name: str, value: object, least: int) -> None:
    """Raise ValueError unless the value is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer, {least} or more; got {value!r}")


# bigmodel.cn docs: a video has at most 200 MB, which is 267 MB in base64; the rest of a body is small.
LARGEST_BODY = 300 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Doubt(Generic[T]):
    """A limit on which sources disagree."""

    name: str
    loose: T
    strict: T

    def __post_init__(self) -> None:
        if self.name not in DOUBTS:
            raise ValueError(f"DOUBTS does not list the doubt {self.name!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of an emulator. `pace` is the seconds between two chunks of a stream, `clock_offset` is in seconds.

    `any_key` is whether `/v1` accepts any key, like servers that run without a key.
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
            raise ValueError(f"era must be '2024', '2025' or '2026'; got {self.era!r}")
        if unknown := self.strict - DOUBTS.keys():
            raise ValueError(f"strict has unknown doubts {sorted(unknown)}; the doubts are {sorted(DOUBTS)}")
        check_seconds("pace", self.pace)
        for name, least in (("async_polls", 0), ("largest_body", 1)):
            check_count(name, getattr(self, name), least)
        if not isinstance(self.seed, int):
            raise TypeError(f"seed must be an integer; got {self.seed!r}")
        for model, most in self.concurrency.items():
            check_count(f"concurrency of {model}", most, 0)

    def read(self, value: T | Doubt[T]) -> T:
        """The value of a limit for this emulator.

        The value of a `Doubt` is its strict value if the setting `strict` names the doubt, else its loose value.
        """
        if not isinstance(value, Doubt):
            return value
        return value.strict if value.name in self.strict else value.loose


def answered_by(upstream: str | None) -> str:
    """A sentence about the source of the answers, for the commands and the page.

    Args:
        upstream: the address of the upstream server; None if there is none.
    """
    if upstream is None:
        return "it gives scripted answers, or says what it measured in a picture; it is not GLM-4V"
    return f"its answers come from {upstream}; the emulator is not GLM-4V"
