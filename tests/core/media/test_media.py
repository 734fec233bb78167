"""Pictures and files as values: every common source is accepted, and nothing is opened or fetched implicitly."""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import os
import pickle
import struct
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from glmv.errors import GLMVError, InvalidRequestError, LimitExceeded, UnsupportedContent
from glmv.media import File, Image, Video, image


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48), color: str = "red") -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", size, color).save(out, kind)
    return out.getvalue()


def test_a_picture_file_with_a_wrong_suffix_has_the_type_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"  # named wrongly: the bytes tell
    path.write_bytes(picture("JPEG"))
    image = Image.from_path(path)
    assert (image.format, image.mime, image.width, image.height) == ("jpg", "image/jpeg", 64, 48)
    assert image.size == path.stat().st_size
    assert image.data() == path.read_bytes()
    assert image.base64() == base64.b64encode(path.read_bytes())
    assert image.url is None


def test_pictures_of_equal_bytes_are_equal_whatever_their_source(tmp_path: Path) -> None:
    data = picture()
    path = tmp_path / "a.png"
    path.write_bytes(data)
    link = tmp_path / "link.png"
    link.symlink_to(path)
    ways = [
        Image.from_bytes(data),
        Image.from_bytes(bytearray(data)),
        Image.from_path(path),
        Image.from_path(str(link)),
        Image.from_base64(base64.b64encode(data)),
        Image.from_message(base64.b64encode(data).decode()),
        Image.of(path),
        Image.of(data),
    ]
    assert len(set(ways)) == 1
    assert Image.from_bytes(picture(color="blue")) not in ways


@pytest.mark.parametrize(
    "form",
    [
        lambda data: base64.b64encode(data).decode(),
        lambda data: base64.encodebytes(data),
        lambda data: base64.urlsafe_b64encode(data).decode(),
        lambda data: base64.b64encode(data).rstrip(b"="),
        lambda data: "data:image/png;base64," + base64.b64encode(data).decode(),
        lambda data: "DATA:image/jpeg;charset=x;BASE64,\r\n " + base64.encodebytes(data).decode(),
    ],
    ids=["plain", "lines", "url-safe", "no padding", "data URI", "shouted data URI with lines"],
)
@pytest.mark.parametrize("size", [(5, 5), (6, 5), (7, 5), (64, 48)])
def test_base64_in_common_forms_is_read_and_becomes_plain_base64(
    form: Callable[[bytes], str | bytes], size: tuple[int, int]
) -> None:
    data = picture(size=size)
    image = Image.from_base64(form(data))
    assert image.base64() == base64.b64encode(data)
    assert (image.size, image.data(), image.format) == (len(data), data, "png")


@pytest.mark.parametrize("text", ["", "äöü", "!!!!", "iVBORw0KGgo=AAAA", "iVBORw0KGgo====AA", "A", "AAAAA"])
def test_base64_that_is_not_a_picture_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequestError):
        Image.from_base64(text)


def test_a_data_uri_without_base64_is_refused() -> None:
    with pytest.raises(UnsupportedContent, match=";base64"):
        Image.from_url("data:image/svg+xml,<svg/>")


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_constructors_given_any_text_or_bytes_raise_only_glmv_errors(junk: str | bytes) -> None:
    for make in (Image.from_base64, Video.from_base64, File.from_base64):
        with contextlib.suppress(GLMVError):
            make(junk)
    for take in (Image.from_message, Video.from_message, File.from_url):
        with contextlib.suppress(GLMVError):
            take(junk if isinstance(junk, str) else junk.decode("latin-1"))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/a.jpg",
        "http://10.0.0.1:8000/x?y=1#z",
        "https://例子.测试/图.png",
        "HTTPS://user:pw@host/x y.png",
    ],
)
def test_a_url_is_passed_on_unchanged(url: str) -> None:
    image = Image.from_url(f" {url}\n")
    assert image.url == url
    assert (image.width, image.height, image.size, image.digest, image.format, image.mime) == (None,) * 6
    with pytest.raises(UnsupportedContent, match="are not available"):
        image.base64()
    assert Image.from_message(url) == image == Image.of(url)


