"""An emulator that answers what a test scripts, and nothing else."""

from __future__ import annotations

from glmv_emulator import Ask, Emulator, Reply


def nothing_waits(ask: Ask) -> Reply:
    raise AssertionError(f"no answer is scripted for {ask.text!r}")


def only_scripted(emulator: Emulator) -> Emulator:
    """The same emulator, whose default rules answer nothing: a request too many fails."""
    emulator.answer(nothing_waits)
    return emulator
