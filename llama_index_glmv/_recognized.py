"""Our classes in the core's tables of names, for `load_llm` and `load_embed_model`.

The modules with these tables import every integration that the core knows and finds, openai's library among them, which
takes a second. So a name is entered when somebody loads its table.
"""

from __future__ import annotations

from typing import Any

import wrapt
from llama_index.core.schema import BaseComponent

LLMS = "llama_index.core.llms.loading", "RECOGNIZED_LLMS"
EMBEDDINGS = "llama_index.core.embeddings.loading", "RECOGNIZED_EMBEDDINGS"


def recognized(component: type[BaseComponent], where: tuple[str, str]) -> None:
    """Enter a class under its name, now if the table is loaded, else as soon as it is."""
    module, table = where

    def enter(loaded: Any) -> None:
        getattr(loaded, table)[component.class_name()] = component

    wrapt.register_post_import_hook(enter, module)
