"""What holds for every test: no network beyond this machine, and nothing of the shell that runs it."""

from __future__ import annotations

import ipaddress
import signal
import sys

import pytest

SETTINGS = ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL")

_open_to_the_world = False


def _stay_on_this_machine(event: str, args: tuple[object, ...]) -> None:
    if event == "socket.connect" and not _open_to_the_world:
        address = args[1]
        if isinstance(address, tuple) and not _is_loopback(str(address[0])):
            raise RuntimeError(f"a test tried to reach {address[0]}: only loopback is allowed")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


# An audit hook sees every connection, of whichever library and thread, and costs nothing beside one.
sys.addaudithook(_stay_on_this_machine)

# A shell that runs the suite in the background has it ignore interrupts, and so would all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def a_clean_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and base URLs of the shell do not reach a test, except those marked `live`."""
    global _open_to_the_world
    _open_to_the_world = request.node.get_closest_marker("live") is not None
    if not _open_to_the_world:
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)
