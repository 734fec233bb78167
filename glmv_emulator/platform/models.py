"""The emulator's table of models, from `models.toml` next to this file; it shares no data with the client's table."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from glmv_emulator.platform.settings import Doubt

MB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoSampling:
    """How frames of a video are sampled.

    Each of `rates` is (seconds, frames per second): the rate for videos up to this duration. A video that is longer
    than the longest of these durations is sampled as if it had that duration. `frames` and `tokens` are the maximum
    numbers of frames and tokens of a video.
    """

    rates: tuple[tuple[float, float], ...]
    frames: int
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The limits of a model. `source` is a page of the platform; `models.toml` has the sources of single values.

    None for `context` or `video_seconds` means that no source has the limit, so it is not checked.
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


def _value(name: str, value: Any) -> Any:
    """Convert the value of a field in `models.toml` to the value in the table of models."""
    match name, value:
        case _, {"doubt": doubt, "loose": loose, "strict": strict}:
            return Doubt(doubt, loose=_value(name, loose), strict=_value(name, strict))
        case "video_formats", list():
            return frozenset(value)
        case "dimensions", list():
            return tuple(value)
        case "video_sampling", dict():
            return VideoSampling(**value | {"rates": tuple((most, rate) for most, rate in value["rates"])})
        case _:
            return value


def _row(name: str, fields: dict[str, Any]) -> Model:
    values = {field: _value(field, written) for field, written in fields.items() if field not in ("names", "video_mib")}
    return Model(name=name, video_bytes=fields["video_mib"] * MB, **values)


_FILE = tomllib.loads(resources.files("glmv_emulator.platform").joinpath("models.toml").read_text("utf-8"))
MODELS = {name: _row(name, _FILE["defaults"] | fields) for fields in _FILE["model"] for name in fields["names"]}
STOP_WORDS: int | Doubt[int] = _value("stop", _FILE["stop"]["most"])


def find(name: str) -> Model | None:
    """The model with this name, or None. As on the platform, the case of letters in the name does not matter."""
    return MODELS.get(name.strip().lower())
