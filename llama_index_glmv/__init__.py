"""GLM-4V in LlamaIndex."""

from llama_index_glmv.llm import GLMV
from llama_index_glmv.multi_modal import GLMVMultiModal

__all__ = ["GLMV", "GLMVMultiModal"]
