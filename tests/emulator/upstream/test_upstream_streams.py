"""Streams of an upstream model give the same result for any split of bytes and texts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from glmv_emulator.answers.upstream import DONE, Events, Reader

CUTS = st.lists(st.integers(0, 400), max_size=12)


def cut(whole: Any, places: list[int]) -> Iterator[Any]:
    """Cut a text or bytes at these places -> the pieces in order."""
    ends = sorted({0, len(whole), *(place for place in places if place < len(whole))})
    for start, end in pairwise(ends):
        yield whole[start:end]


@given(CUTS, st.sampled_from(["\n", "\r\n", "\r"]))
def test_the_events_read_from_a_stream_do_not_depend_on_how_its_bytes_are_split(places: list[int], end: str) -> None:
    values = [{"a": "é\u2028\x85猫"}, {"b": "data: x"}]
    lines = [": comment", "", *(f"data: {json.dumps(one, ensure_ascii=False)}{end}" for one in values), "data:[DONE]"]
    body = end.join(lines).encode()
    events = Events()
    results = [event for piece in cut(body, places) for event in events.feed(piece)]
    results += events.end()
    assert [json.loads(event) for event in results[:-1]] == values
    assert results[-1] == DONE


@given(
    CUTS,
    st.sampled_from(
        [
            ("A < b <think>.", "", "A < b <think>."),
            ("<think>\nI </thin look.</think>\n\n<answer>", "I </thin look.", "<answer>"),
            (" <think></think>A cat.", "", "A cat."),
            ("<think>never closed", "never closed", ""),
            ("<thi", "", "<thi"),
            ("<think>one</think> two </think>", "one", "two </think>"),
        ]
    ),
)
def test_reasoning_between_think_tags_is_found_however_the_text_is_split(
    places: list[int], sample: tuple[str, ...]
) -> None:
    written, reasoning, text = sample
    reader = Reader()
    pieces = [
        piece
        for part in cut(written, places)
        for piece in reader.add({"choices": [{"index": 0, "delta": {"content": part}}]})
    ]
    pieces += reader.end()
    assert (reader.reasoning, reader.text) == (reasoning, text)
    assert ("".join(one.reasoning for one in pieces), "".join(one.text for one in pieces)) == (reasoning, text)
