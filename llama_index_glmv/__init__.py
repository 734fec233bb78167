"""GLM-4V in LlamaIndex: a model, a model by the older name, and what pictures need on their way into an index."""

from llama_index_glmv.captioner import GLMVImageCaptioner
from llama_index_glmv.images import image_file_extractor, load_images
from llama_index_glmv.llm import GLMV
from llama_index_glmv.multi_modal import GLMVMultiModal

__all__ = ["GLMV", "GLMVImageCaptioner", "GLMVMultiModal", "image_file_extractor", "load_images"]
