"""Attacks on the emulator: abuses 27 to 30. See `table.py`."""

from __future__ import annotations

import base64
import socket
from contextlib import suppress

import httpx

from tests.abuses.subjects import (
    CANARY,
    PROMPT,
    Check,
    Setup,
    Wrong,
    no_secret,
    noise,
    png_of_noise,
    port,
)  # fmt: skip


def web_page(setup: Setup) -> str:
    url = f"{setup.emu.base_url}/chat/completions"
    key = {"authorization": CANARY}
    got = [httpx.post(url, json={}, headers=key | more) for more in
           ({"host": "evil.example"}, {"origin": "https://evil.example"})]  # fmt: skip
    got.append(httpx.options(url, headers=key | {"origin": "https://evil.example"}))
    if {one.status_code for one in got} != {403} or any("access-control-allow-origin" in one.headers for one in got):
        raise Wrong(f"{[one.status_code for one in got]}")
    return "403 for Host, Origin and preflight, before keys and faults"


def other_bind(setup: Setup) -> str:
    with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.2", port(setup.emu)), timeout=2):
        raise Wrong("it listens elsewhere")
    return "it listens on 127.0.0.1 alone unless `host` says otherwise, of which the command line warns"


def floods(setup: Setup) -> str:
    address = ("127.0.0.1", port(setup.emu))
    idle = [socket.create_connection(address) for _ in range(300)]
    try:
        for one in idle[:100]:
            one.sendall(b"POST /api/paas/v4/chat/completions HTTP/1.1\r\nx: ")
        setup.ask(PROMPT)
    finally:
        for one in idle:
            one.close()
    return "served beside 300 silent connections; heads and bodies have limits of time and size"


def journal(setup: Setup) -> str:
    setup.ask(f"My key is {CANARY}", noise())
    no_secret(setup.emu.requests, "the journal")
    if base64.b64encode(png_of_noise()).decode()[:64] in repr(setup.emu.requests):
        raise Wrong("a picture in the journal")
    return "no key, no picture; in memory, bounded"


CHECKS: tuple[tuple[int, str, Check], ...] = (
    (27, "a web page talks to the emulator", web_page),
    (28, "the emulator listens beyond this machine", other_bind),
    (29, "slow and idle connections, endless bodies", floods),
    (30, "secrets in the journal", journal),
)
