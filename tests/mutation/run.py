"""Run the tests of a module against its mutants, and write docs/mutation.md: `make mutate`.

The tests are collected once. A first run without a change records which lines of the module each test reaches. Then
each mutant gets a fork, in which the tests that reach its changed lines run, the fastest first. For a changed constant,
the fork sets the new value wherever the constant was imported, and runs all tests that use the module. For other
changes to code that an import runs, the changed module is imported in a new process.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import gc
import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import pickle
import random
import resource
import signal
import sys
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest

from tests.mutation.mutants import Mutant, mutants

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PAGE = ROOT / "docs" / "mutation.md"
SLOWEST = 10.0
"""A test may take this many times as long as without a change, and `GRACE` seconds, before it counts as failed."""
GRACE = 5.0
TRACED = 30_000
"""This many calls and lines of a test are traced; a test with more is taken to run all `LINES`."""
LINES = 10_000
MEMORY = 6 << 30
"""Bytes that the tests of one mutant may take."""
MOST = 0.1
"""Share of the mutants of a module that may survive, those that are listed as equivalent aside."""
QUIET = ["-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
IMPORTED_BEFORE = ("hypothesis", "httpx", "pydantic", "numpy", "PIL.Image", "langchain_core.language_models",
                   "langchain.agents", "llama_index.core", "starlette", "uvicorn", "jsonschema")  # fmt: skip
_NOT_SWAPPED = 99
_CACHE = type(functools.lru_cache(lambda: None))


@dataclass
class Run:
    """A run of the tests without a change.

    Attributes:
        lines: id of a test -> the lines of the module that it runs.
        seconds: id of a test -> how long it takes.
        failed: ids of tests that fail.
    """

    lines: dict[str, set[int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def tests_for(self, mutant: Mutant) -> list[str]:
        """The tests that can notice a change, the fastest first; all of its module if an import runs the change."""
        fastest = sorted(self.seconds, key=self.seconds.__getitem__)
        if mutant.lines is None:
            return [test for test in fastest if self.lines.get(test)] or fastest
        return [test for test in fastest if mutant.lines & self.lines.get(test, set())]


class Observed:
    """A pytest plugin that fills a Run."""

    def __init__(self, module: Path, run: Run, *, traced: bool) -> None:
        self._file, self._run, self._traced = str(module), run, traced
        # A cached result would keep a later test from running the lines that it depends on.
        self._caches = _caches() if traced else []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        lines = self._run.lines.setdefault(item.nodeid, set())
        left = TRACED

        def local(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            lines.add(frame.f_lineno)
            left -= 1
            return local if left > 0 else None

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal left
            left -= 1
            if left <= 0:  # a long test: it is taken to run the whole module
                lines.update(range(1, LINES))
                sys.settrace(None)
                return None
            return local if frame.f_code.co_filename == self._file else None

        for cache in self._caches:
            cache.cache_clear()
        started = time.monotonic()
        if self._traced:
            threading.settrace(trace)
            sys.settrace(trace)
        try:
            return (yield)
        finally:
            if self._traced:
                sys.settrace(None)
                threading.settrace(None)  # type: ignore[arg-type]  # typeshed knows no None
            else:
                self._run.seconds[item.nodeid] = time.monotonic() - started

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self._traced:
            self._run.failed.append(report.nodeid)


class Limited:
    """A pytest plugin that runs some tests in an order, and ends the process when one fails or takes too long."""

    def __init__(self, tests: Sequence[str], seconds: dict[str, float]) -> None:
        self._order = {test: number for number, test in enumerate(tests)}
        self._seconds = seconds

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.choose(items)

    def choose(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._order), key=lambda item: self._order[item.nodeid]
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        # The default action of SIGALRM ends the process, even one that is in an endless loop.
        signal.setitimer(signal.ITIMER_REAL, self._seconds[item.nodeid] * SLOWEST + GRACE)
        return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            os._exit(1)


class Forks:
    """A pytest plugin that runs the collected tests once for each job, each time in a fork."""

    def __init__(self, jobs: Callable[[], Iterator[Callable[[pytest.Session], None]]]) -> None:
        self._jobs = jobs
        self.statuses: list[int] = []
        self.is_fork = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        for job in self._jobs():
            child = os.fork()
            if child == 0:
                self.is_fork = True
                os.setpgrp()
                job(session)
                return None  # and pytest runs the tests
            self.statuses.append(_status_of(child))
        return True


def _status_of(child: int) -> int:
    """Wait for a process, end what it started, and return its status."""
    status = os.waitpid(child, 0)[1]
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    return status


class NoticedMutants:
    """A file of the mutants that earlier runs noticed, so that only survivors are tried again. None: no file."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._all: dict[str, list[str]] = json.loads(path.read_text()) if path is not None and path.exists() else {}

    def of(self, module: Path) -> set[str]:
        """The changes that were noticed in a module; none if the module has been edited since."""
        return set(self._all.get(self._key(module), ()))

    def add(self, module: Path, mutant: Mutant) -> None:
        """Record that a mutant was noticed, and write the file."""
        changes = self._all.setdefault(self._key(module), [])
        if str(mutant) not in changes:
            changes.append(str(mutant))
        if self._path is not None:
            self._path.write_text(json.dumps(self._all))

    @staticmethod
    def _key(module: Path) -> str:
        return hashlib.sha256(module.read_bytes()).hexdigest()


