"""An agent that looks at a page, clicks a button by the words on it, looks again and reports.

    python examples/screenshot_agent                      # asks the emulator, or the platform when a key is set

With a key GLM-4V decides what to do. The emulator decides nothing: its three tool calls are scripted below. What it
says at the end is what it reads in the screenshots, with the extra `eyes`.

It needs Chromium and Playwright's Python package: `make test-browser` installs both on Debian.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.tools import tool
from playwright.async_api import Page, async_playwright

from langchain_glmv import ChatGLMV, image

PAGE = Path(__file__).with_name("page.html")
SIDE = 1000  # pixels: then pixels and the model's grid of 0 to 1000 are the same numbers
TASK = "Take a screenshot, click the button Save, take another screenshot and tell me what the page says."


def chromium() -> str | None:
    """Where Debian's Chromium is, or None; GLMV_CHROMIUM names another."""
    return os.environ.get("GLMV_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


def hands_and_eyes(page: Page) -> list[Any]:
    """The tools of the agent: it takes screenshots, and clicks at a point."""

    @tool
    async def screenshot() -> list[dict[str, Any]]:
        """Take a screenshot of the page."""
        return [image(await page.screenshot())]

    @tool
    async def click(x: int, y: int) -> str:
        """Click the page at a point, in pixels of the last screenshot."""
        await page.mouse.click(x, y)
        return f"clicked at {x}, {y}"

    return [screenshot, click]


async def run(model: ChatGLMV, *, address: str = PAGE.as_uri(), task: str = TASK) -> tuple[list[BaseMessage], str]:
    """Do the task; returns the conversation, and what the page's status line says at the end."""
    async with async_playwright() as playwright:
        # Chromium's own sandbox cannot be had by root, as in a container; the page is a local file of ours.
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page = await browser.new_page(viewport={"width": SIDE, "height": SIDE})
            await page.goto(address)
            agent = create_agent(model, hands_and_eyes(page))
            result = await agent.ainvoke({"messages": [HumanMessage(task)]}, {"recursion_limit": 20})
            return result["messages"], await page.inner_text("#status")
        finally:
            await browser.close()


async def main() -> None:
    if chromium() is None:
        raise SystemExit("There is no Chromium here. On Debian: make test-browser, or sudo apt-get install chromium")
    if os.environ.get("ZHIPUAI_API_KEY") or os.environ.get("ZAI_API_KEY"):
        await tell(ChatGLMV(model="glm-4.6v"))
        return
    from glmv_emulator import Emulator

    with Emulator() as emulator:
        print("EMULATOR: no key is set. An emulator calls the tools as a script says, and reads the screenshots.\n")
        emulator.call("screenshot")
        emulator.call("click", x=740, y=805)  # the middle of the button Save
        emulator.call("screenshot")
        await tell(ChatGLMV(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key))


async def tell(model: ChatGLMV) -> None:
    print(f"Task: {TASK}\n")
    messages, status = await run(model)
    for message in messages[1:]:
        calls = ", ".join(f"{call['name']}({call['args']})" for call in getattr(message, "tool_calls", ()))
        pictures = sum(block["type"] == "image" for block in message.content_blocks)
        print(f"{message.type:>5}: {calls or message.text or f'{pictures} picture(s)'}")
    print(f"\nThe page itself says: {status}")


if __name__ == "__main__":
    asyncio.run(main())
