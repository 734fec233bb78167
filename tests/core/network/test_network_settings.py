"""Environment variables for proxies and certificates: read when needed, followed, and named in errors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import glmv
from glmv_emulator.faults.traps import self_signed
from tests.core.network.test_proxies import Socks, Tunnel
from tests.support.encrypted import Encrypted
from tests.support.fake_server import WHOLE, Server

ELSEWHERE = "https://glm.example/api/paas/v4"
PASSWORD = "s3cret-pass@word"
ENCODED = "s3cret-pass%40word"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE"):
            monkeypatch.delenv(name)
    monkeypatch.setattr("glmv.transport.failures._answered", set())


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test server counts as a server on another machine, so that proxies apply."""
    monkeypatch.setattr("glmv.transport.proxies.is_loopback", lambda host: False)


class Saying(Tunnel):
    """A proxy or another server that always sends the same bytes."""

    def __init__(self, response: bytes) -> None:
        self.response = response
        super().__init__()

    def _join(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError), near:
            near.recv(65536)
            self.asked.append("")
            near.sendall(self.response)
            near.shutdown(socket.SHUT_WR)
            near.recv(65536)


@pytest.fixture
def saying() -> Iterator[Callable[..., Saying]]:
    running: list[Saying] = []

    def start(response: bytes) -> Saying:
        running.append(Saying(response))
        return running[-1]

    yield start
    for proxy in running:
        proxy.stop()


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# --- loopback -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LOCALHOST", "emulator.localhost", "127.0.0.9"])
@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks://127.0.0.1:9", "gopher://127.0.0.1:9", "http://[::1"])
def test_requests_to_this_machine_use_no_proxy(server: Server, name: str, proxy: str, monkeypatch: Any) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _all_here(socket.getaddrinfo))
    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/keys")
    base = f"http://{name}:{server.port}/v1"
    with glmv.Client("k", base_url=base, max_retries=0) as glm:
        assert glm.chat("hi").text == "hello"


def _all_here(real: Any) -> Any:
    return lambda host, *rest, **more: real("127.0.0.1", *rest, **more)


