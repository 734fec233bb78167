"""`register`: adds the provider and its models to LiteLLM's tables."""

from __future__ import annotations

from typing import Any

import litellm
from litellm.utils import custom_llm_setup

import glmv
from glmv_litellm.errors import PROVIDER
from glmv_litellm.provider import provider

_MILLION = 1_000_000


def register() -> None:
    """Add the provider `glmv` to LiteLLM, for this process: `litellm.completion("glmv/glm-4.6v", ...)`.

    The models of the catalogue are added to LiteLLM's table of models, which frameworks ask what a model can do
    (`litellm.supports_vision("glmv/glm-4.6v")`). An entry has the model's price in dollars if z.ai lists a price.
    `register` does not replace an earlier provider named `glmv`, or an earlier entry of a model. Calling `register`
    again changes nothing.
    """
    providers = litellm.custom_provider_map
    if all(item["provider"] != PROVIDER for item in providers):
        # A new list, because other modules may hold the old one as a default.
        litellm.custom_provider_map = [*providers, {"provider": PROVIDER, "custom_handler": provider}]
    custom_llm_setup()  # type: ignore[no-untyped-call]  # without it LiteLLM does not find the provider
    models = {f"{PROVIDER}/{row.name}": row for row in glmv.models() if row.chats}
    facts = {name: model_facts(row) for name, row in models.items() if name not in litellm.model_cost}
    if facts:
        litellm.register_model(facts)


def model_facts(row: glmv.Model) -> dict[str, Any]:
    """The entry for a model of the catalogue in LiteLLM's table of models."""
    facts: dict[str, Any] = {
        "litellm_provider": PROVIDER,
        "mode": "chat",
        "max_input_tokens": row.context,
        "max_output_tokens": row.max_output,
        "max_tokens": row.max_output,
        "supports_vision": row.sees,
        "supports_video_input": row.videos != 0,
        "supports_pdf_input": row.files != 0,
        "supports_function_calling": row.tools > 0,
        "supports_tool_choice": row.tools > 0,
        "supports_response_schema": True,  # glmv asks for it in the prompt if the model has no field
        "supports_system_messages": True,
        "supports_reasoning": row.thinking != "no",
    }
    price = row.price_in("USD")
    # Without these two LiteLLM warns about each model, and takes 0.
    facts |= {"cache_creation_input_token_cost": 0.0, "cache_read_input_token_cost": 0.0}
    if price is not None:
        facts["input_cost_per_token"] = price.input / _MILLION
        facts["output_cost_per_token"] = price.output / _MILLION
        cached = price.input if price.cached is None else price.cached
        facts["cache_read_input_token_cost"] = cached / _MILLION
    return {name: value for name, value in facts.items() if value is not None}
