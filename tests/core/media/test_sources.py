"""Sources of a picture: base64 in many forms, open files, uploads, arrays, paths with ~."""

from __future__ import annotations

import base64
import io
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from starlette.datastructures import UploadFile

import glmv
from glmv.errors import GLMVError, InvalidRequestError, LimitExceeded, UnsupportedContent
from glmv.media import File, Image, Video, image


def picture(kind: str = "PNG", size: tuple[int, int] = (70, 50)) -> bytes:
    out = io.BytesIO()
    Pillow.effect_noise(size, 80).save(out, kind)
    return out.getvalue()


SPELLINGS: dict[str, Callable[[bytes], str]] = {
    "plain": lambda data: base64.b64encode(data).decode(),
    "lines": lambda data: base64.encodebytes(data).decode(),
    "URL-safe": lambda data: base64.urlsafe_b64encode(data).decode(),
    "escaped": lambda data: base64.b64encode(data).decode().replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
    "data URI": lambda data: "data:image/x;base64," + base64.b64encode(data).decode(),
    "doubled prefix": lambda data: "data:image/png;base64,data:image/jpeg;base64," + base64.b64encode(data).decode(),
    "blanks in front": lambda data: "\n  " + base64.b64encode(data).decode(),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_base64_text_is_recognized_by_its_first_bytes(spelling: str, kind: str) -> None:
    data = picture(kind)
    text = SPELLINGS[spelling](data)
    assert Image.of(text) == Image.from_bytes(data) == Image.from_message(text)
    assert Image.of(text).base64() == base64.b64encode(data)


def test_bytes_are_accepted_while_another_thread_imports_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    data = picture()
    monkeypatch.setitem(sys.modules, "PIL.Image", ModuleType("PIL.Image"))
    assert Image.of(data).data() == data
    with pytest.raises(UnsupportedContent, match="from_pil takes a Pillow picture"):
        Image.from_pil(data)  # type: ignore[arg-type]  # the mistake under test


def test_a_file_whose_name_could_be_base64_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(20)).decode().replace("/", "_")
    assert Image._recognizes(base64.b64decode(name.replace("_", "/")))
    Path(name).write_bytes(picture("WEBP"))
    assert Image.of(name).format == "webp"


def test_a_tilde_in_a_path_means_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a b.jpg").write_bytes(picture("JPEG"))
    assert Image.of("~/a b.jpg") == Image.from_path(Path("~/a b.jpg"))
    with pytest.raises(InvalidRequestError, match="does not exist"):
        Image.of("~/c.jpg")


def member(data: bytes) -> Any:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("scan.png", data)
    return zipfile.ZipFile(archive).open("scan.png")


def spooled(data: bytes) -> Any:
    file = tempfile.SpooledTemporaryFile(max_size=10)  # noqa: SIM115 - it is handed over open
    file.write(data)
    return file


class Unseekable:
    """A stream without `seek` whose `read` takes no size, such as the response of some HTTP libraries."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self) -> bytes:
        return self.data


FILES: dict[str, Callable[[bytes], Any]] = {
    "BytesIO": io.BytesIO,
    "member of an archive": member,
    "spooled, written a moment ago": spooled,
    "FastAPI's upload": lambda data: UploadFile(spooled(data), filename="up/load.png"),
    "without seek": Unseekable,
}


@pytest.mark.parametrize("kind", FILES)
def test_an_open_file_is_read_from_its_start(kind: str) -> None:
    data = picture()
    file = FILES[kind](data)
    if kind == "BytesIO":
        file.seek(17)
    result = Image.of(file)
    assert result == Image.from_bytes(data)
    assert Image.of(file) == result, "the stream can be read a second time"
    if isinstance(file, UploadFile):
        assert result.name == "load.png"
        file = file.file
    if hasattr(file, "close"):
        file.close()


class SmallReads(io.RawIOBase):
    """A raw stream that gives at most 100 bytes at a time, such as a pipe."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.rest[: min(100, len(buffer))]
        self.rest = self.rest[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)


def test_a_stream_that_returns_few_bytes_per_read_is_read_to_its_end() -> None:
    stream = SmallReads(picture("JPEG"))
    image = Image.of(stream)
    assert image.size == len(image.data()) > 1000
    assert image.cut_short is None
    assert not stream.closed


