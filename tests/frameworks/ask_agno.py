"""Agno: `agno.models.litellm.LiteLLM`."""

from __future__ import annotations

import os

os.environ["AGNO_TELEMETRY"] = "false"

from agno.agent import Agent
from agno.media import Image
from agno.models.litellm import LiteLLM
from scene import MODEL, PHOTO, QUESTION, count_stock, report, shop

import glmv_litellm

glmv_litellm.register()
with shop() as emu:
    model = LiteLLM(id=f"glmv/{MODEL}", api_key=emu.api_key, api_base=emu.base_url)
    found = Agent(model=model, tools=[count_stock], telemetry=False).run(QUESTION, images=[Image(filepath=PHOTO)])
    report(emu, found.content, "agno", "litellm")