@pytest.mark.parametrize("text", ["example.com/cat.jpg", "//example.com/cat.jpg", "www.example.com:8080/cat"])
def test_the_error_of_a_url_without_scheme_suggests_the_url_with_https(text: str) -> None:
    hint = f"Did you mean 'https://{text.lstrip('/')}'"
    for take in (Image.from_url, Image.from_message, Video.from_message, File.from_url):
        with pytest.raises(UnsupportedContent) as caught:
            take(text)
        assert hint in str(caught.value)


UNTRUSTED = [
    "/etc/passwd",
    "../../x.png",
    "..\\..\\x",
    "~/.ssh/id_rsa",
    "C:\\x\\y.png",
    "photo.jpg",
    "a\0b",
    "",
    " ",
    "file:///etc/passwd",
    "file://localhost/etc/passwd#x.jpg",
    "ftp://example.com/a.jpg",
    "gopher://example.com/",
    "javascript:alert(1)",
    "data:text/html;base64,PGh0bWw+",
    "data:text/html,<html>",
    "http://",
    "http://[",
    "https://example.com/\na.jpg",
]

_watched: list[str] | None = None


def _watch(event: str, args: tuple[object, ...]) -> None:
    if _watched is not None and event in {
        "open",
        "socket.connect",
        "socket.getaddrinfo",
        "subprocess.Popen",
        "os.listdir",
    }:
        _watched.append(f"{event} {args[:1]}")


sys.addaudithook(_watch)


@pytest.fixture
def watched() -> Iterator[list[str]]:
    global _watched
    _watched = []
    yield _watched
    _watched = None


@pytest.mark.parametrize("text", UNTRUSTED)
@pytest.mark.parametrize(
    "take", [Image.from_message, Video.from_message, File.from_url], ids=["image", "video", "file"]
)
def test_text_of_a_message_never_opens_a_file_or_fetches_a_url(
    take: Callable[[str], object], text: str, watched: list[str]
) -> None:
    expected_refusal = "" if take == File.from_url and text.startswith("data:text/html;") else text
    try:
        take(text)
    except (UnsupportedContent, InvalidRequestError):
        pass
    else:
        assert expected_refusal == "", "a document may be HTML; a picture or a video may not"
    assert watched == []


def test_the_error_of_a_missing_path_that_looks_like_a_url_suggests_that_url() -> None:
    with pytest.raises(InvalidRequestError, match=r"Did you mean 'https://example\.com/cat\.jpg'"):
        Image.of("example.com/cat.jpg")


def test_the_error_of_a_missing_file_names_the_file() -> None:
    with pytest.raises(InvalidRequestError, match=r"the file 'nowhere\.png' does not exist"):
        Image.from_path("nowhere.png")


def test_the_error_of_a_url_passed_to_from_path_suggests_from_url() -> None:
    with pytest.raises(InvalidRequestError, match="This is a URL: give it to from_url"):
        Image.from_path("https://example.com/cat.jpg")


@pytest.mark.parametrize("where", ["/dev/zero", "/dev/stdin", "/", "."])
def test_only_a_regular_file_is_read(where: str) -> None:
    for make in (Image.from_path, Video.from_path, File.from_path):
        with pytest.raises(InvalidRequestError):
            make(where)


def test_a_fifo_is_refused_without_waiting_for_data(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UnsupportedContent, match="not a regular file"):
        Image.from_path(tmp_path / "pipe")


