"""GLM-4V in LlamaIndex: the LLM, its `MultiModalLLM` form, text embeddings, and tools to index pictures."""

from inspect import get_annotations as _get_annotations

from glmv import why_not_imported as _why_not_imported

try:
    from llama_index_glmv.captioner import GLMVImageCaptioner
    from llama_index_glmv.embedding import GLMVEmbedding
    from llama_index_glmv.images import image_file_extractor, load_images
    from llama_index_glmv.llm import GLMV
    from llama_index_glmv.multi_modal import GLMVMultiModal
except ImportError as _error:
    raise _why_not_imported(_error, "llama_index_glmv", "llama-index-core", "0.14.5", "llama-index") from None

# Pickles and reprs name the package, so a class can move between its modules. `__module__` is set after class creation,
# because pydantic evaluates annotations in the module of that name. The annotations are evaluated here first.
for _class in (GLMV, GLMVEmbedding, GLMVImageCaptioner, GLMVMultiModal):
    _class.__annotations__ = _get_annotations(_class, eval_str=True)
    _class.__module__ = __name__

__all__ = ["GLMV", "GLMVEmbedding", "GLMVImageCaptioner", "GLMVMultiModal", "image_file_extractor", "load_images"]
