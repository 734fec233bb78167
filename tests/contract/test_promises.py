"""docs/promises.md tells the truth: every test that it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", (ROOT / "docs" / "promises.md").read_text("utf-8"))))


@cache
def functions_of(file: str) -> set[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize(("file", "test"), NAMED)
def test_every_test_that_holds_a_promise_exists(file: str, test: str) -> None:
    assert test in functions_of(file)


def test_every_promise_is_held_by_a_test() -> None:
    rows = re.findall(
        r"^\| (?!what \||-)(.+?) \|.*\| (.+?) \|$", (ROOT / "docs" / "promises.md").read_text("utf-8"), re.MULTILINE
    )
    assert len(rows) > 20
    assert [what for what, held in rows if "::test_" not in held] == []
