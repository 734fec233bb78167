"""Server-sent events as in the HTML Standard, 9.2.5 and 9.2.6, for any split of the bytes."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from glmv import MalformedResponse
from glmv.wire.sse import JSONLinesDecoder, SSEDecoder, is_event_stream, is_json_lines


def decoded(pieces: Iterable[bytes], *, flush: bool = False) -> list[tuple[str, bytes]]:
    decoder = SSEDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    if flush:
        events += decoder.flush()
    return events


def by_the_standard(stream: bytes) -> tuple[list[tuple[str, str]], str, int | None]:
    """The standard's algorithm over characters: events, last event id, reconnection time."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    *lines, _unfinished = re.split(r"\r\n|\n|\r", text)
    events: list[tuple[str, str]] = []
    data, kind, buffered_id, last_id = "", "", "", ""
    retry: int | None = None
    for line in lines:
        if line == "":
            last_id = buffered_id
            if data:
                events.append((kind or "message", data.removesuffix("\n")))
            data, kind = "", ""
            continue
        if line.startswith(":"):
            continue
        field, colon, value = line.partition(":")
        if colon and value.startswith(" "):
            value = value[1:]
        if field == "event":
            kind = value
        elif field == "data":
            data += value + "\n"
        elif field == "id" and "\0" not in value:
            buffered_id = value
        elif field == "retry" and re.fullmatch("[0-9]{1,17}", value):
            retry = int(value)
    return events, last_id, retry


# From web-platform-tests, eventsource/: each rule of the standard with the events it gives.
WPT: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    "format-bom": (
        b"\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n",
        [("message", "1"), ("message", "3")],
    ),
    "format-bom-2": (
        b"\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\ndata:3\n\n",
        [("message", "2"), ("message", "3")],
    ),
    "format-comments": (
        b"data:1\n:\0\n:\r\ndata:2\n:" + b"x" * 3000 + b"\rdata:3\n:data:fail\r:" + b"x" * 3000 + b"\ndata:4\n\n",
        [("message", "1\n2\n3\n4")],
    ),
    "format-data-before-final-empty-line": (
        b"retry:1000\ndata:test1\n\nid:test\ndata:test2",
        [("message", "test1")],
    ),
    "format-field-data": (
        b"data:\n\ndata\ndata\n\ndata:test\n\n",
        [("message", ""), ("message", "\n"), ("message", "test")],
    ),
    "format-field-event": (b"event:test\ndata:x\n\ndata:x\n\n", [("test", "x"), ("message", "x")]),
    "format-field-event-empty": (b"event: \ndata:data\n\n", [("message", "data")]),
    "format-field-parsing": (
        (
            b"data:\0\ndata:  2\rData:1\ndata\0:2\ndata:1\r\0data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n"
            b" data:32\ndata:4\n\n"
        ),
        [("message", "\0\n 2\n1\n3\n\n4")],
    ),
    "format-field-unknown": (
        b"data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n",
        [("message", "test\n\ntest")],
    ),
    "format-leading-space": (b"data:\ttest\rdata: \ndata:test\n\n", [("message", "\ttest\n\ntest")]),
    "format-newlines": (b"data:test\r\ndata\ndata:test\r\n\r", [("message", "test\n\ntest")]),
    "format-null-character": (b"data:\0\n\n\n\n", [("message", "\0")]),
    "format-utf-8": ("data:ok…\n\n".encode(), [("message", "ok…")]),
    "event-data": (
        b"data:msg\ndata:msg\n\n:\n\nfalsefield:msg\n\ndata:end\n\n",
        [("message", "msg\nmsg"), ("message", "end")],
    ),
    "MOSQUITO field-name-event": (b"Event: a\nEVENT: b\ndata: x\n\n", [("message", "x")]),
    "only LF, CR and CRLF end a line": (
        "data: a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg\n\n".encode(),
        [("message", "a\u2028b\u2029c\u0085d\x0be\x0cf\x1cg")],
    ),
    "one space after the colon goes": (b"data:   x\n\n", [("message", "  x")]),
    "invalid UTF-8 becomes U+FFFD": (b"data: a\xff\xe4\xbdb\n\n", [("message", "a\ufffd\ufffdb")]),
    "a cut character ends with its line": (
        b"data: \xe4\xbd\ndata: \xa0\n\n",
        [("message", "\ufffd\n\ufffd")],
    ),
    "a block without data dispatches nothing": (b"event: ping\n\nid: 1\n\ndata: x\n\n", [("message", "x")]),
    "the type ends with its event, also without data": (b"event: a\n\ndata: x\n\n", [("message", "x")]),
    "blank lines alone": (b"\n\r\n\r\r\n\n", []),
    "nothing": (b"", []),
    "a BOM alone": (b"\xef\xbb\xbf", []),
    "half a BOM": (b"\xef\xbbdata: x\n\ndata: y\n\n", [("message", "y")]),
}

