"""LiteLLM with our provider, in front of the emulator.

Importing LiteLLM takes seconds, so the fixtures do it, and only in the processes that run these tests.
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from glmv_emulator import Emulator


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Ignore the warnings that LiteLLM causes in pydantic."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            for warning in (
                "ignore:.*`ReadOnly` qualifier:UserWarning",
                "ignore:Accessing the 'model_:DeprecationWarning",
            ):
                item.add_marker(pytest.mark.filterwarnings(warning))


@pytest.fixture(scope="session")
def litellm() -> Any:
    """The library, with our provider registered."""
    litellm = pytest.importorskip("litellm", reason="the oldest frameworks are tested without it")
    import glmv_litellm

    glmv_litellm.register()
    litellm.suppress_debug_info = True
    return litellm


@pytest.fixture
def emu(glmv_emulator: Emulator, litellm: Any) -> Any:
    """The emulator; the clients of the previous test are closed."""
    import glmv_litellm

    yield glmv_emulator
    glmv_litellm.provider.close()


@pytest.fixture
def settings(emu: Emulator) -> dict[str, Any]:
    """Keyword arguments of `litellm.completion` for a call to the emulator."""
    return {"model": "glmv/glm-4.6v", "api_base": emu.base_url, "api_key": emu.api_key, "max_retries": 0}


@pytest.fixture
def ask(litellm: Any, settings: dict[str, Any]) -> Callable[..., Any]:
    """A function that calls `litellm.completion`: ask("What is it?", **options)."""

    def completion(content: Any = "Hello", **options: Any) -> Any:
        return litellm.completion(**{"messages": [{"role": "user", "content": content}], **settings, **options})

    return completion


@pytest.fixture
def aask(litellm: Any, settings: dict[str, Any]) -> Callable[..., Any]:
    """Like `ask`, with `litellm.acompletion`."""

    async def completion(content: Any = "Hello", **options: Any) -> Any:
        return await litellm.acompletion(**{"messages": [{"role": "user", "content": content}], **settings, **options})

    return completion


@pytest.fixture
def picture() -> str:
    """A red picture as a data URI."""
    out = io.BytesIO()
    Pillow.new("RGB", (64, 48), "red").save(out, "PNG")
    return f"data:image/png;base64,{b64encode(out.getvalue()).decode()}"


def tool(name: str, *names: str) -> dict[str, Any]:
    """A function with parameters of these names."""
    parameters = {"type": "object", "properties": {each: {"type": "string"} for each in names}, "required": list(names)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": parameters}}


def text_of(chunks: Any) -> str:
    """The visible text of a stream."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
