"""What the emulator claims about itself is written down, up to date and backed by tests that exist."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]


@pytest.fixture
def fidelity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fidelity", ROOT / "docs" / "fidelity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_manifest_says(fidelity: ModuleType) -> None:
    assert fidelity.PAGE.read_text("utf-8") == fidelity.rendered(), "run: python docs/fidelity.py"


def test_every_claim_has_a_source_and_says_how_it_was_verified(fidelity: ModuleType) -> None:
    for claim in fidelity.claims():
        assert set(claim) == {"topic", "claim", "source", "verified", "read", "shown", "test"}
        assert claim["source"]
        assert claim["verified"] in fidelity.VERIFIED


def test_a_claim_by_a_document_names_the_page_that_was_read_and_no_other_does(fidelity: ModuleType) -> None:
    for claim in fidelity.claims():
        assert bool(claim["read"]) == (claim["verified"] == "document"), claim["claim"]


def test_what_users_reported_says_who_showed_it(fidelity: ModuleType) -> None:
    assert [claim["claim"] for claim in fidelity.claims() if claim["verified"] == "report" and not claim["shown"]] == []


def test_every_test_that_is_named_exists_and_a_claim_by_sdk_names_a_contract_test(fidelity: ModuleType) -> None:
    for claim in fidelity.claims():
        if claim["test"]:
            file, _, name = claim["test"].partition("::")
            assert f"def {name}(" in (ROOT / file).read_text("utf-8"), claim["test"]
        if claim["verified"] == "sdk":
            assert claim["test"].startswith("tests/contract/")
