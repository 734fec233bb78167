"""Claims about the emulator's fidelity are documented, up to date, and name tests that exist."""

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


def test_the_page_about_fidelity_is_up_to_date_with_its_list_of_claims(fidelity: ModuleType) -> None:
    assert fidelity.PAGE.read_text("utf-8") == fidelity.rendered(), "run: python docs/fidelity.py"


def test_every_claim_has_a_source_and_says_how_it_was_verified(fidelity: ModuleType) -> None:
    for claim in fidelity.claims():
        assert set(claim) == {"topic", "claim", "source", "verified", "read", "shown", "test"}
        assert claim["source"]
        assert claim["verified"] in fidelity.VERIFIED


def test_only_claims_verified_by_a_document_say_which_page_was_read(fidelity: ModuleType) -> None:
    for claim in fidelity.claims():
        assert bool(claim["read"]) == (claim["verified"] == "document"), claim["claim"]


def test_claims_reported_by_users_name_their_source(fidelity: ModuleType) -> None:
    assert [claim["claim"] for claim in fidelity.claims() if claim["verified"] == "report" and not claim["shown"]] == []


def test_each_test_cited_by_a_claim_exists_and_sdk_claims_cite_contract_tests(fidelity: ModuleType) -> None:
    for claim in fidelity.claims():
        if claim["test"]:
            file, _, name = claim["test"].partition("::")
            assert f"def {name}(" in (ROOT / file).read_text("utf-8"), claim["test"]
        if claim["verified"] == "sdk":
            assert claim["test"].startswith("tests/contract/")
