"""Error classes that are both glmv's and LangChain's, and the table that maps one to the other.

LangChain's retry middleware reads `ModelError.is_retryable`. LangGraph's `RetryPolicy` decides by built-in classes: it
does not retry ValueError and OSError, and retries the rest. So errors that a retry cannot solve are also ValueErrors or
OSErrors. Sources: reference.langchain.com, `langchain_core.exceptions`; docs.langchain.com, "Model retry" and LangGraph
"Retry policies".
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import ContextOverflowError, LangChainException, OutputParserException

import glmv

if TYPE_CHECKING:
    from langchain_core.messages import AIMessage

try:
    from langchain_core.exceptions import (
        ModelAPIError,
        ModelAuthenticationError,
        ModelConnectionError,
        ModelError,
        ModelInvalidRequestError,
        ModelNotFoundError,
        ModelPermissionDeniedError,
        ModelRateLimitError,
        ModelTimeoutError,
    )
except ImportError:  # langchain-core 1.4 and 1.5 have no such classes: the substitutes below keep one class tree

    class ModelError(LangChainException):  # type: ignore[no-redef]  # the older core has none
        """Replaces a class that older versions of langchain-core lack; base class of the other replacements."""

        is_retryable = False

    class _Repeatable(ModelError):
        is_retryable = True

    ModelAPIError = ModelConnectionError = ModelRateLimitError = ModelTimeoutError = _Repeatable  # type: ignore[assignment,misc]  # substitutes
    ModelAuthenticationError = ModelInvalidRequestError = ModelNotFoundError = ModelError  # type: ignore[assignment,misc]  # substitutes
    ModelPermissionDeniedError = ModelError  # type: ignore[assignment,misc]  # substitute


try:
    from langchain_core.exceptions import ModelRefusalError
except ImportError:  # langchain-core before 1.7.5 has no refusals

    class ModelRefusalError(ModelError):  # type: ignore[no-redef]  # the older core has none
        """Replaces a class that older versions of langchain-core lack. Their middleware does not use this class."""

        def __init__(self, message: str = "", *, raw_message: Any = None) -> None:
            super().__init__(message)
            self.raw_message = raw_message

    HAS_REFUSALS = False
else:
    HAS_REFUSALS = True
"""Whether the installed langchain-core has a content block and an error for refusals."""


class InvalidRequestError(glmv.InvalidRequestError, ModelInvalidRequestError):
    """The request is at fault and would fail again."""


class LimitExceeded(glmv.LimitExceeded, ModelInvalidRequestError):
    """The request exceeds a documented limit of the model; nothing was sent."""


class UnsupportedContent(glmv.UnsupportedContent, ModelInvalidRequestError):
    """The model, the message's role or the request format does not support the content; nothing was sent."""


class ContextLengthError(glmv.ContextLengthError, ContextOverflowError, ModelError):
    """The prompt does not fit into the model's context window, or leaves no space in it for an answer.

    LangChain's summarization middleware catches this class.
    """


class NotFoundError(glmv.NotFoundError, ModelNotFoundError):
    """The model, endpoint, file or task does not exist."""


class AuthenticationError(glmv.AuthenticationError, ModelAuthenticationError, PermissionError):
    """The key is missing, malformed, wrong or expired."""


class PermissionDeniedError(glmv.PermissionDeniedError, ModelPermissionDeniedError, PermissionError):
    """The key may not use this model or endpoint."""


class QuotaError(glmv.QuotaError, ModelPermissionDeniedError, PermissionError):
    """The account is in arrears, or its quota is used up: HTTP 429, but waiting does not help."""


class ContentFilterError(glmv.ContentFilterError, ModelInvalidRequestError, ValueError):
    """The platform refused or withdrew content; `partial` is the part of the answer that was streamed until then."""


class ContentWithdrawnError(ContentFilterError, ModelRefusalError):
    """The platform withdrew what the model wrote; LangChain treats this as a refusal of the model.

    If the platform refuses the prompt before the model writes anything, the error is a plain `ContentFilterError`.

    Attributes:
        raw_message: `partial` as a message, with a refusal among its content blocks; None if there is no `partial`.
    """

    raw_message: AIMessage | None = None


class RateLimitError(glmv.RateLimitError, ModelRateLimitError):
    """The account or the model has too many requests at the moment."""


class ServerError(glmv.ServerError, ModelAPIError):
    """The platform failed."""


class ConnectionFailed(glmv.ConnectionFailed, ModelConnectionError):
    """No connection could be made, or it broke before the response."""


class RequestTimeout(glmv.RequestTimeout, ModelTimeoutError):
    """Within `timeout` the server did not connect, did not take the request, or did not answer."""


class DeadlineExceeded(glmv.DeadlineExceeded, ModelError, TimeoutError):
    """The whole call took longer than `deadline`. This is the caller's own limit, so the call is not retried."""


class GateTimeout(glmv.GateTimeout, ModelTimeoutError):
    """No slot of this process's concurrency gate became free in time."""


