"""Notes name content that the model would not see; pictures that servers refuse are converted or refused."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image as Pillow

import glmv
from glmv.catalog.lookup import find_model
from glmv.media.urls import is_private
from glmv.options import Options
from glmv.request.build import chat_request
from glmv.request.check import check
from glmv.wire.dialect import DIALECTS

PLATFORM = "https://open.bigmodel.cn/api/paas/v4"


def notes(messages: Any, base_url: str = PLATFORM, dialect: str = "platform") -> str:
    row = find_model("glm-4.6v") if DIALECTS[dialect].limits != "none" else None
    return " ".join(check(chat_request(messages, Options(), {}), row, DIALECTS[dialect], base_url).notes)


def picture(size: tuple[int, int], kind: str = "PNG", **options: Any) -> glmv.Image:
    out = io.BytesIO()
    Pillow.new("RGB", size, "teal").save(out, kind, **options)
    return glmv.Image.from_bytes(out.getvalue())


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:8080",
        "[::1]",
        "10.1.2.3",
        "172.20.0.4:9",
        "169.254.1.1",
        "nas.local",
        "files:9000",
        "a.lan",
        "[fd00::5]",
    ],
)
@pytest.mark.parametrize("kind", [glmv.Image, glmv.Video])
def test_a_private_network_url_is_noted(host: str, kind: Any) -> None:
    result = notes(["What?", kind.from_url(f"http://{host}/x/y.jpg")])
    assert f"glmv.{kind.__name__}.from_bytes" in result
    assert "private network" in result


@pytest.mark.parametrize(
    ("base_url", "dialect", "noted"),
    [
        ("http://10.0.0.7:8000/v1", "openai", False),
        ("http://localhost:8000/v1", "vllm", False),
        ("https://llm.example.com/v1", "vllm", True),
        ("http://localhost:8000/api/paas/v4", "platform", True),
    ],
)
def test_a_private_url_is_noted_for_public_servers_and_for_the_dialect_platform(
    base_url: str, dialect: str, noted: bool
) -> None:
    result = notes(["What?", glmv.Image.from_url("http://files:9000/y.jpg")], base_url, dialect)
    assert ("private network" in result) == noted


@pytest.mark.parametrize("host", ["example.com", "8.8.8.8", "cdn.example.co.uk", "例子.测试", "[2606:4700::1111]"])
def test_a_public_url_is_not_noted(host: str) -> None:
    assert notes(["What?", glmv.Image.from_url(f"https://{host}/y.jpg")]) == ""


def test_a_trailing_dot_does_not_make_a_host_public() -> None:
    assert is_private("localhost.")
    assert not is_private("example.com.")


def test_a_call_of_a_client_returns_the_note_about_a_private_url() -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"choices": [{"finish_reason": "stop", "message": {"content": "ok"}}]})

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as http,
        glmv.Client("test-id.test-secret", base_url=PLATFORM, http_client=http) as glm,
    ):
        completion = glm.chat([glmv.Image.from_url("http://gitea:3000/a.png"), "?"])
        assert "from_bytes" in " ".join(completion.notes)


def test_a_text_that_is_only_the_path_of_a_picture_or_video_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my holiday.jpeg", "clip.mp4", "notes.txt"):
        Path(name).write_bytes(b"x")
    assert "glmv.Image.from_path" in notes("my holiday.jpeg")
    assert "glmv.Image.from_path" in notes([f" {tmp_path}/my holiday.jpeg\n", "What is this?"])
    assert "glmv.Video.from_path" in notes([{"role": "user", "content": "clip.mp4"}])
    for text in ("notes.txt", "nowhere.jpg", "Look at my holiday.jpeg", "//server/share/a.png", "\\\\server\\a.png"):
        assert notes(text) == ""


@pytest.mark.parametrize("dialect", ["vllm", "transformers"])
@pytest.mark.parametrize("size", [(1, 1), (20, 30), (400, 7)])
def test_a_tiny_picture_is_noted_for_vllm_and_transformers(dialect: str, size: tuple[int, int]) -> None:
    assert "less than 28 pixels" in notes(["?", picture(size)], "http://localhost:8000/v1", dialect)
    assert notes(["?", picture((28, 40))], "http://localhost:8000/v1", dialect) == ""
    assert notes(["?", picture(size)]) == "", "the platform takes it"


def test_a_photograph_of_many_megapixels_is_noted_for_vllm() -> None:
    data = bytearray(picture((64, 64), "JPEG").data())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 9000, 11000)  # what its header says; its pixels are not read
    result = notes(["?", glmv.Image.from_bytes(data)], "http://localhost:8000/v1", "vllm")
    assert "99 megapixels" in result
    assert "fitted(max_side=6000)" in result


def test_an_extreme_aspect_ratio_is_noted() -> None:
    assert "more than 200 times" in notes(["?", picture((9000, 30))], "http://localhost:1/v1", "vllm")
    assert "more than 200 times" in notes(["?", picture((9000, 30))])


@pytest.mark.parametrize("dialect", ["platform", "vllm", "openai"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_truncated_picture_is_refused_for_every_server(dialect: str, kind: str) -> None:
    out = io.BytesIO()
    Pillow.effect_noise((200, 200), 90).save(out, kind)
    half = out.getvalue()[: len(out.getvalue()) // 2]
    with pytest.raises(glmv.UnsupportedContent, match=f"part 1.*cut short.*{len(half):,} bytes"):
        notes(["?", glmv.Image.from_bytes(half)], dialect=dialect)
    assert notes(["?", glmv.Image.from_bytes(half, fit=False)], dialect=dialect) == ""
