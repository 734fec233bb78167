"""The fake server as a fixture, and sync and async clients that call it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import glmv
from glmv.exchange.gate import Busy, Gate
from tests.support.fake_server import WHOLE, Server

PATIENCE = 20.0  # seconds after which a test that hangs fails


class Asker:
    """Makes one call by a sync or async client, streamed or not, and returns its outcome."""

    def __init__(self, kind: str, base_url: str) -> None:
        self.kind = kind
        self.base_url = base_url
        self.deltas: list[glmv.Delta] = []
        self.on_delta: Callable[[], object] = lambda: None

    def settings(self, **options: Any) -> dict[str, Any]:
        return {"api_key": f"{uuid.uuid4().hex}.test-secret", "base_url": self.base_url} | options

    def __call__(
        self, *, stream: bool = False, messages: Any = "hi", **options: Any
    ) -> glmv.Completion | glmv.GLMVError:
        self.deltas = []
        try:
            if self.kind == "sync":
                return self._ask(stream, messages, options)
            return asyncio.run(asyncio.wait_for(self._aask(stream, messages, options), PATIENCE))
        except glmv.GLMVError as error:
            return error

    def _ask(self, stream: bool, messages: Any, options: dict[str, Any]) -> glmv.Completion:
        with glmv.Client(**self.settings(**options)) as glm:
            if not stream:
                return glm.chat(messages)
            total = glmv.Accumulator()
            for delta in glm.stream(messages):
                self.deltas.append(delta)
                self.on_delta()
                total.add(delta)
            return total.completion()

    async def _aask(self, stream: bool, messages: Any, options: dict[str, Any]) -> glmv.Completion:
        async with glmv.AsyncClient(**self.settings(**options)) as glm:
            if not stream:
                return await glm.chat(messages)
            total = glmv.Accumulator()
            async for delta in glm.stream(messages):
                self.deltas.append(delta)
                self.on_delta()
                total.add(delta)
            return total.completion()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    running.plays(lambda peer: peer.say(WHOLE))
    yield running
    running.stop()


@pytest.fixture(params=["sync", "async"])
def ask(request: pytest.FixtureRequest, server: Server) -> Asker:
    return Asker(request.param, server.base_url)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Records the pauses between attempts, in seconds, instead of waiting."""
    results: list[float] = []
    wait = asyncio.sleep

    async def pause(seconds: float) -> None:
        results.append(seconds)
        await wait(0)

    pause_of = Gate._pause

    def pause_of_gate(gate: Gate, busy: Busy) -> float:
        results.append(pause_of(gate, busy))
        return 0.0

    monkeypatch.setattr(Gate, "_pause", pause_of_gate)
    monkeypatch.setattr("glmv.transport.sync.time.sleep", results.append)
    monkeypatch.setattr("glmv.transport.asynchronous.asyncio.sleep", pause)
    return results