@pytest.mark.parametrize("host", ["[::1]", "127.1", "127.0.1", "[::ffff:127.0.0.1]", "localhost.", "0.0.0.0"])
def test_requests_to_any_spelling_of_a_loopback_address_use_no_proxy(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from glmv.transport.proxies import proxy_for

    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    assert proxy_for(f"http://{host}:8000/v1") is None
    assert proxy_for("http://127.example:8000/v1") is not None
    assert proxy_for("http://localhost.example:8000/v1") is not None


# --- which proxy, and what the error says ----------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("user", ["", f"user:{ENCODED}@"])
def test_the_error_for_an_unreachable_proxy_names_the_proxy_without_its_password(
    ask: Any, variable: str, user: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    port = closed_port()
    monkeypatch.setenv(variable, f"http://{user}127.0.0.1:{port}")
    ask.base_url = ELSEWHERE
    error = ask(max_retries=0)
    assert isinstance(error, glmv.ConnectionFailed)
    assert (error.kind, error.retryable) == ("connect", True)
    assert f"the proxy 127.0.0.1:{port} ({variable})" in str(error)
    assert "Is the server" not in str(error)
    text = f"{error!r}{error.__cause__!r}{caplog.text}"
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "proxy", "could not connect to glm.example: 502"),
        (b"HTTP/1.1 503 Service Unavailable\r\nx-squid-error: ERR_DNS_FAIL 0\r\n\r\n", "proxy", "503"),
        (b"HTTP/1.1 504 Gateway Timeout\r\n\r\n", "proxy", "504"),
        (b"HTTP/1.1 500 Unable to connect\r\n\r\n", "proxy", "500"),
        (b"HTTP/1.1 429 Too Many Requests\r\n\r\n", "proxy", "429"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "proxy_refused", "does not allow connections to glm.example"),
        (b"HTTP/1.1 405 Method Not Allowed\r\n\r\n", "proxy_refused", "is it a proxy for HTTPS?"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "proxy", "Does it speak HTTP?"),
        (b"", "proxy", "Does it speak HTTP?"),
    ],
)
def test_the_error_for_a_proxy_that_opens_no_tunnel_names_the_proxy(
    ask: Any,
    saying: Any,
    no_pauses: list[float],
    response: bytes,
    kind: str,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = saying(response)
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    ask.base_url = ELSEWHERE
    error = ask(max_retries=2)
    assert isinstance(error, glmv.ConnectionFailed)
    assert error.kind == kind
    assert f"he proxy {proxy.url[7:]} (HTTPS_PROXY)" in str(error)
    assert words in str(error)
    assert error.retryable is (kind == "proxy")
    assert error.attempts == len(proxy.asked) == (3 if kind == "proxy" else 1)


@pytest.mark.parametrize("base", [ELSEWHERE, "http://glm.example/v1"])
@pytest.mark.parametrize("user", ["", f"user:{ENCODED}@"])
def test_the_error_for_a_proxy_that_needs_a_password_says_how_to_set_the_password(
    ask: Any, saying: Any, base: str, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n"
    proxy = saying(text)
    variable = "HTTPS_PROXY" if base == ELSEWHERE else "HTTP_PROXY"
    monkeypatch.setenv(variable, proxy.url.replace("//", f"//{user}"))
    ask.base_url = base
    error = ask(allow_http=True)
    assert isinstance(error, glmv.ConnectionFailed)
    assert (error.kind, error.retryable, error.attempts, len(proxy.asked)) == ("proxy_auth", False, 1, 1)
    assert f"The proxy {proxy.url[7:]} ({variable})" in str(error)
    assert "%40" in str(error)
    assert ("user:password@" in str(error)) is (not user)
    assert "s3cret" not in str(error)


def test_a_503_page_of_an_http_proxy_raises_connection_failed(
    ask: Any, saying: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = b"HTTP/1.1 503 Service Unavailable\r\nx-squid-error: ERR_DNS_FAIL 0\r\ncontent-length: 0\r\n\r\n"
    proxy = saying(page)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    ask.base_url = "http://glm.example/v1"
    error = ask(allow_http=True, max_retries=0)
    assert isinstance(error, glmv.ConnectionFailed)
    assert (error.kind, error.retryable) == ("proxy", True)
    assert "(HTTP_PROXY) could not connect to glm.example" in str(error)


def test_a_503_that_a_proxy_passes_on_from_the_server_raises_server_error(
    ask: Any, saying: Any, monkeypatch: Any
) -> None:
    proxy = saying(b"HTTP/1.1 503 Service Unavailable\r\nvia: 1.1 squid\r\ncontent-length: 0\r\n\r\n")
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    ask.base_url = "http://glm.example/v1"
    assert isinstance(ask(allow_http=True, max_retries=0), glmv.ServerError)


HTML = b"content-type: text/html\r\ncontent-length: 15\r\n\r\n<html>no</html>"


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        (
            b"403 Forbidden\r\nserver: squid/5.7\r\nx-squid-error: ERR_ACCESS_DENIED 0\r\nvia: 1.1 s (squid)\r\n"
            + HTML,
            "proxy_refused",
        ),
        (b"403 Filtered\r\nserver: tinyproxy/1.11\r\n" + HTML, "proxy_refused"),
        (b"403 Forbidden\r\nserver: tinyproxy/1.11\r\ncontent-length: 0\r\n\r\n", "proxy_refused"),
        (b"403 Forbidden\r\nproxy-connection: close\r\n" + HTML, "proxy_refused"),
        (b"403 Forbidden\r\nproxy-status: p; error=http_request_denied\r\ncontent-length: 0\r\n\r\n", "proxy_refused"),
        (b"403 Forbidden\r\n" + HTML, "proxy_refused"),
        (b"502 Bad Gateway\r\n" + HTML, "proxy"),
        (b"502 Bad Gateway\r\nvia: 1.1 gate\r\n" + HTML, "proxy"),
        (b"502 Bad Gateway\r\ncontent-length: 0\r\n\r\n", "proxy"),
        (b"504 Gateway Timeout\r\n" + HTML, "proxy"),
    ],
)
def test_the_error_for_a_proxy_that_refuses_an_http_request_names_the_proxy(
    ask: Any, saying: Any, response: bytes, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = saying(b"HTTP/1.1 " + response)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    ask.base_url = "http://glm.example/v1"
    error = ask(allow_http=True, max_retries=0)
    assert isinstance(error, glmv.ConnectionFailed)
    assert (error.kind, error.retryable) == (kind, kind == "proxy")
    assert str(error).startswith(f"The proxy {proxy.url[7:]} (HTTP_PROXY) ")
    assert "glm.example" in str(error)
    assert "add it to NO_PROXY" in str(error)


@pytest.mark.parametrize("status", [b"403 Forbidden", b"502 Bad Gateway", b"503 Service Unavailable"])
def test_an_error_in_the_servers_format_is_not_blamed_on_the_proxy(
    ask: Any, saying: Any, status: bytes, monkeypatch: Any
) -> None:
    body = b'{"error":{"code":"1220","message":"not for this key"}}'
    head = b"\r\nvia: 1.1 squid\r\nproxy-connection: close\r\ncontent-type: application/json\r\ncontent-length: "
    proxy = saying(b"HTTP/1.1 " + status + head + str(len(body)).encode() + b"\r\n\r\n" + body)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    ask.base_url = "http://glm.example/v1"
    error = ask(allow_http=True, max_retries=0)
    assert not isinstance(error, glmv.ConnectionFailed)
    assert error.code == "1220"


def test_a_request_that_a_proxy_refuses_for_its_size_raises_limit_exceeded(
    ask: Any, saying: Any, monkeypatch: Any
) -> None:
    proxy = saying(b"HTTP/1.1 413 Too Large\r\nx-squid-error: ERR_TOO_BIG 0\r\n" + HTML)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    ask.base_url = "http://glm.example/v1"
    assert isinstance(ask(allow_http=True, max_retries=0), glmv.LimitExceeded)


@pytest.mark.parametrize("response", [b"403 Forbidden\r\nserver: squid\r\n" + HTML, b"502 Bad Gateway\r\n" + HTML])
@pytest.mark.parametrize("awaited", [False, True])
def test_a_correction_of_no_proxy_between_two_calls_of_a_client_takes_effect(
    saying: Any, server: Server, proxied: None, response: bytes, awaited: bool, monkeypatch: Any
) -> None:
    proxy = saying(b"HTTP/1.1 " + response)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    options: dict[str, Any] = {"base_url": f"http://localhost:{server.port}/v1", "allow_http": True, "max_retries": 0}

    async def ask_twice() -> None:
        async with glmv.AsyncClient("k", **options) as glm:
            with pytest.raises(glmv.ConnectionFailed, match="HTTP_PROXY"):
                await glm.chat("hi")
            monkeypatch.setenv("NO_PROXY", "localhost")
            assert (await glm.chat("hi")).text == "hello"

    if awaited:
        asyncio.run(ask_twice())
        return
    with glmv.Client("k", **options) as glm:
        with pytest.raises(glmv.ConnectionFailed, match="HTTP_PROXY"):
            glm.chat("hi")
        monkeypatch.setenv("NO_PROXY", "localhost")
        assert glm.chat("hi").text == "hello"


@pytest.mark.parametrize("base", [ELSEWHERE, "http://glm.example/v1"])
@pytest.mark.parametrize("scheme", ["socks5", "http"])
def test_a_call_through_a_silent_proxy_ends_at_the_connect_or_read_timeout(
    ask: Any, base: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpx = pytest.importorskip("httpx")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{port}")
        ask.base_url = base
        limits = httpx.Timeout(
            0.2, connect=0.2, read=0.2 if (scheme, base) == ("http", "http://glm.example/v1") else 60
        )
        error = ask(allow_http=True, max_retries=0, timeout=limits)
    assert isinstance(error, glmv.RequestTimeout)
    if (scheme, base) == ("http", "http://glm.example/v1"):  # it is asked for the answer itself
        assert error.kind == "read_timeout"
        return
    assert error.kind == "connect_timeout"
    assert f"The proxy 127.0.0.1:{port} (ALL_PROXY) did not connect to glm.example" in str(error)
    assert "within 0.2 s (connect timeout)" in str(error)
    assert ("If it is an HTTP proxy, write http:// in ALL_PROXY" in str(error)) is (scheme == "socks5")


OPEN = "https://open.bigmodel.cn/api/paas/v4"


@pytest.mark.parametrize(
    ("value", "url", "bypassed"),
    [
        ("open.bigmodel.cn", OPEN, True),
        ("OPEN.BigModel.cn.", OPEN, True),
        ("bigmodel.cn", OPEN, True),
        (".bigmodel.cn", OPEN, True),
        ("*.bigmodel.cn", OPEN, True),
        ("*bigmodel.cn", OPEN, True),
        ("*.bigmodel.cn", "https://bigmodel.cn/v4", False),
        ("model.cn", OPEN, False),
        ("*", OPEN, True),
        ("a.example,*", OPEN, True),
        ("https://open.bigmodel.cn", OPEN, True),
        ("https://open.bigmodel.cn/", OPEN, True),
        ("http://open.bigmodel.cn", OPEN, False),
        ("https://bigmodel.cn", OPEN, False),
        ("all://open.bigmodel.cn", OPEN, True),
        ("all://*.bigmodel.cn", OPEN, True),
        ("all://*bigmodel.cn", OPEN, True),
        ("https://", OPEN, True),
        ("open.bigmodel.cn:443", OPEN, True),
        ("open.bigmodel.cn:8443", OPEN, False),
        ("https://open.bigmodel.cn:443", OPEN, True),
        ("glm.example:8000", "http://glm.example:8000/v1", True),
        ("glm.example:8000", "http://glm.example/v1", False),
        ("10.0.0.0/8", "http://10.1.2.3:8000/v1", True),
        ("10.0.0.0/8", "http://11.1.2.3:8000/v1", False),
        ("10.1.2.3", "http://10.1.2.3:8000/v1", True),
        ("10.1.2.3:8000", "http://10.1.2.3:8000/v1", True),
        ("10.1.2.3:80", "http://10.1.2.3:8000/v1", False),
        ("fd00::1", "http://[fd00::1]:8000/v1", True),
        ("[fd00::1]", "http://[fd00::1]:8000/v1", True),
        ("[FD00:0::1]:8000", "http://[fd00::1]:8000/v1", True),
        ("fd00::/8", "http://[fd00::1]:8000/v1", True),
        ("all://[fd00::1]", "http://[fd00::1]:8000/v1", True),
        ("a.example , open.bigmodel.cn", OPEN, True),
        ("a.example open.bigmodel.cn", OPEN, True),
        (" a.example,\topen.bigmodel.cn ,", OPEN, True),
        ("", "http://ip6-localhost:8000/v1", True),
        ("", "http://localhost.localdomain:8000/v1", True),
        ("ip6-localhost,localhost.localdomain", OPEN, False),
        ("my-box", "http://my-box:8000/v1", True),
        ("10.*", "http://10.1.2.3:8000/v1", False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_the_variable_no_proxy_accepts_hosts_wildcards_ports_and_networks(
    value: str, url: str, bypassed: bool, name: str, monkeypatch: Any
) -> None:
    from glmv.transport.proxies import proxy_for

    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv(name, value)
    assert (proxy_for(url) is None) is bypassed


@pytest.mark.parametrize(
    "value",
    [
        "10.*",
        "a*b.example",
        "10.0.0.0/99",
        "ftp://h",
        "a.example;b.example",
        "h:port",
        "h:0",
        "h:",
        "u@h",
        "h/path",
        "..",
        "?",
    ],
)
def test_invalid_entries_of_the_variable_no_proxy_are_reported_and_ignored(value: str, monkeypatch: Any) -> None:
    from glmv.transport.proxies import proxy_for, proxy_variables

    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", f"good.example,{value}")
    ignored = [sentence for sentence in proxy_variables() if sentence.endswith("is ignored")]
    assert ignored == [f"NO_PROXY contains {value!r}, which is not a host and is ignored"]
    assert proxy_for(OPEN) is not None
    assert proxy_for("https://good.example/v1") is None


@pytest.mark.parametrize("scheme", ["socks", "socks5", "socks5h"])
def test_a_proxy_address_that_begins_with_socks_is_used_as_socks5(
    ask: Any, server: Server, proxied: None, scheme: str, monkeypatch: Any
) -> None:
    tunnel = Socks()
    monkeypatch.setenv("ALL_PROXY", tunnel.url.replace("socks5", scheme) + "/")
    ask.base_url = f"http://localhost:{server.port}/v1"
    assert ask(max_retries=0, allow_http=True).text == "hello"
    tunnel.stop()
    assert tunnel.asked == [f"CONNECT localhost:{server.port}"]


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (b"\x05\xff", "proxy_auth", "requires a user name and a password"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "proxy", "SOCKS5"),
        (b"", "proxy", "SOCKS5"),
    ],
)
def test_an_error_of_a_socks_proxy_names_the_proxy(
    ask: Any, saying: Any, response: bytes, kind: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = saying(response)
    monkeypatch.setenv("ALL_PROXY", proxy.url.replace("http", "socks5"))
    ask.base_url = ELSEWHERE
    error = ask(max_retries=0)
    assert isinstance(error, glmv.ConnectionFailed)
    assert error.kind == kind
    assert f"The proxy {proxy.url[7:]} (ALL_PROXY)" in str(error)
    assert words in str(error)


def test_the_error_for_an_https_proxy_without_tls_suggests_http(
    ask: Any, saying: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("http:", "https:"))
    ask.base_url = ELSEWHERE
    error = ask()
    assert isinstance(error, glmv.ConnectionFailed)
    assert (error.kind, error.attempts) == ("tls", 1)
    assert "write http:// instead of https:// in HTTPS_PROXY" in str(error)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("gopher://u:canary-word@proxy.example:1", "begins with gopher://"),
        ("socks4://u:canary-word@proxy.example:1", "begins with socks4://"),
        ("http://u:canary#word@proxy.example:1", "percent-encoded"),
        ("http://u:canary/word@proxy.example:1", "percent-encoded"),
        ("http://u:canary-word@proxy.example:canary", "http://host:port"),
        ("http://", "http://host:port"),
        ("http:/proxy.example:1", "two slashes"),
        ("http:proxy.example:1", "two slashes"),
        ("socks5:/u:canary-word@proxy.example:1", "two slashes"),
        ("http:///proxy.example", "it has no host"),
        ("http://:3128", "it has no host"),
        (":3128", "it has no host"),
        ("http://u:canary-word@:3128", "it has no host"),
        ("http://a b:1", "characters that are not allowed"),
        ("http://a,b:1", "characters that are not allowed"),
        ("'http://proxy.example:1'", "cannot be used"),
        ("proxy.example:65536", "1 to 65535"),
        ("http://proxy.example:0", "1 to 65535"),
        ("http://proxy.example:-1", "1 to 65535"),
        ("http://[::1:3128", "1 to 65535"),
    ],
)
def test_the_error_for_an_unusable_proxy_address_names_the_variable_and_the_fault(
    ask: Any, value: str, words: str, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", value)
    ask.base_url = ELSEWHERE
    error = ask()
    assert isinstance(error, glmv.InvalidRequestError)
    assert error.kind == "settings"
    assert "HTTPS_PROXY" in str(error)
    assert words in str(error)
    assert "canary" not in str(error)


def test_the_error_for_a_missing_socksio_names_the_extra_to_install(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("ALL_PROXY", "socks://127.0.0.1:7890/")
    ask.base_url = ELSEWHERE
    error = ask()
    assert isinstance(error, glmv.InvalidRequestError)
    assert str(error) == 'The proxy 127.0.0.1:7890 (ALL_PROXY) needs the package socksio: pip install "glmv[socks]".'


def test_a_correction_of_http_proxy_between_two_calls_of_a_client_takes_effect(
    server: Server, proxied: None, monkeypatch: Any
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    with glmv.Client("k", base_url="http://glm.example/v1", allow_http=True, max_retries=0) as glm:
        with pytest.raises(glmv.ConnectionFailed, match="HTTP_PROXY"):
            glm.chat("hi")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
        assert glm.chat("hi").text == "hello"


def test_an_http_client_that_is_passed_in_keeps_its_own_proxy(saying: Any) -> None:
    httpx = pytest.importorskip("httpx")
    proxy = saying(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
    with httpx.Client(proxy=proxy.url) as http:
        with pytest.raises(glmv.ConnectionFailed, match=r"The HTTP client's own proxy .*%40") as raised:
            glmv.Client("k", base_url=ELSEWHERE, http_client=http).chat("hi")
        assert (raised.value.kind, raised.value.attempts) == ("proxy_auth", 1)
        assert not http.is_closed


# --- certificates --------------------------------------------------------------------------------------------------

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate")


def stale(tmp_path: Path, what: str) -> str:
    path = tmp_path / "ca.pem"
    match what:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("this is no certificate")
        case "empty":
            path.write_bytes(b"")
        case "unreadable":
            path.write_text("x")
            path.chmod(0)
    return str(path)


@pytest.mark.parametrize(
    ("variable", "what", "words"),
    [
        ("SSL_CERT_FILE", "missing", "does not exist"),
        ("SSL_CERT_FILE", "folder", "is a folder"),
        ("SSL_CERT_FILE", "text", "no certificates in PEM form"),
        ("SSL_CERT_FILE", "empty", "no certificates in PEM form"),
        pytest.param(
            "SSL_CERT_FILE", "unreadable", "cannot be read",
            marks=pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads all files"),
        ),
        ("SSL_CERT_DIR", "missing", "does not exist"),
        ("SSL_CERT_DIR", "text", "is not a folder"),
        ("SSLKEYLOGFILE", "folder", "cannot be written"),
        ("SSLKEYLOGFILE", "in a missing folder", "cannot be written"),
    ],
)  # fmt: skip
def test_the_error_for_an_unusable_certificate_or_key_log_file_names_its_variable(
    ask: Any, tmp_path: Path, variable: str, what: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = stale(tmp_path, what)
    path = f"{path}/more" if what == "in a missing folder" else path
    monkeypatch.setenv(variable, path)
    ask.base_url = ELSEWHERE
    error = ask()
    assert isinstance(error, glmv.InvalidRequestError)
    assert error.kind == "settings"
    assert str(error).startswith(f"{variable} names {path!r}, which ")
    assert words in str(error)
    assert error.__cause__ is None
    assert "\n" not in str(error)


@needs_openssl
@pytest.mark.parametrize("stored", [False, True])
def test_the_error_for_an_untrusted_certificate_advises_to_correct_ssl_cert_file(
    encrypted: Encrypted, certificate: tuple[Path, Path], tmp_path: Path, stored: bool, monkeypatch: Any
) -> None:
    other, _ = self_signed(tmp_path)
    mine = tmp_path / "mine.pem"
    if stored:  # the variable stays, its file is replaced
        shutil.copy(other, mine)
        monkeypatch.setenv("SSL_CERT_FILE", str(mine))
    with glmv.Client("k", base_url=encrypted.base_url) as glm:
        with pytest.raises(glmv.ConnectionFailed, match="SSL_CERT_FILE") as raised:
            glm.chat("hi")
        assert (raised.value.kind, raised.value.attempts) == ("tls", 1)
        shutil.copy(certificate[0], mine)
        os.utime(mine, ns=(1, 1))
        monkeypatch.setenv("SSL_CERT_FILE", str(mine))
        assert glm.chat("hi").text == "hello"
        with glmv.Client("k", base_url=encrypted.base_url) as second:
            assert second.chat("hi").text == "hello"


@needs_openssl
async def test_a_correction_of_ssl_cert_file_between_two_async_calls_takes_effect(
    encrypted: Encrypted, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with glmv.AsyncClient("k", base_url=encrypted.base_url) as glm:
        with pytest.raises(glmv.ConnectionFailed, match="SSL_CERT_FILE"):
            await glm.chat("hi")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert (await glm.chat("hi")).text == "hello"


@needs_openssl
def test_the_certificate_of_a_tls_proxy_is_trusted_if_ssl_cert_file_names_it(
    server: Server, certificate: tuple[Path, Path], proxied: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    proxy = Encrypted(context)
    proxy.plays(lambda peer: peer.say(WHOLE))
    monkeypatch.setenv("HTTP_PROXY", f"https://localhost:{proxy.port}")
    with glmv.Client("k", base_url="http://glm.example/v1", allow_http=True, max_retries=0) as glm:
        with pytest.raises(glmv.ConnectionFailed, match=r"certificate of the proxy localhost:\d+ \(HTTP_PROXY\)"):
            glm.chat("hi")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
        assert glm.chat("hi").text == "hello"
    proxy.stop()


# --- names that cannot be looked up --------------------------------------------------------------------------------

NO_SUCH_NAME = {
    "Linux": socket.EAI_NONAME,
    "Linux, no address": getattr(socket, "EAI_NODATA", -5),
    "macOS": 8,
    "Windows": 11001,
    "Windows, no address": 11004,
}
NOT_NOW = {"Linux": socket.EAI_AGAIN, "SERVFAIL": socket.EAI_FAIL, "Windows": 11002}


def offline(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def fails(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(number, "nodename nor servname provided, or not known")

    monkeypatch.setattr(socket, "getaddrinfo", fails)


@pytest.mark.parametrize("number", NO_SUCH_NAME.values(), ids=NO_SUCH_NAME)
@pytest.mark.parametrize("key", ["ZHIPUAI_API_KEY", "ZAI_API_KEY"])
def test_a_failed_lookup_of_the_platform_is_retried_and_the_error_blames_the_network(
    ask: Any, no_pauses: list[float], number: int, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(monkeypatch, number)
    for name in ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(key, "test-id.test-secret")
    ask.base_url = None
    error = ask(api_key=None)
    assert isinstance(error, glmv.ConnectionFailed)
    assert (error.kind, error.retryable, error.attempts) == ("dns", True, 4)
    assert "Check the network, DNS and VPN." in str(error)
    assert "base_url" not in str(error)


@pytest.mark.parametrize("number", NOT_NOW.values(), ids=NOT_NOW)
def test_a_temporary_failure_of_name_lookup_is_retried(
    ask: Any, no_pauses: list[float], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(monkeypatch, number)
    ask.base_url = ELSEWHERE
    error = ask()
    assert (error.kind, error.retryable, error.attempts) == ("dns", True, 4)
    assert "base_url" in str(error)


@pytest.mark.parametrize("number", NO_SUCH_NAME.values(), ids=NO_SUCH_NAME)
@pytest.mark.parametrize("variable", ["base_url", "GLMV_BASE_URL"])
def test_an_unknown_host_is_not_retried_and_the_error_names_the_setting_to_check(
    ask: Any, number: int, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offline(monkeypatch, number)
    ask.base_url = ELSEWHERE
    if variable != "base_url":
        monkeypatch.setenv(variable, ELSEWHERE)
        ask.base_url = None
    error = ask()
    assert (error.kind, error.retryable, error.attempts) == ("no_such_host", False, 1)
    assert f"check {variable}, the network, DNS and VPN" in str(error)


def test_a_failed_lookup_of_a_host_that_answered_before_is_retried(
    ask: Any, server: Server, no_pauses: Any, monkeypatch: Any
) -> None:
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", _all_here(real))
    ask.base_url = f"http://glm.example:{server.port}/v1"
    assert ask(allow_http=True).text == "hello"
    offline(monkeypatch, socket.EAI_NONAME)
    error = ask(allow_http=True)
    assert (error.kind, error.retryable, error.attempts) == ("dns", True, 4)
    ask.base_url = f"http://glm2.example:{server.port}/v1"
    assert ask(allow_http=True).kind == "no_such_host"


def test_the_error_for_a_proxy_with_an_unknown_host_names_the_proxy(ask: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch, socket.EAI_NONAME)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    ask.base_url = None
    error = ask(api_key="test-id.test-secret")
    assert error.kind == "no_such_host"
    assert "the proxy proxy.example:3128 (HTTPS_PROXY)" in str(error)
    assert "check HTTPS_PROXY, the network, DNS and VPN" in str(error)


@pytest.mark.parametrize("number", [101, 113, 10051])
def test_the_error_for_an_unreachable_network_blames_the_network_and_not_the_server(
    ask: Any, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> Any:
        raise OSError(number, "Network is unreachable")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    ask.base_url = ELSEWHERE
    error = ask(max_retries=0)
    assert (error.kind, error.retryable) == ("connect", True)
    assert "Check the network and VPN." in str(error)
    assert "Is the server" not in str(error)


def test_all_threads_of_a_client_use_a_proxy_setting_corrected_before_their_start(
    server: Server, proxied: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    results: list[Any] = []
    with glmv.Client("k", base_url="http://glm.example/v1", allow_http=True, max_retries=0) as glm:
        with pytest.raises(glmv.ConnectionFailed):
            glm.chat("hi")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
        threads = [threading.Thread(target=lambda: results.append(glm.chat("hi").text)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert results == ["hello"] * 8


def test_user_and_password_are_sent_to_a_socks_proxy(ask: Any, server: Server, proxied: None, monkeypatch: Any) -> None:
    tunnel = LoginSocks()
    monkeypatch.setenv("ALL_PROXY", tunnel.url.replace("//", f"//user:{ENCODED}@"))
    ask.base_url = f"http://localhost:{server.port}/v1"
    assert ask(max_retries=0, timeout=5).text == "hello"
    tunnel.stop()
    assert tunnel.logins == [("user", PASSWORD)]


class LoginSocks(Socks):
    """A SOCKS5 proxy that requires a user name and a password (RFC 1929)."""

    def __init__(self) -> None:
        self.logins: list[tuple[str, str]] = []
        super().__init__()

    def _port(self, near: socket.socket) -> int:
        with near.makefile("rb") as request:
            _, methods = request.read(2)
            request.read(methods)
            near.sendall(b"\x05\x02")
            user = request.read(request.read(2)[1])
            password = request.read(request.read(1)[0])
            self.logins.append((user.decode(), password.decode()))
            near.sendall(b"\x01\x00")
            request.read(4)
            name = request.read(request.read(1)[0]).decode()
            port = int.from_bytes(request.read(2))
        self.asked.append(f"CONNECT {name}:{port}")
        return port
