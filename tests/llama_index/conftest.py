"""Pictures for the tests of this room, drawn when asked for."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image


def png(color: str = "red", size: tuple[int, int] = (32, 24)) -> bytes:
    data = BytesIO()
    Image.new("RGB", size, color).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def draw() -> Callable[..., bytes]:
    """draw("red", (32, 24)) -> the bytes of a PNG."""
    return png


@pytest.fixture
def red() -> bytes:
    """A red PNG."""
    return png()


@pytest.fixture
def red_path(red: bytes, tmp_path: Path) -> Path:
    """The red PNG as a file."""
    path = tmp_path / "red.png"
    path.write_bytes(red)
    return path
