"""Any split of a stream gives the same answer, equal to the unstreamed one; any bytes give an answer or an error."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmv import Completion, GLMVError

words = st.one_of(
    st.text(max_size=4),
    st.sampled_from(
        [
            "<think>",
            "</think>",
            "<|begin_of_box|>",
            "<|end_of_box|>",
            "\n",
            "STOP",
            "ST",
            "OP",
            "[1,2,3,4]",
            "\u2028",
            "南",
        ]
    ),
)
texts = st.lists(words, max_size=6)


@st.composite
def arguments(draw: st.DrawFn) -> list[str]:
    """The arguments of a tool call in pieces: a JSON object, or the beginning of one."""
    names = st.text("{}a1:", max_size=3)
    values = st.recursive(names | st.integers(0, 9), lambda inner: st.dictionaries(names, inner, max_size=2))
    text = json.dumps(draw(st.dictionaries(names, values, max_size=2)))
    ends = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


@st.composite
def answers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The chunks of an answer: reasoning, text, tool calls, and a last chunk with a finish reason and usage."""
    chunks: list[dict[str, Any]] = []
    head = {"id": "1", "created": 1, "model": "glm-4.6v"}

    def add(delta: dict[str, Any], **more: Any) -> None:
        finish = more.pop("finish_reason", None)
        choice = {"index": 0, "delta": delta} | ({"finish_reason": finish} if finish else {})
        chunks.append(head | {"choices": [choice]} | more)

    for thought in draw(texts):
        add({"role": "assistant", "reasoning_content": thought})
    for text in draw(texts):
        add({"content": text})
    for number, pieces in enumerate(draw(st.lists(arguments(), max_size=2))):
        add(
            {
                "tool_calls": [
                    {
                        "id": f"call_{number}",
                        "index": number,
                        "function": {"name": f"f{number}", "arguments": ""},
                    }
                ]
            }
        )
        for piece in pieces:
            add({"tool_calls": [{"index": number, "function": {"arguments": piece}}]})
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    add(
        {"role": "assistant", "content": ""},
        finish_reason=draw(st.sampled_from(["stop", "length", "tool_calls"])),
        usage=usage,
    )
    return chunks


def as_stream(chunks: list[dict[str, Any]], end: bytes = b"\n") -> bytes:
    frames = [json.dumps(chunk, ensure_ascii=False).encode("utf-8", "replace") for chunk in chunks]
    return b"".join(b"data: " + frame + end * 2 for frame in [*frames, b"[DONE]"])


