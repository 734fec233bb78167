"""A key becomes an Authorization header, unchanged or as a signed token with a limited lifetime."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

import glmv
from glmv.transport.auth import Signer as _Signer
from glmv.transport.auth import sign as _sign

KEY = "test-id.test-secret"


def Signer(key: str, *, signed: bool, ttl: float) -> _Signer:  # noqa: N802 - replaces the class
    return _Signer(SecretStr(key), signed=signed, ttl=ttl)


def sign(key: str, now: float, ttl: float) -> str:
    return _sign(SecretStr(key), now, ttl)


# What `generate_token` of zhipuai 2.1.5 and of zai-sdk 0.2.3 made of this key at 1700000000.25 s.
VECTOR = (
    "eyJhbGciOiJIUzI1NiIsInNpZ25fdHlwZSI6IlNJR04iLCJ0eXAiOiJKV1QifQ",
    "eyJhcGlfa2V5IjoidGVzdC1pZCIsImV4cCI6MTcwMDAwMDIxMDI1MCwidGltZXN0YW1wIjoxNzAwMDAwMDAwMjUwfQ",
    "2-RKiBjahRKxTkvWyLzpVjUBjo2M27DG4I-0S1Tpb9g",
)


def decoded(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))


def test_a_signed_token_equals_that_of_the_official_sdks_byte_for_byte() -> None:
    assert sign(KEY, 1700000000.25, 210) == ".".join(VECTOR)


def test_a_signed_token_has_its_times_in_milliseconds() -> None:
    header, payload, _ = sign(KEY, 1700000000.25, 60).split(".")
    assert decoded(header) == {"alg": "HS256", "sign_type": "SIGN", "typ": "JWT"}
    assert decoded(payload) == {"api_key": "test-id", "timestamp": 1700000000250, "exp": 1700000060250}


@given(
    st.text(st.characters(codec="ascii", exclude_characters=". "), min_size=1),
    st.text(st.characters(codec="ascii", exclude_characters=". "), min_size=1),
    st.floats(0, 4e9),
    st.floats(1, 1e6),
)
def test_any_key_signs_a_token_that_its_secret_verifies(name: str, secret: str, now: float, ttl: float) -> None:
    head, _, signature = sign(f"{name}.{secret}", now, ttl).rpartition(".")
    expected = hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == expected
    assert decoded(head.split(".")[1])["api_key"] == name


@pytest.mark.parametrize("key", ["nodot", "a.b.c", ".b", "a.", "."])
def test_a_key_that_cannot_sign_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(glmv.AuthenticationError, match=r"id\.secret") as caught:
        sign(key, 0, 210)
    assert "nodot" not in str(caught.value)


def test_a_plain_key_without_a_dot_is_sent_as_the_bearer_token() -> None:
    assert Signer("anything", signed=False, ttl=210).header(0) == "Bearer anything"


@pytest.mark.parametrize("ttl", [0, -1])
def test_a_token_lifetime_of_zero_or_less_sends_the_plain_key(ttl: float) -> None:
    signer = Signer(KEY, signed=True, ttl=ttl)
    assert signer.header(0) == f"Bearer {KEY}"
    assert not signer.signs


def test_a_token_is_reused_until_shortly_before_its_end() -> None:
    signer = Signer(KEY, signed=True, ttl=200)
    first = signer.header(1000)
    assert signer.header(1100) == first
    assert signer.header(1199) != first
    exp = decoded(signer.header(1199).split(".")[1])["exp"]
    assert exp == 1_399_000


def test_a_new_token_is_signed_after_the_clock_was_set_back() -> None:
    signer = Signer(KEY, signed=True, ttl=200)
    assert signer.header(1000) != signer.header(500)


def test_a_new_token_is_signed_after_forget_was_called() -> None:
    signer = Signer(KEY, signed=True, ttl=200)
    first = signer.header(1000)
    signer.forget()
    assert signer.header(1001) != first


@pytest.mark.parametrize("key", ["a b", "a\nb", "schlüssel.x", "a\x00b", "\u200bkey.x"])
def test_a_key_with_invalid_header_characters_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(glmv.AuthenticationError, match="copy it again") as caught:
        Signer(key, signed=False, ttl=0)
    assert key not in str(caught.value)


def test_spaces_around_a_key_are_removed() -> None:
    assert Signer(f"  {KEY}\n", signed=False, ttl=0).header(0) == f"Bearer {KEY}"


def test_neither_the_key_nor_its_token_is_ever_shown() -> None:
    signer = Signer(KEY, signed=True, ttl=210)
    token = signer.header(1000)
    for text in (repr(signer), str(signer), signer.account, repr(glmv.Client(KEY)), repr(glmv.Client(KEY).settings)):
        assert "secret" not in text.replace("SecretStr", "")
        assert token not in text


def test_signers_share_an_account_if_and_only_if_they_have_the_same_key() -> None:
    assert Signer(KEY, signed=True, ttl=9).account == Signer(KEY, signed=False, ttl=0).account
    assert Signer(KEY, signed=False, ttl=0).account != Signer("other.key", signed=False, ttl=0).account


ANSWER = {"choices": [{"finish_reason": "stop", "message": {"content": "hi"}}]}
EXPIRED = {"error": {"code": "1003", "message": "token expired"}}


def client_and_headers(responses: list[httpx.Response], **options: Any) -> tuple[glmv.Client, list[str]]:
    """A client whose platform sends these responses, and the Authorization headers that it receives."""
    script, headers = list(responses), []

    def answer(request: httpx.Request) -> httpx.Response:
        headers.append(request.headers["authorization"])
        return script.pop(0)

    http = httpx.Client(transport=httpx.MockTransport(answer))
    return glmv.Client(KEY, http_client=http, **options), headers


def test_a_client_sends_the_same_signed_token_until_it_expires() -> None:
    client, headers = client_and_headers([httpx.Response(200, json=ANSWER)] * 2, auth="token", token_ttl=3600)
    client.chat("hi")
    client.chat("hi")
    assert decoded(headers[0].split()[1].split(".")[1])["api_key"] == "test-id"
    assert headers[0] == headers[1]


def test_an_expired_token_is_replaced_once_and_the_call_is_repeated() -> None:
    client, headers = client_and_headers(
        [httpx.Response(401, json=EXPIRED), httpx.Response(200, json=ANSWER)], auth="token"
    )
    answer = client.chat("hi")
    assert (answer.text, answer.attempts, len(headers)) == ("hi", 2, 2)


def test_a_token_that_is_refused_twice_raises_an_authentication_error() -> None:
    client, headers = client_and_headers([httpx.Response(401, json=EXPIRED)] * 2, auth="token")
    with pytest.raises(glmv.AuthenticationError) as caught:
        client.chat("hi")
    assert (caught.value.code, caught.value.attempts, len(headers)) == ("1003", 2, 2)


def test_a_plain_key_that_is_refused_is_not_sent_again() -> None:
    client, headers = client_and_headers([httpx.Response(401, json=EXPIRED)])
    with pytest.raises(glmv.AuthenticationError):
        client.chat("hi")
    assert headers == [f"Bearer {KEY}"]


def test_the_error_of_a_refused_token_says_how_wrong_the_local_clock_is() -> None:
    late = {"date": "Mon, 01 Jan 2001 00:00:00 GMT"}
    client, _ = client_and_headers([httpx.Response(401, json=EXPIRED, headers=late)] * 2, auth="token")
    with pytest.raises(glmv.AuthenticationError, match=r"clock is \d+ s ahead of"):
        client.chat("hi")


def test_a_key_without_a_dot_fails_only_when_a_token_is_signed() -> None:
    http = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER)))
    assert glmv.Client("proxykey", http_client=http).chat("hi").text == "hi"
    with pytest.raises(glmv.AuthenticationError, match=r"id\.secret"):
        glmv.Client("proxykey", auth="token", http_client=http).chat("hi")
