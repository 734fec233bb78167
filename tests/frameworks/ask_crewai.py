"""CrewAI: `LLM` uses LiteLLM for models of providers that CrewAI does not know.

CrewAI sends pictures only to models whose names it knows, so a subclass says that this model accepts them.
"""

from __future__ import annotations

import os

os.environ |= {"CREWAI_DISABLE_TELEMETRY": "true", "OTEL_SDK_DISABLED": "true", "CREWAI_TRACING_ENABLED": "false"}

from crewai import LLM, Agent
from crewai.tools import tool
from crewai_files import ImageFile
from scene import MODEL, PHOTO, QUESTION, count_stock, report, shop

import glmv_litellm

glmv_litellm.register()


class SeeingLLM(LLM):
    """A model of LiteLLM that takes pictures."""

    def supports_multimodal(self) -> bool:
        """True."""
        return True


with shop() as emu:
    llm = SeeingLLM(model=f"glmv/{MODEL}", api_key=emu.api_key, base_url=emu.base_url)
    clerk = Agent(
        role="Clerk",
        goal="Know the stock",
        backstory="Works in a shop.",
        llm=llm,
        tools=[tool("count_stock")(count_stock)],
    )
    answer = clerk.kickoff(QUESTION, input_files={"photo": ImageFile(source=str(PHOTO))})
    report(emu, answer.raw, "crewai", "litellm")
