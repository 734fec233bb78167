"""Videos are measured from their container; with PyAV their frames are measured, too."""

from __future__ import annotations

import io
import sys

import pytest

from glmv_emulator import Ask, Medium, default_answer
from glmv_emulator.eyes import Unreadable, look_video

av = pytest.importorskip("av", reason="the videos are made with PyAV")


def video(
    name: str = "mp4",
    colours: tuple[tuple[int, int, int], ...] = ((255, 0, 0), (0, 0, 255)),
    seconds: int = 2,
    **options: str,
) -> bytes:
    """A video of plain colours in sequence, ten frames per second, 160 x 120 pixels."""
    from PIL import Image

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=name, options=options) as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(10 * seconds):
            colour = colours[number * len(colours) // (10 * seconds)]
            frame = av.VideoFrame.from_image(Image.new("RGB", (160, 120), colour))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.mark.parametrize(("name", "called"), [("mp4", "mp4"), ("mov", "mov"), ("matroska", "mkv"), ("avi", "avi")])
def test_the_format_and_size_and_duration_and_colours_of_a_video_are_measured(name: str, called: str) -> None:
    result = look_video(video(name))
    assert (result.container, result.width, result.height) == (called, 160, 120)
    assert result.duration == pytest.approx(2, abs=0.15)
    assert result.colours[0].name == "red"
    assert result.frames[-1].colours[0].name == "blue"


def test_a_fragmented_video_is_measured_to_its_end() -> None:
    result = look_video(video(movflags="frag_keyframe+empty_moov"))
    assert result.duration == pytest.approx(2, abs=0.15)
    assert result.frames[-1].at > 1


QUARTER = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
HALF = (-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30)


def with_matrix(data: bytes, matrix: tuple[int, ...]) -> bytes:
    """The video with this rotation matrix in its track, as a phone that is held upright writes it."""
    at = data.index(b"tkhd") + 4 + 40
    return data[:at] + b"".join(number.to_bytes(4, "big", signed=True) for number in matrix) + data[at + 36 :]


@pytest.mark.parametrize("name", ["mp4", "mov"])
@pytest.mark.parametrize("decoder", ["with PyAV", "without"])
def test_a_rotated_video_is_measured_as_displayed(monkeypatch: pytest.MonkeyPatch, name: str, decoder: str) -> None:
    result = video(name, ((0, 0, len(decoder)),))  # new bytes, because decoded videos are cached
    quarter, half = with_matrix(result, QUARTER), with_matrix(result, HALF)
    if decoder == "without":
        monkeypatch.setitem(sys.modules, "av", None)
    assert [(seen.width, seen.height) for seen in map(look_video, (result, quarter, half))] == [
        (160, 120),
        (120, 160),
        (160, 120),
    ]


@pytest.mark.parametrize("name", ["mp4", "avi"])
@pytest.mark.parametrize("cut", [1, 200, 1500])
def test_a_truncated_video_is_detected(name: str, cut: int) -> None:
    with pytest.raises(Unreadable):
        look_video(video(name)[:-cut])


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"\x00\x00\x00\x18ftypmp42", b"\x1a\x45\xdf\xa3", b"RIFF\x00\x00\x00\x00AVI "]
)
def test_data_that_is_not_a_complete_video_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable):
        look_video(data)


def test_a_video_is_described_with_its_measured_facts() -> None:
    data = video()
    medium = Medium("video", 0, 0, None, look_video(data), data)

    def answer_to(question: str) -> str:
        messages = [{"role": "user", "content": [{"type": "video_url"}, {"type": "text", "text": question}]}]
        return default_answer(Ask(messages=messages, media=[medium])).text

    text = answer_to("What happens in the video?")
    assert text.startswith("Video 1 is a MP4 of 2.0 seconds, 160 x 120 pixels (codec mp4v")
    assert "Frames: at 0.0 s red" in text
    assert "blue" in text
    assert "时长 2.0 秒" in answer_to("这个视频多长？")
    assert (medium.width, medium.height, medium.text) == (160, 120, "")
    assert medium.seconds == pytest.approx(2, abs=0.15)
