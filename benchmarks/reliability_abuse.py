"""Thirty abuses, tried on `glmv`, `ChatGLMV` and `GLMV`, and on the emulator: what each does about them.

Used by `reliability.py`; `python benchmarks/reliability_abuse.py` prints the table alone. A check returns what it saw
in a few words; it raises `Wrong` with what it should not have seen.
"""

from __future__ import annotations

import os
import sys

import reliability_answers as answers
import reliability_hosts as hosts
import reliability_pictures as pictures
import reliability_secrets as secrets
from reliability_faces import CANARY, FACES, Check, Face, NotHere, World, Wrong

from glmv_emulator import Emulator

os.environ["LANGSMITH_TRACING"] = "false"


def tried(check: Check, face: Face) -> str:
    """A check in a child of its own, so that memory is measured from where it stands."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w") as told:
            told.write(_tried(check, face))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        text = told.read()
    os.waitpid(child, 0)
    return (text or "✗ the process died").replace("|", "\\|").replace("\n", " ")


def _tried(check: Check, face: Face) -> str:
    with Emulator(api_key=CANARY) as emu:
        try:
            return f"✓ {check(World(face, emu))}"
        except NotHere:
            return "–"
        except Wrong as wrong:
            return f"✗ {wrong}"
        except Exception as problem:  # noqa: BLE001 - an abuse that ends in any other way is wrong, too
            return f"✗ raw {type(problem).__name__}: {str(problem)[:80]}"


def abuses() -> list[str]:
    """The section of the page."""
    lines = [
        "## The abuses",
        "",
        "| # | abuse | " + " | ".join(face.name for face in FACES) + " |",
        "|--:|---|---|---|---|",
    ]
    for number, title, check in sorted([*secrets.CHECKS, *pictures.CHECKS, *answers.CHECKS]):
        cells = [tried(check, face) for face in FACES]
        lines.append(f"| {number} | {title} | " + " | ".join(cells) + " |")
        sys.stderr.write(lines[-1] + "\n")
    lines += ["", "| # | abuse | the emulator |", "|--:|---|---|"]
    for number, title, check in hosts.CHECKS:
        lines.append(f"| {number} | {title} | {tried(check, FACES[0])} |")
        sys.stderr.write(lines[-1] + "\n")
    return lines


if __name__ == "__main__":
    abuses()
