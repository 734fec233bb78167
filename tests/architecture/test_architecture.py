"""Rules of structure: allowed imports and no duplicated code (CONTRIBUTING.md, docs/adr)."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import types
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from itertools import combinations
from pathlib import Path
from typing import get_type_hints

import pytest

ROOT = Path(__file__).parents[2]
CLIENT_SIDE = ("glmv", "langchain_glmv", "llama_index_glmv", "glmv_litellm", "glmv_batch")
ADAPTERS = ("langchain_glmv", "llama_index_glmv", "glmv_litellm", "glmv_batch")
PACKAGES = (*CLIENT_SIDE, "glmv_emulator")

BYTES_OF_A_FILE = 24 * 1024
WORDS_OF_A_PHRASE = 4
LINES_OF_A_COPY = 5

# What each package may import beside itself and the standard library.
MAY_IMPORT = {
    "glmv": {"pydantic", "pydantic_core"},
    "langchain_glmv": {"glmv", "langchain_core", "pydantic", "pydantic_core"},
    "llama_index_glmv": {
        "glmv",
        "llama_index.core",
        "llama_index_instrumentation",
        "pydantic",
        "pydantic_core",
        "wrapt",
    },
    "glmv_litellm": {"glmv", "litellm", "pydantic"},
    "glmv_batch": {"glmv", "pydantic", "pyarrow"},
    "glmv_emulator": {"starlette", "uvicorn", "PIL", "jinja2"},
    "llama_index": {"llama_index_glmv"},  # the names under which LlamaIndex users look for an integration
}
# Single files that may import more, and why.
EXCEPTIONS = {
    "glmv/transport/http_client.py": {"httpx", "httpcore"},  # ADR-0013
    "glmv/transport/network.py": {"httpcore"},  # ADR-0013
    "glmv/transport/pools.py": {"httpx"},  # ADR-0013
    "glmv/transport/tls.py": {"httpx"},  # the certificates that it trusts
    "glmv/media/pixels.py": {"PIL"},  # the extra `images`: fitting a picture, imported when first needed
    "glmv/redaction.py": {"opentelemetry"},  # its SDK, imported when an exporter of it is wrapped
    "glmv/telemetry.py": {"opentelemetry"},  # the extra `otel`, imported if a program has set it up
    "glmv/structured/schema.py": {"jsonschema", "referencing"},  # the extra `schema`, imported when a schema is judged
    "llama_index_glmv/images.py": {"fsspec"},  # file systems, as SimpleDirectoryReader reads them
    "glmv/cli/preview.py": {"PIL"},  # the extra `images`: a small PNG for the terminal, left out if it is missing
    "langchain_glmv/extras.py": {"PIL", "langchain"},  # imported when boxes are drawn, and by `register()`
    "glmv_litellm/errors.py": {"httpx"},  # LiteLLM's errors hold a response of it
    "glmv_batch/ray.py": {"ray", "PIL"},  # the extra `ray`; arrays become pictures
    "glmv_emulator/eyes/video.py": {"av"},  # the extra `video`
    "glmv_emulator/eyes/frames.py": {"av"},  # the extra `video`
    "glmv_emulator/eyes/reading.py": {"rapidocr", "zxingcpp", "numpy"},  # the extra `eyes`
    "glmv_emulator/server/upstream.py": {"httpx"},  # asks an upstream model, imported when there is one
    "glmv_emulator/answers/schema.py": {"jsonschema", "referencing", "pydantic_core"},  # values are judged by schemas
    "glmv_emulator/pytest_plugin.py": {"pytest"},
}
# The only module that may import the other packages.
CLI = {"glmv", "glmv_batch", "typer", "rich", "glmv_emulator"}

# The only files that touch these modules of the standard library: bytes of pictures have one home (ADR-0009).
BASE64 = {
    "glmv/media/blob.py",  # parts are encoded and decoded here
    "glmv/transport/auth.py",  # a signed token is URL-safe base64 of JSON, not of a picture
    "glmv/credentials.py",  # Basic authentication holds a password, not a picture
}


@cache
def files(package: str) -> tuple[Path, ...]:
    return tuple(sorted((ROOT / package).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports anywhere, by full dotted name, except under `TYPE_CHECKING`."""
    unseen = {
        inner
        for node in ast.walk(tree(path))
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree(path)):
        match node:
            case _ if node in unseen:
                pass
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=module, level=0):
                yield module or ""
            case ast.ImportFrom(level=level, module=module):
                package = path.relative_to(ROOT).parent.parts
                yield ".".join([*package[: len(package) - level + 1], *([module] if module else [])])


