"""Which modules an import of a package loads, in a fresh interpreter."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from glmv import why_not_imported

ROOT = Path(__file__).parents[2]

# Without rich: httpx imports it for its command line if it is installed.
FRAMEWORKS = {"langchain_core", "langchain", "llama_index", "starlette", "uvicorn", "typer"}
PICTURES = {"PIL", "av", "numpy"}

# Package -> what must not be loaded by importing it.
STRANGERS = {
    "glmv": FRAMEWORKS | PICTURES | {"langchain_glmv", "llama_index_glmv", "glmv_batch", "glmv_emulator"},
    "langchain_glmv": {"llama_index", "llama_index_glmv", "glmv_emulator", "starlette", "PIL"},
    "llama_index_glmv": {"langchain_core", "langchain_glmv", "glmv_emulator", "starlette"},
    "glmv_litellm": {"langchain_core", "llama_index", "langchain_glmv", "llama_index_glmv", "glmv_emulator", "PIL"},
    "glmv_batch": FRAMEWORKS | PICTURES | {"langchain_glmv", "llama_index_glmv", "glmv_emulator", "pyarrow", "ray"},
    "glmv_emulator": {"glmv", "httpx", "langchain_core", "llama_index", "langchain_glmv", "llama_index_glmv"},
}


@pytest.mark.parametrize("package", STRANGERS)
def test_importing_a_package_loads_no_unexpected_module(package: str) -> None:
    # Public names are loaded when first used: all of them are used here.
    code = (
        f"import sys, {package} as package; [getattr(package, name) for name in package.__all__]; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & STRANGERS[package] == set()


@pytest.mark.parametrize(("package", "model"), [("langchain_glmv", "ChatGLMV"), ("llama_index_glmv", "GLMV")])
def test_an_adapter_loads_httpx_only_when_a_model_is_created(package: str, model: str) -> None:
    code = (
        f"import sys; from {package} import {model}; print('httpx' in sys.modules); "
        f"{model}(); print('httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_without_typer_the_command_line_names_the_extra_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None; from glmv.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "glmv[cli]"' in done.stderr
    assert "Traceback" not in done.stderr


ADAPTERS = [
    ("langchain_glmv", "langchain_core", "langchain-core", "langchain"),
    ("llama_index_glmv", "llama_index", "llama-index-core", "llama-index"),
    ("glmv_litellm", "litellm", "litellm", "litellm"),
]


def import_beside(folder: Path, package: str, installed: str | None) -> str:
    """Import the package with a framework in `folder`, of version `installed` or None -> the last line of its error."""
    code = (
        "import importlib.metadata as metadata, sys\n"
        "def version(name, real=metadata.version):\n"
        f"    if name not in ('langchain-core', 'llama-index-core', 'litellm'): return real(name)\n"
        f"    if {installed!r} is None: raise metadata.PackageNotFoundError(name)\n"
        f"    return {installed!r}\n"
        "metadata.version = version\n"
        f"sys.path.insert(0, {str(folder)!r})\n"
        f"import {package}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "During handling" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("package", "module", "framework", "extra"), ADAPTERS)
def test_the_error_for_a_missing_or_old_framework_says_how_to_install_the_framework(
    package: str, module: str, framework: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text("")  # of a version that lacks what is imported
    message = import_beside(tmp_path, package, "0.2.1")
    assert message.startswith(f"ImportError: {package} needs {framework} ")
    assert message.endswith(f'and 0.2.1 is installed: pip install -U "glmv[{extra}]"')
    message = import_beside(tmp_path, package, None)
    assert message.endswith(f'which is not installed: pip install -U "glmv[{extra}]"')


@pytest.mark.parametrize(("package", "module", "framework", "extra"), ADAPTERS)
def test_the_framework_version_named_in_the_error_is_the_one_in_pyproject(
    package: str, module: str, framework: str, extra: str, tmp_path: Path
) -> None:
    (tmp_path / module).mkdir()
    (tmp_path / module / "__init__.py").write_text("")
    needed = re.search(rf"needs {framework} ([\d.]+) or newer", import_beside(tmp_path, package, None))
    assert needed is not None
    assert f'"{framework}>={needed[1]},' in (ROOT / "pyproject.toml").read_text("utf-8")


def test_import_errors_not_caused_by_a_missing_or_old_framework_stay_unchanged() -> None:
    error = ImportError("cannot import name 'x'", name="langchain_core.messages")
    assert why_not_imported(error, "langchain_glmv", "langchain-core", "0.1", "langchain") is error
    other = ImportError("no", name="numpy")
    assert why_not_imported(other, "langchain_glmv", "langchain-core", "99", "langchain") is other
