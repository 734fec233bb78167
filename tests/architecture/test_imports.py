"""What comes along when a package is imported, seen in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Not rich: httpx loads it for a command of its own where it is installed.
FRAMEWORKS = {"langchain_core", "langchain", "llama_index", "starlette", "uvicorn", "typer"}
PICTURES = {"PIL", "av", "numpy"}

# Package -> what must not be loaded by importing it.
STRANGERS = {
    "glmv": FRAMEWORKS | PICTURES | {"langchain_glmv", "llama_index_glmv", "glmv_batch", "glmv_emulator"},
    "langchain_glmv": {"llama_index", "llama_index_glmv", "glmv_emulator", "starlette", "PIL"},
    "llama_index_glmv": {"langchain_core", "langchain_glmv", "glmv_emulator", "starlette"},
    "glmv_batch": FRAMEWORKS | PICTURES | {"langchain_glmv", "llama_index_glmv", "glmv_emulator", "pyarrow", "ray"},
    "glmv_emulator": {"glmv", "httpx", "langchain_core", "llama_index", "langchain_glmv", "llama_index_glmv"},
}


@pytest.mark.parametrize("package", STRANGERS)
def test_importing_a_package_brings_no_stranger(package: str) -> None:
    # Public names are loaded when first used: all of them are used here.
    code = (
        f"import sys, {package} as package; [getattr(package, name) for name in package.__all__]; "
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & STRANGERS[package] == set()


@pytest.mark.parametrize(("package", "model"), [("langchain_glmv", "ChatGLMV"), ("llama_index_glmv", "GLMV")])
def test_an_adapter_loads_the_http_library_when_a_model_is_made(package: str, model: str) -> None:
    code = (
        f"import sys; from {package} import {model}; print('httpx' in sys.modules); "
        f"{model}(); print('httpx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_the_command_line_names_its_extra_when_it_is_missing() -> None:
    code = "import sys; sys.modules['typer'] = None; from glmv.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'pip install "glmv[cli]"' in done.stderr
    assert "Traceback" not in done.stderr
