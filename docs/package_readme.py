"""The README as a package index shows it: no link and no picture there depends on the files beside it.

Where the address of the repository is known, links and pictures lead there. Where it is not, a link becomes its text
and the name of the file, and pictures are left out. Hatchling calls the hook when it builds, and `python
docs/package_readme.py` prints the text.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

try:
    from hatchling.metadata.plugin.interface import MetadataHookInterface
except ImportError:  # only a build has it
    MetadataHookInterface = object

ROOT = Path(__file__).parents[1]
_CODE = re.compile(r"(^```.*?^```\n)", re.DOTALL | re.MULTILINE)
_PICTURE = re.compile(r"^!\[[^]]*\]\((?!https?://)[^)]+\)\n+", re.MULTILINE)
_LINK = re.compile(r"(!?)\[([^][]*)\]\((?!https?://|#)([^)\s]+)\)")


def for_index(text: str, repository: str) -> str:
    """A README's text for a package index.

    Args:
        text: the README, with links to files of the repository.
        repository: the repository's address, "" where it is not known.
    """
    parts = _CODE.split(text)  # every second part is a block of code
    parts[::2] = [_prose(part, repository) for part in parts[::2]]
    return "".join(parts)


def _prose(text: str, repository: str) -> str:
    def link(found: re.Match[str]) -> str:
        mark, words, target = found.groups()
        if not repository:
            return f"{words} (`{target}`)"
        return f"{mark}[{words}]({repository}/{'raw' if mark else 'blob'}/main/{target})"

    return _LINK.sub(link, text if repository else _PICTURE.sub("", text))


def _repository() -> str:
    spec = importlib.util.spec_from_file_location("repository", Path(__file__).with_name("repository.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.address())


def readme() -> str:
    """The README of this project for a package index."""
    return for_index((ROOT / "README.md").read_text("utf-8"), _repository())


def urls(repository: str) -> dict[str, str]:
    """The links that a package index shows beside the README; none while the repository's address is not known."""
    if not repository:
        return {}
    return {
        "Repository": repository,
        "Documentation": f"{repository}/tree/main/docs",
        "Changelog": f"{repository}/blob/main/CHANGELOG.md",
        "Issues": f"{repository}/issues",
    }


class CustomMetadataHook(MetadataHookInterface):  # type: ignore[misc]
    """Puts the text and the project's URLs into the metadata of a package."""

    def update(self, metadata: dict[str, Any]) -> None:
        metadata["readme"] = {"content-type": "text/markdown", "text": readme()}
        if found := urls(_repository()):
            metadata["urls"] = found


if __name__ == "__main__":
    sys.stdout.write(readme())
