"""An emulator that sends only scripted answers."""

from __future__ import annotations

from glmv_emulator import Ask, Emulator, Reply


def nothing_waits(ask: Ask) -> Reply:
    raise AssertionError(f"no answer is scripted for {ask.text!r}")


def only_scripted(emulator: Emulator) -> Emulator:
    """The same emulator without default rules: a request without a scripted answer fails."""
    emulator.answer(nothing_waits)
    return emulator
