"""Haystack: `LiteLLMChatGenerator` of the package litellm-haystack, in Haystack's `Agent`."""

from __future__ import annotations

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack.components.agents import Agent
from haystack.dataclasses import ChatMessage, ImageContent
from haystack.tools import create_tool_from_function
from haystack.utils import Secret
from haystack_integrations.components.generators.litellm import LiteLLMChatGenerator
from scene import MODEL, PHOTO, QUESTION, count_stock, report, shop

import glmv_litellm

glmv_litellm.register()
with shop() as emu:
    generator = LiteLLMChatGenerator(
        model=f"glmv/{MODEL}", api_key=Secret.from_token(emu.api_key), api_base_url=emu.base_url
    )
    agent = Agent(chat_generator=generator, tools=[create_tool_from_function(count_stock)])
    question = ChatMessage.from_user(content_parts=[QUESTION, ImageContent.from_file_path(PHOTO)])
    found = agent.run(messages=[question])
    report(emu, found["messages"][-1].text, "haystack-ai", "litellm-haystack", "litellm")
