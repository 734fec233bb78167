"""The metadata of a model for LlamaIndex, and the class names in LlamaIndex's tables.

Metadata comes from the model's catalogue row. llama-index-core reads it at every call, so reading it never raises.

`load_llm` and `load_embed_model` look up class names in tables. The modules of these tables import every installed
integration, which takes about one second. So a class is added to a table only after the program has imported the
table's module.
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
"""Context window in tokens of a model that is not in the catalogue: the window of GLM-4.1V and 4.5V
(docs.bigmodel.cn, overview of models). Chat engines shorten histories to it; `context_window=` overrides it."""


class GLMVMetadata(LLMMetadata, MultiModalLLMMetadata):
    """The metadata of an `LLM` and of a `MultiModalLLM` in one class."""


def metadata_of(
    model: str, *, base_model: str | None = None, context_window: int | None, max_tokens: int | None
) -> GLMVMetadata:
    """The metadata of a model, from its catalogue row and the user's settings.

    Args:
        model: the model's name; a model that is not in the catalogue has no known limits.
        base_model: the model's name in the catalogue, if `model` is a server's alias.
        context_window: the user's setting, in tokens; overrides the catalogue's value.
        max_tokens: the user's limit for the length of an answer, in tokens; overrides the catalogue's.

    Returns:
        The metadata. Without `max_tokens`, `num_output` is the default length of an answer in the catalogue row;
        if the row has no default, it is the row's maximum length. `num_output` is -1 if the length is unknown or would
        fill the context window.
    """
    row = glmv.find_model(base_model or model)
    window = context_window or (row and row.context) or UNKNOWN_WINDOW
    output = max_tokens or (row and (row.default_output or row.max_output)) or -1
    facts = {
        "context_window": window,
        # Prompt helpers subtract the output from the window. If nothing would be left, the output is unknown (-1).
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
    """`metadata_of` as plain data, which tracers receive with each call. The dict is cached, so do not change it."""
    facts = metadata_of(model, base_model=base_model, context_window=context_window, max_tokens=max_tokens)
    return facts.model_dump(mode="json")


def register_name(component: type[BaseComponent], where: tuple[str, str]) -> None:
    """Add a class to a table, with its `class_name` as the key.

    If the table's module is not imported yet, the class is added when the program imports the module.

    Args:
        component: the class.
        where: the name of the table's module, and the name of the table in it.
    """
    module, table = where

    def enter(loaded: Any) -> None:
        getattr(loaded, table)[component.class_name()] = component

    wrapt.register_post_import_hook(enter, module)
