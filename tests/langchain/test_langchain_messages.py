"""Every form of content in LangChain messages is mapped, or refused by name."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

import glmv
from langchain_glmv.messages import to_glmv

URL = "https://pictures.example/cat.png"
CLIP = "https://pictures.example/cat.mp4"
PAPER = "https://papers.example/paper.pdf"
PDF = b64encode(b"%PDF-1.4 a paper").decode()


def to_messages(*messages: AnyMessage) -> tuple[glmv.Message, ...]:
    return glmv.chat_request(to_glmv(messages, "glm-4.6v")[0], glmv.Options(), {}).messages


def notes(*messages: AnyMessage) -> tuple[str, ...]:
    return to_glmv(messages, "glm-4.6v")[1]


def part(block: Any) -> Any:
    [message] = to_messages(HumanMessage([block]))
    [only] = message.content
    return only


def images(red: str) -> list[Any]:
    uri = f"data:image/png;base64,{red}"
    return [
        {"type": "image", "base64": red, "mime_type": "image/png"},
        {"type": "image", "base64": red},
        {"type": "image", "url": uri},
        {"type": "image", "source_type": "base64", "data": red, "mime_type": "image/png"},
        {"type": "image", "source_type": "url", "url": uri},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": red}},
        {"type": "image_url", "image_url": {"url": uri, "detail": "high"}},
        {"type": "image_url", "image_url": uri},
        {"type": "image_url", "image_url": {"url": red}},
        {"type": "input_image", "image_url": uri},
        {"type": "file", "base64": red, "mime_type": "image/png"},
        {"type": "file", "file": {"file_data": uri, "filename": "red.png"}},
        {"type": "media", "mime_type": "image/png", "data": red},
        {"type": "non_standard", "value": {"type": "image", "base64": red}},
    ]


@pytest.mark.parametrize("number", range(14))
def test_every_form_of_an_inline_picture_is_mapped(number: int, red: str) -> None:
    result = part(images(red)[number])
    assert isinstance(result, glmv.Image)
    assert result.base64().decode() == red


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": URL},
        {"type": "image", "source_type": "url", "url": URL},
        {"type": "image", "source": {"type": "url", "url": URL}},
        {"type": "image_url", "image_url": {"url": URL}},
        {"type": "image_url", "image_url": URL},
        {"type": "input_image", "image_url": URL, "detail": "auto"},
    ],
)
def test_every_form_of_a_picture_url_is_mapped(block: dict[str, Any]) -> None:
    result = part(block)
    assert isinstance(result, glmv.Image)
    assert result.url == URL


@pytest.mark.parametrize(
    "block",
    [
        {"type": "video", "url": CLIP},
        {"type": "video_url", "video_url": {"url": CLIP}},
        {"type": "video_url", "video_url": CLIP},
        {"type": "file", "url": CLIP, "mime_type": "video/mp4"},
    ],
)
def test_every_form_of_a_video_url_is_mapped(block: dict[str, Any]) -> None:
    result = part(block)
    assert isinstance(result, glmv.Video)
    assert result.url == CLIP


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "url": PAPER},
        {"type": "file_url", "file_url": {"url": PAPER}},
        {"type": "file", "file": {"file_url": PAPER}},
        {"type": "input_file", "file_url": PAPER},
        {"type": "text-plain", "url": PAPER},
        {"type": "document", "source": {"type": "url", "url": PAPER}},
    ],
)
def test_every_form_of_a_document_url_is_mapped(block: dict[str, Any]) -> None:
    result = part(block)
    assert isinstance(result, glmv.File)
    assert result.url == PAPER


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "base64": PDF, "mime_type": "application/pdf"},
        {"type": "file", "source_type": "base64", "data": PDF, "mime_type": "application/pdf"},
        {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "paper.pdf"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
    ],
)
def test_every_form_of_an_inline_pdf_is_mapped(block: dict[str, Any]) -> None:
    result = part(block)
    assert isinstance(result, glmv.File)
    assert result.mime == "application/pdf"
    assert result.base64().decode() == PDF


def test_a_file_id_is_sent_as_the_id_of_an_uploaded_file() -> None:
    assert part({"type": "file", "file_id": "file-7"}).file_id == "file-7"
    assert part({"type": "file", "file": {"file_id": "file-7"}}).file_id == "file-7"


@pytest.mark.parametrize(
    "block",
    [
        "words",
        {"type": "text", "text": "words", "annotations": []},
        {"text": "words"},
        {"type": "input_text", "text": "words"},
        {"type": "text-plain", "text": "words", "mime_type": "text/plain"},
        {"type": "text-plain", "base64": b64encode(b"words").decode(), "mime_type": "text/plain"},
        {"type": "file", "base64": b64encode(b"words").decode(), "mime_type": "text/plain"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "words"}]}},
        {"type": "search_result", "content": [{"type": "text", "text": "words"}]},
        {"type": "custom_tool_call_output", "output": "words"},
        {"type": "non_standard", "value": {"type": "text", "text": "words"}},
    ],
)
def test_every_form_of_a_text_block_is_mapped(block: Any) -> None:
    assert part(block) == glmv.Text("words")


def test_the_title_precedes_the_text_of_a_document() -> None:
    assert part({"type": "text-plain", "text": "words", "title": "Notes"}) == glmv.Text("Notes\nwords")


def test_pictures_keep_their_positions_between_texts(red: str, blue: str) -> None:
    [message] = to_messages(
        HumanMessage(["before", {"type": "image", "base64": red}, "between", {"type": "image", "base64": blue}])
    )
    assert [type(item).__name__ for item in message.content] == ["Text", "Image", "Text", "Image"]
    assert message.content[1] == glmv.Image.from_base64(red)
    assert message.content[3] == glmv.Image.from_base64(blue)


@pytest.mark.parametrize(
    ("block", "named", "hint"),
    [
        ({"type": "audio", "base64": "AAAA", "mime_type": "audio/wav"}, "'audio'", "not accept audio"),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            "'input_audio'",
            "not accept audio",
        ),
        ({"type": "image", "file_id": "file-7"}, "'image'", "url or base64"),
        ({"type": "image"}, "'image'", "url or base64"),
        ({"type": "image_url", "image_url": {}}, "'image_url'", "url or base64"),
        ({"type": "video_url", "video_url": 3}, "'video_url'", "url or base64"),
        ({"type": "file_url", "file_url": None}, "'file_url'", "by url, base64 or file_id"),
        ({"type": "hologram", "url": URL}, "'hologram'", "What works"),
        ({"type": "non_standard", "value": {"type": "hologram"}}, "'hologram'", "What works"),
        ({"hologram": 1}, "'hologram'", "What works"),
        ({"type": "reasoning", "reasoning": "hm"}, "'reasoning'", "What works"),
        (7, "'int'", "What works"),
    ],
)
def test_the_error_for_an_unsupported_block_names_type_and_role_and_index_and_model(
    block: Any, named: str, hint: str
) -> None:
    message = HumanMessage("")
    message.content = [block]
    with pytest.raises(glmv.UnsupportedContent) as refusal:
        to_messages(SystemMessage("Be brief."), message)
    assert "messages[1] (human)" in str(refusal.value)
    assert named in str(refusal.value)
    assert "glm-4.6v" in str(refusal.value)
    assert hint in str(refusal.value)


@pytest.mark.parametrize("path", ["/etc/hostname", "file:///etc/hostname", "photo.png", "C:\\photo.png"])
def test_a_path_as_an_image_url_is_refused(path: str) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"messages\[0\] \(human\), block 'image_url'"):
        to_messages(HumanMessage([{"type": "image_url", "image_url": {"url": path}}]))


def test_unsupported_fields_of_blocks_are_left_out_with_one_note_for_each_field(red: str) -> None:
    uri = f"data:image/png;base64,{red}"
    picture = {"type": "image_url", "image_url": {"url": uri, "detail": "low"}}
    result = notes(
        HumanMessage(
            [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, picture, picture], name="Li"
        )
    )
    assert [line.partition(" ")[0] for line in result] == ["name", "cache_control", "detail"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
        {"type": "input_image", "image_url": URL, "detail": "low"},
        {"type": "image", "url": URL, "extras": {"detail": "low"}},
    ],
)
def test_the_field_detail_of_a_picture_is_left_out_with_a_note(block: dict[str, Any]) -> None:
    assert notes(HumanMessage([block])) == ("detail was left out: GLM has no field for it.",)


def test_system_texts_are_joined_by_newlines() -> None:
    [message] = to_messages(SystemMessage(["one", {"type": "text", "text": "two"}]))
    assert (message.role, message.text) == ("system", "one\ntwo")


def test_tool_calls_of_an_assistant_are_sent_with_json_arguments() -> None:
    [message] = to_messages(AIMessage("", tool_calls=[{"id": "c1", "name": "f", "args": {"city": "北京"}}]))
    assert message.tool_calls == (glmv.ToolCall("c1", "f", '{"city": "北京"}'),)


def test_reasoning_and_tool_calls_in_blocks_of_another_provider_are_converted() -> None:
    [message] = to_messages(
        AIMessage(
            [
                {"type": "thinking", "thinking": "hm ", "signature": "x"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "reasoning", "reasoning": "so"},
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "sky"}},
                {"type": "tool_use", "id": "c2", "name": "look", "input": {"at": "sea"}},
            ],
            tool_calls=[{"id": "c1", "name": "look", "args": {"at": "sky"}}],
        )
    )
    assert message.text == "I look."
    assert message.reasoning == "hm so"
    assert message.tool_calls == (
        glmv.ToolCall("c1", "look", '{"at": "sky"}'),
        glmv.ToolCall("c2", "look", '{"at": "sea"}'),
    )


def test_reasoning_in_both_content_and_additional_kwargs_is_read_once() -> None:
    [message] = to_messages(
        AIMessage([{"type": "reasoning", "reasoning": "hm"}, "yes"], additional_kwargs={"reasoning_content": "hm"})
    )
    assert message.reasoning == "hm"


def test_the_arguments_of_an_invalid_tool_call_are_sent_as_text() -> None:
    assistant, tool = to_messages(
        AIMessage("", invalid_tool_calls=[{"id": "c1", "name": "f", "args": '{"x": ', "error": "cut"}]),
        ToolMessage("not run", tool_call_id="c1", status="error"),
    )
    assert '{"x": ' in assistant.text
    assert assistant.tool_calls == (glmv.ToolCall("c1", "f", "{}"),)
    assert tool.text == "Error: not run"


def test_pictures_of_tool_results_are_sent_in_a_user_message_after_all_results(red: str, blue: str) -> None:
    conversation = to_messages(
        HumanMessage("Compare."),
        AIMessage("", tool_calls=[{"id": call, "name": "shot", "args": {}} for call in ("c1", "c2")]),
        ToolMessage(
            [{"type": "text", "text": "taken"}, {"type": "image", "base64": red}], tool_call_id="c1", name="shot"
        ),
        ToolMessage([{"type": "image_url", "image_url": f"data:image/png;base64,{blue}"}], tool_call_id="c2"),
    )
    assert [message.role for message in conversation] == ["user", "assistant", "tool", "tool", "user"]
    assert conversation[2].text.startswith("taken\n[image 1")
    first, picture, second, other = conversation[4].content
    assert isinstance(first, glmv.Text)
    assert isinstance(second, glmv.Text)
    assert "c1" in first.text
    assert "shot" in first.text
    assert "c2" in second.text
    assert (picture, other) == (glmv.Image.from_base64(red), glmv.Image.from_base64(blue))


def test_pictures_of_a_system_message_move_before_the_text_of_the_user_message(red: str) -> None:
    system, user = to_messages(
        SystemMessage(["A logo:", {"type": "image", "base64": red}]), HumanMessage("Where is it?")
    )
    assert system.text.startswith("A logo:")
    assert [type(item).__name__ for item in user.content] == ["Text", "Image", "Text"]
    assert user.content[-1] == glmv.Text("Where is it?")


def test_pictures_of_an_assistant_message_move_to_a_user_message_after_that_message(red: str) -> None:
    roles = [
        message.role
        for message in to_messages(
            HumanMessage("Draw."), AIMessage(["Here:", {"type": "image", "base64": red}]), AIMessage("Done.")
        )
    ]
    assert roles == ["user", "assistant", "user", "assistant"]


def test_a_tool_result_inside_a_user_message_becomes_a_tool_message(red: str) -> None:
    tool, user = to_messages(
        HumanMessage(
            [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "image", "base64": red}]},
                {"type": "text", "text": "And now?"},
            ]
        )
    )
    assert (tool.role, tool.tool_call_id) == ("tool", "c1")
    assert glmv.Image.from_base64(red) in user.content


def test_a_chat_message_keeps_its_role_and_an_unknown_role_is_refused() -> None:
    assert [
        message.role for message in to_messages(ChatMessage("a", role="user"), ChatMessage("b", role="assistant"))
    ] == [
        "user",
        "assistant",
    ]
    with pytest.raises(glmv.UnsupportedContent, match="'banana'"):
        to_messages(ChatMessage("a", role="banana"))


@pytest.mark.parametrize("message", [FunctionMessage("a", name="f"), RemoveMessage(id="1")])
def test_the_error_for_a_message_of_an_unsupported_class_names_that_class(message: Any) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=type(message).__name__):
        to_messages(message)


@pytest.mark.parametrize("content", ["", [], [{"type": "text", "text": ""}]])
def test_empty_system_and_ai_messages_are_left_out_and_empty_user_ones_are_refused(content: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"messages\[0\] \(human\) is empty"):
        to_messages(HumanMessage(content))
    assert to_glmv([SystemMessage(content), AIMessage(content)], "glm-4.6v")[0] == []
    assert len(notes(SystemMessage(content), AIMessage(content))) == 2


def test_converting_messages_does_not_change_the_callers_messages(red: str) -> None:
    block = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{red}", "detail": "low"}}
    message = HumanMessage(["look", block])
    before = message.model_dump_json()
    to_messages(message)
    assert message.model_dump_json() == before


def texts(block: Any) -> list[str]:
    [message] = to_messages(HumanMessage([block]))
    return [item.text for item in message.content if isinstance(item, glmv.Text)]


@pytest.mark.parametrize(
    ("block", "words"),
    [
        (
            {"type": "search_result", "title": "Weather", "source": "https://w.example", "content": "Sun."},
            ["Weather\n", "https://w.example\n", "Sun."],
        ),
        ({"type": "search_result", "title": 3, "content": [{"type": "text", "text": "Sun."}]}, ["Sun."]),
        ({"type": "json", "json": {"city": "北京"}}, ['{"city": "北京"}']),
        ({"type": "json", "json": [1, 2]}, ["[1, 2]"]),
        ({"type": "custom_tool_call_output", "output": "", "value": "done"}, ["done"]),
        (
            {
                "type": "document",
                "title": "T",
                "source": {"type": "content", "content": [{"type": "text", "text": "w"}]},
            },
            ["T\n", "w"],
        ),
        ({"type": "text-plain", "text": "words", "extras": {"filename": "a.txt"}}, ["a.txt\nwords"]),
        ({"type": "text-plain", "text": "words", "name": "n", "title": "t"}, ["t\nwords"]),
        ({"type": "text-plain", "text": "words", "filename": "f", "title": "t"}, ["f\nwords"]),
        ({"type": "file", "url": "data:text/plain;charset=utf-8;base64,d29yZHM="}, ["words"]),
        ({"type": "input_text", "text": "words"}, ["words"]),
    ],
)
def test_blocks_of_search_results_and_documents_are_sent_with_title_and_source(block: Any, words: list[str]) -> None:
    assert texts(block) == words


@pytest.mark.parametrize(
    ("block", "name"),
    [
        ({"cachePoint": {"type": "default"}}, "cachePoint"),
        ({"type": "cache_point"}, "cache_point"),
        ({"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}, "cache_control"),
        ({"type": "image", "url": URL, "cache_control": {"type": "ephemeral"}}, "cache_control"),
    ],
)
def test_cache_points_and_cache_control_are_left_out_with_a_note(block: dict[str, Any], name: str) -> None:
    message = HumanMessage(["Hi"])
    message.content = ["Hi", block]
    assert notes(message) == (f"{name} was left out: GLM has no field for it.",)
    assert texts("Hi") == ["Hi"]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "file", "source_type": "id", "id": "file-7"},
        {"type": "file", "source": {"type": "file", "file_id": "file-7"}},
        {"type": "input_file", "file_id": "file-7"},
    ],
)
def test_the_id_of_an_uploaded_file_is_read_from_every_form_of_its_block(block: dict[str, Any]) -> None:
    assert part(block).file_id == "file-7"


@pytest.mark.parametrize(
    ("block", "name", "mime"),
    [
        ({"type": "file", "base64": PDF, "filename": "a.pdf"}, "a.pdf", "application/pdf"),
        ({"type": "file", "file": {"file_data": PDF, "filename": "a.pdf"}}, "a.pdf", "application/pdf"),
        ({"type": "file", "base64": PDF, "extras": {"name": "a.pdf"}}, "a.pdf", "application/pdf"),
        ({"type": "file", "url": f"data:application/pdf;base64,{PDF}", "title": "a.pdf"}, "a.pdf", "application/pdf"),
        ({"type": "file", "url": PAPER, "filename": "b.pdf"}, "b.pdf", None),
    ],
)  # fmt: skip
def test_a_document_block_becomes_a_file_part_with_its_name_and_type(
    block: dict[str, Any], name: str, mime: str | None
) -> None:
    found = part(block)
    assert isinstance(found, glmv.File)
    assert found.name == name
    assert mime is None or found.mime == mime


@pytest.mark.parametrize(
    ("block", "hint"),
    [
        ({"type": "image", "image": "iVBORw0"}, "Use the key 'base64' in place of 'image'"),
        ({"type": "image", "bytes": b"x"}, "The block's 'bytes' is bytes: langchain_glmv.image(source)"),
        ({"type": "image", "base64": b"x"}, "The block's 'base64' is bytes: langchain_glmv.image(source)"),
        ({"type": "video", "video": b"x"}, "The block's 'video' is bytes: langchain_glmv.video(source)"),
        ({"type": "image", "file_id": "file-7"}, "the platform has no file ids for it."),
        ({"type": "video"}, "Give a video by url or base64; langchain_glmv.video(source) makes the block."),
        ({"type": "file", "base64": "AAAA", "mime_type": "audio/wav"}, "audio/wav"),
        ({"type": "file"}, "Give the document by url, base64 or file_id."),
        ({"type": "file", "file": {}}, "a block of type 'file' cannot be sent"),
        ({"type": "search_result", "title": "t"}, "What works"),
        ({"type": "non_standard", "value": {"type": "non_standard", "value": {}}}, "'non_standard'"),
        ({}, "'nothing'"),
    ],
)
def test_the_error_for_an_unsupported_block_says_what_to_write_instead(block: dict[str, Any], hint: str) -> None:
    message = HumanMessage("")
    message.content = [block]
    with pytest.raises(glmv.UnsupportedContent) as refusal:
        to_messages(message)
    assert str(refusal.value).startswith("messages[0] (human)")
    assert hint in str(refusal.value)


def test_the_error_for_a_broken_picture_names_its_position_exactly_once() -> None:
    block = {"type": "search_result", "content": [{"type": "image", "base64": b64encode(b"no picture").decode()}]}
    with pytest.raises(glmv.InvalidRequestError) as refusal:
        to_messages(SystemMessage("Be brief."), HumanMessage([block]))
    assert str(refusal.value).startswith("messages[1] (human), block 'image': ")
    assert str(refusal.value).count("messages[") == 1
