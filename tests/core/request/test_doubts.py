"""When the platform's documents disagree, the request is sent and a note names the doubt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from glmv.catalog.lookup import find_model, models
from glmv.catalog.row import Model
from glmv.errors import UnsupportedContent
from glmv.media import File, Image, Video
from glmv.options import ChatRequest, Options
from glmv.request.build import chat_request
from glmv.request.check import check
from glmv.types import Message
from tests.core.request.test_check import TOOL, URL, mp4, picture

MKV = b"\x1a\x45\xdf\xa3\x93\x42\x82\x88matroska" + bytes(64)


def checked(model: Model, messages: Any, **options: Any) -> ChatRequest:
    return check(chat_request(messages, Options(), options | {"model": model.name}), model)


# Field of a doubt -> a function of the row: messages and options that rely on the field (or, below, do not).
RELIES: dict[str, Any] = {
    "status": lambda row: ("hi", {}),
    "context": lambda row: ("long " * row.context, {}),
    "max_output": lambda row: ("hi", {"max_tokens": (row.output_sure or 0) + 1}),
    "roles": lambda row: ([Message("system", "Be brief."), Message("user", "hi")], {}),
    "images": lambda row: (["hi", *[URL] * (row.images_sure + 1)], {}),
    "video_base64": lambda row: ([mp4(3), "hi"], {}),
    "video_formats": lambda row: ([movie(row), "hi"], {}),
    "file_forms": lambda row: (["hi", File.from_bytes(b"%PDF-1.4 ", name="a.pdf")], {}),
    "temperature": lambda row: ("hi", {"temperature": 0}),
    "stop": lambda row: ("hi", {"stop": ["END"]}),
    "tools": lambda row: ("hi", {"tools": [TOOL]}),
    "reasoning_effort": lambda row: ("hi", {"reasoning_effort": "low"}),
    "thinking": lambda row: ("hi", {"thinking": True}),
    "thinking_values": lambda row: ("hi", {"thinking": False}),
}
DOES_NOT: dict[str, Any] = {
    "context": lambda row: ("long " * 1000, {}),
    "max_output": lambda row: ("hi", {"max_tokens": row.output_sure or 1}),
    "images": lambda row: (["hi", *[URL] * row.images_sure], {}),
    "thinking": lambda row: ("hi", {"thinking": False}),
    "thinking_values": lambda row: ("hi", {"thinking": True}),
}


def movie(row: Model) -> Any:
    if "mkv" in row.video_formats:
        return Video.from_bytes(MKV, name="a.mkv")
    return Video.from_bytes(mp4(3).data().replace(b"ftypisom", b"ftypqt  "), name="a.mov")


DOUBTS = [
    pytest.param(row, field, id=f"{row.name}: {field}")
    for row in models()
    for field in (doubt.partition(": ")[0] for doubt in row.doubts)
]


@pytest.mark.parametrize(("row", "field"), DOUBTS)
def test_a_note_names_every_doubt_of_the_catalog_on_which_a_request_relies(row: Model, field: str) -> None:
    doubt = row.doubt(field)
    assert doubt is not None
    messages, options = RELIES[field](row)
    request = checked(row, messages, **options)
    assert [
        note for note in request.notes if note.endswith(f", and the platform's documents disagree about this: {doubt}.")
    ]


@pytest.mark.parametrize(("row", "field"), DOUBTS)
def test_a_request_that_does_not_rely_on_a_doubt_of_the_catalog_gets_no_note_of_it(row: Model, field: str) -> None:
    messages, options = DOES_NOT.get(field, lambda row: ("hi", {}))(row)
    doubt = row.doubt(field)
    assert field == "status" or not [note for note in checked(row, messages, **options).notes if str(doubt) in note]


@pytest.mark.parametrize(
    ("field", "part", "named"),
    [
        ("images", mp4(3), False),
        ("images", URL, True),
        ("video_base64", picture(), False),
        ("video_base64", Video.from_url("https://example.com/a.mp4"), False),
        ("video_base64", mp4(3), True),
        ("video_formats", picture(), False),
        ("video_formats", mp4(3), False),
        ("video_formats", Video.from_url("https://example.com/a"), False),
        ("file_forms", picture(), False),
        ("file_forms", File.from_url("https://example.com/a.pdf"), False),
        ("file_forms", File.from_id("file-1"), False),
        ("file_forms", File.from_bytes(b"%PDF-1.4 ", name="a.pdf"), True),
    ],
)
def test_a_doubt_about_media_is_named_only_for_media_that_rely_on_it(field: str, part: Any, named: bool) -> None:
    row = find_model("glm-5.3-flash")
    assert row is not None
    request = checked(replace(row, doubts=(f"{field}: one or two",), images_sure=None), ["hi", part])
    assert any("the platform's documents disagree about this: one or two." in note for note in request.notes) is named


@pytest.mark.parametrize(("wanted", "named"), [(None, False), (1, True)])
def test_any_max_tokens_causes_a_note_if_the_documents_disagree_on_the_limit(wanted: int | None, named: bool) -> None:
    row = find_model("glm-4.6v")
    assert row is not None
    request = checked(replace(row, doubts=("max_output: one or two",), output_sure=None), "hi", max_tokens=wanted)
    assert bool(request.notes) is named


def test_the_note_on_a_long_prompt_estimates_the_number_of_its_tokens() -> None:
    row = find_model("glm-4.6v")
    assert row is not None
    doubtful = replace(row, context=1000, doubts=("context: one or two",))
    assert checked(doubtful, "word" * 1000).notes == ()
    (note,) = checked(doubtful, "word" * 1001).notes
    assert note.startswith("About 1,001 tokens were sent to glm-4.6v")
    assert checked(replace(doubtful, context=None), "word" * 1001).notes == ()


def test_a_doubt_about_a_field_without_a_rule_raises_a_value_error() -> None:
    row = find_model("glm-4.6v")
    assert row is not None
    with pytest.raises(ValueError, match="no rule for the field concurrency"):
        checked(replace(row, doubts=("concurrency: one or two",)), "hi")


@pytest.mark.parametrize(
    ("model", "messages", "options", "note"),
    [
        ("glm-4v", "hi", {"max_tokens": 4095}, "1024 in bigmodel.cn's guide of 2024, 4095 in the Go SDK's"),
        ("glm-4v", "hi", {"stop": ["a"]}, "not among the parameters of the guide of 2024"),
        ("glm-4.1v-thinking-flash", "hi", {"max_tokens": 20_000}, "32768 in one table of docs.bigmodel.cn, 16384"),
        ("glm-4.5v", "hi", {"tools": [TOOL]}, "models.dev lists tool calls"),
        ("autoglm-phone", "hi", {"max_tokens": 4096}, "2048 in docs.bigmodel.cn's model overview"),
        ("glm-5v-turbo", "hi", {"thinking": True}, "forced when enabled"),
        ("glm-4.6v", "hi", {"reasoning_effort": "low"}, "which names no models"),
        ("glm-5.3-flash", "hi", {"thinking": False}, 'reasoning_effort="low" is the documented way'),
    ],
)
def test_a_request_on_which_the_documents_disagree_is_sent_unchanged_with_a_note(
    model: str, messages: Any, options: dict[str, Any], note: str
) -> None:
    row = find_model(model)
    assert row is not None
    request = checked(row, messages, **options)
    assert {name: request.options[name] for name in options} == options
    assert note in " ".join(request.notes)


@pytest.mark.parametrize("field", ["thinking", "thinking_values"])
def test_thinking_gets_no_note_if_it_is_auto_or_is_not_set(field: str) -> None:
    row = find_model("glm-4.6v")
    assert row is not None
    for thinking in (None, "auto"):
        assert checked(replace(row, doubts=(f"{field}: one or two",)), "hi", thinking=thinking).notes == ()


@pytest.mark.parametrize("request_id", ["1", "abcde"])
def test_a_short_request_id_is_sent_with_a_note(request_id: str) -> None:
    row = find_model("glm-4.6v")
    assert row is not None
    request = checked(row, "hi", request_id=request_id)
    assert request.options["request_id"] == request_id
    assert "docs.z.ai requires 6 to 64 characters" in request.notes[0]
    assert checked(row, "hi", request_id="abcdef").notes == ()


def test_a_picture_too_narrow_for_the_published_processor_is_noted() -> None:
    row = find_model("glm-4.6v")
    assert row is not None
    assert "200 times as long" in " ".join(checked(row, ["hi", picture(size=(20, 4020))]).notes)
    assert checked(row, ["hi", picture(size=(20, 4000))]).notes == ()
    newest = find_model("glm-5.3-flash")
    assert newest is not None
    assert checked(newest, ["hi", picture(size=(20, 4020))]).notes == ()


@pytest.mark.parametrize("messages", ["What is written here?", ["Read this.", Image.from_url("https://e.com/a.png")]])
def test_chat_with_glm_ocr_is_refused_and_the_error_names_its_endpoint(messages: Any) -> None:
    row = find_model("glm-ocr")
    assert row is not None
    with pytest.raises(UnsupportedContent, match=r"POST /layout_parsing .* use glm-4\.6v"):
        checked(row, messages)
