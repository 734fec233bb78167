"""GLM-4V, the vision model of Zhipu, over HTTP: one small client for pictures, video, text and tools.

    import glmv
    glm = glmv.Client()                                   # the key is read from ZHIPUAI_API_KEY
    print(glm.chat(["What is this?", glmv.Image.from_path("photo.jpg")]).text)

The LangChain chat model is `langchain_glmv.ChatGLMV`, the LlamaIndex LLM `llama_index_glmv.GLMV`.
"""

import importlib as _importlib
import typing as _typing

from glmv._version import __version__

if _typing.TYPE_CHECKING:
    from glmv._batches import Batch, BatchResult
    from glmv._catalog import find as find_model
    from glmv._catalog import models
    from glmv._client import AsyncClient, Client
    from glmv._clients import Clients, Component
    from glmv._embed import Embeddings
    from glmv._errors import (
        AuthenticationError,
        ConnectionFailed,
        ContentFilterError,
        ContextLengthError,
        DeadlineExceeded,
        GateTimeout,
        GLMVError,
        InvalidRequestError,
        LimitExceeded,
        MalformedResponse,
        NotFoundError,
        PermissionDeniedError,
        QuotaError,
        RateLimitError,
        RequestTimeout,
        ServerError,
        StreamInterrupted,
        StreamTruncated,
        UnsupportedContent,
    )
    from glmv._files import StoredFile
    from glmv._media import File, Image, Video
    from glmv._model import Model
    from glmv._request import ChatRequest, Options, Settings
    from glmv._secrets import without_values
    from glmv._strategy import second_turn
    from glmv._tasks import Task
    from glmv._types import (
        Accumulator,
        Box,
        Completion,
        Delta,
        Message,
        Part,
        Text,
        ToolCall,
        ToolCallDelta,
        Usage,
    )

# Name -> where it lives. Each is loaded when it is first asked for: pydantic's models cost more than httpx, and who
# wants a picture's size or an error's class needs none of them.
_HOMES = {
    "Batch": "_batches.Batch",
    "BatchResult": "_batches.BatchResult",
    "find_model": "_catalog.find",
    "models": "_catalog.models",
    "AsyncClient": "_client.AsyncClient",
    "Client": "_client.Client",
    "Clients": "_clients.Clients",
    "Component": "_clients.Component",
    "Embeddings": "_embed.Embeddings",
    "AuthenticationError": "_errors.AuthenticationError",
    "ConnectionFailed": "_errors.ConnectionFailed",
    "ContentFilterError": "_errors.ContentFilterError",
    "ContextLengthError": "_errors.ContextLengthError",
    "DeadlineExceeded": "_errors.DeadlineExceeded",
    "GateTimeout": "_errors.GateTimeout",
    "GLMVError": "_errors.GLMVError",
    "InvalidRequestError": "_errors.InvalidRequestError",
    "LimitExceeded": "_errors.LimitExceeded",
    "MalformedResponse": "_errors.MalformedResponse",
    "NotFoundError": "_errors.NotFoundError",
    "PermissionDeniedError": "_errors.PermissionDeniedError",
    "QuotaError": "_errors.QuotaError",
    "RateLimitError": "_errors.RateLimitError",
    "RequestTimeout": "_errors.RequestTimeout",
    "ServerError": "_errors.ServerError",
    "StreamInterrupted": "_errors.StreamInterrupted",
    "StreamTruncated": "_errors.StreamTruncated",
    "UnsupportedContent": "_errors.UnsupportedContent",
    "StoredFile": "_files.StoredFile",
    "File": "_media.File",
    "Image": "_media.Image",
    "Video": "_media.Video",
    "Model": "_model.Model",
    "ChatRequest": "_request.ChatRequest",
    "Options": "_request.Options",
    "Settings": "_request.Settings",
    "second_turn": "_strategy.second_turn",
    "without_values": "_secrets.without_values",
    "Task": "_tasks.Task",
    "Accumulator": "_types.Accumulator",
    "Box": "_types.Box",
    "Completion": "_types.Completion",
    "Delta": "_types.Delta",
    "Message": "_types.Message",
    "Part": "_types.Part",
    "Text": "_types.Text",
    "ToolCall": "_types.ToolCall",
    "ToolCallDelta": "_types.ToolCallDelta",
    "Usage": "_types.Usage",
}

__all__ = [
    "Accumulator",
    "AsyncClient",
    "AuthenticationError",
    "Batch",
    "BatchResult",
    "Box",
    "ChatRequest",
    "Client",
    "Clients",
    "Completion",
    "Component",
    "ConnectionFailed",
    "ContentFilterError",
    "ContextLengthError",
    "DeadlineExceeded",
    "Delta",
    "Embeddings",
    "File",
    "GLMVError",
    "GateTimeout",
    "Image",
    "InvalidRequestError",
    "LimitExceeded",
    "MalformedResponse",
    "Message",
    "Model",
    "NotFoundError",
    "Options",
    "Part",
    "PermissionDeniedError",
    "QuotaError",
    "RateLimitError",
    "RequestTimeout",
    "ServerError",
    "Settings",
    "StoredFile",
    "StreamInterrupted",
    "StreamTruncated",
    "Task",
    "Text",
    "ToolCall",
    "ToolCallDelta",
    "UnsupportedContent",
    "Usage",
    "Video",
    "__version__",
    "find_model",
    "models",
    "second_turn",
    "without_values",
]


def __getattr__(name: str) -> _typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, there = _HOMES[name].partition(".")
    value = globals()[name] = getattr(_importlib.import_module(f"{__name__}.{home}"), there)
    return value


def __dir__() -> list[str]:
    return __all__
