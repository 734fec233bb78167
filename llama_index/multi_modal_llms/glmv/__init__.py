"""GLM-4V where LlamaIndex users look for multi-modal models: the class of `llama_index_glmv`."""

from llama_index_glmv import GLMVMultiModal

__all__ = ["GLMVMultiModal"]
