"""What is built of the project, and what somebody gets who installs it."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that install from a package index run when they are asked for by their mark."""
    for item in items:
        if item.get_closest_marker("wheel") is not None and "wheel" not in config.option.markexpr:
            item.add_marker(pytest.mark.skip(reason="make test-wheel"))
