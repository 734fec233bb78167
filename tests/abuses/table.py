"""Thirty abuses, tried on `glmv`, `ChatGLMV` and `GLMV`, and on the emulator: what each does about them.

`test_abuses.py` runs this table, and `benchmarks/reliability.py` writes it to docs/reliability.md. A check returns what
it saw in a few words; it raises `Wrong` with what it should not have seen.
"""

from __future__ import annotations

import os
import sys

from glmv_emulator import Emulator
from tests.abuses import answers, emulator, keys, pictures
from tests.abuses.subjects import CANARY, SUBJECTS, Check, NotApplicable, Setup, Subject, Wrong


def tried(check: Check, subject: Subject) -> str:
    """A check in a child of its own, so that memory is measured from where it stands."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as told:
            told.write(result_of(check, subject))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return (text or "✗ the process died").replace("|", "\\|").replace("\n", " ")


def result_of(check: Check, subject: Subject) -> str:
    """What came of a check: after ✓ what it saw, after ✗ what is wrong; – where it does not apply."""
    with Emulator(api_key=CANARY) as emu:
        try:
            return f"✓ {check(Setup(subject, emu))}"
        except NotApplicable:
            return "–"
        except Wrong as wrong:
            return f"✗ {wrong}"
        except Exception as problem:
            return f"✗ raw {type(problem).__name__}: {str(problem)[:80]}"


OURS = sorted([*keys.CHECKS, *pictures.CHECKS, *answers.CHECKS])


def abuses() -> list[str]:
    """The section of the page."""
    os.environ["LANGSMITH_TRACING"] = "false"
    lines = [
        "## The abuses",
        "",
        "| # | abuse | " + " | ".join(subject.name for subject in SUBJECTS) + " |",
        "|--:|---|---|---|---|",
    ]
    for number, title, check in OURS:
        cells = [tried(check, subject) for subject in SUBJECTS]
        lines.append(f"| {number} | {title} | " + " | ".join(cells) + " |")
        sys.stderr.write(lines[-1] + "\n")
    lines += ["", "| # | abuse | the emulator |", "|--:|---|---|"]
    for number, title, check in emulator.CHECKS:
        lines.append(f"| {number} | {title} | {tried(check, SUBJECTS[0])} |")
        sys.stderr.write(lines[-1] + "\n")
    return lines
