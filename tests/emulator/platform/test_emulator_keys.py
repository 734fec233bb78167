"""Checks of plain keys and signed tokens by the emulator."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import pytest


def piece(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def token(key: str, *, seconds: float = 60, unit: int = 1000, head: dict[str, str] | None = None, **more: Any) -> str:
    """A token signed as docs.bigmodel.cn describes it, without using `glmv`."""
    identity, secret = key.split(".")
    now = time.time()
    claims = {"api_key": identity, "exp": int((now + seconds) * unit), "timestamp": int(now * unit)} | more
    signed = f"{piece(head or {'alg': 'HS256', 'sign_type': 'SIGN'})}.{piece(claims)}"
    return f"{signed}.{piece(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def code(glm: Any, authorization: str) -> str:
    answer = glm.get("/models", headers={"authorization": authorization})
    if answer.status_code == 200:
        return ""
    assert answer.status_code == 401
    return str(answer.json()["error"]["code"])


def test_the_key_and_a_token_signed_with_it_are_accepted(glm: Any) -> None:
    key = glm.emu.api_key
    for header in (f"Bearer {key}", f"bearer {key}", key, f"Bearer {token(key)}", token(key)):
        assert code(glm, header) == ""


@pytest.mark.parametrize("header", ["", "Bearer"])
def test_a_request_without_a_key_is_refused_with_1001(glm: Any, header: str) -> None:
    assert code(glm, header) == "1001"


@pytest.mark.parametrize("key", ["wrong", "test-id.test-secret", "a.b.c", "a.b.c.d", "....", "x" * 5000])
def test_a_wrong_key_is_refused_with_1002(glm: Any, key: str) -> None:
    assert code(glm, f"Bearer {key}") == "1002"


def test_a_token_past_its_lifetime_or_with_times_in_seconds_is_refused_as_expired(glm: Any) -> None:
    assert code(glm, token(glm.emu.api_key, seconds=-1)) == "1003"
    assert code(glm, token(glm.emu.api_key, unit=1)) == "1003"


def test_a_token_is_checked_by_the_emulators_clock(emulate: Any) -> None:
    ahead = emulate(clock_offset=3600)
    assert code(ahead, token(ahead.emu.api_key)) == "1003"
    server_time = time.mktime(time.strptime(ahead.get("/models").headers["date"], "%a, %d %b %Y %H:%M:%S GMT"))
    assert 3500 < server_time - time.mktime(time.gmtime()) < 3700


def test_a_token_with_a_wrong_secret_or_id_or_header_is_refused(glm: Any) -> None:
    key = glm.emu.api_key
    identity = key.split(".")[0]
    assert code(glm, token(f"{identity}.other-secret")) == "1004"
    assert code(glm, token(key, api_key="other-id")) == "1002"
    assert code(glm, token(key, head={"alg": "none", "sign_type": "SIGN"})) == "1002"
    assert code(glm, token(key, head={"alg": "HS256"})) == "1002"


def test_v1_accepts_any_key_but_refuses_a_request_without_a_key(glm: Any) -> None:
    url = f"{glm.emu.proxy_url}/models"
    assert glm.http.get(url, headers={"authorization": "Bearer sk-anything"}).status_code == 200
    assert glm.http.get(url, headers={"authorization": ""}).status_code == 401


@pytest.mark.parametrize(
    "settings", [{"host": "0.0.0.0"}, {"upstream": "http://127.0.0.1:1/v1", "upstream_key": "another-servers-key"}]
)
def test_v1_requires_the_key_if_the_host_is_not_loopback_or_an_upstream_is_set(
    emulate: Any, settings: dict[str, Any]
) -> None:
    glm = emulate(**settings)
    url = f"{glm.emu.proxy_url}/models"
    answers = [
        glm.http.get(url, headers={"authorization": f"Bearer {key}"}) for key in ("sk-anything", glm.emu.api_key)
    ]
    assert [answer.status_code for answer in answers] == [401, 200]


def test_a_request_sent_again_with_a_new_token_counts_as_a_retry(glm: Any) -> None:
    glm.emu.inject("token-expired")
    for seconds in (60, 90):
        bearer = f"Bearer {token(glm.emu.api_key, seconds=seconds)}"
        glm.http.post(f"{glm.emu.base_url}/chat/completions", json=glm.hello(), headers={"authorization": bearer})
    report = glm.emu.report()
    assert [len(call.attempts) for call in report.calls] == [2]
    assert report.verdicts == []