class MalformedResponse(glmv.MalformedResponse, OutputParserException, ModelError):
    """The response is not in the documented form, or two answers in a row did not fit the schema."""


class StreamTruncated(glmv.StreamTruncated, ModelConnectionError):
    """The stream ended without a finish reason. The whole call can be retried."""


class StreamInterrupted(glmv.StreamInterrupted, ModelConnectionError):
    """The connection broke during the stream, or the server aborted the answer. The whole call can be retried."""


JOINED: dict[type[glmv.GLMVError], type[glmv.GLMVError]] = {
    glmv.InvalidRequestError: InvalidRequestError,
    glmv.LimitExceeded: LimitExceeded,
    glmv.UnsupportedContent: UnsupportedContent,
    glmv.ContextLengthError: ContextLengthError,
    glmv.NotFoundError: NotFoundError,
    glmv.AuthenticationError: AuthenticationError,
    glmv.PermissionDeniedError: PermissionDeniedError,
    glmv.QuotaError: QuotaError,
    glmv.ContentFilterError: ContentFilterError,
    glmv.RateLimitError: RateLimitError,
    glmv.ServerError: ServerError,
    glmv.ConnectionFailed: ConnectionFailed,
    glmv.RequestTimeout: RequestTimeout,
    glmv.DeadlineExceeded: DeadlineExceeded,
    glmv.GateTimeout: GateTimeout,
    glmv.MalformedResponse: MalformedResponse,
    glmv.StreamTruncated: StreamTruncated,
    glmv.StreamInterrupted: StreamInterrupted,
}


# The platform's finish reason for withdrawn content; used if an error reported the withdrawal.
_WITHDRAWN = "sensitive"
# Constructors that glmv's messages name. They are replaced by the functions that make LangChain's content blocks.
_MAKERS = re.compile(r"(?:\bglmv\.)?\b(Image|Video)\.(from_path|from_bytes|from_url|from_base64|of)\b(?!\()")
_CLASSES = re.compile(r"\buse glmv\.(Image|Video)\b(?!\.\w)")
_GIVEN = {"from_path": "path", "from_bytes": "data", "from_url": "url", "from_base64": "text", "of": "source"}

_SHORTENED = "If you shorten a history, let it begin with a user message."  # a sentence of glmv's messages
_TRIMMED = 'If you shorten a history, let it begin with a human message: trim_messages(..., start_on="human").'


def in_terms(text: str) -> str:
    """Replaces names of glmv in a message or note by names of this package, such as `Image.from_path` by `image`."""
    text = text.replace(_SHORTENED, _TRIMMED).replace("send it with glmv.File", "send it in a file block")
    text = _CLASSES.sub(lambda kind: f"use langchain_glmv.{kind[1].lower()}", text)
    return _MAKERS.sub(lambda maker: f"langchain_glmv.{maker[1].lower()}({_GIVEN[maker[2]]})", text)


# glmv does not retry a stream after its first delta, but the caller can retry the whole call. So these errors keep the
# `is_retryable` of their class.
_BROKEN_OFF = (glmv.StreamTruncated, glmv.StreamInterrupted)


def joined(error: glmv.GLMVError) -> glmv.GLMVError:
    """An error of glmv -> the same error, in the class of this module that is both glmv's and LangChain's."""
    kind = next((JOINED[base] for base in type(error).__mro__ if base in JOINED), None)
    if kind is None or isinstance(error, (LangChainException, *JOINED.values())):
        return error
    if isinstance(error, glmv.ContentFilterError) and _is_withdrawn(error):
        kind = ContentWithdrawnError
    message = in_terms(error.message)
    joint = kind(message)
    joint.__dict__.update(vars(error) | {"message": message})
    if isinstance(joint, ContentWithdrawnError):
        joint.raw_message = _refused(error.partial)
    if not isinstance(error, _BROKEN_OFF):
        joint.__dict__["is_retryable"] = error.retryable  # of this instance, which may differ from its class
    return joint


def _refused(partial: glmv.Completion | None) -> AIMessage | None:
    if partial is None:
        return None
    from langchain_glmv.chunks import ChunkMapper  # `chunks` imports this module

    withdrawn = glmv.is_withdrawn(partial.finish_reason)
    return ChunkMapper().whole(partial if withdrawn else replace(partial, finish_reason=_WITHDRAWN))


def _is_withdrawn(error: glmv.ContentFilterError) -> bool:
    """Whether the platform withdrew content of the answer, instead of refusing the prompt."""
    partial = error.partial
    if partial is not None and (partial.text or partial.reasoning or partial.tool_calls):
        return True
    if roles := {rating.get("role") for rating in error.content_filter or () if isinstance(rating, dict)}:
        return "assistant" in roles
    return error.code is None  # no error code: the finish reason reported it, and only answers have one


class joined_errors:  # noqa: N801  # a context manager, read like a function
    """`with joined_errors():` converts errors of glmv to the classes of this module and keeps their tracebacks."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, glmv.GLMVError):
            joint = joined(error)
            if joint is not error:
                raise joint.with_traceback(trace) from error.__cause__
