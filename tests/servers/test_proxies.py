"""Calls through third-party forward proxies, and errors when a proxy refuses or is unreachable."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import glmv
from tests.servers import proxies
from tests.servers.conftest import HOW
from tests.servers.proxies import ENCODED, MITMDUMP, ForwardProxy, program
from tests.support.encrypted import Encrypted
from tests.support.fake_server import WHOLE, Server

pytestmark = pytest.mark.servers

KINDS = {
    "squid": proxies.squid,
    "tinyproxy": proxies.tinyproxy,
    "microsocks": proxies.microsocks,
}
Chat = Callable[..., str]


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the client treat 127.0.0.1 as another machine, and remove the proxy variables of the shell."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("glmv.transport.proxies.is_loopback", lambda host: False)


@pytest.fixture
def plain() -> Iterator[Server]:
    running = Server()
    running.plays(lambda peer: peer.say(WHOLE))
    yield running
    running.stop()


def started(name: str, folder: Path, *, password: bool) -> Iterator[ForwardProxy]:
    assert program(name) is not None, HOW
    with KINDS[name](folder / f"{name}-{password}", password=password) as running:
        yield running


@pytest.fixture(scope="module", params=KINDS)
def proxy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForwardProxy]:
    yield from started(request.param, tmp_path_factory.mktemp("open"), password=False)


@pytest.fixture(scope="module", params=KINDS)
def locked(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForwardProxy]:
    """A proxy that requires a password."""
    yield from started(request.param, tmp_path_factory.mktemp("locked"), password=True)


@pytest.fixture(params=["blocking", "awaiting"])
def chat(request: pytest.FixtureRequest) -> Chat:
    """chat(base_url) -> the text of an answer, by a sync or async client."""

    def ask(base_url: str, **options: Any) -> str:
        settings = {"base_url": base_url, "timeout": 20, "allow_http": True, **options}
        if request.param == "blocking":
            with glmv.Client("k", **settings) as glm:
                return glm.chat("hi").text

        async def awaited() -> str:
            async with glmv.AsyncClient("k", **settings) as glm:
                return (await glm.chat("hi")).text

        return asyncio.run(awaited())

    return ask


def password_of(proxy: ForwardProxy) -> str:
    return "letters" if "tinyproxy" in proxy.folder.name else ENCODED


def test_calls_by_https_and_http_succeed_through_the_proxy(
    chat: Chat, proxy: ForwardProxy, encrypted: Encrypted, plain: Server, certificate: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setenv("ALL_PROXY", proxy.url.replace("socks5:", "socks:"))
    assert chat(encrypted.base_url) == "hello"
    assert chat(plain.base_url.replace("127.0.0.1", "localhost")) == "hello"


def test_calls_succeed_through_a_proxy_that_requires_a_password(
    chat: Chat, locked: ForwardProxy, encrypted: Encrypted, plain: Server, certificate: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    monkeypatch.setenv("ALL_PROXY", locked.with_user(password_of(locked)))
    assert chat(encrypted.base_url) == "hello"
    assert chat(plain.base_url) == "hello"


@pytest.mark.parametrize("password", ["", "wrong-word"])
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_missing_or_wrong_proxy_password_is_not_retried_and_the_error_has_advice(
    chat: Chat, locked: ForwardProxy, encrypted: Encrypted, plain: Server, password: str, scheme: str, monkeypatch: Any
) -> None:
    variable = f"{scheme.upper()}_PROXY"
    monkeypatch.setenv(variable, locked.with_user(password) if password else locked.url)
    base = encrypted.base_url if scheme == "https" else plain.base_url
    with pytest.raises(glmv.ConnectionFailed) as raised:
        chat(base)
    assert (raised.value.kind, raised.value.retryable, raised.value.attempts) == ("proxy_auth", False, 1)
    assert f"The proxy {locked.place} ({variable})" in str(raised.value)
    assert "%40" in str(raised.value)
    assert "wrong-word" not in str(raised.value)


def test_the_error_names_the_proxy_if_the_proxy_cannot_reach_the_host(
    chat: Chat, proxy: ForwardProxy, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    with pytest.raises(glmv.ConnectionFailed) as raised:
        chat("https://127.0.0.1:9/v1", max_retries=0)
    assert raised.value.retryable
    assert f"roxy {proxy.place} (HTTPS_PROXY)" in str(raised.value)


@pytest.mark.parametrize("base", ["https://glm.invalid/v1", "http://glm.invalid/v1"])
def test_the_error_names_the_proxy_if_the_proxy_cannot_resolve_the_host(
    chat: Chat, proxy: ForwardProxy, base: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    with pytest.raises(glmv.ConnectionFailed) as raised:
        chat(base, max_retries=0)
    assert (raised.value.kind, raised.value.retryable) == ("proxy", True)
    assert f"The proxy {proxy.place} (ALL_PROXY) could not connect to glm.invalid" in str(raised.value)


def test_a_call_to_a_host_that_squid_forbids_is_not_retried(
    chat: Chat, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any
) -> None:
    with proxies.squid(tmp_path_factory.mktemp("squid")) as squid:
        monkeypatch.setenv("HTTPS_PROXY", squid.url)
        with pytest.raises(glmv.ConnectionFailed, match=r"does not allow connections to forbidden\.example") as raised:
            chat("https://forbidden.example/v1")
    assert (raised.value.kind, raised.value.attempts) == ("proxy_refused", 1)


def test_an_http_request_that_squid_refuses_succeeds_with_the_variable_no_proxy(
    plain: Server, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any
) -> None:
    with proxies.squid(tmp_path_factory.mktemp("squid"), allows="deny") as squid:
        monkeypatch.setenv("HTTP_PROXY", squid.url)
        with glmv.Client("k", base_url=plain.base_url, allow_http=True, timeout=20) as glm:
            with pytest.raises(glmv.ConnectionFailed, match="does not allow") as raised:
                glm.chat("hi")
            assert (raised.value.kind, raised.value.attempts) == ("proxy_refused", 1)
            assert f"The proxy {squid.place} (HTTP_PROXY)" in str(raised.value)
            monkeypatch.setenv("NO_PROXY", "127.0.0.1")
            assert glm.chat("hi").text == "hello"


def test_the_error_of_an_http_request_that_tinyproxy_refuses_names_tinyproxy(
    chat: Chat, tmp_path_factory: pytest.TempPathFactory, monkeypatch: Any
) -> None:
    with proxies.tinyproxy(tmp_path_factory.mktemp("tinyproxy"), forbids="forbidden.example") as tinyproxy:
        monkeypatch.setenv("HTTP_PROXY", tinyproxy.url)
        with pytest.raises(glmv.ConnectionFailed, match=r"does not allow forbidden\.example") as raised:
            chat("http://forbidden.example/v1")
    assert (raised.value.kind, raised.value.attempts) == ("proxy_refused", 1)
    assert f"The proxy {tinyproxy.place} (HTTP_PROXY)" in str(raised.value)


@pytest.mark.parametrize("name", ["squid", "tinyproxy"])
@pytest.mark.parametrize("base", ["https://glm.example/v1", "http://glm.example/v1"])
def test_a_socks_call_to_an_http_proxy_fails_within_20_seconds_and_names_the_proxy(
    chat: Chat, tmp_path_factory: pytest.TempPathFactory, name: str, base: str, monkeypatch: Any
) -> None:
    with KINDS[name](tmp_path_factory.mktemp(name)) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url.replace("http:", "socks5:"))
        started = time.monotonic()
        with pytest.raises(glmv.ConnectionFailed, match="SOCKS5") as raised:
            chat(base, max_retries=0, timeout=httpx.Timeout(60, connect=1))
    assert time.monotonic() - started < 20
    assert f"roxy {proxy.place} (ALL_PROXY)" in str(raised.value)


def test_the_method_reach_returns_the_proxy_and_the_variable_that_names_the_proxy(
    proxy: ForwardProxy, plain: Server, monkeypatch: Any
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    with glmv.Client("k", base_url=plain.base_url, allow_http=True) as glm:
        assert glm.reach(20) == f"the proxy {proxy.place} (ALL_PROXY)"


def test_a_proxy_that_signs_connections_is_trusted_after_ssl_cert_file_is_set(
    encrypted: Encrypted, tmp_path: Path, monkeypatch: Any
) -> None:
    assert MITMDUMP.exists(), HOW
    with proxies.mitmproxy(tmp_path / "mitmproxy") as signing:
        monkeypatch.setenv("HTTPS_PROXY", signing.url)
        with glmv.Client("k", base_url=encrypted.base_url, timeout=20) as glm:
            with pytest.raises(glmv.ConnectionFailed, match="SSL_CERT_FILE") as raised:
                glm.chat("hi")
            assert (raised.value.kind, raised.value.attempts) == ("tls", 1)
            monkeypatch.setenv("SSL_CERT_FILE", str(signing.folder / "mitmproxy-ca-cert.pem"))
            assert glm.chat("hi").text == "hello"
