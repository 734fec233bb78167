"""The pytest fixture `glmv_emulator`: GLM-4V on loopback for one test."""

from __future__ import annotations

import traceback
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from glmv_emulator import Emulator

_PASSED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Remember whether a test passed, for the fixture."""
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture
def glmv_emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """A running `glmv_emulator.Emulator`; the test is skipped where the extra `emulator` is not installed.

    A test that passes fails in the end when it leaves answers of `say` or `call` unused, or when the function that it
    gave to `answer` raised.
    """
    from glmv_emulator import Emulator

    try:
        emulator = Emulator().start()
    except ImportError as missing:
        pytest.skip(str(missing))
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
            f"{len(left)} scripted answers were not used, since no request asked for them:{lines}", pytrace=False
        )
