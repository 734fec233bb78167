"""`glmv models`: the catalogue as a table."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

import glmv
from glmv.cli.terminal import out

LEGEND = "\nEmpty: not documented, nothing is refused for it.  -: not taken.  window, answer: tokens at most."
Everything = Annotated[bool, typer.Option("--all", help="Text models too, not only those that see.")]

MIB = 1024 * 1024  # bytes; the platform says "MB"


def models(everything: Everything = False) -> None:
    """List the models and their documented limits."""
    table = Table(box=None, header_style="bold", pad_edge=False, caption=LEGEND, caption_justify="left")
    table.add_column("model", no_wrap=True)
    for name in ("window", "answer", "pictures", "each", "videos"):
        table.add_column(name, justify="right")
    for name in ("pictures as", "thinking", "status"):
        table.add_column(name)
    for model in glmv.models():
        if everything or model.sees:
            table.add_row(*_cells(model), style="dim" if model.status == "legacy" else "")
    out.print(table)


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
