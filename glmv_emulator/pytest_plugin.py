"""The pytest fixture `glmv_emulator`: GLM-4V on loopback for one test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from glmv_emulator import Emulator


@pytest.fixture
def glmv_emulator() -> Iterator[Emulator]:
    """A running `glmv_emulator.Emulator`; the test is skipped where the extra `emulator` is not installed."""
    from glmv_emulator import Emulator

    try:
        emulator = Emulator().start()
    except ImportError as missing:
        pytest.skip(str(missing))
    try:
        yield emulator
    finally:
        emulator.stop()
