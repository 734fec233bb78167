"""CrewAI: `LLM` takes LiteLLM for models of providers that it does not know itself."""

from __future__ import annotations

import os

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "CREWAI_TRACING_ENABLED": "false"}

from scene import DATA_URI, MODEL, QUESTION, count_stock, report, shop

import glmv_litellm
from crewai import LLM, Agent
from crewai.tools import tool

glmv_litellm.register()
with shop() as emu:
    llm = LLM(model=f"glmv/{MODEL}", api_key=emu.api_key, base_url=emu.base_url)
    clerk = Agent(role="Clerk", goal="Know the stock", backstory="Works in a shop.", llm=llm,
                  tools=[tool("count_stock")(count_stock)])  # fmt: skip
    question = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": DATA_URI}}]
    answer = clerk.kickoff([{"role": "user", "content": question}])
    report(emu, answer.raw, "crewai", "litellm")
