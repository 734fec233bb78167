"""The table of models, from the catalogue: `python docs/models.py` prints it, `--readme` writes it into the README."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import glmv

README = Path(__file__).parent.parent / "README.md"
MIB = 1024 * 1024


def table() -> str:
    """A markdown table of the models that see."""
    lines = [
        "| model | window | pictures | each | as | video | thinking | tools | at once |",
        "|---|---:|---:|---:|---|---|---|---|---:|",
    ]
    lines += [_row(model) for model in glmv.models() if model.sees]
    return "\n".join(lines)


def _row(model: glmv.Model) -> str:
    cells = (
        model.name + (" (legacy)" if model.status == "legacy" else ""),
        f"{model.context // 1024}K" if model.context else "",
        _count(model.images),
        f"{model.image_bytes // MIB} MB" if model.image_bytes else "",
        "URL, base64" if model.image_base64 else "URL only",
        f"{model.video_bytes // MIB} MB" if model.video_bytes else "" if model.videos is None else "–",
        {"no": "–", "switch": "can be switched", "always": "always"}[model.thinking],
        "yes" if model.tools else "–",
        _count(model.concurrency),
    )
    return f"| {' | '.join(cells)} |"


def _count(number: int | None) -> str:
    return "" if number is None else str(number)


def readme(text: str) -> str:
    """The README with the table in its place."""
    begin, end = (
        re.search(mark, text) for mark in (r"<!-- --8<-- \[start:models\] -->\n", r"<!-- --8<-- \[end:models\] -->")
    )
    assert begin is not None
    assert end is not None
    return f"{text[: begin.end()]}{table()}\n{text[end.start() :]}"


if __name__ == "__main__":
    if "--readme" in sys.argv:
        README.write_text(readme(README.read_text("utf-8")), "utf-8")
    else:
        print(table())
