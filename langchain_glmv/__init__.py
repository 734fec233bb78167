"""GLM-4V in LangChain: `ChatGLMV`, `GLMVEmbeddings`, and helpers for pictures, videos and traces."""

from inspect import get_annotations as _get_annotations

from glmv import redact, redact_spans
from glmv import why_not_imported as _why_not_imported

try:
    from langchain_glmv import errors
    from langchain_glmv.chat_models import ChatGLMV
    from langchain_glmv.chunks import register_content_blocks as _register_content_blocks
    from langchain_glmv.embeddings import GLMVEmbeddings
    from langchain_glmv.extras import draw_boxes, dumps, load, register
    from langchain_glmv.messages import aimage, avideo, image, video
    from langchain_glmv.references import resolve
except ImportError as _error:
    raise _why_not_imported(_error, "langchain_glmv", "langchain-core", "1.4", "langchain") from None

_register_content_blocks()

# Pickles, reprs and LangChain's ids name the package, so a class can move between its modules. `__module__` is set
# after class creation, because pydantic evaluates annotations in the module of that name. The annotations are evaluated
# here first.
for _class in (ChatGLMV, GLMVEmbeddings):
    _class.__annotations__ = _get_annotations(_class, eval_str=True)
    _class.__module__ = __name__

__all__ = [
    "ChatGLMV",
    "GLMVEmbeddings",
    "aimage",
    "avideo",
    "draw_boxes",
    "dumps",
    "errors",
    "image",
    "load",
    "redact",
    "redact_spans",
    "register",
    "resolve",
    "video",
]
