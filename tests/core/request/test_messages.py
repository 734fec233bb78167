"""Every common form of messages is accepted; the error about an invalid message names its position."""

from __future__ import annotations

from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glmv
from glmv import File, Image, Message, Options, Text, ToolCall, Video
from glmv.request.build import chat_request
from glmv.request.messages import messages_of

PICTURE = Image.from_url("https://example.org/a.png")


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ("hi", (Message("user", "hi"),)),
        (PICTURE, (Message("user", PICTURE),)),
        (Text("hi"), (Message("user", "hi"),)),
        (["a", PICTURE, "b"], (Message("user", [Text("a"), PICTURE, Text("b")]),)),
        (("a", "b"), (Message("user", ["a", "b"]),)),
        ((part for part in ["a", PICTURE]), (Message("user", ["a", PICTURE]),)),
        (Message("user", "hi"), (Message("user", "hi"),)),
        ([Message("system", "s"), Message("user", "u")], (Message("system", "s"), Message("user", "u"))),
        ({"role": "user", "content": "hi"}, (Message("user", "hi"),)),
        (
            [{"role": "developer", "content": "s"}, Message("user", "u")],
            (Message("system", "s"), Message("user", "u")),
        ),
        ([{"type": "text", "text": "a"}, "b"], (Message("user", ["a", "b"]),)),
        ([{"role": "assistant", "content": None}], (Message("assistant"),)),
        ([{"role": "user", "content": ["a", {"type": "text", "text": "b"}]}], (Message("user", ["a", "b"]),)),
        ([{"role": "user", "content": {"type": "text", "text": "b"}}], (Message("user", "b"),)),
        ([{"role": "user", "content": "hi", "refusal": None, "annotations": None}], (Message("user", "hi"),)),
    ],
)
def test_every_form_of_messages_is_converted_to_message_objects(
    messages: object, expected: tuple[Message, ...]
) -> None:
    assert messages_of(messages) == expected


def test_a_conversation_in_the_openai_shape_keeps_tool_calls_and_reasoning() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
    assert messages_of(
        [
            {"role": "assistant", "content": "", "tool_calls": [call], "reasoning_content": "r"},
            {"role": "tool", "content": "result", "tool_call_id": "call_1", "name": "f"},
        ]
    ) == (
        Message("assistant", tool_calls=[ToolCall("call_1", "f", '{"a": 1}')], reasoning="r"),
        Message("tool", "result", tool_call_id="call_1"),
    )


def test_tool_call_arguments_given_as_an_object_become_json_text() -> None:
    call = {"function": {"name": "f", "arguments": {"a": "南"}}}
    (message,) = messages_of([{"role": "assistant", "tool_calls": [call]}])
    assert message.tool_calls == (ToolCall("", "f", '{"a": "南"}'),)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "t"}, Text("t")),
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png", "detail": "high"}}, PICTURE),
        ({"type": "image_url", "image_url": "https://example.org/a.png"}, PICTURE),
        (
            {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
            Video.from_url("https://example.org/a.mp4"),
        ),
        (
            {"type": "file_url", "file_url": {"url": "https://example.org/a.pdf"}},
            File.from_url("https://example.org/a.pdf"),
        ),
        ({"type": "file", "file": {"file_id": "f1"}}, File.from_id("f1")),
    ],
)
def test_every_content_part_of_the_wire_format_is_read(part: dict[str, Any], expected: object) -> None:
    (message,) = messages_of([{"role": "user", "content": [part]}])
    assert message.content == (expected,)


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "empty"),
        (5, "int"),
        (None, "NoneType"),
        (b"\x89PNG", r"Image\.from_bytes"),
        ([5], "int"),
        (["a", Message("user", "b")], r"messages\[0\]"),
        ([Message("user", "b"), 7], r"messages\[1\]"),
        ([{"role": "User", "content": "x"}], "User"),
        ([{"role": "user", "contents": "x"}], "Did you mean 'content'"),
        ([{"role": "user", "content": 5}], r"messages\[0\]\.content"),
        ([{"role": "user", "content": b"bytes"}], r"\[0\]\.content is bytes.*from_bytes"),
        ([{"role": "user", "content": [{"type": "imageurl", "image_url": "x"}]}], "imageurl"),
        ([{"role": "user", "content": [{"type": "text"}]}], "text"),
        ([{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}], "input_audio"),
        ([{"role": "assistant", "tool_calls": 5}], "tool_calls"),
        ([{"role": "assistant", "tool_calls": ["x"]}], "tool_calls"),
        (
            [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": {1}}}}]}],
            "JSON",
        ),
        ([{"role": "user", "content": "x", 5: 5, "b": 1}], "an unknown key"),
    ],
)
def test_an_invalid_message_is_refused_and_the_error_names_the_problem(messages: object, reason: str) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=reason):
        messages_of(messages)


