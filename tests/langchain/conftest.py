"""Pictures and models for the LangChain tests."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image as Pillow

from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV


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


# The smallest page that readers accept, with the words "a paper" on it.
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 100]/Contents 4 0 R>>endobj
4 0 obj<</Length 40>>stream
BT /F1 18 Tf 20 40 Td (a paper) Tj ET
endstream endobj
trailer<</Root 1 0 R>>
%%EOF
"""


class _Download:
    def __init__(self, content: bytes) -> None:
        self.content = content


@pytest.fixture
def downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local copies of the picture and the paper that LangChain's standard tests download."""

    def get(url: str, **_: object) -> _Download:
        return _Download(PDF if url.endswith(".pdf") else png("green", (320, 200)))

    monkeypatch.setattr(httpx, "get", get)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator for one test."""
    with Emulator() as running:
        yield running


@pytest.fixture
def model(emulator: Emulator) -> ChatGLMV:
    """A model that uses that emulator."""
    return ChatGLMV(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Two seconds of blue, as an mp4 file."""
    av = pytest.importorskip("av")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            frame = av.VideoFrame.from_image(Pillow.new("RGB", (64, 48), "blue"))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
