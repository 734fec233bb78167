"""Rows refused as busy are retried after all other rows, a few times, and then fail with the error's class."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import glmv
from glmv_batch import Item, Job, Row
from glmv_batch import _calls as calls
from glmv_batch import _outage as module
from glmv_batch._outage import is_busy
from glmv_emulator import Emulator
from tests.batch.conftest import lines

MODEL = "glm-4.6v-flash"
COUNT = 12


class Quiet:
    """Replaces the waits of a job, so that they take no time.

    Attributes:
        pauses: the seconds of each wait.
        meanwhile: a function that is called in each wait.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        self.meanwhile: Callable[[], Any] = lambda: None
        monkeypatch.setattr(module, "clock", lambda: self.now)
        monkeypatch.setattr(module, "pause", self._pause)

    async def _pause(self, moved: asyncio.Event, seconds: float) -> None:
        await asyncio.sleep(0)
        self.pauses.append(seconds)
        self.now += seconds
        self.meanwhile()


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Quiet:
    return Quiet(monkeypatch)


def job(emulator: Emulator, source: Any, **options: Any) -> Job:
    settings = {"model": MODEL, "max_concurrency": 2, "thinking": False, "max_retries": 0, **options}
    return Job(source, "Which?", api_key=emulator.api_key, base_url=emulator.base_url, **settings)


BUSY = {
    "too many at once": {"code": 1302},
    "the model is overloaded": {"code": 1305},
    "a gateway's 429": {"status": 429},
    "an error of the platform": {"code": 500},
}


@pytest.mark.parametrize("fault", BUSY.values(), ids=BUSY)
def test_rows_refused_by_a_busy_server_are_retried_after_a_pause_and_answered(
    emulator: Emulator, photos: Path, tmp_path: Path, quiet: Quiet, fault: dict[str, Any]
) -> None:
    emulator.fail(times=5, **fault)
    result = job(emulator, photos).write(tmp_path / "o.jsonl")
    assert (result.answered, result.failed, result.retryable) == (COUNT, 0, 0)
    rows = lines(tmp_path / "o.jsonl")
    assert sorted(row["key"] for row in rows) == [f"{number:>02}.png" for number in range(COUNT)]
    assert all("text" in row for row in rows)
    assert quiet.pauses == [calls.BUSY_PAUSES[0]]
    assert len(emulator.requests) == COUNT + 5


def test_a_busy_row_is_retried_a_few_times_and_then_fails_as_retryable(
    emulator: Emulator, photos: Path, tmp_path: Path, quiet: Quiet
) -> None:
    emulator.fail(times=None, code=1305)
    progress = job(emulator, photos).write(tmp_path / "o.jsonl")
    assert (progress.answered, progress.failed, progress.retryable) == (0, COUNT, COUNT)
    assert quiet.pauses == list(calls.BUSY_PAUSES)
    assert len(emulator.requests) == COUNT * (1 + len(calls.BUSY_PAUSES))
    assert all(
        (row["error_class"], row["retryable"]) == ("RateLimitError", True) for row in lines(tmp_path / "o.jsonl")
    )
    assert f"{COUNT} RateLimitError; retry_failed would send {COUNT} of the failed rows again" in str(progress)
    assert json.loads(progress.as_json())["retryable"] == COUNT
    emulator.reset()
    again = job(emulator, photos).write(tmp_path / "o.jsonl")
    assert (again.known_failed, again.retryable) == (COUNT, COUNT)
    last = job(emulator, photos).write(tmp_path / "o.jsonl", retry_failed=True)
    assert (last.answered, last.retryable) == (COUNT, 0)


def test_busy_rows_of_a_run_stopped_during_its_wait_are_retried_by_the_next_run(
    emulator: Emulator, photos: Path, tmp_path: Path, quiet: Quiet
) -> None:
    emulator.fail(times=3, code=1302)
    running = job(emulator, photos)
    messages: list[str | None] = []

    def meanwhile() -> None:
        messages.append(running.progress.waiting)
        running.progress.stopped = "it is enough"

    quiet.meanwhile = meanwhile
    progress = running.write(tmp_path / "o.jsonl")
    assert messages == ["The platform was too busy for 3 rows; trying again in 2 s (retry 1 of 3)."]
    assert (progress.answered, progress.failed, progress.waiting) == (COUNT - 3, 0, None)
    quiet.meanwhile = lambda: None
    again = job(emulator, photos).write(tmp_path / "o.jsonl")
    assert (again.answered, again.known, again.failed) == (3, COUNT - 3, 0)


