"""AutoGen: `OpenAIChatCompletionClient` sends requests to LiteLLM's proxy, which has our provider."""

from __future__ import annotations

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.messages import MultiModalMessage
from autogen_core import Image
from autogen_core.models import ModelFamily
from autogen_ext.models.openai import OpenAIChatCompletionClient
from scene import MODEL, PHOTO, PROXY_KEY, QUESTION, count_stock, proxy, report, shop


async def main() -> None:
    with shop() as emu, proxy(emu) as base:
        client = OpenAIChatCompletionClient(
            model=MODEL,
            base_url=base,
            api_key=PROXY_KEY,
            model_info={
                "vision": True,
                "function_calling": True,
                "json_output": True,
                "structured_output": True,
                "family": ModelFamily.UNKNOWN,
            },
        )
        agent = AssistantAgent("clerk", client, tools=[count_stock], reflect_on_tool_use=True)
        asked = MultiModalMessage(content=[QUESTION, Image.from_file(PHOTO)], source="user")
        found = await agent.run(task=asked)
        await client.close()
        report(emu, found.messages[-1].content, "autogen-agentchat", "autogen-ext", "proxy")


asyncio.run(main())
