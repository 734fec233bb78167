"""Videos are recognized by their container; PyAV reads size, duration and frames."""

from __future__ import annotations

import base64
import contextlib
import io
import struct
import sys
import tracemalloc
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

import glmv
from glmv.errors import InvalidRequestError, UnsupportedContent
from glmv.media import Video, containers, frames

KINDS = {
    "mp4": ("mp4", "mpeg4", {}),
    "mp4, tables first": ("mp4", "mpeg4", {"movflags": "faststart"}),
    "mp4, in fragments": ("mp4", "mpeg4", {"movflags": "frag_keyframe+empty_moov"}),
    "mp4, as streams have it": ("mp4", "mpeg4", {"movflags": "cmaf+frag_keyframe+empty_moov"}),
    "mov": ("mov", "mpeg4", {}),
    "mkv": ("matroska", "mpeg4", {}),
    "webm": ("webm", "libvpx", {}),
}
SECONDS, RATE, WIDTH, HEIGHT = 2, 10, 160, 96


@cache
def clip_bytes(kind: str, **metadata: str) -> bytes:
    """A clip of 2 seconds that fades from black to red; of kind "half", a clip whose left half is red."""
    form, codec, options = KINDS.get(kind, KINDS["mp4"])
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip"
        with av.open(str(path), "w", format=form, options=options) as container:
            container.metadata.update(metadata)
            stream = container.add_stream(codec, rate=RATE)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            for number in range(SECONDS * RATE):
                red = 255 * number // (SECONDS * RATE)
                picture = Pillow.new("RGB", (WIDTH, HEIGHT), (red, 0, 0))
                if kind == "half":
                    picture = Pillow.new("RGB", (WIDTH, HEIGHT))
                    picture.paste("red", (0, 0, WIDTH // 2, HEIGHT))
                frame = av.VideoFrame.from_image(picture)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_the_width_height_and_duration_of_a_video_are_read_from_its_container(kind: str) -> None:
    video = Video.from_bytes(clip_bytes(kind), name="clip")
    assert video.container == kind[:3].replace("web", "webm")
    assert (video.width, video.height) == (WIDTH, HEIGHT)
    assert video.duration == pytest.approx(SECONDS, abs=0.11)


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_video_with_a_title_that_is_not_utf8_is_measured(kind: str) -> None:
    data = clip_bytes(kind, title="TITLE")
    assert data.count(b"TITLE") == 1
    video = Video.from_bytes(data.replace(b"TITLE", "标题".encode("gbk") + b"\xff"))
    assert (video.width, video.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("kind", KINDS)
def test_videos_of_equal_bytes_are_equal_whatever_their_source(kind: str, tmp_path: Path) -> None:
    data = clip_bytes(kind)
    path = tmp_path / "clip.bin"
    path.write_bytes(data)
    ways = {
        Video.from_path(path),
        Video.of(data),
        Video.from_base64(base64.encodebytes(data)),
        Video.from_message(base64.b64encode(data).decode()),
        Video.from_url("data:video/mp4;base64," + base64.b64encode(data).decode()),
    }
    assert len(ways) == 1
    (video,) = ways
    assert video.data() == data
    assert video.base64() == base64.b64encode(data)


@pytest.mark.parametrize("kind", KINDS)
def test_a_video_is_measured_without_reading_its_frames(kind: str) -> None:
    data = clip_bytes(kind)
    padded = data if "mp4" not in kind else data + b"\0\0\0\x08free"
    bytes_read = 0

    def read(offset: int, size: int) -> bytes:
        nonlocal bytes_read
        bytes_read += len(padded[offset : offset + size])
        return padded[offset : offset + size]

    assert containers.measure(read, len(padded)) is not None
    assert bytes_read < min(2_500, len(padded))


@pytest.mark.parametrize("n", [1, 4, 20])
def test_frames_of_a_video_are_evenly_spaced_over_its_duration(n: int) -> None:
    pictures = Video.from_bytes(clip_bytes("mp4"), name="clip.mp4").frames(n)
    assert len(pictures) == n
    reds = []
    for frame in pictures:
        assert (frame.format, frame.width, frame.height) == ("jpg", WIDTH, HEIGHT)
        pixel = Pillow.open(io.BytesIO(frame.data())).getpixel((80, 48))
        assert isinstance(pixel, tuple)
        reds.append(pixel[0])
    wanted = [255 * (2 * i + 1) / (2 * n) for i in range(n)]
    assert reds == pytest.approx(wanted, abs=255 / RATE / SECONDS + 12)


def live(form: str, codec: str) -> bytes:
    """A clip of 2 seconds whose header has no duration, because the writer could not seek back to it."""

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

    pipe = Pipe()
    with av.open(pipe, "w", format=form) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(SECONDS * RATE):
            red = 255 * number // (SECONDS * RATE)
            container.mux(stream.encode(av.VideoFrame.from_image(Pillow.new("RGB", (WIDTH, HEIGHT), (red, 0, 0)))))
        container.mux(stream.encode())
    return bytes(pipe.data)


@pytest.mark.parametrize(("form", "codec"), [("webm", "libvpx"), ("matroska", "mpeg4")])
def test_frames_of_a_recording_without_duration_are_evenly_spaced(form: str, codec: str) -> None:
    video = Video.from_bytes(live(form, codec), name="live")
    assert video.duration is None
    assert (video.width, video.height) == (WIDTH, HEIGHT)
    times = [float(str(frame.name).split()[-2]) for frame in video.frames(4)]
    assert times == pytest.approx([0.25, 0.75, 1.25, 1.75], abs=1 / RATE)


def test_the_duration_of_a_fragmented_mp4_is_read_from_its_fragments() -> None:
    data = clip_bytes("mp4, in fragments")
    assert Video.from_bytes(data + b"\0\0\0\x08free" * 5000).duration == pytest.approx(SECONDS, abs=0.11)


@pytest.mark.parametrize("kind", KINDS)
def test_without_pyav_the_container_is_recognized_and_the_duration_of_an_mp4_is_read(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = clip_bytes(kind)
    monkeypatch.setitem(sys.modules, "av", None)
    video = Video.from_bytes(data, name="clip")
    assert video.container == kind[:3].replace("web", "webm")
    assert (video.width, video.height) == (None, None)
    if kind in {"mp4", "mp4, tables first", "mov"}:
        assert video.duration == pytest.approx(SECONDS, abs=0.11)
    else:
        assert video.duration is None
    assert repr(video).startswith(f"Video(clip, {str(video.container).upper()}, ")


def test_frames_of_a_video_filmed_upright_are_upright() -> None:
    data = bytearray(clip_bytes("half"))
    at = data.index(b"tkhd") + 4 + 40  # the matrix: a quarter turn clockwise, as phones write it
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, HEIGHT << 16, 0, 1 << 30)
    video = Video.from_bytes(bytes(data))
    assert (video.width, video.height) == (HEIGHT, WIDTH)
    (frame,) = video.frames(1)
    assert (frame.width, frame.height) == (HEIGHT, WIDTH)
    result = Pillow.open(io.BytesIO(frame.data()))
    top, bottom = (result.getpixel((48, y)) for y in (20, 140))
    assert isinstance(top, tuple)
    assert isinstance(bottom, tuple)
    assert top[0] > 200 > 50 > bottom[0]  # what was left is on top now


def test_a_request_for_too_many_frames_returns_all_frames() -> None:
    assert len(Video.from_bytes(clip_bytes("webm")).frames(100)) == SECONDS * RATE


@pytest.mark.parametrize("n", [0, -1, 151])
def test_an_invalid_number_of_frames_is_refused(n: int) -> None:
    with pytest.raises(InvalidRequestError, match="1 to 150"):
        Video.from_bytes(clip_bytes("mp4")).frames(n)


def test_taking_frames_without_pyav_raises_an_error_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    video = Video.from_bytes(clip_bytes("mp4"))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UnsupportedContent, match=r'pip install "glmv\[video,images\]"'):
        video.frames(2)


def test_frames_of_a_video_given_by_url_are_refused() -> None:
    video = Video.from_url("https://example.com/a.mp4")
    assert (video.container, video.mime, video.duration, video.width, video.height) == (None,) * 5
    with pytest.raises(UnsupportedContent, match="are not available"):
        video.frames(2)


def test_taking_frames_of_a_damaged_video_raises_an_error() -> None:
    data = bytearray(clip_bytes("mp4, tables first"))
    at = data.index(b"mdat") + 4
    data[at:] = bytes(len(data) - at)
    with pytest.raises(UnsupportedContent):
        Video.from_bytes(bytes(data)).frames(2)


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"hello", "text"), (b"\x89PNG\r\n\x1a\n" + bytes(20), "glmv.Image"), (b"RIFF\0\0\0\0AVI LIST", "AVI"),
     (b"\0\0\0\x18ftypmp42" + bytes(12), "cut short")],
)  # fmt: skip
def test_the_error_of_a_file_that_is_not_a_video_names_its_type(content: bytes, word: str) -> None:
    with pytest.raises(UnsupportedContent, match=word):
        Video.from_bytes(content, name="clip.mp4")