IDS = {
    "format-field-id": (b"id: 1\ndata: 1\n\ndata: 2\n\n", "1"),
    "format-field-id-2": (b"id\ndata: 1\n\nid: 2\n\nid\n\n", ""),
    "format-field-id-null": (b"id: \0\0\ndata: x\n\n", ""),
    "an id with NUL leaves the old one": (b"id: a\n\nid: b\0\n\n", "a"),
    "an id holds before its blank line only in the buffer": (b"id: a\n\nid: b\n", "a"),
    "no space, non-ASCII": ("id:…\n\n".encode(), "…"),
}

RETRIES = {
    "format-field-retry": (b"retry:03000\ndata:x\n\n", 3000),
    "format-field-retry-bogus": (b"retry:3000\nretry:1000x\ndata:x\n\n", 3000),
    "format-field-retry-empty": (b"retry\ndata:test\n\n", None),
    "other digits are no digits": ("retry:٣\n\nretry:-1\n\nretry:1.5\n\n".encode(), None),
    "at once, without a blank line": (b"retry: 7\n", 7),
    "of 17 digits at most": (b"retry: 99999999999999999\nretry: 100000000000000000\n", 99999999999999999),
}

STREAMS = [
    *(stream for stream, _ in WPT.values()),
    *(stream for stream, _ in IDS.values()),
    *(stream for stream, _ in RETRIES.values()),
]


@pytest.mark.parametrize("name", WPT)
def test_a_stream_gives_the_events_that_the_standard_defines(name: str) -> None:
    stream, expected = WPT[name]
    assert [(kind, data.decode("utf-8", "replace")) for kind, data in decoded([stream])] == expected
    assert by_the_standard(stream)[0] == expected


@pytest.mark.parametrize("name", IDS)
def test_the_last_event_id_is_kept_as_the_standard_says(name: str) -> None:
    stream, expected = IDS[name]
    decoder = SSEDecoder()
    decoder.feed(stream)
    assert decoder.last_event_id == expected == by_the_standard(stream)[1]


@pytest.mark.parametrize("name", RETRIES)
def test_a_reconnection_time_is_accepted_only_if_it_consists_of_ascii_digits(name: str) -> None:
    stream, expected = RETRIES[name]
    decoder = SSEDecoder()
    decoder.feed(stream)
    assert decoder.retry == expected == by_the_standard(stream)[2]


@pytest.mark.parametrize("stream", STREAMS)
def test_the_events_do_not_depend_on_how_the_stream_is_split(stream: bytes) -> None:
    whole = decoded([stream], flush=True)
    for cut in range(len(stream) + 1):
        assert decoded([stream[:cut], stream[cut:]], flush=True) == whole
    assert decoded([bytes([byte]) for byte in stream], flush=True) == whole


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\n", b"\n\r"])
def test_an_event_is_returned_at_the_byte_that_completes_its_blank_line(end: bytes) -> None:
    # A CR is a complete line end: the parser does not wait for a possible LF.
    decoder = SSEDecoder()
    results = [decoder.feed(bytes([byte])) for byte in b"data: x" + end + b"data: y" + end]
    first = len(b"data: x" + end) - 1 - end.endswith(b"\r\n")
    assert results[first] == [("message", b"x")]
    assert results[first + len(b"data: y" + end)] == [("message", b"y")]
    assert sum(map(len, results)) == 2


def test_pieces_that_hold_one_event_each_are_read_as_in_the_standard() -> None:
    pieces = [b"data: a\n\n", b"\xef\xbb\xbfdata: b\n\n", b"data: c\n\n", b"data: d\rid: 1\n\n", b"data: e\r\n\n"]
    assert decoded(pieces) == [("message", each) for each in (b"a", b"c", b"d", b"e")]
    for first in pieces:
        assert decoded([first, *pieces]) == decoded([first + b"".join(pieces)])