def survivors(module: Path, tests: Sequence[str], most: int, earlier: NoticedMutants) -> tuple[int, list[Mutant]]:
    """How many mutants of a module were tried, and those that no test noticed.

    Raises:
        SystemExit: the tests fail without a change.
    """
    every = list(mutants(module.read_text(encoding="utf-8")))
    sample = sorted(random.Random(0).sample(every, min(most, len(every))), key=lambda each: each.line)
    before = earlier.of(module)
    chosen = [mutant for mutant in sample if str(mutant) not in before]
    for mutant in chosen:  # a mutant that does not compile would count as noticed
        compile(mutant.tree, str(module), "exec", dont_inherit=True)
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result"
        _in_fork(lambda: _in_functions(module, tests, chosen, Path(folder), result, earlier))
        if not result.exists():
            raise SystemExit(f"The tests of {module.relative_to(ROOT)} did not run: {' '.join(tests)}")
        run, noticed = pickle.loads(result.read_bytes())
    if run.failed:
        raise SystemExit(f"Tests of {module.relative_to(ROOT)} fail without a change: {' '.join(run.failed)}")
    left = []
    for number in filter(noticed.get, noticed):
        earlier.add(module, chosen[number])
    for number, mutant in enumerate(chosen):
        if number not in noticed:
            noticed[number] = _in_fork(lambda mutant=mutant: _at_import(module, mutant, tests, run)) != 0
            if noticed[number]:
                earlier.add(module, mutant)
        if not noticed[number]:
            left.append(mutant)
    return len(sample), left


def _in_fork(function: Callable[[], int]) -> int:
    """Run a function in a fork that prints nothing, and return the exit status of the fork."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setpgrp()
            with Path(os.devnull).open("w") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            status = function()
        finally:
            os._exit(status)
    return _status_of(child)


def _in_functions(
    module: Path, tests: Sequence[str], chosen: Sequence[Mutant], folder: Path, result: Path, earlier: NoticedMutants
) -> int:
    """Try the mutants inside of functions and the changed constants, each in a fork.

    Writes to `result` the run without a change, and a dict: number of a mutant -> whether a test noticed it.
    """
    run = Run()
    numbers: list[int] = []

    def jobs() -> Iterator[Callable[[pytest.Session], None]]:
        nonlocal run
        for traced in (False, True):
            observed = Observed(module, run, traced=traced)
            yield lambda session, observed=observed: session.config.pluginmanager.register(observed)
            run = pickle.loads((folder / "run").read_bytes())
            if run.failed:
                return
        for number, mutant in enumerate(chosen):
            if mutant.lines is None and _constant(mutant) is None:
                continue

            def change(session: pytest.Session, mutant: Mutant = mutant) -> None:
                limited = Limited(run.tests_for(mutant), run.seconds)
                limited.choose(session.items)
                session.config.pluginmanager.register(limited)
                resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
                try:
                    if (constant := _constant(mutant)) is not None:
                        _assign(module, constant)
                    else:
                        _swap(module, compile(mutant.tree, str(module), "exec", dont_inherit=True))
                except (KeyError, ValueError):
                    os._exit(_NOT_SWAPPED)

            numbers.append(number)
            yield change
            if forks.statuses[-1] not in {0, _NOT_SWAPPED << 8}:  # kept now, in case this run is stopped
                earlier.add(module, mutant)

    forks = Forks(jobs)
    status = pytest.main([*QUIET, *tests], plugins=[forks])
    if forks.is_fork:
        (folder / "run").write_bytes(pickle.dumps(run))
        return int(status not in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED})
    noticed = {
        number: status != 0
        for number, status in zip(numbers, forks.statuses[2:], strict=True)
        if status != _NOT_SWAPPED << 8
    }
    result.write_bytes(pickle.dumps((run, noticed)))
    return 0


def _swap(module: Path, code: CodeType) -> None:
    """Give the functions of an imported module the code of its mutant.

    Raises:
        KeyError, ValueError: the code of a function does not fit, for example because it has other free variables.
    """
    changed: dict[tuple[str, int], CodeType] = {}
    rest = [code]
    while rest:
        each = rest.pop()
        changed[each.co_qualname, each.co_firstlineno] = each
        rest += [inner for inner in each.co_consts if isinstance(inner, CodeType)]
    for item in gc.get_objects():
        if isinstance(item, FunctionType) and item.__code__.co_filename == str(module):
            item.__code__ = changed[item.__code__.co_qualname, item.__code__.co_firstlineno]
    for cache in _caches():
        cache.cache_clear()


def _constant(mutant: Mutant) -> ast.Assign | ast.AnnAssign | None:
    """The assignment of a module's constant in which the change is; None for a change elsewhere, or in a type.

    Pydantic has read a type such as `Literal["a"]` when the module is imported.
    """
    if mutant.lines is not None:
        return None
    for statement in mutant.tree.body:
        if statement.lineno <= mutant.line <= (statement.end_lineno or statement.lineno):
            match statement:
                case ast.Assign(value=ast.Subscript()):
                    return None
                case ast.Assign(targets=[ast.Name()]) | ast.AnnAssign(target=ast.Name(), value=ast.expr()):
                    return statement
    return None


def _assign(module: Path, statement: ast.Assign | ast.AnnAssign) -> None:
    """Set a constant to its changed value, in its module and in all modules that imported it by its name.

    Raises:
        ValueError: its value cannot be computed.
    """
    target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
    assert isinstance(target, ast.Name)
    variables = vars(sys.modules[_name(module)])
    old = variables[target.id]
    try:
        exec(compile(ast.Module([statement], []), str(module), "exec", dont_inherit=True), variables)
    except Exception as error:
        raise ValueError from error
    new = variables[target.id]
    if isinstance(old, dict) and isinstance(new, dict):
        old.clear()
        old.update(new)
    for each in list(sys.modules.values()):
        if each is not None and vars(each).get(target.id) is old:
            setattr(each, target.id, old if isinstance(old, dict) else new)
    variables[target.id] = old if isinstance(old, dict) else new
    for cache in _caches():
        cache.cache_clear()


def _caches() -> list[Any]:
    return [item for item in gc.get_objects() if isinstance(item, _CACHE) and "glmv" in (item.__module__ or "")]


def _name(module: Path) -> str:
    return module.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")


class _Loader(importlib.abc.Loader):
    def __init__(self, code: CodeType) -> None:
        self._code = code

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, vars(module))


class _Finder(importlib.abc.MetaPathFinder):
    """Finds only one module, and gives it the changed code."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(self, name: str, path: object = None, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        spec = importlib.util.spec_from_file_location(name, self._path)
        assert spec is not None
        spec.loader = _Loader(self._code)
        return spec


