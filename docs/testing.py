"""Writes the tables of testing.md from the emulator's own: `python docs/testing.py`."""

from __future__ import annotations

from pathlib import Path

from glmv_emulator import Emulator
from glmv_emulator.faults.schedule import PROFILES, table
from glmv_emulator.faults.table import Fault

PAGE = Path(__file__).parent / "testing.md"
MARK = "<!-- {} of {}, written by docs/testing.py -->"


def faults() -> list[str]:
    lines = ["| # | name | what happens | what a client should do | to set |", "|--:|---|---|---|---|"]
    return lines + [
        f"| {row.number or ''} | `{row.name}` | {row.what} | {row.advice} | {_knobs(row)} |" for row in table()
    ]


def _knobs(row: Fault) -> str:
    if row.apply is None:
        return row.instead
    return ", ".join(f"`{knob}={value!r}`" for knob, value in row.knobs.items())


def profiles() -> list[str]:
    lines = ["| profile | what kind of day it is | chance of a fault |", "|---|---|--:|"]
    return lines + [f"| `{name}` | {day.what} | {day.chance:g} |" for name, day in PROFILES.items()]


def rendered(page: str) -> str:
    """The page with its tables as they are now."""
    for what, lines in (("faults", faults()), ("profiles", profiles())):
        begin, end = MARK.format("begin", what), MARK.format("end", what)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}"
    return page


if __name__ == "__main__":
    assert Emulator.FAULTS
    PAGE.write_text(rendered(PAGE.read_text("utf-8")), "utf-8")
