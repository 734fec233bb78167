"""A catalogue row -> LangChain's model profile, which middleware and `create_agent` read."""

from __future__ import annotations

from langchain_core.language_models.model_profile import ModelProfile

import glmv


def profile_of(model: str, base_model: str | None = None) -> ModelProfile | None:
    """The documented abilities of a model; None for a model that is not in the catalogue.

    It also has two abilities that glmv adds to the platform's: `structured_output`, and `tool_choice` for models with
    tools.

    Args:
        model: the model's name.
        base_model: the model's name in the catalogue, if `model` is a server's alias.
    """
    row = glmv.find_model(base_model or model)
    if row is None:
        return None
    sees, tools = row.sees, row.tools > 0
    profile = ModelProfile(
        name=row.name,
        status="deprecated" if row.status == "legacy" else row.status,
        text_inputs=True,
        text_outputs=True,
        image_inputs=sees and row.image_base64,
        image_url_inputs=sees,
        video_inputs=row.videos != 0,
        pdf_inputs="data" in row.file_forms,
        audio_inputs=False,
        image_outputs=False,
        audio_outputs=False,
        video_outputs=False,
        image_tool_message=sees and tools,
        pdf_tool_message="data" in row.file_forms and tools,
        reasoning_output=row.thinking != "no",
        tool_calling=tools,
        tool_choice=tools,
        tool_call_streaming=tools,
        structured_output=True,
        attachment=sees,
        temperature=True,
    )
    if row.context is not None:
        profile["max_input_tokens"] = row.context
    if row.max_output is not None:
        profile["max_output_tokens"] = row.max_output
    if row.reasoning_effort:
        profile["reasoning_effort_levels"] = list(row.reasoning_effort)
    return profile


def profile_for(model: str, base_model: str | None, profile: ModelProfile | None) -> ModelProfile | None:
    """The profile after `model` changed: the user's own `profile`, or else the profile that `profile_of` returns."""
    return (
        profile_of(model, base_model)
        if profile is None or profile == profile_of(profile.get("name") or "")
        else profile
    )
