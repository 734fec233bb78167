"""browser-use: `ChatLiteLLM`, with Chromium on a page that shows the photograph."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile

os.environ |= {"ANONYMIZED_TELEMETRY": "false", "BROWSER_USE_CLOUD_SYNC": "false", "BROWSER_USE_VERSION_CHECK": "false"}

from browser_use import Agent, BrowserProfile, Tools
from browser_use.llm.litellm import ChatLiteLLM
from scene import ANSWER, MODEL, PHOTO, QUESTION, count_stock, play, report

import glmv_litellm

glmv_litellm.register()
tools = Tools()


@tools.action("Counts what is left of an item in the shop")
def stock(item: str) -> str:
    """The tool that browser-use calls."""
    return count_stock(item)


# browser-use calls its tools by JSON that it asks for with `response_format`.
SAID = [
    {"memory": "I count.", "action": [{"stock": {"item": "cup"}}]},
    {"memory": "I know.", "action": [{"done": {"text": ANSWER, "success": True, "files_to_display": []}}]},
]


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, play(*map(json.dumps, SAID)) as emu:
        page = emu.host(PHOTO)
        model = ChatLiteLLM(f"glmv/{MODEL}", api_key=emu.api_key, api_base=emu.base_url)
        profile = BrowserProfile(
            executable_path=shutil.which("chromium"),
            headless=True,
            chromium_sandbox=False,
            enable_default_extensions=False,
            user_data_dir=f"{folder}/profile",
        )
        agent = Agent(
            QUESTION,
            model,
            tools=tools,
            browser_profile=profile,
            flash_mode=True,
            use_judge=False,
            initial_actions=[{"navigate": {"url": page, "new_tab": False}}],
        )
        found = await agent.run(max_steps=4)
        report(emu, found.final_result(), "browser-use", "litellm")


asyncio.run(main())
