"""Blocks with references, blocks of tools that cannot be sent, and MIME types of base64 pictures."""

from __future__ import annotations

import threading
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompt_values import ChatPromptValue, StringPromptValue

import glmv
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image, resolve
from langchain_glmv.messages import to_glmv, typed
from tests.langchain.conftest import png

LARGE = png(size=(1500, 1500))


@pytest.fixture
def store(tmp_path: Path) -> glmv.PictureStore:
    return glmv.PictureStore(tmp_path / "store")


def blocks_with(reference: str) -> list[dict[str, Any]]:
    """Blocks that contain the reference, directly or inside of other blocks."""
    block = {"type": "image", "file_id": reference}
    return [
        block,
        {"type": "file", "file": {"file_id": reference}},
        {"type": "image", "source_type": "id", "id": reference},
        {"type": "document", "source": {"type": "content", "content": [block]}},
        {"type": "search_result", "content": ["words", block]},
        {"type": "custom_tool_call_output", "output": [block]},
        {"type": "non_standard", "value": block},
    ]


@pytest.mark.parametrize("number", range(7))
def test_resolve_replaces_a_reference_at_any_depth_of_a_message_by_its_picture(
    number: int, store: glmv.PictureStore
) -> None:
    block = blocks_with(store.add(png()))[number]
    (resolved,) = resolve([HumanMessage(["Look.", block])], store)
    assert "file_id" not in str(resolved.content)
    assert str(resolved.content).count(b64encode(png()).decode()) == 1


@pytest.mark.parametrize("number", range(7))
def test_a_reference_at_any_depth_of_a_message_is_sent_as_its_picture(number: int, store: glmv.PictureStore) -> None:
    block = blocks_with(store.add(png()))[number]
    mapped, _ = to_glmv([HumanMessage(["Look.", block])], "glm-4.6v", store)
    assert [part for part in mapped[0].content if not isinstance(part, glmv.Text)] == [glmv.Image.from_bytes(png())]


@pytest.mark.parametrize("block", ["", {"type": "text", "text": ""}, {"text": ""}, {"type": "input_text", "text": ""}])
def test_an_empty_text_block_is_left_out(block: Any) -> None:
    message = HumanMessage(["Look."])
    message.content = ["Look.", block]
    mapped, notes = to_glmv([message], "glm-4.6v")
    assert (mapped[0].content, notes) == ((glmv.Text("Look."),), ())


@pytest.mark.parametrize(
    "block",
    ["words", {"type": "file", "file_id": "file-7"}, {"type": "image", "url": "https://example.com/a"}, {"file": 3}],
)
def test_resolve_returns_the_same_message_objects_if_they_have_no_references(
    block: Any, store: glmv.PictureStore
) -> None:
    message = HumanMessage(["Look.", block])
    assert resolve([message], store)[0] is message


@pytest.mark.parametrize("number", range(8))
async def test_stored_pictures_are_not_read_on_the_event_loop(
    number: int, model: ChatGLMV, emulator: Emulator, store: glmv.PictureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[threading.Thread] = []
    get = glmv.PictureStore.get

    def recorded(self: glmv.PictureStore, reference: str) -> glmv.Image | glmv.Video:
        reads.append(threading.current_thread())
        return get(self, reference)

    monkeypatch.setattr(glmv.PictureStore, "get", recorded)
    seeing = model.model_copy(update={"picture_store": store})
    block: Any = [*blocks_with(store.add(png())), "No picture."][number]
    await seeing.ainvoke([HumanMessage(["Look.", block])])
    assert len(reads) == (number < 7)
    assert threading.current_thread() not in reads


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        ({"type": "image", "url": "file:///a.png"}, "picture"),
        ({"type": "image_url", "image_url": {"url": "file:///a.png"}}, "picture"),
        ({"type": "video", "url": "file:///a.mp4"}, "video"),
        ({"type": "file", "url": "file:///a.pdf"}, "file"),
        ({"type": "file", "url": "file:///a.pdf", "mime_type": "application/pdf"}, "file"),
        ({"type": "file", "url": "file:///a.png", "mime_type": "image/png"}, "picture"),
        ({"type": "file", "url": "file:///a.mp4", "mime_type": "video/mp4"}, "video"),
        ({"type": "file", "source": {"media_type": "image/png", "data": "AAAA"}}, "picture"),
        ({"type": "image", "base64": "AAAA"}, "picture"),
    ],
)
def test_in_a_tool_result_a_sentence_replaces_media_that_cannot_be_sent(block: dict[str, Any], kind: str) -> None:
    call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c"}])
    mapped, notes = to_glmv([HumanMessage("?"), call, ToolMessage([block], tool_call_id="c")], "glm-4.6v")
    assert mapped[-1].text.startswith(f"[A {kind} in this result cannot be shown to you: ")
    assert notes[0].startswith(f"messages[2]: a {kind} in a tool's result was replaced by a sentence. ")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "hologram", "url": "https://example.com/a"},
        {"type": "audio", "base64": "AAAA"},
        {"type": "image", "file_id": "file-7"},
        {"type": "image"},
    ],
)
def test_in_a_tool_result_a_block_of_an_unsupported_type_is_refused(block: dict[str, Any]) -> None:
    call = AIMessage("", tool_calls=[{"name": "look", "args": {}, "id": "c"}])
    with pytest.raises(glmv.UnsupportedContent, match=r"^messages\[2\] \(tool\)"):
        to_glmv([HumanMessage("?"), call, ToolMessage([block], tool_call_id="c")], "glm-4.6v")


