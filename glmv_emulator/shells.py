"""Environment variables, in the form that each shell accepts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping


def assignments(variables: Mapping[str, str]) -> str:
    """Lines to copy that set variables in sh, PowerShell and cmd, under a comment with the name of the shell.

    Args:
        variables: names with their values; a value has no line breaks.
    """
    return "\n\n".join("\n".join([name, *(one(*each) for each in variables.items())]) for name, one in _SHELLS)


def _sh(name: str, value: str) -> str:
    return f"export {name}={shlex.quote(value)}"


def _powershell(name: str, value: str) -> str:
    doubled = value.replace("'", "''")
    return f"$env:{name} = '{doubled}'"


def _cmd(name: str, value: str) -> str:
    # The quotes are not part of the value. Without them, spaces at the end of the line would become part of it.
    return f'set "{name}={value}"'


# The heading above the lines for a shell is a comment in that shell.
_SHELLS = (("# sh, bash, zsh", _sh), ("# PowerShell", _powershell), ("rem cmd", _cmd))
