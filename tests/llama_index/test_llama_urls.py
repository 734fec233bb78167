"""`image_url=` and `video_url=` of a call, as in LlamaIndex's ZhipuAIMultiModal."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage

import glmv
from glmv_emulator import Emulator
from llama_index_glmv import GLMV, GLMVMultiModal

FAR = "https://example.com/a.png"


def content(emu: Emulator) -> list[dict[str, Any]]:
    parts = emu.requests[-1].body["messages"][-1]["content"]
    assert isinstance(parts, list)
    return parts


@pytest.mark.parametrize("kind", [GLMV, GLMVMultiModal])
@pytest.mark.parametrize(("name", "url"), [("image_url", FAR), ("video_url", "https://example.com/a.mp4")])
def test_image_url_and_video_url_are_sent_before_the_prompt(
    name: str, url: str, kind: type[GLMV], emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("Seen.")
    assert connect(kind).complete("What is it?", **{name: url}).text == "Seen."
    assert content(emu) == [{"type": name, name: {"url": url}}, {"type": "text", "text": "What is it?"}]


@pytest.mark.parametrize("form", ["{}", "data:image/png;base64,{}"])
def test_the_option_image_url_accepts_base64_and_data_uris(
    form: str, red: bytes, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("Seen.")
    connect().complete("What is it?", image_url=form.format(base64.b64encode(red).decode()))
    assert content(emu)[0]["type"] == "image_url"


def test_several_urls_in_image_url_are_sent_together_with_image_documents(
    red: bytes, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("Seen.")
    connect().complete("Which?", image_documents=[red], image_url=[FAR, FAR])
    assert [part["type"] for part in content(emu)].count("image_url") == 3


async def test_the_picture_of_image_url_is_added_to_the_newest_user_message(
    emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say("Seen.")
    messages = [ChatMessage("one"), ChatMessage("two", role="assistant"), ChatMessage("three")]
    async for _ in await connect().astream_chat(messages, image_url=FAR):
        pass
    assert emu.requests[0].body["messages"][0]["content"] == "one"
    assert [part["type"] for part in content(emu)] == ["image_url", "text"]


def test_image_url_none_and_an_empty_video_url_add_no_media(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.say("Nothing.")
    connect().complete("What is it?", image_url=None, video_url=[])
    assert emu.requests[0].body["messages"][0]["content"] == "What is it?"


@pytest.mark.parametrize("given", ["photo.jpg", 3, ["https://example.com/a.png", b"x"]])
def test_the_error_for_an_image_url_that_is_not_a_url_suggests_image_documents(
    given: Any, connect: Callable[..., GLMV]
) -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"image_url: .*image_documents="):
        connect().complete("What is it?", image_url=given)
