"""The Typer app: which commands there are."""

from __future__ import annotations

from typing import Annotated

import typer

from glmv.cli import ask, batch, doctor, emulate, models

app = typer.Typer(
    help="Ask GLM-4V, Zhipu's vision model, about pictures.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,  # locals hold keys and pictures
)
app.command(name="ask")(ask.ask)
app.command(name="batch")(batch.batch)
app.command(name="models")(models.models)
app.command(name="emulate", add_help_option=False, context_settings=emulate.PASSED_ON)(emulate.emulate)
app.command(name="doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from glmv import __version__

        typer.echo(f"glmv {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Ask GLM-4V, Zhipu's vision model, about pictures."""
