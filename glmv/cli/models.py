"""`glmv models`: the catalogue as a table, one line for each model."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import typer
from rich.text import Text

import glmv
from glmv.cli.terminal import out, say_json

LEGEND = "Empty: not documented, so not checked.  -: not accepted.  window, answer: maximum tokens."
Everything = Annotated[bool, typer.Option("--all", help="List text models, too, not only vision models.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print all facts about the models as JSON.")]

MIB = 1024 * 1024  # bytes; the platform says "MB"
GAP = "  "


class ModelColumn(NamedTuple):
    """A column of the table, and whether its values are right-aligned."""

    name: str
    right: bool


COLUMNS = (
    ModelColumn("model", right=False),
    ModelColumn("window", right=True),
    ModelColumn("answer", right=True),
    ModelColumn("pictures", right=True),
    ModelColumn("each", right=True),
    ModelColumn("videos", right=True),
    ModelColumn("pictures as", right=False),
    ModelColumn("thinking", right=False),
    ModelColumn("status", right=False),
)
# What a narrow terminal goes without, the first of these first.
LEFT_OUT = ("each", "pictures as", "answer", "status", "window", "videos", "thinking", "pictures")


def models(everything: Everything = False, as_json: AsJson = False) -> None:
    """List the models and their documented limits."""
    listed = [model for model in glmv.models() if everything or model.sees]
    if as_json:
        say_json([dataclasses.asdict(model) for model in listed])
        return
    rows = [_cells(model) for model in listed]
    # Not of a terminal, lines may be of any length: they are for grep, or for another window.
    widths, hidden = fitting(rows, out.width if out.is_terminal else None)
    _print([column.name for column in COLUMNS], widths, "bold")
    for model, cells in zip(listed, rows, strict=True):
        _print(cells, widths, "dim" if model.status == "legacy" else "")
    if out.is_terminal:
        more = f"  A wider terminal also shows: {', '.join(hidden)}. --json shows everything." if hidden else ""
        out.print(Text(f"\n{LEGEND}{more}"))


def fitting(rows: Sequence[Sequence[str]], width: int | None) -> tuple[dict[int, int], list[str]]:
    """Selects the columns that fit into a line.

    Args:
        rows: the cells of all columns.
        width: the width of a line in characters; None is unlimited.

    Returns:
        The index and the width of each column that is shown, and the names of the columns that are not.
    """
    widths = {
        number: max(len(column.name), *(len(row[number]) for row in rows)) for number, column in enumerate(COLUMNS)
    }
    hidden: list[str] = []
    for name in LEFT_OUT:
        if width is None or sum(widths.values()) + len(GAP) * (len(widths) - 1) <= width:
            break
        hidden.append(name)
        widths = {number: most for number, most in widths.items() if COLUMNS[number].name != name}
    return widths, [column.name for column in COLUMNS if column.name in hidden]


def _print(cells: Sequence[str], widths: dict[int, int], style: str) -> None:
    line = GAP.join(
        cells[number].rjust(width) if COLUMNS[number].right else cells[number].ljust(width)
        for number, width in widths.items()
    )
    out.print(Text(line.rstrip(), style), soft_wrap=True)


def _cells(model: glmv.Model) -> tuple[str, ...]:
    return (
        model.name,
        _thousands(model.context),
        _thousands(model.max_output),
        _number(model.images),
        f"{model.image_bytes // MIB} MiB" if model.image_bytes else "",
        _number(model.videos),
        ("URL, base64" if model.image_base64 else "URL only") if model.sees else "",
        "" if model.thinking == "no" else model.thinking,
        "" if model.status == "active" else model.status,
    )


def _thousands(tokens: int | None) -> str:
    return "" if tokens is None else f"{tokens / 1024:.0f} K" if tokens >= 10_000 else str(tokens)


def _number(count: int | None) -> str:
    return "" if count is None else str(count) if count else "-"
