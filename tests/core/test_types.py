"""The value types: messages, deltas and completions, and the `Accumulator` that adds deltas up."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glmv
from glmv import Accumulator, Completion, Delta, Image, Message, Text, ToolCall, ToolCallDelta, Usage
from glmv.types import parts_of

PICTURE = Image.from_url("https://example.org/a.png")


def sum_of(*deltas: Delta) -> Completion:
    accumulator = Accumulator()
    for delta in deltas:
        accumulator.add(delta)
    return accumulator.completion()


def test_content_of_any_form_becomes_a_tuple_of_parts() -> None:
    for content in ("a", Text("a"), ["a"], (Text("a"),), iter(["a"])):
        assert Message("user", content).content == (Text("a"),)
    assert Message("user", PICTURE).content == (PICTURE,)
    assert Message("assistant").content == ()


@pytest.mark.parametrize("content", [5, [5], [None], {"type": "text"}.items(), object()])
def test_content_that_is_not_a_part_is_refused(content: Any) -> None:
    with pytest.raises(glmv.UnsupportedContent, match="content part"):
        parts_of(content)


def test_the_text_of_a_message_joins_its_text_parts() -> None:
    assert Message("user", ["a", PICTURE, "b"]).text == "ab"


def test_messages_are_immutable_and_equal_by_value() -> None:
    message = Message("assistant", ["a", PICTURE], tool_calls=[ToolCall("1", "f", "{}")], reasoning="r")
    assert message == copy.deepcopy(message) == pickle.loads(pickle.dumps(message))
    assert hash(message) == hash(
        Message("assistant", ["a", PICTURE], tool_calls=[ToolCall("1", "f", "{}")], reasoning="r")
    )
    with pytest.raises(AttributeError):
        message.role = "user"  # type: ignore[misc]  # the mistake under test


def test_the_message_of_an_answer_has_the_role_assistant_and_its_tool_calls() -> None:
    answer = Completion("a", "r", (ToolCall("1", "f", "{}"),))
    assert answer.message() == Message("assistant", "a", tool_calls=[ToolCall("1", "f", "{}")], reasoning="r")


def test_an_accumulator_has_the_text_so_far_after_each_delta() -> None:
    accumulator = Accumulator()
    for piece, sofar in (("a", "a"), ("", "a"), ("b", "ab"), ("c", "abc")):
        accumulator.add(Delta(piece, reasoning=piece.upper()))
        assert (accumulator.text, accumulator.reasoning) == (sofar, sofar.upper())


def test_pieces_of_tool_calls_in_deltas_are_joined_by_index() -> None:
    answer = sum_of(
        Delta(tool_calls=[ToolCallDelta(0, "1", "f", "["), ToolCallDelta(1, "2", "g", "")]),
        Delta(tool_calls=[ToolCallDelta(0, arguments="]")]),
    )
    assert answer.tool_calls == (ToolCall("1", "f", "[]"), ToolCall("2", "g", "{}"))


def test_metadata_comes_from_the_last_delta_or_else_from_the_first() -> None:
    first = Delta("a", id="1", model="m", created=7, raw={"x": 1})
    middle = Delta("b", id="other", raw={"x": 2})
    last = Delta(last=True, id="1", finish_reason="stop", usage=Usage(1, 2, 3), notes=("n",), attempts=2, raw={"x": 3})
    assert sum_of(first, middle) == Completion("ab", id="1", model="m", created=7, raw={"x": 1})
    assert sum_of(first, middle, last) == Completion(
        "ab", "", (), "stop", Usage(1, 2, 3), "1", "m", None, 7, notes=("n",), attempts=2, raw={"x": 3}
    )


def test_an_accumulator_without_deltas_has_an_empty_answer() -> None:
    assert sum_of() == Completion()


calls = st.builds(ToolCall, st.text(max_size=3), st.text(max_size=3), st.text(min_size=1, max_size=3))
completions = st.builds(
    Completion,
    st.text(max_size=9),
    st.text(max_size=9),
    st.lists(calls, max_size=3).map(tuple),
    st.sampled_from([None, "stop", "length"]),
    st.one_of(st.none(), st.builds(Usage, st.integers(0, 9), st.integers(0, 9))),
    st.one_of(st.none(), st.text(max_size=3)),
    notes=st.lists(st.text(max_size=3), max_size=2).map(tuple),
    attempts=st.integers(1, 4),
)


@given(completions)
def test_an_answer_turned_into_one_delta_and_added_up_is_unchanged(answer: Completion) -> None:
    assert sum_of(answer.as_delta()) == answer


def test_the_repr_of_deltas_and_answers_does_not_show_the_raw_body() -> None:
    assert "canary" not in repr(Delta("x", raw={"a": "canary"})) + repr(Completion("x", raw={"a": "canary"}))
