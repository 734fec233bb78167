"""Ray Data: workers share the account's slots; a worker that dies loses only its running calls.

The cluster is real: several node processes on this machine. The emulator runs in the test's process.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image as Pillow
from pyarrow import parquet
from pydantic import BaseModel

import glmv
from glmv_emulator import Emulator

ray = pytest.importorskip("ray", reason="make test-cluster installs Ray")
for name in ("ray.cloudpickle", "ray.cluster_utils", "ray.data.extensions"):
    importlib.import_module(name)
module = importlib.import_module("glmv_batch.ray")
Vision, over, shares = module.Vision, module.over, module.shares

# Ray emits warnings about itself.
pytestmark = [pytest.mark.cluster, pytest.mark.filterwarnings("ignore")]
# Workers cannot import a file of tests: its functions travel by value.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])

ROOT = Path(__file__).parents[2]
KEY = "test-id.test-secret"
MODEL = "glm-4.6v"
SLOTS, ACTORS = 10, 4
LATENCY = 1.0  # seconds an answer
RECEIPT = {
    "title": "Receipt",
    "type": "object",
    "properties": {"width": {"type": "integer"}, "format": {"type": "string"}},
    "required": ["width", "format"],
}


class Receipt(BaseModel):
    """The schema RECEIPT as a class."""

    width: int
    format: str


def key() -> str:
    return KEY


def png(number: int = 0, size: tuple[int, int] = (64, 48)) -> bytes:
    """A picture whose colour depends on the number."""
    out = io.BytesIO()
    Pillow.new("RGB", size, (number % 256, number // 256, 99)).save(out, "PNG")
    return out.getvalue()


def table(count: int) -> Any:
    """A data set in small blocks."""
    rows = [{"id": number, "image": png(number)} for number in range(count)]
    return ray.data.from_items(rows, override_num_blocks=max(1, count // 4))


@pytest.fixture(scope="module")
def server() -> Iterator[Emulator]:
    with Emulator(api_key=KEY, concurrency={MODEL: SLOTS}) as running:
        yield running


@pytest.fixture
def emulator(server: Emulator) -> Emulator:
    """An emulator with ten slots: it refuses the eleventh concurrent call."""
    server.reset()
    return server


@pytest.fixture(scope="module")
def cluster(server: Emulator) -> Iterator[None]:
    """A head and two nodes with key and base URL in their environment."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_USAGE_STATS_ENABLED", "0")
        environment.setenv("ZHIPUAI_API_KEY", KEY)
        environment.setenv("ZHIPUAI_BASE_URL", server.base_url)
        yield from nodes()


def nodes() -> Iterator[None]:
    cluster = new_cluster()
    try:
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield
    finally:
        ray.shutdown()
        cluster.shutdown()


def new_cluster() -> Any:
    """A cluster of three node processes. Ray gives each 30 s to start; a busy machine may need two tries."""
    for more in (2, 1, 0):
        cluster = ray.cluster_utils.Cluster()
        try:
            for cpus in (0, 2, 2):
                cluster.add_node(num_cpus=cpus, include_dashboard=False, object_store_memory=80 * 1024 * 1024)
        except Exception:
            cluster.shutdown()
            if not more:
                raise
        else:
            return cluster
    raise AssertionError("it has started or raised")


def chat_requests(emulator: Emulator) -> list[Any]:
    return [one for one in emulator.requests if one.path.endswith("/chat/completions")]


def most_at_once(emulator: Emulator) -> int:
    moments = [(one.started, 1) for one in chat_requests(emulator)] + [
        (one.ended, -1) for one in chat_requests(emulator)
    ]
    now = most = 0
    for _, change in sorted(moments):
        now += change
        most = max(most, now)
    return most


def rate(emulator: Emulator) -> float:
    """Calls per second as a share of the ideal rate, from the first use of all slots to the start of the last call."""
    calls = chat_requests(emulator)
    starts = sorted(one.started for one in calls)
    begin = next(moment for moment in starts if sum(one.started <= moment < one.ended for one in calls) == SLOTS)
    ended = sum(begin < one.ended <= starts[-1] for one in calls)
    return float(ended / (starts[-1] - begin) / (SLOTS / LATENCY))