def as_whole(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of the same answer when it is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": "", "reasoning_content": ""}
    calls: dict[int, dict[str, Any]] = {}
    for chunk in chunks:
        delta = chunk["choices"][0]["delta"]
        message["content"] += delta.get("content") or ""
        message["reasoning_content"] += delta.get("reasoning_content") or ""
        for call in delta.get("tool_calls", ()):
            result = calls.setdefault(
                call["index"], {"id": "", "index": call["index"], "function": {"name": "", "arguments": ""}}
            )
            result["id"] = result["id"] or call.get("id", "")
            result["function"]["name"] = result["function"]["name"] or call["function"].get("name", "")
            result["function"]["arguments"] += call["function"]["arguments"]
    last = chunks[-1]
    choice = {
        "index": 0,
        "finish_reason": last["choices"][0]["finish_reason"],
        "message": message | {"tool_calls": list(calls.values())},
    }
    return {**last, "choices": [choice]}


def comparable(answer: Completion) -> Completion:
    """The answer without the fields that always differ: the generated request id and the raw body."""
    return replace(answer, request_id=None, raw={})


def read(flow: Any, pieces: list[bytes], **call: Any) -> Any:
    return flow.run(flow.Answer(pieces, 200, {"content-type": "text/event-stream"}), **call)


@given(
    chunks=answers(),
    cuts=st.lists(st.integers(0, 4000), max_size=9),
    end=st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_a_stream_split_into_any_pieces_gives_the_answer_of_the_unsplit_stream(
    flow: Any, chunks: list[dict[str, Any]], cuts: list[int], end: bytes
) -> None:
    stream = as_stream(chunks, end)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in zip(places, places[1:], strict=False) if a < b]  # noqa: RUF007 - both sides are needed
    whole, cut = read(flow, [stream], cut=("STOP",)), read(flow, pieces, cut=("STOP",))
    assert comparable(cut.whole) == comparable(whole.whole)
    assert cut.text == whole.text == whole.whole.text


@settings(max_examples=25)
@given(chunks=answers())
def test_a_stream_split_into_single_bytes_gives_the_answer_of_the_unsplit_stream(
    flow: Any, chunks: list[dict[str, Any]]
) -> None:
    stream = as_stream(chunks)
    assert comparable(read(flow, [bytes([b]) for b in stream]).whole) == comparable(read(flow, [stream]).whole)


@given(chunks=answers())
def test_the_answer_joined_from_a_stream_equals_the_unstreamed_answer(flow: Any, chunks: list[dict[str, Any]]) -> None:
    chunks = json.loads(json.dumps(chunks).encode("utf-8", "replace"))
    from_stream = flow.decode(chunks, cut=("STOP",)).whole
    whole = flow.run(flow.body(as_whole(chunks)), stream=False, cut=("STOP",)).whole
    assert comparable(from_stream) == comparable(whole)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 2),
        st.floats(),
        st.text(max_size=3),
        st.sampled_from(["stop", "--5", "sensitive"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2),
        st.dictionaries(
            st.sampled_from(
                [
                    "choices",
                    "delta",
                    "message",
                    "content",
                    "tool_calls",
                    "function",
                    "index",
                    "id",
                    "name",
                    "arguments",
                    "usage",
                    "created",
                    "prompt_tokens",
                    "prompt_tokens_details",
                    "finish_reason",
                    "error",
                    "code",
                    "text",
                    "content_filter",
                    "web_search",
                ]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=10,
)
payloads = st.one_of(
    json_values,
    st.fixed_dictionaries(
        {
            "choices": st.lists(
                st.dictionaries(st.sampled_from(["delta", "message", "finish_reason"]), json_values),
                min_size=1,
                max_size=2,
            )
        }
    ),
)
bodies = st.one_of(st.binary(max_size=60), payloads.map(lambda payload: json.dumps(payload).encode()))
frames = st.one_of(
    st.binary(max_size=40),
    bodies.map(lambda body: b"data: " + body + b"\n\n"),
    st.sampled_from([b"data: [DONE]\n\n", b"event: error\n", b": ping\n\n", b"\xff", b"data: \xe4\xbd\n\n"]),
)
encodings = st.sampled_from([None, None, "gzip", "deflate", "br", "identity"])


def packed(data: bytes, encoding: str | None) -> bytes:
    return zlib.compress(data) if encoding in ("gzip", "deflate") else data


@given(pieces=st.lists(frames, max_size=5), encoding=encodings)
def test_any_event_stream_gives_an_answer_or_a_glmv_error(flow: Any, pieces: list[bytes], encoding: str | None) -> None:
    headers = {"content-type": "text/event-stream"} | ({"content-encoding": encoding} if encoding else {})
    answer = flow.Answer([packed(b"".join(pieces), encoding)], 200, headers)
    outcome = flow.run(answer, policy=flow.policy(max_retries=0))
    assert isinstance(outcome.answer, Completion) or isinstance(outcome.error, GLMVError)


@given(
    data=bodies,
    status=st.sampled_from([200, 200, 201, 204, 302, 400, 401, 429, 500, 503]),
    kind=st.sampled_from(["application/json", "text/html", ""]),
    stream=st.booleans(),
)
def test_any_response_body_gives_an_answer_or_a_glmv_error(
    flow: Any, data: bytes, status: int, kind: str, stream: bool
) -> None:
    outcome = flow.run(
        flow.Answer([data], status, {"content-type": kind}), stream=stream, policy=flow.policy(max_retries=0)
    )
    assert isinstance(outcome.answer, Completion) or isinstance(outcome.error, GLMVError)


header_values = st.one_of(
    st.text(max_size=12),
    st.sampled_from(["nan", "inf", "-1", "1e400", "Fri, 31 Dec 1999 23:59:59 GMT", "9" * 35]),
)


@given(
    headers=st.dictionaries(
        st.sampled_from(["retry-after", "retry-after-ms", "date", "content-encoding", "location", "x-request-id"]),
        header_values,
    )
)
@pytest.mark.parametrize("status", [307, 401, 429])
def test_a_refused_call_with_any_response_headers_raises_a_glmv_error(
    flow: Any, headers: dict[str, str], status: int
) -> None:
    outcome = flow.run(flow.Answer([b"{}"], status, headers), policy=flow.policy(max_retries=0))
    assert isinstance(outcome.error, GLMVError)
