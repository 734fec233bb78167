"""Converts errors of `glmv` to LiteLLM's exception classes, with one table.

LiteLLM's router decides by the class and the status of an exception whether to retry a call, and on which deployment.
LiteLLM does not convert exceptions of its own classes.
Sources: docs.litellm.ai, "Exception Mapping"; litellm.exceptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from litellm import exceptions as theirs

import glmv
from glmv_litellm.options import NotOfGLM

PROVIDER = "glmv"

# The class of `glmv` -> the class of LiteLLM, and the HTTP status of the latter.
TABLE: dict[type[glmv.GLMVError], tuple[type[Exception], int]] = {
    glmv.InvalidRequestError: (theirs.BadRequestError, 400),
    glmv.LimitExceeded: (theirs.BadRequestError, 400),
    glmv.UnsupportedContent: (theirs.BadRequestError, 400),
    glmv.ContextLengthError: (theirs.ContextWindowExceededError, 400),
    glmv.NotFoundError: (theirs.NotFoundError, 404),
    glmv.AuthenticationError: (theirs.AuthenticationError, 401),
    glmv.PermissionDeniedError: (theirs.PermissionDeniedError, 403),
    glmv.QuotaError: (theirs.RateLimitError, 429),  # as OpenAI's insufficient_quota: another deployment may have some
    glmv.ContentFilterError: (theirs.ContentPolicyViolationError, 400),
    glmv.RateLimitError: (theirs.RateLimitError, 429),
    glmv.ServerError: (theirs.InternalServerError, 500),
    glmv.ConnectionFailed: (theirs.APIConnectionError, 500),
    glmv.RequestTimeout: (theirs.Timeout, 408),
    glmv.DeadlineExceeded: (theirs.Timeout, 408),
    glmv.GateTimeout: (theirs.Timeout, 408),
    glmv.MalformedResponse: (theirs.APIResponseValidationError, 500),
    glmv.StreamTruncated: (theirs.APIConnectionError, 500),
    glmv.StreamInterrupted: (theirs.APIConnectionError, 500),
    NotOfGLM: (theirs.UnsupportedParamsError, 400),
}
# Classes whose constructor takes no response.
_WITHOUT_RESPONSE = (theirs.APIConnectionError, theirs.Timeout, theirs.APIResponseValidationError)


# Advice of `glmv` that names its own constructors -> advice for a conversation of dicts.
_TERMS = (
    (re.compile(r"For a local file use [\w.]+, for bytes [\w.]+\."), "Send the content as a data: URI."),
    (
        re.compile(r"convert the picture with glmv\.Image\.of before the tool returns it"),
        "return an image_url part with a data: URI",
    ),
    (re.compile(r"use glmv\.(?:Image|Video|File)\.(?:from_\w+|of)\b"), "send the content as a data: URI"),
    (re.compile(r"use glmv\.(Image|Video)\b(?!\.\w)"), lambda kind: f"send it as {kind[1].lower()}_url"),
    (re.compile(r"send it with glmv\.File\b"), "send it as a part of type file"),
)


def in_terms(text: str) -> str:
    """The text of an error. Advice to use a class of `glmv` is replaced by advice for LiteLLM's messages (dicts)."""
    for pattern, instead in _TERMS:
        text = pattern.sub(instead, text)
    return text


def as_litellm(error: glmv.GLMVError, model: str) -> Exception:
    """Convert an error of `glmv` to an exception of LiteLLM.

    Args:
        error: the error of `glmv`.
        model: the name of the requested model.

    Returns:
        An exception with LiteLLM's `message`, `model`, `llm_provider` and `status_code`. Its
        `provider_specific_fields` has the other known attributes: `code`, `request_id`, `retry_after`,
        `attempts`, `content_filter`, and the part of the answer that was received, as `partial_text` and
        `partial_reasoning`.
    """
    exception_class, status = next(TABLE[kind] for kind in type(error).__mro__ if kind in TABLE)
    arguments: dict[str, Any] = {"message": in_terms(str(error)), "model": model, "llm_provider": PROVIDER}
    if not issubclass(exception_class, _WITHOUT_RESPONSE):
        arguments["response"] = _response(status, error.retry_after)
    exception = exception_class(**arguments)
    exception.__dict__["provider_specific_fields"] = _facts(error)
    return exception


def _response(status: int, retry_after: float | None) -> httpx.Response:
    """A response for LiteLLM, which reads the seconds to wait before a retry from the header `retry-after`."""
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    return httpx.Response(status, headers=headers, request=httpx.Request("POST", "https://glmv.invalid"))


def _facts(error: glmv.GLMVError) -> dict[str, Any]:
    partial = error.partial
    facts = {
        "code": error.code,
        "request_id": error.request_id,
        "retry_after": error.retry_after,
        "attempts": error.attempts,
        "content_filter": error.content_filter,
        "partial_text": partial.text if partial else None,
        "partial_reasoning": partial.reasoning if partial else None,
    }
    return {name: value for name, value in facts.items() if value}


@contextmanager
def litellm_errors(model: str) -> Iterator[None]:
    """A context manager that raises errors of `glmv` as LiteLLM's exceptions, with the original as `__cause__`."""
    try:
        yield
    except glmv.GLMVError as error:
        raise as_litellm(error, model) from error
