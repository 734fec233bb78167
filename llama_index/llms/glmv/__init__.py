"""GLM-4V where LlamaIndex users look for integrations: the same classes as in `llama_index_glmv`."""

from llama_index_glmv import GLMV, GLMVMultiModal

__all__ = ["GLMV", "GLMVMultiModal"]
