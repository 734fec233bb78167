"""How each LlamaIndex block is mapped in every role, or refused by name."""

from __future__ import annotations

import base64
import copy
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    CacheControl,
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
    VideoBlock,
)
from llama_index.core.tools import FunctionTool

import glmv
from llama_index_glmv.intake import Intake
from llama_index_glmv.messages import chat_arguments, legacy_calls, reads_files, to_glmv, with_linked

URL = "https://example.com/a.png?sig=1"


def mapped(*messages: ChatMessage) -> list[glmv.Message]:
    return to_glmv(messages, Intake())


def user(*blocks: ContentBlock) -> glmv.Message:
    (message,) = mapped(ChatMessage(role="user", blocks=list(blocks)))
    return message


def test_texts_and_pictures_of_a_user_keep_their_order(red: bytes) -> None:
    message = user(TextBlock(text="this"), ImageBlock(image=red), TextBlock(text="or this"), ImageBlock(url=URL))
    assert message.content == (
        glmv.Text("this"),
        glmv.Image.from_bytes(red),
        glmv.Text("or this"),
        glmv.Image.from_url(URL),
    )


def test_a_picture_url_is_passed_on_unchanged() -> None:
    (part,) = user(ImageBlock(url=URL)).content
    assert isinstance(part, glmv.Image)
    assert part.url == URL


def test_an_image_block_with_a_data_url_becomes_the_picture_in_that_url(red: bytes) -> None:
    uri = "data:None;base64," + base64.b64encode(red).decode()
    assert user(ImageBlock(url=uri)).content == (glmv.Image.from_bytes(red),)


def test_an_image_block_with_a_path_becomes_the_picture_in_that_file(red: bytes, red_path: Path) -> None:
    assert user(ImageBlock(path=red_path)).content == (glmv.Image.from_bytes(red),)


def test_the_base64_of_a_block_is_not_decoded_and_encoded_again(red: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    block = ImageBlock(image=red)
    monkeypatch.setattr(ImageBlock, "resolve_image", lambda *_, **__: pytest.fail("resolved"))
    (part,) = user(block).content
    assert isinstance(part, glmv.Image)
    assert part.base64() == block.image


@pytest.mark.skipif(
    "IOBase" not in str(ImageBlock.model_fields["image"].annotation), reason="this core takes bytes only"
)
def test_an_open_file_is_read_and_rewound(red: bytes) -> None:
    file = BytesIO(red)
    block = ImageBlock(image=file)
    assert user(block).content == user(block).content == (glmv.Image.from_bytes(red),)
    assert file.tell() == 0


def test_the_media_type_is_detected_and_not_taken_from_the_block(red: bytes) -> None:
    (part,) = user(ImageBlock(image=red, image_mimetype="image/jpeg")).content
    assert isinstance(part, glmv.Image)
    assert part.mime == "image/png"


def test_a_video_url_becomes_a_video() -> None:
    (part,) = user(VideoBlock(url="https://example.com/a.mp4")).content
    assert isinstance(part, glmv.Video)
    assert part.url == "https://example.com/a.mp4"


def test_a_document_url_becomes_a_file() -> None:
    (part,) = user(DocumentBlock(url="https://example.com/a.pdf")).content
    assert isinstance(part, glmv.File)
    assert part.url == "https://example.com/a.pdf"


def test_a_citable_block_becomes_its_title_and_content(red: bytes) -> None:
    block = CitableBlock(title="Atlas", source="p. 3", content=[TextBlock(text="a map"), ImageBlock(image=red)])
    assert user(block).content == (
        glmv.Text("[Atlas] (p. 3)"),
        glmv.Text("a map"),
        glmv.Image.from_bytes(red),
    )


def test_a_citation_becomes_its_text_and_source() -> None:
    block = CitationBlock(
        cited_content=TextBlock(text="a map"), source="p. 3", title="Atlas", additional_location_info={}
    )
    (message,) = mapped(ChatMessage(role="assistant", blocks=[block]))
    assert message.text == "a map\n[Atlas] (p. 3)"


@pytest.mark.parametrize(
    ("block", "note_start"),
    [
        (
            CachePoint(cache_control=CacheControl(type="ephemeral")),
            "messages[0] (user): a CachePoint was left out",
        ),
        (ImageBlock(url=URL, detail="high"), "messages[0] (user): detail='high' was left out"),
        (VideoBlock(url="https://example.com/a.mp4", fps=2), "messages[0] (user): fps=2 was left out"),
    ],
)
def test_unsupported_fields_of_blocks_are_left_out_with_a_note(block: ContentBlock, note_start: str) -> None:
    intake = Intake()
    to_glmv([ChatMessage(role="user", blocks=[TextBlock(text="look"), block])], intake)
    assert [note[: len(note_start)] for note in intake.notes] == [note_start]


def test_the_error_for_audio_names_its_position_and_block_class() -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"messages\[1\] \(user\), AudioBlock: it cannot be sent to"):
        mapped(ChatMessage(content="hi"), ChatMessage(blocks=[AudioBlock(url="https://example.com/a.mp3")]))


