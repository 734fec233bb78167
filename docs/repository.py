"""The address of the repository, from one setting: `repository` of `[tool.glmv]` in pyproject.toml.

It is a hook of MkDocs, too: where the address is known, every page links to the repository.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def address(project: Path = PROJECT) -> str:
    """Where the repository is, without a slash at the end; "" while that is not known."""
    settings = tomllib.loads(project.read_text("utf-8"))
    return str(settings["tool"]["glmv"]["repository"]).rstrip("/")


def on_config(config: Any) -> Any:
    """MkDocs calls this before it builds."""
    if address():
        config["repo_url"] = address()
    return config