def test_a_busy_row_of_a_job_in_input_order_is_retried_before_later_rows(
    emulator: Emulator, photos: Path, tmp_path: Path, quiet: Quiet
) -> None:
    emulator.fail(times=5, code=1302)
    job(emulator, photos).write(tmp_path / "o.jsonl", order="input")
    rows = lines(tmp_path / "o.jsonl")
    assert [row["key"] for row in rows] == [f"{number:>02}.png" for number in range(COUNT)]
    assert all("text" in row for row in rows)
    emulator.fail(times=None, code=1302)
    failed = list(job(emulator, photos).rows(order="input"))
    assert [row.key for row in failed] == [f"{number:>02}.png" for number in range(COUNT)]
    assert not any(row.ok for row in failed)


@pytest.mark.parametrize("order", ["arrival", "input"])
def test_items_with_the_same_picture_get_one_row_each_after_busy_errors(
    emulator: Emulator, photos: Path, quiet: Quiet, order: Any
) -> None:
    emulator.fail(times=3, code=1302)
    same = [Item(number, photos / "00.png") for number in range(4)]
    rows = list(job(emulator, same).rows(order=order))
    assert sorted(row.key for row in rows) == [0, 1, 2, 3]
    assert all(row.ok for row in rows)
    emulator.fail(times=None, code=1302)
    rows = list(job(emulator, same).rows(order=order))
    assert sorted(row.key for row in rows) == [0, 1, 2, 3]
    assert not any(row.ok for row in rows)


def test_busy_rows_above_the_memory_limit_fail_instead_of_waiting_for_a_retry(
    emulator: Emulator, photos: Path, quiet: Quiet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "ASIDE", 8_000)
    emulator.fail(times=COUNT, code=1302)
    items = ({"id": number, "image": (photos / f"{number:>02}.png").read_bytes()} for number in range(COUNT))
    rows = list(job(emulator, items).rows())
    assert sorted(row.key for row in rows) == list(range(COUNT))
    assert 0 < sum(not row.ok for row in rows) < COUNT


def test_stopping_a_job_ends_its_wait_for_busy_rows(emulator: Emulator, photos: Path, quiet: Quiet) -> None:
    emulator.fail(times=None, code=1302)
    running = job(emulator, photos)
    quiet.meanwhile = lambda: running.stop("gone")
    assert list(running.rows()) == []
    assert running.progress.stopped == "gone"


def refused(emulator: Emulator) -> None:
    emulator.fail(times=1, code=1301)


def unfit(emulator: Emulator) -> None:
    emulator.say("no JSON", "no JSON again")


@pytest.mark.parametrize("fault", [refused, unfit])
def test_rows_with_a_permanent_error_are_not_retried(
    emulator: Emulator, photos: Path, quiet: Quiet, fault: Callable[[Emulator], None]
) -> None:
    fault(emulator)
    schema = {"type": "object", "properties": {"color": {"type": "string"}}} if fault is unfit else None
    rows: list[Row] = list(job(emulator, [photos / "00.png"], schema=schema).rows())
    assert [row.ok for row in rows] == [False]
    assert quiet.pauses == []


def with_cause(error: glmv.GLMVError, cause: Exception) -> glmv.GLMVError:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (glmv.RateLimitError("busy"), True),
        (glmv.ServerError("broken"), True),
        (glmv.GateTimeout("no slot"), True),
        (with_cause(glmv.DeadlineExceeded("late"), glmv.RateLimitError("busy")), True),
        (glmv.DeadlineExceeded("late"), False),
        (glmv.MalformedResponse("no JSON"), False),
        (glmv.ContentFilterError("no"), False),
        (glmv.QuotaError("arrears"), False),
        (ValueError("yours"), False),
    ],
)
def test_a_rate_limit_and_a_server_error_and_a_gate_timeout_count_as_busy(error: Exception, expected: bool) -> None:
    assert is_busy(error) is expected
