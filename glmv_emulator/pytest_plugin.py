"""The pytest fixture `glmv_emulator`: an emulator for one test."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from glmv_emulator import Emulator

_PASSED = pytest.StashKey[bool]()
_EMULATOR: pytest.StashKey[Emulator] = pytest.StashKey()
# The classes that pytest.fail(), skip(), xfail() and exit() raise.
_OUTCOMES = (pytest.fail.Exception, pytest.skip.Exception, pytest.exit.Exception)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """End the test with the outcome (fail, skip, xfail or exit) that the function given to `answer` raised, if any.

    The client gets only an HTTP error, and the test may catch it.
    """
    try:
        returned = yield
    except Exception as failed:
        for outcome in _outcomes(item):
            raise outcome from failed
        raise
    for outcome in _outcomes(item):
        raise outcome
    return returned


def _outcomes(item: pytest.Item) -> list[BaseException]:
    emulator = item.stash.get(_EMULATOR, None)
    return [] if emulator is None else [error for error in emulator.errors if isinstance(error, _OUTCOMES)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Store whether a test passed, for the fixture."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def glmv_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A running `glmv_emulator.Emulator`; the test is skipped if the extra `emulator` is not installed.

    A passing test fails at its end if answers of `say` or `call` are unused, or if the function given to `answer`
    raised. If the function called `pytest.skip()` or `pytest.fail()`, the test is skipped or fails.
    """
    from glmv_emulator import Emulator

    try:
        emulator = Emulator().start()
    except ImportError as missing:
        pytest.skip(str(missing))
    request.node.stash[_EMULATOR] = emulator
    try:
        yield emulator
    finally:
        emulator.stop()
    if request.node.stash.get(_PASSED, False):
        _check(emulator)


def _check(emulator: Emulator) -> None:
    for error in emulator.errors:
        pytest.fail(
            "The function given to answer() raised:\n" + "".join(traceback.format_exception(error)), pytrace=False
        )
    if left := emulator.unused:
        from glmv_emulator.answers.scripted import shortened

        lines = "".join(f"\n  {shortened(reply)}" for reply in left)
        pytest.fail(
            f"{len(left)} scripted answers were not used, because no request asked for them:{lines}", pytrace=False
        )
