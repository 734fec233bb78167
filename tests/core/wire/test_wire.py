"""Responses of the platform, its gateways and compatible servers, and how they are decoded.

The shapes come from the documentation, from SDKs and gateways, and from their bug reports, which are mostly about text
models. The texts are made up. `test_properties` also reads streams of such shapes, cut at any byte.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glmv
from glmv import ChatRequest, File, Image, Message, Options, Text, ToolCall, Usage, Video
from glmv.credentials import Secrets
from glmv.request.build import chat_request
from glmv.wire.decode import excerpt, parse, usage_of
from glmv.wire.dialect import DIALECTS
from glmv.wire.encode import Body, encode

PLATFORM, OPENAI, VLLM = DIALECTS["platform"], DIALECTS["openai"], DIALECTS["vllm"]


def chunk(delta: dict[str, Any] | None, finish_reason: Any = "absent", **more: Any) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0} | ({} if delta is None else {"delta": delta})
    if finish_reason != "absent":
        choice["finish_reason"] = finish_reason
    return {
        "id": "8305986882425703351",
        "created": 1705476637,
        "model": "glm-4v-plus",
        "choices": [choice],
    } | more


def tool(name: str | None = None, arguments: Any = None, **call: Any) -> dict[str, Any]:
    function = ({} if name is None else {"name": name}) | ({} if arguments is None else {"arguments": arguments})
    return {"type": "function", "function": function} | call


END = chunk(
    {"role": "assistant", "content": ""},
    "stop",
    usage={"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
)
TOOLS_END = chunk({"role": "assistant", "content": ""}, "tool_calls")


TEXTS: dict[str, list[dict[str, Any]]] = {
    "glm-4v of 2024: created is a string": [
        chunk({"role": "assistant", "content": "The "}, created="1705476637"),
        chunk({"role": "assistant", "content": "sky"}, created="1705476637"),
        chunk({"role": "assistant", "content": ""}, "stop", created="1705476637"),
    ],
    "no role anywhere": [chunk({"content": "The "}), chunk({"content": "sky"}), chunk({}, "stop")],
    "index garbled or missing": [
        {"choices": [{"index": "0", "delta": {"content": "The "}}]},
        {"choices": [{"delta": {"content": "sky"}}]},
        {"choices": [{"index": '"0', "delta": {}, "finish_reason": "stop"}]},
    ],
    "finish_reason null and empty on the way": [
        chunk({"content": "The "}, None),
        chunk({"content": "sky"}, ""),
        chunk({"content": ""}, "stop"),
    ],
    "finish_reason on the last piece of text": [
        chunk({"content": "The "}),
        chunk({"content": "sky"}, "stop"),
    ],
    "content as a list of parts": [
        chunk({"content": [{"type": "text", "text": "The "}]}),
        chunk({"content": [{"type": "text", "text": "s"}, {"type": "text", "text": "ky"}]}),
        END,
    ],
    "content null beside text": [
        chunk({"content": None}),
        chunk({"content": "The sky"}),
        chunk({"content": None}, "stop"),
    ],
    "a leading line break": [
        chunk({"content": "\n"}),
        chunk({"content": "The "}),
        chunk({"content": "sky"}),
        END,
    ],
    "box marks, split": [
        chunk({"content": "\n<|begin_"}),
        chunk({"content": "of_box|>The "}),
        chunk({"content": "sky<|end_of_"}),
        chunk({"content": "box|>"}),
        END,
    ],
    "chunks without choices between": [
        {"id": "1", "choices": []},
        chunk({"content": "The "}),
        {"id": "1", "choices": None},
        {"id": "1"},
        chunk({"content": "sky"}),
        END,
        {"id": "1", "choices": [], "usage": {"prompt_tokens": 3}},
    ],
    "delta null or missing": [
        chunk(None),
        {"choices": [{"delta": None}]},
        chunk({"content": "The sky"}),
        END,
    ],
    "many nulls": [
        chunk(
            {
                "role": "assistant",
                "content": "The sky",
                "audio": None,
                "tool_calls": None,
                "reasoning_content": None,
            }
        ),
        chunk({"role": "assistant", "content": "", "audio": None, "tool_calls": None}, "stop"),
    ],
    "finish_reason twice": [chunk({"content": "The sky"}, "stop"), chunk({"content": ""}, "stop")],
    "object and further fields of later years": [
        chunk({"content": "The sky"}, object="chat.completion.chunk", system_fingerprint="x", service_tier=None),
        END,
    ],
    "a message where a delta is due": [{"choices": [{"message": {"content": "The sky"}, "finish_reason": "stop"}]}],
}


@pytest.mark.parametrize("name", TEXTS)
def test_every_known_shape_of_a_text_stream_gives_the_same_answer(flow: Any, name: str) -> None:
    outcome = flow.decode(TEXTS[name])
    assert (outcome.whole.text, outcome.whole.finish_reason) == ("The sky", "stop")
    assert outcome.text == "The sky"
    assert [delta.last for delta in outcome.deltas] == [False] * (len(outcome.deltas) - 1) + [True]


def test_the_field_reasoning_content_is_returned_as_reasoning(flow: Any) -> None:
    answer = flow.decode(
        [
            chunk({"role": "assistant", "reasoning_content": "Let me "}),
            chunk({"role": "assistant", "reasoning_content": "see."}),
            chunk({"role": "assistant", "content": "\n"}),
            chunk({"role": "assistant", "content": "Blue."}),
            END,
        ]
    ).whole
    assert (answer.text, answer.reasoning) == ("Blue.", "Let me see.")


def test_reasoning_in_tags_in_the_text_is_returned_as_reasoning(flow: Any) -> None:
    answer = flow.decode(
        [chunk({"content": "<th"}), chunk({"content": "ink>Hm.</thi"}), chunk({"content": "nk>Blue."}), END]
    )
    assert (answer.whole.text, answer.whole.reasoning) == ("Blue.", "Hm.")


def test_an_answer_cut_off_while_thinking_is_empty_with_finish_reason_length(flow: Any) -> None:
    answer = flow.decode(
        [
            chunk({"reasoning_content": "Hm"}),
            chunk({"content": ""}, "length", usage={"completion_tokens_details": {"reasoning_tokens": 182}}),
        ]
    ).whole
    assert (answer.text, answer.finish_reason, answer.usage and answer.usage.reasoning_tokens) == (
        "",
        "length",
        182,
    )


@pytest.mark.parametrize(
    "chunks",
    [
        [END],
        [chunk({"content": ""}, "stop"), {"id": "1", "choices": [], "usage": END["usage"]}],
        [
            chunk({"content": "x"}, usage=None),
            chunk({}, "stop", usage=None),
            {"usage": END["usage"], "choices": []},
        ],
        [chunk({"content": "x"}, usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}), END],
    ],
)
def test_usage_is_taken_from_the_last_chunk_that_has_it(flow: Any, chunks: list[dict[str, Any]]) -> None:
    outcome = flow.decode(chunks)
    assert outcome.whole.usage == Usage(3, 2, 5)
    assert outcome.deltas[-1].raw["usage"] == END["usage"]
    assert [delta.usage for delta in outcome.deltas[:-1]] == [None] * (len(outcome.deltas) - 1)


@pytest.mark.parametrize("reason", ["length", "tool_calls", "model_context_window_exceeded", "something_new"])
def test_a_finish_reason_is_returned_unchanged(flow: Any, reason: str) -> None:
    assert flow.decode([chunk({"content": "x"}, reason)]).whole.finish_reason == reason


def test_the_first_of_two_finish_reasons_is_returned(flow: Any) -> None:
    assert (
        flow.decode([chunk({"content": "x"}, "tool_calls"), chunk({"content": ""}, "stop")]).whole.finish_reason
        == "tool_calls"
    )


def test_finish_reason_sensitive_after_finish_reason_stop_raises_an_error(flow: Any) -> None:
    outcome = flow.decode([chunk({"content": "x"}, "stop"), chunk({"content": ""}, "sensitive")])
    assert isinstance(outcome.failure, glmv.ContentFilterError)


def test_ids_become_strings_and_the_model_name_comes_from_the_answer(flow: Any) -> None:
    answer = flow.decode(
        [chunk({"content": "x"}, "stop", id=8305986882425703351, request_id=12, model="GLM-4V-Plus")]
    ).whole
    assert (answer.id, answer.request_id, answer.model, answer.created) == (
        "8305986882425703351",
        "12",
        "GLM-4V-Plus",
        1705476637,
    )


def test_web_search_results_are_returned_unchanged(flow: Any) -> None:
    results = [{"title": "t", "link": "https://example.org", "refer": "ref_1"}]
    assert flow.decode([chunk({"content": "x"}, web_search=results), END]).whole.web_search == results


@pytest.mark.parametrize("key", ["content_filter", "contentFilter"])
def test_the_levels_of_the_content_filter_are_returned(flow: Any, key: str) -> None:
    results = [{"role": "assistant", "level": "3"}]
    assert flow.decode([chunk({"content": "x"}, "stop", **{key: results})]).whole.content_filter == results


CALLS: dict[str, list[dict[str, Any]]] = {
    "glm-4.5-flash of 2025: index -1, finish_reason twice": [
        chunk({"role": "assistant", "content": "\n"}),
        chunk({"tool_calls": [tool("add", '{"a": 1}', id="call_1", index=-1)]}, "tool_calls"),
        TOOLS_END,
    ],
    "glm-4-plus: whole in one delta": [
        chunk({"role": "assistant", "tool_calls": [tool("add", '{"a": 1}', id="call_1", index=0)]}, "tool_calls"),
        TOOLS_END,
    ],
    "tool_stream: arguments in fragments": [
        chunk({"tool_calls": [tool("add", "", id="call_1", index=0)]}),
        chunk({"tool_calls": [tool(None, '{"a"', index=0)]}),
        chunk({"tool_calls": [tool(None, ": 1}", index=0)]}),
        TOOLS_END,
    ],
    "id and name repeated on each fragment": [
        chunk({"tool_calls": [tool("add", '{"a"', id="call_1", index=0)]}),
        chunk({"tool_calls": [tool("add", ": 1}", id="call_1", index=0)]}),
        TOOLS_END,
    ],
    "the name after the id": [
        chunk({"tool_calls": [tool(None, None, id="call_1", index=0)]}),
        chunk({"tool_calls": [tool("add", None, index=0)]}),
        chunk({"tool_calls": [tool(None, '{"a": 1}', index=0)]}),
        TOOLS_END,
    ],
    "arguments as an object": [chunk({"tool_calls": [tool("add", {"a": 1}, id="call_1", index=0)]}, "tool_calls")],
    "nulls around": [
        chunk(
            {
                "role": "assistant",
                "content": None,
                "audio": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "index": 0,
                        "type": "function",
                        "function": {"name": "add", "arguments": '{"a": 1}', "outputs": None},
                        "code_interpreter": None,
                        "retrieval": None,
                    }
                ],
            },
            "tool_calls",
        ),
    ],
    "no index": [chunk({"tool_calls": [tool("add", '{"a": 1}', id="call_1")]}, "tool_calls")],
    "fragments without index and id": [
        chunk({"tool_calls": [tool("add", '{"a"', id="call_1")]}),
        chunk({"tool_calls": [tool(None, ": 1}")]}),
        TOOLS_END,
    ],
}


@pytest.mark.parametrize("name", CALLS)
def test_every_known_shape_of_a_tool_call_gives_the_same_call(flow: Any, name: str) -> None:
    outcome = flow.decode(CALLS[name])
    assert outcome.whole.tool_calls == (ToolCall("call_1", "add", '{"a": 1}'),)
    assert (outcome.whole.text, outcome.whole.finish_reason) == ("", "tool_calls")
    pieces = [piece for delta in outcome.deltas for piece in delta.tool_calls]
    assert {piece.index for piece in pieces} == {0}
    assert [piece.id for piece in pieces if piece.id] == ["call_1"]
    assert [piece.name for piece in pieces if piece.name] == ["add"]


TWO = {
    "one index, two ids": [tool("a", "{}", id="call_1", index=0), tool("b", "{}", id="call_2", index=0)],
    "index -1 for both": [tool("a", "{}", id="call_1", index=-1), tool("b", "{}", id="call_2", index=-1)],
    "no index": [tool("a", "{}", id="call_1"), tool("b", "{}", id="call_2")],
    "indexes with a gap": [tool("a", "{}", id="call_1", index=1), tool("b", "{}", id="call_2", index=5)],
}


@pytest.mark.parametrize("name", TWO)
@pytest.mark.parametrize("together", [True, False])
def test_tool_calls_are_distinguished_by_id_and_then_by_index(flow: Any, name: str, together: bool) -> None:
    deltas = [{"tool_calls": TWO[name]}] if together else [{"tool_calls": [call]} for call in TWO[name]]
    outcome = flow.decode([*map(chunk, deltas), TOOLS_END])
    assert outcome.whole.tool_calls == (ToolCall("call_1", "a", "{}"), ToolCall("call_2", "b", "{}"))
    assert [piece.index for delta in outcome.deltas for piece in delta.tool_calls] == [0, 1]


def test_interleaved_fragments_of_two_tool_calls_are_joined_by_their_index(flow: Any) -> None:
    parts = [
        tool("a", "", id="call_1", index=0),
        tool("b", "", id="call_2", index=1),
        tool(None, "[1", index=0),
        tool(None, "[2", index=1),
        tool(None, "]", index=0),
        tool(None, "]", index=1),
    ]
    calls = flow.decode([*(chunk({"tool_calls": [part]}) for part in parts), TOOLS_END]).whole.tool_calls
    assert [call.arguments for call in calls] == ["[1]", "[2]"]


def test_a_tool_call_without_an_id_gets_a_stable_id(flow: Any) -> None:
    outcome = flow.decode(
        [
            chunk({"tool_calls": [tool("a", "[", index=0)]}),
            chunk({"tool_calls": [tool(None, "]", index=0)]}),
            END,
        ]
    )
    (call,) = outcome.whole.tool_calls
    assert call.id
    assert [piece.id for delta in outcome.deltas for piece in delta.tool_calls] == [call.id, ""]


@pytest.mark.parametrize(
    "call_id", ["call_-8374378427976446352", "call_20240722102053e7277a4f94e848248ff9588ed37fb6e6_0"]
)
def test_ids_of_tool_calls_are_returned_unchanged(flow: Any, call_id: str) -> None:
    assert (
        flow.decode([chunk({"tool_calls": [tool("a", "{}", id=call_id)]}, "tool_calls")]).whole.tool_calls[0].id
        == call_id
    )


def test_tool_call_arguments_that_are_not_json_are_returned_unchanged(flow: Any) -> None:
    assert (
        flow.decode([chunk({"tool_calls": [tool("a", '{"x": 南', id="c")]}, "stop")]).whole.tool_calls[0].arguments
        == '{"x": 南'
    )


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "The sky"},
        {"content": "\nThe sky"},
        {"content": [{"type": "text", "text": "The "}, {"type": "text", "text": "sky"}]},
        {"content": "\n<|begin_of_box|>The sky<|end_of_box|>", "tool_calls": None, "reasoning_content": None},
    ],
)
def test_every_known_shape_of_a_whole_answer_gives_the_same_answer(flow: Any, message: dict[str, Any]) -> None:
    payload = {
        "choices": [{"finish_reason": "stop", "message": message}],
        "created": 1703487403,
        "id": "823",
        "model": "m",
    }
    answer = flow.run(flow.body(payload), stream=False).whole
    assert (answer.text, answer.finish_reason, answer.id, answer.raw) == ("The sky", "stop", "823", payload)


@pytest.mark.parametrize("content", [None, "\n", ""])
def test_a_whole_answer_with_only_tool_calls_has_an_empty_text(flow: Any, content: str | None) -> None:
    call = tool("get_weather", '{"location": "Beijing"}', id="call_-83", index=0)
    answer = flow.run(flow.body(flow.whole(content, "tool_calls", message={"tool_calls": [call]})), stream=False).whole
    assert answer.tool_calls == (ToolCall("call_-83", "get_weather", '{"location": "Beijing"}'),)
    assert answer.text == ""


def test_usage_of_a_whole_answer_includes_cached_and_reasoning_tokens(flow: Any) -> None:
    usage = {
        "prompt_tokens": 293360,
        "completion_tokens": 221,
        "total_tokens": 293640,
        "prompt_tokens_details": {"cached_tokens": 43},
        "completion_tokens_details": {"reasoning_tokens": 182},
    }
    answer = flow.run(flow.body(flow.whole(usage=usage)), stream=False).whole
    assert answer.usage == Usage(293360, 221, 293640, 43, 182)  # the total need not be the sum


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({}, Usage(0, 0, 0)),
        ({"prompt_tokens": None, "completion_tokens": "7", "total_tokens": None}, Usage(0, 7, 7)),
        ({"prompt_tokens": 3.0, "completion_tokens": True}, Usage(3, 0, 3)),
        (
            {"prompt_tokens": float("nan"), "completion_tokens": float("inf"), "total_tokens": "--5"},
            Usage(0, 0, 0),
        ),
        ({"input_tokens": 3, "output_tokens": 4}, Usage(3, 4, 7)),
        (
            {"prompt_tokens": 3, "prompt_tokens_details": None, "completion_tokens_details": []},
            Usage(3, 0, 3),
        ),
    ],
)
def test_usage_in_any_form_is_read(usage: dict[str, Any], expected: Usage) -> None:
    assert usage_of(usage) == expected


@pytest.mark.parametrize(
    "data", [b"", b"{", b"<html>", b"\xff\xfe", b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}", b'"\\ud83"']
)
def test_a_body_that_is_not_json_raises_a_short_malformed_response_error(data: bytes) -> None:
    with pytest.raises(glmv.MalformedResponse) as raised:
        parse(data)
    assert len(str(raised.value)) < 400


def test_invalid_utf_8_becomes_replacement_characters() -> None:
    assert parse(b'{"a": "x\xffy"}') == {"a": "x\ufffdy"}
    assert parse(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (rb'"a\ud83db"', "a\ufffdb"),
        (rb'"\uDE00"', "\ufffd"),
        (rb'"\ud83d\ud83d\ude00"', "\ufffd\U0001f600"),
        (rb'"\ude00\ud83d"', "\ufffd\ufffd"),
        (rb'"\\ud83d \ud83d"', "\\ud83d \ufffd"),
        (b'"\\ud83d \xff"', "\ufffd \ufffd"),
        (b'"\xed\xa0\xbd"', "\ufffd\ufffd\ufffd"),
    ],
)
def test_half_a_surrogate_pair_becomes_a_replacement_character(data: bytes, text: str) -> None:
    assert parse(data) == text


def test_an_excerpt_of_a_broken_body_is_short_and_has_no_control_characters() -> None:
    result = excerpt(b"\x1b[2J\r\n\x00" + "\u202e南".encode() + b"x" * 10_000)
    assert result.isprintable()
    assert len(result) < 210


@given(st.binary(max_size=60))
def test_any_bytes_are_parsed_as_json_or_raise_malformed_response(data: bytes) -> None:
    try:
        parse(data)
    except glmv.MalformedResponse:
        pass


PNG = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x02\x00\x00\x00\x90wS\xde"
    b"\x00\x00\x00\x0cIDATx\x9cc\xf8\xcf\xc0\x00\x00\x03\x01\x01\x00\xc9\xfe\x92\xef\x00\x00\x00\x00IEND\xaeB`\x82"
)


def written(
    messages: Any, dialect: Any = PLATFORM, *, stream: bool = False, lists: bool = False, **options: Any
) -> Any:
    request = chat_request(messages, Options(), options)
    return json.loads(bytes(encode(request, dialect, stream=stream, lists=lists)))


def test_a_question_without_options_sends_only_model_and_messages() -> None:
    body = encode(chat_request("hi", Options(), {}), PLATFORM, stream=False)
    assert bytes(body) == b'{"model":"glm-4.6v","messages":[{"role":"user","content":"hi"}]}'


def test_unset_options_are_absent_and_never_null() -> None:
    assert b"null" not in bytes(encode(chat_request("hi", Options(), {"temperature": None}), PLATFORM, stream=True))


def test_temperature_0_and_top_p_1_are_sent_unchanged() -> None:
    body = written("hi", temperature=0, top_p=1)
    assert (body["temperature"], body["top_p"]) == (0, 1)


def test_every_body_option_is_sent_under_its_name() -> None:
    options: dict[str, Any] = {
        "temperature": 0.5,
        "top_p": 0.6,
        "max_tokens": 7,
        "stop": ["x"],
        "do_sample": True,
        "reasoning_effort": "high",
        "tools": [{"type": "web_search", "web_search": {}}],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
        "tool_stream": True,
        "stream_options": {"include_usage": True},
        "sensitive_word_check": {"type": "ALL", "status": "DISABLE"},
        "seed": 1,
        "request_id": "abcdef",
        "user_id": "user-1",
    }
    body = written("hi", stream=True, **options, extra_body={"meta": {"a": 1}})
    assert body == options | {
        "model": "glm-4.6v",
        "messages": body["messages"],
        "stream": True,
        "meta": {"a": 1},
    }


@pytest.mark.parametrize(
    ("dialect", "thinking", "expected"),
    [
        (PLATFORM, True, {"thinking": {"type": "enabled"}}),
        (PLATFORM, False, {"thinking": {"type": "disabled"}}),
        (PLATFORM, "auto", {}),
        (
            PLATFORM,
            {"type": "enabled", "clear_thinking": False},
            {"thinking": {"type": "enabled", "clear_thinking": False}},
        ),
        (VLLM, True, {"chat_template_kwargs": {"enable_thinking": True}}),
        (VLLM, {"type": "disabled"}, {"chat_template_kwargs": {"enable_thinking": False}}),
        (VLLM, "auto", {}),
    ],
)
def test_thinking_is_sent_to_the_platform_and_to_vllm_in_different_fields(
    dialect: Any, thinking: Any, expected: dict[str, Any]
) -> None:
    body = written("hi", dialect, thinking=thinking)
    assert {key: value for key, value in body.items() if key not in ("model", "messages")} == expected


def test_a_picture_is_raw_base64_for_the_platform_and_a_data_uri_elsewhere() -> None:
    picture = Image.from_bytes(PNG)
    raw = picture.base64().decode()
    for dialect, url in (
        (PLATFORM, raw),
        (OPENAI, f"data:image/png;base64,{raw}"),
        (VLLM, f"data:image/png;base64,{raw}"),
    ):
        assert written([picture, "?"], dialect)["messages"][0]["content"] == [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": "?"},
        ]


def test_every_type_of_content_part_is_encoded_under_its_own_type() -> None:
    parts = [
        Text("t"),
        Image.from_url("https://example.org/a.png"),
        Video.from_url("https://example.org/a.mp4"),
        File.from_url("https://example.org/a.pdf"),
        File.from_id("f1"),
    ]
    assert written([Message("user", parts)])["messages"][0]["content"] == [
        {"type": "text", "text": "t"},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
        {"type": "file_url", "file_url": {"url": "https://example.org/a.pdf"}},
        {"type": "file", "file": {"file_id": "f1"}},
    ]


def test_tool_calls_and_tool_results_of_a_conversation_are_sent() -> None:
    call = ToolCall("call_1", "f", '{"a":1}')
    messages = [
        Message("system", "s"),
        Message("user", "u"),
        Message("assistant", "", tool_calls=[call], reasoning="r"),
        Message("tool", "result", tool_call_id="call_1"),
    ]
    assert written(messages)["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "r",
            "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "content": "result", "tool_call_id": "call_1"},
    ]


def test_lists_of_text_are_joined_for_an_assistant_but_not_for_a_user() -> None:
    messages = [Message("user", "u"), Message("assistant", ["a", "b"]), Message("user", ["c", "d"])]
    assert [message["content"] for message in written(messages)["messages"]] == [
        "u",
        "ab",
        [{"type": "text", "text": "c"}, {"type": "text", "text": "d"}],
    ]


def test_user_messages_to_glm_4v_are_lists_and_assistant_messages_are_strings() -> None:
    messages = [Message("user", "u"), Message("assistant", "a")]
    assert [message["content"] for message in written(messages, lists=True)["messages"]] == [
        [{"type": "text", "text": "u"}],
        "a",
    ]


@pytest.mark.parametrize("role", ["system", "assistant", "tool"])
def test_a_picture_outside_a_user_message_is_refused(role: Any) -> None:
    request = ChatRequest("glm-4.6v", (Message(role, Image.from_bytes(PNG)),))
    with pytest.raises(glmv.UnsupportedContent, match=role):
        encode(request, PLATFORM, stream=False)


def test_text_that_looks_like_internal_markers_is_sent_unchanged() -> None:
    text = "@glmv-00000000000000000000000000000000:0@"
    body = written([text, Image.from_bytes(PNG), text])
    assert [part.get("text") for part in body["messages"][0]["content"]] == [text, None, text]


@pytest.mark.parametrize("bad", [{"a": {1, 2}}, {"a": object()}, {"a": float("nan")}, {"a": "\ud800"}])
def test_values_that_json_cannot_represent_raise_an_invalid_request_error(bad: dict[str, Any]) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="JSON"):
        written("hi", extra_body=bad)


def test_an_encoded_body_is_the_same_in_one_piece_or_several() -> None:
    blob = b"x" * 3001
    body = Body([b"[", blob, b"]"])
    assert b"".join(body) == b"".join(body) == bytes(body) == b"".join(body.cut(1000))
    assert len(body) == len(bytes(body)) == len(body.cut(1000))
    assert any(part is blob for part in body)
    assert [len(piece) for piece in body.cut(1000)] == [1, 1000, 1000, 1000, 1, 1]


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_is_encoded_unchanged(system: str, user: str) -> None:
    try:
        body = written([Message("system", system), Message("user", user)])
    except glmv.InvalidRequestError:
        assert any(0xD800 <= ord(letter) <= 0xDFFF for letter in system + user)  # half a character is none
    else:
        assert [message["content"] for message in body["messages"]] == [system, user]


@pytest.mark.parametrize("value", [b"[]", b"{}", b"0", b'{"a":[1]}'])
def test_json_of_very_many_small_values_is_refused_before_decoding(value: bytes) -> None:
    with pytest.raises(glmv.MalformedResponse, match="more than 300000 values"):
        parse(b'{"choices":[' + (value + b",") * 300_001 + value + b"]}")


def test_an_answer_of_64_embeddings_with_4096_numbers_each_is_read() -> None:
    vector = b"[" + b",".join([b"0.12345678"] * 4096) + b"]"
    assert len(parse(b"[" + b",".join([vector] * 64) + b"]")) == 64


LITELLM, OPENROUTER, TRANSFORMERS = DIALECTS["litellm"], DIALECTS["openrouter"], DIALECTS["transformers"]


@pytest.mark.parametrize("dialect", [PLATFORM, OPENAI])
def test_a_document_given_as_bytes_is_sent_as_a_data_uri_with_its_file_name(dialect: Any) -> None:
    named, unnamed = File.from_bytes(b"%PDF-1.4", name="a.pdf"), File.from_bytes(b"%PDF-1.4")
    data = f"data:application/pdf;base64,{named.base64().decode()}"
    content = written([Message("user", [named, unnamed, Text("?")])], dialect)["messages"][0]["content"]
    assert content == [
        {"type": "file", "file": {"file_data": data, "filename": "a.pdf"}},
        {"type": "file", "file": {"file_data": data}},
        {"type": "text", "text": "?"},
    ]


@pytest.mark.parametrize(
    "file", [File.from_bytes(b"%PDF-1.4"), File.from_id("f"), File.from_url("https://e.org/a.pdf")]
)
def test_files_in_a_request_to_vllm_are_refused(file: File) -> None:
    with pytest.raises(glmv.UnsupportedContent, match="do not accept files"):
        written([file, "?"], VLLM)


@pytest.mark.parametrize(
    ("dialect", "thinking", "expected"),
    [
        (OPENAI, True, {"thinking": {"type": "enabled"}}),
        (LITELLM, False, {"thinking": {"type": "disabled"}, "allowed_openai_params": ["thinking"]}),
        (LITELLM, None, {}),
        (OPENROUTER, True, {"reasoning": {"enabled": True}}),
        (OPENROUTER, {"type": "disabled", "clear_thinking": False}, {"reasoning": {"enabled": False}}),
        (VLLM, {"type": "enabled", "clear_thinking": False},
         {"chat_template_kwargs": {"enable_thinking": True, "clear_thinking": False}}),
        (TRANSFORMERS, False, {"chat_template_kwargs": {"enable_thinking": False}}),
        (DIALECTS["llama.cpp"], True, {"chat_template_kwargs": {"enable_thinking": True}}),
    ],
)  # fmt: skip
def test_thinking_is_sent_in_the_field_that_each_server_uses(
    dialect: Any, thinking: Any, expected: dict[str, Any]
) -> None:
    body = written("hi", dialect, thinking=thinking)
    assert {key: value for key, value in body.items() if key not in ("model", "messages")} == expected


@pytest.mark.parametrize("name", sorted(DIALECTS))
def test_usage_of_a_stream_is_requested_unless_the_server_sends_it_by_default(name: str) -> None:
    usage_option = {"include_usage": True}
    body = written("hi", DIALECTS[name], stream=True)
    assert body["stream"] is True
    assert body.get("stream_options") == (None if name in ("platform", "transformers") else usage_option)
    assert "stream_options" not in written("hi", DIALECTS[name], stream_options=usage_option)
    assert "stream_options" not in written("hi", DIALECTS[name], stream=True, stream_options=False)


def test_keys_of_extra_body_are_merged_with_the_fields_for_the_server() -> None:
    extra = {"chat_template_kwargs": {"mine": 1}, "stream_options": {"continuous": True}, "seed": 2}
    body = written("hi", VLLM, stream=True, thinking=True, extra_body=extra)
    assert body["chat_template_kwargs"] == {"enable_thinking": True, "mine": 1}
    assert body["stream_options"] == {"include_usage": True, "continuous": True}
    assert body["seed"] == 2
    listed = written("hi", LITELLM, thinking=True, extra_body={"allowed_openai_params": ["thinking", "seed"]})
    assert listed["allowed_openai_params"] == ["thinking", "seed"]
    added = written("hi", LITELLM, thinking=True, extra_body={"allowed_openai_params": ["seed"]})
    assert added["allowed_openai_params"] == ["thinking", "seed"]
    replaced = written("hi", VLLM, thinking=True, extra_body={"chat_template_kwargs": {"enable_thinking": False}})
    assert replaced["chat_template_kwargs"] == {"enable_thinking": False}
    deep = written("hi", OPENROUTER, thinking=True, extra_body={"reasoning": {"effort": "low"}, "model": "other"})
    assert (deep["reasoning"], deep["model"]) == ({"enabled": True, "effort": "low"}, "other")


def test_tools_other_than_functions_in_a_request_to_vllm_are_refused() -> None:
    function = {"type": "function", "function": {"name": "f"}}
    assert written("hi", VLLM, tools=[function])["tools"] == [function]
    with pytest.raises(glmv.UnsupportedContent, match=r"tools\[1\] has the type 'web_search'.*'vllm'.*functions only"):
        written("hi", VLLM, tools=[function, {"type": "web_search", "web_search": {}}])


@pytest.mark.parametrize(
    ("dialect", "options", "expected"),
    [
        (OPENAI, {"user_id": "user-1", "request_id": "abcdef"}, {"user": "user-1"}),
        (OPENAI, {"do_sample": False, "top_p": 0.5, "temperature": 0.7}, {"temperature": 0}),
        (OPENAI, {"do_sample": True, "top_p": 0.5}, {"top_p": 0.5}),
        (PLATFORM, {"do_sample": False, "user_id": "user-1"}, {"do_sample": False, "user_id": "user-1"}),
        (PLATFORM, {"parallel_tool_calls": False}, {}),
    ],
)
def test_options_of_the_platform_are_sent_as_fields_that_each_server_knows(
    dialect: Any, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = written("hi", dialect, **options)
    assert {key: value for key, value in body.items() if key not in ("model", "messages")} == expected


def test_the_request_id_of_an_attempt_is_in_the_body_only_for_the_platform() -> None:
    request = chat_request("hi", Options(), {"request_id": "of-the-user"})

    def request_id_in(dialect: Any, request_id: str | None) -> Any:
        return json.loads(bytes(encode(request, dialect, stream=False, request_id=request_id))).get("request_id")

    assert [request_id_in(PLATFORM, each) for each in (None, "of-the-attempt", "")] == [
        "of-the-user",
        "of-the-attempt",
        None,
    ]
    assert request_id_in(OPENAI, "of-the-attempt") is None


def test_only_a_request_body_with_a_picture_counts_as_large() -> None:
    assert not encode(chat_request("hi", Options(), {}), PLATFORM, stream=False).large
    assert encode(chat_request([Image.from_bytes(PNG)], Options(), {}), PLATFORM, stream=False).large
    assert repr(Body([b"ab", b"c"])) == "Body(3 bytes)"


@pytest.mark.parametrize(
    ("usage", "cached", "reasoning"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}, 4, 2),
        ({"prompt_tokens_details": {"cached_tokens": "4"}}, 4, None),
        ({"prompt_tokens_details": {"cached_tokens": True}}, None, None),
    ],
)
def test_cached_and_reasoning_tokens_are_read_from_the_details_of_usage(
    usage: dict[str, Any], cached: int | None, reasoning: int | None
) -> None:
    assert usage_of(usage) == Usage(0, 0, 0, cached, reasoning)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("7", 7),
        (" 7 ", 7),
        ("9" * 19, int("9" * 19)),
        ("9" * 20, 0),
        (7.9, 7),
        (float(2**63), 0),
        (-(2.0**62), -(2**62)),
    ],
)
def test_token_counts_are_read_from_strings_and_floats_up_to_64_bits(value: Any, read: int) -> None:
    assert usage_of({"total_tokens": value}).total_tokens == read


def test_a_broken_answer_is_quoted_by_its_first_160_characters() -> None:
    assert excerpt(b"x" * 160) == repr("x" * 160)
    assert excerpt(b"x" * 161) == repr("x" * 160) + "…"
    assert excerpt(b"  a\tb  ") == "'a b'"


def test_the_id_and_the_model_and_the_time_come_from_the_first_chunk_that_has_them(flow: Any) -> None:
    chunks = [
        chunk({"content": "The "}, id="", model=None, created="then"),
        chunk({"content": "sky"}, id="i2", created="7", request_id="r2"),
        chunk({"content": "."}, id="i3", model="m3", created=8, request_id="r3"),
        chunk(
            {"content": ""}, "stop", id="i4", model="m4", request_id="r4", web_search=[], content_filter={"level": 1}
        ),
    ]
    outcome = flow.decode(chunks)
    answer = outcome.whole
    assert (answer.id, answer.model, answer.created, answer.request_id) == ("i2", "glm-4v-plus", 7, "r2")
    assert [(delta.id, delta.created) for delta in outcome.deltas[:3]] == [(None, None), ("i2", 7), ("i2", 7)]
    assert [delta.request_id for delta in outcome.deltas[:3]] == [None, "r2", "r2"]
    assert (answer.web_search, answer.content_filter) == (None, None)


def test_a_request_id_that_comes_in_a_later_chunk_is_recorded(flow: Any) -> None:
    first, *others = (chunk({"content": text}, created=7) for text in ("The ", "sky", "."))
    others[-1]["request_id"] = "late"
    assert flow.decode([first, *others, chunk({}, "stop")]).whole.request_id == "late"


def test_the_raw_chunk_of_the_last_delta_is_the_chunk_with_the_finish_reason(flow: Any) -> None:
    chunks = [chunk({"content": "a"}), chunk({"content": "b"}, "stop"), chunk({"content": "c"}), chunk(None)]
    outcome = flow.decode(chunks)
    assert [delta.raw for delta in outcome.deltas] == [*chunks[:3], chunks[1]]
    assert outcome.whole.text == "abc"


@pytest.mark.parametrize(
    ("delta", "text", "reasoning"),
    [
        ({"refusal": "No."}, "No.", ""),
        ({"content": "Red", "refusal": "No."}, "Red", ""),
        ({"content": "", "refusal": "No.", "audio": {"transcript": "Red"}}, "No.", ""),
        ({"audio": {"transcript": "Red"}}, "Red", ""),
        ({"content": "Red", "audio": {"transcript": "Blue"}}, "Red", ""),
        ({"content": "Red", "audio": "AAAA"}, "Red", ""),
        ({"content": "Red", "reasoning": "Hm."}, "Red", "Hm."),
        ({"content": "Red", "reasoning_content": "Hm.", "reasoning": "So."}, "Red", "Hm."),
        ({"content": "Red", "reasoning_content": [{"type": "text", "text": "Hm."}]}, "Red", "Hm."),
        ({"content": [{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Red"}]}, "Red", "Hm."),
        ({"content": [{"type": "thinking", "thinking": "b"}], "reasoning": "a"}, "", "ab"),
        ({"content": "<think>b</think>Red"}, "Red", "b"),
        ({"reasoning_content": "Hm.", "audio": {"transcript": "Red"}}, "", "Hm."),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_text_and_reasoning_are_read_from_each_known_field_of_a_message(
    flow: Any, stream: bool, delta: dict[str, Any], text: str, reasoning: str
) -> None:
    if stream:
        answer = flow.decode([chunk(delta), END]).whole
    else:
        answer = flow.run(flow.body(flow.whole(None, message=delta)), stream=False).whole
    assert (answer.text, answer.reasoning) == (text, reasoning)


def test_a_final_message_that_repeats_the_text_adds_only_its_tool_calls(flow: Any) -> None:
    message = {"content": "The sky", "reasoning_content": "Hm.", "tool_calls": [tool("add", "{}", id="c1")]}
    chunks = [chunk({"content": "The "}), chunk({"content": "sky"})]
    end = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    answer = flow.decode([*chunks, end]).whole
    assert (answer.text, answer.reasoning, [call.name for call in answer.tool_calls]) == ("The sky", "", ["add"])
    reasoned = flow.decode([chunk({"reasoning_content": "Hm."}), end]).whole
    assert (reasoned.text, reasoned.reasoning) == ("The sky", "Hm.Hm.")


def of_choice(index: Any, text: str | None = None, finish_reason: str | None = None) -> dict[str, Any]:
    return {"choices": [{"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish_reason}]}


@pytest.mark.parametrize(
    ("chunks", "text"),
    [
        ([of_choice(1, "X"), of_choice(0, "A"), of_choice(0, None, "stop")], "A"),
        ([of_choice(2, "X"), of_choice(1, "A"), of_choice(2, "Y"), of_choice(1, "B", "stop")], "AB"),
        ([of_choice(1, "X", "stop"), of_choice(0, None, "stop")], ""),
        ([of_choice(0), of_choice(1, "A"), of_choice(1, "B", "stop")], "AB"),
        ([of_choice(0, "A"), of_choice(1, "B"), of_choice(2, "C", "stop")], "ABC"),
        ([of_choice(0, "A"), of_choice(1, "B", "stop"), of_choice(2, "C", "stop"), of_choice(0, None, "stop")], "A"),
        ([of_choice(0, "A"), of_choice(1, "B"), of_choice(3, "C"), of_choice(0, "D", "stop")], "AD"),
        ([of_choice("0", "A"), of_choice(None, "B"), of_choice(True, "C"), of_choice("", "D", "stop")], "ABCD"),
        ([{"choices": [*of_choice(1, "X")["choices"], *of_choice(0, "A", "stop")["choices"]]}], "A"),
        ([{"choices": [*of_choice(2, "X", "stop")["choices"], *of_choice(1, "A", "stop")["choices"]]}], "A"),
        ([{"choices": [*of_choice(1, "A", "stop")["choices"], None]}], "A"),
        ([{"choices": ["text"]}, {"choices": {"a": 1}}, of_choice(0, "A", "stop")], "A"),
        ([of_choice(-1, "X"), of_choice(0, "A", "stop")], "A"),
        ([{"choices": of_choice(1, "A")["choices"] + of_choice(2, "X")["choices"]}, of_choice(2, "Y", "stop")], "A"),
    ],
)
def test_the_answer_is_choice_0_or_else_the_choice_with_the_lowest_index(
    flow: Any, chunks: list[dict[str, Any]], text: str
) -> None:
    assert flow.decode(chunks).whole.text == text


def test_usage_of_only_zeros_does_not_replace_earlier_usage(flow: Any) -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    for later, expected in (
        (zero, Usage(3, 2, 5)),
        ({"total_tokens": 9}, Usage(0, 0, 9)),
        ({"prompt_tokens": 9, "total_tokens": 0}, Usage(9, 0, 0)),
        ({"completion_tokens": 9, "total_tokens": 0}, Usage(0, 9, 0)),
    ):
        assert flow.decode([chunk({"content": "x"}), END, {"choices": [], "usage": later}]).whole.usage == expected
    assert flow.decode([chunk({"content": "x"}, "stop", usage=zero)]).whole.usage == Usage(0, 0, 0)


def test_control_characters_inside_strings_are_read_and_kept() -> None:
    assert parse(b'{"a":\n\t"x\ty\x01\\n\\"\n"}') == {"a": 'x\ty\x01\n"\n'}


def test_credentials_written_with_json_escapes_are_masked() -> None:
    secrets = Secrets("abcdef.0123456789")
    hidden = rb'{"message": "key \u0061bcdef.0123456789 is wrong"}'
    assert "abcdef.0123456789" in parse(hidden)["message"]
    assert "abcdef.0123456789" not in parse(hidden, secrets=secrets)["message"]


def test_a_body_with_many_commas_inside_its_text_is_read() -> None:
    assert len(parse(b'"' + b"," * 300_000 + b'"')) == 300_000


def test_a_whole_answer_whose_only_choice_has_index_1_is_read(flow: Any) -> None:
    payload = {"choices": [{"index": 1, "message": {"content": "A"}, "finish_reason": "stop"}]}
    assert flow.run(flow.body(payload), stream=False).whole.text == "A"


def test_a_stream_with_unknown_fields_and_an_empty_text_is_an_empty_answer(flow: Any) -> None:
    answer = flow.decode([chunk({"content": ""}), chunk({"mystery": 1}), chunk({}, "stop")]).whole
    assert (answer.text, answer.finish_reason) == ("", "stop")
    assert flow.decode([chunk({"mystery": 1}), chunk({"content": ""}, "stop")]).whole.text == ""


def test_the_whole_text_repeated_after_the_deltas_is_not_added_to_the_answer(flow: Any) -> None:
    sums = [{"text": "The sky"}, {"message": {"content": "The sky"}}, {"output": {"text": "The sky"}}]
    assert flow.decode([chunk({"content": "The sky"}), *sums, END]).whole.text == "The sky"


@pytest.mark.parametrize("message", [{"role": "assistant", "text": "The sky"}, ["The ", "sky"]])
def test_a_message_that_is_a_list_or_has_its_text_in_the_field_text_is_read(flow: Any, message: Any) -> None:
    payload = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert flow.run(flow.body(payload), stream=False).whole.text == "The sky"


def test_deltas_with_the_field_text_instead_of_content_are_read(flow: Any) -> None:
    answer = flow.decode([chunk({"role": "assistant", "text": "The "}), chunk({"text": "sky"}), END]).whole
    assert answer.text == "The sky"