def test_a_file_over_the_size_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.png"
    huge.touch()
    os.truncate(huge, 2 << 30)
    tracemalloc.start()
    for make in (Image.from_path, Video.from_path, File.from_path):
        with pytest.raises(LimitExceeded, match=r"2\.1 GB"):
            make(huge)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_path_that_the_operating_system_rejects_raises_a_glmv_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError):
        Image.from_path("a\0b.png")
    with pytest.raises(InvalidRequestError):
        Image.from_path(tmp_path / ("x" * 300))


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"", "nothing"), (b"hello", "text"), (b"%PDF-1.4", "PDF"), (b"<svg onload='x'/>", "SVG"),
     (b"<?xml version='1.0'?><!DOCTYPE r [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>", "SVG")],
)  # fmt: skip
def test_the_error_of_a_file_that_is_not_a_picture_names_its_type(tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "renamed.png"
    path.write_bytes(content)
    with pytest.raises(UnsupportedContent, match=f"renamed.png.*{word}"):
        Image.from_path(path)


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width // 8 + 1) * height), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_small_png_file_of_400_megapixels_is_refused_without_decoding_it() -> None:
    data = bomb(20_000, 20_000)
    assert len(data) < 60_000
    tracemalloc.start()
    with pytest.raises(LimitExceeded, match="20000x20000"):
        Image.from_bytes(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


BMP_OF_400_MEGAPIXELS = struct.pack(
    "<2sIHHIIiiHHIIiiII", b"BM", 62, 0, 0, 54, 40, 20_000, 20_000, 1, 24, 0, 0, 0, 0, 0, 0
) + bytes(8)
GIF_OF_400_MEGAPIXELS = (
    struct.pack("<6sHHBBB", b"GIF89a", 20_000, 20_000, 0, 0, 0)
    + struct.pack("<cHHHHB", b",", 0, 0, 20_000, 20_000, 0)
    + b"\2\0;"
)
WEBP_OF_268_MEGAPIXELS = b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xfe\x3f\0\xfe\x3f\0"


@pytest.mark.parametrize(
    ("data", "size"),
    [(BMP_OF_400_MEGAPIXELS, "20000x20000"), (GIF_OF_400_MEGAPIXELS, "20000x20000"), (WEBP_OF_268_MEGAPIXELS, "2684")],
    ids=["bmp", "gif", "webp"],
)
def test_a_small_bmp_gif_or_webp_file_of_too_many_pixels_is_refused_undecoded(data: bytes, size: str) -> None:
    tracemalloc.start()
    with pytest.raises(LimitExceeded, match=size):
        Image.from_base64(base64.b64encode(data))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


@pytest.mark.parametrize("size", [5, 70_000_000])
def test_base64_over_the_size_limit_is_refused_before_decoding(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "MAX_PICTURE_BYTES", 3 if size == 5 else 30_000_000)
    with pytest.raises(LimitExceeded, match="the limit is"):
        Image.from_base64("A" * (size // 4 * 4 + 4))


def test_a_picture_is_encoded_once_and_its_raw_bytes_are_freed() -> None:
    image = Image.from_bytes(picture(size=(500, 500)))
    assert image.base64() is image.base64()
    assert image.data() == base64.b64decode(image.base64())


def test_base64_is_measured_without_decoding_it() -> None:
    noise = io.BytesIO()
    Pillow.effect_noise((1200, 1200), 90).save(noise, "PNG")
    text = base64.b64encode(noise.getvalue())
    tracemalloc.start()
    image = Image.from_base64(text)
    assert (image.width, image.size) == (1200, len(noise.getvalue()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.2 * len(text)


def test_images_and_files_can_be_copied_and_pickled() -> None:
    for value in (
        Image.from_bytes(picture(), name="a.png", fit=False),
        Image.from_url("https://example.com/a.png"),
        File.from_bytes(b"x", name="a.txt"),
        File.from_id("file-1"),
    ):
        again = pickle.loads(pickle.dumps(value))
        assert again == value
        assert repr(again) == repr(value)
        assert copy.deepcopy(value) is value
        assert copy.copy(value) is value


def test_the_repr_of_an_image_is_short_and_holds_neither_data_nor_secrets() -> None:
    image = Image.from_bytes(picture("JPEG", (640, 480)), name="photo.jpg")
    assert repr(image) == f"Image(photo.jpg, JPEG 640x480, 5 kB, sha256 {image.digest})"
    text = repr(Image.from_url("https://user:pw@example.com/a/b.jpg?token=abc#frag"))
    assert text == "Image(https://example.com/a/b.jpg)"


def test_an_attribute_of_an_image_cannot_be_changed() -> None:
    image = Image.from_bytes(picture())
    with pytest.raises(AttributeError):
        image.width = 3  # type: ignore[misc]  # the point of the test
    with pytest.raises(TypeError, match="from_path"):
        Image(picture())


def test_a_pillow_picture_becomes_a_png_but_one_opened_from_a_jpeg_stays_a_jpeg() -> None:
    plain = Image.of(Pillow.new("RGBA", (30, 20), (0, 128, 0, 255)))
    assert (plain.format, plain.width, plain.height) == ("png", 30, 20)
    photo = Pillow.open(io.BytesIO(picture("JPEG")))
    assert Image.from_pil(photo).format == "jpg"


def test_an_image_is_made_from_an_image_but_not_from_a_number_or_a_file_url() -> None:
    image = Image.from_bytes(picture())
    assert Image.of(image) is image
    with pytest.raises(UnsupportedContent, match="got int"):
        Image.of(3)  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(UnsupportedContent, match="file:"):
        Image.of("file:///etc/passwd")


def test_a_file_has_its_name_and_media_type(tmp_path: Path) -> None:
    path = tmp_path / "report.docx"
    path.write_bytes(b"PK\x03\x04")
    assert File.from_path(path).mime == ("application/vnd.openxmlformats-officedocument.wordprocessingml.document")
    assert File.from_path(path).name == "report.docx"
    assert File.from_bytes(b"%PDF-1.7", name="noname").mime == "application/pdf"
    assert File.from_bytes(b"abc", name="a.txt", mime="text/x-test").mime == "text/x-test"
    assert File.from_bytes(b"abc").mime == "application/octet-stream"
    data = File.from_base64("data:text/csv;base64,YSxi", name="t.csv")
    assert (data.mime, data.data(), data.size) == ("text/csv", b"a,b", 3)
    url = File.from_url("https://example.com/a.pdf", name="a.pdf")
    assert (url.url, url.name, url.size) == ("https://example.com/a.pdf", "a.pdf", None)
    assert File.from_id("file-1").file_id == "file-1"
    with pytest.raises(InvalidRequestError):
        File.from_id(" ")


ENCODED_MP4 = base64.b64encode(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(range(256)) * 20).decode()
ENCODED_PDF = base64.b64encode(b"%PDF-1.7\n" + bytes(range(256)) * 20).decode()
ENCODED_PNG = base64.b64encode(picture()).decode()


@pytest.mark.parametrize(
    ("make", "text", "message"),
    [
        (Image.of, ENCODED_MP4, "not a picture, but a video"),
        (Image.of, ENCODED_PDF, "not a picture, but a PDF"),
        (Video.of, ENCODED_PNG, "not a video, but a picture"),
        (Image.of, base64.b64encode(bytes(range(1, 256)) * 20).decode(), "If it is base64, give it to from_base64"),
        (Image.from_path, base64.b64encode(bytes(range(256)) * 2000).decode(), "give it to from_base64"),
        (Image.from_path, "x" * 200, "give it to from_base64"),
    ],
)
def test_base64_of_other_content_is_not_reported_as_a_missing_file(make: Any, text: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        make(text)
    assert message in str(refusal.value)
    assert "does not exist" not in str(refusal.value)
    assert text[:100] not in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("value", [None, 5, b"https://example.com/a.png", ["a"], {"url": "a"}])
def test_a_value_from_a_message_is_refused_as_a_picture_if_it_is_not_a_str(value: Any) -> None:
    with pytest.raises(InvalidRequestError, match="from a message needs a str; got"):
        Image.from_message(value)


def test_the_error_of_a_url_with_another_scheme_names_constructors_to_use() -> None:
    with pytest.raises(UnsupportedContent, match=r"glmv\.Image\.from_path, for bytes glmv\.Image\.from_bytes"):
        Image.from_message("file:///a.png")
    with pytest.raises(UnsupportedContent, match=r"glmv\.Video\.from_path"):
        Video.from_url("s3://bucket/a.mp4")
