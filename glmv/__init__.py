"""GLM-4V, the vision model of Zhipu, over HTTP: one small client for pictures, video, text and tools.

    import glmv
    glm = glmv.Client()                                   # the key is read from ZHIPUAI_API_KEY
    print(glm.chat(["What is this?", glmv.Image.from_path("photo.jpg")]).text)

The LangChain chat model is `langchain_glmv.ChatGLMV`, the LlamaIndex LLM `llama_index_glmv.GLMV`.
"""

from glmv._batches import Batch, BatchResult
from glmv._catalog import find as find_model
from glmv._catalog import models
from glmv._client import AsyncClient, Client
from glmv._clients import Clients
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
from glmv._version import __version__

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
]
