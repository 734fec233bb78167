"""Calls through a proxy: one that forwards requests, and one that opens a tunnel for HTTPS."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import glmv
from tests.support.encrypted import Encrypted
from tests.support.fake_server import Gone, Peer, Server

KEY = "test-id.test-secret"
ROUTES = ["direct", "tunnel", "SOCKS", "passed in: httpx", "passed in: httpx2"]


class Tunnel:
    """A proxy that supports only CONNECT."""

    scheme = "http"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{self.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        with contextlib.suppress(OSError, Gone), near:
            port = self._port(near)
            with socket.create_connection(("127.0.0.1", port)) as far:
                self._accepted(near)
                back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
                back.start()
                self._pump(near, far)
                back.join()

    def _port(self, near: socket.socket) -> int:
        """Read the requested port of this machine."""
        data = b""
        while b"\r\n\r\n" not in data:
            if not (more := near.recv(65536)):
                raise Gone
            data += more
        method, target = data.decode().split()[:2]
        self.asked.append(f"{method} {target}")
        return int(target.rpartition(":")[2])

    def _accepted(self, near: socket.socket) -> None:
        near.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Socks(Tunnel):
    """A SOCKS5 proxy without a password (RFC 1928) that resolves host names."""

    scheme = "socks5"

    def _port(self, near: socket.socket) -> int:
        with near.makefile("rb") as request:
            _, methods = request.read(2)
            request.read(methods)
            near.sendall(b"\x05\x00")
            _, command, _, kind, length = request.read(5)
            assert (command, kind) == (1, 3), "not CONNECT to a name"
            name = request.read(length).decode()
            port = int.from_bytes(request.read(2))
        self.asked.append(f"CONNECT {name}:{port}")
        return port

    def _accepted(self, near: socket.socket) -> None:
        near.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")


class SilentSocks(Socks):
    """A SOCKS5 proxy that never reports whether it has connected."""

    def _accepted(self, near: socket.socket) -> None:
        """Send no reply to CONNECT."""


@pytest.fixture
def trust(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate[0])
    monkeypatch.setattr("glmv.transport.http_client.tls_context", lambda: context)
    return context


@pytest.fixture
def route(request: pytest.FixtureRequest) -> str:
    return str(getattr(request, "param", "tunnel"))


@pytest.fixture
def tunnel(route: str) -> Iterator[Tunnel]:
    running = {"SOCKS": Socks, "silent SOCKS": SilentSocks}.get(route, Tunnel)()
    yield running
    running.stop()


def options(route: str, kind: str, trust: ssl.SSLContext, tunnel: Tunnel, monkeypatch: Any) -> dict[str, Any]:
    """Client options for a route: none, or an HTTP client of a library. Otherwise HTTPS_PROXY is set to the tunnel."""
    _, passed, library = route.partition("passed in: ")
    if passed:
        make = getattr(pytest.importorskip(library), kind)
        return {"http_client" if kind == "Client" else "http_async_client": make(verify=trust, proxy=tunnel.url)}
    if route != "direct":
        monkeypatch.setenv("HTTPS_PROXY", tunnel.url)
        monkeypatch.setattr("glmv.transport.proxies.is_loopback", lambda host: False)  # the tests' server is here
    return {}


@pytest.mark.parametrize("route", ROUTES, indirect=True)
def test_https_requests_go_through_one_tunnel_of_the_proxy(
    route: str, trust: ssl.SSLContext, tunnel: Tunnel, encrypted: Encrypted, monkeypatch: Any
) -> None:
    how = options(route, "Client", trust, tunnel, monkeypatch)
    with glmv.Client(KEY, base_url=encrypted.base_url, max_retries=0, **how) as glm:
        assert glm.chat("hi").text == glm.chat("hi").text == "hello"
    for http in how.values():
        http.close()
    assert tunnel.asked == [f"CONNECT localhost:{encrypted.port}"] * (route != "direct")
    assert encrypted.connections == 1


@pytest.mark.parametrize("route", ROUTES, indirect=True)
async def test_async_https_requests_go_through_one_tunnel_of_the_proxy(
    route: str, trust: ssl.SSLContext, tunnel: Tunnel, encrypted: Encrypted, monkeypatch: Any
) -> None:
    how = options(route, "AsyncClient", trust, tunnel, monkeypatch)
    async with glmv.AsyncClient(KEY, base_url=encrypted.base_url, max_retries=0, **how) as glm:
        assert (await glm.chat("hi")).text == (await glm.chat("hi")).text == "hello"
    for http in how.values():
        await http.aclose()
    assert tunnel.asked == [f"CONNECT localhost:{encrypted.port}"] * (route != "direct")
    assert encrypted.connections == 1


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize("route", ["tunnel", "SOCKS", "silent SOCKS"], indirect=True)
def test_a_deadline_ends_a_call_through_a_tunnel(
    awaited: bool, route: str, trust: ssl.SSLContext, tunnel: Tunnel, encrypted: Encrypted, monkeypatch: Any
) -> None:
    def drips(peer: Peer) -> None:
        peer.send(b"HTTP/1.1 200 OK\r\n")
        while not peer.over.wait(0.02):
            peer.send(b"x")

    encrypted.plays(drips)
    options(route, "Client", trust, tunnel, monkeypatch)
    patience: dict[str, Any] = {"base_url": encrypted.base_url, "deadline": 0.4}

    async def ask() -> None:
        async with glmv.AsyncClient(KEY, **patience) as glm:
            await asyncio.wait_for(glm.chat("hi"), 5)

    started = time.monotonic()
    with pytest.raises(glmv.DeadlineExceeded), glmv.Client(KEY, **patience) as glm:
        asyncio.run(ask()) if awaited else glm.chat("hi")
    assert time.monotonic() - started < 0.4 + 0.25


def test_plain_http_requests_go_through_a_proxy_unchanged(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{server.port}")
    with glmv.Client(KEY, base_url="http://vllm.example/v1", allow_http=True, max_retries=0) as glm:
        assert glm.chat("hi").text == "hello"
    head, body = server.requests[0]
    assert head.startswith("POST http://vllm.example/v1/chat/completions ")
    assert b'"content":"hi"' in body
