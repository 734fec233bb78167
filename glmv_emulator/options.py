"""The options of `python -m glmv_emulator` and `glmv emulate`: one table for both.

The name of an option is the name of an argument of `Emulator`.
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, get_args

from glmv_emulator.emulator import Emulator
from glmv_emulator.faults.schedule import PROFILES
from glmv_emulator.http.hosts import LOOPBACK, loopback
from glmv_emulator.platform.settings import DOUBTS, Era

WRONG_USE = 2
UPSTREAM_KEY = "GLMV_EMULATOR_UPSTREAM_KEY"
HELP_WIDTH = 54  # of 80 columns
NO_BREAK = "\xa0"
NO_MODEL = """The emulator
answers from what it measures in the pictures; it is not GLM-4V."""
ELSEWHERE = """You can give options with * several times. docs/testing.md lists the faults,
docs/fidelity.md explains the doubts."""
OPEN = """WARNING: this emulator listens on {}. Anybody on the network
can see on the emulator's page what was sent to it, and anybody with its key
can use it.
"""


class Parser(argparse.ArgumentParser):
    """A parser that prints an error as one sentence, without the list of options."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG_USE, f"{self.prog}: {message}\n")


def parser(prog: str) -> Parser:
    """The parser for a command with this name."""
    result = Parser(
        prog=prog,
        usage="%(prog)s [options]",
        description=f"Run GLM-4V's emulator for other programs, until Ctrl-C. {NO_MODEL}",
        epilog=ELSEWHERE,
        allow_abbrev=False,
        formatter_class=argparse.RawTextHelpFormatter,
    )

    def row(name: str, help_text: str, *, short: tuple[str, ...] = (), many: bool = False, **settings: Any) -> None:
        if many:
            settings |= {"action": "append", "default": []}
        # argparse would break lines at hyphens, even inside names.
        lines = textwrap.fill(help_text + " *" * many, HELP_WIDTH, break_on_hyphens=False)
        group.add_argument(*short, name, help=lines.replace(NO_BREAK, " "), **settings)

    group = result.add_argument_group("where it listens")
    row("--port", "the port; 0 uses a free port (default)", short=("-p",), type=_count, default=0, metavar="N")
    row(
        "--host",
        f"the address, {LOOPBACK} by default; other addresses open the emulator to the network",
        default=LOOPBACK,
        metavar="ADDRESS",
    )
    row("--api-key", "the key to accept; by default a new one for each run", metavar="KEY")
    row("--tls", "files of a certificate and its key, for https", nargs=2, type=_file, metavar=("CERT", "KEY"))

    group = result.add_argument_group("what it answers")
    eras = get_args(Era)
    row(
        "--era",
        f"the year whose response format is used: {', '.join(eras[:-1])} or {eras[-1]} (default)",
        choices=eras,
        default=eras[-1],
        metavar="YEAR",
    )
    row("--say", "the next answer, to any request; several are used in order", many=True, metavar="TEXT")
    doubts = ", ".join(sorted(DOUBTS))
    strict = f"be strict where the documents disagree: {doubts}"
    row("--strict", strict, many=True, choices=sorted(DOUBTS), metavar="DOUBT")
    row("--stubborn", "give a first answer in prose if JSON is asked for in the prompt alone", action="store_true")
    row("--seed", "varies random faults, and details that no document specifies", type=int, default=0, metavar="N")
    upstream = (
        "an OpenAI-compatible server (Ollama, vLLM, llama.cpp) that answers in place of the emulator, such as "
        "http://127.0.0.1:11434/v1"
    )
    row("--upstream", upstream, metavar="URL")
    model = "the model to request from that server; by default the model in the request"
    row("--upstream-model", model, metavar="NAME")
    key = f"the key of that server; by default the variable {UPSTREAM_KEY}"
    row("--upstream-key", key, metavar="KEY")
    silence = "maximum seconds without data from that server (default: 300)"
    row("--upstream-timeout", silence, type=_seconds, default=300.0, metavar="SECONDS")

    group = result.add_argument_group("how fast it is")
    row("--pace", "seconds between two chunks of a stream", type=_seconds, default=0.0, metavar="SECONDS")
    polls = "number of polls before an asynchronous task ends (default: 1)"
    row("--async-polls", polls, type=_count, default=1, metavar="N")
    most = "maximum number of concurrent requests for a model; more requests are refused with 1302"
    row("--concurrency", most, many=True, type=_limit, metavar="MODEL=N")

    group = result.add_argument_group("what goes wrong")
    faults = 'a fault for one request, such as busy or "cut; after=2"; several are used in order'
    row("--fault", faults, many=True, dest="faults", metavar="FAULT")
    row("--chance", "the probability of a fault in a request, 0 to 1", type=float, metavar="P")
    days = ", ".join(f'"{name}"'.replace(" ", NO_BREAK) for name in PROFILES)
    row("--profile", f"a named set of faults: {days}", choices=tuple(PROFILES), metavar="NAME")
    return result


@contextmanager
def running(arguments: Sequence[str] | None, prog: str) -> Iterator[Emulator]:
    """A running emulator with these options; None means those in `sys.argv`. It stops at the end of the `with` block.

    A wrong option ends the process with code 2. If the network can reach the emulator, a warning is written to
    standard error.

    Raises:
        ImportError: the extra is not installed.
        OSError: the address or the port cannot be used.
    """
    options = parser(prog)
    settings: dict[str, Any] = vars(options.parse_args(arguments))
    settings["concurrency"] = dict(settings["concurrency"])
    if settings["upstream"] is not None and settings["upstream_key"] is None:
        settings["upstream_key"] = os.environ.get(UPSTREAM_KEY)
    answers = settings.pop("say")
    try:
        emulator = Emulator(**settings)
        emulator.say(*answers)
        emulator.start()
    except ValueError as problem:
        options.error(str(problem))
    except ssl.SSLError:
        options.error("argument --tls: the two files must be a certificate and its key, both in PEM")
    try:
        if not loopback(settings["host"]):
            sys.stderr.write(OPEN.format(settings["host"]))
            sys.stderr.flush()
        yield emulator
    finally:
        emulator.stop()


# These functions check only the form; `Emulator` checks the range.


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be an integer; got {text!r}") from None


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number of seconds; got {text!r}") from None


def _limit(text: str) -> tuple[str, int]:
    model, equals, number = text.rpartition("=")
    if equals and model and number.isdecimal() and int(number):
        return model, int(number)
    raise argparse.ArgumentTypeError(f"must be written like glm-4.6v=2; got {text!r}")


def _file(text: str) -> str:
    if Path(text).is_file():
        return text
    raise argparse.ArgumentTypeError(f"the file {text!r} does not exist")