def mime_types(*blocks: Any) -> list[Any]:
    """The MIME types that a tracer reads in the blocks of a prompt; None for a block without one."""
    message = typed(ChatPromptValue(messages=[HumanMessage(list(blocks))])).to_messages()[0]
    return [block.get("mime_type") for block in message.content if isinstance(block, dict)]


@pytest.mark.parametrize(
    ("block", "mime"),
    [
        ({"type": "image", "base64": b64encode(png()).decode()}, "image/png"),
        ({"type": "image", "source_type": "base64", "data": b64encode(png()).decode()}, "image/png"),
        ({"type": "image", "base64": b64encode(png()).decode(), "mime_type": "image/x-png"}, "image/x-png"),
        ({"type": "image", "url": "https://example.com/a.png"}, None),
        ({"type": "image", "source_type": "url", "url": "https://example.com/a.png"}, None),
        ({"type": "video", "base64": "AAAA"}, None),
        ({"type": "file", "base64": "AAAA"}, None),
    ],
)
def test_a_tracer_reads_the_mime_type_of_each_base64_picture(block: dict[str, Any], mime: str | None) -> None:
    assert mime_types("Look.", block) == [mime]
    assert mime_types(image(png()), block) == ["image/png", mime]
    assert mime_types({"type": "image", "base64": b64encode(png()).decode()}, block) == ["image/png", mime]


@pytest.mark.parametrize("prompt", [StringPromptValue(text="Hi"), ChatPromptValue(messages=[HumanMessage("Hi")])])
def test_the_function_typed_returns_a_prompt_without_pictures_as_the_same_object(prompt: Any) -> None:
    assert typed(prompt) is prompt


@pytest.mark.parametrize("prefix", ["", "data:image/png;base64,", "data:image/jpeg;base64,"])
def test_only_the_first_bytes_of_a_large_picture_are_read_to_find_its_type(prefix: str) -> None:
    text = b64encode(LARGE + bytes(100_000)).decode()
    assert mime_types({"type": "image", "base64": f"{prefix}{text}"}) == ["image/png"]
    assert mime_types({"type": "image", "base64": f"{prefix}{text}*"}) == ["image/png"]


@pytest.mark.parametrize("text", ["AAAA", "*" * 100_000])
def test_base64_that_is_not_a_picture_is_refused_before_tracing(text: str) -> None:
    with pytest.raises(glmv.InvalidRequestError):
        mime_types({"type": "image", "base64": text})


@pytest.mark.parametrize(("length", "shortened"), [(100, False), (101, True)])
def test_a_model_name_of_more_than_100_characters_is_shortened_in_refusals(length: int, shortened: bool) -> None:
    with pytest.raises(glmv.UnsupportedContent) as refusal:
        to_glmv([HumanMessage([{"type": "hologram"}])], "m" * length)
    assert ("m" * length not in str(refusal.value)) is shortened
    assert "m" * 50 in str(refusal.value)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "base64": b64encode(b"no picture").decode()},
        {"type": "image", "base64": ""},
        {"type": "image", "base64": "not base64!"},
    ],
)
def test_a_tools_broken_picture_without_a_mime_type_does_not_end_the_call(
    model: ChatGLMV, emulator: Emulator, block: dict[str, Any]
) -> None:
    call = {"name": "look", "args": {}, "id": "c1", "type": "tool_call"}
    answer = model.invoke(
        [HumanMessage("Look."), AIMessage("", tool_calls=[call]), ToolMessage([block], tool_call_id="c1")]
    )
    assert "cannot be shown to you" in emulator.requests[-1].body["messages"][-1]["content"]
    assert any(
        "of a tool's result" in note or "in a tool's result" in note for note in answer.response_metadata["notes"]
    )


def test_a_broken_picture_without_a_mime_type_is_refused_with_its_position(model: ChatGLMV, emulator: Emulator) -> None:
    block = {"type": "image", "base64": b64encode(b"no picture").decode()}
    with pytest.raises(glmv.UnsupportedContent, match=r"^messages\[1\] \(human\), block 'image': .*not a picture"):
        model.invoke([SystemMessage("Be brief."), HumanMessage(["Look.", block])])
    assert emulator.requests == []


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(600), "use langchain_glmv.video."),
        (b"%PDF-1.7\n" + bytes(600), "send it in a file block"),
    ],
)
def test_the_error_for_a_video_or_pdf_in_a_picture_block_says_what_to_use_instead(
    model: ChatGLMV, data: bytes, advice: str
) -> None:
    block = {"type": "image", "base64": b64encode(data).decode(), "mime_type": "image/png"}
    for call in (lambda: image(data), lambda: model.invoke([HumanMessage([block])])):
        with pytest.raises(glmv.UnsupportedContent) as refusal:
            call()
        assert advice in str(refusal.value)
        assert " glmv." not in str(refusal.value)
