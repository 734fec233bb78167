"""The network fails during a job: the job waits, reports it, and no picture fails because of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import glmv
from glmv_batch import Job, Progress
from glmv_batch import _outage as module
from glmv_batch._calls import AHEAD
from glmv_batch._question import is_final
from glmv_emulator import Emulator
from tests.batch.conftest import lines

MODEL = "glm-4.6v-flash"
COUNT = 12
NO_SUCH_NAME = {"Linux": socket.EAI_NONAME, "macOS": 8, "Windows": 11001, "not now": socket.EAI_AGAIN}


class Network:
    """Replaces name lookup and clock; waits take no time.

    Attributes:
        up: whether names can be looked up.
        pauses: seconds of each wait, with the progress reported then.
        meanwhile: called during each wait.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.up = True
        self.error: Exception = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        self.pauses: list[float] = []
        self.now = 0.0
        self.looked_up = 0
        self.meanwhile: Callable[[], Any] = lambda: None
        self._real = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._addresses)
        monkeypatch.setattr(module, "pause", self._pause)
        monkeypatch.setattr(module, "clock", lambda: self.now)
        monkeypatch.setattr("glmv.transport.failures._answered", set())

    def _addresses(self, host: Any, *rest: Any, **more: Any) -> Any:
        if host in ("localhost", b"localhost"):
            self.looked_up += 1
            if not self.up:
                raise self.error
            host = "127.0.0.1"
        return self._real(host, *rest, **more)

    async def _pause(self, moved: asyncio.Event, seconds: float) -> None:
        until = self.now + seconds
        await asyncio.sleep(0)
        if until > self.now:
            self.now = until
            self.pauses.append(seconds)
            self.meanwhile()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    return Network(monkeypatch)


def job(emulator: Emulator, photos: Path, **options: Any) -> Job:
    base = emulator.base_url.replace("127.0.0.1", "localhost")
    settings = {"model": MODEL, "max_concurrency": 2, "thinking": False, "max_retries": 0, **options}
    return Job(photos, "Which?", api_key=emulator.api_key, **{"base_url": base, **settings})


def answered_before(emulator: Emulator, photos: Path) -> None:
    """Mark the host as one that has answered this process."""
    next(rows := job(emulator, photos, max_concurrency=1).rows())
    rows.close()


@pytest.mark.parametrize("number", NO_SUCH_NAME.values(), ids=NO_SUCH_NAME)
def test_a_job_waits_until_the_network_is_back(
    emulator: Emulator, photos: Path, tmp_path: Path, network: Network, number: int
) -> None:
    network.error = socket.gaierror(number, "nodename nor servname provided, or not known")
    running = job(emulator, photos)
    progress_lines: list[str] = []

    def meanwhile() -> None:
        progress_lines.append(str(running.progress))
        network.up = len(progress_lines) > 5

    network.meanwhile = meanwhile
    answered_before(emulator, photos)
    network.up = False
    done = running.write(tmp_path / "o.jsonl")
    assert (done.answered, done.failed, done.waiting, done.stopped) == (COUNT, 0, None, None)
    assert network.pauses == [2, 4, 8, 16, 32, 60]
    assert all("waiting: The name of localhost cannot be looked up" in line for line in progress_lines)
    assert "Check the network, DNS and VPN" in progress_lines[0]
    assert "Trying again in 60 s (waiting for 62 s so far)" in progress_lines[-1]
    assert all("text" in line for line in lines(tmp_path / "o.jsonl"))


def test_only_one_call_tries_the_server_while_all_other_calls_wait(
    emulator: Emulator, photos: Path, network: Network
) -> None:
    answered_before(emulator, photos)
    network.up, network.looked_up = False, 0

    def meanwhile() -> None:
        network.up = len(network.pauses) > 5

    network.meanwhile = meanwhile
    assert all(row.ok for row in job(emulator, photos, max_concurrency=2).rows())
    under_way_at_first = 2 + AHEAD
    reconnecting_at_last = 2 + AHEAD
    assert network.looked_up <= under_way_at_first + len(network.pauses) + reconnecting_at_last


def test_ctrl_c_ends_the_wait_for_the_network_and_the_next_run_continues(
    emulator: Emulator, photos: Path, tmp_path: Path, network: Network
) -> None:
    answered_before(emulator, photos)
    out = tmp_path / "o.jsonl"
    network.up = False
    running = job(emulator, photos)
    network.meanwhile = lambda: running.stop("interrupted") if len(network.pauses) > 3 else None
    done = running.write(out)
    assert (done.answered, done.failed, done.stopped, done.waiting) == (0, 0, "interrupted", None)
    assert lines(out) == []
    network.up, network.meanwhile = True, lambda: None
    again = job(emulator, photos).write(out)
    assert (again.answered, again.known, again.failed) == (COUNT, 0, 0)


