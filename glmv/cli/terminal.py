"""Prints the output and the failures of the commands."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import typer
from rich.console import Console
from rich.text import Text

from glmv import AuthenticationError, GLMVError
from glmv.cli.words import in_words_of_the_shell


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Raise the error, so that `failures_as_exit_codes` sets the exit code."""
        raise


out = _Console(highlight=False)
err = _Console(stderr=True, highlight=False)

WITHOUT_A_KEY = "No key yet? --emulator asks the built-in emulator, which measures pictures and needs no key."
EMULATOR = "[black on yellow] EMULATOR [/]"

# Exit codes, as docs/cli.md lists them. The last two are those of any program that a signal ends: 128 + the number
# of the signal.
FAILED, WRONG_USE, FAULT, INTERRUPTED, CLOSED_PIPE = 1, 2, 70, 130, 141

# Bidirectional overrides can make a text read as another one (Unicode TR 36, "Bidirectional Text Spoofing").
_BIDI = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Control characters, and halves of a character, which no encoding can hold.
_CATEGORIES = frozenset({"Cc", "Cs"})


def harmless(text: str) -> str:
    """Makes a text that comes from outside safe to print: the result cannot control the terminal.

    Control characters (except line breaks and tabs), bidirectional overrides and lone surrogates become U+FFFD.
    """
    return "".join("\ufffd" if _steers(letter) else letter for letter in text.replace("\r\n", "\n"))


def _steers(letter: str) -> bool:
    return letter in _BIDI or (unicodedata.category(letter) in _CATEGORIES and letter not in "\n\t")


def prepare_streams() -> None:
    """Make standard output and standard error accept every character. A character that the encoding lacks becomes `?`.

    Raises:
        Exit: there is no standard output, so an answer would be paid for and lost.
    """
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - for as long as the process lives
    if sys.stdout is None:
        print_error("There is no standard output to write to.")
        raise typer.Exit(FAILED)
    for stream in (sys.stdout, sys.stderr):
        # A stream that replaces characters in some way already keeps it.
        if getattr(stream, "errors", None) in ("strict", "surrogateescape") and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def encodes(text: str) -> bool:
    """Whether the encoding of standard output has every character of a text."""
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def say(text: str, *, end: str = "\n") -> None:
    """Print text from outside, without control characters."""
    sys.stdout.write(harmless(text) + end)
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print a value as JSON. A character that standard output cannot encode is escaped, so that it is not lost."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    say(text if encodes(text) and harmless(text) == text else json.dumps(value, indent=2, default=str))


def print_note(text: str | Text, style: str = "dim") -> None:
    """Print a text on standard error, in one line; it is broken into several lines only on a terminal."""
    err.print(Text(text, style) if isinstance(text, str) else text, soft_wrap=not err.is_terminal)


def print_error(message: str) -> None:
    """Print what went wrong, in one line."""
    print_note(Text.assemble(("error: ", "red"), " ".join(harmless(message).split())))


@contextmanager
def failures_as_exit_codes() -> Iterator[None]:
    """A context that turns a failure into one sentence on standard error and an exit code.

    Raises:
        Exit: with `FAILED`, with `INTERRUPTED` after Ctrl-C, or with `CLOSED_PIPE` if nobody reads the output.
    """
    try:
        yield
    except GLMVError as error:
        print_error(in_words_of_the_shell(str(error)))
        for note in getattr(error, "__notes__", ()):
            if note.removeprefix("note: ") not in error.message:
                print_note(in_words_of_the_shell(harmless(note)))
        if isinstance(error, AuthenticationError) and error.status_code is None:
            print_note(WITHOUT_A_KEY)
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except ImportError as missing:
        print_error(in_words_of_the_shell(str(missing)))
        raise typer.Exit(FAILED) from None
    except sqlite3.Error as error:
        print_error(f"The ledger next to the output cannot be used: {error}.")
        raise typer.Exit(FAILED) from None
    except OSError as error:
        if error.errno in _CLOSED and error.filename is None:
            _discard(sys.stdout)
            raise typer.Exit(CLOSED_PIPE) from None
        print_error(_of_system(error))
        raise typer.Exit(FAILED) from None


def _of_system(error: OSError) -> str:
    if error.errno is None:  # raised by the packages, with a message in sentences
        return in_words_of_the_shell(str(error))
    if error.filename is not None:
        return f"{error.filename} cannot be used: {error.strerror}."
    _discard(sys.stdout)
    return f"The output cannot be written: {error.strerror}."


# Windows reports EINVAL for a pipe that nobody reads.
_CLOSED = {errno.EPIPE, errno.EINVAL} if os.name == "nt" else {errno.EPIPE}


def _discard(stream: TextIO) -> None:
    """Redirect a broken stream to the null device. Without this, Python would write to the stream at exit, and warn."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
