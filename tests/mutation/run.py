"""Run the tests of a module against its mutants, and write docs/mutation.md: `make mutate`.

Each mutant runs in a fork of a process that has the libraries imported already, so that a run costs its tests alone.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutation.mutants import Mutant, mutants

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "mutation.md"
SLOWEST = 10.0
"""A mutant may take so many times as long as the module does, and `GRACE` seconds, before it counts as noticed."""
GRACE = 20.0
MOST = 0.1
"""Share of the mutants of a module that may survive, those that are listed as equivalent aside."""
QUIET = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
IMPORTED_BEFORE = ("pytest", "hypothesis", "httpx", "pydantic", "numpy", "PIL.Image", "langchain_core.language_models",
                   "langchain.agents", "llama_index.core", "starlette", "uvicorn", "jsonschema")  # fmt: skip


class _Loader(importlib.abc.Loader):
    def __init__(self, code: CodeType) -> None:
        self._code = code

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, vars(module))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module, changed, and nothing else."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        spec = importlib.util.spec_from_file_location(name, self._path)
        assert spec is not None
        spec.loader = _Loader(self._code)
        return spec


def noticed(module: Path, mutant: Mutant | None, tests: Sequence[str], seconds: float) -> bool:
    """Whether tests fail with a module changed; None changes nothing. Longer than so many seconds is a failure."""
    child = os.fork()
    if child == 0:
        _run(module, mutant, tests)
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status != 0
        if time.monotonic() > until:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return True
        time.sleep(0.02)


def _run(module: Path, mutant: Mutant | None, tests: Sequence[str]) -> None:
    """In the fork: change the module, run the tests, and exit."""
    status = 1
    try:
        os.setpgrp()
        with Path(os.devnull).open("w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
        if mutant is not None:
            name = module.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
            code = compile(mutant.tree, str(module), "exec", dont_inherit=True)
            sys.meta_path.insert(0, _Finder(name, module, code))
        import pytest

        status = pytest.main([*QUIET, *tests])
    finally:
        os._exit(int(status != 0))


def survivors(module: Path, tests: Sequence[str], most: int) -> tuple[int, list[Mutant]]:
    """How many mutants of a module were tried, and those that no test noticed.

    Raises:
        SystemExit: the tests fail without a change.
    """
    started = time.monotonic()
    if noticed(module, None, tests, 600.0):
        raise SystemExit(f"The tests of {module.relative_to(ROOT)} fail without a change: {' '.join(tests)}")
    seconds = (time.monotonic() - started) * SLOWEST + GRACE
    every = list(mutants(module.read_text(encoding="utf-8")))
    chosen = random.Random(0).sample(every, min(most, len(every)))
    left = [
        mutant for mutant in sorted(chosen, key=lambda each: each.line) if not noticed(module, mutant, tests, seconds)
    ]
    return len(chosen), left


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="paths; all without")
    parser.add_argument("--most", type=int, default=60, help="mutants of a module that are tried, chosen at random")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    table = tomllib.loads((HERE / "modules.toml").read_text(encoding="utf-8"))
    for name in IMPORTED_BEFORE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    rows: list[str] = []
    missed = False
    for name in options.modules or table["modules"]:
        known: dict[str, str] = table["equivalent"].get(name, {})
        tried, left = survivors(ROOT / name, table["modules"][name], options.most)
        same = [mutant for mutant in left if mutant.change in known]
        others = [mutant for mutant in left if mutant.change not in known]
        share = len(others) / max(tried - len(same), 1)
        missed = missed or share > MOST
        print(f"{name}: {tried} mutants, {len(others)} survive ({share:.0%}), {len(same)} are equivalent", flush=True)
        for mutant in others:
            print(f"    line {mutant.line}: {mutant.change}", flush=True)
        rows.append(f"| `{name}` | {tried} | {len(others)} | {share:.0%} | {len(same)} |")
    if options.write:
        head, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- table -->")
        tail = rest.partition("<!-- end -->")[2]
        lines = ["| module | mutants | survivors | share | equivalent |", "|---|---:|---:|---:|---:|", *rows]
        PAGE.write_text(f"{head}<!-- table -->\n" + "\n".join(lines) + f"\n<!-- end -->{tail}", encoding="utf-8")
    sys.exit(f"More than {MOST:.0%} of the mutants of a module survive." if missed else 0)


if __name__ == "__main__":
    main()
