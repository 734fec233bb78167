"""The command `glmv`: `ask`, `batch`, `models`, `emulate`, `doctor`. One module for each command.

The commands import the other packages by their public names, and only inside the commands. So `glmv --help` and
`import glmv` stay quick, and each command needs only what it uses.
"""

from __future__ import annotations

import os
import sys

NEEDED = {"typer", "rich"}
# Set to anything, it shows where in the code a fault is.
TRACEBACK = "GLMV_TRACEBACK"


def main() -> None:
    """Run the command line. Without the extra `cli`, say how to install it and exit with 1."""
    try:
        from glmv.cli.app import app
        from glmv.cli.terminal import FAULT, print_error
    except ModuleNotFoundError as missing:
        if missing.name not in NEEDED:
            raise
        print('The command line needs an extra: pip install "glmv[cli]"', file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    try:
        app()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as fault:  # nothing of this is expected: the test of the command line lets it through
        if os.environ.get(TRACEBACK):
            raise
        print_error(
            f"This is a fault of glmv ({type(fault).__name__}: {fault}). Set {TRACEBACK}=1 to see the traceback."
        )
        raise SystemExit(FAULT) from None
