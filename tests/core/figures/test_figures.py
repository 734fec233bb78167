"""The figures of docs/promises.md: deadlines, leaks, compression bombs, event loops and forks, against the emulator."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import glmv
from glmv_emulator import Emulator

PROGRAMS = Path(__file__).with_name("programs.py")
DEADLINE = 0.4  # seconds
LATE = 0.25  # the figure: a deadline is met within this many seconds
BOMB = 64  # the figure: megabytes by which memory may grow
LEAK = 4  # the figure: megabytes by which 500 clients, or 5,000 requests, may grow it
CROWD = 60  # the figure: megabytes that 1,000 calls at once may take
ENDS_WITHIN = 120


@pytest.fixture
def emu() -> Any:
    with Emulator() as running:
        yield running


def client(emu: Emulator, **options: Any) -> glmv.Client:
    where = {"base_url": emu.base_url, "api_key": emu.api_key, "model": "glm-4v-plus-0111"}
    return glmv.Client(**where | options)


def awaiting(emu: Emulator, **options: Any) -> glmv.AsyncClient:
    where = {"base_url": emu.base_url, "api_key": emu.api_key, "model": "glm-4v-plus-0111"}
    return glmv.AsyncClient(**where | options)


def program(name: str, emu: Emulator, **environment: str) -> dict[str, Any]:
    """The result of a program of `programs.py`, which must not write to standard error."""
    command = [sys.executable, "-W", "error", str(PROGRAMS), name, emu.base_url, emu.api_key]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=ENDS_WITHIN, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    data: dict[str, Any] = json.loads(done.stdout)
    return data


def call_once(emu: Emulator, *, stream: bool, awaited: bool, **options: Any) -> None:
    async def ask() -> None:
        async with awaiting(emu, **options) as glm:
            if stream:
                async for _ in glm.stream("Hello"):
                    pass
            else:
                await glm.chat("Hello")

    if awaited:
        asyncio.run(ask())
        return
    with client(emu, **options) as glm:
        for _ in glm.stream("Hello") if stream else [glm.chat("Hello")]:
            pass


def lateness(act: Callable[[], None]) -> float:
    """Seconds between the deadline and the end of a call: the best of three, because a busy machine adds delays."""
    best = float("inf")
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(glmv.DeadlineExceeded):
            act()
        best = min(best, time.monotonic() - began - DEADLINE)
        if best <= LATE / 2:
            break
    return best


@pytest.mark.parametrize("awaited", [False, True])
@pytest.mark.parametrize(
    ("fault", "stream"),
    [
        ("stall-before-headers", False),
        ("stall-before-headers", True),
        ("stall-in-body", False),
        ("stall; after=2", True),
        ("drip; every=0.05", False),
        ("drip-stream; every=0.05", True),
        ("slow; between=0.15", True),
        ("retry-after; seconds=3", False),
        ("busy", True),
    ],
)
def test_a_deadline_is_met_whatever_the_server_does(emu: Emulator, fault: str, stream: bool, awaited: bool) -> None:
    name, _, knobs = fault.partition("; ")
    emu.inject(name, times=None, **dict([knobs.split("=")] if knobs else []))
    late = lateness(lambda: call_once(emu, stream=stream, awaited=awaited, deadline=DEADLINE))
    # If the next pause would end after the deadline, the call ends without it.
    assert (-DEADLINE if fault.startswith(("retry", "busy")) else -0.01) <= late <= LATE


@pytest.mark.parametrize("awaited", [False, True])
def test_a_deadline_covers_connecting(emu: Emulator, awaited: bool) -> None:
    base = emu.trap("blackhole")
    late = lateness(lambda: call_once(emu, stream=False, awaited=awaited, deadline=DEADLINE, base_url=base))
    assert -0.01 <= late <= LATE


def test_a_deadline_covers_the_wait_for_a_slot(emu: Emulator) -> None:
    emu.stall(after=1)
    with client(emu, max_concurrency=1) as glm:
        open_stream = iter(glm.stream("Hello"))
        next(open_stream)
        began = time.monotonic()
        with pytest.raises((glmv.GateTimeout, glmv.DeadlineExceeded)):
            glm.chat("Hello", deadline=DEADLINE)
        assert DEADLINE - 0.01 <= time.monotonic() - began <= DEADLINE + 2 * LATE
        emu.release()
        open_stream.close()  # type: ignore[attr-defined] # it is a generator


@pytest.mark.parametrize("awaited", [False, True])
def test_a_hundred_calls_through_ten_slots_send_a_hundred_requests(awaited: bool) -> None:
    async def gathered(emu: Emulator) -> list[str]:
        async with awaiting(emu, model="glm-4v-flash") as glm:
            return [answer.text for answer in await asyncio.gather(*[glm.chat("Hello") for _ in range(100)])]

    with Emulator(concurrency={"glm-4v-flash": 10}) as emu:
        emu.slow(first=0.03)
        if awaited:
            texts = asyncio.run(gathered(emu))
        else:
            with client(emu, model="glm-4v-flash") as glm, ThreadPoolExecutor(100) as threads:
                texts = list(threads.map(lambda _: glm.chat("Hello").text, range(100)))
        assert (len(texts), len(emu.requests)) == (100, 100)
        assert {exchange.status for exchange in emu.requests} == {200}
        emu.report().assert_resilient()


def test_five_hundred_clients_leak_neither_memory_nor_descriptors(emu: Emulator) -> None:
    result = program("clients", emu)
    assert result["descriptors"] == 0
    assert result["grown"] < LEAK


def test_five_thousand_requests_leak_neither_memory_nor_descriptors(emu: Emulator) -> None:
    result = program("requests", emu)
    assert result["descriptors"] == 0
    assert result["grown"] < LEAK


def test_a_thousand_concurrent_calls_need_little_memory(emu: Emulator) -> None:
    result = program("thousand", emu)
    assert result["answered"] == 1000
    assert result["grown"] < CROWD


@pytest.mark.parametrize(
    ("fault", "stream"),
    [("gzip-bomb", False), ("huge-body", False), ("endless-line", True), ("endless-line; megabytes=200", True)],
)
def test_a_compression_bomb_is_stopped_before_it_fills_the_memory(emu: Emulator, fault: str, stream: bool) -> None:
    result = program("bomb", emu, FAULT=fault, STREAM=str(int(stream)))
    assert "larger than" in result["error"]
    assert result["grown"] < BOMB


def test_two_hundred_megabytes_of_base64_are_refused_without_being_decoded(emu: Emulator) -> None:
    result = program("picture", emu)
    assert result["error"]
    assert result["grown"] < BOMB


def test_three_event_loops_in_a_row_work_without_warnings(emu: Emulator) -> None:
    assert program("loops", emu) == {"texts": 1}


def test_eight_forked_children_with_fifty_calls_each_never_fail(emu: Emulator) -> None:
    assert program("forks", emu) == {"failed": 0}
    # No connection is shared. A process may need a second one: the first is closed when it was idle for long.
    used = {(exchange.connection, exchange.headers["x-process"]) for exchange in emu.requests}
    assert len({process for _, process in used}) == 9
    assert len({connection for connection, _ in used}) == len(used)
