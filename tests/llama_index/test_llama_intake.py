"""Which files the blocks and documents of a call may name, and what happens to content that cannot be sent."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    DocumentBlock,
    ImageBlock,
    MessageRole,
    TextBlock,
    VideoBlock,
)
from llama_index.core.schema import Document, ImageNode, MediaResource, NodeWithScore

import glmv
from glmv_emulator import Emulator
from llama_index_glmv import GLMV, GLMVImageCaptioner
from llama_index_glmv.intake import Intake, in_our_terms, in_terms

QUESTION = TextBlock(text="What is it?")


@pytest.fixture
def folders(red: bytes, tmp_path: Path) -> tuple[Path, Path]:
    """A folder with red.png that is allowed, and another one that is not allowed."""
    ours, others = tmp_path / "ours", tmp_path / "others"
    for folder in (ours, others):
        folder.mkdir()
        (folder / "red.png").write_bytes(red)
    return ours, others


def chat(*blocks: Any) -> list[ChatMessage]:
    return [ChatMessage(role="user", blocks=[*blocks, QUESTION])]


WAYS: dict[str, Callable[[GLMV, Path], Any]] = {
    "ImageBlock": lambda llm, path: llm.chat(chat(ImageBlock(path=path))),
    "VideoBlock": lambda llm, path: llm.chat(chat(VideoBlock(path=path))),
    "DocumentBlock": lambda llm, path: llm.chat(chat(DocumentBlock(path=path))),
    "streamed": lambda llm, path: list(llm.stream_chat(chat(ImageBlock(path=path)))),
    "asynchronous": lambda llm, path: asyncio.run(llm.achat(chat(ImageBlock(path=path)))),
    "a tool's picture": lambda llm, path: llm.chat(
        [*chat(), ChatMessage(role="tool", blocks=[ImageBlock(path=path)], additional_kwargs={"tool_call_id": "1"})]
    ),
    "str": lambda llm, path: llm.complete("What?", image_documents=[str(path)]),
    "Path": lambda llm, path: llm.complete("What?", image_documents=path),
    "ImageNode": lambda llm, path: llm.complete("What?", image_documents=[ImageNode(image_path=str(path))]),
    "NodeWithScore": lambda llm, path: llm.complete(
        "What?", image_documents=[NodeWithScore(node=Document(image_resource=MediaResource(path=path)))]
    ),
    "captioner": lambda llm, path: GLMVImageCaptioner(llm=llm)([ImageNode(image_path=str(path))]),
}


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("allowed", ["none", "ours"])
def test_a_file_outside_the_allowed_folders_is_not_read(
    way: str, allowed: str, emu: Emulator, connect: Callable[..., GLMV], folders: tuple[Path, Path]
) -> None:
    ours, others = folders
    llm = connect(local_files=False if allowed == "none" else [ours])
    with pytest.raises(glmv.InvalidRequestError, match="is not read, because local_files is"):
        WAYS[way](llm, others / "red.png")
    assert emu.requests == []


@pytest.mark.parametrize("allowed", [lambda ours: [ours], str, lambda ours: [ours / ".." / "ours" / "."]])
def test_a_file_inside_an_allowed_folder_is_read(
    allowed: Callable[[Path], Any], emu: Emulator, connect: Callable[..., GLMV], folders: tuple[Path, Path]
) -> None:
    emu.say("red")
    llm = connect(local_files=allowed(folders[0]))
    assert llm.complete("What?", image_documents=[folders[0] / "red.png"]).text == "red"


@pytest.mark.parametrize("path", ["../others/red.png", "link.png", "inner/red.png", "missing.png/../../others/red.png"])
def test_files_outside_the_folder_are_not_read_through_dots_or_links(
    path: str, connect: Callable[..., GLMV], folders: tuple[Path, Path]
) -> None:
    ours, others = folders
    (ours / "link.png").symlink_to(others / "red.png")
    (ours / "inner").symlink_to(others, target_is_directory=True)
    with pytest.raises(glmv.InvalidRequestError, match="is not read"):
        connect(local_files=[ours]).complete("What?", image_documents=[f"{ours}/{path}"])


def test_an_allowed_folder_that_is_a_link_also_allows_its_target_folder(
    emu: Emulator, connect: Callable[..., GLMV], folders: tuple[Path, Path]
) -> None:
    ours, _ = folders
    link = ours.parent / "link"
    link.symlink_to(ours, target_is_directory=True)
    emu.say("red", "red")
    llm = connect(local_files=[link])
    for folder in (link, ours):
        assert llm.complete("What?", image_documents=[folder / "red.png"]).text == "red"


def test_a_folder_whose_name_begins_like_the_allowed_folder_is_not_allowed(
    connect: Callable[..., GLMV], folders: tuple[Path, Path], red: bytes
) -> None:
    beside = folders[0].parent / "ours2"
    beside.mkdir()
    (beside / "red.png").write_bytes(red)
    with pytest.raises(glmv.InvalidRequestError, match="is not read"):
        connect(local_files=[folders[0]]).complete("What?", image_documents=[beside / "red.png"])


def test_a_relative_allowed_folder_is_resolved_when_the_model_is_made(
    connect: Callable[..., GLMV], folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, others = folders
    monkeypatch.chdir(ours)
    llm = connect(local_files=["."])
    monkeypatch.chdir(others)
    with pytest.raises(glmv.InvalidRequestError, match="is not read"):
        llm.complete("What?", image_documents=["red.png"])


def test_the_error_for_a_forbidden_path_does_not_show_whether_the_file_exists(
    connect: Callable[..., GLMV], folders: tuple[Path, Path]
) -> None:
    results = []
    for name in ("red.png", "nowhere.png"):
        with pytest.raises(glmv.InvalidRequestError) as caught:
            connect(local_files=[folders[0]]).complete("What?", image_documents=[folders[1] / name])
        results.append(str(caught.value).replace(name, "x"))
    assert results[0] == results[1]


def test_bytes_and_urls_are_accepted_if_local_files_is_false(
    emu: Emulator, connect: Callable[..., GLMV], red: bytes
) -> None:
    emu.say("red")
    llm = connect(local_files=False)
    message = chat(ImageBlock(image=red), ImageBlock(url="https://example.com/a.png"))
    assert llm.chat(message).message.content == "red"


@pytest.mark.parametrize("given", ["", [""], None, 3, [3]])
def test_a_value_of_local_files_is_refused_unless_it_is_a_bool_or_folders(given: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="local_files must be True, False or a list of folders"):
        GLMV(local_files=given)


def test_local_files_can_be_set_to_a_folder_on_an_existing_model(
    connect: Callable[..., GLMV], folders: tuple[Path, Path]
) -> None:
    llm = connect()
    llm.local_files = os.fspath(folders[0])
    with pytest.raises(glmv.InvalidRequestError, match="is not read"):
        llm.complete("What?", image_documents=[folders[1] / "red.png"])


def test_a_call_refuses_an_invalid_local_files_value_set_on_an_existing_model(
    connect: Callable[..., GLMV], red_path: Path
) -> None:
    llm = connect()
    llm.local_files = 3
    with pytest.raises(glmv.InvalidRequestError, match="local_files must be True, False or a list of folders; got 3"):
        llm.complete("What?", image_documents=[red_path])


def test_a_model_restored_from_json_has_its_allowed_folders(folders: tuple[Path, Path]) -> None:
    llm = GLMV(local_files=[folders[0]])
    assert GLMV.from_json(llm.to_json()).local_files == [str(folders[0])]


def test_local_files_as_an_option_of_a_call_is_refused(connect: Callable[..., GLMV]) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="unknown option 'local_files'"):
        connect(local_files=False).chat(chat(), local_files=True)


def closed(path: Path) -> Any:
    with path.open("rb") as file:
        return file


@pytest.mark.parametrize("file", [closed, lambda path: StringIO("words")])
def test_an_image_block_with_a_closed_file_or_a_text_file_is_refused(
    file: Callable[[Path], Any], connect: Callable[..., GLMV], red_path: Path
) -> None:
    block = ImageBlock.model_construct(image=file(red_path), path=None, url=None, detail=None)
    message = ChatMessage.model_construct(role=MessageRole.USER, additional_kwargs={}, blocks=[block])
    with pytest.raises(glmv.InvalidRequestError, match="ImageBlock: the open file cannot be read as bytes"):
        connect().chat([message])


AUDIO = AudioBlock(audio=b"RIFF....WAVEfmt ", format="wav")


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (AUDIO, r"messages\[0\] \(user\), AudioBlock: it cannot be sent to glm-4.6v"),
        (ImageBlock(image=b"no picture at all"), r"messages\[0\] \(user\), ImageBlock: .* this is not a picture"),
        (ImageBlock(url="file:///etc/hosts"), r"messages\[0\] \(user\), ImageBlock: .* http and https URLs only"),
    ],
)
def test_an_unsupported_block_is_left_out_with_a_warning_if_on_unsupported_is_warn(
    block: Any, message: str, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=message):
        connect().chat(chat(block))
    emu.say("nothing")
    llm = connect(on_unsupported="warn")
    with pytest.warns(UserWarning, match=message):
        (note,) = llm.chat(chat(block)).additional_kwargs["notes"]
    assert note.endswith("This content was left out.")
    assert emu.requests[0].body["messages"] == [{"role": "user", "content": "What is it?"}]


def test_a_picture_for_a_text_model_is_left_out_if_on_unsupported_is_warn(
    emu: Emulator, connect: Callable[..., GLMV], red: bytes
) -> None:
    emu.say("nothing")
    llm = connect(model="glm-4-plus", on_unsupported="warn")
    with pytest.warns(UserWarning, match="ImageBlock: it cannot be sent to glm-4-plus. The model takes no images"):
        llm.chat(chat(ImageBlock(image=red)))


def test_a_document_without_a_picture_is_left_out_if_on_unsupported_is_warn(
    emu: Emulator, connect: Callable[..., GLMV], red: bytes
) -> None:
    emu.say("red")
    llm = connect(on_unsupported="warn")
    with pytest.warns(UserWarning, match=r"image_documents\[0\]: this Document has no picture"):
        llm.complete("What?", image_documents=[Document(text="words"), red])
    assert [part["type"] for part in emu.requests[0].body["messages"][0]["content"]] == ["image_url", "text"]


def test_a_file_that_is_not_allowed_raises_even_if_on_unsupported_is_warn(
    connect: Callable[..., GLMV], folders: tuple[Path, Path]
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="is not read"):
        connect(local_files=False, on_unsupported="warn").chat(chat(ImageBlock(path=folders[0] / "red.png")))


def test_an_open_file_is_read_from_its_beginning_and_rewound(
    emu: Emulator, connect: Callable[..., GLMV], red_path: Path, red: bytes
) -> None:
    emu.say("red", "red")
    connect().chat([ChatMessage(role="user", blocks=[ImageBlock(image=red)])])
    with red_path.open("rb") as file:
        file.seek(20)
        block = ImageBlock.model_construct(image=file, path=None, url=None, detail=None)
        connect().chat([ChatMessage.model_construct(role=MessageRole.USER, additional_kwargs={}, blocks=[block])])
        assert file.tell() == 0
    whole, opened = (request.body["messages"] for request in emu.requests)
    assert opened == whole


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("glmv.Image.from_path", "ImageBlock(path=...)"),
        ("Image.from_bytes", "ImageBlock(image=...)"),
        ("glmv.Video.from_url", "VideoBlock(url=...)"),
        ("Video.from_base64", "VideoBlock(video=...)"),
        ("glmv.Image.from_path(path)", "glmv.Image.from_path(path)"),
        (
            "If you shorten a history, let it begin with a user message.",
            "If you shorten a history, let it begin with a user message, as LlamaIndex's Memory does.",
        ),
    ],
)
def test_glmv_constructors_in_advice_are_replaced_by_llama_index_blocks(written: str, read: str) -> None:
    assert in_terms(f"Use {written} here.") == f"Use {read} here."


def test_only_invalid_request_errors_are_rewritten_with_names_of_llama_index() -> None:
    with pytest.raises(glmv.InvalidRequestError) as caught, in_our_terms():
        raise glmv.UnsupportedContent("Use glmv.Image.from_path.")
    assert (caught.value.message, str(caught.value)) == ("Use ImageBlock(path=...).",) * 2
    with pytest.raises(ValueError, match=r"^Use glmv\.Image\.from_path\.$"), in_our_terms():
        raise ValueError("Use glmv.Image.from_path.")


@pytest.mark.parametrize("kind", [ImageBlock, VideoBlock, DocumentBlock])
def test_the_error_for_an_empty_block_names_its_position_and_class(kind: Any, connect: Callable[..., GLMV]) -> None:
    empty = kind.model_construct(image=None, video=None, data=None, path=None, url=None, detail=None, title=None)
    message = ChatMessage.model_construct(role=MessageRole.USER, additional_kwargs={}, blocks=[empty])
    place = rf"^messages\[0\] \(user\), {kind.__name__}: it is empty: set its content, path or url"
    with pytest.raises(glmv.UnsupportedContent, match=place):
        connect().chat([message])


def test_local_files_expands_the_tilde_of_the_home_directory(
    emu: Emulator, connect: Callable[..., GLMV], folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folders[0].parent))
    emu.say("red")
    llm = connect(local_files=["~/ours"])
    assert llm.local_files == [str(folders[0])]
    assert llm.complete("What?", image_documents=["~/ours/red.png"]).text == "red"
    with pytest.raises(glmv.InvalidRequestError, match="is not read"):
        llm.complete("What?", image_documents=["~/others/red.png"])


def test_an_invalid_path_is_refused_if_local_files_names_folders(
    connect: Callable[..., GLMV], folders: tuple[Path, Path]
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="is not a valid path"):
        connect(local_files=[folders[0]]).chat(chat(ImageBlock.model_construct(path="a\0b", image=None, url=None)))


@pytest.mark.parametrize(("on_unsupported", "warns"), [("raise", False), ("warn", True)])
def test_media_that_the_model_does_not_take_are_refused_before_they_are_read(on_unsupported: Any, warns: bool) -> None:
    intake = Intake("glm-4-plus", row=glmv.find_model("glm-4-plus"), on_unsupported=on_unsupported)
    picture = {"kind": glmv.Image, "url": "https://example.com/a.png"}
    if warns:
        with pytest.raises(glmv.UnsupportedContent, match=r"cannot be sent to glm-4-plus\. The model takes no images"):
            intake.medium(**picture)
    else:
        assert intake.medium(**picture).url == "https://example.com/a.png"
    assert Intake("glm-4.6v", row=glmv.find_model("glm-4.6v"), on_unsupported="warn").medium(**picture).url


def test_refusing_content_keeps_the_error_class_and_adds_the_position_once() -> None:
    intake = Intake(on_unsupported="warn")
    with pytest.raises(glmv.LimitExceeded) as caught:
        intake.refuse(glmv.LimitExceeded("too large"), "messages[0]")
    assert caught.value.message == "messages[0]: too large"
    with pytest.warns(UserWarning, match=r"^messages\[0\]: too odd\. This content was left out\.$"):
        intake.refuse(glmv.UnsupportedContent("messages[0]: too odd."), "messages[0]")
    assert intake.notes == ["messages[0]: too odd. This content was left out."]


def test_by_default_an_intake_reads_every_file_and_raises_for_unsupported_content(red_path: Path, red: bytes) -> None:
    intake = Intake()
    assert intake.medium(glmv.Image, path=red_path).data() == red
    with pytest.raises(glmv.UnsupportedContent, match=r"^messages\[0\]: too odd\.$"):
        intake.refuse(glmv.UnsupportedContent("too odd."), "messages[0]")
    assert intake.no_place("It is odd.").message == "it cannot be sent to GLM-4V. It is odd."


@pytest.mark.parametrize("rule", ["raise", "warn"])
def test_the_value_of_on_unsupported_must_be_raise_or_warn(rule: Any, connect: Callable[..., GLMV]) -> None:
    assert connect(on_unsupported=rule).on_unsupported == rule
    with pytest.raises(ValueError, match=r"on_unsupported"):
        connect(on_unsupported=f"{rule}s")


def test_glmv_classes_in_advice_are_replaced_by_llama_index_blocks() -> None:
    assert (
        in_terms("this is a video (MP4); use glmv.Video. Supported")
        == "this is a video (MP4); use VideoBlock. Supported"
    )
    assert in_terms("a PDF; send it with glmv.File, or render") == "a PDF; send it in a DocumentBlock, or render"
    assert in_terms("use glmv.Image.from_path") == "use ImageBlock(path=...)"