def allowed(module: str, names: set[str]) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in names)


def is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_each_package_imports_only_allowed_packages(package: str) -> None:
    results = []
    for path in files(package):
        may = MAY_IMPORT[package] | {package} | EXCEPTIONS.get(name_of(path), set())
        if name_of(path).startswith("glmv/cli/"):
            may |= CLI
        results += [
            f"{name_of(path)} imports {module}"
            for module in imports(path)
            if not is_standard(module) and not allowed(module, may)
        ]
    assert results == []


def test_only_listed_modules_of_the_client_packages_use_base64() -> None:
    users = {
        name_of(path)
        for package in CLIENT_SIDE
        for path in files(package)
        if {"base64", "binascii"} & set(imports(path))
    }
    assert users <= BASE64


def test_only_listed_modules_use_threads_sockets_or_an_event_loop() -> None:
    doers = {"asyncio", "threading", "socket", "selectors"}
    users = {name_of(path) for path in files("glmv") if doers & set(imports(path))}
    assert {user for user in users if not user.startswith("glmv/cli/")} <= {
        "glmv/transport/asynchronous.py",
        "glmv/transport/driver.py",
        "glmv/transport/network.py",  # listens while it writes
        "glmv/transport/failures.py",  # distinguishes errors of `socket`, opens no socket
        "glmv/transport/pools.py",
        "glmv/transport/sync.py",
        "glmv/transport/workers.py",
        "glmv/exchange/gate.py",
        "glmv/media/kept.py",  # a table that threads share
    }


# From top to bottom: each package or module of the core may import those below it. Those of one line do not import each
# other.
ORDER = [
    {"component"},
    {"client"},
    {"endpoints"},
    {"structured", "telemetry"},
    {"transport"},
    {"exchange"},
    {"request"},
    {"wire"},
    {"keywords"},
    {"options"},
    {"types"},
    {"media"},
    {"catalog", "sending"},
    {"errors", "credentials", "hosts", "redaction", "_version"},
    {"_public"},
]
LAYER = {name: layer for layer, names in enumerate(ORDER) for name in names}
# The longest chain of modules that import each other, as long as it was in version 1 at most.
LONGEST_CHAIN = 20


def core() -> dict[str, set[str]]:
    """Module of the core -> core modules that it imports anywhere in the file. The command line is left out."""
    paths = [path for path in files("glmv") if "cli" not in path.parts and path != ROOT / "glmv" / "__init__.py"]
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}
    values = {}
    for module, path in modules.items():
        others = [name for name in imports(path) if name.startswith("glmv.")]
        inner = [
            f"{node.module}.{alias.name}"
            for node in ast.walk(tree(path))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if f"{node.module}.{alias.name}" in modules
        ]
        packages = {name.rpartition(".")[0] for name in inner}  # `from glmv.media import headers` is about `headers`
        values[module] = {name for name in [*others, *inner] if name not in packages}
    return values


def test_modules_of_the_core_import_only_from_lower_layers() -> None:
    def layer(module: str) -> str:
        return module.split(".")[1]

    upwards = [
        f"{module} imports {other}"
        for module, others in core().items()
        for other in others
        if layer(module) != layer(other) and LAYER[layer(module)] >= LAYER[layer(other)]
    ]
    assert upwards == []


def test_the_core_has_no_import_cycle() -> None:
    tuple(TopologicalSorter(core()).static_order())  # raises CycleError and names the circle


