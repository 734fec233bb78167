"""The reference pages, one a package: `python docs/reference.py` writes a line for each public name."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

PACKAGES = ("glmv", "langchain_glmv", "llama_index_glmv", "glmv_batch", "glmv_emulator")
HERE = Path(__file__).parent / "reference"


def page(package: str) -> str:
    """A page that names every class and function of a package's public face, where it is defined."""
    module = importlib.import_module(package)
    lines = [f"# {package}", "", inspect.getdoc(module) or "", ""]
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            lines += [f"::: {value.__module__}.{value.__qualname__}", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for package in PACKAGES:
        (HERE / f"{package}.md").write_text(page(package), "utf-8")
