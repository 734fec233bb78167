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
    from glmv.catalog.lookup import find as find_model
    from glmv.catalog.lookup import models
    from glmv.catalog.row import Model
    from glmv.client import AsyncClient, Client
    from glmv.component import Clients, Component
    from glmv.credentials import without_values
    from glmv.endpoints.batches import Batch, BatchResult
    from glmv.endpoints.embeddings import Embeddings
    from glmv.endpoints.files import StoredFile
    from glmv.endpoints.tasks import Task
    from glmv.errors import (
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
    from glmv.media import File, Image, Video
    from glmv.options import ChatRequest, Connection, Options, Settings
    from glmv.request.build import chat_request
    from glmv.types import (
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
    "Batch": "endpoints.batches.Batch",
    "BatchResult": "endpoints.batches.BatchResult",
    "find_model": "catalog.lookup.find",
    "models": "catalog.lookup.models",
    "AsyncClient": "client.AsyncClient",
    "Client": "client.Client",
    "Clients": "component.Clients",
    "Component": "component.Component",
    "Embeddings": "endpoints.embeddings.Embeddings",
    "AuthenticationError": "errors.AuthenticationError",
    "ConnectionFailed": "errors.ConnectionFailed",
    "ContentFilterError": "errors.ContentFilterError",
    "ContextLengthError": "errors.ContextLengthError",
    "DeadlineExceeded": "errors.DeadlineExceeded",
    "GateTimeout": "errors.GateTimeout",
    "GLMVError": "errors.GLMVError",
    "InvalidRequestError": "errors.InvalidRequestError",
    "LimitExceeded": "errors.LimitExceeded",
    "MalformedResponse": "errors.MalformedResponse",
    "NotFoundError": "errors.NotFoundError",
    "PermissionDeniedError": "errors.PermissionDeniedError",
    "QuotaError": "errors.QuotaError",
    "RateLimitError": "errors.RateLimitError",
    "RequestTimeout": "errors.RequestTimeout",
    "ServerError": "errors.ServerError",
    "StreamInterrupted": "errors.StreamInterrupted",
    "StreamTruncated": "errors.StreamTruncated",
    "UnsupportedContent": "errors.UnsupportedContent",
    "StoredFile": "endpoints.files.StoredFile",
    "File": "media.File",
    "Image": "media.Image",
    "Video": "media.Video",
    "Model": "catalog.row.Model",
    "ChatRequest": "options.ChatRequest",
    "Options": "options.Options",
    "Settings": "options.Settings",
    "Connection": "options.Connection",
    "chat_request": "request.build.chat_request",
    "without_values": "credentials.without_values",
    "Task": "endpoints.tasks.Task",
    "Accumulator": "types.Accumulator",
    "Box": "types.Box",
    "Completion": "types.Completion",
    "Delta": "types.Delta",
    "Message": "types.Message",
    "Part": "types.Part",
    "Text": "types.Text",
    "ToolCall": "types.ToolCall",
    "ToolCallDelta": "types.ToolCallDelta",
    "Usage": "types.Usage",
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
    "Connection",
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
    "chat_request",
    "find_model",
    "models",
    "without_values",
]


def __getattr__(name: str) -> _typing.Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home, _, there = _HOMES[name].rpartition(".")
    value = globals()[name] = getattr(_importlib.import_module(f"{__name__}.{home}"), there)
    return value


def __dir__() -> list[str]:
    return __all__
