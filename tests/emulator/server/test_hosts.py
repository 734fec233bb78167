"""Addresses on which the emulator listens, and host names that it accepts."""

from __future__ import annotations

import socket
from typing import Any

import httpx
import pytest

from glmv_emulator import Emulator
from glmv_emulator.http.hosts import Hosts


def status(emu: Emulator, path: str = "/", **headers: str) -> int:
    return httpx.get(emu.origin + path, headers=headers, trust_env=False).status_code


@pytest.mark.parametrize(
    ("netloc", "own"),
    [
        ("127.0.0.1:8765", True),
        ("localhost:8765", True),
        ("LOCALHOST:8765", True),
        ("127.0.0.1:8766", False),
        ("127.0.0.1", False),
        ("192.168.1.5:8765", False),
        ("emulator:8765", False),
        ("evil.example:8765", False),
        ("localhost:8765@evil.example", False),
        ("evil@localhost:8765", False),
        ("localhost:port", False),
        ("[::1:8765", False),
        ("", False),
    ],
)
def test_an_emulator_on_loopback_accepts_only_loopback_host_names_with_its_port(netloc: str, own: bool) -> None:
    assert (netloc in Hosts("127.0.0.1", 8765)) is own


@pytest.mark.parametrize(
    ("netloc", "own"),
    [
        ("127.0.0.1:8765", True),
        ("192.168.1.5:9000", True),
        ("[fe80::1]:8765", True),
        ("emulator:8765", True),
        ("my-machine.local:8765", True),
        ("host.docker.internal", True),
        ("evil.example:8765", False),
        ("evil.local.example:8765", False),
        ("evillocal.example", False),
        ("evil@emulator:8765", False),
        ("", False),
    ],
)
def test_an_emulator_on_all_addresses_accepts_only_host_names_nobody_can_register(netloc: str, own: bool) -> None:
    assert (netloc in Hosts("0.0.0.0", 8765)) is own


def test_on_the_default_port_a_host_header_without_port_is_accepted() -> None:
    assert "127.0.0.1" in Hosts("127.0.0.1", 80)
    assert "emulator.example" in Hosts("emulator.example", 80)


def test_an_emulator_on_all_addresses_refuses_requests_of_foreign_web_pages() -> None:
    with Emulator(host="0.0.0.0") as emu:
        assert emu.origin.startswith("http://127.0.0.1:")
        assert status(emu) == 200
        assert status(emu, host="emulator:80") == 200
        assert status(emu, host="evil.example") == 403
        assert status(emu, origin=emu.origin) == 200
        assert status(emu, origin="http://192.168.1.5:3000") == 403
        assert status(emu, origin="null") == 403


def test_an_emulator_on_localhost_serves_a_hosted_picture_at_its_url() -> None:
    with Emulator(host="localhost") as emu:
        url = emu.host(b"\x89PNG")
        assert url.startswith("http://localhost:")
        assert httpx.get(url, trust_env=False).content == b"\x89PNG"


def test_the_emulator_can_listen_on_the_loopback_address_of_ipv6() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    with Emulator(host="::1") as emu:
        assert emu.base_url.startswith("http://[::1]:")
        assert status(emu) == 200
        emu.inject("redirect")
        headers = {"authorization": f"Bearer {emu.api_key}"}
        body = {"model": "glm-4.6v", "messages": [{"role": "user", "content": "Hello"}]}
        response = httpx.post(f"{emu.base_url}/chat/completions", json=body, headers=headers, trust_env=False)
        assert response.headers["location"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"host": ""}, ValueError, "host must be an address"),
        ({"api_key": ""}, ValueError, "api_key must be text"),
        ({"api_key": "schl\u00fcssel"}, ValueError, "api_key must be text"),
        ({"api_key": "two\nlines"}, ValueError, "api_key must be text"),
        ({"port": 65536}, ValueError, "port must be an integer"),
        ({"port": -1}, ValueError, "port must be an integer"),
        ({"port": "80"}, ValueError, "port must be an integer"),
        ({"pace": -1.0}, ValueError, "pace must be a number of seconds"),
        ({"pace": float("nan")}, ValueError, "pace must be a number of seconds"),
        ({"keep_alive": -1}, ValueError, "keep_alive must be a number of seconds"),
        ({"async_polls": -1}, ValueError, "async_polls must be an integer"),
        ({"async_polls": 1.5}, ValueError, "async_polls must be an integer"),
        ({"upstream_timeout": -1}, ValueError, "upstream_timeout must be a number of seconds"),
        ({"concurrency": {"glm-9v": 1}}, ValueError, "concurrency names a model that the platform does not have"),
        ({"concurrency": {"glm-4.6v": -1}}, ValueError, "concurrency of glm-4.6v must be an integer"),
        ({"strict": "fields"}, TypeError, "strict must be a set of names"),
        ({"strict": {"no-such"}}, ValueError, "strict has unknown doubts"),
        ({"seed": "x"}, TypeError, "seed must be an integer"),
        ({"host": "203.0.113.9"}, OSError, "203.0.113.9: it is not an address of this machine"),
        ({"host": "127.0.0.1.5"}, OSError, "127.0.0.1.5: it is not a valid address"),
    ],
)
def test_the_error_for_an_invalid_setting_of_the_emulator_names_the_setting(
    settings: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Emulator(**settings).start()
