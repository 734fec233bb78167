"""Fixtures of the batch tests."""

from __future__ import annotations

import pytest

from glmv_emulator import Emulator


@pytest.fixture
def emulator(glmv_emulator: Emulator) -> Emulator:
    """A running emulator, as the pytest plugin provides it."""
    return glmv_emulator
