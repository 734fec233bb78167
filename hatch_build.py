"""What the build adds to the metadata: the project's URLs, and the README in a form that a package index can show.

Both depend on one setting, the address of the repository: `[tool.hatch.metadata.hooks.custom]` in pyproject.toml.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# A link or a picture of markdown whose target is a file of the repository.
LOCAL = re.compile(r"(!?)\[((?:[^\[\]]|!\[[^\]]*\]\([^)]*\))*)\]\((?!https?://|mailto:|#)([^)\s]+)\)")


class Metadata(MetadataHookInterface):
    """Adds `urls` and `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Called by hatchling for each build."""
        repository = str(self.config["repository"])
        readme = (Path(self.root) / "README.md").read_text("utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": for_an_index(readme, repository)}
        if repository:
            metadata["urls"] = urls(repository)


def urls(repository: str) -> dict[str, str]:
    """The addresses that a package index shows."""
    return {
        "Repository": repository,
        "Documentation": f"{repository}/tree/main/docs",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }


def for_an_index(readme: str, repository: str) -> str:
    """A README whose links work outside of the repository.

    Args:
        readme: markdown.
        repository: its address; "" while it is unknown: links become plain text, and pictures are left out.
    """

    def absolute(found: re.Match[str]) -> str:
        picture, text, target = found.groups()
        text = LOCAL.sub(absolute, text)
        if not repository:
            return "" if picture else text
        return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/main/{target})"

    return re.sub(r"\n{3,}", "\n\n", LOCAL.sub(absolute, readme))
