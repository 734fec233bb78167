"""GLM-4V in LlamaIndex: a model, the same by its older name, and what pictures need on their way into an index."""

from llama_index_glmv.captioner import GLMVImageCaptioner
from llama_index_glmv.embedding import GLMVEmbedding
from llama_index_glmv.images import image_file_extractor, load_images
from llama_index_glmv.llm import GLMV
from llama_index_glmv.multi_modal import GLMVMultiModal

__all__ = ["GLMV", "GLMVEmbedding", "GLMVImageCaptioner", "GLMVMultiModal", "image_file_extractor", "load_images"]
