"""The table of models, from the catalogue: `python docs/models.py` prints it, `--readme` writes it into the READMEs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import glmv
from glmv.catalog.row import MIB

ROOT = Path(__file__).parent.parent
HEAD = (
    "model",
    "context",
    "pictures",
    "size of a picture",
    "sent as",
    "size of a video",
    "thinking",
    "tools",
    "calls at once",
)
# README -> its words for ours.
WORDS: dict[str, dict[str, str]] = {
    "README.md": {},
    "README.zh-CN.md": {
        "model": "模型",
        "context": "上下文",
        "pictures": "图片数",
        "size of a picture": "单张大小",
        "sent as": "发送方式",
        "size of a video": "视频大小",
        "thinking": "思考",
        "tools": "工具",
        "calls at once": "并发数",
        "URL only": "仅 URL",
        "always": "总是",
        "can be switched": "可开关",
        "yes": "有",
    },
}


def table(words: dict[str, str] | None = None) -> str:
    """A markdown table of the models that see, with other words for some cells."""
    rows = [HEAD, *(_cells(model) for model in glmv.models() if model.sees)]
    head, *lines = [f"| {' | '.join((words or {}).get(cell, cell) for cell in row)} |" for row in rows]
    return "\n".join((head, "|---|---:|---:|---:|---|---|---|---|---:|", *lines))


def _cells(model: glmv.Model) -> tuple[str, ...]:
    return (
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


def _count(number: int | None) -> str:
    return "" if number is None else str(number)


def readme(text: str, words: dict[str, str] | None = None) -> str:
    """A README with the table in its place."""
    begin, end = (
        re.search(mark, text) for mark in (r"<!-- --8<-- \[start:models\] -->\n", r"<!-- --8<-- \[end:models\] -->")
    )
    assert begin is not None
    assert end is not None
    return f"{text[: begin.end()]}{table(words)}\n{text[end.start() :]}"


if __name__ == "__main__":
    if "--readme" in sys.argv:
        for name, words in WORDS.items():
            (ROOT / name).write_text(readme((ROOT / name).read_text("utf-8"), words), "utf-8")
    else:
        print(table())
