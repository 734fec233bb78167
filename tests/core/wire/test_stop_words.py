"""The client applies stop words that the platform does not accept, for any split of the text."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from glmv.wire.marks import StopCutter


def cut(words: list[str], pieces: list[str]) -> str:
    cutter = StopCutter(words)
    return "".join([cutter.feed(piece) for piece in pieces]) + cutter.finish()


def by_reading_letter_by_letter(words: list[str], text: str) -> str:
    """The text before the stop word that is complete first; if two end together, before the longer one."""
    for end in range(len(text) + 1):
        if found := [word for word in words if word and text[:end].endswith(word)]:
            return text[: end - max(map(len, found))]
    return text


def test_a_stop_word_and_the_text_after_it_are_removed() -> None:
    assert cut(["END"], ["one two END three"]) == "one two "


def test_a_stop_word_split_over_three_chunks_is_removed() -> None:
    assert cut(["<stop>"], ["one <s", "to", "p> two", " three"]) == "one "


def test_held_back_text_that_does_not_become_a_stop_word_is_yielded() -> None:
    cutter = StopCutter(["END"])
    assert [cutter.feed("the E"), cutter.feed("N"), cutter.feed("emy"), cutter.finish()] == [
        "the ",
        "",
        "ENemy",
        "",
    ]


def test_text_that_cannot_begin_a_stop_word_is_not_held_back() -> None:
    cutter = StopCutter(["END"])
    assert cutter.feed("one two") == "one two"


def test_held_back_text_is_yielded_when_the_answer_ends() -> None:
    assert cut(["END"], ["the EN"]) == "the EN"


def test_the_answer_ends_at_the_first_of_several_stop_words() -> None:
    assert cut(["two", "one"], ["zero one two"]) == "zero "


def test_empty_stop_words_are_ignored() -> None:
    assert cut(["", "b"], ["abc"]) == "a"
    assert cut([""], ["abc"]) == "abc"


letters = st.text(alphabet="abc", max_size=12)


@given(st.lists(st.text(alphabet="abc", max_size=4), max_size=3), st.lists(letters, max_size=6))
@example(["abcc", "bc"], ["abcc"])
@example(["abcc", "bc"], ["abc", "c"])
@example(["aab"], ["a", "a", "a", "b"])
def test_a_stop_word_ends_a_text_at_the_same_position_for_every_split(words: list[str], pieces: list[str]) -> None:
    assert cut(words, pieces) == by_reading_letter_by_letter(words, "".join(pieces))
