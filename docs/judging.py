"""The table of who judges an answer: `python docs/judging.py` writes it into structured.md."""

from __future__ import annotations

import re
from pathlib import Path

from glmv.structured.judging import JUDGING

PAGE = Path(__file__).parent / "structured.md"
HEAD = ("entry point", "asked once more", "who judges", "returns", "raises when twice", "error, or what tells")
_TABLE = re.compile(r"(?<=<!-- judging -->\n)(.*?)(?=<!-- /judging -->)", re.DOTALL)


def table() -> str:
    """The tables of `glmv.structured.judging`, one a package."""
    lines: list[str] = []
    for package in dict.fromkeys(row.package for row in JUDGING):
        lines += ["", f"**{package}**", "", f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
        rows = [row for row in JUDGING if row.package == package]
        lines += [
            f"| `{row.entry}` | {', '.join(row.asks_again)} | {row.judge} | {row.returns} "
            f"| {', '.join(row.raises) or 'never'} | {row.error} |"
            for row in rows
        ]
    return "\n".join([*lines, "", ""])


def filled(text: str) -> str:
    """A page with the table that is between its marks."""
    return _TABLE.sub(lambda _: table(), text)


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
