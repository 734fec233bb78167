"""MkDocs hook: pages whose tables have many columns use the space of the menus, so that no column is cut off."""

from __future__ import annotations

from typing import Any

# A page -> the menus that it does without.
WIDE = {
    "compare-langchain.md": ["toc"],
    "compare-llama-index.md": ["toc"],
    "reliability.md": ["navigation", "toc"],
}


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Take the menus away."""
    if menus := WIDE.get(page.file.src_uri):
        page.meta["hide"] = menus
    return markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Mark the page for style.css."""
    return f'<div class="wide">{html}</div>' if page.file.src_uri in WIDE else html
