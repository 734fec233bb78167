"""Every error has a core and a LangChain base class, so that retries can be chosen by type."""

from __future__ import annotations

import pickle

import pytest
from langchain_core import exceptions
from langchain_core.exceptions import OutputParserException
from langgraph.types import RetryPolicy

import glmv
from langchain_glmv import errors

CLASSES = sorted(
    (
        kind
        for name in glmv.__all__
        if isinstance(kind := getattr(glmv, name), type) and issubclass(kind, glmv.GLMVError)
    ),
    key=lambda kind: kind.__name__,
)


def raised(error: glmv.GLMVError) -> glmv.GLMVError:
    with pytest.raises(glmv.GLMVError) as caught, errors.joined_errors():
        raise error
    return caught.value


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not glmv.GLMVError])
def test_every_error_of_glmv_has_a_langchain_variant_with_equal_attributes(kind: type[glmv.GLMVError]) -> None:
    error = raised(kind("busy", code="1302", status_code=429, request_id="req-123", attempts=2, retry_after=1.5))
    assert isinstance(error, kind)
    assert isinstance(error, exceptions.LangChainException)
    assert isinstance(error, errors.ModelError)
    assert str(error) == "busy (HTTP 429, code 1302, request_id req-123, 2 attempts)"
    assert error.retry_after == 1.5


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not glmv.GLMVError])
def test_every_error_keeps_its_class_and_text_and_code_and_partial_after_pickling(kind: type[glmv.GLMVError]) -> None:
    error = raised(kind("busy", code="1302", partial=glmv.Completion(text="so far")))
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert (str(copy), copy.code, copy.partial) == (str(error), "1302", error.partial)


@pytest.mark.skipif(not hasattr(exceptions, "ModelError"), reason="langchain-core 1.4 and 1.5 have no typed errors")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (glmv.InvalidRequestError, "ModelInvalidRequestError"),
        (glmv.LimitExceeded, "ModelInvalidRequestError"),
        (glmv.UnsupportedContent, "ModelInvalidRequestError"),
        (glmv.ContentFilterError, "ModelInvalidRequestError"),
        (glmv.ContextLengthError, "ContextOverflowError"),
        (glmv.NotFoundError, "ModelNotFoundError"),
        (glmv.AuthenticationError, "ModelAuthenticationError"),
        (glmv.PermissionDeniedError, "ModelPermissionDeniedError"),
        (glmv.RateLimitError, "ModelRateLimitError"),
        (glmv.ServerError, "ModelAPIError"),
        (glmv.ConnectionFailed, "ModelConnectionError"),
        (glmv.StreamInterrupted, "ModelConnectionError"),
        (glmv.RequestTimeout, "ModelTimeoutError"),
    ],
)
def test_each_error_is_also_an_instance_of_its_langchain_class(ours: type[glmv.GLMVError], theirs: str) -> None:
    assert isinstance(raised(ours("no")), getattr(exceptions, theirs))


AGAIN = {
    "ConnectionFailed",
    "RateLimitError",
    "RequestTimeout",
    "ServerError",
    "StreamInterrupted",
    "StreamTruncated",
}


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not glmv.GLMVError])
def test_middleware_and_graphs_retry_only_retryable_errors(kind: type[glmv.GLMVError]) -> None:
    error = raised(kind("no"))
    assert error.is_retryable is (kind.__name__ in AGAIN)  # type: ignore[attr-defined]  # of LangChain's half
    if not isinstance(error, glmv.GateTimeout):
        assert RetryPolicy().retry_on(error) is (kind.__name__ in AGAIN)  # type: ignore[operator]  # the default is a function


def test_a_malformed_response_is_an_output_parser_exception() -> None:
    assert isinstance(raised(glmv.MalformedResponse("no JSON")), OutputParserException)
    assert not isinstance(raised(glmv.StreamTruncated("cut")), OutputParserException)


def test_the_attribute_is_retryable_has_the_value_of_the_argument_retryable() -> None:
    assert raised(glmv.RateLimitError("busy", retryable=False)).is_retryable is False  # type: ignore[attr-defined]  # see above


def test_exceptions_that_are_not_of_glmv_are_raised_unchanged() -> None:
    with pytest.raises(KeyError), errors.joined_errors():
        raise KeyError("x")


def test_an_error_that_was_already_converted_stays_the_same_object() -> None:
    error = raised(glmv.RateLimitError("busy"))
    assert raised(error) is error


def test_errors_have_no_response_attribute_so_headers_do_not_reach_traces() -> None:
    assert not hasattr(raised(glmv.ServerError("down")), "response")
