"""What LlamaIndex's core asks of our classes: metadata of a model, and their names in its tables.

Metadata is read from the catalogue row. Core asks for it at every call, so it never raises.

The tables of names are for `load_llm` and `load_embed_model`. Their modules import every integration that core finds,
openai's library among them, which takes a second. So a name is entered when its table is loaded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import wrapt
from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.multi_modal_llms import MultiModalLLMMetadata
from llama_index.core.schema import BaseComponent

import glmv

LLMS = "llama_index.core.llms.loading", "RECOGNIZED_LLMS"
EMBEDDINGS = "llama_index.core.embeddings.loading", "RECOGNIZED_EMBEDDINGS"

UNKNOWN_WINDOW = 65_536
"""Tokens of a model whose window nobody documents: that of GLM-4.1V and 4.5V (docs.bigmodel.cn, overview of
models). Chat engines cut histories by it; `context_window=` overrides it."""


class GLMVMetadata(LLMMetadata, MultiModalLLMMetadata):
    """The metadata of both of LlamaIndex's bases in one."""


def metadata_of(
    model: str, *, base_model: str | None = None, context_window: int | None, max_tokens: int | None
) -> GLMVMetadata:
    """What is known of a model.

    Args:
        model: its name; one that is not in the catalogue has no known limits.
        base_model: the model of the catalogue that it is, where its name does not tell.
        context_window: what the user says the window is; goes before the row.
        max_tokens: what the user allows an answer; goes before the row.

    Returns:
        `num_output` without `max_tokens` is what the platform allows an answer by default.
    """
    row = glmv.find_model(base_model or model)
    window = context_window or (row and row.context) or UNKNOWN_WINDOW
    output = max_tokens or (row and (row.default_output or row.max_output)) or -1
    facts = {
        "context_window": window,
        # Prompt helpers take the output off the window; what leaves no room for a prompt says nothing ("-1").
        "num_output": output if output < window else -1,
        "is_chat_model": True,
        "is_function_calling_model": row is None or row.tools > 0,
        "model_name": model,
    }
    if row is not None and row.images is not None:
        facts["num_input_files"] = row.images
    return GLMVMetadata.model_validate(facts)


@lru_cache
def written_metadata(
    model: str, base_model: str | None, context_window: int | None, max_tokens: int | None
) -> dict[str, Any]:
    """`metadata_of` as plain data, which tracers get with each call; not to be changed."""
    facts = metadata_of(model, base_model=base_model, context_window=context_window, max_tokens=max_tokens)
    return facts.model_dump(mode="json")


def register_name(component: type[BaseComponent], where: tuple[str, str]) -> None:
    """Enter a class under its `class_name` when its table is loaded; at once if it is loaded already."""
    module, table = where

    def enter(loaded: Any) -> None:
        getattr(loaded, table)[component.class_name()] = component

    wrapt.register_post_import_hook(enter, module)
