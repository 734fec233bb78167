"""Sync and async code have the same text, except for `async` and `await`."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from glmv import client
from glmv.endpoints import batches, files, tasks
from glmv.transport import asynchronous, sync
from glmv.transport.asynchronous import AsyncDriver
from glmv.transport.sync import SyncDriver

# Name in the asynchronous code -> name in the sync code.
NAMES = {
    "AsyncGenerator": "Generator",
    "AsyncIterator": "Iterator",
    "AsyncApiKey": "ApiKey",
    "AsyncBatches": "Batches",
    "AsyncFiles": "Files",
    "AsyncRun": "Run",
    "AsyncTasks": "Tasks",
    "AsyncDriver": "SyncDriver",
    "AsyncPools": "Pools",
    "aclosing": "closing",
    "aclose": "close",
    "aiter": "iter",
    "aiter_bytes": "iter_bytes",
    "aiter_raw": "iter_raw",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "asyncio": "time",  # asyncio.sleep
}

# Methods whose code differs, and why.
DIFFERENT = {
    "SyncDriver": {
        "_apart": "a blocking call has a thread of its own already",
        "_enter": "a thread waits for a lock, a task for an event",
        "_send": "a task may be cancelled between two steps of a pool, a thread may not",
        "_read": "as _send",
        "_signer": "a function that returns the key blocks a thread, and is awaited in a task or called in a thread",
        "drop": "as _send",
        "end": "as _send",
    },
    "Client": {
        "_driver": "a pool belongs to a process, or to a running loop",
        "chat": "large messages are converted in a worker thread beside a loop",
        "run_stream": "as chat",
        "stream": "as chat",
    },
}
# Methods that only the asynchronous class has.
ASYNC_ONLY = {"AsyncDriver": {"_next", "_sent", "_work"}, "AsyncClient": {"_converted"}}

MODULES = (client, asynchronous, sync, tasks, files, batches)
PAIRS = [
    (client.Client, client.AsyncClient),
    (SyncDriver, AsyncDriver),
    (tasks.Tasks, tasks.AsyncTasks),
    (files.Files, files.AsyncFiles),
    (batches.Batches, batches.AsyncBatches),
]


class SyncCode(ast.NodeTransformer):
    """Removes `async`, `await` and docstrings, and replaces asynchronous names by those of the sync code."""

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self.visit_FunctionDef(ast.FunctionDef(**vars(node)))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.name = NAMES.get(node.name, node.name)
        if ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        return self.visit(node.value)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        return self.generic_visit(ast.For(**vars(node)))

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        return self.generic_visit(ast.With(**vars(node)))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = NAMES.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        node.attr = NAMES.get(node.attr, node.attr)
        return self.generic_visit(node)


def methods(kind: type) -> dict[str, str]:
    """The methods of a class by name, converted to sync code."""
    # Of a public class, `inspect` would look in `glmv`, which it names as its module.
    modules = [ast.parse(inspect.getsource(module)) for module in MODULES]
    (source,) = (
        node
        for module in modules
        for node in module.body
        if isinstance(node, ast.ClassDef) and node.name == kind.__name__
    )
    result = SyncCode().visit(source)
    return {
        node.name: ast.unparse(ast.fix_missing_locations(node))
        for node in result.body
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS, ids=lambda kind: kind.__name__)
def test_sync_and_async_classes_differ_only_by_async_and_await(blocking: Any, awaiting: Any) -> None:
    sync_code, async_code = methods(blocking), methods(awaiting)
    assert async_code.keys() - sync_code.keys() == ASYNC_ONLY.get(awaiting.__name__, set())
    assert sync_code.keys() - async_code.keys() == set()
    exceptions = DIFFERENT.get(blocking.__name__, {})
    assert {name: async_code[name] for name in sync_code if name not in exceptions} == {
        name: text for name, text in sync_code.items() if name not in exceptions
    }


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS, ids=lambda kind: kind.__name__)
def test_every_method_that_is_listed_as_different_has_different_code(blocking: Any, awaiting: Any) -> None:
    sync_code, async_code = methods(blocking), methods(awaiting)
    assert [name for name in DIFFERENT.get(blocking.__name__, {}) if sync_code[name] == async_code[name]] == []


@pytest.mark.parametrize(("blocking", "awaiting"), PAIRS, ids=lambda kind: kind.__name__)
def test_public_methods_have_the_same_arguments_in_both_classes(blocking: Any, awaiting: Any) -> None:
    for name, method in inspect.getmembers(blocking, inspect.isfunction):
        if not name.startswith("_"):
            counterpart = getattr(awaiting, {"close": "aclose"}.get(name, name))
            assert list(inspect.signature(method).parameters) == list(inspect.signature(counterpart).parameters), name
