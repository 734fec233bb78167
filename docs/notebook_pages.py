"""MkDocs hook: each notebook becomes a page of the documentation, with the outputs and pictures that are kept in it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FOLDER = "tutorials"
PICTURES = {"image/png": "png", "image/jpeg": "jpg"}
FRAME = "┌"  # a table drawn with characters: a line break would spoil it


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each notebook, and the pictures it shows."""
    for notebook in sorted(NOTEBOOKS.glob("*.ipynb")):
        text, pictures = page(json.loads(notebook.read_text("utf-8")), notebook.stem)
        files.append(File.generated(config, f"{FOLDER}/{notebook.stem}.md", content=text))
        for name, data in pictures.items():
            files.append(File.generated(config, f"{FOLDER}/{name}", content=data))
    return files


def page(notebook: dict[str, Any], name: str) -> tuple[str, dict[str, bytes]]:
    """A notebook -> its page as markdown, and the pictures by file name."""
    blocks: list[str] = []
    pictures: dict[str, bytes] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            source = re.sub(r"\]\((\w+)\.ipynb\)", r"](\1.md)", source)  # links to other notebooks
            blocks.append(re.sub(r"(`docs/([\w-]+\.md)`)", r"[\1](../\2)", source))
            continue
        blocks.append(_fenced(source, "python"))
        said = ""
        for output in cell["outputs"]:
            data = output.get("data", {})
            kind = next((kind for kind in PICTURES if kind in data), None)
            if kind is None:
                said += "".join(output.get("text") or data.get("text/plain", "")).rstrip("\n") + "\n"
                continue
            if said.strip():
                blocks.append(_fenced(said, "text" if FRAME not in said else "{ .text .unbroken }"))
                said = ""
            file = f"{name}_{len(pictures) + 1}.{PICTURES[kind]}"
            pictures[file] = base64.b64decode("".join(data[kind]))
            blocks.append(f"![What the code above shows]({file})")
        if said.strip():
            blocks.append(_fenced(said, "text" if FRAME not in said else "{ .text .unbroken }"))
    blocks.append(f"*This page is `notebooks/{name}.ipynb`, with what it showed when it was last run.*")
    return "\n\n".join(blocks) + "\n", pictures


def _fenced(text: str, language: str) -> str:
    return f"````{language}\n{text.rstrip()}\n````"
