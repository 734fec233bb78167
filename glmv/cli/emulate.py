"""`glmv emulate`: the emulator in the foreground, until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

import typer

from glmv.cli.terminal import EMULATOR, FAILED, out, print_error

if TYPE_CHECKING:
    from glmv_emulator import Emulator

# The options are the emulator's own (`glmv_emulator.options`), which is imported when the command runs.
PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


def emulate(context: typer.Context) -> None:
    """Run GLM-4V's emulator on this machine for other programs."""
    emulator_class()
    from glmv_emulator.options import running
    from glmv_emulator.platform.settings import answered_by
    from glmv_emulator.shells import assignments

    ended = threading.Event()
    with running(context.args, "glmv emulate") as emu:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: ended.set())
        variables = {"ZHIPUAI_BASE_URL": emu.base_url, "ZHIPUAI_API_KEY": emu.api_key}
        whole = not out.is_terminal
        out.print(f"{EMULATOR} {answered_by(emu.upstream)}.\n", soft_wrap=whole)
        out.print(assignments(variables), markup=False, soft_wrap=True)
        out.print("\nPaste the two lines for your shell into another terminal.", style="dim", soft_wrap=whole)
        out.print(f"Each request is shown at {emu.origin}/  Ctrl-C ends the emulator.", style="dim", soft_wrap=whole)
        # Windows reports Ctrl-C only between two waits.
        while not ended.wait(1.0):
            pass


def emulator_class() -> type[Emulator]:
    """The class `Emulator`. If its extra is not installed, this prints how to install it, and exits with code 1."""
    try:
        from glmv_emulator import Emulator
    except ModuleNotFoundError as missing:
        if str(missing.name).startswith("glmv"):
            raise
        print_error('The emulator needs an extra: pip install "glmv[emulator]"')
        raise typer.Exit(FAILED) from None
    return Emulator