PATHS = [
    "/etc/passwd",
    "..\\x.png",
    "~/.ssh/id_rsa",
    "C:\\a.png",
    "file:///etc/passwd",
    "file://localhost/etc/passwd#x.jpg",
    "ftp://example.org/a.png",
    "gopher://x",
    "javascript:alert(1)",
    "data:text/html,<b>",
    "a\0b",
    "",
    "example.org/a.png",
]


@pytest.mark.parametrize("kind", ["image_url", "video_url"])
@pytest.mark.parametrize("url", PATHS)
def test_a_message_with_a_file_path_or_a_url_that_is_not_http_is_refused(kind: str, url: str) -> None:
    with pytest.raises(glmv.InvalidRequestError):
        messages_of([{"role": "user", "content": [{"type": kind, kind: {"url": url}}]}])


def test_reading_messages_does_not_change_the_callers_objects() -> None:
    message = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}],
    }
    before = repr(message)
    messages_of([message])
    assert repr(message) == before


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5), st.binary(max_size=3), st.just("user")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(
                st.sampled_from(
                    [
                        "role",
                        "content",
                        "type",
                        "text",
                        "image_url",
                        "url",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                        "file",
                    ]
                ),
                st.integers(),
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=8,
)


@given(anything)
def test_any_input_is_read_as_messages_or_raises_a_glmv_error(messages: Any) -> None:
    try:
        assert all(isinstance(message, Message) for message in messages_of(messages))
    except glmv.GLMVError:
        pass


@pytest.mark.parametrize(
    ("messages", "name"),
    [
        ([{"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "high"}}], "detail"),
        ([{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}], "cache_control"),
        ([{"role": "user", "name": "ann", "content": "hi"}], "name"),
        ([{"role": "user", "content": "hi", "cache_control": {"type": "ephemeral"}}], "cache_control"),
        ([{"role": "user", "content": {"type": "text", "text": "hi", "cache_control": {}}}], "cache_control"),
        ([{"role": "user", "content": [{"type": "video_url", "video_url": {"url": "https://e.com/a.mp4", "fps": 2}}]}],
         "fps"),
    ],
)  # fmt: skip
def test_fields_unknown_to_the_wire_format_are_left_out_with_a_note(messages: Any, name: str) -> None:
    request = chat_request(messages, Options(), {})
    assert len(request.notes) == 1
    assert f"{name} " in request.notes[0]
    assert "messages[0]" in request.notes[0]


def test_an_answer_dumped_by_the_openai_client_can_be_sent_back() -> None:
    answer: Any = {"role": "assistant", "content": "Hi.", "refusal": None, "annotations": [], "audio": None,
                   "function_call": None, "tool_calls": None}  # fmt: skip
    request = chat_request([{"role": "user", "content": "hi"}, answer, {"role": "user", "content": "?"}], Options(), {})
    assert request.messages[1] == Message("assistant", "Hi.")
    assert request.notes == ()


def test_message_fields_that_are_sent_cause_no_notes() -> None:
    parts = [
        {"type": "text", "text": "hi"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "file", "file": {"file_id": "f-1"}},
        {"type": "image_url", "image_url": "https://example.com/a.png"},
    ]
    assert chat_request([{"role": "user", "content": parts}], Options(), {}).notes == ()


class _Role(str, Enum):  # noqa: UP042  # not StrEnum, whose str() is the value; agent frameworks have such
    USER = "user"


def test_a_role_may_be_a_member_of_a_string_enum() -> None:
    (message,) = messages_of([{"role": _Role.USER, "content": "Hello"}])
    assert (message.role, message.text) == ("user", "Hello")


@pytest.mark.parametrize("role", [None, 3, [], "narrator"])
def test_an_unknown_role_is_refused(role: object) -> None:
    with pytest.raises(glmv.UnsupportedContent, match="roles are system, user, assistant and tool"):
        messages_of([{"role": role, "content": "Hello"}])
