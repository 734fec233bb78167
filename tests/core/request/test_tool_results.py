"""Media in the text of a tool result reach the model as media or as a description, never as base64 text."""

from __future__ import annotations

import io
import json
import time
from base64 import b64encode, encodebytes, urlsafe_b64encode
from typing import Any

import pytest
from PIL import Image as Pillow

import glmv
from glmv.options import ChatRequest, Options
from glmv.request.build import chat_request


def picture(kind: str = "PNG", size: tuple[int, int] = (70, 50)) -> bytes:
    out = io.BytesIO()
    Pillow.effect_noise(size, 80).convert("RGB").save(out, kind)
    return out.getvalue()


PNG, JPEG = picture(), picture("JPEG")
TEXT = b64encode(PNG).decode()
BLOCK = {"type": "image", "base64": TEXT, "mime_type": "image/png"}
BINARY = b64encode(bytes(range(255, -1, -1)) * 8).decode()


def request(text: Any) -> ChatRequest:
    call = glmv.ToolCall("c1", "look", "{}")
    turns = [
        glmv.Message("user", "Look."),
        glmv.Message("assistant", tool_calls=[call]),
        glmv.Message("tool", text, tool_call_id="c1"),
    ]
    return chat_request(turns, Options(), {})


def text_and_formats(text: Any) -> tuple[str, list[str]]:
    """The text of the tool message, and the formats of the pictures after it."""
    result = request(text)
    media = [part for message in result.messages[3:] for part in message.content if isinstance(part, glmv.Image)]
    return result.messages[2].text, [part.format or "url" for part in media]


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (json.dumps(BLOCK), "[image 1"),
        (json.dumps([BLOCK]), "[image 1"),
        (json.dumps(["Front:", BLOCK]), "Front:\n[image 1"),
        (json.dumps([{"type": "text", "text": "Front:"}, BLOCK]), "Front:\n[image 1"),
        (json.dumps({"type": "image", "data": TEXT, "mimeType": "image/png"}), "[image 1"),
        (str({"type": "image", "data": TEXT, "mimeType": "image/png"}), "[image 1"),
        (json.dumps({"type": "image", "source": {"type": "base64", "data": TEXT}}), "[image 1"),
        (json.dumps({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{TEXT}"}}), "[image 1"),
        (json.dumps({"shot": BLOCK, "title": "é"}), '{"shot": [image 1'),
        (json.dumps({"pages": [{"png": TEXT}]}), '{"pages": [{"png": [image 1'),
        (json.dumps({"html": f"<img src='data:image/png;base64,{TEXT}'>"}), '{"html": "<img src=\'[image 1'),
        (TEXT, "[image 1"),
        (encodebytes(PNG).decode(), "[image 1"),
        (f"data:image/png;base64,{TEXT}", "[image 1"),
        (f"Here: ![shot](data:image/png;base64,{TEXT}) Done.", "Here: ![shot]([image 1"),
        ("Shot:\n" + encodebytes(PNG).decode() + "\nDone.", "Shot:\n[image 1"),
        ("data:image/png;base64," + encodebytes(PNG).decode(), "[image 1"),
        (urlsafe_b64encode(PNG).decode(), "[image 1"),
        (f"shot={urlsafe_b64encode(PNG).decode()};", "shot=[image 1"),
        (str({"shot": encodebytes(PNG).decode()}).replace("{", "Shot("), "Shot('shot': '[image 1"),
        ("A" * 70 + "\n" + encodebytes(PNG).decode(), "A" * 70 + "\n[image 1"),
        (f"Shot(text='See:\\n{TEXT}')", "Shot(text='See:\\n[image 1"),
        ("-" * 80 + TEXT, "[image 1"),
        (str(PNG), "[image 1"),
        (str(bytearray(PNG)), "bytearray([image 1"),
        (f"Shot(title='a', png={PNG!r})", "Shot(title='a', png=[image 1"),
        (str([PNG, 3]), "[[image 1"),
        (f"[ImageContent(type='image', data='{TEXT}')]", "[ImageContent(type='image', data='[image 1"),
    ],
)
def test_a_picture_in_the_text_of_a_tool_result_is_sent_as_a_picture(text: str, start: str) -> None:
    words, formats = text_and_formats(text)
    assert words.startswith(start)
    assert formats == ["png"]
    assert TEXT[:60] not in str([message.text for message in request(text).messages])
    assert any("sent as media" in note for note in request(text).notes)


def test_several_pictures_in_a_tool_result_keep_their_order_and_position() -> None:
    words, formats = text_and_formats(json.dumps({"a": b64encode(JPEG).decode(), "n": [1.5, None, True], "b": BLOCK}))
    assert len(formats) == 2
    assert formats[1] == "png"
    assert words.index("[image 1") < words.index("1.5, null, true") < words.index("[image 2")


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"type": "image", "url": "https://example.com/a.png"}),
        json.dumps(["One:", {"type": "image", "url": "https://example.com/a.png"}]),
        "[ResourceLink(name='a', uri=AnyUrl('https://example.com/a.png'), mimeType='image/png', size=None)]",
        "name='a' title=None uri=AnyUrl('https://example.com/a.png') mimeType='image/png' type='resource_link'",
        json.dumps({"type": "resource_link", "uri": "https://example.com/a.png", "mimeType": "image/png", "name": "a"}),
    ],
)
def test_links_to_pictures_in_a_tool_result_are_sent_as_pictures(text: str) -> None:
    assert text_and_formats(text)[1] == ["url"]