def test_an_event_id_takes_effect_only_when_its_event_ends() -> None:
    decoder = SSEDecoder()
    for piece, last_id in ((b"data: a\n\n", ""), (b"id: 1\n", ""), (b"data: b\n\n", "1"), (b"data: c\n\n", "1")):
        decoder.feed(piece)
        assert decoder.last_event_id == last_id


def test_flush_returns_an_unfinished_last_event_only_the_first_time() -> None:
    decoder = SSEDecoder()
    assert decoder.feed(b"event: a\ndata: 1\ndata: 2") == []
    assert decoder.flush() == [("a", b"1\n2")]
    assert decoder.flush() == []


fields = st.sampled_from(
    [b"data", b"data:", b"data: ", b"event:", b"id:", b"retry:", b":", b"", b"Data:", b"\xef\xbb\xbf"]
)
values = st.one_of(st.binary(max_size=6), st.sampled_from([b"1", b"x y", "…\u2028\u0085".encode(), b"\0", b" :"]))
ends = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n"])
streams = st.lists(st.tuples(fields, values, ends), max_size=12).map(
    lambda lines: b"".join(b"".join(line) for line in lines)
)


@settings(max_examples=2000)
@given(st.one_of(streams, st.binary(max_size=80)), st.lists(st.integers(0, 200), max_size=8))
@example(b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", [1, 2])
@example(b"data: x\r\n\r\ndata: y\r\r", [8, 9, 10])
def test_any_bytes_in_any_pieces_are_read_as_in_the_standard(stream: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    decoder = SSEDecoder()
    events = [e for a, b in itertools.pairwise(places) for e in decoder.feed(stream[a:b])]
    results = [(kind, data.decode("utf-8", "replace")) for kind, data in events]
    assert (results, decoder.last_event_id, decoder.retry) == by_the_standard(stream)


@pytest.mark.parametrize(
    "stream",
    [
        [b"data: ", *[b"x" * 100] * 20],
        [b"data: " + b"x" * 2000 + b"\n\n"],
        [b"data: " + b"x" * 100 + b"\n"] * 20,
        [b"data:\n"] * 2000,
        [b"x" * 100] * 20,
        [b"event: " + b"x" * 2000 + b"\n\n"],
        [b"id: ", *[b"x" * 100] * 20],
    ],
)
def test_an_event_larger_than_the_limit_is_refused(stream: list[bytes]) -> None:
    decoder = SSEDecoder(max_event_bytes=1000)
    with pytest.raises(MalformedResponse, match="1000 bytes"):
        list(map(decoder.feed, stream))


def test_the_size_limit_applies_to_each_event_and_not_to_the_sum_of_events() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    assert len(decoder.feed(b"data: " + b"x" * 80 + b"\n\n")) == 1
    assert len([event for _ in range(100) for event in decoder.feed(b"data: " + b"x" * 80 + b"\n\n")]) == 100


def test_an_event_of_exactly_the_size_limit_is_accepted_in_any_pieces() -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    for pieces in ([b"data: ", b"x" * 94, b"\n\n"], [b"data: " + b"x" * 94 + b"\n\n"]) * 3:
        assert [event for piece in pieces for event in decoder.feed(piece)] == [("message", b"x" * 94)]
    with pytest.raises(MalformedResponse):
        decoder.feed(b"data: " + b"x" * 95)


def test_an_event_of_8_mebibytes_is_read_and_a_larger_one_is_refused() -> None:
    decoder = SSEDecoder()
    longest = b"data: " + b"x" * (8 * 1024 * 1024 - 6)
    decoder.feed(longest)
    assert len(decoder.feed(b"\n\n")) == 1
    decoder.feed(longest)
    with pytest.raises(MalformedResponse, match="8388608 bytes"):
        decoder.feed(b"x")


@pytest.mark.parametrize("first", [b": keep-alive", b":"])
def test_a_comment_of_any_length_is_ignored(first: bytes) -> None:
    decoder = SSEDecoder(max_event_bytes=100)
    decoder.feed(b":" + b"y" * 500)
    decoder.feed(b"\n" + first)
    for _ in range(200):
        decoder.feed(b"x" * 100)
    assert decoder.feed(b"\ndata: x\n\n") == [("message", b"x")]
    decoder.feed(b": a" + b"y" * 500)
    assert sum(map(len, decoder._line)) < 100


class Counted(bytes):
    """Bytes that count how many of them are searched."""

    seen = 0

    def __contains__(self, item: object) -> bool:
        Counted.seen += len(self)
        return super().__contains__(item)  # type: ignore[operator]

    def partition(self, sep: bytes) -> tuple[bytes, bytes, bytes]:  # type: ignore[override]
        Counted.seen += len(self)
        return super().partition(sep)


def test_a_long_line_in_small_pieces_is_read_in_linear_time() -> None:
    size, piece = 1 << 20, 64
    decoder = SSEDecoder()
    decoder.feed(b"data: ")
    Counted.seen = 0
    calls = 0

    def count(frame: object, event: str, arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        for _ in range(size // piece):
            decoder.feed(Counted(b"x" * piece))
        events = decoder.feed(b"\n\n")
    finally:
        sys.setprofile(None)
    assert len(events[0][1]) == size
    assert Counted.seen <= 4 * size  # each byte is looked at a bounded number of times
    assert calls <= 30 * (size // piece)  # and each piece costs a bounded number of steps


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", None),
        (b"\xef", None),
        (b"\xef\xbb\xbf", None),
        (b"\r\n\n", None),
        (b"d", None),
        (b"data", None),
        (b"\n\xef\xbb\xbfdata:", False),
        (b"data:", True),
        (b"event: message", True),
        (b"id:1", True),
        (b"retry: 5", True),
        (b": ping", True),
        (b"\xef\xbb\xbfdata: x", True),
        (b"\n\ndata: x", True),
        (b"datum", False),
        (b"database", False),
        (b"retrying: x", False),
        (b"name: x", False),
        (b"{", False),
        (b"<html>", False),
    ],
)
def test_an_event_stream_is_recognized_by_its_first_bytes(body: bytes, expected: bool | None) -> None:
    assert is_event_stream(body) is expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": 1}', None),
        (b'{"a": 1}\n', None),
        (b'{"a": 1}\r\n  \n', None),
        (b'{"a": 1}\n{', True),
        (b'{"a": 1}\r\n\r\n{"a"', True),
        (b'\xef\xbb\xbf\n{"a": 1}\n{', True),
        (b'{"a": 1}\n[', False),
        (b'{"a":\n1}', False),
        (b'{"a": {}\n{', False),
        (b"[1]\n[2]", False),
        (b"", False),
        (b"hello\n{", False),
    ],
)
def test_json_lines_without_a_content_type_are_recognized_at_the_second_object(
    body: bytes, expected: bool | None
) -> None:
    assert is_json_lines(body, "text/plain") is expected


@pytest.mark.parametrize(
    "kind", ["application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines"]
)
def test_json_lines_with_their_content_type_are_recognized_after_one_line(kind: str) -> None:
    assert is_json_lines(b'{"a": 1}', kind) is None
    assert is_json_lines(b'{"a": 1}\n', kind) is True
    assert is_json_lines(b'{"a":\n', kind) is False


def test_each_json_line_is_an_event_and_the_last_needs_no_line_end() -> None:
    decoder = JSONLinesDecoder()
    events = [
        each
        for piece in (b'{"a":', b' 1}\n\n{"a": 2}\r', b'\n {"a": 3} \n{"a"', b": 4}")
        for each in decoder.feed(piece)
    ]
    assert [*events, *decoder.flush()] == [("message", b'{"a": %d}' % number) for number in (1, 2, 3, 4)]
    assert decoder.flush() == []


@pytest.mark.parametrize(
    "pieces", [[b"x" * 101], [b"x" * 50, b"x" * 51], [b"x" * 101 + b"\n"], [b"x" * 60, b"x" * 60 + b"\n"]]
)
def test_a_json_line_longer_than_the_limit_is_refused(pieces: list[bytes]) -> None:
    decoder = JSONLinesDecoder(max_event_bytes=100)
    assert decoder.feed(b"x" * 100 + b"\n") == [("message", b"x" * 100)]
    with pytest.raises(MalformedResponse, match="100 bytes"):
        list(map(decoder.feed, pieces))