def test_the_repr_of_a_video_is_short_and_names_its_format_and_duration() -> None:
    video = Video.from_bytes(clip_bytes("mp4"), name="clip.mp4")
    assert repr(video).startswith("Video(clip.mp4, MP4 160x96, 2.0 s, ")
    assert len(repr(video)) < 90


def test_a_large_video_is_in_memory_once_as_bytes_and_once_as_base64(tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    path.write_bytes(clip_bytes("mp4") + (20_000_000).to_bytes(4, "big") + b"free" + bytes(19_999_992))
    size = path.stat().st_size
    tracemalloc.start()
    video = Video.from_path(path)
    encoded = len(video.base64())
    current, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < size + 1.15 * encoded < 2 * encoded
    assert current < 1.1 * encoded


class Drain(httpx.BaseTransport):
    """Reads a request body piece by piece, as a socket does, and stores nothing."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.SyncByteStream)
        assert sum(map(len, request.stream)) == int(request.headers["content-length"])
        return httpx.Response(200, json={"choices": [{"finish_reason": "stop", "message": {"content": "ok"}}]})


@pytest.mark.parametrize("source", ["a path", "base64 in a message"])
def test_a_call_with_a_video_needs_less_memory_than_two_point_two_times_its_base64(source: str, tmp_path: Path) -> None:
    path = tmp_path / "large.mp4"
    path.write_bytes(clip_bytes("mp4") + (20_000_000).to_bytes(4, "big") + b"free" + bytes(19_999_992))
    text = base64.b64encode(path.read_bytes()).decode()
    encoded = len(text)
    message = [{"type": "video_url", "video_url": {"url": text}}, {"type": "text", "text": "?"}]
    with httpx.Client(transport=Drain()) as http, glmv.Client("test-id.test-secret", http_client=http) as glm:
        glm.chat("warm")
        tracemalloc.start()
        assert glm.chat([Video.from_path(path), "?"] if source == "a path" else message).text == "ok"
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2.2 * encoded


@pytest.mark.parametrize("kind", KINDS)
def test_the_frame_rate_of_a_video_is_read_from_its_container(kind: str) -> None:
    assert Video.from_bytes(clip_bytes(kind)).frame_rate == pytest.approx(RATE, rel=0.01)
    assert Video.from_url("https://example.com/clip.mp4").frame_rate is None


def test_a_video_is_measured_with_pyav_only_if_the_model_limits_its_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[str] = []
    monkeypatch.setattr(frames, "measure", lambda *args: requests.append(args[-1]) or frames.Measured(duration=29.0))
    data = clip_bytes("mp4, in fragments")
    with httpx.Client(transport=Drain()) as http, glmv.Client("test-id.test-secret", http_client=http) as glm:
        assert glm.chat([Video.from_bytes(data), "?"], model="glm-4.6v").text == "ok"
        assert requests == []
        assert glm.chat([Video.from_bytes(data), "?"], model="glm-4v-plus").text == "ok"
        assert requests == ["mp4"]


@given(st.binary(max_size=300))
def test_measuring_any_bytes_as_a_video_raises_no_error(data: bytes) -> None:
    for head in (b"", b"\0\0\0\x10ftypmp42", b"\x1a\x45\xdf\xa3"):
        whole = head + data
        containers.measure(lambda offset, size, whole=whole: whole[offset : offset + size], len(whole))  # type: ignore[misc]  # a default binds the loop's value


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 100_000), st.binary(min_size=1, max_size=8))
def test_a_damaged_video_has_positive_sides_and_duration_or_is_refused(kind: str, at: int, junk: bytes) -> None:
    data = clip_bytes(kind)
    at %= len(data)
    for damaged in (data[:at], data[:at] + junk + data[at + len(junk) :]):
        with contextlib.suppress(UnsupportedContent):
            video = Video.from_bytes(damaged)
            assert video.size == len(damaged)
            assert (video.duration or 1) > 0
            assert (video.width or 1) > 0 < (video.height or 1)