def test_a_dict_in_place_of_a_chat_message_is_refused_with_its_position() -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"messages\[0\] is a dict; use a ChatMessage"):
        to_glmv([{"role": "user", "content": "hi"}], Intake())  # type: ignore[list-item]  # what people write


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(glmv.UnsupportedContent, match="ImageBlock: it is empty"):
        user(ImageBlock())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/a.png"])
def test_a_file_url_and_an_ftp_url_of_a_picture_are_refused(url: str) -> None:
    with pytest.raises(glmv.UnsupportedContent):
        user(ImageBlock(url=url))


@pytest.mark.parametrize(
    ("role", "ours"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("assistant", "assistant"),
        ("model", "assistant"),
        ("chatbot", "assistant"),
        ("tool", "tool"),
        ("function", "tool"),
    ],
)
def test_every_message_role_becomes_system_user_assistant_or_tool(role: str, ours: str) -> None:
    (message,) = mapped(ChatMessage(role=role, content="hi"))
    assert (message.role, message.text) == (ours, "hi")


def test_reasoning_and_tool_calls_of_an_assistant_are_sent_back(red: bytes) -> None:
    blocks = [
        ThinkingBlock(content="hm"),
        TextBlock(text="I look"),
        ToolCallBlock(tool_call_id="c1", tool_name="zoom", tool_kwargs={"at": "é"}),
        ToolCallBlock(tool_call_id="c2", tool_name="zoom", tool_kwargs='{"at": 1}'),
    ]
    (message,) = mapped(ChatMessage(role="assistant", blocks=blocks))
    assert message.reasoning == "hm"
    assert message.text == "I look"
    assert message.tool_calls == (
        glmv.ToolCall("c1", "zoom", '{"at": "é"}'),
        glmv.ToolCall("c2", "zoom", '{"at": 1}'),
    )


@pytest.mark.parametrize(
    "call",
    [
        {"id": "c1", "type": "function", "function": {"name": "zoom", "arguments": "{}"}},
        SimpleNamespace(id="c1", function=SimpleNamespace(name="zoom", arguments="{}")),
    ],
)
def test_tool_calls_in_additional_kwargs_are_sent_back(call: object) -> None:
    message = ChatMessage(role="assistant", content="")
    message.additional_kwargs = {"tool_calls": [call]}
    assert mapped(message)[0].tool_calls == (glmv.ToolCall("c1", "zoom", "{}"),)


def test_a_tool_call_in_both_a_block_and_additional_kwargs_is_sent_once() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "zoom", "arguments": "{}"}}
    block = ToolCallBlock(tool_call_id="c1", tool_name="zoom", tool_kwargs={})
    (message,) = mapped(ChatMessage(role="assistant", blocks=[block], additional_kwargs={"tool_calls": [call]}))
    assert message.tool_calls == (glmv.ToolCall("c1", "zoom", "{}"),)


@pytest.mark.parametrize("block", [ThinkingBlock(content="hm"), ToolCallBlock(tool_name="zoom")])
def test_reasoning_and_tool_calls_in_a_user_message_are_refused(block: ContentBlock) -> None:
    with pytest.raises(glmv.UnsupportedContent, match="Put it into an assistant message"):
        user(block)


def test_empty_system_and_assistant_messages_are_not_sent() -> None:
    messages = [
        ChatMessage(role="system", content=None),
        ChatMessage(content="hi"),
        ChatMessage(role="assistant", content=""),
    ]
    assert [message.role for message in mapped(*messages)] == ["user"]


def test_an_empty_tool_result_is_sent_with_its_call_id() -> None:
    (message,) = mapped(ChatMessage(role="tool", content="", additional_kwargs={"tool_call_id": "c1"}))
    assert message.tool_call_id == "c1"


def test_a_picture_in_a_tool_result_keeps_its_position_between_the_texts(red: bytes) -> None:
    blocks = [TextBlock(text="first"), ImageBlock(image=red), TextBlock(text="second")]
    (message,) = mapped(ChatMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "c1"}))
    assert message.content == (glmv.Text("first"), glmv.Image.from_bytes(red), glmv.Text("\nsecond"))


