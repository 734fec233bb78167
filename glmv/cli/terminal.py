"""What the commands print, and how a failure is told."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from glmv import AuthenticationError, GLMVError

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)

WITHOUT_A_KEY = "No key yet? --emulator asks the built-in emulator, which measures pictures and needs none."
EMULATOR = "[black on yellow] EMULATOR [/]"

# Bidirectional overrides can make a text read as another one (Unicode TR 36, "Bidirectional Text Spoofing").
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def harmless(text: str) -> str:
    """Text from elsewhere -> text that cannot steer a terminal: control characters become U+FFFD."""
    return "".join("\ufffd" if _steers(letter) else letter for letter in text.replace("\r\n", "\n"))


def _steers(letter: str) -> bool:
    return letter in _BIDI or (unicodedata.category(letter) == "Cc" and letter not in "\n\t")


def say(text: str, *, end: str = "\n") -> None:
    """Print text that came from elsewhere, as it is but for control characters."""
    sys.stdout.write(harmless(text) + end)
    sys.stdout.flush()


@contextmanager
def failures_told() -> Iterator[None]:
    """A `GLMVError` becomes its message and exit code 1; Ctrl-C becomes exit code 130, as shells expect."""
    try:
        yield
    except GLMVError as error:
        err.print(Text.assemble(("error: ", "red"), harmless(str(error))))
        for note in getattr(error, "__notes__", ()):
            if note.removeprefix("note: ") in error.message:
                continue
            err.print(Text(harmless(note), "dim"))
        if isinstance(error, AuthenticationError) and error.status_code is None:
            err.print(Text(WITHOUT_A_KEY, "dim"))
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
