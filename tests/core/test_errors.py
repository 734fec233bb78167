"""One tree of errors: the class says what went wrong and who has to act."""

from __future__ import annotations

import copy
import pickle

import pytest

import glmv
from glmv import Completion, GLMVError

KINDS = [
    value
    for value in (getattr(glmv, name) for name in glmv.__all__)
    if isinstance(value, type) and issubclass(value, GLMVError)
]


def test_every_documented_error_class_is_public_and_a_glmv_error() -> None:
    names = {
        "AuthenticationError",
        "PermissionDeniedError",
        "QuotaError",
        "RateLimitError",
        "InvalidRequestError",
        "LimitExceeded",
        "UnsupportedContent",
        "ContentFilterError",
        "ContextLengthError",
        "NotFoundError",
        "ServerError",
        "ConnectionFailed",
        "DeadlineExceeded",
        "GateTimeout",
        "StreamTruncated",
        "StreamInterrupted",
        "MalformedResponse",
        "GLMVError",
    }
    assert names <= {kind.__name__ for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_the_documented_attributes(kind: type[GLMVError]) -> None:
    error = kind("what happened")
    facts = (
        error.status_code,
        error.code,
        error.request_id,
        error.retry_after,
        error.attempts,
        error.partial,
    )
    assert facts == (None, None, None, None, 0, None)
    assert error.retryable is (
        kind in (glmv.RateLimitError, glmv.ServerError, glmv.ConnectionFailed, glmv.RequestTimeout)
    )
    assert str(error) == "what happened"


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickled_error_keeps_its_attributes(kind: type[GLMVError]) -> None:
    error = kind(
        "m",
        status_code=429,
        code="1302",
        request_id="r",
        retry_after=1.5,
        attempts=3,
        partial=Completion("half"),
    )
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(copied) is kind
        assert vars(copied) == vars(error)
        assert str(copied) == str(error)


def test_errors_about_an_invalid_request_are_value_errors() -> None:
    for kind in (
        glmv.InvalidRequestError,
        glmv.LimitExceeded,
        glmv.UnsupportedContent,
        glmv.ContextLengthError,
    ):
        assert issubclass(kind, ValueError)


def test_the_text_of_an_error_has_http_status_and_code_and_request_id_and_attempts() -> None:
    error = glmv.RateLimitError("busy.", status_code=429, code="1302", request_id="r1", attempts=4)
    assert str(error) == "busy. (HTTP 429, code 1302, request_id r1, 4 attempts)"


def test_the_method_fill_does_not_overwrite_attributes_that_are_set() -> None:
    error = glmv.ServerError("m", request_id="theirs").fill(request_id="ours", attempts=2, partial=None)
    assert (error.request_id, error.attempts) == ("theirs", 2)


def test_codes_and_ids_of_servers_are_bounded_and_escaped() -> None:
    error = glmv.GLMVError("m", code="A" * 1_000_000 + "\x1b[31m", request_id="\x1b]0;title\x07" + "r" * 100_000)
    error = pickle.loads(pickle.dumps(error.fill(code="later")))
    assert len(str(error)) < 600
    assert "\x1b" not in str(error)
    assert error.request_id is not None
    assert error.request_id.startswith("\\x1b]0;title\\x07rrr")
    assert glmv.GLMVError("m").fill(request_id="a\nb").request_id == "a\\nb"