def test_converting_a_history_does_not_change_it(red: bytes) -> None:
    history = [
        ChatMessage(role="system", blocks=[TextBlock(text="be brief"), ImageBlock(url=URL)]),
        ChatMessage(blocks=[TextBlock(text="see"), ImageBlock(image=red)]),
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="red")]),
    ]
    before = copy.deepcopy(history)
    mapped(*history)
    assert history == before


def test_a_message_reads_files_only_if_it_has_a_path(red: bytes, red_path: Path) -> None:
    nested = CitableBlock(title="t", source="s", content=[ImageBlock(path=red_path)])
    assert reads_files([ChatMessage(blocks=[nested])])
    assert not reads_files([ChatMessage(blocks=[ImageBlock(image=red), ImageBlock(url=URL), TextBlock(text="x")])])


def test_a_citation_reads_files_only_if_its_block_has_a_path(red: bytes, red_path: Path) -> None:
    def cited(block: Any) -> ChatMessage:
        inner = CitationBlock(cited_content=block, source="s", title="t", additional_location_info={})
        return ChatMessage(role="assistant", blocks=[inner])

    assert reads_files([cited(ImageBlock(path=red_path))])
    assert not reads_files([cited(ImageBlock(image=red)), cited(TextBlock(text="x"))])
    text = CitableBlock(title="t", source="s", content=[TextBlock(text="x")])
    assert not reads_files([ChatMessage(blocks=[text])])


@pytest.mark.parametrize("block", [ThinkingBlock(content=None), ThinkingBlock(content="")])
def test_empty_reasoning_is_not_sent_back(block: ContentBlock) -> None:
    (message,) = mapped(ChatMessage(role="assistant", blocks=[block, TextBlock(text="red")]))
    assert message.reasoning is None


def test_reasoning_in_several_blocks_is_joined_by_newlines() -> None:
    blocks = [ThinkingBlock(content="hm"), ThinkingBlock(content="aha"), TextBlock(text="red")]
    assert mapped(ChatMessage(role="assistant", blocks=blocks))[0].reasoning == "hm\naha"


def test_tool_calls_in_additional_kwargs_of_user_and_tool_messages_are_not_sent() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "zoom", "arguments": "{}"}}
    keywords = {"tool_calls": [call], "tool_call_id": "c1"}
    (question, result) = mapped(
        ChatMessage(content="hi", additional_kwargs=keywords),
        ChatMessage(role="tool", content="red", additional_kwargs=keywords),
    )
    assert (question.tool_calls, question.tool_call_id) == ((), None)
    assert (result.tool_calls, result.tool_call_id) == ((), "c1")


def test_newlines_join_the_texts_of_a_system_message_but_not_of_a_user_message() -> None:
    blocks = [TextBlock(text="a"), TextBlock(text="b")]
    assert [
        message.text for message in mapped(*(ChatMessage(role=role, blocks=blocks) for role in ("user", "system")))
    ] == [
        "ab",
        "a\nb",
    ]


def test_an_empty_user_message_is_refused_if_it_is_the_newest_and_left_out_otherwise() -> None:
    intake = Intake()
    sent = to_glmv(
        [ChatMessage(content=""), ChatMessage(content="hi"), ChatMessage(role="assistant", content="ho")], intake
    )
    assert [message.text for message in sent] == ["hi", "ho"]
    assert intake.notes == ["messages[0]: an empty user message was left out."]
    assert [
        message.text for message in mapped(ChatMessage(content=""), ChatMessage(role="assistant", content="ho"))
    ] == ["ho"]
    with pytest.raises(glmv.InvalidRequestError, match=r"^messages\[1\] \(user\) is empty: give it text"):
        mapped(ChatMessage(content="hi"), ChatMessage(content=""))


def test_a_message_with_a_picture_and_empty_text_is_sent(red: bytes) -> None:
    assert user(TextBlock(text=""), ImageBlock(image=red)).content[-1] == glmv.Image.from_bytes(red)


