"""Each mutant can be compiled, and differs from its source."""

from __future__ import annotations

import ast

from tests.mutation.mutants import mutants

SOURCE = """
LIMIT = 3


def f(items: list[str], last: bool) -> list[str] | None:
    while items and not last:
        if len(items) > LIMIT or "a" in items:
            break
        items.append(items[0] if items else "b")
        print(items)
    return items
"""


def test_each_mutant_compiles_and_differs_from_its_source() -> None:
    every = list(mutants(SOURCE))
    assert len(every) > 15
    for mutant in every:
        compile(mutant.tree, "module.py", "exec", dont_inherit=True)
        assert ast.dump(mutant.tree) != ast.dump(ast.parse(SOURCE)), mutant
