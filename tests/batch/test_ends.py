"""However a run ends, each row is answered once, or fails with a reason that the user can act on."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from glmv_batch import Job
from glmv_batch import _outage as module
from glmv_emulator import Emulator
from tests.batch.conftest import lines

MODEL = "glm-4.6v-flash"
COUNT = 150


def assert_each_row_occurs_once(rows: list[dict[str, Any]]) -> None:
    assert sorted(row["key"] for row in rows) == [f"{number:>03}.png" for number in range(COUNT)]


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the waits of a job take no time."""
    now = [0.0]

    async def pause(moved: asyncio.Event, seconds: float) -> None:
        await asyncio.sleep(0)
        now[0] += seconds

    monkeypatch.setattr(module, "clock", lambda: now[0])
    monkeypatch.setattr(module, "pause", pause)


@pytest.mark.parametrize("seed", range(3))
def test_rows_that_fail_with_busy_errors_can_be_retried_until_every_row_is_answered(
    photos: Path, tmp_path: Path, no_waits: None, seed: int
) -> None:
    out = tmp_path / "o.jsonl"
    faults = ("busy", "overloaded", "busy-event", "status-503")
    with Emulator(faults=faults, chance=0.5, seed=seed) as emulator:
        options: dict[str, Any] = {"api_key": emulator.api_key, "base_url": emulator.base_url, "max_retries": 0}
        job = Job(photos, "Which?", model=MODEL, max_concurrency=2, **options)
        job.write(out)
        rows = lines(out)
        assert_each_row_occurs_once(rows)
        failed = [row for row in rows if "error" in row]
        assert len(failed) < COUNT / 5
        assert {row["error_class"] for row in failed} <= {"RateLimitError", "ServerError"}
        assert all(row["retryable"] for row in failed)
        assert job.progress.retryable == len(failed)
        for _ in range(20):
            if job.write(out, retry_failed=True).retryable == 0:
                break
        assert_each_row_occurs_once(lines(out))
        assert all("text" in row for row in lines(out))
        answered = [entry for entry in emulator.requests if entry.status == 200]
        assert len(answered) >= COUNT


FULL = """
import resource, sys
from glmv_batch import Job
folder, out, base_url, key = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
Job(folder, "Which?", model="glm-4.6v-flash", max_concurrency=4, base_url=base_url, api_key=key).write(out)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a limit of the size of files is of Unix")
def test_a_full_disk_ends_the_run_and_the_next_run_continues(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.jsonl"
    with Emulator() as emulator:
        words = [str(photos), str(out), emulator.base_url, emulator.api_key]
        run = subprocess.run([sys.executable, "-c", FULL, *words], capture_output=True, text=True)
        assert run.returncode == 1
        assert "LimitExceeded: The ledger" in run.stderr
        paid = len(emulator.requests)
        assert 0 < paid < COUNT
        job = Job(
            photos, "Which?", model=MODEL, max_concurrency=4, base_url=emulator.base_url, api_key=emulator.api_key
        )
        result = job.write(out)
        assert result.known + result.answered == COUNT
        assert result.known > 0
        assert_each_row_occurs_once(lines(out))
        assert all("text" in row for row in lines(out))
        assert len(emulator.requests) <= COUNT + 2 * 4  # what was under way when the ledger took no more
