"""What the tests of many rooms start with."""

from __future__ import annotations

import pytest

from glmv_emulator import Emulator


@pytest.fixture
def emulator(glmv_emulator: Emulator) -> Emulator:
    """A running one, as the plugin gives it to everybody."""
    return glmv_emulator
