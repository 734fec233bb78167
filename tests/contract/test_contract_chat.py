"""Unmodified third-party clients ask the emulator about a real picture."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Run = Callable[..., Any]


def size_of(picture: Path) -> tuple[int, int]:
    with Image.open(picture) as opened:
        return opened.size


def test_the_official_clients_get_an_answer_about_a_picture(
    run: Run, official: str, glmv_emulator: Any, chart: Path
) -> None:
    got = run(official, "official.py", "vision", URL=glmv_emulator.host(chart), PICTURE=str(chart))
    width, height = size_of(chart)
    assert f"{width} x {height}" in got["whole"]["text"]
    assert got["whole"] == got["streamed"] == got["base64"] == got["data URI"]
    assert got["whole"]["finish"] == ["stop"]
    assert got["whole"]["usage"] > 0


def test_the_official_clients_strip_the_data_uri_and_send_raw_base64(
    run: Run, official: str, glmv_emulator: Any, chart: Path
) -> None:
    run(official, "official.py", "vision", URL=glmv_emulator.host(chart), PICTURE=str(chart))
    *_, raw, stripped = (exchange.body["messages"][0]["content"][0] for exchange in glmv_emulator.requests)
    assert raw == stripped
    assert raw["image_url"]["url"].startswith("<base64:")


def test_a_token_signed_by_the_official_clients_is_accepted(run: Run, official: str, glmv_emulator: Any) -> None:
    got = run(
        "openai", "openai_chat.py", GLM_KEY=run(official, "official.py", "token"), MODEL="glm-4v", URL="https://a.b/"
    )
    assert got["finish"] == ["stop"]


def test_official_clients_raise_their_usual_errors_for_refusals_of_the_emulator(run: Run, official: str) -> None:
    assert run(official, "official.py", "refused") == {
        "wrong key": ["APIAuthenticationError", 401],
        "unknown model": ["APIRequestFailedError", 400],
        "busy": ["APIReachLimitError", 429],
        "broken": ["APIInternalError", 500],
        "overloaded": ["APIServerFlowExceedError", 503],
    }


@pytest.mark.parametrize(("client", "script"), [("openai", "openai_chat.py"), ("openai-node", "openai_chat.mjs")])
def test_openai_clients_get_an_answer_from_the_platform_url_of_the_emulator(
    run: Run, client: str, script: str, glmv_emulator: Any, chart: Path
) -> None:
    got = run(client, script, MODEL="glm-4v-flash", URL=glmv_emulator.host(chart))
    width, height = size_of(chart)
    assert f"{width} x {height}" in got["text"]
    assert got["streamed"] == got["text"]
    assert got["usage"][0] == got["usage"][1] > 0
    assert got["id"].startswith("emu-")


@pytest.mark.parametrize(("client", "script"), [("openai", "openai_chat.py"), ("openai-node", "openai_chat.mjs")])
def test_openai_clients_get_an_answer_from_a_proxy_that_capitalizes_model_names(
    run: Run, client: str, script: str, glmv_emulator: Any, chart: Path
) -> None:
    url = glmv_emulator.host(chart)
    got = run(client, script, GLM_BASE=glmv_emulator.proxy_url, GLM_KEY="sk-any", MODEL="GLM-4V-Plus", URL=url)
    assert got["id"].startswith("chatcmpl-")
    assert (got["object"], got["model"]) == ("chat.completion", "GLM-4V-Plus")
    assert got["streamed"] == got["text"]
    assert got["usage"][0] == got["usage"][1] > 0
    assert got["models"] > 0


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not on this machine")
def test_curl_gets_an_answer_about_a_picture_from_a_proxy(glmv_emulator: Any, chart: Path) -> None:
    content = [
        {"type": "text", "text": "What is in the picture?"},
        {"type": "image_url", "image_url": {"url": glmv_emulator.host(chart)}},
    ]
    body = json.dumps({"model": "GLM-4V", "messages": [{"role": "user", "content": content}]})
    headers = ["-H", "Content-Type: application/json", "-H", "Authorization: Bearer sk-any"]
    done = subprocess.run(
        ["curl", "-sS", "-X", "POST", f"{glmv_emulator.proxy_url}/chat/completions", *headers, "-d", body],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    answer = json.loads(done.stdout)
    assert answer["model"] == "GLM-4V"
    assert answer["choices"][0]["message"]["content"]
