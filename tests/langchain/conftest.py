"""Pictures and models for the LangChain room."""

from __future__ import annotations

import io
from base64 import b64encode

import pytest
from PIL import Image as Pillow


def png(color: str = "red", size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture of one colour, as a PNG file."""
    out = io.BytesIO()
    Pillow.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def red() -> str:
    """A red picture as base64."""
    return b64encode(png("red")).decode()


@pytest.fixture
def blue() -> str:
    """A blue picture as base64."""
    return b64encode(png("blue")).decode()
