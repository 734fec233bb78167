"""The screenshot agent example in a real browser."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from langchain_core.messages import AIMessage

from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV

EXAMPLE = Path(__file__).parents[2] / "examples" / "screenshot_agent" / "__main__.py"
HOW = "make test-browser installs what the browser tests need"

pytestmark = [pytest.mark.browser, pytest.mark.eyes]


@pytest.fixture
def example() -> Iterator[ModuleType]:
    pytest.importorskip("playwright", reason=HOW)
    pytest.importorskip("rapidocr", reason=HOW)
    spec = importlib.util.spec_from_file_location("screenshot_agent", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["screenshot_agent"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if module.chromium() is None:
        pytest.skip(f"there is no Chromium here: {HOW}")
    yield module
    del sys.modules["screenshot_agent"]


def script(emulator: Emulator, x: int, y: int) -> None:
    """Look, click at a point, look again. The final answer is what the emulator reads in the last screenshot."""
    emulator.call("screenshot")
    emulator.call("click", x=x, y=y)
    emulator.call("screenshot")


@pytest.mark.parametrize("place", [(620, 760), (120, 480)])
async def test_the_agent_clicks_the_save_button_at_the_models_coordinates(
    example: ModuleType, model: ChatGLMV, emulator: Emulator, place: tuple[int, int]
) -> None:
    left, top = place
    script(emulator, left + 120, top + 45)
    messages, status = await example.run(model, address=f"{example.PAGE.as_uri()}#save={left},{top}")
    assert status == "Order 4711 was sent"
    assert "4711 was sent" in messages[-1].text
    calls = [call for message in messages if isinstance(message, AIMessage) for call in message.tool_calls]
    assert [call["name"] for call in calls] == ["screenshot", "click", "screenshot"]
    at = calls[1]["args"]
    assert left < at["x"] < left + 240
    assert top < at["y"] < top + 90


async def test_the_agent_clicks_the_cancel_button_and_reports_that_nothing_was_sent(
    example: ModuleType, model: ChatGLMV, emulator: Emulator
) -> None:
    script(emulator, 260, 805)
    task = "Take a screenshot, click the button Cancel, take another screenshot and tell me what the page says."
    messages, status = await example.run(model, task=task)
    assert status == "Nothing was sent"
    assert "Nothing was sent" in messages[-1].text
