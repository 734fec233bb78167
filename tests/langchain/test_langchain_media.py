"""Videos, documents, thinking and boxes through LangChain."""

from __future__ import annotations

import io
from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from PIL import Image as Pillow
from PIL import ImageDraw

import glmv
from glmv_emulator import Emulator, Reply
from langchain_glmv import ChatGLMV, draw_boxes, image, video

PDF = b64encode(b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n").decode()


def test_a_video_can_be_given_as_a_path_or_bytes_or_a_url(model: ChatGLMV, emulator: Emulator, clip: Path) -> None:
    for source in (clip, clip.read_bytes(), emulator.host(clip)):
        answer = model.invoke([HumanMessage([video(source), "What colour does the video show, and how long is it?"])])
        assert "blue" in answer.text
        assert "2" in answer.text


def test_a_model_without_video_support_refuses_videos_and_accepts_frames(model: ChatGLMV, clip: Path) -> None:
    with pytest.raises(glmv.UnsupportedContent, match="frames"):
        model.invoke([HumanMessage([video(clip), "What colour?"])], model="glm-4v")
    frames = [image(frame) for frame in glmv.Video.from_path(clip).frames(3)]
    answer = model.invoke([HumanMessage([*frames, "What is the main colour of these pictures?"])], model="glm-4v")
    assert "blue" in answer.text


def test_a_pdf_is_accepted_as_base64_and_as_a_url(model: ChatGLMV, emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "paper.pdf"
    path.write_bytes(b"%PDF-1.4\n%%EOF\n")
    for block in (
        {"type": "file", "base64": PDF, "mime_type": "application/pdf", "filename": "paper.pdf"},
        {"type": "file", "url": emulator.host(path)},
    ):
        assert model.invoke([HumanMessage([block, "What is this?"])]).text


@pytest.mark.parametrize("helper", [image, video])
def test_the_functions_image_and_video_refuse_a_missing_file_and_a_text_file(helper: Any, tmp_path: Path) -> None:
    text = tmp_path / "note.txt"
    text.write_text("no picture")
    for source in (tmp_path / "nowhere.png", text):
        with pytest.raises(glmv.InvalidRequestError) as refusal:
            helper(source)
        assert source.name in str(refusal.value)


def test_the_function_image_accepts_a_pillow_picture() -> None:
    block = image(Pillow.new("RGB", (4, 4), "red"))
    assert (block["type"], block["mime_type"]) == ("image", "image/png")


def test_thinking_precedes_the_answer_and_can_be_switched_off(model: ChatGLMV, blue: str) -> None:
    question = [HumanMessage(["What is the main colour?", {"type": "image", "base64": blue, "mime_type": "image/png"}])]
    thinking = model.invoke(question, thinking=True)
    assert [block["type"] for block in thinking.content_blocks] == ["reasoning", "text"]
    assert thinking.usage_metadata is not None
    assert thinking.usage_metadata["output_token_details"]["reasoning"] > 0
    still = model.invoke(question, thinking=False)
    assert [block["type"] for block in still.content_blocks] == ["text"]
    streamed = list(model.stream(question, thinking=True))
    assert streamed[0].content_blocks[0]["type"] == "reasoning"
    assert streamed[0].additional_kwargs["reasoning_content"]


@pytest.mark.parametrize("version", ["v0", "v1"])
def test_an_answer_with_reasoning_can_be_part_of_the_next_request(model: ChatGLMV, blue: str, version: str) -> None:
    model = model.model_copy(update={"output_version": version, "thinking": True})
    question = HumanMessage(["What is the main colour?", {"type": "image", "base64": blue, "mime_type": "image/png"}])
    answer = model.invoke([question])
    again = model.invoke([question, answer, HumanMessage("And which colour was it, again?")])
    assert "blue" in again.text


def test_boxes_are_drawn_at_the_coordinates_of_the_answer() -> None:
    message = AIMessage(
        "There.", response_metadata={"boxes": [{"grid": [250, 250, 750, 750], "pixels": None, "image": 0}]}
    )
    picture = draw_boxes(Pillow.new("RGB", (400, 200), "white"), color="red", width=1).invoke(message)
    assert picture.getpixel((100, 50)) == (255, 0, 0)
    assert picture.getpixel((300, 150)) == (255, 0, 0)
    assert picture.getpixel((200, 100)) == (255, 255, 255)


def test_draw_boxes_ignores_boxes_of_a_picture_with_another_index() -> None:
    message = AIMessage("There.", response_metadata={"boxes": [{"grid": [0, 0, 500, 500], "pixels": None, "image": 1}]})
    picture = draw_boxes(Pillow.new("RGB", (40, 20), "white"), index=0).invoke(message)
    assert picture.getcolors() == [(800, (255, 255, 255))]


@pytest.mark.parametrize(("kind", "mode"), [("HEIF", "RGB"), ("TIFF", "I;16"), ("JPEG2000", "L")])
def test_boxes_are_drawn_on_jpeg_2000_and_heif_and_16_bit_tiff_pictures(kind: str, mode: str) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    out = io.BytesIO()
    Pillow.new(mode, (80, 60)).save(out, kind)
    message = AIMessage("There.", response_metadata={"boxes": [{"grid": [0, 0, 500, 500], "image": 0}]})
    picture = draw_boxes(out.getvalue(), color="lime", width=1).invoke(message)
    assert picture.size == (80, 60)
    assert picture.getpixel((40, 10)) == (0, 255, 0)


def test_a_photograph_of_200_megapixels_is_halved_before_boxes_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    Pillow.new("L", (16400, 12200), 200).save(path)
    message = AIMessage("There.", response_metadata={"boxes": [{"grid": [500, 500, 900, 900], "image": 0}]})
    picture = draw_boxes(path).invoke(message)
    assert picture.size == (8200, 6100)
    assert picture.getpixel((4100, 4000)) == (255, 0, 0)


def test_the_box_of_a_button_has_pixel_coordinates_and_is_drawn_on_the_page(
    model: ChatGLMV, emulator: Emulator
) -> None:
    emulator.say(*[Reply("The button is at", boxes=[(620, 700, 760, 810)])] * 2)
    page = Pillow.new("RGB", (640, 360), "white")
    pen = ImageDraw.Draw(page)
    pen.text((400, 250), "Save", fill="black", font_size=36)
    question = [HumanMessage([image(page), "Where is the button Save?"])]
    answer = model.invoke(question)
    [box] = answer.response_metadata["boxes"]
    x1, y1, x2, y2 = box["pixels"]
    assert x1 < 440 < x2
    assert y1 < 272 < y2
    drawn = (model | draw_boxes(page, color="lime")).invoke(question)
    out = io.BytesIO()
    drawn.save(out, "PNG")
    assert (0, 255, 0) in {colour for _, colour in drawn.getcolors(100_000)}
