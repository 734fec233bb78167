"""Requests to an upstream model: the platform's request in the format of OpenAI-compatible servers."""

from __future__ import annotations

import base64
import io
import json
import sys
from typing import Any

import pytest
from PIL import Image

from tests.emulator.upstream.conftest import KEY, request_body
from tests.support.fake_server import Server

WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def test_the_upstream_server_gets_the_upstream_model_and_the_upstream_key(before: Any, server: Server) -> None:
    glm = before()
    assert glm.chat("Hello", request_id="request-1", user_id="user-01").status_code == 200
    head, _ = server.requests[0]
    assert head.startswith("POST /v1/chat/completions HTTP/1.1")
    assert f"authorization: bearer {KEY}" in head.lower()
    assert glm.emu.api_key not in head
    assert request_body(server) == {
        "model": "qwen",
        "messages": [{"role": "user", "content": "Hello"}],
        "stream": False,
    }


def test_by_default_the_model_of_the_request_and_no_key_are_sent_upstream(before: Any, server: Server) -> None:
    glm = before(upstream_model=None, upstream_key=None, upstream=f"http://localhost:{server.port}/v1/")
    assert glm.chat("Hello", model="GLM-4.6V").status_code == 200
    assert request_body(server)["model"] == "GLM-4.6V"
    assert "authorization" not in server.requests[0][0].lower()
    assert server.requests[0][0].startswith("POST /v1/chat/completions")


def test_pictures_are_sent_upstream_as_data_uris_if_their_bytes_are_known(before: Any, server: Server) -> None:
    glm = before()
    png, jpeg = glm.drawn(), glm.drawn("blue", form="JPEG")
    foreign = "https://example.com/cat.jpg"
    pictures = [(glm.base64(png),), (f"data:image/jpeg;base64,{glm.base64(jpeg)}",), (glm.emu.host(png),), (foreign,)]
    assert glm.chat("What?", *pictures, model="glm-4.6v").status_code == 200
    png_uri, jpeg_uri = f"data:image/png;base64,{glm.base64(png)}", f"data:image/jpeg;base64,{glm.base64(jpeg)}"
    first, *rest = request_body(server)["messages"][0]["content"]
    assert first == {"type": "text", "text": "What?"}
    assert [part["image_url"] for part in rest] == [{"url": u} for u in (png_uri, jpeg_uri, png_uri, foreign)]


def test_a_request_that_the_platform_refuses_is_not_sent_upstream(before: Any, server: Server) -> None:
    glm = before()
    assert glm.code("Hello", model="glm-9v") == "1211"
    assert glm.code("Hello", temperature=2) == "1214"
    assert glm.code(("bm8gcGljdHVyZQ==",)) == "1210"
    assert glm.code("EMU-SENSITIVE-INPUT") == "1301"
    assert glm.http.post(f"{glm.emu.base_url}/chat/completions", headers={"Authorization": "x"}).status_code == 401
    assert server.requests == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"temperature": 0.3, "top_p": 0.5}, {"temperature": 0.3, "top_p": 0.5}),
        ({"do_sample": False, "temperature": 0.3, "top_p": 0.5}, {"temperature": 0}),
        ({"max_tokens": 7, "stop": ["END"]}, {"max_tokens": 7, "stop": ["END"]}),
        ({"seed": 4}, {"seed": 4}),
        ({"thinking": {"type": "disabled"}}, {"chat_template_kwargs": {"enable_thinking": False}}),
        ({"thinking": {"type": "enabled"}}, {"chat_template_kwargs": {"enable_thinking": True}}),
        ({"tools": [WEATHER]}, {"tools": [WEATHER]}),
        # Ignored by the platform for vision models, and so here.
        ({"response_format": {"type": "json_object"}}, {}),
        ({"tools": [WEATHER], "tool_choice": "required"}, {"tools": [WEATHER]}),
    ],
)
def test_options_are_sent_upstream_under_the_names_of_openai_compatible_servers(
    before: Any, server: Server, options: Any, expected: Any
) -> None:
    glm = before()
    assert glm.chat("Hello", model="glm-4.6v", **options).status_code == 200
    body = request_body(server)
    assert {name: body[name] for name in body.keys() - {"model", "messages", "stream"}} == expected


def test_response_format_is_sent_upstream_and_the_tool_web_search_is_not(before: Any, server: Server) -> None:
    glm = before()
    search = {"type": "web_search", "web_search": {"enable": True}}
    wanted = {"type": "json_object"}
    assert glm.chat("Hello", model="glm-4.6", response_format=wanted, tools=[search, WEATHER]).status_code == 200
    assert (request_body(server)["response_format"], request_body(server)["tools"]) == (wanted, [WEATHER])