@pytest.mark.parametrize(
    "text",
    [
        "Two metres.",
        "",
        "ACGT" * 600,
        "0123456789abcdef" * 100,
        json.dumps({"type": "image", "url": "https://example.com/a.png", "score": 0.4}),
        json.dumps([{"type": "file", "path": "a.png", "sha": "ab" * 20}]),
        json.dumps({"result": [{"type": "image", "url": "https://example.com/a.png"}]}),
        b64encode(b"Words that a tool has encoded. " * 50).decode(),
        '{"broken": ' + '"x' * 40,
        "[" * 3000,
        "Error: cannot identify <PIL.Image.Image image mode=RGB>",
        "The digest is b'abc'",
        str(b"README.md\nsetup.py\n"),
        str([b"README.md", 3]),
        str({"out": "größe".encode()}),
        "-" * 300,
        "see Image(https://example.com/a.png) there",
    ],
)
def test_a_tool_result_in_which_no_picture_is_recognized_is_sent_unchanged(text: str) -> None:
    result = request(text)
    assert result.messages[2].text == text
    assert len(result.messages) == 3
    assert result.notes == ()


@pytest.mark.parametrize("text", [BINARY, json.dumps({"zip": BINARY, "n": 1}), f"zip: {BINARY}."])
def test_base64_without_a_picture_in_a_tool_result_is_replaced_by_its_length(text: str) -> None:
    result = request(text)
    assert "characters of base64 were left out]" in result.messages[2].text
    assert BINARY[:40] not in result.messages[2].text
    assert any("base64" in note for note in result.notes)


def test_the_repr_of_bytes_in_a_tool_result_is_replaced_by_their_number() -> None:
    result = request(f"Archive(name='a', data={bytes(range(256))!r})")
    assert result.messages[2].text == "Archive(name='a', data=[256 bytes were left out])"
    assert any("256 bytes" in note for note in result.notes)


@pytest.mark.parametrize(
    "text", ["\n" * 20_000 + "A" * 64 + "!", "ab " * 20_000 + "!" + "A" * 64, "b'" * 20_000 + "A" * 64]
)
def test_long_tool_results_are_read_in_linear_time(text: str) -> None:
    before = time.process_time()
    request(text)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    "block",
    [
        {"type": "image", "url": "file:///photos/a.png"},
        {"type": "image", "url": "s3://bucket/a.png"},
        {"type": "video", "url": "rtsp://camera/1"},
        {"type": "image", "base64": b64encode(b"no picture at all").decode()},
    ],
)
def test_the_model_is_told_that_media_of_a_tool_result_cannot_be_sent(block: dict[str, str]) -> None:
    result = request(json.dumps(["See:", block]))
    assert "in this result cannot be shown to you" in result.messages[2].text
    assert any("was replaced by a sentence" in note for note in result.notes)


def test_an_invalid_picture_url_in_a_dict_of_a_tool_result_is_reported_to_the_model() -> None:
    part = {"type": "image_url", "image_url": {"url": "file:///photos/a.png"}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "look", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": [part]},
    ]
    result = chat_request(turns, Options(), {})
    assert "cannot be shown to you" in result.messages[2].text
    assert any(note.startswith("messages[2]: a picture") for note in result.notes)
    with pytest.raises(glmv.UnsupportedContent):
        chat_request([{"role": "user", "content": [part]}], Options(), {})


