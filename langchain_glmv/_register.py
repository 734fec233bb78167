"""`init_chat_model("glmv:glm-4.6v")`: LangChain's table of providers is closed, so joining it is an explicit act."""

from __future__ import annotations

from typing import Any

from langchain_glmv._chunks import PROVIDER


def register(name: str = PROVIDER) -> None:
    """Add `name` to the providers that `langchain.chat_models.init_chat_model` knows, for this process.

    The table is private to `langchain`; should it move, this raises, and `ChatGLMV(model=...)` goes on working.

    Raises:
        RuntimeError: this version of `langchain` keeps its providers elsewhere.
        ImportError: `langchain` is not installed.
    """
    from langchain.chat_models import base

    providers = vars(base).get("_BUILTIN_PROVIDERS")
    if providers is None:
        raise RuntimeError(
            "This version of langchain keeps its providers elsewhere. Make the model directly: ChatGLMV(model=...)."
        )
    for key in (name, name.replace("-", "_").lower()):  # as it is written, and as it is looked up
        providers[key] = ("langchain_glmv", "ChatGLMV", _create)


def _create(cls: Any, **kwargs: Any) -> Any:
    return cls(**kwargs)