def test_a_job_whose_server_was_never_reachable_ends_without_failed_rows(
    photos: Path, tmp_path: Path, network: Network
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    result = Job(photos, "Which?", base_url=f"http://127.0.0.1:{port}/v1", model=MODEL, api_key="k", max_retries=0)
    with pytest.raises(glmv.ConnectionFailed, match="Connection refused"):
        result.write(tmp_path / "o.jsonl")
    assert sum(network.pauses) <= module.PATIENCE_AT_FIRST + module.LONGEST_PAUSE
    assert result.progress.failed == 0
    assert result.progress.waiting is None


def test_an_unreachable_network_ends_the_job_and_the_next_run_answers_every_row(
    emulator: Emulator, photos: Path, tmp_path: Path, network: Network
) -> None:
    out = tmp_path / "o.jsonl"
    network.up, network.error = False, OSError(101, "Network is unreachable")
    with pytest.raises(glmv.ConnectionFailed, match="Check the network and VPN"):
        job(emulator, photos).write(out)
    network.up = True
    again = job(emulator, photos).write(out)
    assert (again.answered, again.failed) == (COUNT, 0)


def away(kind: str) -> glmv.ConnectionFailed:
    error = glmv.ConnectionFailed("No connection.", attempts=1)
    error.kind = kind
    return error


@pytest.mark.parametrize("kind", ["connect", "connect_timeout", "dns", "proxy", "no_such_host", "tls", "proxy_refused"])
async def test_a_run_that_received_an_answer_gives_up_after_an_outage_of_12_hours(network: Network, kind: str) -> None:
    progress = Progress()
    outage = module.Outage(progress, asyncio.Event())
    outage.heard("row")
    assert outage.failed(away(kind), "row", trying=False)
    assert outage.failed(away(kind), "row", trying=False)  # it was under way, too, and lengthens nothing
    given_up = None
    while given_up is None:
        assert await outage.turn("row", lambda: False)
        assert progress.waiting
        try:
            assert outage.failed(away(kind), "row", trying=True)
        except glmv.ConnectionFailed as error:
            given_up = error
    assert 12 * 3600 < sum(network.pauses) < 12 * 3600 + 120
    assert max(network.pauses) == 60


@pytest.mark.parametrize("kind", ["no_such_host", "tls", "proxy_refused", "proxy_auth"])
def test_unrecoverable_connection_errors_before_the_first_answer_end_the_job(kind: str) -> None:
    outage = module.Outage(Progress(), asyncio.Event())
    with pytest.raises(glmv.ConnectionFailed):
        outage.failed(away(kind), "row", trying=False)
    outage.heard("row")
    if kind == "proxy_auth":  # a proxy may lock an account
        with pytest.raises(glmv.ConnectionFailed):
            outage.failed(away(kind), "row", trying=False)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (glmv.ServerError("The model is busy.", status_code=503, code="1305", retryable=True, attempts=1), True),
        (glmv.RateLimitError("too many", status_code=429, code="1302", retryable=True, attempts=1), True),
        (glmv.InvalidRequestError("wrong", status_code=400, code="1214", attempts=1), False),
        (glmv.ServerError("failed", status_code=500, retryable=False, attempts=1), False),
    ],
)
async def test_an_error_response_of_the_server_ends_the_wait_for_the_network(
    network: Network, error: glmv.GLMVError, again: bool
) -> None:
    progress = Progress()
    outage = module.Outage(progress, asyncio.Event())
    assert outage.failed(away("dns"), "row", trying=False)
    assert await outage.turn("row", lambda: False)
    assert outage.failed(error, "row", trying=True) is again  # it was tried without retries
    assert progress.waiting is None
    assert not await outage.turn("row", lambda: False)
    assert not outage.failed(error, "row", trying=False)


async def test_a_deadline_reached_without_a_connection_counts_as_an_outage(network: Network) -> None:
    late = glmv.DeadlineExceeded("late", attempts=3)
    late.__cause__ = away("dns")
    assert module.Outage(Progress(), asyncio.Event()).failed(late, "row", trying=False)


async def test_a_row_that_breaks_three_connections_fails_and_the_next_row_is_tried(network: Network) -> None:
    outage = module.Outage(Progress(), asyncio.Event())
    assert outage.failed(away("dns"), "row", trying=False)
    for again in (True, True, False):
        assert await outage.turn("row", lambda: False)
        assert outage.failed(away("reset"), "row", trying=True) is again
    assert await outage.turn("another", lambda: False)
    outage.heard("another")
    assert not await outage.turn("row", lambda: False)