@pytest.mark.parametrize(
    ("block", "what"),
    [
        (ImageBlock(url="ftp://example.com/a.png"), "picture"),
        (VideoBlock(url="ftp://example.com/a.mp4"), "video"),
        (DocumentBlock(url="ftp://example.com/a.pdf"), "file"),
    ],
)
def test_a_sentence_replaces_an_invalid_url_in_a_tool_result_and_a_note_is_added(
    block: ContentBlock, what: str
) -> None:
    intake = Intake()
    result = ChatMessage(role="tool", blocks=[TextBlock(text="Seen:"), block], additional_kwargs={"tool_call_id": "c1"})
    (message,) = to_glmv([result], intake)
    assert message.text.startswith(f"Seen:\n[A {what} in this result cannot be shown to you: ")
    assert message.text.endswith("]")
    assert message.text.count(". ") == 0
    [note] = intake.notes
    assert note.startswith(f"messages[0] (tool): a {what} in a tool's result was replaced by a sentence. ")
    with pytest.raises(glmv.InvalidRequestError, match=rf"messages\[0\] \(user\), {type(block).__name__}: "):
        user(block)


def test_a_file_that_is_not_a_picture_is_refused_in_a_tool_result(tmp_path: Path) -> None:
    path = tmp_path / "notes.png"
    path.write_text("no picture")
    with pytest.raises(glmv.InvalidRequestError, match=r"^messages\[0\] \(tool\), ImageBlock: "):
        mapped(ChatMessage(role="tool", blocks=[ImageBlock(path=path)]))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[ImageBlock(block_type='image', image=None)]", "ImageBlock"),
        ("<PIL.Image.Image image mode=RGB size=3x4 at 0x7f>", "PIL.Image.Image"),
        ("{'picture': <_io.BytesIO object at 0x7f>}", "_io.BytesIO"),
        ("(Image(png, 3x4, sha256 0123456789ab), 3)", "Image(png, 3x4, sha256 0123456789ab)"),
        ("Image(https://example.com/a.png)", "Image(https://example.com/a.png)"),
        (r"b'\x89PNG\r\n'", "bytes"),
        (r'b"\xff\xd8\xff\xe0"', "bytes"),
        ("b'GIF89a'", "bytes"),
        ("b'RIFF1234WEBP'", "bytes"),
    ],
)
def test_the_repr_of_a_picture_object_as_text_of_a_tool_result_is_refused(text: str, what: str) -> None:
    with pytest.raises(glmv.UnsupportedContent) as caught:
        mapped(ChatMessage(role="tool", content=text))
    assert caught.value.message.startswith(f"messages[0] (tool), TextBlock: it is the repr of {what}, which shows")
    assert user(TextBlock(text=text)).text == text


@pytest.mark.parametrize(
    "text", ["An ImageBlock shows it.", "See Image(red).", "b'red'", "Use Image(https://example.com/a.png) for it."]
)
def test_a_tool_text_with_the_name_of_a_picture_class_is_sent_if_it_is_not_a_repr(text: str) -> None:
    assert mapped(ChatMessage(role="tool", content=text))[0].text == text


@pytest.mark.parametrize(
    ("block", "notes"),
    [
        (ImageBlock(url=URL), []),
        (VideoBlock(url="https://example.com/a.mp4"), []),
        (ImageBlock(url=URL, detail="high"), ["detail='high' was left out; GLM-4V has no such field."]),
        (
            VideoBlock(url="https://example.com/a.mp4", detail="low", fps=2),
            [
                "detail='low' was left out; GLM-4V chooses the frames itself.",
                "fps=2 was left out; GLM-4V chooses the frames itself.",
            ],
        ),
    ],
)
def test_unsupported_fields_are_in_the_notes_only_if_they_are_set(block: ContentBlock, notes: list[str]) -> None:
    intake = Intake()
    to_glmv([ChatMessage(blocks=[block])], intake)
    assert intake.notes == [f"messages[0] (user): {note}" for note in notes]


def test_the_error_for_a_block_inside_a_citation_names_its_position() -> None:
    wrong: Any = ImageBlock(url="ftp://example.com/a.png")
    citable = CitableBlock(title="t", source="s", content=[wrong])
    citation = CitationBlock(cited_content=wrong, source="s", title="t", additional_location_info={})
    with pytest.raises(glmv.InvalidRequestError, match=r"^messages\[0\] \(user\), CitableBlock, ImageBlock: "):
        user(citable)
    with pytest.raises(glmv.InvalidRequestError, match=r"^messages\[0\] \(user\), CitationBlock, ImageBlock: "):
        user(citation)


def linked(messages: list[glmv.Message], **kwargs: Any) -> list[glmv.Message]:
    options = {**kwargs, "top_p": 0.5}
    result = with_linked(messages, options, Intake())
    assert options == {"top_p": 0.5}
    return result


