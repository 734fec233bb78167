"""Sources of pictures for LangChain users, and errors that name this package's functions."""

from __future__ import annotations

import io
import sys
from base64 import b64encode, urlsafe_b64encode
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from PIL import Image as Pillow

import glmv
from langchain_glmv import ChatGLMV, draw_boxes, image, video


def encoded(kind: str, size: tuple[int, int] = (48, 32), **options: Any) -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", size, "blue").save(out, kind, **options)
    return out.getvalue()


@pytest.mark.parametrize(
    "spelled", [b64encode, urlsafe_b64encode, lambda data: b"data:image/png;base64," + b64encode(data)]
)
def test_the_function_image_makes_the_same_block_of_base64_and_of_bytes(spelled: Any) -> None:
    data = encoded("PNG")
    assert image(spelled(data).decode()) == image(data)


def test_the_function_image_accepts_an_open_file_and_the_model_gets_its_picture(
    model: ChatGLMV, tmp_path: Path
) -> None:
    path = tmp_path / "a.tga"
    path.write_bytes(encoded("TGA"))
    with path.open("rb") as file:
        block = image(file)
        assert image(file) == block
    assert "blue" in model.invoke([HumanMessage([block, "What colour is it?"])]).text


@pytest.mark.parametrize("kind", ["JPEG2000", "PPM", "PCX"])
def test_ppm_and_pcx_and_jpeg_2000_pictures_reach_the_model(model: ChatGLMV, kind: str) -> None:
    assert "blue" in model.invoke([HumanMessage([image(encoded(kind)), "What colour is it?"])]).text


def test_a_numpy_array_as_a_picture_is_refused_with_advice_to_convert_it() -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"PIL\.Image\.fromarray"):
        image(np.zeros((5, 4, 3), "uint8"))  # type: ignore[arg-type]  # the point of the test


def test_a_note_says_that_only_page_1_of_a_tiff_was_sent(model: ChatGLMV) -> None:
    data = encoded("TIFF", save_all=True, append_images=[Pillow.new("RGB", (48, 32), "red")])
    answer = model.invoke([HumanMessage([image(data), "What colour is it?"])])
    assert "page 1 of 2" in " ".join(answer.response_metadata["notes"])
    blocks = [image(page) for page in glmv.Image.from_bytes(data).pages()]
    assert "red" in model.invoke([HumanMessage([*blocks, "What colours?"])]).text


@pytest.mark.parametrize("path", ["photos/red.png", "C:\\pictures\\red.png", "~/red.png"])
def test_the_error_for_a_path_in_a_block_names_the_function_to_use(model: ChatGLMV, path: str) -> None:
    block = {"type": "image_url", "image_url": {"url": path}}
    with pytest.raises(glmv.UnsupportedContent) as caught:
        model.invoke([HumanMessage([block, "What?"])])
    assert "langchain_glmv.image(path)" in str(caught.value)
    assert "glmv.Image" not in str(caught.value)
    with pytest.raises(glmv.UnsupportedContent, match=r"langchain_glmv\.video\(path\)"):
        model.invoke([HumanMessage([{"type": "video", "url": path}, "What?"])])


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "data": b"\x89PNG"},
        {"type": "image", "image": "iVBORw0KGgo"},
        {"type": "image"},
        {"type": "video", "bytes": b"1"},
    ],
)
def test_the_error_for_a_block_without_media_names_the_function_to_use(model: ChatGLMV, block: dict[str, Any]) -> None:
    with pytest.raises(glmv.UnsupportedContent) as caught:
        model.invoke([HumanMessage([block, "What?"])])
    assert f"langchain_glmv.{block['type']}(source)" in str(caught.value)
    assert "file ids" not in str(caught.value)


def test_notes_name_the_function_image_for_a_path_in_a_text_and_for_a_private_url(tmp_path: Path) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"choices": [{"finish_reason": "stop", "message": {"content": "ok"}}]})

    path = tmp_path / "cat.webp"
    path.write_bytes(encoded("WEBP"))
    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        model = ChatGLMV(api_key="test-id.test-secret", http_client=http)
        named = model.invoke(str(path))
        assert "langchain_glmv.image(path)" in " ".join(named.response_metadata["notes"])
        private = model.invoke([HumanMessage([image("http://nas.local/a.png"), "What?"])])
        assert "langchain_glmv.image(data)" in " ".join(private.response_metadata["notes"])


def test_a_truncated_picture_is_refused_before_sending(model: ChatGLMV) -> None:
    out = io.BytesIO()
    Pillow.effect_noise((90, 90), 80).save(out, "PNG")
    half = out.getvalue()[:3000]
    with pytest.raises(glmv.UnsupportedContent, match="3,000 bytes"):
        model.invoke([HumanMessage([image(half), "What?"])])


def test_errors_quote_at_most_500_characters_of_base64(model: ChatGLMV) -> None:
    text = "Qz" * 500_000
    for attempt in (
        lambda: image(text),
        lambda: video(text),
        lambda: model.invoke([HumanMessage([{"type": "image_url", "image_url": {"url": text}}, "?"])]),
        lambda: model.invoke([HumanMessage([{"type": "image", "base64": text, "mime_type": "image/png"}, "?"])]),
    ):
        with pytest.raises(glmv.InvalidRequestError) as caught:
            attempt()
        assert str(caught.value).count("Qz") <= 250


def test_the_error_of_draw_boxes_without_pillow_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    runnable = draw_boxes(encoded("PNG"))
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(glmv.UnsupportedContent, match=r'needs Pillow: pip install "glmv\[images\]"'):
        runnable.invoke(AIMessage("There.", response_metadata={"boxes": []}))
