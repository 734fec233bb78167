"""An emulator for each test, and a plain HTTP client without an SDK."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from glmv_emulator import Emulator

PICTURES = Path(__file__).parents[2] / "examples" / "pictures"


class Caller:
    """Posts chat requests to an emulator."""

    def __init__(self, emu: Emulator) -> None:
        self.emu = emu
        self.http = httpx.Client(headers={"Authorization": f"Bearer {emu.api_key}"}, timeout=20, trust_env=False)

    def post(self, body: Any, path: str = "/chat/completions", **options: Any) -> httpx.Response:
        return self.http.post(self.emu.base_url + path, json=body, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(self.emu.base_url + path, **options)

    def chat(self, *content: Any, model: str = "glm-4v-plus-0111", **more: Any) -> httpx.Response:
        return self.post({"model": model, "messages": [self.user(*content)], **more})

    def code(self, *content: Any, **more: Any) -> str:
        """The error code of a refusal; "" if the request succeeded."""
        return str(self.chat(*content, **more).json().get("error", {}).get("code", ""))

    def frames(self, *content: Any, **more: Any) -> list[Any]:
        """The frames of a stream: parsed chunks, and the string "[DONE]"."""
        return _frames(self.chat(*content, stream=True, **more).text)

    def hello(self, **more: Any) -> dict[str, Any]:
        """The body of a small request."""
        return {"model": "glm-4v-plus-0111", "messages": [self.user("Hello")], **more}

    def streaming(self, **options: Any) -> AbstractContextManager[httpx.Response]:
        """Send a small request for a stream; the response is returned before its body is read."""
        url = f"{self.emu.base_url}/chat/completions"
        return self.http.stream("POST", url, json=self.hello(stream=True), **options)

    @staticmethod
    def user(*content: Any) -> dict[str, Any]:
        """A user message: a str becomes a text, a tuple with a URL or base64 a picture; a dict is a content part."""
        return {"role": "user", "content": [_part(one) for one in content]}

    @staticmethod
    def drawn(colour: str = "red", size: tuple[int, int] = (60, 40), form: str = "PNG") -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", size, colour).save(buffer, form)
        return buffer.getvalue()

    @staticmethod
    def base64(data: bytes) -> str:
        return base64.b64encode(data).decode()


def _frames(text: str) -> list[Any]:
    blocks = [block for block in text.split("\n\n") if block]
    assert all(block.startswith("data: ") for block in blocks)
    return [block[6:] if block == "data: [DONE]" else json.loads(block[6:]) for block in blocks]


def _part(content: Any) -> dict[str, Any]:
    match content:
        case str():
            return {"type": "text", "text": content}
        case (url,):
            return {"type": "image_url", "image_url": {"url": url}}
        case dict():
            return content
    raise TypeError(content)


@pytest.fixture
def emulate() -> Iterator[Callable[..., Caller]]:
    """Start an emulator with these settings; it stops when the test ends."""
    started: list[Caller] = []

    def start(**settings: Any) -> Caller:
        caller = Caller(Emulator(**settings).start())
        started.append(caller)
        return caller

    yield start
    for caller in started:
        caller.http.close()
        caller.emu.stop()


@pytest.fixture
def glm(emulate: Callable[..., Caller]) -> Caller:
    """A caller of an emulator with default settings."""
    return emulate()
