"""GLM-4V in LangChain: `ChatGLMV`, `GLMVEmbeddings`, and helpers for pictures, videos and traces."""

from langchain_glmv import _errors as errors
from langchain_glmv import _translator
from langchain_glmv._blocks import image, video
from langchain_glmv._draw import draw_boxes
from langchain_glmv._load import dumps, load
from langchain_glmv._redact import redact
from langchain_glmv._register import register
from langchain_glmv.chat_models import ChatGLMV
from langchain_glmv.embeddings import GLMVEmbeddings

_translator.install()

__all__ = [
    "ChatGLMV",
    "GLMVEmbeddings",
    "draw_boxes",
    "dumps",
    "errors",
    "image",
    "load",
    "redact",
    "register",
    "video",
]
