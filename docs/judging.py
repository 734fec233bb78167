"""The table of who judges an answer: `python docs/judging.py` writes it into structured.md."""

from __future__ import annotations

import re
from pathlib import Path

from glmv.structured.judging import JUDGING

PAGE = Path(__file__).parent / "structured.md"
HEAD = ("entry point", "asked again after", "who judges", "returns", "raises after a second")
_TABLE = re.compile(r"(?<=<!-- judging -->\n)(.*?)(?=<!-- /judging -->)", re.DOTALL)


def breakable(cell: str) -> str:
    """A cell whose longest names may break, after a bracket and in front of a capital letter."""
    return re.sub(
        r"(?<![`\w])\w[^\s`]{23,}", lambda name: re.sub(r"(?<=[a-z(])(?=[A-Z])|(?<=\w\()", "<wbr>", name[0]), cell
    )


def table() -> str:
    """The tables of `glmv.structured.judging`, one a package."""
    lines: list[str] = []
    for package in dict.fromkeys(row.package for row in JUDGING):
        lines += ["", f"**{package}**", "", f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
        rows = [row for row in JUDGING if row.package == package]
        lines += [
            f"| `{row.entry}` | {', '.join(row.asks_again)} | {breakable(row.judge)} | {breakable(row.returns)} "
            f"| {', '.join(row.raises) or 'nothing'}: {breakable(row.error)} |"
            for row in rows
        ]
    return "\n".join([*lines, "", ""])


def filled(text: str) -> str:
    """A page with the table that is between its marks."""
    return _TABLE.sub(lambda _: table(), text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