def test_on_v1_fields_that_only_openai_compatible_servers_have_are_sent_upstream(before: Any, server: Server) -> None:
    glm = before()
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    body = {
        "model": "glm-4.6v",
        "messages": [glm.user("Hello")],
        "tools": [WEATHER],
        "tool_choice": "required",
        "response_format": wanted,
        "max_completion_tokens": 9,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert glm.http.post(f"{glm.emu.proxy_url}/chat/completions", json=body).status_code == 200
    forwarded = request_body(server)
    assert (forwarded["tool_choice"], forwarded["response_format"], forwarded["max_tokens"]) == ("required", wanted, 9)
    assert forwarded["chat_template_kwargs"] == {"enable_thinking": False}
    assert "max_completion_tokens" not in forwarded


def test_upstream_gets_tool_call_arguments_as_text_and_tool_results_with_their_id(before: Any, server: Server) -> None:
    glm = before()
    call = {"id": "call_7", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Berlin"}}}
    messages = [
        {"role": "system", "content": "Be brief."},
        glm.user("Weather?"),
        {"role": "assistant", "content": None, "reasoning_content": "Hm.", "tool_calls": [call]},
        {"role": "tool", "content": "rain"},
        glm.user("And?"),
    ]
    assert glm.post({"model": "glm-4.6v", "messages": messages, "tools": [WEATHER]}).status_code == 200
    system, _, assistant, tool, _ = request_body(server)["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert assistant["content"] == ""
    assert "reasoning_content" not in assistant
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {"city": "Berlin"}
    assert tool == {"role": "tool", "content": "rain", "tool_call_id": "call_7"}


def video() -> bytes:
    """A video of two seconds, red and then blue, 160 x 120 pixels."""
    av = pytest.importorskip("av", reason="the video is made with PyAV")
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for number in range(20):
            colour = (255, 0, 0) if number < 10 else (0, 0, 255)
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", (160, 120), colour))))
        container.mux(stream.encode())
    return held.getvalue()


def test_a_video_is_sent_upstream_as_pictures_of_its_frames(before: Any, server: Server) -> None:
    glm = before()
    part = {"type": "video_url", "video_url": {"url": glm.emu.host(video())}}
    assert glm.chat(part, "What changes?", model="glm-4.6v").status_code == 200
    sentence, *frames, question = request_body(server)["messages"][0]["content"]
    assert question["text"] == "What changes?"
    assert sentence["text"].startswith(f"{len(frames)} frames of a video of 2.0 s, at 0.0, ")
    pictures = [Image.open(io.BytesIO(base64.b64decode(f["image_url"]["url"].partition(",")[2]))) for f in frames]
    colours = [picture.convert("RGB").getpixel((80, 60)) for picture in pictures]
    assert (colours[0][0] > 200, colours[-1][2] > 200) == (True, True)  # red first, blue last
    assert pictures[0].size == (160, 120)


def test_a_video_url_is_sent_upstream_unchanged(before: Any, server: Server) -> None:
    part = {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}
    assert before().chat(part, "What?", model="glm-4.6v").status_code == 200
    assert request_body(server)["messages"][0]["content"][0] == part


def test_without_pyav_a_video_is_refused_and_the_message_says_what_to_install(
    before: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    glm = before()
    part = {"type": "video_url", "video_url": {"url": glm.emu.host(video())}}
    monkeypatch.setitem(sys.modules, "av", None)
    refused = glm.chat(part, "What?", model="glm-4.6v").json()["error"]
    assert refused["code"] == "1210"
    assert 'pip install "glmv[video]"' in refused["message"]
    assert server.requests == []


def file(data: bytes) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": f"data:text/plain;base64,{base64.b64encode(data).decode()}"}}


def test_a_file_is_sent_upstream_as_text_or_as_a_picture_and_otherwise_refused(before: Any, server: Server) -> None:
    glm = before()
    ask = {"model": "glm-5.3-flash"}
    assert glm.chat(file("Straße 7".encode()), "Where?", **ask).status_code == 200
    assert request_body(server)["messages"][0]["content"] == "Straße 7\nWhere?"
    assert glm.chat(file(glm.drawn()), "What?", **ask).status_code == 200
    uri = f"data:image/png;base64,{glm.base64(glm.drawn())}"
    assert request_body(server)["messages"][0]["content"][0] == {"type": "image_url", "image_url": {"url": uri}}
    count = len(server.requests)
    assert glm.code(file(b"%PDF-1.7\0\xff"), "What?", **ask) == "1210"
    elsewhere = {"type": "file", "file": {"file_url": "https://example.com/a.pdf"}}
    assert glm.code(elsewhere, "What?", **ask) == "1210"
    assert len(server.requests) == count


def test_an_uploaded_file_is_sent_upstream_as_text(before: Any, server: Server) -> None:
    glm = before()
    url, data = f"{glm.emu.base_url}/files", {"purpose": "user_data"}
    identity = glm.http.post(url, data=data, files={"file": ("a.txt", b"Total 12.50")}).json()["id"]
    part = {"type": "file", "file": {"file_id": identity}}
    assert glm.chat(part, "Total?", model="glm-5.3-flash").status_code == 200
    assert request_body(server)["messages"][0]["content"] == "Total 12.50\nTotal?"