# --- calls that break, which may be the network's doing or one picture's ---------------------------------------------


def page(status: int) -> glmv.ServerError:
    return glmv.ServerError("The server answered a page.", status_code=status, retryable=True, attempts=1)


def broken(what: Any) -> glmv.GLMVError:
    return away(what) if isinstance(what, str) else page(what)


BROKEN = ["reset", "read_timeout", "write_timeout", 502, 503, 504, 520, 522, 524, 530]


@pytest.mark.parametrize("what", BROKEN)
async def test_three_rows_in_succession_with_broken_connections_count_as_an_outage(network: Network, what: Any) -> None:
    progress = Progress()
    outage = module.Outage(progress, asyncio.Event())
    outage.heard("first")
    for row in ("a", "b"):
        assert outage.failed(broken(what), row, trying=False)
        assert progress.waiting is None
    assert outage.failed(broken(what), "c", trying=False)
    assert "Trying again in 2 s" in str(progress.waiting)
    for _ in range(20):
        assert await outage.turn("a", lambda: False)
        assert outage.failed(broken(what), "a", trying=True)
    assert network.pauses[:7] == [2, 4, 8, 16, 32, 60, 60]
    outage.heard("a")
    assert progress.waiting is None


@pytest.mark.parametrize("what", BROKEN)
async def test_a_row_whose_connections_break_three_times_fails_if_another_row_is_answered(
    network: Network, what: Any
) -> None:
    progress = Progress()
    outage = module.Outage(progress, asyncio.Event())
    for again in (True, True, False):
        assert outage.failed(broken(what), "row", trying=False) is again
        assert await outage.turn("another", lambda: False) is again
        assert network.pauses == []
        outage.heard("another")
    assert progress.waiting is None


async def test_rows_whose_attempts_all_time_out_fail_if_another_row_is_answered(network: Network) -> None:
    outage = module.Outage(Progress(), asyncio.Event())
    again = dict.fromkeys("abcd", True)
    for _ in range(20):
        for row in [row for row in again if again[row]]:
            again[row] = outage.failed(away("read_timeout"), row, trying=False)
        outage.heard("another")
    assert not any(again.values())


async def test_the_row_that_has_waited_longest_tries_the_server_first(network: Network) -> None:
    outage = module.Outage(Progress(), moved := asyncio.Event(), known=True)
    tried: list[str] = []

    async def ask(row: str) -> None:
        while await outage.turn(row, lambda: len(tried) == 7):
            tried.append(row)
            assert outage.failed(away("reset"), row, trying=True)
            moved.set()
            moved.clear()

    for row in "abc":
        outage.failed(away("reset"), row, trying=False)
    await asyncio.gather(*(ask(row) for row in "abc"))
    assert "".join(tried) == "abcabca"


