"""The tables of docs/servers.md have the rows and columns of the tests; this check starts no server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.results import PAGE, table_of_page

ROOT = PAGE.parents[1]
# A separate process collects the tests, because this run may have selected only some.
COLLECT = """
import json, pytest
from tests.servers.results import cell_of

class Cells:
    def pytest_collection_finish(self, session):
        found = {(table, *cell) for item in session.items if (made := cell_of(item)) for table, cell, _ in [made]}
        print("cells:", json.dumps(sorted(found)), flush=True)

options = ["--collect-only", "-qq", "-p", "no:cacheprovider", "-m", "servers or engines", "tests/servers"]
raise SystemExit(pytest.main(options, plugins=[Cells()]))
"""


@pytest.fixture(scope="module")
def collected() -> set[tuple[str, str, str]]:
    """Table, row and column of every test."""
    done = subprocess.run([sys.executable, "-c", COLLECT], cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line.partition("cells: ")[2] for line in done.stdout.splitlines() if "cells: " in line]
    assert lines, done.stdout + done.stderr
    return {(table, row, column) for table, row, column in json.loads(lines[0])}


@pytest.mark.parametrize(("table", "target"), [("answers", "servers"), ("nginx", "servers"), ("engines", "engines")])
def test_each_table_of_the_servers_page_has_the_rows_and_columns_of_the_tests(
    collected: set[tuple[str, str, str]], table: str, target: str
) -> None:
    on_page = {cell for cell, verdict in table_of_page(table, target).items() if verdict != "–"}
    assert on_page == {(row, column) for name, row, column in collected if name == table}


def test_the_tests_of_answers_and_nginx_and_engines_each_have_a_table(collected: set[tuple[str, str, str]]) -> None:
    files = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert (
        {table for table, _, _ in collected}
        == files - {"proxies", "page", "provider"}
        == {"answers", "nginx", "engines"}
    )
