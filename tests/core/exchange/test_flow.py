"""The steps of a call, against a script of answers and a clock that the test moves."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from typing import Any

import pytest

import glmv
from glmv import Box, Usage
from glmv.exchange.flow import answer_of, exchange, fetch, worked
from glmv.exchange.retry import MAX_RETRY_AFTER, Policy, RetryBudget
from glmv.exchange.steps import Drop, Enter, Failure, Opened, Pause, Read, Send, Work
from glmv.request.prepare import Call
from glmv.sending import timeouts
from glmv.wire.codes import Retry

STREAM = [True, False]


def busy(flow: Any, code: str = "1302", status: int = 429, **headers: str) -> Any:
    return flow.body({"error": {"code": code, "message": "m"}}, status, **headers)


def good(flow: Any, stream: bool) -> Any:
    return (
        flow.streamed(flow.piece("hello"), flow.piece("", "stop", usage=flow.USAGE))
        if stream
        else flow.body(flow.whole())
    )


def test_a_streaming_call_takes_a_slot_then_sends_the_request_and_then_yields_deltas(flow: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("hel"), flow.piece("lo"), flow.piece("", "stop", usage=flow.USAGE)))
    assert outcome.steps == [
        "Enter",
        "Send",
        "Read",
        "Hand",
        "Read",
        "Hand",
        "Read",
        "Read",
        "Hand",
        "Finish",
    ]
    assert [delta.text for delta in outcome.deltas] == ["hel", "lo", ""]
    answer = outcome.whole
    assert (answer.text, answer.finish_reason, answer.usage) == ("hello", "stop", Usage(1037, 37, 1074))
    assert answer.attempts == 1


def test_a_whole_answer_is_returned_and_not_yielded(flow: Any) -> None:
    outcome = flow.run(flow.body(flow.whole("hello")), stream=False)
    assert outcome.steps == ["Enter", "Send", "Read", "Read", "Finish"]
    assert outcome.whole.text == "hello"


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("code", ["1302", "1303", "1305", "1312"])
def test_a_busy_error_is_retried_up_to_max_retries(flow: Any, stream: bool, code: str) -> None:
    outcome = flow.run(*[busy(flow, code)] * 4, stream=stream)
    assert type(outcome.failure) is glmv.RateLimitError
    assert (outcome.failure.code, outcome.failure.status_code, outcome.failure.attempts) == (code, 429, 4)
    assert outcome.pauses == [2, 4, 8]
    assert outcome.drops == [True] * 4  # the gate gets each refusal


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("code", ["1113", "1304", "1308", "1309", "1310", "1311", "1313", "1316", "1321"])
def test_quota_errors_are_not_retried(flow: Any, stream: bool, code: str) -> None:
    outcome = flow.run(busy(flow, code), stream=stream)
    assert type(outcome.failure) is glmv.QuotaError
    assert (outcome.failure.attempts, outcome.pauses, outcome.drops) == (1, [], [False])


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("status", [500, 502, 504, 408])
def test_server_errors_are_retried(flow: Any, stream: bool, status: int) -> None:
    page = flow.Answer([b"<html>" + b"x" * 20_000], status, {"content-type": "text/html"})
    outcome = flow.run(page, page, good(flow, stream), stream=stream)
    assert (outcome.whole.text, outcome.whole.attempts) == ("hello", 3)
    assert outcome.pauses == [0.5, 1]
    assert outcome.drops == [False, False]


def test_the_error_for_an_html_page_of_a_gateway_has_at_most_300_characters(flow: Any) -> None:
    page = flow.Answer([b"<html>\x1b[2J" + b"x" * 20_000], 502, {"content-type": "text/html"})
    error = str(flow.run(page, policy=flow.policy(max_retries=0)).failure)
    assert "502" in error
    assert "\x1b" not in error
    assert len(error) <= 300


@pytest.mark.parametrize("stream", STREAM)
def test_a_retry_waits_for_the_servers_retry_after(flow: Any, stream: bool) -> None:
    outcome = flow.run(busy(flow, **{"retry-after": "3"}), good(flow, stream), stream=stream)
    assert outcome.whole.attempts == 2
    assert outcome.pauses == [pytest.approx(3.3)]


@pytest.mark.parametrize("stream", STREAM)
def test_a_retry_after_of_3600_seconds_is_not_waited_for_and_is_in_the_error(flow: Any, stream: bool) -> None:
    outcome = flow.run(busy(flow, **{"retry-after": "3600"}), stream=stream)
    assert (outcome.failure.retry_after, outcome.failure.attempts, outcome.failure.retryable) == (
        3600,
        1,
        True,
    )
    assert MAX_RETRY_AFTER < 3600


def test_a_refused_call_with_max_retries_0_makes_one_request(flow: Any) -> None:
    assert flow.run(busy(flow), policy=flow.policy(max_retries=0)).failure.attempts == 1


@pytest.mark.parametrize(
    ("kind", "attempts", "raised"),
    [
        ("connect", 4, glmv.ConnectionFailed),
        ("connect_timeout", 4, glmv.RequestTimeout),
        ("dns", 4, glmv.ConnectionFailed),
        ("no_such_host", 1, glmv.ConnectionFailed),
        ("tls", 1, glmv.ConnectionFailed),
        ("reset", 4, glmv.ConnectionFailed),
        ("read_timeout", 2, glmv.RequestTimeout),
        ("write_timeout", 2, glmv.RequestTimeout),
        ("closed", 1, glmv.ConnectionFailed),
        ("proxy", 4, glmv.ConnectionFailed),
        ("proxy_refused", 1, glmv.ConnectionFailed),
        ("proxy_auth", 1, glmv.ConnectionFailed),
    ],
)
@pytest.mark.parametrize("stream", STREAM)
def test_the_kind_of_a_connection_error_decides_how_often_the_call_is_retried(
    flow: Any, kind: str, attempts: int, raised: type[glmv.GLMVError], stream: bool
) -> None:
    outcome = flow.run(*[Failure(kind, "it broke")] * attempts, stream=stream)
    assert type(outcome.failure) is raised
    assert (outcome.failure.attempts, outcome.failure.kind) == (attempts, kind)
    assert len(outcome.sent) == attempts


@pytest.mark.parametrize(
    ("error", "pause"),
    [(glmv.ConnectionFailed("The key service is down."), None), (glmv.ServerError("The key service failed."), 0.5)],
)
def test_an_error_without_status_and_code_is_retried_only_if_it_is_a_server_error(
    flow: Any, error: glmv.GLMVError, pause: float | None
) -> None:
    steps = exchange(Call("POST", "/x", lambda _: b""), flow.policy(), stream=False)
    next(steps)
    assert isinstance(steps.send(None), Send)
    assert steps.throw(error) == Drop()  # as when the user's `api_key` function raises it
    if pause is None:
        with pytest.raises(type(error), match="The key service"):
            steps.send(None)
    else:
        assert steps.send(None) == Pause(pause)


def test_a_read_timeout_and_a_write_timeout_share_one_retry(flow: Any) -> None:
    outcome = flow.run(Failure("read_timeout", ""), Failure("write_timeout", ""))
    assert outcome.failure.attempts == 2


def test_a_connection_that_the_server_closed_is_replaced_at_once(flow: Any) -> None:
    outcome = flow.run(Failure("reset", "it was closed"), good(flow, True))
    assert (outcome.whole.attempts, outcome.pauses) == (2, [])


@pytest.mark.parametrize("stream", STREAM)
def test_a_call_whose_connection_breaks_before_the_first_delta_is_retried(flow: Any, stream: bool) -> None:
    half = (
        flow.streamed(Failure("reset", "x"), done=False) if stream else flow.Answer([b'{"id"', Failure("reset", "x")])
    )
    outcome = flow.run(half, good(flow, stream), stream=stream)
    assert (outcome.whole.text, outcome.whole.attempts, outcome.pauses) == ("hello", 2, [0.5])


def test_each_attempt_has_a_new_request_id_unless_the_user_sets_one(flow: Any) -> None:
    ours = flow.run(busy(flow), busy(flow), good(flow, True)).sent
    theirs = flow.run(busy(flow), busy(flow), good(flow, True), request_id="my-own-id").sent
    assert len(set(ours)) == 3
    assert theirs == ["my-own-id"] * 3


def test_answers_and_errors_have_the_request_id_of_the_last_attempt(flow: Any) -> None:
    outcome = flow.run(busy(flow), good(flow, True))
    assert outcome.whole.request_id == outcome.sent[-1]
    failed = flow.run(busy(flow), policy=flow.policy(max_retries=0))
    assert failed.failure.request_id == failed.sent[-1]
    outcome = flow.run(flow.body({"error": {"code": "1210", "message": "m"}, "request_id": "theirs"}, 400))
    assert outcome.failure.request_id == "theirs"


def test_a_duplicate_request_id_is_retried_only_after_a_timeout(flow: Any) -> None:
    again = flow.run(Failure("read_timeout", ""), busy(flow, "1231", 400), good(flow, True))
    assert again.whole.attempts == 3
    once = flow.run(busy(flow, "1231", 400), request_id="my-own-id")
    assert (type(once.failure), once.failure.attempts) == (glmv.InvalidRequestError, 1)


@pytest.mark.parametrize(("status", "code"), [(401, "1003"), (401, "401"), (200, "1003")])
def test_a_call_with_an_expired_token_signs_a_new_token_once(flow: Any, status: int, code: str) -> None:
    outcome = flow.run(busy(flow, code, status), good(flow, True), renew=flow.renew)
    assert (outcome.whole.attempts, outcome.pauses, flow.renewed) == (2, [], 1)
    failed = flow.run(busy(flow, code, status), busy(flow, code, status), renew=flow.renew)
    assert type(failed.failure) is glmv.AuthenticationError
    assert (failed.failure.attempts, flow.renewed) == (2, 2)


def test_a_call_whose_plain_key_is_refused_is_not_retried(flow: Any) -> None:
    assert flow.run(busy(flow, "1003", 401)).failure.attempts == 1


def test_the_error_for_a_refused_token_names_a_wrong_local_clock(flow: Any) -> None:
    flow.wall = 1_800_000_000.0 - flow.now
    refused = busy(flow, "1003", 401, date="Fri, 15 Jan 2027 07:00:00 GMT")
    assert "clock is 3600 s ahead of" in str(flow.run(refused).failure)


@pytest.mark.parametrize("stream", STREAM)
def test_a_request_to_a_wrong_path_is_not_retried_although_its_error_code_is_500(flow: Any, stream: bool) -> None:
    outcome = flow.run(flow.body({"code": 500, "msg": "404 NOT_FOUND", "success": False}), stream=stream)
    assert (type(outcome.failure), outcome.failure.attempts) == (glmv.NotFoundError, 1)


def test_a_non_repeatable_call_is_not_retried_after_a_reset(flow: Any) -> None:
    policy = flow.policy(repeatable=False)
    assert flow.run(Failure("reset", ""), policy=policy).failure.attempts == 1


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("status", [200, 400])
def test_the_code_of_an_error_body_decides_the_error_class_for_any_status(flow: Any, stream: bool, status: int) -> None:
    payload = {"contentFilter": [{"level": 1, "role": "user"}], "error": {"code": "1301", "message": "m"}}
    error = flow.run(flow.body(payload, status), stream=stream).failure
    assert type(error) is glmv.ContentFilterError
    assert (error.content_filter, error.attempts) == ([{"level": 1, "role": "user"}], 1)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"<html>please log in</html>", "text/html", "web page"),
        (b"", "application/json", "no body"),
        (b" \n", "application/json", "no body"),
        (b"null", "application/json", "not a JSON object"),
        (b"[]", "application/json", "not a JSON object"),
        (b"{x", "application/json", "not JSON"),
        (b"{}", "application/json", "Expected a stream|no choices"),
        (b'{"choices": []}', "application/json", "Expected a stream|no choices"),
        (b'{"choices": [5]}', "application/json", "fields are choices: "),
    ],
)
def test_an_answer_that_cannot_be_read_raises_malformed_response(
    flow: Any, stream: bool, data: bytes, kind: str, message: str
) -> None:
    error = flow.run(flow.Answer([data], 200, {"content-type": kind}), stream=stream).failure
    assert type(error) is glmv.MalformedResponse
    assert error.attempts == 1
    with pytest.raises(glmv.MalformedResponse, match=message):
        raise error


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_raises_an_error_that_names_its_target(flow: Any, stream: bool, status: int) -> None:
    answer = flow.Answer([], status, {"location": "https://elsewhere.example/"})
    error = flow.run(answer, stream=stream).failure
    assert type(error) is glmv.MalformedResponse
    assert "https://elsewhere.example/" in str(error)


def test_a_whole_answer_to_a_stream_request_is_read(flow: Any) -> None:
    outcome = flow.run(flow.body(flow.whole("hello")))
    assert (outcome.whole.text, outcome.text) == ("hello", "hello")
    assert [delta.last for delta in outcome.deltas] == [False, True]


def test_a_truncated_stream_is_an_error_with_the_text_so_far(flow: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("half", request_id="theirs"), done=False))
    error = outcome.failure
    assert type(error) is glmv.StreamTruncated
    assert (error.partial.text, error.attempts, error.request_id, error.retryable) == (
        "half",
        1,
        "theirs",
        True,
    )


def test_a_stream_that_ends_before_its_first_delta_is_retried(flow: Any) -> None:
    outcome = flow.run(flow.streamed(done=False), good(flow, True))
    assert outcome.whole.attempts == 2


def test_a_stream_is_complete_after_a_finish_reason_or_a_done_event(flow: Any) -> None:
    assert flow.run(flow.streamed(flow.piece("x", "stop"), done=False)).whole.finish_reason == "stop"
    assert flow.run(flow.streamed(flow.piece("x"))).whole.finish_reason is None


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"data:[DONE]\r\n\r\n", b"data: [done]\n\n"])
def test_nothing_is_read_after_the_done_event(flow: Any, end: bytes) -> None:
    outcome = flow.run(flow.streamed(flow.piece("x"), end + end + flow.event(flow.piece("y")), done=False))
    assert (outcome.whole.text, outcome.steps.count("Read")) == ("x", 2)


def test_a_done_event_at_the_end_needs_no_blank_line(flow: Any) -> None:
    assert flow.run(flow.streamed(flow.piece("x"), b"data: [DONE]", done=False)).whole.text == "x"


def test_a_stream_with_only_a_done_event_raises_malformed_response(flow: Any) -> None:
    assert type(flow.run(flow.streamed()).failure) is glmv.MalformedResponse


def test_the_last_event_needs_no_blank_line(flow: Any) -> None:
    last = flow.event(flow.piece("y", "stop")).rstrip(b"\n")
    assert flow.run(flow.streamed(flow.piece("x"), last, done=False)).whole.text == "xy"


def test_comments_and_ping_events_in_a_stream_are_ignored(flow: Any) -> None:
    noise = b": ping\n\nevent: ping\n\nevent: ping\ndata: 1\n\nid: 7\nretry: 10\n\ndata:\n\n"
    assert flow.run(flow.streamed(noise, flow.piece("x"), noise, flow.piece("", "stop"))).whole.text == "x"


@pytest.mark.parametrize("kind", ["", "event: error\n"])
def test_an_error_inside_a_stream_has_the_text_so_far(flow: Any, kind: str) -> None:
    event = kind.encode() + flow.event(
        {"error": {"code": "1301", "message": "m"}, "contentFilter": [], "request_id": "r9"}
    )
    outcome = flow.run(flow.streamed(flow.piece("half"), event))
    error = outcome.failure
    assert type(error) is glmv.ContentFilterError
    assert (error.partial.text, error.code, error.request_id, error.attempts) == ("half", "1301", "r9", 1)
    assert outcome.text == "half"


def test_deltas_received_together_with_an_error_event_are_yielded_first(flow: Any) -> None:
    outcome = flow.run(
        flow.streamed(flow.event(flow.piece("half")) + flow.event({"error": {"code": "1305", "message": "m"}}))
    )
    assert outcome.text == "half"
    assert (outcome.failure.code, outcome.failure.attempts, outcome.failure.partial.text) == (
        "1305",
        1,
        "half",
    )


def test_an_error_code_in_the_first_event_decides_whether_the_call_is_retried(flow: Any) -> None:
    outcome = flow.run(flow.streamed({"error": {"code": "1302", "message": "m"}}), good(flow, True))
    assert (outcome.whole.attempts, outcome.pauses, outcome.drops) == (2, [2], [True])
    assert flow.run(flow.streamed({"error": {"code": "1113", "message": "m"}})).failure.attempts == 1


def test_an_error_event_without_code_is_a_server_error(flow: Any) -> None:
    error = flow.run(flow.streamed(flow.piece("a"), b'event: error\ndata: {"oops": 1}\n\n')).failure
    assert type(error) is glmv.ServerError
    assert "oops" in str(error)


@pytest.mark.parametrize(
    "what", [Failure("reset", "broken"), Failure("read_timeout", "late"), b"data: {x\n\n", b"data: 5\n\n"]
)
def test_nothing_is_retried_after_the_first_delta(flow: Any, what: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("half", usage=flow.USAGE, request_id="theirs"), what, done=False))
    error = outcome.failure
    assert isinstance(error, glmv.StreamInterrupted) is isinstance(what, Failure)
    assert isinstance(error, glmv.MalformedResponse)
    assert (error.attempts, len(outcome.sent), error.retryable) == (1, 1, True)
    assert (error.partial.text, error.partial.usage, error.request_id) == (
        "half",
        Usage(1037, 37, 1074),
        "theirs",
    )


def test_finish_reason_sensitive_after_streamed_text_raises_content_filter_error(flow: Any) -> None:
    last = flow.piece("", "sensitive", content_filter=[{"role": "assistant", "level": 1}], usage=flow.USAGE)
    error = flow.run(flow.streamed(flow.piece("bad"), last)).failure
    assert type(error) is glmv.ContentFilterError
    assert (error.partial.text, error.partial.finish_reason, error.content_filter) == (
        "bad",
        "sensitive",
        [{"role": "assistant", "level": 1}],
    )


@pytest.mark.parametrize("stream", STREAM)
def test_finish_reason_sensitive_is_returned_with_the_option_on_sensitive_return(flow: Any, stream: bool) -> None:
    answers = flow.streamed(flow.piece("bad", "sensitive")) if stream else flow.body(flow.whole("bad", "sensitive"))
    answer = flow.run(answers, stream=stream, sensitive="return").whole
    assert (answer.text, answer.finish_reason) == ("bad", "sensitive")
    assert type(flow.run(answers, stream=stream).failure) is glmv.ContentFilterError


WITHDRAWN = {"error": {"code": "1301", "message": "m"}, "contentFilter": [{"role": "assistant", "level": 1}]}


def test_text_before_a_filter_error_is_returned_with_the_option_on_sensitive_return(flow: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("half"), WITHDRAWN | {"request_id": "r9"}), sensitive="return")
    answer, last = outcome.whole, outcome.deltas[-1]
    assert (answer.text, answer.finish_reason, answer.request_id) == ("half", "sensitive", "r9")
    assert answer.content_filter == WITHDRAWN["contentFilter"]
    assert (last.last, last.finish_reason, last.content_filter) == (True, "sensitive", answer.content_filter)
    assert [delta.last for delta in outcome.deltas] == [False, True]


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("status", [200, 400])
def test_on_sensitive_set_to_return_turns_a_filter_refusal_into_an_empty_answer(
    flow: Any, stream: bool, status: int
) -> None:
    outcome = flow.run(flow.body(WITHDRAWN, status=status), stream=stream, sensitive="return")
    assert (outcome.whole.text, outcome.whole.finish_reason) == ("", "sensitive")
    assert outcome.whole.content_filter == WITHDRAWN["contentFilter"]
    assert outcome.whole.attempts == len(outcome.sent) == len(outcome.drops) == 1
    assert [delta.last for delta in outcome.deltas] == [True] * stream


def test_a_request_blocked_by_policy_raises_even_if_on_sensitive_is_set_to_return(flow: Any) -> None:
    outcome = flow.run(flow.body({"error": {"code": "1300", "message": "m"}}, status=400), sensitive="return")
    assert type(outcome.failure) is glmv.ContentFilterError


def test_held_back_text_is_returned_when_a_content_filter_ends_the_stream(flow: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("half <|beg"), WITHDRAWN), sensitive="return", cut=("fig",))
    assert outcome.text == outcome.whole.text == "half <|beg"


@pytest.mark.parametrize("stream", STREAM)
def test_an_answer_with_finish_reason_network_error_is_an_error(flow: Any, stream: bool) -> None:
    broken = flow.streamed(flow.piece("", "network_error")) if stream else flow.body(flow.whole("", "network_error"))
    assert flow.run(broken, good(flow, stream), stream=stream).whole.attempts == 2
    error = flow.run(*[broken] * 4, stream=stream).failure
    assert isinstance(error, glmv.StreamInterrupted)
    assert error.retryable
    seen = flow.run(flow.streamed(flow.piece("half"), flow.piece("", "network_error"))).failure
    assert (seen.attempts, seen.partial.text) == (1, "half")


def test_client_side_stop_words_end_the_text_with_finish_reason_stop(flow: Any) -> None:
    chunks = [flow.piece("one E"), flow.piece("ND two"), flow.piece(" three", "length")]
    outcome = flow.run(flow.streamed(*chunks), cut=("END",))
    assert (outcome.whole.text, outcome.whole.finish_reason) == ("one ", "stop")
    assert outcome.text == "one "


def test_boxes_and_notes_come_with_the_last_delta(flow: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("[0, 0, 500, 1000]", "stop")), notes=("n",), sizes=((200, 100),))
    box = Box((0, 0, 500, 1000), (0, 0, 100, 100), 0)
    assert (outcome.whole.boxes, outcome.whole.notes) == ((box,), ("n",))
    assert [(delta.boxes, delta.notes) for delta in outcome.deltas] == [((), ()), ((box,), ("n",))]


def test_the_deadline_covers_the_request_and_the_body_and_the_wait_for_a_slot(flow: Any) -> None:
    steps = exchange(Call("POST", "/x", lambda _: b""), flow.policy(deadline=5.0), stream=True)
    assert next(steps) == Enter(1005.0, patience=300.0)
    step = steps.send(None)
    assert isinstance(step, Send)
    assert step.until == 1005.0
    assert steps.send(Opened(200, {"content-type": "text/event-stream"})) == Read(1005.0)


@pytest.mark.parametrize("stream", STREAM)
def test_a_slow_body_raises_deadline_exceeded_at_the_deadline(flow: Any, stream: bool) -> None:
    drips = [item for _ in range(100) for item in (1.0, b" ")]
    answer = flow.Answer(drips, 200, {"content-type": "text/event-stream" if stream else "application/json"})
    outcome = flow.run(answer, stream=stream, policy=flow.policy(deadline=10.0))
    assert type(outcome.failure) is glmv.DeadlineExceeded
    assert flow.now <= 1010.25


def test_the_error_of_a_deadline_inside_a_stream_has_the_text_so_far(flow: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("half"), 60.0, flow.piece("more")), policy=flow.policy(deadline=10.0))
    assert type(outcome.failure) is glmv.DeadlineExceeded
    assert (outcome.failure.partial.text, outcome.failure.attempts, flow.now) == ("half", 1, 1010.0)


def test_events_that_keep_coming_do_not_extend_the_deadline(flow: Any) -> None:
    steps = exchange(Call("POST", "/x", lambda _: b""), flow.policy(deadline=5.0), stream=True)
    next(steps)
    steps.send(None)
    steps.send(Opened(200, {"content-type": "text/event-stream"}))
    steps.send(flow.event(flow.piece("half")))
    assert steps.send(None) == Read(1005.0)
    flow.now += 5.0
    steps.send(flow.event(flow.piece(" and more")))
    assert steps.send(None) == Drop()
    with pytest.raises(glmv.DeadlineExceeded) as failed:
        steps.send(None)
    assert failed.value.partial is not None
    assert failed.value.partial.text == "half and more"


def test_pauses_between_attempts_count_toward_the_deadline(flow: Any) -> None:
    outcome = flow.run(busy(flow), busy(flow), policy=flow.policy(deadline=5.0))
    assert type(outcome.failure) is glmv.DeadlineExceeded
    assert (outcome.pauses, outcome.failure.attempts, outcome.failure.code) == ([2], 2, "1302")


def test_a_read_timeout_at_the_deadline_raises_deadline_exceeded(flow: Any) -> None:
    flow_now = flow.now
    policy = flow.policy(deadline=5.0)
    steps = exchange(Call("POST", "/x", lambda _: b""), policy, stream=False)
    next(steps)
    steps.send(None)
    flow.now = flow_now + 5.0
    steps.throw(Failure("read_timeout", "late"))
    with pytest.raises(glmv.DeadlineExceeded, match="5 s"):
        steps.send(None)


def test_a_pause_between_events_longer_than_idle_timeout_raises_an_error(flow: Any) -> None:
    outcome = flow.run(
        flow.streamed(flow.piece("half"), 60.0, flow.piece("more")), policy=flow.policy(idle_timeout=5.0)
    )
    assert type(outcome.failure) is glmv.StreamInterrupted
    assert "No event of the stream came for 5 s (idle_timeout)" in str(outcome.failure)
    assert (outcome.failure.partial.text, flow.now) == ("half", 1005.0)


def test_comments_do_not_extend_the_idle_timeout_of_a_stream(flow: Any) -> None:
    pings = [item for _ in range(100) for item in (1.0, b": ping\n\n")]
    outcome = flow.run(flow.streamed(flow.piece("half"), *pings), policy=flow.policy(idle_timeout=5.0))
    assert type(outcome.failure) is glmv.StreamInterrupted
    assert flow.now <= 1007.0


@pytest.mark.parametrize("encoding", ["identity", "deflate"])
def test_data_without_events_that_arrives_late_ends_a_stream_at_its_idle_timeout(flow: Any, encoding: str) -> None:
    first = flow.event(flow.piece("half"))
    rest = b": ping\n\n"
    if encoding == "deflate":
        packer = zlib.compressobj()
        first = packer.compress(first) + packer.flush(zlib.Z_SYNC_FLUSH)
        rest = b"\0\0\0\xff\xff"  # a block of 0 bytes (RFC 1951, 3.2.4)
    steps = exchange(Call("POST", "/x", lambda _: b""), flow.policy(idle_timeout=5.0), stream=True)
    next(steps)
    steps.send(None)
    steps.send(Opened(200, {"content-type": "text/event-stream", "content-encoding": encoding}))
    steps.send(first)
    assert steps.send(None) == Read(1005.0)
    flow.now += 4.0
    assert steps.send(rest) == Read(1005.0)
    flow.now += 2.0
    assert steps.send(rest) == Drop()
    with pytest.raises(glmv.StreamInterrupted, match="idle_timeout"):
        steps.send(None)


def test_a_complete_answer_is_returned_although_more_data_comes_after_the_deadline(flow: Any) -> None:
    steps = exchange(Call("POST", "/x", lambda _: b""), flow.policy(deadline=5.0), stream=True)
    next(steps)
    steps.send(None)
    steps.send(Opened(200, {"content-type": "text/event-stream"}))
    steps.send(flow.event(flow.piece("whole", "stop")))
    assert type(steps.send(None)) is Read
    flow.now += 6.0
    assert type(steps.send(b": ping\n\n")) is Read
    deltas = steps.send(b"data: [DONE]\n\n")
    assert [delta.finish_reason for delta in deltas] == ["stop"]


def test_comments_do_not_extend_an_idle_timeout_equal_to_the_read_timeout(flow: Any) -> None:
    pings = [item for _ in range(100) for item in (1.0, b": ping\n\n")]
    policy = flow.policy(idle_timeout=5.0, timeouts=timeouts(5.0))
    outcome = flow.run(flow.streamed(flow.piece("half"), *pings), policy=policy)
    assert type(outcome.failure) is glmv.StreamInterrupted
    assert flow.now <= 1007.0


@pytest.mark.parametrize("pieces", [[], [4.0], ["half"], ["half", 4.0]])
def test_the_error_of_a_reset_before_the_idle_timeout_does_not_name_the_timeout(flow: Any, pieces: list[Any]) -> None:
    script = [flow.piece(each) if isinstance(each, str) else each for each in pieces]
    answer = flow.streamed(*script, Failure("reset", "The server closed the connection."), done=False)
    error = flow.run(answer, policy=flow.policy(idle_timeout=5.0, max_retries=0)).failure
    assert "The server closed the connection." in str(error)
    assert "idle_timeout" not in str(error)


def test_a_stream_whose_first_event_comes_within_the_idle_timeout_succeeds(flow: Any) -> None:
    policy = flow.policy(idle_timeout=5.0)
    outcome = flow.run(flow.streamed(4.0, flow.piece("x"), 4.0, b": ping\n\n", flow.piece("", "stop")), policy=policy)
    assert (outcome.whole.text, outcome.whole.attempts) == ("x", 1)


def test_a_deadline_equal_to_the_idle_timeout_raises_deadline_exceeded(flow: Any) -> None:
    outcome = flow.run(flow.streamed(60.0, flow.piece("x")), policy=flow.policy(idle_timeout=5.0, deadline=5.0))
    assert type(outcome.failure) is glmv.DeadlineExceeded
    outcome = flow.run(flow.body(flow.whole("hello")), stream=False, policy=flow.policy(deadline=5.0))
    assert outcome.whole.text == "hello"


def test_events_without_content_restart_the_idle_timeout_of_a_stream(flow: Any) -> None:
    quiet = [item for _ in range(10) for item in (4.0, flow.piece(""))]
    outcome = flow.run(flow.streamed(*quiet, flow.piece("x", "stop")), policy=flow.policy(idle_timeout=5.0))
    assert outcome.whole.text == "x"


def test_a_stream_left_open_after_its_finish_reason_is_read_for_2_more_seconds(flow: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("x", "stop"), 300.0, done=False), policy=flow.policy(idle_timeout=60.0))
    assert outcome.whole.text == "x"
    assert flow.now == 1002.0


def test_a_deadline_after_the_finish_reason_raises_no_error(flow: Any) -> None:
    outcome = flow.run(
        flow.streamed(flow.piece("x", "stop"), 1.0, b": \n", 60.0, done=False),
        policy=flow.policy(deadline=2.0),
    )
    assert outcome.whole.text == "x"


def packed(data: bytes, encoding: str) -> bytes:
    return gzip.compress(data) if encoding == "gzip" else zlib.compress(data)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x-gzip", "GZIP"])
@pytest.mark.parametrize("stream", STREAM)
def test_a_compressed_answer_is_read_although_the_client_asks_for_no_compression(
    flow: Any, encoding: str, stream: bool
) -> None:
    text = "南" * 70_000
    plain = flow.streamed(flow.piece(text), flow.piece("", "stop")) if stream else flow.body(flow.whole(text))
    data = packed(b"".join(plain.pieces), encoding.lower().removeprefix("x-"))
    pieces = [data[at : at + 100] for at in range(0, len(data), 100)]
    answer = flow.Answer(pieces, 200, {**plain.headers, "content-encoding": encoding})
    assert flow.run(answer, stream=stream).whole.text == text


@pytest.mark.parametrize("stream", STREAM)
def test_a_compression_other_than_gzip_or_deflate_is_refused(flow: Any, stream: bool) -> None:
    answer = flow.Answer([b"x"], 200, {"content-type": "text/event-stream", "content-encoding": "br"})
    assert "'br'" in str(flow.run(answer, stream=stream).failure)


@pytest.mark.parametrize("stream", STREAM)
def test_an_invalid_compressed_body_is_malformed(flow: Any, stream: bool) -> None:
    answer = flow.Answer([b"no gzip"], 200, {"content-type": "text/event-stream", "content-encoding": "gzip"})
    assert "decompressed" in str(flow.run(answer, stream=stream).failure)


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("line", [b"\0", b": x\n", b"data:\n\n"])
def test_a_compression_bomb_is_stopped_at_the_size_limit(flow: Any, stream: bool, line: bytes) -> None:
    bomb = gzip.compress(line * (4_000_000 // len(line)), 1)
    kind = "text/event-stream" if stream else "application/json"
    answer = flow.Answer([bomb], 200, {"content-type": kind, "content-encoding": "gzip"})
    error = flow.run(answer, stream=stream, limit=300_000).failure
    assert type(error) is glmv.MalformedResponse
    assert "300000 bytes" in str(error)


def test_an_endless_body_is_stopped_at_the_size_limit(flow: Any) -> None:
    outcome = flow.run(flow.Answer([b" " * 1000] * 101, 200, {}), stream=False, limit=100_000)
    assert type(outcome.failure) is glmv.MalformedResponse
    assert "100000 bytes" in str(outcome.failure)


def test_fetch_returns_parsed_json_or_the_bytes_of_the_body_if_raw_is_true() -> None:
    def run(raw: bool) -> Any:
        steps = fetch(Call("GET", "/models", lambda _: None), Policy(budget=RetryBudget()), raw=raw)
        for step_result in (None, None, Opened(200, {"content-type": "application/json"}), b'{"a": ', b"1}", b""):
            steps.send(step_result)
        with pytest.raises(StopIteration) as ended:
            steps.send(None)
        return ended.value.value

    assert run(raw=False) == {"a": 1}
    assert run(raw=True) == b'{"a": 1}'


def test_an_answer_from_a_batch_or_task_equals_an_answer_from_chat(flow: Any) -> None:
    result = Call("GET", "/async-result/1", lambda _: None)
    answer = answer_of(result, flow.policy(), flow.whole("hello"))
    whole = flow.run(flow.body(flow.whole("hello")), stream=False).whole
    assert replace(answer, request_id=None) == replace(whole, request_id=None)
    with pytest.raises(glmv.ContentFilterError):
        answer_of(result, flow.policy(), flow.whole("bad", "sensitive"))


def large(flow: Any, **policy: Any) -> Any:
    return exchange(Call("POST", "/x", lambda _: b"[]", large=True), flow.policy(**policy), stream=False)


def test_a_large_request_is_encoded_in_a_worker_before_it_takes_a_slot(flow: Any) -> None:
    for policy in ({}, {"deadline": 5.0}):
        until = flow.now + 5.0 if policy else None
        steps = large(flow, **policy)
        work = next(steps)
        assert isinstance(work, Work)
        assert (work.function(), work.until) == (b"[]", until)
        flow.now += 4.0
        assert steps.send(b"[]") == Enter(until, patience=300.0)
        assert steps.send(None).body == b"[]"


def test_a_call_whose_encoding_ends_at_the_deadline_raises_deadline_exceeded(flow: Any) -> None:
    steps = large(flow, deadline=5.0)
    next(steps)
    flow.now += 5.0
    steps.send(b"[]")
    with pytest.raises(glmv.DeadlineExceeded, match="5 s"):
        steps.send(None)


def test_the_time_of_preparation_before_a_call_counts_toward_its_deadline(flow: Any) -> None:
    policy = flow.policy(deadline=5.0)
    before = worked(lambda: "fitted", policy)
    assert next(before).until == flow.now + 5.0
    flow.now += 3.0
    with pytest.raises(StopIteration) as ended:
        before.send("fitted")
    assert ended.value.value == "fitted"
    assert next(worked(lambda: "again", policy)).until == flow.now + 2.0
    late = worked(lambda: "late", policy)
    next(late)
    with pytest.raises(glmv.DeadlineExceeded):
        late.throw(Failure("deadline", "The worker did not end in time."))


@pytest.mark.parametrize("stream", STREAM)
def test_a_success_after_a_retry_adds_the_price_of_the_cheapest_retry_to_the_budget(flow: Any, stream: bool) -> None:
    while flow.budget.take(Retry.BUSY):
        pass
    assert flow.run(busy(flow, "503", 503), stream=stream).failure.attempts == 1
    for _ in range(int(RetryBudget.COST[Retry.BUSY])):
        flow.run(good(flow, stream), stream=stream)
    for _ in range(3):
        assert flow.run(busy(flow, "503", 503), good(flow, stream), stream=stream).whole.attempts == 2


@pytest.mark.parametrize(("code", "named"), [("1210", True), ("1261", False)])
def test_the_message_of_a_refusal_has_notes_on_its_cause_but_no_other_notes(flow: Any, code: str, named: bool) -> None:
    notes = ("A picture was scaled.", "The documents disagree on stop words.")
    error = flow.run(busy(flow, code, 400), notes=notes, causes=notes[1:]).failure
    assert ("The documents disagree on stop words." in error.message) is named
    assert "A picture was scaled." not in error.message
    assert error.__notes__ == [f"note: {note}" for note in notes]


@pytest.mark.parametrize(("count", "more"), [(20, False), (21, True)])
def test_the_error_for_an_unknown_answer_names_its_first_twenty_fields(flow: Any, count: int, more: bool) -> None:
    error = flow.run(flow.body({f"f{number}": 1 for number in range(count)}), stream=False).failure
    assert "its fields are f0, f1, " in str(error)
    assert ("f19…" in str(error)) is more


@pytest.mark.parametrize("stream", STREAM)
def test_calls_that_succeed_refill_the_retry_budget(flow: Any, stream: bool) -> None:
    while flow.budget.take(Retry.TRANSIENT):
        pass
    down = flow.body({"error": {"code": "1234", "message": "m"}}, 500)
    assert flow.run(down, stream=stream).failure.attempts == 1  # nothing is left for a retry
    for _ in range(int(RetryBudget.COST[Retry.TRANSIENT])):
        flow.run(good(flow, stream), stream=stream)
    assert flow.run(down, good(flow, stream), stream=stream).whole.attempts == 2
