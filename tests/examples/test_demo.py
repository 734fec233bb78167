"""The demo runs from the command line, as in `make demo`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_demo_prints_an_answer_for_each_picture_and_names_the_emulator() -> None:
    done = subprocess.run(
        [sys.executable, "examples/demo"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "EMULATOR" in done.stdout
    assert "600" in done.stdout, "the photograph is 600 pixels wide"
    assert "800" in done.stdout, "the chart is 800 pixels wide"
    assert "coffee.jpg (" in done.stdout
    assert "rocket.jpg (" in done.stdout
