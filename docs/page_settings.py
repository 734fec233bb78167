"""MkDocs hook: settings of single pages, most of which scripts write.

Pages whose tables have many columns use the space of the menus, so that no column is cut off. In the search, guides
come before records of decisions and lists of tests.
"""

from __future__ import annotations

from typing import Any

# A page -> the menus that it does without.
WIDE = {
    "compare-langchain.md": ["toc"],
    "compare-llama-index.md": ["toc"],
    "reliability.md": ["navigation", "toc"],
}
LATER = ("adr/", "coverage.md", "fidelity.md", "mutation.md", "promises.md")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Take menus away; put pages behind others in the search."""
    if menus := WIDE.get(page.file.src_uri):
        page.meta["hide"] = menus
    if page.file.src_uri.startswith(LATER):
        page.meta["search"] = {"boost": 0.2}
    return markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Mark wide pages for style.css."""
    return f'<div class="wide">{html}</div>' if page.file.src_uri in WIDE else html
