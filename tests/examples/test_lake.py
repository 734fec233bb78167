"""The data lake example: a folder of receipts and photographs becomes a table for SQL queries."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from glmv_emulator import Emulator

EXAMPLE = Path(__file__).parents[2] / "examples" / "lake"

pytestmark = pytest.mark.eyes
pytest.importorskip("rapidocr", reason='it reads receipts: pip install "glmv[eyes]"')
pytest.importorskip("duckdb", reason="the example asks in SQL")
pytest.importorskip("pyarrow", reason="the extra `batch` writes Parquet")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Import the example's files as modules; the test unloads them, because other examples use the same names."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    names = ("draw", "lake")
    for name in names:
        sys.modules.pop(name, None)
    yield importlib.import_module
    for name in names:
        sys.modules.pop(name, None)


def test_sql_queries_return_the_values_drawn_on_the_receipts(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    draw, lake = load("draw"), load("lake")
    table = tmp_path / "lake.parquet"
    with Emulator() as emulator:
        lake.job(draw.fill(tmp_path / "pictures"), base_url=emulator.base_url, api_key=emulator.api_key).write(table)
    drawn = sorted((shop, day, draw.total(lines)) for shop, day, lines in draw.RECEIPTS)
    rows = lake.query(table, "select shop, date, total from lake where total is not null").fetchall()
    assert sorted(rows) == drawn
    assert lake.query(table, lake.QUESTIONS["Which day was dearest?"]).fetchall() == [("2026-03-10", 25.5)]
    others = lake.query(table, lake.QUESTIONS["Which pictures are no receipts?"]).fetchall()
    assert [key for key, _ in others] == ["cat.jpg", "coffee.jpg", "rocket.jpg"]
