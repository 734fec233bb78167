"""The command `glmv`: `ask`, `batch`, `models`, `emulate`, `doctor`. One file a command.

The commands import the other packages by their public names, and it does so inside the commands: `glmv --help`
and `import glmv` stay quick, and each command needs only what it uses.
"""

from __future__ import annotations

import sys

NEEDED = {"typer", "rich"}


def main() -> None:
    """Run the command line. Without the extra `cli`, say how to install it and exit with 1."""
    try:
        from glmv.cli.app import app
    except ModuleNotFoundError as missing:
        if missing.name not in NEEDED:
            raise
        print('The command line needs an extra: pip install "glmv[cli]"', file=sys.stderr)
        raise SystemExit(1) from None
    app()