def _at_import(module: Path, mutant: Mutant, tests: Sequence[str], run: Run) -> int:
    """Import a mutant in the place of its module, and run the tests."""
    code = compile(mutant.tree, str(module), "exec", dont_inherit=True)
    sys.meta_path.insert(0, _Finder(_name(module), module, code))
    return int(pytest.main([*QUIET, *tests], plugins=[Limited(run.tests_for(mutant), run.seconds)]) != 0)


def _rows() -> dict[str, str]:
    """Path of a module -> its present row in the table of the page."""
    table = PAGE.read_text(encoding="utf-8").partition("<!-- table -->")[2].partition("<!-- end -->")[0]
    return {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}


def _write(rows: dict[str, str], order: Sequence[str]) -> None:
    head, _, rest = PAGE.read_text(encoding="utf-8").partition("<!-- table -->")
    tail = rest.partition("<!-- end -->")[2]
    lines = [
        "| module | mutants | survivors | share | equivalent | why they survive |",
        "|---|---:|---:|---:|---:|---|",
    ]
    lines += [rows[name] for name in order if name in rows]
    PAGE.write_text(f"{head}<!-- table -->\n" + "\n".join(lines) + f"\n<!-- end -->{tail}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", help="paths of modules; without any, all modules")
    parser.add_argument("--most", type=int, default=60, help="mutants of a module that are tried, chosen at random")
    parser.add_argument(
        "--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}; rows of modules that did not run stay"
    )
    parser.add_argument("--known", type=Path, help="a file of mutants that are known to be noticed, kept up to date")
    options = parser.parse_args()
    table = tomllib.loads((HERE / "modules.toml").read_text(encoding="utf-8"))
    for name in IMPORTED_BEFORE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    rows = _rows()
    missed = False
    for name in options.modules or table["modules"]:
        equivalents: dict[str, str] = table["equivalent"].get(name, {})
        tried, left = survivors(ROOT / name, table["modules"][name], options.most, NoticedMutants(options.known))
        same = [mutant for mutant in left if mutant.change in equivalents]
        others = [mutant for mutant in left if mutant.change not in equivalents]
        share = len(others) / max(tried - len(same), 1)
        missed = missed or share > MOST
        print(f"{name}: {tried} mutants, {len(others)} survive ({share:.0%}), {len(same)} are equivalent", flush=True)
        for mutant in others:
            print(f"    line {mutant.line}: {mutant.change}", flush=True)
        why = table["survivors"].get(name, "") if others else ""
        rows[name] = f"| `{name}` | {tried} | {len(others)} | {share:.0%} | {len(same)} | {why} |"
    if options.write:
        _write(rows, list(table["modules"]))
    sys.exit(f"More than {MOST:.0%} of the mutants of a module survive." if missed else 0)


if __name__ == "__main__":
    main()
