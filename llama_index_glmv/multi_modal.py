"""`GLMV` for code that asks for a `MultiModalLLM` by type."""

from __future__ import annotations

from llama_index.core.multi_modal_llms import MultiModalLLM

from llama_index_glmv.llm import GLMV
from llama_index_glmv.metadata import LLMS, register_name


class GLMVMultiModal(GLMV, MultiModalLLM):  # type: ignore[misc]  # as in pyproject.toml for `llm`: keywords have names
    """GLM-4V as LLM and as MultiModalLLM: `complete(prompt, image_documents)` and all methods of `GLMV`.

    LlamaIndex 0.14.16 to 0.14.25 cannot call a class that is only a `MultiModalLLM`: its callbacks read `to_payload`
    and `rate_limiter`, which that base class lacks. So this class is an `LLM`, too.
    """

    @classmethod
    def class_name(cls) -> str:
        """The name of the class in serialized objects. llama-index-core warns about names without "multi"."""
        return "glmv_multi_modal_llm"


register_name(GLMVMultiModal, LLMS)
