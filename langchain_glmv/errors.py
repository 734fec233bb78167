"""Errors that are the core's and LangChain's at once, by one table.

LangChain's retry middleware asks `ModelError.is_retryable`, LangGraph's `RetryPolicy` knows built-in kinds only: it
leaves ValueError and OSError alone and repeats the rest. So errors that would come again are of such a kind, too.
Sources: reference.langchain.com, `langchain_core.exceptions`; docs.langchain.com, "Model retry" and LangGraph
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
except ImportError:  # langchain-core 1.4 and 1.5 have no typed errors: ours stand in, so that one tree holds

    class ModelError(LangChainException):  # type: ignore[no-redef]  # the older core has none
        """Base of the stand-ins."""

        is_retryable = False

    class _Repeatable(ModelError):
        is_retryable = True

    ModelAPIError = ModelConnectionError = ModelRateLimitError = ModelTimeoutError = _Repeatable  # type: ignore[assignment,misc]  # stand-ins
    ModelAuthenticationError = ModelInvalidRequestError = ModelNotFoundError = ModelError  # type: ignore[assignment,misc]  # stand-ins
    ModelPermissionDeniedError = ModelError  # type: ignore[assignment,misc]  # stand-in


try:
    from langchain_core.exceptions import ModelRefusalError
except ImportError:  # langchain-core before 1.7.5 has no refusals

    class ModelRefusalError(ModelError):  # type: ignore[no-redef]  # the older core has none
        """A stand-in, which no middleware knows."""

        def __init__(self, message: str = "", *, raw_message: Any = None) -> None:
            super().__init__(message)
            self.raw_message = raw_message

    HAS_REFUSALS = False
else:
    HAS_REFUSALS = True
"""Whether this langchain-core has a content block and an error for refusals."""


class InvalidRequestError(glmv.InvalidRequestError, ModelInvalidRequestError):
    """The request is at fault and would fail again."""


class LimitExceeded(glmv.LimitExceeded, ModelInvalidRequestError):
    """A documented limit of the model is broken; nothing was sent."""


class UnsupportedContent(glmv.UnsupportedContent, ModelInvalidRequestError):
    """Content that the model, the role or the wire has no place for; nothing was sent."""


class ContextLengthError(glmv.ContextLengthError, ContextOverflowError, ModelError):
    """The prompt does not fit into the model's context window, or leaves no space in it for an answer.

    Summarization middleware knows this one.
    """


class NotFoundError(glmv.NotFoundError, ModelNotFoundError):
    """There is no such model, endpoint, file or task."""


class AuthenticationError(glmv.AuthenticationError, ModelAuthenticationError, PermissionError):
    """The key is missing, malformed, wrong or expired."""


class PermissionDeniedError(glmv.PermissionDeniedError, ModelPermissionDeniedError, PermissionError):
    """The key may not use this model or endpoint."""


class QuotaError(glmv.QuotaError, ModelPermissionDeniedError, PermissionError):
    """The account is in arrears, or an allowance is used up: HTTP 429, yet no rate limit that passes."""


class ContentFilterError(glmv.ContentFilterError, ModelInvalidRequestError, ValueError):
    """The platform refused or withdrew content; `partial` holds what had been streamed."""


class ContentWithdrawnError(ContentFilterError, ModelRefusalError):
    """The platform withdrew what the model wrote: to LangChain, the model refused.

    A prompt that is refused before the model writes anything is a `ContentFilterError` alone.

    Attributes:
        raw_message: `partial` as a message, whose content blocks have the refusal; None when nothing is known of it.
    """

    raw_message: AIMessage | None = None


class RateLimitError(glmv.RateLimitError, ModelRateLimitError):
    """The account or the model is busy."""


class ServerError(glmv.ServerError, ModelAPIError):
    """The platform failed."""


class ConnectionFailed(glmv.ConnectionFailed, ModelConnectionError):
    """There was no connection, or it broke before an answer."""


class RequestTimeout(glmv.RequestTimeout, ModelTimeoutError):
    """The server did not connect, take the request or answer within `timeout`."""


class DeadlineExceeded(glmv.DeadlineExceeded, ModelError, TimeoutError):
    """The whole call took longer than `deadline`: the caller's own limit, so nothing repeats it."""


