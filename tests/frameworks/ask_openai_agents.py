"""openai-agents: `LitellmModel`."""

from __future__ import annotations

import asyncio
from typing import Any

from agents import Agent, Runner, function_tool, set_tracing_disabled
from agents.extensions.models.litellm_model import LitellmModel
from scene import DATA_URI, MODEL, QUESTION, count_stock, report, shop

import glmv_litellm

glmv_litellm.register()
set_tracing_disabled(True)


async def main() -> None:
    with shop() as emu:
        model = LitellmModel(f"glmv/{MODEL}", base_url=emu.base_url, api_key=emu.api_key)
        agent = Agent(name="Clerk", model=model, tools=[function_tool(count_stock)])
        parts: list[Any] = [
            {"type": "input_text", "text": QUESTION},
            {"type": "input_image", "image_url": DATA_URI, "detail": "auto"},
        ]
        found = await Runner.run(agent, [{"role": "user", "content": parts}])
        report(emu, found.final_output, "openai-agents", "litellm")


asyncio.run(main())
