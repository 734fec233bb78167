"""GLM-4V, the vision model of Zhipu, over HTTP: one small client for pictures, video, text and tools.

    import glmv
    glm = glmv.Client()                                   # the key is read from ZHIPUAI_API_KEY
    print(glm.chat(["What is this?", glmv.Image.from_path("photo.jpg")]).text)

The LangChain chat model is `langchain_glmv.ChatGLMV`, the LlamaIndex LLM `llama_index_glmv.GLMV`.
"""

import importlib as _importlib
import typing as _typing

from glmv._version import __version__

# Public names are listed here for type checkers, below for the program, and in `__all__`; a test compares the lists.
if _typing.TYPE_CHECKING:
    from glmv._version import why_not_imported
    from glmv.catalog.lookup import find_model, models
    from glmv.catalog.processor import Processor
    from glmv.catalog.row import Model, Price, Rates
    from glmv.client import AsyncClient, Client
    from glmv.component import Clients, Component
    from glmv.credentials import ApiKey, AsyncApiKey, SecretHeaders, without_values
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
    from glmv.keywords import CallKeywords, ClientKeywords, shows
    from glmv.media import File, Image, Video
    from glmv.media.store import PictureStore
    from glmv.media.text import shown
    from glmv.options import ChatRequest, Connection, Options, Settings
    from glmv.redaction import redact, redact_spans
    from glmv.request.build import chat_request
    from glmv.request.size import is_large
    from glmv.structured.partial import grows, partial_object
    from glmv.structured.plan import second_turn
    from glmv.transport.workers import in_worker
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
    from glmv.wire.finish_reasons import is_withdrawn

# The same names, by the module that defines them. A module is imported when one of its names is first used: importing
# pydantic's models takes longer than importing httpx, and the size of a picture or an error class does not need them.
_NAMES = {
    "_version": ("why_not_imported",),
    "catalog.lookup": ("find_model", "models"),
    "catalog.processor": ("Processor",),
    "catalog.row": ("Model", "Price", "Rates"),
    "client": ("AsyncClient", "Client"),
    "component": ("Clients", "Component"),
    "credentials": ("ApiKey", "AsyncApiKey", "SecretHeaders", "without_values"),
    "endpoints.batches": ("Batch", "BatchResult"),
    "endpoints.embeddings": ("Embeddings",),
    "endpoints.files": ("StoredFile",),
    "endpoints.tasks": ("Task",),
    "errors": (
        "AuthenticationError",
        "ConnectionFailed",
        "ContentFilterError",
        "ContextLengthError",
        "DeadlineExceeded",
        "GateTimeout",
        "GLMVError",
        "InvalidRequestError",
        "LimitExceeded",
        "MalformedResponse",
        "NotFoundError",
        "PermissionDeniedError",
        "QuotaError",
        "RateLimitError",
        "RequestTimeout",
        "ServerError",
        "StreamInterrupted",
        "StreamTruncated",
        "UnsupportedContent",
    ),
    "keywords": ("CallKeywords", "ClientKeywords", "shows"),
    "media": ("File", "Image", "Video"),
    "media.store": ("PictureStore",),
    "media.text": ("shown",),
    "options": ("ChatRequest", "Connection", "Options", "Settings"),
    "redaction": ("redact", "redact_spans"),
    "request.build": ("chat_request",),
    "request.size": ("is_large",),
    "structured.partial": ("grows", "partial_object"),
    "structured.plan": ("second_turn",),
    "transport.workers": ("in_worker",),
    "types": (
        "Accumulator",
        "Box",
        "Completion",
        "Delta",
        "Message",
        "Part",
        "Text",
        "ToolCall",
        "ToolCallDelta",
        "Usage",
    ),
    "wire.finish_reasons": ("is_withdrawn",),
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Accumulator",
    "ApiKey",
    "AsyncApiKey",
    "AsyncClient",
    "AuthenticationError",
    "Batch",
    "BatchResult",
    "Box",
    "CallKeywords",
    "ChatRequest",
    "Client",
    "ClientKeywords",
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
    "PictureStore",
    "Price",
    "Processor",
    "QuotaError",
    "RateLimitError",
    "Rates",
    "RequestTimeout",
    "SecretHeaders",
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
    "grows",
    "in_worker",
    "is_large",
    "is_withdrawn",
    "models",
    "partial_object",
    "redact",
    "redact_spans",
    "second_turn",
    "shown",
    "shows",
    "why_not_imported",
    "without_values",
]


def __getattr__(name: str) -> _typing.Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(_importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