def test_the_longest_chain_of_imports_in_the_core_has_at_most_20_modules() -> None:
    graph = core()
    length: dict[str, int] = {}
    for module in TopologicalSorter(graph).static_order():
        length[module] = 1 + max((length[other] for other in graph.get(module, ())), default=0)
    assert max(length.values()) <= LONGEST_CHAIN


def test_no_package_of_the_core_has_the_name_of_a_public_function_or_class() -> None:
    packages = {path.parent.name for path in (ROOT / "glmv").glob("*/__init__.py")}
    assert packages & set(importlib.import_module("glmv").__all__) == set()


def test_no_module_in_a_package_of_the_core_begins_with_an_underscore() -> None:
    assert [name_of(path) for path in (ROOT / "glmv").glob("*/_*.py") if path.name != "__init__.py"] == []


def test_the_command_line_imports_public_packages_only() -> None:
    inner = {f"glmv.{name}" for name in LAYER}
    results = [
        f"{name_of(path)} imports {module}"
        for path in files("glmv")
        if "cli" in path.parts
        for module in imports(path)
        if any(module == name or module.startswith(f"{name}.") for name in inner - {"glmv._version"})
    ]
    assert results == []


@pytest.mark.parametrize("package", ["glmv_batch", "glmv_emulator"])
def test_glmv_batch_and_glmv_emulator_have_no_import_cycle(package: str) -> None:
    modules = {}
    for path in files(package):
        if path.name != "__init__.py" and "cli" not in path.parts:
            modules[".".join(path.relative_to(ROOT).with_suffix("").parts)] = {
                module for module in imports_at_start(path) if module.startswith(f"{package}.")
            }
    tuple(TopologicalSorter(modules).static_order())  # raises CycleError and names the circle


# Sub-packages of the emulator; each may import those before it.
EMULATOR = ("eyes", "answers", "http", "platform", "faults", "page", "server")


def test_sub_packages_of_the_emulator_import_in_one_direction() -> None:
    results = []
    for path in files("glmv_emulator"):
        _, *folders = path.relative_to(ROOT).parent.parts
        if folders:
            own = EMULATOR.index(folders[0])
            results += [
                f"{name_of(path)} imports {module}"
                for module in imports(path)
                if module.startswith("glmv_emulator") and not set(module.split(".")[1:2]) & set(EMULATOR[: own + 1])
            ]
    assert results == []


def imports_at_start(path: Path) -> Iterator[str]:
    """Modules that are imported when the file is imported: not inside functions or `if TYPE_CHECKING`."""
    for node in tree(path).body:
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)  # a name may be a module


@pytest.mark.parametrize("package", ADAPTERS)
def test_an_adapter_uses_only_public_names_of_glmv(package: str) -> None:
    public = set(importlib.import_module("glmv").__all__)
    results = []
    for path in files(package):
        for node in ast.walk(tree(path)):
            match node:
                case ast.ImportFrom(module="glmv", names=names):
                    used = {alias.name for alias in names}
                case ast.ImportFrom(module=str(module)) if module.startswith("glmv."):
                    used = {module}
                case ast.Import(names=names):
                    used = {alias.name for alias in names if alias.name.startswith("glmv.")}
                case ast.Attribute(value=ast.Name(id="glmv"), attr=attribute):
                    used = {attribute}
                case _:
                    continue
            results += [f"{name_of(path)} uses {name}" for name in used - public]
    assert results == []


def phrases(packages: tuple[str, ...]) -> dict[str, str]:
    """Each string of several words, in lower case -> a file that has it. Two Chinese characters count as a word."""
    values = {}
    for package in packages:
        for path in files(package):
            for node in ast.walk(tree(path)):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    words = re.findall(r"[\u4e00-\u9fff]{2}|[^\s\u4e00-\u9fff]+", node.value.lower())
                    if len(words) >= WORDS_OF_A_PHRASE:
                        values[" ".join(words)] = name_of(path)
    return values