def test_all_slots_are_divided_among_actors_even_if_the_shares_are_uneven() -> None:
    assert shares(10, 4) == [3, 3, 2, 2]
    assert shares(4, 4) == [1, 1, 1, 1]
    assert sum(shares(75, 8)) == 75


def test_a_ray_job_with_more_actors_than_slots_is_refused() -> None:
    with pytest.raises(glmv.InvalidRequestError, match=r"3 slots cannot be shared among 4 actors"):
        shares(3, 4)


def test_an_api_key_given_as_text_to_a_ray_job_is_refused() -> None:
    with pytest.raises(glmv.InvalidRequestError, match="each worker calls the function"):
        over(None, "Describe it.", actors=1, api_key=KEY)


def test_a_misspelled_option_of_a_ray_job_is_refused_before_workers_start() -> None:
    with pytest.raises(glmv.InvalidRequestError, match="temperature"):
        over(None, "Describe it.", actors=1, temperatur=0.5)


def test_a_worker_reads_its_api_key_from_the_environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(glmv.AuthenticationError):
        Vision("Describe it.", share=1, base_url=emulator.base_url)
    monkeypatch.setenv("ZHIPUAI_API_KEY", KEY)
    Vision("Describe it.", share=1, base_url=emulator.base_url)


async def worked(worker: Any, rows: list[dict[str, Any]]) -> Any:
    (table,) = [output async for output in worker(pa.Table.from_pylist(rows))]
    return table


def worker(emulator: Emulator, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "share": 2,
        "api_key": key,
        "model": MODEL,
        "base_url": emulator.base_url,
        "max_retries": 0,
    }
    return Vision(options.pop("prompt", "Describe it."), **{**settings, **options})


@pytest.mark.parametrize("schema", [RECEIPT, Receipt])
async def test_a_worker_returns_rows_in_order_with_columns_typed_by_the_schema(schema: Any, emulator: Emulator) -> None:
    rows = [{"id": size, "image": png(0, (size, 48))} for size in (40, 50, 60)]
    prompt = "The width in pixels and the file format."
    table = await worked(worker(emulator, prompt=prompt, schema=schema), rows)
    assert table.column("id").to_pylist() == [40, 50, 60]
    assert table.schema.field("width").type == pa.int64()
    assert table.schema.field("format").type == pa.string()
    assert table.column("error").to_pylist() == [None] * 3
    assert all(count > 0 for count in table.column("prompt_tokens").to_pylist())
    assert table.column("model").to_pylist() == [MODEL] * 3


async def test_an_unreadable_picture_becomes_a_failed_row_and_is_not_sent(emulator: Emulator, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "good.png").write_bytes(png())
    rows = [{"path": str(tmp_path / name)} for name in ("text.png", "absent.png", "good.png")]
    answers = (await worked(worker(emulator), rows)).to_pylist()
    assert [row["error_class"] for row in answers] == ["UnsupportedContent", "InvalidRequestError", None]
    assert "this is not a picture" in answers[0]["error"]
    assert answers[0]["retryable"] is False
    assert answers[2]["text"]
    assert len(chat_requests(emulator)) == 1


async def test_a_refusal_of_the_platform_becomes_a_failed_row_with_the_error_code(emulator: Emulator) -> None:
    emulator.fail(code=1302)
    (row,) = (await worked(worker(emulator), [{"image": png()}])).to_pylist()
    assert (row["error_class"], row["code"], row["retryable"], row["attempts"]) == ("RateLimitError", "1302", True, 1)


async def test_a_worker_sends_nothing_more_after_a_call_with_a_wrong_key(emulator: Emulator) -> None:
    wrong = worker(emulator, api_key=lambda: "another-id.another-secret", share=1)
    wrong._ready = asyncio.Semaphore(1)  # one after the other: those under way are lost
    result = (await worked(wrong, [{"image": png(number)} for number in range(5)])).to_pylist()
    assert {row["error_class"] for row in result} == {"AuthenticationError"}
    assert [row["attempts"] for row in result] == [1, 0, 0, 0, 0]


