"""The emulator's own reading of the platform's model pages, from `models.toml` beside this file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from glmv_emulator.platform.settings import Doubt

MB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSampling:
    """How a video is cut into frames.

    `rates` are (seconds, frames of each second) for a video of so many seconds at most; a longer one counts as the
    last of them. `frames` and `tokens` are the most that a video comes to.
    """

    rates: tuple[tuple[float, float], ...]
    frames: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What one model takes. `source` is a page of the platform; the file has the sources of single values.

    None for `context` or `video_seconds` means that no source states it, so it is not checked.
    """

    name: str
    source: str
    kind: Literal["vision", "text", "embedding"]
    context: int | Doubt[int] | None = None
    default_output: int
    output: int | Doubt[int]
    images: int | Doubt[int]
    base64: bool
    videos: int
    video_bytes: int
    video_seconds: float | None = None
    video_formats: frozenset[str] | Doubt[frozenset[str]]
    video_first: bool
    files: int
    file_part: bool | Doubt[bool]
    file_id: bool
    turns_only: bool | Doubt[bool]
    tools: bool | Doubt[bool]
    thinking: Literal["no", "switch", "always"]
    refuses_thinking_off: bool
    lowest_top_p: float
    picture_cap: int
    video_sampling: VideoSampling
    asynchronous: bool
    batch: bool
    tool_stream: bool
    dimensions: tuple[int, ...]


def _value(name: str, written: Any) -> Any:
    """A field's value as it is written in the file -> the value of the row."""
    match name, written:
        case _, {"doubt": doubt, "loose": loose, "strict": strict}:
            return Doubt(doubt, loose=_value(name, loose), strict=_value(name, strict))
        case "video_formats", list():
            return frozenset(written)
        case "dimensions", list():
            return tuple(written)
        case "video_sampling", dict():
            return VideoSampling(**written | {"rates": tuple((most, rate) for most, rate in written["rates"])})
        case _:
            return written


def _row(name: str, fields: dict[str, Any]) -> Model:
    given = {field: _value(field, written) for field, written in fields.items() if field not in ("names", "video_mib")}
    return Model(name=name, video_bytes=fields["video_mib"] * MB, **given)


_FILE = tomllib.loads(resources.files("glmv_emulator.platform").joinpath("models.toml").read_text("utf-8"))
MODELS = {name: _row(name, _FILE["defaults"] | fields) for fields in _FILE["model"] for name in fields["names"]}
STOP_WORDS: int | Doubt[int] = _value("stop", _FILE["stop"]["most"])


def find(name: str) -> Model | None:
    """The row of a model; names are matched without regard to case, as the platform does."""
    return MODELS.get(name.strip().lower())
