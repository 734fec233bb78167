"""No private name of another library is used, except those that ADR-0013 lists."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.test_architecture import PACKAGES, files, name_of, tree

# `self._pool` of our own transports is an attribute that they inherit, so it needs no entry here.
ALLOWED = {
    ("langchain_glmv/extras.py", "_BUILTIN_PROVIDERS"),  # `register()` extends langchain's table of providers
}
# Methods of named tuples, whose names begin with an underscore so that fields cannot collide with them.
NAMED_TUPLE = {"_replace", "_asdict", "_fields", "_make"}


def is_private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.endswith("__")


def is_own(node: ast.expr) -> bool:
    """Whether it is `self`, `cls`, `super()` or `super(Class, self)`: a subclass may use what it inherits."""
    match node:
        case ast.Name(id="self" | "cls"):
            return True
        case ast.Call(func=ast.Name(id="super")):
            return True
        case _:
            return False


def defined(package: str) -> set[str]:
    """Private names that a package defines itself: functions, classes, variables, attributes, slots, fields."""
    names: set[str] = set()
    for path in files(package):
        for node in ast.walk(tree(path)):
            match node:
                case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                    names.add(name)
                case ast.Name(id=name, ctx=ast.Store()):
                    names.add(name)
                case ast.Attribute(value=value, attr=name, ctx=ast.Store()) if is_own(value):
                    names.add(name)
    return {name for name in names if is_private(name)}


def used(path: Path) -> Iterator[str]:
    """Private names that a file uses on objects or modules that may belong to another library."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.Attribute(value=value, attr=name) if is_private(name) and not is_own(value):
                yield name
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "hasattr" | "delattr"),
                args=[target, ast.Constant(value=name), *_],
            ) if is_private(name) and not is_own(target):
                yield str(name)
            case ast.Call(
                func=ast.Attribute(value=ast.Call(func=ast.Name(id="vars"), args=[target])),
                args=[ast.Constant(value=name), *_],
            ) if is_private(name) and not is_own(target):
                yield str(name)
            case ast.ImportFrom(module=str(module), names=names, level=0) if not module.startswith(PACKAGES):
                yield from (part for part in module.split(".") if is_private(part))
                yield from (alias.name for alias in names if is_private(alias.name))


def test_no_private_name_of_another_library_is_used() -> None:
    names = {
        (name_of(path), name)
        for package in PACKAGES
        for path in files(package)
        for name in set(used(path)) - defined(package) - NAMED_TUPLE
    }
    assert names <= ALLOWED
    assert {entry for entry in ALLOWED if entry not in names} == set()


def test_the_search_for_private_names_finds_every_form_of_access(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text(
        "from httpx._client import Client\nfrom re import _parser\n"
        "http._transport._pool\ngetattr(http, '_mounts')\nvars(http).get('_base_url')\n"
        "self._pool\nsuper()._hook()\nx.__dict__\n"
    )
    assert set(used(source)) == {"_client", "_parser", "_transport", "_pool", "_mounts", "_base_url"}
