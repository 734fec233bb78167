"""smolagents: `LiteLLMModel`, and pictures in `run(images=...)`."""

from __future__ import annotations

from PIL import Image
from scene import ANSWER, MODEL, PHOTO, QUESTION, count_stock, play, report
from smolagents import LiteLLMModel, ToolCallingAgent, tool

import glmv_litellm

glmv_litellm.register()
with play() as emu:
    emu.call("count_stock", item="cup")
    emu.call("final_answer", answer=ANSWER)
    model = LiteLLMModel(f"glmv/{MODEL}", api_base=emu.base_url, api_key=emu.api_key)
    agent = ToolCallingAgent(tools=[tool(count_stock)], model=model, max_steps=3)
    answer = agent.run(QUESTION, images=[Image.open(PHOTO)])
    report(emu, answer, "smolagents", "litellm")
