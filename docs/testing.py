"""Writes the tables of testing.md, in both languages, from the emulator's own: `python docs/testing.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from glmv_emulator import Emulator
from glmv_emulator.faults.schedule import PROFILES, table
from glmv_emulator.faults.table import Fault

DOCS = Path(__file__).parent
MARK = "<!-- {} of {}, written by docs/testing.py -->"
# A page -> the translations of what its tables say. A text without one is an error, so that none becomes stale.
PAGES = {
    DOCS / "testing.md": None,
    DOCS / "zh" / "testing.md": json.loads((DOCS / "zh" / "testing.json").read_text("utf-8")),
}


def faults(said: Callable[[str], str]) -> list[str]:
    lines = [f"| # | {said('name | what happens | what a client should do | to set')} |", "|--:|---|---|---|---|"]
    return lines + [
        f"| {row.number or ''} | `{row.name}` | {said(row.what)} | {said(row.advice)} | {_options(row, said)} |"
        for row in table()
    ]


def _options(row: Fault, said: Callable[[str], str]) -> str:
    if row.apply is None:
        return said(row.instead)
    return ", ".join(f"`{option}={value!r}`" for option, value in row.options.items())


def profiles(said: Callable[[str], str]) -> list[str]:
    lines = [f"| {said('profile | what happens | chance of a fault')} |", "|---|---|--:|"]
    return lines + [f"| `{name}` | {said(day.what)} | {day.chance:g} |" for name, day in PROFILES.items()]


def rendered(page: str, words: dict[str, str] | None = None) -> str:
    """The page with its tables as they are now, in the language of the words; in English without any."""

    def said(text: str) -> str:
        return text if words is None else words[text]

    for what, lines in (("faults", faults(said)), ("profiles", profiles(said))):
        begin, end = MARK.format("begin", what), MARK.format("end", what)
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}"
    return page


if __name__ == "__main__":
    assert Emulator.FAULTS
    for path, words in PAGES.items():
        path.write_text(rendered(path.read_text("utf-8"), words), "utf-8")
