"""Bodies of an unexpected type, and bytes after a complete answer, as the steps of a call read them."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glmv
from glmv.exchange.steps import Failure
from glmv.wire.markup import tools_of
from tests.support.other_answers import CASES, TOOLS

STREAM = [True, False]
KINDS = ["", "text/plain", "application/x-ndjson", "application/octet-stream", "application/json", "text/html",
         "text/event-stream"]  # fmt: skip


def as_events(flow: Any, *pieces: Any, kind: str = "text/plain", **headers: str) -> Any:
    answer = flow.streamed(*pieces, done=False)
    return flow.Answer(answer.pieces, 200, ({"content-type": kind} if kind else {}) | headers)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "begin", [b"", b": ping\n\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"event: message\n", b"retry: 5\n\n", b"id:1\n"]
)
def test_a_stream_is_recognized_by_its_first_bytes_and_yielded_as_it_arrives(
    flow: Any, kind: str, begin: bytes
) -> None:
    first = begin + flow.event(flow.piece("hel"))
    outcome = flow.run(as_events(flow, first, flow.piece("lo"), flow.piece("", "stop"), kind=kind))
    assert [delta.text for delta in outcome.deltas] == ["hel", "lo", ""]
    assert outcome.steps[:6] == ["Enter", "Send", "Read", "Hand", "Read", "Hand"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_chunks_of_an_unrequested_stream_are_joined_to_one_answer(flow: Any, kind: str) -> None:
    chunks = [flow.piece("hel"), flow.piece("lo"), flow.piece("", "stop", usage=flow.USAGE)]
    outcome = flow.run(as_events(flow, *chunks, kind=kind), stream=False)
    assert (outcome.whole.text, outcome.whole.finish_reason) == ("hello", "stop")
    assert outcome.whole.usage == glmv.Usage(1037, 37, 1074)
    assert outcome.deltas == []


def test_a_broken_unrequested_stream_is_retried_like_a_whole_answer(flow: Any) -> None:
    half = as_events(flow, flow.piece("hel"), Failure("reset", "broken"))
    outcome = flow.run(half, flow.body(flow.whole("hello")), stream=False)
    assert (outcome.whole.text, outcome.whole.attempts) == ("hello", 2)


def test_an_unrequested_stream_left_open_ends_soon_after_its_finish_reason(flow: Any) -> None:
    outcome = flow.run(as_events(flow, flow.piece("x", "stop"), 300.0), stream=False)
    assert outcome.whole.text == "x"
    assert flow.now < 1010.0


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("kind", KINDS)
def test_an_error_sent_instead_of_a_stream_is_raised_with_its_code(flow: Any, kind: str, stream: bool) -> None:
    body = json.dumps({"error": {"code": "1113", "message": "m"}}, indent=1).encode()
    error = flow.run(flow.Answer([body[:1], body[1:]], 200, {"content-type": kind}), stream=stream).failure
    assert (type(error), error.code) == (glmv.QuotaError, "1113")


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("kind", ["text/html", "text/event-stream", "text/plain"])
def test_an_html_page_instead_of_a_stream_is_quoted(flow: Any, kind: str, stream: bool) -> None:
    answer = flow.Answer([b"\n <!DOCTYPE html><p>Please log in</p>"], 200, {"content-type": kind})
    error = flow.run(answer, stream=stream).failure
    assert isinstance(error, glmv.MalformedResponse)
    assert "log in" in str(error)


@pytest.mark.parametrize("stream", STREAM)
def test_a_compressed_stream_without_a_content_type_is_read(flow: Any, stream: bool) -> None:
    plain = b"".join(as_events(flow, flow.piece("hello"), flow.piece("", "stop")).pieces)
    data = gzip.compress(plain)
    answer = flow.Answer([bytes([each]) for each in data], 200, {"content-encoding": "gzip"})
    assert flow.run(answer, stream=stream).whole.text == "hello"


def test_the_idle_timeout_applies_before_the_first_byte_of_any_body(flow: Any) -> None:
    for kind in KINDS:
        outcome = flow.run(
            *[as_events(flow, 60.0, flow.piece("x"), kind=kind)] * 2, policy=flow.policy(idle_timeout=5.0)
        )
        assert "idle_timeout" in str(outcome.failure)


BEHIND = {
    "broken JSON": b"data: {x\n\n",
    "no object": b"data: 5\n\n",
    "an error": b'data: {"error": {"code": "1234", "message": "m"}}\n\n',
    "an error of another kind": b'event: error\ndata: {"oops": 1}\n\n',
    "a line without end": b"data: " + b"x" * 100,
    "an event beyond all bounds": b"data: " + b"x" * 9_000_000,
    "a page": b"<html>",
    "a reset": Failure("reset", "broken"),
    "a protocol error": Failure("closed", "broken"),
    "usage that is none": b'data: {"choices": [], "usage": "x"}\n\n',
    "usage of lists": b'data: {"choices": [], "usage": {"prompt_tokens": [1], "total_tokens": {}}}\n\n',
    "usage of nothing": b'data: {"choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0}}\n\n',
    "choices that are none": b'data: {"choices": 7}\n\n',
}


@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("name", BEHIND)
def test_bytes_after_the_finish_reason_do_not_break_the_answer(flow: Any, name: str, stream: bool) -> None:
    end = flow.piece("", "stop", usage=flow.USAGE)
    outcome = flow.run(as_events(flow, flow.piece("hello"), end, BEHIND[name], kind="text/event-stream"), stream=stream)
    assert (outcome.whole.text, outcome.whole.finish_reason, outcome.whole.attempts) == ("hello", "stop", 1)
    assert outcome.whole.usage == glmv.Usage(1037, 37, 1074)


def test_usage_after_a_broken_event_is_read(flow: Any) -> None:
    chunks = [flow.piece("hello", "stop"), b"data: {x\n\n", {"choices": [], "usage": flow.USAGE}]
    assert flow.run(as_events(flow, *chunks)).whole.usage == glmv.Usage(1037, 37, 1074)


def test_garbage_after_the_end_of_a_compressed_stream_is_ignored(flow: Any) -> None:
    packed = gzip.compress(flow.event(flow.piece("hello", "stop")))
    answer = flow.Answer([packed[:-8], b"\xff" * 40], 200, {"content-encoding": "gzip"})
    assert flow.run(answer).whole.text == "hello"


def test_a_content_filter_error_event_after_the_finish_reason_is_raised(flow: Any) -> None:
    error = {"error": {"code": "1301", "message": "m"}}
    assert type(flow.run(as_events(flow, flow.piece("bad", "stop"), error)).failure) is glmv.ContentFilterError


@pytest.mark.parametrize("what", [b"data: {x\n\n", Failure("reset", "broken")])
def test_a_broken_event_or_a_reset_before_the_finish_reason_raises_an_error(flow: Any, what: Any) -> None:
    assert flow.run(as_events(flow, flow.piece("half"), what, flow.piece("", "stop"))).failure.partial.text == "half"


@pytest.mark.parametrize(
    "call", [{"thought": "due"}, {"tools": tools_of(TOOLS)}], ids=["a thought may end", "a call may end"]
)
def test_held_back_text_is_part_of_the_partial_answer_of_a_broken_stream(flow: Any, call: dict[str, Any]) -> None:
    pieces = [flow.piece("It is <tool_call>red"), 60.0, flow.piece("more")]
    error = flow.run(flow.streamed(*pieces), policy=flow.policy(deadline=10.0), **call).failure
    assert (type(error), error.partial.text) == (glmv.DeadlineExceeded, "It is <tool_call>red")


def test_the_choice_with_the_lowest_index_is_the_answer(flow: Any) -> None:
    def other(index: int, text: str, finish: str | None = None) -> dict[str, Any]:
        return {"choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]}

    assert flow.decode([other(1, "hel"), other(1, "lo", "stop")]).whole.text == "hello"
    assert flow.decode([other(2, "X"), other(1, "hel"), other(2, "Y", "stop"), other(1, "lo", "stop")]).text == "hello"
    late = [other(1, "X"), other(1, "Y", "length"), other(0, "hel"), other(0, "lo", "stop")]
    assert (flow.decode(late).text, flow.decode(late).whole.finish_reason) == ("hello", "stop")


def line(payload: object) -> bytes:
    return json.dumps(payload).encode() + b"\n"


@pytest.mark.parametrize(
    "lines",
    [
        [{"message": {"content": "hel"}, "done": False}, {"message": {"content": "lo"}, "done": False},
         {"message": {"content": ""}, "done": True, "done_reason": "stop"}],
        [{"response": "hel", "done": False}, {"response": "lo", "done": False}, {"response": "", "done": True}],
    ],
    ids=["Ollama's chat", "Ollama's generate"],
)  # fmt: skip
def test_json_lines_are_yielded_as_they_arrive(flow: Any, lines: list[Any]) -> None:
    pieces = [line(each) for each in lines]
    outcome = flow.run(flow.Answer(pieces, 200, {"content-type": "application/x-ndjson"}))
    assert [delta.text for delta in outcome.deltas] == ["hel", "lo", ""]
    assert outcome.steps[:6] == ["Enter", "Send", "Read", "Hand", "Read", "Hand"]


@pytest.mark.parametrize("kind", KINDS)
def test_json_lines_are_recognized_at_the_second_line_for_any_content_type(flow: Any, kind: str) -> None:
    pieces = [line(each) for each in (flow.piece("he"), flow.piece("l"), flow.piece("lo"), flow.piece("", "stop"))]
    outcome = flow.run(flow.Answer(pieces, 200, {"content-type": kind}))
    assert [delta.text for delta in outcome.deltas] == ["he", "l", "lo", ""]
    # The third is shown before the fourth has come.
    assert outcome.steps[-6:] == ["Read", "Hand", "Read", "Read", "Hand", "Finish"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", STREAM)
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n \n"])
def test_a_whole_answer_in_one_line_is_not_a_stream(flow: Any, kind: str, stream: bool, end: bytes) -> None:
    body = json.dumps(flow.whole("hello")).encode() + end
    outcome = flow.run(flow.Answer([bytes([each]) for each in body], 200, {"content-type": kind}), stream=stream)
    assert (outcome.whole.text, outcome.whole.usage) == ("hello", glmv.Usage(1037, 37, 1074))


def test_the_idle_timeout_does_not_apply_inside_a_whole_answer(flow: Any) -> None:
    body = json.dumps(flow.whole("hello")).encode()
    answer = flow.Answer([body[:9], 60.0, body[9:]], 200, {"content-type": "application/json"})
    assert flow.run(answer, policy=flow.policy(idle_timeout=5.0)).whole.text == "hello"


def test_the_idle_timeout_applies_between_json_lines(flow: Any) -> None:
    lines = flow.Answer([line(flow.piece("a")), 60.0, line(flow.piece("", "stop"))], 200,
                        {"content-type": "application/x-ndjson"})  # fmt: skip
    error = flow.run(lines, policy=flow.policy(idle_timeout=5.0)).failure
    assert "idle_timeout" in str(error)
    assert error.partial.text == "a"


@pytest.mark.parametrize("stream", STREAM)
def test_an_error_among_json_lines_is_raised(flow: Any, stream: bool) -> None:
    pieces = [line({"message": {"content": "a"}, "done": False}), line({"error": {"code": "1301", "message": "m"}})]
    error = flow.run(flow.Answer(pieces, 200, {"content-type": "application/x-ndjson"}), stream=stream).failure
    assert (type(error), error.partial.text) == (glmv.ContentFilterError, "a")


@pytest.mark.parametrize("stream", STREAM)
def test_a_truncated_json_line_raises_stream_truncated_with_the_text_so_far(flow: Any, stream: bool) -> None:
    pieces = [line({"message": {"content": "a"}, "done": False}), b'{"message": {"cont']
    kind = {"content-type": "application/x-ndjson"}
    error = flow.run(flow.Answer(pieces, 200, kind), stream=stream, policy=flow.policy(max_retries=0)).failure
    assert (type(error), error.partial.text) == (glmv.StreamTruncated, "a")


STREAMS = [
    name
    for name, case in CASES.items()
    if case.body.lstrip(b"\xef\xbb\xbf\n").startswith((b"data:", b":")) or case.body.count(b"\n{") > 1
]


def outcome_of(flow: Any, name: str, pieces: list[bytes]) -> tuple[Any, ...]:
    case = CASES[name]
    call: dict[str, Any] = {"thought": "due" if case.options.get("thinking") else "possible", "may_replace": True}
    if case.tools:
        call["tools"] = tools_of(TOOLS)
    outcome = flow.run(flow.Answer(pieces, 200, {"content-type": case.kind or ""}), stream=case.stream, **call)
    total = glmv.Accumulator()
    for delta in outcome.deltas:
        total.add(delta)
    answer = outcome.whole
    if case.stream:
        assert (total.text, total.reasoning, total.tool_calls) == (answer.text, answer.reasoning, answer.tool_calls)
    calls = [(call.name, call.arguments) for call in answer.tool_calls]
    return answer.text, answer.reasoning, calls, answer.finish_reason


@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 3000), max_size=9))
def test_streams_of_all_servers_give_the_same_answer_for_any_split(flow: Any, name: str, cuts: list[int]) -> None:
    body = CASES[name].body
    places = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[a:b] for a, b in zip(places, places[1:], strict=False) if a < b]  # noqa: RUF007 - both sides are needed
    assert outcome_of(flow, name, pieces) == outcome_of(flow, name, [body])


@pytest.mark.parametrize("name", STREAMS)
def test_streams_of_all_servers_give_the_same_answer_in_one_piece_or_byte_by_byte(flow: Any, name: str) -> None:
    body = CASES[name].body
    assert outcome_of(flow, name, [bytes([each]) for each in body]) == outcome_of(flow, name, [body])
