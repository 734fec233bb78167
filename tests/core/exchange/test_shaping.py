"""The deltas of an answer: events that are not chunks, stop words, reasoning that ends late, and the last delta."""

from __future__ import annotations

from typing import Any

import pytest

import glmv
from glmv.wire.markup import tools_of
from tests.support.other_answers import MARKUP, TOOLS

NO_RETRIES: dict[str, Any] = {"max_retries": 0}


def failed(flow: Any, *pieces: Any, **call: Any) -> glmv.GLMVError:
    return flow.run(flow.streamed(*pieces), policy=flow.policy(**NO_RETRIES), **call).failure


@pytest.mark.parametrize("done", [b"[DONE]", b" [Done] ", b"[DONE]." + b" " * 24])
def test_the_done_event_is_recognized_in_any_letter_case_and_with_spaces(flow: Any, done: bytes) -> None:
    pieces = [flow.piece("x"), b"data: " + done + b"\n\n", flow.piece("y")]
    assert flow.run(flow.streamed(*pieces, done=False)).whole.text == "x"


@pytest.mark.parametrize("data", [b"[DONE]" + b"x" * 26, b"[DONT]", b"x[DONE]"])
def test_text_that_only_resembles_the_done_event_does_not_end_a_stream(flow: Any, data: bytes) -> None:
    error = failed(flow, flow.piece("x"), b"data: " + data + b"\n\n", flow.piece("y", "stop"))
    assert type(error) is glmv.MalformedResponse
    assert error.retryable


@pytest.mark.parametrize("kind", ["ping", "message_start"])
def test_events_of_unknown_types_without_a_json_object_are_ignored(flow: Any, kind: str) -> None:
    noise = f"event: {kind}\ndata: 5\n\n".encode()
    assert flow.run(flow.streamed(noise, flow.piece("x", "stop"))).whole.text == "x"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"the model is overloaded", "the model is overloaded"),
        (b'"the model is overloaded"', "the model is overloaded"),
        (b"[1]", "[1]"),
        (b'{"oops": 1}', "The stream reports an error: '{\"oops\": 1}'"),
        (b'{"message": "the model is overloaded"}', "the model is overloaded"),
        (b'{"choices": [], "oops": 1}', 'The stream reports an error: \'{"choices": [], "oops": 1}\''),
    ],
)
def test_an_error_event_in_any_format_raises_an_error_with_its_message(flow: Any, data: bytes, words: str) -> None:
    error = failed(flow, flow.piece("half"), b"event: error\ndata: " + data + b"\n\n")
    assert isinstance(error, glmv.ServerError)
    assert words in str(error)
    assert error.partial is not None
    assert error.partial.text == "half"


def test_an_error_field_in_an_event_with_choices_is_raised(flow: Any) -> None:
    error = failed(flow, flow.piece("half") | {"error": {"code": "1113", "message": "m"}})
    assert (type(error), error.code) == (glmv.QuotaError, "1113")


def test_an_event_that_has_only_a_message_is_an_error_unless_an_answer_follows(flow: Any) -> None:
    lone = {"message": "the model is overloaded"}
    assert "the model is overloaded" in str(failed(flow, lone))
    assert "the model is overloaded" in str(failed(flow, lone, {"status": "ok"}))
    assert flow.run(flow.streamed(lone, flow.piece("x", "stop"))).whole.text == "x"
    assert "The stream ended without an answer." in str(failed(flow, {"status": "ok"}))


@pytest.mark.parametrize(
    ("reason", "expected"), [("stop", "stop"), ("length", "stop"), (None, "stop"), ("sensitive", "sensitive")]
)
def test_a_stop_word_gives_any_successful_answer_the_finish_reason_stop(
    flow: Any, reason: str | None, expected: str
) -> None:
    pieces = [flow.piece("one E"), flow.piece("ND two"), flow.piece("", reason)]
    answer = flow.run(flow.streamed(*pieces), cut=("END",), sensitive="return").whole
    assert (answer.text, answer.finish_reason) == ("one ", expected)


def test_an_answer_without_a_stop_word_keeps_its_finish_reason(flow: Any) -> None:
    assert flow.run(flow.streamed(flow.piece("one EN", "length")), cut=("END",)).whole.finish_reason == "length"


