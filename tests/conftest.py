"""Rules for every test: no network beyond this machine, and no environment variables of the calling shell."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import signal
import ssl
import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.encrypted import Encrypted
from tests.support.fake_server import WHOLE

# In CI a test may be skipped for these reasons only: the beginning of the reason, and why the skip is right.
SKIPS = {
    "make test-browser": "a step of CI of its own",
    "make test-cluster": "a step of CI of its own",
    "make test-stores": "a step of CI of its own",
    "make test-servers": "a step of CI of its own",
    "make test-wheel": "a step of CI of its own",
    "make test-agents": "a step of CI of its own",
    "make test-engines": "2 GB; its last result stands in docs/servers.md",
    "no key is set": "CI has no key of the platform",
    "Model does not support audio inputs.": "LangChain's suite asks each model; GLM-4V takes no audio",
    "VCR not set up.": "LangChain's suite replays recordings of a vendor's network",
    "root reads all files": "CI runs as root",
    "core before": "the oldest frameworks that are promised lack it",
    "chat engines of this core": "the oldest LlamaIndex that is promised leaves pictures out",
    "this core takes bytes only": "the oldest LlamaIndex that is promised lacks it",
    "langchain-core 1.4 and 1.5": "the oldest LangChain that is promised lacks it",
    "could not import": "the oldest frameworks are tested without the extras",
    "the emulator reads words with the extra": "the oldest frameworks are tested without the extras",
}
# LiteLLM would fetch its table of models when it is imported.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

SETTINGS = ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL")

with contextlib.suppress(ImportError):  # the tests with the oldest frameworks use no Hypothesis
    from hypothesis import HealthCheck
    from hypothesis import settings as hypothesis_settings

    # Time is that of a busy machine. Fixtures of a test keep nothing from one example to the next.
    hypothesis_settings.register_profile(
        "glmv", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
    )
    hypothesis_settings.load_profile("glmv")

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


_unexpected: set[str] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> Generator[None, None, None]:
    """Record skips for reasons that are not on the list; no test is marked xfail."""
    if report.skipped and not hasattr(report, "wasxfail") and isinstance(report.longrepr, tuple):
        _judge(report.nodeid, report.longrepr[2])
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_collectreport(report: pytest.CollectReport) -> Generator[None, None, None]:
    """Record files that are skipped completely for reasons that are not on the list."""
    if report.skipped and isinstance(report.longrepr, tuple):
        _judge(report.nodeid, report.longrepr[2])
    return (yield)


def _judge(nodeid: str, reason: str) -> None:
    reason = reason.removeprefix("Skipped: ")
    if not reason.startswith(tuple(SKIPS)):
        _unexpected.add(f"{nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run of CI that skipped a test for a reason that is not on the list."""
    if os.environ.get("CI") and _unexpected and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """In CI, print the tests that were skipped for a reason that is not on the list."""
    if os.environ.get("CI"):
        for skip in sorted(_unexpected):
            terminalreporter.write_line(f"SKIPPED for a reason that is not on the list of tests/conftest.py: {skip}")


@pytest.fixture(autouse=True)
def a_clean_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove keys and base URLs of the shell from the environment, except for tests marked `live`."""
    global _open_to_the_world
    _open_to_the_world = request.node.get_closest_marker("live") is not None
    if not _open_to_the_world:
        for name in SETTINGS:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def empty_picture_cache() -> None:
    """Empty the cache of fitted pictures before each test."""
    answer = sys.modules.get("glmv.media.kept")
    if answer is not None:
        answer.CHECKED.clear()
        answer.FITTED.clear()


@pytest.fixture
def retries_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry without pauses, except those that the server asks for."""
    from glmv.exchange import retry

    monkeypatch.setattr(retry, "PAUSES", dict.fromkeys(retry.PAUSES, (0.0, 0.0)))
    monkeypatch.setattr("glmv.exchange.gate.PAUSE", 0.0)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of a self-signed certificate for `localhost` and of its key."""
    from glmv_emulator.faults.traps import self_signed

    return self_signed(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def encrypted(certificate: tuple[Path, Path]) -> Iterator[Encrypted]:
    """An HTTPS server that answers "hello"."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    running = Encrypted(context)
    running.plays(lambda peer: peer.say(WHOLE))
    yield running
    running.stop()
