"""Variables of the environment, written as each shell takes them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def assignments(variables: Mapping[str, str]) -> str:
    """Lines that set variables, for sh, PowerShell and cmd; each shell's under its name, to be copied.

    Args:
        variables: names with their values, which stand on one line.
    """
    shells = (
        ("sh, bash, zsh", lambda name, value: f"export {name}={shlex.quote(value)}"),
        ("PowerShell", lambda name, value: f"$env:{name} = '{value.replace(chr(39), chr(39) * 2)}'"),
        # The quotes are no part of the value; without them a space before the end of the line would be.
        ("cmd", lambda name, value: f'set "{name}={value}"'),
    )
    return "\n\n".join(
        "\n".join([f"# {shell}" if shell != "cmd" else "rem cmd", *(write(*each) for each in variables.items())])
        for shell, write in shells
    )