class GateTimeout(glmv.GateTimeout, ModelTimeoutError):
    """No slot of this process' concurrency gate came free in time."""


class MalformedResponse(glmv.MalformedResponse, OutputParserException, ModelError):
    """The answer is not what the platform documents, or twice not what the schema asked for."""


class StreamTruncated(glmv.StreamTruncated, ModelConnectionError):
    """The stream ended without its end. The run as a whole may be tried again."""


class StreamInterrupted(glmv.StreamInterrupted, ModelConnectionError):
    """The connection broke inside the stream, or the server gave the answer up. The run may be tried again."""


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


# The finish reason of what was withdrawn by an error, in the platform's words.
_WITHDRAWN = "sensitive"
# What messages of the core name, and what makes the same in a message of LangChain. `from_bytes` stays readable in the
# notes that ask for the content.
_MAKERS = re.compile(r"(?:\bglmv\.)?\b(Image|Video)\.(from_path|from_bytes|from_url|from_base64|of)\b(?!\()")
_GIVEN = {"from_path": "path", "from_bytes": "data", "from_url": "url", "from_base64": "text", "of": "source"}

_SHORTENED = "Where a history is shortened, let it begin with a user message."
_TRIMMED = 'Where a history is shortened, let it begin with a human message: trim_messages(..., start_on="human").'


def in_terms(text: str) -> str:
    """A message or a note of the core -> the same with `langchain_glmv.image` in place of `glmv.Image.from_path`."""
    text = text.replace(_SHORTENED, _TRIMMED)
    return _MAKERS.sub(lambda found: f"langchain_glmv.{found[1].lower()}({_GIVEN[found[2]]})", text)


# The core repeats no stream of which something was shown; a run as a whole may be repeated.
_BROKEN_OFF = (glmv.StreamTruncated, glmv.StreamInterrupted)


def joined(error: glmv.GLMVError) -> glmv.GLMVError:
    """An error of the core -> the same facts in the class that is LangChain's, too."""
    kind = next((JOINED[base] for base in type(error).__mro__ if base in JOINED), None)
    if kind is None or isinstance(error, (LangChainException, *JOINED.values())):
        return error
    if isinstance(error, glmv.ContentFilterError) and _is_withdrawn(error):
        kind = ContentWithdrawnError
    message = in_terms(error.message)
    twin = kind(message)
    twin.__dict__.update(vars(error) | {"message": message})
    if isinstance(twin, ContentWithdrawnError):
        twin.raw_message = _refused(error.partial)
    if not isinstance(error, _BROKEN_OFF):
        twin.__dict__["is_retryable"] = error.retryable  # of this very error, which may differ from its class
    return twin


def _refused(partial: glmv.Completion | None) -> AIMessage | None:
    if partial is None:
        return None
    from langchain_glmv.chunks import ChunkMapper  # which knows from here what this langchain-core has

    withdrawn = glmv.is_withdrawn(partial.finish_reason)
    return ChunkMapper().whole(partial if withdrawn else replace(partial, finish_reason=_WITHDRAWN))


def _is_withdrawn(error: glmv.ContentFilterError) -> bool:
    """Whether content of the answer was withdrawn, and not the prompt refused."""
    partial = error.partial
    if partial is not None and (partial.text or partial.reasoning or partial.tool_calls):
        return True
    if roles := {found.get("role") for found in error.content_filter or () if isinstance(found, dict)}:
        return "assistant" in roles
    return error.code is None  # a finish reason, which only answers have


class joined_errors:  # noqa: N801  # a context manager, read like a function
    """`with joined_errors():` lets errors of the core out as their joined twins, tracebacks kept."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, glmv.GLMVError):
            twin = joined(error)
            if twin is not error:
                raise twin.with_traceback(trace) from error.__cause__
