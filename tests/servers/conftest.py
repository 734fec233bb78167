"""Third-party servers in front of one emulator; each starts once per session."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image as Pillow

from glmv_emulator import Emulator
from tests.servers import software
from tests.servers.results import Results
from tests.servers.software import LITELLM, Software
from tests.servers.ways import WAYS, Way

HOW = "make test-servers runs the tests through other servers"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Run these tests only if their mark is selected."""
    selected_marks = config.option.markexpr
    for item in items:
        for mark in ("servers", "engines"):
            if item.get_closest_marker(mark) is not None and mark not in selected_marks:
                item.add_marker(pytest.mark.skip(reason=f"make test-{mark}"))


def pytest_configure(config: pytest.Config) -> None:
    """Results become tables of docs/servers.md."""
    if config.option.markexpr in {"servers", "engines"}:
        config.pluginmanager.register(Results(config.option.markexpr, write=bool(os.environ.get("WRITE"))))


@pytest.fixture(scope="session")
def platform() -> Iterator[Emulator]:
    """The emulator behind all servers."""
    with Emulator() as emu:
        yield emu


@pytest.fixture
def emu(platform: Emulator) -> Iterator[Emulator]:
    """The emulator, reset before each test."""
    platform.reset()
    yield platform
    platform.reset()


@pytest.fixture(scope="session")
def litellm(platform: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Software]:
    """LiteLLM's proxy."""
    assert LITELLM.exists(), HOW
    with software.litellm(platform, tmp_path_factory.mktemp("litellm")) as running:
        yield running


@pytest.fixture(scope="session")
def nginx(platform: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Software]:
    """nginx."""
    assert software.nginx_program() is not None, HOW
    with software.nginx(platform, tmp_path_factory.mktemp("nginx")) as running:
        yield running


@pytest.fixture
def settings(request: pytest.FixtureRequest, emu: Emulator, route: str) -> dict[str, Any]:
    """Client settings for a route: base URL, key, model."""
    server, _, kind = route.partition(" ")
    running: Software = request.getfixturevalue(server.lower())
    request.node.user_properties.append(("version", (server, running.version)))
    if server == "LiteLLM":
        return {"base_url": running.bases[route], "api_key": software.MASTER_KEY, "model": f"{kind}/glm-4.6v"}
    return {"base_url": running.bases[route], "api_key": emu.api_key, "model": "glm-4.6v"}


@pytest.fixture
def connect(way: str, settings: dict[str, Any]) -> Callable[..., Way]:
    """connect(model="zai/wrong-key") -> the client under test on the route under test."""
    return lambda **others: WAYS[way]({"max_retries": 0, "timeout": 20.0} | settings | others)


@pytest.fixture
def client(connect: Callable[..., Way]) -> Way:
    """The same client with default settings."""
    return connect()


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """picture("red", (64, 48)) -> a file of one colour."""

    def draw(colour: str = "red", size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
        out = io.BytesIO()
        Pillow.new("RGB", size, colour).save(out, kind)
        return out.getvalue()

    return draw


@pytest.fixture(scope="session")
def large() -> bytes:
    """A JPEG of 1600 x 1200 pixels of noise, which hardly compresses."""
    out = io.BytesIO()
    Pillow.effect_noise((1600, 1200), 120).save(out, "JPEG", quality=100)
    return out.getvalue()
