"""GLM-4V in LangChain: `ChatGLMV`, `GLMVEmbeddings`, and helpers for pictures, videos and traces."""

from inspect import get_annotations as _get_annotations

from langchain_glmv import errors
from langchain_glmv.chat_models import ChatGLMV
from langchain_glmv.chunks import register_content_blocks as _register_content_blocks
from langchain_glmv.embeddings import GLMVEmbeddings
from langchain_glmv.extras import draw_boxes, dumps, load, redact, register
from langchain_glmv.messages import aimage, avideo, image, video

_register_content_blocks()

# Pickles, reprs and LangChain's ids name the package, so that a class may move between its modules. That is set after
# the classes are made, because pydantic evaluates annotations in the module of that name; evaluated ones are kept here.
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
    "register",
    "video",
]
