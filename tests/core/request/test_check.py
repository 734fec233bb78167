"""A request is checked against its model's catalogue row before sending."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image as Pillow

from glmv.catalog.lookup import find_model, models
from glmv.errors import InvalidRequestError, LimitExceeded, UnsupportedContent
from glmv.media import File, Image, Video
from glmv.options import ChatRequest, Options
from glmv.request.build import chat_request
from glmv.request.check import check
from glmv.types import Message, Text, ToolCall
from glmv.wire.dialect import DIALECTS

URL = Image.from_url("https://example.com/a.jpg")
CLIP = Video.from_url("https://example.com/a.mp4")
PAPER = File.from_url("https://example.com/a.pdf")
TOOL = {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": {"type": "object"}}}


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48), *, fit: bool = True) -> Image:
    out = io.BytesIO()
    Pillow.new("RGB", size, "red").save(out, kind)
    return Image.from_bytes(out.getvalue(), name=f"a.{kind.lower()}", fit=fit)


def mp4(seconds: float, size: int = 0) -> Video:
    """An MP4 of this duration in seconds, of at least this many bytes; it has header tables and no frames."""

    def box(kind: bytes, content: bytes) -> bytes:
        return (8 + len(content)).to_bytes(4, "big") + kind + content

    times = bytes(12) + (1000).to_bytes(4, "big") + int(seconds * 1000).to_bytes(4, "big") + bytes(80)
    data = box(b"ftyp", b"isom\0\0\0\0") + box(b"moov", box(b"mvhd", times))
    return Video.from_bytes(data + box(b"free", bytes(max(0, size - len(data) - 8))), name="clip.mp4")


def checked(model: str, messages: Any, **options: Any) -> ChatRequest:
    return check(chat_request(messages, Options(), options | {"model": model}), find_model(model))


def refused(kind: type[Exception], model: str, messages: Any, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        checked(model, messages, **options)
    assert caught.type is kind
    assert "glm-" in str(caught.value)
    return str(caught.value)


def test_a_request_to_an_unknown_model_is_returned_unchanged() -> None:
    request = chat_request(["hi", picture("WEBP"), CLIP, PAPER], Options(), {"model": "mine", "temperature": 0})
    assert check(request, find_model("mine")) is request


@pytest.mark.parametrize("model", [row for row in models() if row.chats], ids=lambda model: model.name)
def test_a_plain_question_is_sent_to_every_model_without_a_note(model: Any) -> None:
    request = checked(model.name, "hello", temperature=0.5, top_p=0.5, max_tokens=100, user_id="user-1")
    # There is a note only if the platform's documents disagree whether the model is still offered.
    assert len(request.notes) == bool(model.doubt("status"))
    assert request.messages == (Message("user", "hello"),)
    assert dict(request.options) == {"temperature": 0.5, "top_p": 0.5, "max_tokens": 100, "user_id": "user-1"}


PROXY = (DIALECTS["openai"], "https://proxy.example/v1")


def test_ranges_of_options_for_an_unknown_model_are_checked_only_on_the_platform() -> None:
    original = chat_request("hi", Options(), {"model": "mine"}).but(options={"temperature": 1.5})  # valid elsewhere
    with pytest.raises(InvalidRequestError, match="temperature"):
        check(original, None)
    assert check(original, None, *PROXY) is original


def test_a_private_picture_url_is_noted_for_servers_outside_of_the_private_network() -> None:
    original = chat_request(["hi", Image.from_url("http://10.0.0.7/a.png")], Options(), {"model": "mine"})
    for noted, server in (
        (True, ()),
        (True, PROXY),
        (True, (DIALECTS["platform"], "http://10.0.0.1/v1")),
        (False, (DIALECTS["openai"], "http://10.0.0.1/v1")),
    ):
        request = check(original, None, *server)
        assert request.messages == original.messages
        assert any("in a private network" in note for note in request.notes) is noted


def test_an_empty_assistant_message_is_left_out_only_for_the_platform() -> None:
    turns = [Message("user", "hi"), Message("assistant", ""), Message("user", "hi?")]
    for model, row in (("mine", None), ("glm-4.6v", find_model("glm-4.6v"))):
        original = chat_request(turns, Options(), {"model": model})
        request = check(original, row)
        assert [message.role for message in request.messages] == ["user", "user"]
        assert "messages[1]" in request.notes[0]
        assert check(original, row, *PROXY) is original


def test_a_request_that_needs_no_change_is_returned_as_the_same_object() -> None:
    original = chat_request("hello", Options(), {"model": "glm-4.6v"})
    assert check(original, find_model("glm-4.6v")) is original
    assert check(original, None) is original


def test_a_model_that_cannot_chat_is_refused_by_default_and_noted_at_other_servers() -> None:
    row = next(row for row in models() if not row.chats)
    original = chat_request("hi", Options(), {"model": row.name})
    with pytest.raises(UnsupportedContent, match=f"{row.name} is not a chat model"):
        check(original, row)
    request = check(original, row, DIALECTS["openai"], "https://proxy.example/v1")
    assert request.messages == original.messages
    assert f"{row.name} is not a chat model" in request.notes[0]


def test_earlier_notes_are_kept_and_no_note_is_repeated() -> None:
    original = replace(chat_request("hi", Options(), {"model": "glm-4.6v", "stop": ["a", "b"]}), notes=("before",))
    request = check(original, find_model("glm-4.6v"))
    assert request.notes[0] == "before"
    again = check(replace(original, notes=request.notes), find_model("glm-4.6v"))
    assert again.notes == request.notes
    assert again.cut == ("b",)


def test_a_picture_within_the_limits_is_sent_untouched() -> None:
    image = picture()
    request = checked("GLM-4V", ["what is this?", image])
    assert request.messages[0].content[1] is image
    assert request.notes == ()


class TestCounts:
    def test_six_pictures_are_too_many_for_glm_4v(self) -> None:
        message = refused(LimitExceeded, "glm-4v", ["hi", *[picture()] * 6])
        assert "glm-4v takes 5 pictures" in message
        assert "messages[0], part 6" in message
        assert checked("glm-4v", ["hi", *[picture()] * 5]).notes == ()

    def test_pictures_of_all_turns_count_for_the_limit_of_the_model(self) -> None:
        turns = [Message("user", ["a", URL]), Message("assistant", "b"), Message("user", ["c", URL])]
        assert "messages[2], part 1" in refused(LimitExceeded, "glm-4v-flash", turns)

    def test_more_pictures_than_one_of_two_documents_allows_are_sent_with_a_note(self) -> None:
        assert "50 on docs.bigmodel.cn, 150 on docs.z.ai" in checked("glm-4.6v", ["hi", *[URL] * 51]).notes[0]
        assert checked("glm-4.6v", ["hi", *[URL] * 50]).notes == ()
        refused(LimitExceeded, "glm-4.6v", ["hi", *[URL] * 151])

    @pytest.mark.parametrize(
        ("model", "part", "word"),
        [
            (
                "glm-4",
                URL,
                "pictures. Models that do are glm-4.6v, glm-4.5v, glm-4v-plus-0111 and others: glmv.models().",
            ),
            (
                "glm-4v",
                CLIP,
                "videos. Use a model that does, such as glm-4.6v, or send some pictures of it: *video.frames(8).",
            ),
            (
                "glm-4v-plus",
                PAPER,
                "files. Use a model that does, such as glm-4.6v, or put the text of the file into the prompt.",
            ),
        ],
    )
    def test_a_picture_video_or_file_that_the_model_does_not_accept_is_refused(
        self, model: str, part: Any, word: str
    ) -> None:
        error = refused(UnsupportedContent, model, ["hi", part])
        assert f"part 1: {model} does not accept {word}" in error
        assert error.endswith(("models().", "frames(8).", "prompt."))

    def test_a_second_video_is_too_many_for_glm_4_5v(self) -> None:
        assert "takes 1 video in" in refused(LimitExceeded, "glm-4.5v", ["hi", CLIP, CLIP])
        checked("glm-4.6v", ["hi", CLIP, CLIP])

    @pytest.mark.parametrize("pair", [(URL, CLIP), (CLIP, PAPER), (URL, PAPER)])
    def test_a_mix_of_pictures_videos_or_files_in_one_request_is_refused(self, pair: tuple[Any, Any]) -> None:
        error = refused(UnsupportedContent, "glm-4.6v", [Message("user", ["a", pair[0]]), Message("user", [pair[1]])])
        assert "messages[0], part 1" in error
        assert "messages[1], part 0" in error


class TestPictures:
    def test_glm_4v_flash_takes_pictures_by_url_only(self) -> None:
        assert "by URL only" in refused(UnsupportedContent, "glm-4v-flash", ["hi", picture()])
        assert checked("glm-4v-flash", ["hi", URL]).messages[0].content[1] is URL

    def test_a_picture_in_an_unsupported_format_is_converted_with_a_note(self) -> None:
        request = checked("glm-4v", ["hi", picture("WEBP")])
        (fitted,) = (part for part in request.messages[0].content if isinstance(part, Image))
        assert fitted.format == "jpg"
        assert "a.webp: re-encoded as JPEG" in request.notes[0]

    def test_a_picture_with_too_long_a_side_is_scaled_down_with_a_note(self) -> None:
        request = checked("glm-4.6v", ["hi", picture(size=(6100, 20))])
        (fitted,) = (part for part in request.messages[0].content if isinstance(part, Image))
        assert fitted.width == 6000
        assert "6100x20 to 6000x20" in request.notes[0]

    @pytest.mark.parametrize(
        ("image", "kind", "word"),
        [
            (picture("WEBP", fit=False), UnsupportedContent, "JPEG, PNG"),
            (picture("PNG", (6100, 20), fit=False), LimitExceeded, "6000x6000"),
            (picture("BMP", (1500, 1500), fit=False), UnsupportedContent, "bmp"),
        ],
    )
    def test_a_picture_that_exceeds_a_limit_is_refused_if_fit_is_false(
        self, image: Image, kind: type[Exception], word: str
    ) -> None:
        error = refused(kind, "glm-4.5v", ["hi", image])
        assert word in error
        assert "messages[0], part 1" in error

    def test_a_picture_of_too_many_bytes_is_fitted_or_is_refused_if_fit_is_false(self) -> None:
        out = io.BytesIO()
        Pillow.effect_noise((2500, 2500), 120).save(out, "PNG", compress_level=1)
        data = out.getvalue()
        assert len(data) > 5 * 1024**2
        assert "at most 5 MB" in refused(LimitExceeded, "glm-4v", ["hi", Image.from_bytes(data, fit=False)])
        request = checked("glm-4v", ["hi", Image.from_bytes(data)])
        (fitted,) = (part for part in request.messages[0].content if isinstance(part, Image))
        assert fitted.size is not None
        assert fitted.size <= 5_000_000

    def test_a_picture_that_was_fitted_is_logged_with_its_position(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("DEBUG", logger="glmv")
        checked("glm-4v", ["hi", picture(), picture("WEBP")])
        (record,) = (record for record in caplog.records if "Fitted" in record.getMessage())
        assert record.name == "glmv"
        assert record.getMessage().startswith("Fitted at messages[0], part 2: a.webp")

    @pytest.mark.parametrize(("size", "noted"), [((40, 8000), False), ((40, 8001), True), ((8001, 40), True)])
    def test_a_picture_too_narrow_for_vllm_is_noted(self, size: tuple[int, int], noted: bool) -> None:
        original = chat_request(["hi", picture(size=size)], Options(), {"model": "mine"})
        notes = " ".join(check(original, None, DIALECTS["vllm"]).notes)
        assert ("200 times as long as it is wide, and the published image processor" in notes) is noted
        assert check(original, None, DIALECTS["openai"]) is original

    @pytest.mark.parametrize(("size", "noted"), [((28, 40), False), ((27, 40), True), ((40, 27), True)])
    def test_a_picture_too_small_for_vllm_is_noted(self, size: tuple[int, int], noted: bool) -> None:
        original = chat_request(["hi", picture(size=size), URL], Options(), {"model": "mine"})
        notes = " ".join(check(original, None, DIALECTS["vllm"]).notes)
        assert notes.count("has a side of less than 28 pixels") == noted
        assert check(original, None, DIALECTS["llama.cpp"]) is original

    def test_a_truncated_picture_is_refused_unless_fit_is_false(self) -> None:
        data = picture(size=(640, 480)).data()[:-20]
        refusal = r"messages\[0\], part 1: .* was cut short: .* pass fit=False"
        for row, server in ((find_model("glm-4.6v"), ()), (None, PROXY)):
            original = chat_request(["hi", Image.from_bytes(data)], Options(), {"model": "glm-4.6v"})
            with pytest.raises(UnsupportedContent, match=refusal):
                check(original, row, *server)
            original = chat_request(["hi", Image.from_bytes(data, fit=False)], Options(), {"model": "glm-4.6v"})
            assert check(original, row, *server).messages == original.messages

    def test_checking_a_request_does_not_change_the_callers_messages(self) -> None:
        content = (Text("hi"), picture("WEBP"))
        message = Message("user", content)
        checked("glm-4v", [Message("system", "be brief"), message], temperature=0)
        assert message.content == content
        assert message.content[1] is content[1]


class TestVideos:
    def test_the_video_comes_first_if_the_model_requires_it(self) -> None:
        request = checked("glm-4v-plus-0111", ["what happens?", CLIP])
        assert request.messages[0].content == (CLIP, Text("what happens?"))
        assert "moved to the front of messages[0]" in request.notes[0]
        assert checked("glm-4.6v", ["what happens?", CLIP]).messages[0].content[1] is CLIP
        assert checked("glm-4v-plus-0111", [CLIP, "what happens?"]).notes == ()

    def test_glm_4v_plus_takes_a_video_of_at_most_20_mb_and_30_seconds(self) -> None:
        assert "at most 20 MB" in refused(LimitExceeded, "glm-4v-plus", ["hi", mp4(10, 21 * 1024**2)])
        assert "at most 30 s" in refused(LimitExceeded, "glm-4v-plus", ["hi", mp4(31)])
        assert "clip.mp4" in refused(LimitExceeded, "glm-4v-plus", ["hi", mp4(30, 20 * 1024**2 + 1)])
        assert ") has 22.0 MB. Compress" in refused(LimitExceeded, "glm-4v-plus", ["hi", mp4(10, 21 * 1024**2)])
        checked("glm-4v-plus", ["hi", mp4(30, 20 * 1024**2)])
        checked("glm-4v-plus", ["hi", mp4(30.5)])  # cut to 30 seconds, up to the next whole frame
        assert "lasts 30.6 s" in refused(LimitExceeded, "glm-4v-plus", ["hi", mp4(30.6)])
        checked("glm-4.6v", ["hi", mp4(31)])

    def test_a_video_of_unknown_duration_is_sent_with_a_note(self) -> None:
        unmeasured = mp4(0)
        assert unmeasured.duration is None
        assert "at most 30 s; the duration of" in checked("glm-4v-plus", [unmeasured, "hi"]).notes[0]

    def test_a_video_container_named_in_only_one_document_is_sent_with_a_note(self) -> None:
        mkv = Video.from_bytes(b"\x1a\x45\xdf\xa3\x8b\x42\x82\x88matroska\x18\x53\x80\x67\x80")
        assert "MKV" in checked("glm-4.1v-thinking-flash", ["hi", mkv]).notes[1]

    def test_a_video_container_named_in_no_document_is_refused(self) -> None:
        webm = Video.from_bytes(b"\x1a\x45\xdf\xa3\x87\x42\x82\x84webm\x18\x53\x80\x67\x80")
        assert "MP4, MKV, MOV" in refused(UnsupportedContent, "glm-4.6v", ["hi", webm])

    def test_a_video_as_base64_is_sent_to_glm_4_5v_with_a_note(self) -> None:
        assert (
            "as base64, and the platform's documents disagree about this: "
            in checked("glm-4.5v", ["hi", mp4(3)]).notes[0]
        )
        assert checked("glm-4v-plus", [mp4(3), "hi"]).notes == ()

    def test_a_model_that_takes_videos_by_url_only_refuses_videos_as_base64(self) -> None:
        row = find_model("glm-4.6v")
        assert row is not None
        row = replace(row, video_base64=False)
        for clip, accepted in ((CLIP, True), (mp4(3), False)):
            original = chat_request(["hi", clip], Options(), {"model": "glm-4.6v"})
            if accepted:
                assert check(original, row).notes == ()
            else:
                with pytest.raises(UnsupportedContent, match=r"part 1: glm-4.6v takes videos by URL only"):
                    check(original, row)


class TestFiles:
    @pytest.mark.parametrize("form", ["url", "id", "data"])
    def test_the_error_of_a_file_in_an_unsupported_form_names_the_supported_forms(self, form: str) -> None:
        papers = {"url": PAPER, "id": File.from_id("file-1"), "data": File.from_bytes(b"%PDF-1.7", name="a.pdf")}
        ways = {"url": "File.from_url", "id": "File.from_id", "data": "File.from_path or from_bytes"}
        row = find_model("glm-5.3-flash")
        assert row is not None
        original = chat_request(["hi", papers[form]], Options(), {"model": row.name})
        assert check(original, replace(row, file_forms=(form,))).notes == ()
        others = tuple(each for each in papers if each != form)
        message = rf"does not accept a file by {form}; use {ways[others[0]]} or {ways[others[1]]}\.$"
        with pytest.raises(UnsupportedContent, match=message):
            check(original, replace(row, file_forms=others))

    def test_a_file_larger_than_the_limit_of_its_model_is_refused(self) -> None:
        row = find_model("glm-5.3-flash")
        assert row is not None
        row = replace(row, file_bytes=2 * 1024**2)
        for size, fits in ((2 * 1024**2, True), (3 * 1024**2, False)):
            paper = File.from_bytes(b"%PDF-1.7".ljust(size), name="a.pdf")
            original = chat_request(["hi", paper], Options(), {"model": row.name})
            if fits:
                assert check(original, row).notes == ()
            else:
                with pytest.raises(LimitExceeded, match=r"takes files of at most 2 MB; .* has 3\.\d MB\. Split it\."):
                    check(original, row)

    def test_a_file_id_is_refused_for_glm_4_6v_and_sent_to_glm_5_3_flash(self) -> None:
        paper = File.from_id("file-1")
        assert "does not accept a file by id" in refused(UnsupportedContent, "glm-4.6v", ["hi", paper])
        assert checked("glm-5.3-flash", ["hi", paper]).messages[0].content[1] is paper

    def test_the_bytes_of_a_file_are_sent_to_glm_4_6v_with_a_note(self) -> None:
        paper = File.from_bytes(b"%PDF-1.7", name="a.pdf")
        assert "and the platform's documents disagree about this: " in checked("glm-4.6v", ["hi", paper]).notes[0]
        assert checked("glm-5.3-flash", ["hi", paper]).notes == ()


class TestRoles:
    def test_a_model_without_system_role_gets_system_texts_before_the_first_user_text(self) -> None:
        turns = [Message("system", "Be brief."), Message("user", [URL, "Why?"]), Message("system", "In French.")]
        request = checked("glm-4v", turns)
        assert request.messages == (Message("user", [URL, "Be brief.\n\nIn French.\n\nWhy?"]),)
        assert "mention no system messages" in request.notes[0]

    def test_a_model_without_system_role_gets_a_system_text_after_a_single_picture(self) -> None:
        request = checked("glm-4v", [Message("system", "Describe."), Message("user", URL)])
        assert request.messages == (Message("user", [URL, "Describe."]),)

    def test_a_video_stays_before_the_moved_system_text(self) -> None:
        request = checked("glm-4v-plus", [Message("system", "Be brief."), Message("user", ["Why?", CLIP])])
        assert request.messages == (Message("user", [CLIP, "Be brief.\n\nWhy?"]),)

    def test_models_with_a_system_role_get_system_messages(self) -> None:
        turns = (Message("system", "Be brief."), Message("user", "Why?"))
        assert checked("glm-4.6v", turns).messages == turns

    @pytest.mark.parametrize(
        "turn",
        [Message("assistant", "", tool_calls=[ToolCall("1", "look")]), Message("tool", "red", tool_call_id="1")],
    )
    def test_tool_calls_and_tool_results_are_refused_for_models_without_tools(self, turn: Message) -> None:
        turns = [Message("user", "hi"), turn]
        assert "messages[1]" in refused(UnsupportedContent, "glm-4v-plus-0111", turns)
        assert checked("glm-4.6v", turns).messages[1] is turn

    @pytest.mark.parametrize("change", [{"tools": 0}, {"roles": ("system", "user", "assistant")}])
    @pytest.mark.parametrize(
        ("turn", "what"),
        [
            (Message("assistant", "", tool_calls=[ToolCall("1", "look")]), "calls of tools"),
            (Message("tool", "red", tool_call_id="1"), "the result of a tool"),
        ],
    )
    def test_tool_calls_and_results_need_a_model_with_tools_and_the_role_tool(
        self, change: dict[str, Any], turn: Message, what: str
    ) -> None:
        row = find_model("glm-4.6v")
        assert row is not None
        original = chat_request([Message("user", "hi"), turn], Options(), {"model": "glm-4.6v"})
        with pytest.raises(UnsupportedContent, match=rf"messages\[1\] has {what}, but glm-4.6v does not support tools"):
            check(original, replace(row, **change))

    def test_messages_without_a_user_message_are_sent_to_other_servers_with_a_note(self) -> None:
        row = find_model("glm-4.6v")
        for turns, noted in (
            ([Message("system", "hi")], True),
            ([Message("assistant", "hi")], True),
            ([Message("user", "hi")], False),
            ([Message("user", "hi"), Message("assistant", "ho")], False),
        ):
            original = chat_request(turns, Options(), {"model": "glm-4.6v"})
            request = check(original, row, DIALECTS["openai"], "https://proxy.example/v1")
            assert request.messages == tuple(turns)
            assert any("There is no user message" in note for note in request.notes) is noted

    def test_without_a_user_message_the_system_text_stays_where_it_is(self) -> None:
        turns = [Message("system", "Be brief."), Message("assistant", "ho")]
        original = chat_request(turns, Options(), {"model": "glm-4v"})
        request = check(original, find_model("glm-4v"), DIALECTS["openai"], "https://proxy.example/v1")
        assert request.messages == tuple(turns)
        assert not any("was put before" in note for note in request.notes)

    def test_an_empty_system_message_is_left_out_for_a_model_without_system_messages(self) -> None:
        request = checked("glm-4v", [Message("system", ""), Message("user", "Why?")])
        assert request.messages == (Message("user", "Why?"),)
        assert not any("was put before" in note for note in request.notes)

    @pytest.mark.parametrize("role", ["system", "assistant"])
    def test_a_user_message_is_required(self, role: Any) -> None:
        with pytest.raises(InvalidRequestError, match="no user message"):
            checked("glm-4.6v", [Message(role, "hi")])


class TestOptions:
    def test_temperature_zero_becomes_do_sample_false_if_zero_is_out_of_range(self) -> None:
        row = find_model("glm-4.6v")
        assert row is not None
        result = chat_request("hi", Options(), {"model": "glm-4.6v", "temperature": 0, "top_p": 0.5})
        request = check(result, replace(row, temperature=(0.01, 1.0)))
        assert dict(request.options) == {"do_sample": False, "top_p": 0.5}
        assert "do_sample=false" in request.notes[0]

    @pytest.mark.parametrize("model", ["glm-4v", "glm-4.5v", "glm-4.6v", "glm-5v-turbo", "glm-5.3-flash", "glm-4"])
    def test_temperature_zero_and_one_are_sent_unchanged_if_they_are_in_the_range(self, model: str) -> None:
        assert checked(model, "hi", temperature=0).options["temperature"] == 0
        assert checked(model, "hi", temperature=1).options["temperature"] == 1
        row = find_model(model)
        original = chat_request("hi", Options(), {"model": model, "temperature": 0})
        request = check(original, row, *PROXY)
        assert request.options["temperature"] == 0
        assert not any("temperature=0 was sent as" in note for note in request.notes)

    def test_the_error_for_a_value_out_of_the_models_range_names_the_range(self) -> None:
        assert "takes 0.01 to 1; got 0.001" in refused(InvalidRequestError, "glm-4.5v", "hi", top_p=0.001)
        assert checked("glm-4.5v", "hi", temperature=0.005).notes == ()

    def test_max_tokens_above_the_models_limit_is_refused(self) -> None:
        assert "at most 1,024 tokens; got 1,025" in refused(LimitExceeded, "glm-4v-flash", "hi", max_tokens=1025)
        assert checked("glm-4v", "hi", max_tokens=4095).options["max_tokens"] == 4095

    def test_stop_words_beyond_the_models_limit_are_applied_by_the_client(self) -> None:
        request = checked("glm-4.6v", "hi", stop=["a", "b", "c"])
        assert (request.options["stop"], request.cut) == (["a"], ("b", "c"))
        assert len(request.notes) == 1
        assert checked("glm-5.3-flash", "hi", stop=["a", "b", "c", "d", "e"]).cut == ("e",)
        assert checked("glm-4.6v", "hi", stop=["a"]).notes == ()
        assert "stop" not in checked("glm-4.6v", "hi", stop=[]).options

    @pytest.mark.parametrize(
        ("model", "thinking", "expected"),
        [
            ("glm-4.5v", False, {"thinking": False}),
            ("glm-4.6v", {"type": "enabled"}, {"thinking": {"type": "enabled"}}),
            ("glm-4v", False, {}),
            ("glm-4.1v-thinking-flash", True, {}),
            ("glm-4v", "auto", {"thinking": "auto"}),
            ("glm-5.3-flash", False, {"thinking": False}),
        ],
    )
    def test_the_option_thinking_is_sent_only_to_models_that_can_switch_thinking(
        self, model: str, thinking: Any, expected: dict[str, Any]
    ) -> None:
        request = checked(model, "hi", thinking=thinking)
        assert dict(request.options) == expected
        assert bool(request.notes) == (expected == {} or model == "glm-5.3-flash")

    @pytest.mark.parametrize(
        ("model", "thinking", "word"),
        [
            ("glm-4v", True, "cannot think"),
            (
                "glm-4.1v-thinking-flash",
                False,
                "always thinks. To switch thinking off, use glm-4.5v or glm-4.6v",
            ),
            ("glm-4.6v", {"type": "adaptive"}, "enabled or disabled"),
        ],
    )
    def test_values_of_the_option_thinking_that_a_model_does_not_support_are_refused(
        self, model: str, thinking: Any, word: str
    ) -> None:
        assert word in refused(InvalidRequestError, model, "hi", thinking=thinking)

    def test_reasoning_effort_is_refused_for_models_without_this_option(self) -> None:
        assert "low, high, max" in refused(InvalidRequestError, "glm-5.3-flash", "hi", reasoning_effort="medium")
        error = refused(InvalidRequestError, "glm-4v", "hi", reasoning_effort="low")
        assert error == "reasoning_effort: glm-4v has no such option; got 'low'."
        assert checked("glm-5.3-flash", "hi", reasoning_effort="low").options["reasoning_effort"] == "low"

    def test_tools_are_refused_for_models_that_do_not_support_tools(self) -> None:
        assert "does not support tools" in refused(UnsupportedContent, "glm-4v", "hi", tools=[TOOL])
        assert checked("glm-4.6v", "hi", tools=[TOOL]).options["tools"] == [TOOL]
        assert "at most 128 tools" in refused(LimitExceeded, "glm-4.6v", "hi", tools=[TOOL] * 129)

    def test_web_search_is_refused_for_vision_models(self) -> None:
        search = {"type": "web_search", "web_search": {"enable": True}}
        assert "has the type 'web_search'" in refused(UnsupportedContent, "glm-4.6v", "hi", tools=[search])
        assert checked("glm-4", "hi", tools=[search]).options["tools"] == [search]

    def test_missing_tool_fields_are_filled_in_without_changing_the_callers_tool(self) -> None:
        bare = {"type": "function", "function": {"name": "look"}}
        (tool,) = checked("glm-4.6v", "hi", tools=[bare]).options["tools"]
        assert tool["function"] == {
            "name": "look",
            "description": "look",
            "parameters": {"type": "object", "properties": {}},
        }
        assert bare == {"type": "function", "function": {"name": "look"}}

    @pytest.mark.parametrize("name", ["", "two words", "a" * 65, "größe", None])
    def test_an_invalid_tool_name_is_refused(self, name: Any) -> None:
        with pytest.raises(InvalidRequestError, match=r"tools\[0\].*letters"):
            checked("glm-4.6v", "hi", tools=[{"type": "function", "function": {"name": name}}])

    def test_temperature_zero_becomes_the_lowest_value_at_servers_without_do_sample(self) -> None:
        row = find_model("glm-4.6v")
        assert row is not None
        original = chat_request("hi", Options(), {"model": "glm-4.6v", "temperature": 0})
        request = check(original, replace(row, temperature=(0.01, 1.0)), DIALECTS["openai"])
        assert dict(request.options) == {"temperature": 0.01}
        (note,) = request.notes
        assert note == (
            "temperature=0 was sent as 0.01, the lowest temperature of glm-4.6v, because servers of dialect "
            "'openai' have no do_sample=false."
        )

    @pytest.mark.parametrize("name", ["temperature", "top_p"])
    def test_the_bounds_of_a_documented_range_are_accepted(self, name: str) -> None:
        row = find_model("glm-4.6v")
        assert row is not None
        narrow = replace(row, temperature=(0.1, 0.9), top_p=(0.1, 0.9))
        for value in (0.1, 0.5, 0.9):
            original = chat_request("hi", Options(), {"model": "glm-4.6v", name: value})
            assert check(original, narrow).options[name] == value
        for value in (0.05, 0.95):
            original = chat_request("hi", Options(), {"model": "glm-4.6v", name: value})
            with pytest.raises(InvalidRequestError, match=f"{name}: glm-4.6v takes 0.1 to 0.9; got {value}"):
                check(original, narrow)

    def test_128_tools_with_names_of_64_characters_are_sent_unchanged(self) -> None:
        tools = [{**TOOL, "function": {**TOOL["function"], "name": f"{'a_Z-9':x<61}{n:03}"}} for n in range(128)]
        assert checked("glm-4.6v", "hi", tools=tools).options["tools"] == tools
        assert checked("glm-4v", "hi", tools=[]).options["tools"] == []

    def test_missing_fields_of_a_tool_are_filled_in_and_the_others_kept(self) -> None:
        tool = {"type": "function", "function": {"name": "look", "description": None, "parameters": {"type": "object"}}}
        (filled,) = checked("glm-4.6v", "hi", tools=[tool]).options["tools"]
        assert filled["function"] == {"name": "look", "description": "look", "parameters": {"type": "object"}}
        broken = {"type": "function", "function": "look"}
        assert checked("glm-4.6v", "hi", tools=[broken]).options["tools"] == [broken]

    @pytest.mark.parametrize(
        ("model", "thinking", "does"),
        [("glm-4v", {"type": "disabled"}, "never"), ("glm-4.1v-thinking-flash", {"type": "enabled"}, "always")],
    )
    def test_the_option_thinking_is_left_out_with_a_note_for_models_without_a_switch(
        self, model: str, thinking: Any, does: str
    ) -> None:
        request = checked(model, "hi", thinking=thinking)
        assert "thinking" not in request.options
        assert f"The option thinking was left out: {model} {does} thinks and has no switch." in request.notes

    def test_the_note_on_stop_words_says_how_many_the_model_takes(self) -> None:
        (one,) = checked("glm-4.6v", "hi", stop=["a", "b"]).notes
        assert one == "glm-4.6v takes 1 stop word; the client cuts answers at the others."
        notes = checked("glm-5.3-flash", "hi", stop=["a", "b", "c", "d", "e"]).notes
        assert "glm-5.3-flash takes 4 stop words; the client cuts answers at the others." in notes

    def test_options_beyond_the_models_limits_are_sent_to_other_servers_with_a_note(self) -> None:
        row = find_model("glm-4v")
        assert row is not None
        search = {"type": "web_search", "web_search": {}}
        options = {"tools": [TOOL], "reasoning_effort": "low", "thinking": True, "max_tokens": 10**6}
        original = chat_request("hi", Options(), {"model": "glm-4v", **options})
        request = check(original, row, DIALECTS["openai"], "https://proxy.example/v1")
        assert dict(request.options) == options
        notes = " ".join(request.notes)
        for word in ("tools: ", "reasoning_effort: ", "thinking: ", "max_tokens: "):
            assert word in notes
        vision = find_model("glm-4.6v")
        original = chat_request("hi", Options(), {"model": "glm-4.6v", "tools": [search, TOOL]})
        request = check(original, vision, DIALECTS["openai"], "https://proxy.example/v1")
        assert request.options["tools"] == [search, TOOL]
        assert "tools[0] has the type 'web_search'" in request.notes[0]
