"""No abuse of the table succeeds against the three clients or the emulator."""

from __future__ import annotations

import pytest

from tests.abuses import emulator
from tests.abuses.subjects import SUBJECTS, Check, Subject
from tests.abuses.table import OURS, result_of


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
@pytest.mark.parametrize("check", [pytest.param(check, id=title) for _, title, check in OURS])
def test_each_abuse_that_is_tried_on_a_client_has_no_effect(check: Check, subject: Subject) -> None:
    assert result_of(check, subject)[0] in "✓–"


@pytest.mark.parametrize("check", [pytest.param(check, id=title) for _, title, check in emulator.CHECKS])
def test_each_abuse_that_is_tried_on_the_emulator_has_no_effect(check: Check) -> None:
    assert result_of(check, SUBJECTS[0])[0] == "✓"
