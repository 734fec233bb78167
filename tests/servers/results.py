"""Results of a run as tables of docs/servers.md: written with WRITE=1, otherwise compared with the page.

A row is a test, a column is a server and its route; a cell says whether all clients of glmv passed. Versions are
written, but may differ from those of the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "servers.md"
MARK = "<!-- {} of {}, written by `make test-{} WRITE=1` -->"
Cells = dict[tuple[str, str], str]
"""(row, column) -> the text of the cell."""


class Results:
    """A pytest plugin that collects outcomes.

    Args:
        target: "servers" or "engines", as in `make test-servers`.
        write: write the page; otherwise the run fails if the page differs.
    """

    def __init__(self, target: str, *, write: bool) -> None:
        self._target, self._write = target, write
        self._outcomes: dict[str, dict[tuple[str, str], list[tuple[str, str]]]] = {}
        self._versions: dict[str, str] = {}
        self._differences: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: Any = yield  # type: ignore[misc]  # pytest's protocol for wrappers
        self._versions.update(value for name, value in item.user_properties if name == "version")
        if report.when == "call" or (report.when == "setup" and report.failed):
            self._add(item, report)
        return report

    def _add(self, item: Any, report: pytest.TestReport) -> None:
        if (found := cell_of(item)) is None:
            return
        table, cell, way = found
        outcome = "yes" if report.passed else "failed"
        if hasattr(report, "wasxfail"):
            outcome = f"no: {report.wasxfail}"
        self._outcomes.setdefault(table, {}).setdefault(cell, []).append((way, outcome))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not self._outcomes or session.exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            return
        page = PAGE.read_text("utf-8")
        for table, outcomes in self._outcomes.items():
            verdicts = {cell: _verdict(of_ways) for cell, of_ways in outcomes.items()}
            begin, end = (MARK.format(word, table, self._target) for word in ("begin", "end"))
            if self._write:
                before, _, rest = page.partition(begin)
                page = f"{before}{begin}\n{rendered(verdicts, self._versions)}\n{end}{rest.partition(end)[2]}"
            else:
                there = table_of_page(table, self._target)
                self._differences += [
                    f"{table}: {row!r}, {column!r} is {verdict!r}, the page has {there.get((row, column))!r}"
                    for (row, column), verdict in verdicts.items()
                    if there.get((row, column)) != verdict
                ]
        if self._write:
            PAGE.write_text(page, "utf-8")
        elif self._differences and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        for server, version in self._versions.items():
            terminalreporter.write_line(f"{server} {version}")
        for difference in self._differences:
            terminalreporter.write_line(f"docs/servers.md is not up to date: {difference}", red=True)
        if self._differences:
            terminalreporter.write_line(f"make test-{self._target} WRITE=1 writes the tables")


def cell_of(item: Any) -> tuple[str, tuple[str, str], str] | None:
    """A test -> its table, row, column and client; None for a test without a table."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    table = item.path.stem.removeprefix("test_")
    if table in {"proxies", "provider"}:
        return None  # what goes through is no table: it works or is a bug
    column = str(params.get("route", ""))
    column = column if table != "nginx" else column.partition(" ")[0]
    row = item.originalname.removeprefix("test_").replace("_", " ")
    if "case" in params:
        row = f"{row}: {params['case']}"
    return table, (row, column), str(params.get("way", ""))


def table_of_page(table: str, target: str) -> Cells:
    """A table of the page."""
    begin, end = (MARK.format(word, table, target) for word in ("begin", "end"))
    return parsed(PAGE.read_text("utf-8").partition(begin)[2].partition(end)[0])


def _verdict(of_ways: list[tuple[str, str]]) -> str:
    kinds = {outcome for _, outcome in of_ways}
    if len(kinds) == 1:
        return kinds.pop()
    worst = next(kind for kind in sorted(kinds) if kind != "yes")
    return f"{worst} ({', '.join(sorted({way for way, outcome in of_ways if outcome != 'yes'}))})"


def rendered(cells: Cells, versions: dict[str, str]) -> str:
    """A markdown table with reasons below it."""
    rows, columns = (list(dict.fromkeys(key[at] for key in cells)) for at in (0, 1))
    notes: dict[str, int] = {}

    def cell(row: str, column: str) -> str:
        verdict = cells.get((row, column), "–")
        kind, _, reason = verdict.partition(": ")
        return f"{kind} ({notes.setdefault(reason, len(notes) + 1)})" if reason else kind

    heads = [" ".join((name, versions.get(name, ""), *kind)).strip() for name, *kind in map(str.split, columns)]
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---|' * len(columns)}"]
    lines += [f"| {row} | {' | '.join(cell(row, column) for column in columns)} |" for row in rows]
    lines += [f"\n({number}) {reason}" for reason, number in notes.items()]
    return "\n".join(lines)


def parsed(table: str) -> Cells:
    """The cells of a rendered table, with versions left out of the columns."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    if not lines:
        return {}
    notes = dict(re.findall(r"^\((\d+)\) (.*)$", table, re.MULTILINE))
    heads = [re.sub(r"^(\S+) v?\d\S*", r"\1", head) for head in lines[0][1:]]
    cells = {}
    for row, *verdicts in lines[2:]:
        for column, verdict in zip(heads, verdicts, strict=True):
            cells[row, column] = re.sub(r" \((\d+)\)$", lambda found: f": {notes[found[1]]}", verdict)
    return cells
