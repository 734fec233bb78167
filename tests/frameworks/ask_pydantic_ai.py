"""pydantic-ai: `LiteLLMProvider` sends requests to LiteLLM's proxy, which has our provider."""

from __future__ import annotations

from pydantic_ai import Agent, BinaryContent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.litellm import LiteLLMProvider
from scene import MODEL, PHOTO, PROXY_KEY, QUESTION, count_stock, proxy, report, shop

with shop() as emu, proxy(emu) as base:
    model = OpenAIChatModel(MODEL, provider=LiteLLMProvider(api_base=base, api_key=PROXY_KEY))
    agent = Agent(model, tools=[count_stock])
    found = agent.run_sync([QUESTION, BinaryContent(PHOTO.read_bytes(), media_type="image/jpeg")])
    report(emu, found.output, "pydantic-ai-slim", "proxy")
