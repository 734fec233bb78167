"""Sources of pictures for LlamaIndex users, and errors that name LlamaIndex's blocks."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from llama_index.core.schema import ImageNode
from PIL import Image as Pillow

import glmv
from llama_index_glmv import GLMV


def encoded(kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Pillow.effect_noise((48, 32), 1).convert("RGB").save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize("given", [lambda data: b64encode(data).decode(), io.BytesIO, lambda data: [io.BytesIO(data)]])
@pytest.mark.parametrize("kind", ["PNG", "PPM", "JPEG2000"])
def test_the_option_image_documents_accepts_base64_and_open_files(
    given: Any, kind: str, connect: Callable[..., GLMV]
) -> None:
    answer = connect().complete("How large is it?", image_documents=given(encoded(kind)))
    assert "48 x 32" in answer.text


def test_an_open_file_in_a_block_is_read_from_its_start(connect: Callable[..., GLMV]) -> None:
    file = io.BytesIO(encoded("TGA"))
    file.seek(9)
    block = ImageBlock.model_construct(image=file, path=None, url=None, detail=None)
    message = ChatMessage.model_construct(role="user", additional_kwargs={}, blocks=[block, TextBlock(text="Size?")])
    message.role = ChatMessage(role="user").role
    assert "48 x 32" in str(connect().chat([message]).message.content)


def test_a_path_with_a_tilde_is_expanded_and_checked_against_allowed_folders(
    connect: Callable[..., GLMV], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a.png").write_bytes(encoded("PNG"))
    (tmp_path / "ours").mkdir()
    assert "48 x 32" in connect().complete("Size?", image_documents=["~/a.png"]).text
    assert "48 x 32" in connect(local_files=["~"]).complete("Size?", image_documents=["~/a.png"]).text
    with pytest.raises(glmv.InvalidRequestError, match="is not read"):
        connect(local_files=["~/ours"]).complete("Size?", image_documents=["~/a.png"])


def test_a_numpy_array_as_a_picture_is_refused_with_advice_to_convert_it(connect: Callable[..., GLMV]) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"PIL\.Image\.fromarray"):
        connect().complete("What?", image_documents=[np.zeros((4, 5, 3), "uint8")])  # type: ignore[list-item]  # the point


def test_a_note_says_that_only_frame_1_of_a_gif_was_sent(connect: Callable[..., GLMV]) -> None:
    data = encoded("GIF", save_all=True, append_images=[Pillow.new("RGB", (48, 32), "red")])
    answer = connect().complete("What?", image_documents=[data])
    assert "frame 1 of 2" in " ".join(answer.additional_kwargs["notes"])


def test_a_truncated_picture_is_refused_with_a_short_message(connect: Callable[..., GLMV]) -> None:
    out = io.BytesIO()
    Pillow.effect_noise((200, 200), 80).save(out, "JPEG")
    half = out.getvalue()[:5000]
    with pytest.raises(glmv.UnsupportedContent, match="5,000 bytes"):
        connect().complete("What?", image_documents=[half])
    with pytest.raises(glmv.InvalidRequestError) as caught:
        connect().complete("What?", image_documents=[ImageNode(image="Qz" * 100_000)])
    assert str(caught.value).count("Qz") <= 250


def test_the_error_for_a_file_url_does_not_name_glmv_image_and_is_short(connect: Callable[..., GLMV]) -> None:
    llm = connect(local_files=False)
    with pytest.raises(glmv.InvalidRequestError) as caught:
        llm.complete("What?", image_documents=["file:///pictures/red.png"])
    assert "glmv.Image" not in str(caught.value)
    named = "x" * 3000 + ".png"
    with pytest.raises(glmv.InvalidRequestError) as caught:
        llm.complete("What?", image_documents=[named])
    assert str(caught.value).count("x") <= 500
