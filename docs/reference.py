"""The reference pages, one a package: `python docs/reference.py` writes a line for each public name."""

from __future__ import annotations

import importlib
import inspect
import re
import textwrap
from pathlib import Path

PACKAGES = ("glmv", "langchain_glmv", "llama_index_glmv", "glmv_litellm", "glmv_batch", "glmv_emulator")
HERE = Path(__file__).parent / "reference"


def page(package: str) -> str:
    """A page that names every class and function of a package's public face, where it is defined."""
    module = importlib.import_module(package)
    lines = [f"# {package}", "", fenced(inspect.getdoc(module) or ""), ""]
    for name in module.__all__:
        value = getattr(module, name)
        if getattr(value, "__module__", package).partition(".")[0] != package:
            continue  # it is on the page of its own package
        if inspect.isclass(value) or inspect.isfunction(value):
            lines += [f"::: {value.__module__}.{value.__qualname__}", *inherited(value, package, module.__all__), ""]
    return "\n".join(lines)


def fenced(text: str) -> str:
    """A docstring whose indented code is a block of Python."""
    blocks = re.sub(
        r"(?:^    .*\n)+", lambda code: f"```python\n{textwrap.dedent(code[0])}```\n", text, flags=re.MULTILINE
    )
    return re.sub(r"  +# ", "  # ", blocks)


def inherited(value: object, package: str, public: list[str]) -> list[str]:
    """The option that shows what a class inherits from bases of its package that have no entry of their own."""
    bases = [
        base
        for base in getattr(value, "__mro__", ())[1:]
        if base.__module__.startswith(f"{package}.") and base.__name__ not in public
    ]
    names = sorted({name for base in bases for name in vars(base) if not name.startswith(("_", "model_"))})
    return ["    options:", f"      inherited_members: [{', '.join(names)}]"] if names else []


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    for package in PACKAGES:
        (HERE / f"{package}.md").write_text(page(package), "utf-8")