def test_an_incomplete_stop_word_is_yielded_when_the_answer_ends(flow: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("one EN"), flow.piece("", "stop")), cut=("END",))
    assert [delta.text for delta in outcome.deltas] == ["one ", "EN", ""]
    assert outcome.deltas[1].raw == outcome.deltas[2].raw == flow.piece("", "stop")
    assert outcome.whole.text == "one EN"


def test_tool_calls_and_reasoning_after_a_stop_word_are_kept(flow: Any) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    delta = {"content": "two", "tool_calls": [call]}
    pieces = [flow.piece("one END"), {"choices": [{"delta": delta}]}, {"choices": [{"delta": {"content": "three"}}]},
              {"choices": [{"delta": {"reasoning_content": "Hm."}}]}]  # fmt: skip
    outcome = flow.run(flow.streamed(*pieces, flow.piece("", "stop")), cut=("END",))
    assert (outcome.whole.text, outcome.whole.reasoning) == ("one ", "Hm.")
    assert [each.name for each in outcome.whole.tool_calls] == ["f"]
    assert len(outcome.deltas) == 4


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("It is r", "ed END</think>Red", "END or not"), "Red"),
        (("It is END", " or so.</think>Red", "END or not"), "Red"),
        (("It is ", "red.</think>Red END", " or not"), "Red "),
        (("It is ", "red.</think>", "Red"), "Red"),
    ],
)
def test_stop_words_inside_reasoning_without_an_opening_tag_do_not_end_the_answer(
    flow: Any, texts: tuple[str, ...], expected: str, replace: bool
) -> None:
    pieces = [*map(flow.piece, texts), flow.piece("", "stop")]
    outcome = flow.run(flow.streamed(*pieces), thought="possible", cut=("END",), may_replace=replace)
    assert (outcome.whole.text, outcome.whole.finish_reason) == (expected, "stop")
    assert "END" not in outcome.whole.text


def test_an_end_tag_of_reasoning_without_text_before_the_tag_yields_no_delta(flow: Any) -> None:
    pieces = [flow.piece("<|begin_of_box|>"), flow.piece("</think>"), flow.piece("Red", "stop")]
    outcome = flow.run(flow.streamed(*pieces), thought="possible")
    assert [delta.text for delta in outcome.deltas] == ["Red", ""]


@pytest.mark.parametrize("replace", [True, False])
@pytest.mark.parametrize("first", ["", "It is "])
def test_reasoning_that_ends_with_part_of_a_stop_word_keeps_that_part(flow: Any, first: str, replace: bool) -> None:
    pieces = [flow.piece(f"{first}E"), flow.piece("</think>"), flow.piece("Red", "stop")]
    outcome = flow.run(flow.streamed(*pieces), thought="possible", cut=("END",), may_replace=replace)
    assert (outcome.whole.text, outcome.whole.reasoning) == ("Red", f"{first}E")


def test_text_that_turns_out_to_be_reasoning_is_replaced_if_may_replace_is_set(flow: Any) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
    pieces = [flow.piece("It is "), flow.piece("red.</think>Red"), flow.piece("!", "stop")]
    outcome = flow.run(flow.streamed(*pieces), thought="possible", may_replace=True)
    assert [(delta.text, delta.reasoning, delta.replaces) for delta in outcome.deltas] == [
        ("It is ", "", False),
        ("Red", "It is red.", True),
        ("!", "", False),
        ("", "", False),
    ]
    assert (outcome.whole.text, outcome.whole.reasoning) == ("Red!", "It is red.")
    [note] = outcome.whole.notes
    assert note.startswith("The server sent the reasoning as text")
    assert note.endswith("separates the reasoning from the text.")
    late = {"choices": [{"delta": {"content": "ed.</think>Red", "tool_calls": [call]}}]}
    answer = flow.run(flow.streamed(pieces[0], late, pieces[2]), thought="possible", may_replace=True).whole
    assert (answer.text, answer.reasoning, [each.name for each in answer.tool_calls]) == ("Red!", "It is ed.", ["f"])


