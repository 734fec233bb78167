"""The server that answers: the real platform if a key is set, else the emulator on this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glmv_emulator import Emulator

KEYS = ("ZHIPUAI_API_KEY", "ZAI_API_KEY")


@dataclass(frozen=True)
class Place:
    """The server of the demo.

    Attributes:
        is_emulator: whether answers are an emulator's.
        settings: the settings of both adapters.
        fast_model: the model that is asked about the photograph.
        given: a function from a picture's path to the source for that model: the path, or a URL of it.
        how_given: a text that says which of the two.
    """

    is_emulator: bool
    settings: dict[str, Any]
    fast_model: str
    given: Callable[[Path], str | Path]
    how_given: str


@contextmanager
def place() -> Iterator[Place]:
    """The real platform, or an emulator that runs as long as the block."""
    if any(os.environ.get(name) for name in KEYS):
        # glm-4v-flash takes URLs only, and a file of this machine has none that the platform could fetch.
        yield Place(False, {}, "glm-4.6v-flash", lambda path: path, "as base64 in the request")
        return
    with Emulator() as emu:
        settings = {"base_url": emu.base_url, "api_key": emu.api_key}
        yield Place(
            True,
            settings,
            "glm-4v-flash",
            lambda path: emu.host(path),
            "by URL, the only way this model takes",
        )
