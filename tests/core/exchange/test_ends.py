"""How answers of other servers end: finish reasons, truncated bodies, errors as first events, unreadable refusals."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

import glmv
from glmv.exchange.steps import Failure
from glmv.wire.finish_reasons import ENDINGS, Ending

STREAM = [True, False]


def good(flow: Any, stream: bool) -> Any:
    return flow.streamed(flow.piece("hello", "stop")) if stream else flow.body(flow.whole("hello"))


def ended(flow: Any, stream: bool, text: str | None, reason: str, **more: Any) -> Any:
    if stream:
        return flow.streamed(*([flow.piece(text)] if text else []), flow.piece("", reason, **more))
    return flow.body(flow.whole(text or "", reason, **more))


WITHDRAWN = [reason for reason, ending in ENDINGS.items() if ending is Ending.WITHDRAWN]
BROKEN = [reason for reason, ending in ENDINGS.items() if ending is Ending.BROKEN]


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("reason", WITHDRAWN)
def test_a_finish_reason_that_means_content_filter_raises_content_filter_error(
    flow: Any, stream: bool, reason: str
) -> None:
    error = flow.run(ended(flow, stream, "bad", reason, usage=flow.USAGE), stream=stream).failure
    assert type(error) is glmv.ContentFilterError
    assert (error.partial.text, error.partial.finish_reason, error.attempts) == ("bad", reason, 1)
    assert reason in str(error)
    answer = flow.run(ended(flow, stream, "bad", reason), stream=stream, sensitive="return").whole
    assert (answer.text, answer.finish_reason) == ("bad", reason)


def test_finish_reason_content_filter_after_finish_reason_stop_raises_an_error(flow: Any) -> None:
    chunks = flow.piece("bad", "stop"), flow.piece("", "content_filter")
    assert type(flow.run(flow.streamed(*chunks)).failure) is glmv.ContentFilterError


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("reason", BROKEN)
def test_an_answer_that_the_server_aborted_is_an_error(flow: Any, stream: bool, reason: str) -> None:
    assert flow.run(ended(flow, stream, None, reason), good(flow, stream), stream=stream).whole.attempts == 2
    error = flow.run(*[ended(flow, stream, None, reason)] * 4, stream=stream).failure
    assert type(error) is glmv.StreamInterrupted
    assert error.retryable
    assert (error.partial.finish_reason, reason in str(error)) == (reason, True)


@pytest.mark.parametrize("reason", BROKEN)
def test_an_aborted_answer_is_not_retried_after_its_first_delta(flow: Any, reason: str) -> None:
    error = flow.run(ended(flow, True, "half", reason)).failure
    assert (type(error), error.attempts, error.partial.text) == (glmv.StreamInterrupted, 1, "half")


LOOPED = [reason for reason, ending in ENDINGS.items() if ending is Ending.LOOPED]


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("reason", [*LOOPED, "Repetition", "REPETITION"])
@pytest.mark.parametrize("text", ["la la la", None])
def test_an_answer_stopped_for_repetition_is_not_retried(
    flow: Any, stream: bool, reason: str, text: str | None
) -> None:
    error = flow.run(ended(flow, stream, text, reason, usage=flow.USAGE), stream=stream).failure
    assert (type(error), error.retryable, error.attempts) == (glmv.MalformedResponse, False, 1)
    assert (error.partial.text, error.partial.finish_reason) == (text or "", reason)
    assert error.partial.usage.prompt_tokens == 1037


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("CONTENT_FILTER", glmv.ContentFilterError),
        ("content-filter", glmv.ContentFilterError),
        ("contentFilter", glmv.ContentFilterError),
        ("Content Filter", glmv.ContentFilterError),
        ("SAFETY", glmv.ContentFilterError),
        ("Sensitive", glmv.ContentFilterError),
        ("ERROR", glmv.StreamInterrupted),
        ("Cancelled", glmv.StreamInterrupted),
        ("TIMEOUT", glmv.StreamInterrupted),
        ("INSUFFICIENT_SYSTEM_RESOURCE", glmv.StreamInterrupted),
    ],
)
def test_a_finish_reason_is_recognized_in_any_spelling(
    flow: Any, stream: bool, reason: str, kind: type[glmv.GLMVError]
) -> None:
    tries = 4 if kind is glmv.StreamInterrupted and not stream else 1  # of a stream something was shown
    error = flow.run(*[ended(flow, stream, "half", reason)] * tries, stream=stream).failure
    assert type(error) is kind
    assert (error.partial.text, error.partial.finish_reason) == ("half", reason)


@pytest.mark.parametrize("stream", STREAM)
def test_a_full_context_window_raises_an_error_only_if_the_answer_has_no_text(flow: Any, stream: bool) -> None:
    reason = "model_context_window_exceeded"
    answer = flow.run(ended(flow, stream, "half of it", reason), stream=stream).whole
    assert (answer.text, answer.finish_reason) == ("half of it", reason)
    error = flow.run(ended(flow, stream, None, reason, usage=flow.USAGE), stream=stream).failure
    assert type(error) is glmv.ContextLengthError
    assert (error.attempts, error.partial.finish_reason, error.partial.usage.prompt_tokens) == (1, reason, 1037)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("reason", ["stop", "length", "eos", "load", "Error.", "no_error", "end_turn", "x" * 9_000])
def test_normal_and_unknown_finish_reasons_are_returned_with_the_answer(flow: Any, stream: bool, reason: str) -> None:
    answer = flow.run(ended(flow, stream, "hello", reason), stream=stream).whole
    assert (answer.text, answer.finish_reason) == ("hello", reason)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation"])
def test_error_code_content_filter_is_an_answer_with_the_option_on_sensitive_return(
    flow: Any, stream: bool, code: str
) -> None:
    refusal = flow.body({"error": {"code": code, "message": "m"}}, 400)
    assert type(flow.run(refusal, stream=stream).failure) is glmv.ContentFilterError
    assert flow.run(refusal, stream=stream, sensitive="return").whole.finish_reason == "content_filter"
    inside = flow.streamed(flow.piece("half"), {"error": {"code": code, "message": "m"}})
    assert flow.run(inside, sensitive="return").whole.text == "half"


def test_code_1301_of_a_gateway_inside_a_stream_is_a_content_filter_error(flow: Any) -> None:
    message = 'litellm.APIError: ZaiException - {"error":{"code":"1301","message":"m"}}'
    stream = flow.streamed(flow.piece("half"), {"error": {"message": message, "code": "500"}})
    error = flow.run(stream).failure
    assert (type(error), error.code, error.partial.text) == (glmv.ContentFilterError, "1301", "half")
    assert flow.run(stream, sensitive="return").whole.finish_reason == "sensitive"


MESSAGE = {"content": "你好 \u00e9"}
WHOLE = json.dumps({"id": "1", "choices": [{"index": 0, "finish_reason": "stop", "message": MESSAGE}]})
EVENT = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"\xe4\xbd\xa0 hello"}}]}\n\n'


@pytest.mark.parametrize("cut", [1, 2, 7, 30, 60, -1, -2, -14, -16])
@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("kind", ["application/json", "text/plain"])
def test_a_truncated_body_is_retried(flow: Any, stream: bool, cut: int, kind: str) -> None:
    half = flow.Answer([WHOLE.encode()[:cut]], 200, {"content-type": kind})
    assert flow.run(half, good(flow, stream), stream=stream).whole.text == "hello"
    error = flow.run(*[half] * 4, stream=stream).failure
    assert type(error) is glmv.ConnectionFailed
    assert (error.attempts, error.retryable, error.kind) == (4, True, "reset")
    assert "in the middle of its JSON" in str(error)


@pytest.mark.parametrize("cut", [12, 18, 25])
def test_a_truncated_compressed_body_is_retried(flow: Any, cut: int) -> None:
    half = flow.Answer(
        [gzip.compress(WHOLE.encode())[:cut]], 200, {"content-type": "application/json", "content-encoding": "gzip"}
    )
    assert flow.run(half, good(flow, False), stream=False).whole.attempts == 2


def test_a_non_repeatable_call_is_not_retried_after_a_truncated_body(flow: Any) -> None:
    half = flow.Answer([b'{"id": "1", "cho'], 200, {"content-type": "application/json"})
    assert flow.run(half, stream=False, policy=flow.policy(repeatable=False)).failure.attempts == 1


@pytest.mark.parametrize("text", [b"{x", b'{"a": 1} x', b"[1 2]", b"{'a': 1}", b"oops", b'"text'])
def test_a_body_that_is_not_json_is_not_taken_for_truncated_json(flow: Any, text: bytes) -> None:
    answer = flow.Answer([text], 200, {"content-type": "application/json"})
    assert type(flow.run(answer, stream=False).failure) is glmv.MalformedResponse


@pytest.mark.parametrize("cut", range(1, len(EVENT) - 2))
def test_a_truncated_first_event_is_retried(flow: Any, cut: int) -> None:
    half = flow.streamed(EVENT[:cut], done=False)
    assert flow.run(half, good(flow, True)).whole.attempts == 2
    error = flow.run(*[half] * 4).failure
    assert type(error) is glmv.StreamTruncated
    assert error.retryable


def test_a_stream_truncated_inside_its_second_event_raises_stream_truncated(flow: Any) -> None:
    error = flow.run(flow.streamed(EVENT, EVENT[:40], done=False)).failure
    assert (type(error), error.retryable, error.attempts) == (glmv.StreamTruncated, True, 1)
    assert error.partial.text == "你 hello"


@pytest.mark.parametrize("damage", [b"data: {x\n\n", b"data: 5\n\n", b'data: {"id":"1","cho\n\n', b"data: \xff\n\n"])
def test_a_damaged_first_event_is_retried(flow: Any, damage: bytes) -> None:
    assert flow.run(flow.streamed(damage), good(flow, True)).whole.attempts == 2
    error = flow.run(*[flow.streamed(damage)] * 4).failure
    assert (type(error), error.attempts) == (glmv.MalformedResponse, 4)


FIRST_EVENTS: dict[str, tuple[bytes, str]] = {
    "a text": (b'data: {"error":"upstream connect error"}\n\n', "upstream connect error"),
    "no code": (b'data: {"error":{"message":"Internal","type":"server_error","code":null}}\n\n', "Internal"),
    "unknown type": (b'data: {"error":{"message":"Odd","type":"odd"}}\n\n', "Odd"),
    "Anthropic": (b'data: {"type":"error","error":{"type":"overloaded_error","message":"Full"}}\n\n', "Full"),
    "FastAPI": (b'data: {"detail":"CUDA out of memory"}\n\n', "CUDA out of memory"),
    "errors": (b'data: {"errors":[{"message":"one"},{"message":"two"}]}\n\n', "one; two"),
    "a list": (b'data: {"error":["one"]}\n\n', "one"),
    "a message": (b'data: {"message":"no worker"}\n\n', "no worker"),
    "plain text": (b"event: error\ndata: upstream timed out\n\n", "upstream timed out"),
    "JSON text": (b'event: error\ndata: "worker died"\n\n', "worker died"),
    "an object": (b'event: error\ndata: {"oops": 1}\n\n', "oops"),
}  # fmt: skip


@pytest.mark.parametrize("name", FIRST_EVENTS)
def test_a_stream_whose_first_event_is_an_error_is_retried(flow: Any, name: str) -> None:
    event, words = FIRST_EVENTS[name]
    assert flow.run(flow.streamed(event), good(flow, True)).whole.attempts == 2
    error = flow.run(*[flow.streamed(event)] * 4).failure
    assert type(error) is glmv.ServerError
    assert (error.retryable, error.attempts) == (True, 4)
    assert words in str(error)


@pytest.mark.parametrize("name", FIRST_EVENTS)
def test_an_error_event_after_a_delta_is_raised_without_a_retry(flow: Any, name: str) -> None:
    event, words = FIRST_EVENTS[name]
    error = flow.run(flow.streamed(flow.piece("half"), event, done=False)).failure
    assert (error.attempts, error.partial.text) == (1, "half")
    assert words in str(error) or name == "a message"  # which may as well be news of an answer to come


def test_a_platform_code_in_the_text_of_an_error_event_decides_the_error_class(flow: Any) -> None:
    event = 'event: error\ndata: RateLimitError: {"error":{"code":"1113","message":"余额不足"}}\n\n'.encode()
    error = flow.run(flow.streamed(event)).failure
    assert (type(error), error.code, error.attempts) == (glmv.QuotaError, "1113", 1)


def test_informational_events_before_an_answer_are_ignored(flow: Any) -> None:
    outcome = flow.run(flow.streamed({"message": "waiting for a worker"}, flow.piece("hello", "stop")))
    assert outcome.whole.text == "hello"


UNREADABLE: dict[str, tuple[list[Any], dict[str, str]]] = {
    "br": ([b"\x0b\x02\x80<html>"], {"content-encoding": "br"}),
    "zstd": ([b"zz"], {"content-encoding": "zstd"}),
    "no gzip": ([b"no gzip"], {"content-encoding": "gzip"}),
    "gzip, cut": ([gzip.compress(b"x" * 9000)[:15]], {"content-encoding": "gzip"}),
    "reset": ([b'{"err', Failure("reset", "broken")], {}),
    "reset at once": ([Failure("reset", "broken")], {}),
    "stall": ([1000.0], {}),
    "drip": ([b" ", 4.0] * 20, {}),
    "too long": ([b"x" * 700_000, b"x" * 700_000], {}),
    "not UTF-8": ([b"\xff\xfe\x00"], {}),
}


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize(
    ("status", "kind", "attempts"),
    [
        (401, glmv.AuthenticationError, 1),
        (400, glmv.InvalidRequestError, 1),
        (413, glmv.LimitExceeded, 1),
        (429, glmv.RateLimitError, 4),
        (502, glmv.ServerError, 4),
        (503, glmv.ServerError, 4),
    ],
)
def test_the_status_decides_the_error_class_if_the_body_cannot_be_read(
    flow: Any, stream: bool, name: str, status: int, kind: type[glmv.GLMVError], attempts: int
) -> None:
    pieces, headers = UNREADABLE[name]
    answer = flow.Answer(pieces, status, {"retry-after": "7", **headers})
    error = flow.run(*[answer] * attempts, stream=stream).failure
    assert type(error) is kind
    assert (error.status_code, error.attempts, error.retry_after) == (status, attempts, 7.0)


def test_the_retry_after_header_of_an_unreadable_refusal_is_obeyed(flow: Any) -> None:
    answer = flow.Answer([b"zz"], 429, {"retry-after": "7", "content-encoding": "br"})
    outcome = flow.run(answer, good(flow, True))
    assert outcome.whole.text == "hello"
    assert 7.0 <= outcome.pauses[0] <= 8.0
    assert outcome.drops == [True]


def test_a_refusal_whose_body_stalls_is_awaited_for_at_most_15_seconds(flow: Any) -> None:
    began = flow.now
    flow.run(flow.Answer([10_000.0], 401, {}), stream=False)
    assert flow.now - began <= 15


def test_a_refusal_whose_body_stalls_until_the_deadline_keeps_its_status(flow: Any) -> None:
    began = flow.now
    policy = flow.policy(deadline=3.0)
    error = flow.run(flow.Answer([10_000.0], 401, {}), stream=False, policy=policy).failure
    assert type(error) is glmv.AuthenticationError
    assert flow.now - began <= 3.0
    late = flow.run(flow.Answer([10_000.0], 502, {}), stream=False, policy=policy).failure
    assert (type(late), late.status_code) == (glmv.DeadlineExceeded, 502)


def test_an_error_code_in_a_truncated_refusal_is_read(flow: Any) -> None:
    half = b'{"error":{"code":"1113","message":"\xe4\xbd\x99\xe9\xa2\x9d'
    for pieces in ([half], [half, Failure("reset", "broken")]):
        error = flow.run(flow.Answer(pieces, 429, {"content-type": "application/json"})).failure
        assert (type(error), error.code, error.attempts) == (glmv.QuotaError, "1113", 1)


def test_an_error_code_in_a_plain_text_refusal_is_read(flow: Any) -> None:
    text = b'litellm.RateLimitError: {"error":{"code":"1113","message":"m"}}'
    error = flow.run(flow.Answer([text], 429, {"content-type": "text/plain"})).failure
    assert (type(error), error.code, error.attempts) == (glmv.QuotaError, "1113", 1)


def test_credentials_in_the_reason_of_an_error_are_masked(flow: Any) -> None:
    from glmv.credentials import Secrets

    key = "abcd1234abcd1234.SecretSecret1"
    for payload in (
        {"detail": f"bad key {key}"},
        {"detail": [{"loc": ["header"], "msg": key}]},
        {"errors": [key]},
        {"error": {"message": {"detail": key}}},
        {"error_msg": key},
    ):
        for text in (json.dumps(payload), json.dumps(payload).replace("S", "\\u0053"), json.dumps(payload)[:-1]):
            answer = flow.Answer([text.encode()], 400, {"content-type": "application/json"})
            error = flow.run(answer, secrets=Secrets(key)).failure
            assert "SecretSecret1" not in str(error)
            assert "****" in str(error)


@pytest.mark.parametrize("kind", ["reset", "write_timeout"])
def test_if_the_connection_breaks_the_error_names_the_size_of_a_large_request(kind: str) -> None:
    from glmv.exchange.flow import LARGE_BODY, fetch
    from glmv.exchange.retry import Policy, RetryBudget
    from glmv.request.prepare import Call

    def message_for(size: int) -> str:
        body: Any = bytes(size)
        steps = fetch(Call("POST", "/x", lambda _: body), Policy(max_retries=0, budget=RetryBudget()))
        next(steps)
        steps.send(None)
        steps.throw(Failure(kind, "It broke."))
        with pytest.raises(glmv.ConnectionFailed) as caught:
            steps.send(None)
        return str(caught.value)

    assert "The request has 1.0 MB: " in message_for(LARGE_BODY)
    assert "The request has 2.5 MB: " in message_for(2_500_000)
    assert "MB" not in message_for(LARGE_BODY - 1)


@pytest.mark.parametrize("error", [{"code": 502, "message": "Provider disconnected"}, "Provider disconnected"])
def test_an_error_inside_a_choice_is_treated_like_an_error_beside_the_choices(flow: Any, error: object) -> None:
    chunk = {"id": "x", "choices": [{"index": 0, "delta": {"content": ""}, "error": error}]}
    failure = flow.run(flow.streamed(flow.piece("half"), chunk)).failure
    assert type(failure) is glmv.ServerError
    assert (failure.partial.text, failure.attempts) == ("half", 1)
    assert "Provider disconnected" in str(failure)
    assert flow.run(flow.streamed(chunk), good(flow, True)).whole.attempts == 2
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "half"}, "error": error}]}
    assert flow.run(flow.body(body), good(flow, False), stream=False).whole.attempts == 2


def test_a_choice_whose_error_field_is_null_is_an_answer(flow: Any) -> None:
    piece = flow.piece('say "error"', "stop")
    piece["choices"][0]["error"] = None
    assert flow.run(flow.streamed(piece)).whole.text == 'say "error"'


@pytest.mark.parametrize("stream", STREAM)
def test_finish_reason_length_without_a_token_raises_context_length_error(flow: Any, stream: bool) -> None:
    none = {"prompt_tokens": 8200, "completion_tokens": 0, "total_tokens": 8200}
    error = flow.run(ended(flow, stream, None, "length", usage=none), stream=stream).failure
    assert type(error) is glmv.ContextLengthError
    assert (error.attempts, error.retryable, "max_tokens" in str(error)) == (1, False, True)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize(
    ("text", "reason", "tokens"),
    [("half", "length", 0), (None, "length", 5), (None, "length", None), (None, "stop", 0)],
    ids=["text", "tokens", "no usage", "stop"],
)
def test_context_length_error_needs_finish_reason_length_and_no_text_and_zero_tokens(
    flow: Any, stream: bool, text: str | None, reason: str, tokens: int | None
) -> None:
    usage = {"prompt_tokens": 8, "completion_tokens": tokens, "total_tokens": 8} if tokens is not None else None
    answer = flow.run(ended(flow, stream, text, reason, usage=usage), stream=stream).whole
    assert (answer.text, answer.finish_reason) == (text or "", reason)