def test_text_that_turns_out_to_be_reasoning_stays_text_if_may_replace_is_not_set(flow: Any) -> None:
    pieces = [flow.piece("It is "), flow.piece("red.</think>Red"), flow.piece("!", "stop")]
    outcome = flow.run(flow.streamed(*pieces), thought="possible")
    assert [(delta.text, delta.reasoning, delta.replaces) for delta in outcome.deltas] == [
        ("It is ", "", False),
        ("red.</think>\nRed", "", False),
        ("!", "", False),
        ("", "", False),
    ]
    assert (outcome.whole.text, outcome.whole.reasoning) == ("Red!", "It is red.")


def test_reasoning_that_ends_in_the_first_chunk_replaces_no_text(flow: Any) -> None:
    outcome = flow.run(flow.streamed(flow.piece("Hm.</think>Red"), flow.piece("", "stop")), thought="possible")
    assert [(delta.text, delta.reasoning, delta.replaces) for delta in outcome.deltas] == [
        ("Red", "Hm.", False),
        ("", "", False),
    ]
    empty = flow.run(flow.streamed(flow.piece("</think>"), flow.piece("Red", "stop")), thought="possible")
    assert [delta.text for delta in empty.deltas] == ["Red", ""]


def test_tool_calls_left_in_the_text_are_counted_in_a_note(flow: Any) -> None:
    pieces = [flow.piece(MARKUP), flow.piece(MARKUP), flow.piece("", "stop")]
    answer = flow.run(flow.streamed(*pieces), tools=tools_of(TOOLS), notes=("n",)).whole
    assert [call.name for call in answer.tool_calls] == ["get_weather"] * 2
    assert answer.notes[0] == "n"
    assert answer.notes[1].startswith("The server left 2 tool call(s) in the text: the server needs a tool parser")
    assert len(answer.notes) == 2


def test_the_note_about_a_clipped_box_comes_after_all_other_notes(flow: Any) -> None:
    answer = flow.run(flow.streamed(flow.piece("[0, 0, 500, 1001]", "stop")), notes=("n",)).whole
    assert [note[:14] for note in answer.notes] == ["n", "A box was clip"]


def test_the_error_of_an_answer_without_readable_content_names_its_fields(flow: Any) -> None:
    video = {"choices": [{"delta": {"content": [{"type": "video"}]}}]}
    error = failed(flow, video, flow.piece("", "stop"))
    assert type(error) is glmv.MalformedResponse
    assert "The answer has no readable content; its fields are ['content (video)']." in str(error)
    assert type(failed(flow, video, flow.piece("", "sensitive"))) is glmv.ContentFilterError
    assert flow.run(flow.streamed(video, flow.piece("x", "stop"))).whole.text == "x"
    assert flow.run(flow.streamed(video, flow.piece("END", "stop")), cut=("END",)).whole.text == ""


def test_content_filter_levels_of_an_error_event_replace_earlier_levels(flow: Any) -> None:
    error = {"error": {"code": "1301", "message": "m"}, "request_id": "r9", "contentFilter": [{"level": 1}]}
    first = flow.piece("half") | {"request_id": "r1", "content_filter": [{"level": 3}]}
    answer = flow.run(flow.streamed(first, error), sensitive="return").whole
    assert (answer.request_id, answer.content_filter) == ("r1", [{"level": 1}])
    plain = {"error": {"code": "1301", "message": "m"}}
    answer = flow.run(flow.streamed(first, plain), sensitive="return").whole
    assert (answer.request_id, answer.content_filter) == ("r1", [{"level": 3}])


def test_the_error_of_a_repetitive_answer_has_its_text_and_usage_and_attempts(flow: Any) -> None:
    pieces = [flow.piece("la la"), flow.piece("", "repetition", usage=flow.USAGE)]
    error = failed(flow, *pieces)
    assert error.partial is not None
    assert (error.partial.text, error.partial.attempts) == ("la la", 1)
    assert error.partial.usage == glmv.Usage(1037, 37, 1074)


def test_usage_in_the_event_after_an_error_event_is_read(flow: Any) -> None:
    events = [
        flow.piece("hello", "stop"),
        {"error": {"code": "1234", "message": "m"}},
        {"choices": [], "usage": flow.USAGE},
    ]
    answer = flow.run(flow.streamed(b"".join(map(flow.event, events)))).whole
    assert (answer.text, answer.usage) == ("hello", glmv.Usage(1037, 37, 1074))
