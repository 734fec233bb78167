"""Tests of the built packages, and of an environment in which they are installed."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests that install from a package index, unless their mark is selected."""
    for item in items:
        if item.get_closest_marker("wheel") is not None and "wheel" not in config.option.markexpr:
            item.add_marker(pytest.mark.skip(reason="make test-wheel"))