def test_no_string_of_four_words_is_in_both_emulator_and_client() -> None:
    ours, theirs = phrases(CLIENT_SIDE), phrases(("glmv_emulator",))
    assert [f"{ours[phrase]} and {theirs[phrase]}: {phrase}" for phrase in ours.keys() & theirs.keys()] == []


def code_lines(path: Path) -> list[str]:
    """Lines of code without blank lines, comments, imports and docstrings; spaces are normalized."""
    documentation = {
        line
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    imported = {
        line
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    lines = enumerate(path.read_text("utf-8").splitlines(), 1)
    results = (" ".join(line.split()) for number, line in lines if number not in documentation | imported)
    return [line for line in results if line and not line.startswith("#")]


def runs(package: str) -> dict[tuple[str, ...], str]:
    values = {}
    for path in files(package):
        lines = code_lines(path)
        for start in range(len(lines) - LINES_OF_A_COPY + 1):
            values[tuple(lines[start : start + LINES_OF_A_COPY])] = name_of(path)
    return values


def test_the_adapters_share_no_copied_lines_of_code() -> None:
    copies = [
        "\n".join([one[run], other[run], *run])
        for one, other in combinations([runs(package) for package in ADAPTERS], 2)
        for run in one.keys() & other.keys()
    ]
    assert copies == []


@pytest.mark.parametrize("package", PACKAGES)
def test_dunder_all_of_a_package_lists_every_public_name_in_order(package: str) -> None:
    module = importlib.import_module(package)
    listed = module.__all__
    # Constants, then classes, then the rest: ruff's order for `__all__` (RUF022).
    assert listed == sorted(listed, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType) and name != "annotations"
    }
    assert public - set(listed) == set()
    assert [name for name in listed if not hasattr(module, name)] == []


def test_public_names_of_the_core_are_equal_at_run_time_and_for_type_checkers() -> None:
    module = importlib.import_module("glmv")
    (checked,) = (
        node.body
        for node in tree(ROOT / "glmv" / "__init__.py").body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "_typing.TYPE_CHECKING"
    )
    imported = {
        alias.name: str(node.module)
        for node in checked
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname is None
    }
    assert imported == {name: f"glmv.{inner}" for name, inner in module._MODULE_OF.items()}
    assert sorted(module.__all__) == sorted([*imported, "__version__"])


@pytest.mark.parametrize("package", ["glmv_batch", "glmv_emulator"])
def test_the_module_attribute_of_a_public_class_names_its_package(package: str) -> None:
    # Pickles and reprs then survive a move inside the package.
    module = importlib.import_module(package)
    assert {getattr(module, name).__module__ for name in module.__all__} == {package}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_contains_py_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_larger_than_24_kib(package: str) -> None:
    assert [name_of(path) for path in files(package) if path.stat().st_size > BYTES_OF_A_FILE] == []


@pytest.mark.parametrize("package", ["langchain_glmv", "llama_index_glmv", "glmv_litellm"])
def test_a_public_class_of_an_adapter_names_its_package_and_has_valid_annotations(package: str) -> None:
    module = importlib.import_module(package)
    classes = [value for name in module.__all__ if isinstance(value := getattr(module, name), type)]
    assert {kind.__module__ for kind in classes} == {package}
    for kind in classes:
        assert get_type_hints(kind).keys() >= kind.__annotations__.keys()


def class_names(package: str) -> list[str]:
    return [node.name for path in files(package) for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]


def is_error(value: object) -> bool:
    """Whether the value is an error class of `glmv` or a variant of one for LangChain, which has the same name."""
    return isinstance(value, type) and issubclass(value, importlib.import_module("glmv").GLMVError)


def test_no_two_classes_of_the_client_packages_have_the_same_name() -> None:
    used = Counter(name for package in CLIENT_SIDE for name in class_names(package))
    errors = {name for name, value in vars(importlib.import_module("langchain_glmv.errors")).items() if is_error(value)}
    assert {name: count for name, count in used.items() if count > 1 + (name in errors)} == {}