@pytest.mark.parametrize(
    "value",
    [
        Pillow.new("L", (3, 4)),
        glmv.Image.from_bytes(PNG),
        glmv.Image.from_url("https://example.com/a.png?at=1"),
        ["Front:", glmv.Image.from_url("https://example.com/a.png")],
        ["Front:", Pillow.new("RGB", (3, 4))],
        io.BytesIO(PNG),
    ],
)
def test_the_str_of_a_picture_is_refused_with_advice_to_return_the_picture(value: Any) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"messages\[2\].*glmv\.Image\.of") as caught:
        request(str(value))
    assert len(str(caught.value)) < 500


def test_texts_of_users_and_assistants_are_not_searched_for_pictures() -> None:
    turns = [glmv.Message("user", TEXT), glmv.Message("assistant", TEXT), glmv.Message("user", "?")]
    assert chat_request(turns, Options(), {}).messages == tuple(turns)


SMALL = b64encode(picture("PNG", (3, 2))).decode()


@pytest.mark.parametrize("block", [{"type": "image", "base64": SMALL}, {"type": "image", "base64": TEXT}])
def test_a_content_block_of_any_size_inside_text_is_sent_as_a_picture(block: dict[str, str]) -> None:
    for text in (
        f"Here it is: {json.dumps(block)}",
        f"Here it is: {block}",
        f"{json.dumps(block)}\n{json.dumps(block)}",
    ):
        told, formats = text_and_formats(text)
        assert block["base64"] not in told
        assert formats == ["png"] * text.count("base64")


def test_quoted_letters_that_are_not_a_picture_stay_text() -> None:
    text = f'{{"digest": "{"0a" * 32}", "word": "{"abc" * 30}"}} and "{"Zm9v" * 20}"'
    assert text_and_formats(text) == (text, [])


@pytest.mark.parametrize("wrapped", ["{}", "D(shot={})", "bytearray({})", "Here: {}"])
def test_a_large_picture_in_a_repr_is_found_quickly(wrapped: str) -> None:
    data = picture("JPEG") + bytes(range(256)) * 20_000
    before = time.thread_time()
    text, formats = text_and_formats(wrapped.format(repr(data)))
    assert time.thread_time() - before < 1.5  # about 0.1 s; a search of the whole repr takes 4 s
    assert formats == ["jpg"]
    assert "[image 1" in text
    assert len(text) < 100


@pytest.mark.parametrize(
    "text",
    [str(memoryview(PNG)), str({"shot": memoryview(PNG)}), f"Shot(picture={Pillow.new('L', (3, 4))})"],
    ids=["view", "dict of a view", "object with a picture"],  # the texts hold addresses, which differ between workers
)
def test_the_str_of_a_memoryview_or_of_an_object_with_a_picture_is_refused(text: str) -> None:
    with pytest.raises(glmv.UnsupportedContent, match=r"messages\[2\].*glmv\.Image\.of"):
        request(text)


ROWS = "[[[0 0 0]\n  [0 0 0]\n  ...\n  [0 0 0]]\n\n ...\n\n [[0 0 0]\n  ...\n  [0 0 0]]]"
TYPED = "['Front:', array([[[  0, 255,   0],\n        [  0,   0,   0]]], shape=(1, 2, 3), dtype=uint8)]"


@pytest.mark.parametrize(
    "text",
    [ROWS, TYPED, TYPED.replace("array", "tensor").replace("uint8", "torch.uint8")],
    ids=["rows", "array", "tensor"],
)
def test_a_note_says_that_the_text_of_an_array_shows_no_picture(text: str) -> None:
    result = request(text)
    assert result.messages[2].text == text
    (note,) = result.notes
    assert note.startswith("messages[2]:")
    assert "PIL.Image.fromarray(array)" in note


@pytest.mark.parametrize(
    "text", ["[[[0.5 0.1 0. ]\n  ...\n  [0. 0. 0.]]]", "[[[1, 2, 3], [4, 5, 6]]]", "[[[1 2 3]\n  [4 5 6]]]"]
)
def test_numbers_that_are_not_an_array_of_pixels_get_no_note(text: str) -> None:
    result = request(text)
    assert result.messages[2].text == text
    assert result.notes == ()


@pytest.mark.parametrize("value", ["[[[1, 2, 3], 4]]", "{'name': 'a', 'size': 5}"], ids=["lists", "rows"])
def test_a_long_repr_of_many_values_is_read_in_linear_time_with_its_pictures(value: str) -> None:
    text = f"[{', '.join([value] * 100_000)}, {picture('JPEG')!r}]"
    before = time.process_time()
    result = request(text)
    assert time.process_time() - before < 5  # parsing the repr takes 4 to 20 s
    assert [type(part).__name__ for message in result.messages for part in message.content].count("Image") == 1
