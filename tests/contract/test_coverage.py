"""docs/coverage.md is correct: its tests exist, and it lists everything in the code's tables."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from glmv.catalog.lookup import models
from glmv.options import Options
from glmv.wire.codes import CODES, STATUSES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "coverage.md").read_text("utf-8")
WIRE_CASES = 45


def rows() -> dict[str, dict[str, str]]:
    """Section -> item -> the tests that check it."""
    sections: dict[str, dict[str, str]] = {}
    for section in PAGE.split("\n## ")[1:]:
        title, _, body = section.partition("\n")
        cells = re.findall(r"^\| (.+?) \| (.+) \|$", body, re.MULTILINE)
        sections[title] = {what: how for what, how in cells if what != "what"}
    return sections


ROWS = rows()


@cache
def names_in(file: str) -> set[str]:
    """The tests of a file, those inside classes as Class::test."""
    names = set()
    for node in ast.parse((ROOT / "tests" / file).read_text("utf-8")).body:
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=kind, body=body):
                names |= {f"{kind}::{inner.name}" for inner in body if isinstance(inner, ast.FunctionDef)}
    return names


@pytest.mark.parametrize("section", ROWS)
def test_every_test_named_on_the_coverage_page_exists(section: str) -> None:
    for what, how in ROWS[section].items():
        for file, name in re.findall(r"`([\w/]+\.py)::([\w:]+)`", how):
            assert name in names_in(file), f"{what}: {file}::{name}"


@pytest.mark.parametrize("section", ROWS)
def test_every_row_of_the_coverage_page_names_a_test_or_a_reason(section: str) -> None:
    assert ROWS[section]
    for what, how in ROWS[section].items():
        assert "::" in how or len(how.split()) > 3, what


def test_every_option_has_a_row_on_the_coverage_page() -> None:
    listed = {what.partition(" ")[0] for what in ROWS["Request parameters"]}
    assert set(Options.model_fields) - listed == set()


def test_every_error_code_and_http_status_has_a_row_on_the_coverage_page() -> None:
    assert set(ROWS["Business codes"]) == set(CODES)
    assert {str(status) for status in STATUSES} - ROWS["HTTP statuses without a known code"].keys() == set()


def test_every_type_of_content_part_has_a_row_on_the_coverage_page() -> None:
    listed = ROWS["Content parts and messages"]
    assert {"text", "image_url", "video_url", "file_url", "file", "input_audio"} <= listed.keys()


def test_every_message_role_of_the_catalogue_has_a_row_on_the_coverage_page() -> None:
    listed = " ".join(ROWS["Content parts and messages"])
    assert [role for row in models() for role in row.roles if f"{role} message" not in listed] == []


def test_the_45_wire_cases_are_rows_of_the_coverage_page_in_order() -> None:
    numbers = [int(what.partition(" ")[0]) for what in ROWS["Forty-five wire cases"]]
    assert numbers == list(range(1, WIRE_CASES + 1))


def test_every_endpoint_that_is_called_has_a_row_on_the_coverage_page() -> None:
    source = "".join(path.read_text("utf-8") for path in (ROOT / "glmv").rglob("*.py"))
    called = set(re.findall(r"\"(/[a-z-]+(?:/[a-z]+)*)\"", source)) - {"/api/anthropic", "/api/paas/v4"}
    text = " ".join(ROWS["Endpoints"])
    assert called
    assert [path for path in called if path not in text] == []