class Clock:
    """Replaces the waits for the network: they take no time and are recorded."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    async def pause(self, moved: asyncio.Event, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0)
        if until > self.now:
            self.now = until
            self.pauses.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("glmv_batch._outage.pause", clock.pause)
    monkeypatch.setattr("glmv_batch._outage.clock", lambda: clock.now)
    return clock


@pytest.mark.parametrize("fault", ["gateway-page", "reset-in-headers"])
@pytest.mark.parametrize("share", [1, 3])
async def test_a_worker_waits_during_an_outage_of_the_server(
    emulator: Emulator, clock: Clock, fault: str, share: int, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = worker(emulator, share=share)
    await worked(waiting, [{"image": png(99)}])
    emulator.inject(fault, 14)
    answers = (await worked(waiting, [{"image": png(number)} for number in range(12)])).to_pylist()
    assert [row["error"] for row in answers if row["error"]] == []
    assert max(clock.pauses) == 60
    assert "Trying again in 60 s" in caplog.text


async def test_a_worker_with_a_function_of_the_user_waits_during_an_outage_of_the_server(
    emulator: Emulator, clock: Clock
) -> None:
    def make(share: int) -> Any:
        client = glmv.AsyncClient(KEY, model=MODEL, base_url=emulator.base_url, max_retries=0)
        return lambda item: client.chat(["Which?", glmv.Image.from_bytes(item.source)])

    emulator.inject("reset-in-headers", 8)
    result = await worked(worker(emulator, make=make, prompt=None), [{"image": png(number)} for number in range(6)])
    assert result.column("error").to_pylist() == [None] * 6


async def test_a_worker_whose_server_is_unreachable_gives_up_after_two_minutes(clock: Clock) -> None:
    gone = Vision("Which?", share=2, api_key=key, base_url="http://127.0.0.1:9/v1", model=MODEL, max_retries=0)
    result = (await worked(gone, [{"image": png(number)} for number in range(5)])).to_pylist()
    assert {row["error_class"] for row in result} == {"ConnectionFailed"}
    assert 120 <= sum(clock.pauses) < 240


async def test_a_worker_never_runs_more_concurrent_calls_than_its_share(emulator: Emulator) -> None:
    emulator.slow(first=0.05)
    await worked(worker(emulator), [{"image": png(number)} for number in range(12)])
    assert most_at_once(emulator) == 2


async def test_an_image_array_in_a_column_is_sent_as_a_picture(emulator: Emulator) -> None:
    shape = (48, 64, 3)
    picture = [[[255, 0, 0]] * shape[1]] * shape[0]
    arrays = ray.data.extensions.ArrowTensorArray.from_numpy(np.array([picture], dtype=np.uint8))
    (table,) = [output async for output in worker(emulator)(pa.table({"image": arrays}))]
    assert table.column("error").to_pylist() == [None]
    assert "64 x 48" in table.column("text").to_pylist()[0]


async def test_an_input_column_named_like_an_answer_column_keeps_its_values(emulator: Emulator) -> None:
    (row,) = (await worked(worker(emulator), [{"image": png(), "text": "mine"}])).to_pylist()
    assert row["text"] == "mine"
    assert row["answer_text"]


async def test_each_pass_over_a_table_writes_its_answers_to_new_columns(emulator: Emulator) -> None:
    table = [{"image": png()}]
    for _ in range(3):
        table = (await worked(worker(emulator), table)).to_pylist()
    assert table[0].keys() >= {"text", "answer_text", "answer_answer_text"}


class Handle:
    """Replaces the handle of a worker: a call returns while the worker lives, and raises when the worker is dead."""

    def __init__(self, dies: bool = False) -> None:
        self.dies = dies
        self.__ray_ready__ = self

    async def remote(self) -> None:
        if self.dies:
            raise ray.exceptions.ActorDiedError


async def test_a_replacement_worker_gets_the_share_of_the_dead_worker() -> None:
    coordinator, first, second = module._Coordinator([3, 2]), Handle(), Handle()
    assert [await coordinator.take("a", first), await coordinator.take("b", second)] == [3, 2]
    assert await coordinator.take("a", first) == 3  # started again, it is the same actor
    assert await coordinator.take("c", Handle()) is None
    first.dies = True
    assert await coordinator.take("c", Handle()) == 3


async def test_the_coordinator_of_workers_drops_the_oldest_stored_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 3)
    coordinator = module._Coordinator([1])
    for task in ("one", "two"):
        for place in (0, 1):
            await coordinator.keep(task, place, f"{task} {place}")
    assert await coordinator.answers("one") == {}
    assert await coordinator.answers("two") == {0: "two 0", 1: "two 1"}


def test_a_ray_job_without_an_api_key_raises_before_the_first_row_is_read(cluster: None, emulator: Emulator) -> None:
    read = ray.data.range(3).map(lambda row: 1 / 0)
    with pytest.raises(glmv.AuthenticationError, match="No API key"):
        over(read, "Describe it.", actors=1, model=MODEL, slots=1, base_url=emulator.base_url, api_key=lambda: "")


def test_four_actors_run_ten_concurrent_calls_and_never_more(cluster: None, emulator: Emulator) -> None:
    emulator.slow(first=LATENCY)
    count = 120
    result = over(
        table(count), "Describe it.", actors=ACTORS, slots=SLOTS, rows_per_task=None,
        model=MODEL, max_retries=0,
    ).take_all()  # fmt: skip
    assert sorted(row["id"] for row in result) == list(range(count))
    assert [row["error"] for row in result if row["error"]] == []
    assert len(chat_requests(emulator)) == count
    assert most_at_once(emulator) == SLOTS
    assert rate(emulator) >= 0.8


def test_only_the_running_calls_of_a_killed_worker_are_repeated(
    cluster: None, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.slow(first=LATENCY)
    count = 80

    def marking() -> str:
        (tmp_path / str(os.getpid())).touch()
        return KEY

    dataset = over(
        table(count), "Describe it.", actors=ACTORS, slots=SLOTS, rows_per_task=None,
        model=MODEL, api_key=marking, base_url=emulator.base_url, max_retries=0,
    )  # fmt: skip
    killer = threading.Thread(target=kill_when, args=(lambda: len(chat_requests(emulator)) >= count // 2, tmp_path))
    killer.start()
    result = dataset.take_all()
    killer.join()
    assert (tmp_path / "killed").exists()
    assert sorted(row["id"] for row in result) == list(range(count))
    assert [row["error"] for row in result if row["error"]] == []
    assert len(chat_requests(emulator)) <= count + max(shares(SLOTS, ACTORS))
    assert most_at_once(emulator) <= SLOTS


def test_each_example_on_the_ray_page_of_the_documentation_runs(
    cluster: None, emulator: Emulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = ROOT / "examples" / "pictures" / "coffee.jpg"
    rows = [{"image": photo.read_bytes(), "shop": "here"}] * 2
    page = (ROOT / "docs" / "ray.md").read_text("utf-8")
    lake, chain = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    # One worker, and no lake of files: each takes Ray many processes.
    lake, count = re.subn(r"ray\.data\.read_parquet\([^)]*\)", "ray.data.from_items(rows)", lake)
    assert count == 1
    run(lake.replace("s3://lake", str(tmp_path)).replace("actors=4", "actors=1"), rows=rows)
    table = parquet.read_table(tmp_path / "answers")
    assert table.column("shop").to_pylist() == ["here", "here"]
    assert table.column("error").to_pylist() == [None, None]
    assert table.schema.field("price").type == pa.float64()
    assert table.schema.field("name").type == pa.string()
    run(chain.replace("photo.jpg", str(photo)))
    result = capsys.readouterr().out.splitlines()
    assert len(result) == 2
    assert all("'error': None" in line and "600" in line for line in result)


def run(code: str, **names: Any) -> None:
    exec(compile(code, "docs/ray.md", "exec"), {"__name__": "__main__", **names})


def kill_when(ready: Callable[[], bool], folder: Path) -> None:
    """Wait until `ready` returns true, for 120 s at most; then kill one worker, as a lack of memory would."""
    patience = time.monotonic() + 120
    while not ready() and time.monotonic() < patience:
        time.sleep(0.02)
    for mark in folder.iterdir():
        line = Path("/proc", mark.name, "cmdline")
        if line.exists() and "Vision" in line.read_text():
            os.kill(int(mark.name), signal.SIGKILL)
            (folder / "killed").touch()
            return
