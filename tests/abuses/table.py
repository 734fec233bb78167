"""Thirty abuses, tried on `glmv`, `ChatGLMV`, `GLMV` and the emulator: how each responds.

`test_abuses.py` runs this table, and `benchmarks/reliability.py` writes it to docs/reliability.md. A check returns a
few words about what it saw; it raises `Wrong` when it saw something that must not happen.
"""

from __future__ import annotations

import os
import sys

from glmv_emulator import Emulator
from tests.abuses import answers, emulator, keys, pictures
from tests.abuses.subjects import CANARY, SUBJECTS, Check, NotApplicable, Setup, Subject, Wrong


def run_in_child(check: Check, subject: Subject) -> str:
    """Run a check in its own child process, so that memory is measured from a fixed start -> its outcome."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            pipe.write(result_of(check, subject))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return (text or "✗ the process died").replace("|", "\\|").replace("\n", " ")


def result_of(check: Check, subject: Subject) -> str:
    """Outcome of a check: ✓ and what it saw, ✗ and what is wrong, or – if the check does not apply."""
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
    """The lines of the section about abuses in docs/reliability.md."""
    os.environ["LANGSMITH_TRACING"] = "false"
    lines = [
        "## The abuses",
        "",
        "| # | abuse | " + " | ".join(subject.name for subject in SUBJECTS) + " |",
        "|--:|---|---|---|---|",
    ]
    for number, title, check in OURS:
        cells = [run_in_child(check, subject) for subject in SUBJECTS]
        lines.append(f"| {number} | {title} | " + " | ".join(cells) + " |")
        sys.stderr.write(lines[-1] + "\n")
    lines += ["", "| # | abuse | the emulator |", "|--:|---|---|"]
    for number, title, check in emulator.CHECKS:
        lines.append(f"| {number} | {title} | {run_in_child(check, SUBJECTS[0])} |")
        sys.stderr.write(lines[-1] + "\n")
    return lines