def test_a_read_error_of_an_open_file_is_reported() -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("scan.png", picture())
    damaged = archive.getvalue().replace(b"IDAT", b"IDOT")  # its checksum is wrong now
    with (
        zipfile.ZipFile(io.BytesIO(damaged)).open("scan.png") as broken,
        pytest.raises(InvalidRequestError, match="cannot be read as bytes"),
    ):
        Image.of(broken)


@pytest.mark.parametrize("spelling", ["plain", "lines", "data URI"])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_base64_given_as_bytes_is_recognized(kind: Any, spelling: str) -> None:
    data = picture("GIF")
    assert Image.of(kind(SPELLINGS[spelling](data).encode())) == Image.from_bytes(data)


@pytest.mark.parametrize("wrong", [b"bytes", "a/path.png", None, 7])
def test_the_error_for_an_object_of_a_wrong_type_names_that_type(wrong: Any) -> None:
    for way in (Image.from_file, Video.from_file, Image.from_pil):
        with pytest.raises(InvalidRequestError, match=type(wrong).__name__):
            way(wrong)


def test_an_open_file_that_contains_a_picture_is_refused_as_a_video(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedContent, match="not a video"):
        Video.of(io.BytesIO(picture()))


def test_an_open_file_that_cannot_be_read_as_bytes_is_refused_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Awaited:
        async def read(self) -> bytes:
            return b""

    with pytest.raises(InvalidRequestError, match=r"from_bytes\(await file\.read\(\)\)"):
        Image.of(Awaited())  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(InvalidRequestError, match=r'open\(path, "rb"\)'):
        Image.of(io.StringIO("words"))
    closed = io.BytesIO(picture())
    closed.close()
    with pytest.raises(InvalidRequestError, match="closed file"):
        Image.of(closed)
    monkeypatch.setattr(image, "MAX_PICTURE_BYTES", 1000)
    with pytest.raises(LimitExceeded, match="larger than the limit"):
        Image.of(io.BytesIO(picture()))


@pytest.mark.parametrize("array", [np.zeros((4, 5, 3), "uint8"), np.ones((9, 9))])
def test_an_array_is_refused_with_advice_to_convert_it(array: Any) -> None:
    with pytest.raises(UnsupportedContent, match=r"PIL\.Image\.fromarray"):
        Image.of(array)
    for way in (Image.from_bytes, Image.from_file, Image.from_pil):
        with pytest.raises(InvalidRequestError, match=r"PIL\.Image\.fromarray"):
            way(array)
    with pytest.raises(UnsupportedContent, match=r"PIL\.Image\.fromarray"):
        glmv.Message("user", [array, "What is it?"])


MARK = "§"
LONG = MARK * 3000
ASCII = "Qz" * 2000

WAYS: dict[str, Callable[[str], Any]] = {
    "Image.of": Image.of,
    "Image.from_path": Image.from_path,
    "Image.from_message": Image.from_message,
    "Image.from_url": Image.from_url,
    "Image.from_base64": Image.from_base64,
    "a name": lambda text: Image.from_bytes(b"junk", name=text),
    "a name of half a picture": lambda text: Image.from_bytes(picture("WEBP")[:900], name=text).fitted(
        formats=("png",)
    ),
    "a note": lambda text: str(Image.from_bytes(picture("WEBP"), name=text).fitted(formats=("png",))[1]),
    "a repr": lambda text: repr(Image.from_bytes(picture("WEBP"), name=text)),
    "a repr of a URL": lambda text: repr(Image.from_url(f"https://{text}/{text}?{text}")),
    "Video.of": Video.of,
    "Video.from_message": Video.from_message,
    "a video's name": lambda text: Video.from_bytes(b"junk", name=text),
    "File.from_path": File.from_path,
    "File.from_url": File.from_url,
}


@pytest.mark.parametrize("way", WAYS)
@given(st.sampled_from(["", "/", "./", "file:///", "data:image/png;base64,", "http://[", "~/", "ftp:", "C:\\"]))
@settings(max_examples=20)
def test_no_error_quotes_more_than_500_characters(way: str, start: str) -> None:
    for text in (start + LONG, start + ASCII, start + "iVBORw0KGgo" + ASCII):
        try:
            message = str(WAYS[way](text)) if way.startswith("a ") else ""
        except GLMVError as error:
            message = str(error)
        assert message.count(MARK) + message.count("Qz") * 2 <= 500
