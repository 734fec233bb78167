"""How each LlamaIndex block is mapped in every role, or refused by name."""

from __future__ import annotations

import base64
import copy
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

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

import glmv
from llama_index_glmv.intake import Intake
from llama_index_glmv.messages import reads_files, to_glmv

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


def test_a_data_url_becomes_its_bytes(red: bytes) -> None:
    uri = "data:None;base64," + base64.b64encode(red).decode()
    assert user(ImageBlock(url=uri)).content == (glmv.Image.from_bytes(red),)


def test_a_path_is_read(red: bytes, red_path: Path) -> None:
    assert user(ImageBlock(path=red_path)).content == (glmv.Image.from_bytes(red),)


def test_bytes_are_not_decoded_and_encoded_again(red: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
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
    ("block", "beginning"),
    [
        (
            CachePoint(cache_control=CacheControl(type="ephemeral")),
            "messages[0] (user): a CachePoint was left out",
        ),
        (ImageBlock(url=URL, detail="high"), "messages[0] (user): detail='high' was left out"),
        (VideoBlock(url="https://example.com/a.mp4", fps=2), "messages[0] (user): fps=2 was left out"),
    ],
)
def test_unsupported_fields_are_left_out_with_a_note(block: ContentBlock, beginning: str) -> None:
    intake = Intake()
    to_glmv([ChatMessage(role="user", blocks=[TextBlock(text="look"), block])], intake)
    assert [note[: len(beginning)] for note in intake.notes] == [beginning]


def test_audio_is_refused_with_block_and_position() -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"messages\[1\] \(user\), AudioBlock: it cannot be sent to"):
        mapped(ChatMessage(content="hi"), ChatMessage(blocks=[AudioBlock(url="https://example.com/a.mp3")]))


def test_an_invalid_message_is_refused_with_its_position() -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"messages\[0\] is a dict; use a ChatMessage"):
        to_glmv([{"role": "user", "content": "hi"}], Intake())  # type: ignore[list-item]  # what people write


def test_an_empty_picture_is_refused() -> None:
    with pytest.raises(glmv.UnsupportedContent, match="ImageBlock: it is empty"):
        user(ImageBlock())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.com/a.png"])
def test_a_url_that_the_platform_cannot_fetch_is_refused(url: str) -> None:
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
def test_every_role_is_mapped(role: str, ours: str) -> None:
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


def test_tool_calls_in_blocks_and_additional_kwargs_are_sent_once() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "zoom", "arguments": "{}"}}
    block = ToolCallBlock(tool_call_id="c1", tool_name="zoom", tool_kwargs={})
    (message,) = mapped(ChatMessage(role="assistant", blocks=[block], additional_kwargs={"tool_calls": [call]}))
    assert message.tool_calls == (glmv.ToolCall("c1", "zoom", "{}"),)


@pytest.mark.parametrize("block", [ThinkingBlock(content="hm"), ToolCallBlock(tool_name="zoom")])
def test_reasoning_and_tool_calls_of_other_roles_are_refused(block: ContentBlock) -> None:
    with pytest.raises(glmv.UnsupportedContent, match="Put it into an assistant message"):
        user(block)


def test_messages_without_content_are_not_sent() -> None:
    messages = [
        ChatMessage(role="system", content=None),
        ChatMessage(content="hi"),
        ChatMessage(role="assistant", content=""),
    ]
    assert [message.role for message in mapped(*messages)] == ["user"]


def test_an_empty_tool_result_still_answers_its_call() -> None:
    (message,) = mapped(ChatMessage(role="tool", content="", additional_kwargs={"tool_call_id": "c1"}))
    assert message.tool_call_id == "c1"


def test_pictures_of_other_roles_keep_their_position(red: bytes) -> None:
    blocks = [TextBlock(text="first"), ImageBlock(image=red), TextBlock(text="second")]
    (message,) = mapped(ChatMessage(role="tool", blocks=blocks, additional_kwargs={"tool_call_id": "c1"}))
    assert message.content == (glmv.Text("first"), glmv.Image.from_bytes(red), glmv.Text("\nsecond"))


def test_mapping_does_not_change_the_history(red: bytes) -> None:
    history = [
        ChatMessage(role="system", blocks=[TextBlock(text="be brief"), ImageBlock(url=URL)]),
        ChatMessage(blocks=[TextBlock(text="see"), ImageBlock(image=red)]),
        ChatMessage(role="assistant", blocks=[ThinkingBlock(content="hm"), TextBlock(text="red")]),
    ]
    before = copy.deepcopy(history)
    mapped(*history)
    assert history == before


def test_only_blocks_with_a_path_are_read_in_a_thread(red: bytes, red_path: Path) -> None:
    nested = CitableBlock(title="t", source="s", content=[ImageBlock(path=red_path)])
    assert reads_files([ChatMessage(blocks=[nested])])
    assert not reads_files([ChatMessage(blocks=[ImageBlock(image=red), ImageBlock(url=URL), TextBlock(text="x")])])