@pytest.mark.parametrize(
    ("fault", "knobs"),
    [("reset-in-headers", {}), ("half-body", {}), ("gateway-page", {}), ("gateway-page", {"status": 504})],
)
@pytest.mark.parametrize("width", [1, 2, 5])
def test_a_job_waits_and_then_finishes_if_the_server_breaks_thirty_calls(
    emulator: Emulator, photos: Path, tmp_path: Path, network: Network, fault: str, knobs: dict[str, Any], width: int
) -> None:
    running = job(emulator, photos, max_concurrency=width)
    progress_lines: list[str] = []
    network.meanwhile = lambda: progress_lines.append(str(running.progress))
    rows = iter(running.rows())
    first = [next(rows)]
    emulator.inject(fault, 30, **knobs)
    all_rows = [*first, *rows]
    assert len(all_rows) == COUNT
    assert all(row.ok for row in all_rows)
    assert max(network.pauses) == 60
    assert any("Trying again in 60 s" in line for line in progress_lines)
    assert running.progress.waiting is None


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("bad", [{"04"}, {"11"}, {"00", "05", "11"}, {"03", "04", "05"}, {"08", "09", "10", "11"}])
def test_all_pictures_except_those_that_always_time_out_are_answered(
    emulator: Emulator, photos: Path, network: Network, width: int, bad: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask, prompts = glmv.AsyncClient.chat, []

    async def chat(self: Any, messages: Any, **options: Any) -> Any:
        text = messages[0]
        prompts.append(text)
        if text in bad:
            raise glmv.RequestTimeout("The server sent nothing within 300 s.", attempts=2, kind="read_timeout")
        return await ask(self, messages, **options)

    monkeypatch.setattr(glmv.AsyncClient, "chat", chat)
    base = emulator.base_url.replace("127.0.0.1", "localhost")
    running = Job(
        photos, messages=lambda item: [Path(item.name).stem, glmv.Image.from_path(item.path)], model=MODEL,
        base_url=base, api_key=emulator.api_key, max_concurrency=width, thinking=False,
    )  # fmt: skip
    rows = list(running.rows())
    assert len(rows) == COUNT
    assert {Path(row.key).stem for row in rows if not row.ok} == bad
    assert all(prompts.count(name) == 1 for name in set(prompts) - bad)
    alone_at_last = len(bad & {"09", "10", "11"}) == 3
    assert sum(network.pauses) < (module.PATIENCE_AT_LAST + 300 if alone_at_last else 300)


def test_an_unknown_host_ends_the_job_without_waiting(
    emulator: Emulator, photos: Path, tmp_path: Path, network: Network
) -> None:
    network.up = False
    running = job(emulator, photos)
    with pytest.raises(glmv.ConnectionFailed, match="check base_url"):
        running.write(tmp_path / "o.jsonl")
    assert (running.progress.failed, network.pauses) == (0, [])
    network.up = True
    assert job(emulator, photos).write(tmp_path / "o.jsonl").answered == COUNT


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "SSL_CERT_FILE"])
def test_an_invalid_proxy_or_certificate_variable_ends_the_job_without_waiting(
    photos: Path, tmp_path: Path, network: Network, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "gopher://proxy.example:1")
    running = Job(photos, "Which?", base_url="https://glm.example/v1", model=MODEL, api_key="k")
    with pytest.raises(glmv.InvalidRequestError, match=variable):
        running.write(tmp_path / "o.jsonl")
    assert (running.progress.failed, network.pauses) == (0, [])


@pytest.mark.parametrize(
    ("error", "final"),
    [
        (glmv.InvalidRequestError("wrong"), True),
        (glmv.LimitExceeded("too large"), True),
        (glmv.UnsupportedContent("no picture"), True),
        (glmv.ContextLengthError("too long"), True),
        (glmv.ContentFilterError("refused"), True),
        (glmv.NotFoundError("no such model"), False),
        (glmv.ConnectionFailed("", retryable=False), False),
        (glmv.RequestTimeout("", retryable=False), False),
        (glmv.DeadlineExceeded(""), False),
        (glmv.ServerError("", retryable=False), False),
        (glmv.RateLimitError(""), False),
        (glmv.MalformedResponse(""), False),
    ],
)
def test_only_an_error_that_would_repeat_with_the_same_request_is_final(error: glmv.GLMVError, final: bool) -> None:
    assert is_final(error) is final


def test_rows_that_failed_because_the_model_was_not_found_are_answered_on_retry(
    emulator: Emulator, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o.jsonl"
    emulator.fail(times=2, code=1211)  # the model is not there, today
    options = {"base_url": emulator.base_url, "max_concurrency": 1}
    first = job(emulator, photos, **options).write(out)
    assert (first.answered, first.failed) == (COUNT - 2, 2)
    again = job(emulator, photos, **options).write(out)
    assert (again.answered, again.known_failed) == (0, 2)
    last = job(emulator, photos, **options).write(out, retry_failed=True)
    assert (last.answered, last.known, last.failed) == (2, COUNT - 2, 0)


def test_a_job_without_an_answer_waits_until_the_platforms_host_name_is_resolved(
    emulator: Emulator, photos: Path, tmp_path: Path, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PLATFORM", ("localhost",))
    monkeypatch.setattr("glmv.transport.failures._PLATFORM", ("localhost",))
    network.up = False
    progress_lines: list[str] = []
    running = job(emulator, photos)

    def meanwhile() -> None:
        progress_lines.append(str(running.progress))
        network.up = sum(network.pauses) > 3600

    network.meanwhile = meanwhile
    done = running.write(tmp_path / "o.jsonl")
    assert (done.answered, done.failed) == (COUNT, 0)
    assert all("waiting: The name of localhost cannot be looked up" in line for line in progress_lines)


@pytest.mark.parametrize(
    ("base_url", "expected"),
    [
        ("https://open.bigmodel.cn/api/paas/v4", True),
        ("https://api.z.ai/api/paas/v4", True),
        ("https://bigmodel.cn.example/api/paas/v4", False),
        ("https://notz.ai/v4", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_only_hosts_of_bigmodel_cn_and_z_ai_are_recognized_as_the_platform(base_url: str, expected: bool) -> None:
    assert module.is_platform(base_url) is expected
