"""The Typer app: its commands, and their exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from glmv.cli import ask, batch, doctor, emulate, models
from glmv.cli.sources import is_source
from glmv.cli.terminal import INTERRUPTED, WRONG_USE, failures_as_exit_codes, prepare_streams, print_error

# What Typer raises for wrong arguments: the base of its one public class for them.
UsageError: Any = typer.BadParameter.__base__


class Commands(TyperGroup):
    """The commands; every failure ends in one sentence on standard error and a documented exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = False,
        **extra: Any,
    ) -> Any:
        """Run a command and exit.

        Args:
            args: the arguments; None means `sys.argv[1:]`.
            prog_name: the name of the program; None is "glmv".
            complete_var: see Typer.
            standalone_mode: whether to exit; if False, the exit code is returned.
            windows_expand_args: whether Typer expands patterns on Windows. False by default, because the commands
                expand patterns themselves, and because the question mark of a question is not a pattern.
            extra: see Typer.
        """
        try:
            with failures_as_exit_codes():
                prepare_streams()
                code = self._code(args, prog_name or "glmv", complete_var, windows_expand_args, extra)
        except typer.Exit as ended:
            code = ended.exit_code
        if not standalone_mode:
            return code
        sys.exit(code)

    def _code(
        self, args: Sequence[str] | None, prog_name: str, complete_var: str | None, expand: bool, extra: dict[str, Any]
    ) -> int:
        """Run the command, and return its exit code."""
        try:
            code = super().main(args, prog_name, complete_var, False, expand, **extra)
        except UsageError as error:
            message = error.format_message().rstrip()
            if type(error).__name__ == "NoArgsIsHelpError":  # the help, which Rich has printed already
                typer.echo(message, nl=bool(message))
                return WRONG_USE
            command = error.ctx.command_path if error.ctx is not None else prog_name
            print_error(f"{message}{'' if message.endswith(('.', '?')) else '.'} See: {command} --help")
            return WRONG_USE
        except typer.Abort:
            return INTERRUPTED
        return code if isinstance(code, int) else 0

    def invoke(self, ctx: Any) -> Any:
        """Run the command and print its failure, if any. Typer would print some failures in its own words."""
        with failures_as_exit_codes():
            return super().invoke(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command. If the first word is a file or URL instead, the error suggests `glmv ask`."""
        if args and args[0] not in self.commands and is_source(args[0]):
            print_error(f'{args[0]} is not a command. Write: glmv ask {args[0]} "What is in this picture?"')
            raise typer.Exit(WRONG_USE)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    name="glmv",
    cls=Commands,
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


def _version(requested: bool) -> None:
    if requested:
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
