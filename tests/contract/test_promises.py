"""docs/promises.md is correct: every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "promises.md").read_text("utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_named_on_the_page_of_promises_exists(file: str, test: str) -> None:
    assert test in functions_of(file)


def test_every_promise_names_a_test() -> None:
    rows = re.findall(r"^\| (?!what \||-)(.+?) \|.*\| (.+?) \|$", PAGE, re.MULTILINE)
    assert len(rows) > 20
    assert [what for what, held in rows if "::test_" not in held] == []


def test_the_tests_of_client_promises_are_in_the_reliability_suite() -> None:
    suite = re.search(
        r"^RELIABILITY := \$\(addprefix tests/, ([^)]+)\)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE
    )
    assert suite is not None
    paths = tuple(suite[1].replace("\\", " ").split())
    assert [path for path in paths if not (ROOT / "tests" / path).exists()] == []
    _, _, client = PAGE.partition("## The client")
    named = set(re.findall(r"`([\w/]+\.py)::test_", client.partition("## The emulator")[0]))
    assert len(named) > 10
    assert sorted(file for file in named if not file.startswith(paths)) == []