def test_media_from_url_options_come_first_in_the_newest_user_message(red: bytes) -> None:
    data = base64.b64encode(red).decode()
    first, answer, newest = (glmv.Message(role, role) for role in ("user", "assistant", "user"))
    messages = [first, answer, newest, answer]
    result = linked(
        messages, video_url=("https://example.com/a.mp4",), image_url=[URL, data, f"data:image/png;base64,{data}"]
    )
    assert (result[:2], result[3:]) == (messages[:2], messages[3:])
    picture = glmv.Image.from_bytes(red)
    video = glmv.Video.from_url("https://example.com/a.mp4")
    assert result[2].content == (glmv.Image.from_url(URL), picture, picture, video, glmv.Text("user"))
    assert messages[2] is newest


@pytest.mark.parametrize("value", [None, "", [], ()])
def test_empty_url_options_do_not_change_the_messages(value: Any) -> None:
    messages = [glmv.Message("user", "hi")]
    assert linked(messages, image_url=value, video_url=value) == messages
    assert linked([], image_url=value) == []


def test_media_from_url_options_get_a_new_message_if_there_is_no_user_message() -> None:
    system = glmv.Message("system", "Be brief.")
    assert linked([system], image_url=URL) == [system, glmv.Message("user", [glmv.Image.from_url(URL)])]


@pytest.mark.parametrize(
    ("value", "words"),
    [(3, "it must be a URL or base64; got int. Pass files"), ("no/such.png", "it must be a URL or base64. ")],
)
@pytest.mark.parametrize("name", ["image_url", "video_url"])
def test_a_value_of_a_url_option_that_is_not_a_url_or_base64_is_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(glmv.InvalidRequestError) as caught:
        linked([glmv.Message("user", "hi")], **{name: [value]})
    assert caught.value.message.startswith(f"{name}: {words}")
    assert caught.value.message.endswith("Pass files and pictures in image_documents=, or in the blocks of a message.")


def arguments(tools: list[Any] | None = None, message: Any = "hi", **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {"parallel": True, "required": False, "options": {}} | changes
    return chat_arguments(tools or [], message, settings.pop("history", None), **settings)


def zoom(at: int) -> int:
    """Magnifies the picture."""
    return at


ZOOM = FunctionTool.from_defaults(zoom, description="Magnifies. " * 200)


def test_chat_with_tools_appends_the_new_message_to_the_history() -> None:
    history = [ChatMessage(role="system", content="Be brief.")]
    question = ChatMessage(role="user", content="hi")
    assert arguments(message="hi", history=history) == {"messages": [*history, question]}
    assert arguments(message=question, history=history) == {"messages": [*history, question]}
    assert arguments(message=None, history=history) == {"messages": history}
    assert arguments(message=None) == {"messages": []}
    assert len(history) == 1


def test_long_tool_descriptions_are_sent_whole_and_no_unneeded_fields_are_sent() -> None:
    [tool] = arguments([ZOOM])["tools"]
    assert tool["function"]["name"] == "zoom"
    assert len(tool["function"]["description"]) > 1024
    assert arguments([ZOOM]).keys() == {"messages", "tools"}
    assert arguments(required=True, parallel=False).keys() == {"messages"}
    assert arguments([ZOOM], parallel=False)["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("required", "options", "expected"),
    [
        (True, {}, {"tool_choice": "required", "on_misfit": "return"}),
        (True, {"tool_choice": None}, {"tool_choice": "required", "on_misfit": "return"}),
        (True, {"tool_choice": "zoom"}, {"tool_choice": "zoom", "on_misfit": "return"}),
        (False, {"tool_choice": "zoom", "on_misfit": "raise"}, {"tool_choice": "zoom", "on_misfit": "raise"}),
        (False, {}, {}),
        (False, {"top_p": 0.5}, {"top_p": 0.5}),
    ],
)
def test_the_option_tool_required_sets_defaults_of_tool_choice_and_on_misfit(
    required: bool, options: dict[str, Any], expected: dict[str, Any]
) -> None:
    result = arguments([ZOOM], required=required, options=options)
    assert {name: value for name, value in result.items() if name not in ("messages", "tools")} == expected


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (None, []),
        ("zoom", []),
        ({"function": {"name": "zoom"}}, []),
        ([{"id": None, "function": {"name": "zoom", "arguments": None}}], [glmv.ToolCall("", "zoom", "{}")]),
        ([{"id": 7, "function": {"name": "zoom", "arguments": {"at": 1}}}], [glmv.ToolCall("7", "zoom", '{"at": 1}')]),
        ([{"function": {"name": ""}}, {"function": None}, {}, 3], []),
    ],
)
def test_tool_calls_of_other_integrations_are_read_if_they_name_a_tool(
    calls: Any, expected: list[glmv.ToolCall]
) -> None:
    assert legacy_calls(calls) == expected
