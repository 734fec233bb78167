"""Fixtures of the batch tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from glmv_emulator import Emulator


@pytest.fixture
def emulator(glmv_emulator: Emulator) -> Emulator:
    """A running emulator, as the pytest plugin provides it."""
    return glmv_emulator


@pytest.fixture
def photos(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of pictures of different colours; the test module's COUNT says how many."""
    count: int = request.module.COUNT
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(count):
        colour = (number, 255 - number, 128)
        PIL.Image.new("RGB", (16, 16), colour).save(folder / f"{number:0{len(str(count - 1))}}.png")
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
