"""MkDocs hook: settings of single pages, most of which scripts write.

Pages whose tables have many columns use the space of the menus, so that no column is cut off. In the search, guides
come before records of decisions and lists of tests. A page in two languages has a switch to the other one.
"""

from __future__ import annotations

import re
from typing import Any

# A page -> the menus that it does without.
WIDE = {
    "compare-langchain.md": ["toc"],
    "compare-llama-index.md": ["toc"],
    "reliability.md": ["navigation", "toc"],
}
# A Chinese page -> the English page; every other has the same name.
CHINESE = "zh/"
SAME = {"zh/quickstart.md": "index.md"}
# A line break is a space in HTML, which does not belong between Chinese characters or behind their punctuation.
_HAN = r"[\u3000-\u9fff\uff00-\uffef]"
BREAK = re.compile(rf"(?<={_HAN})\n {{0,3}}(?={_HAN})|(?<=[，。；：、])\n {{0,3}}(?=[`\w\[])")
LATER = ("adr/", "coverage.md", "fidelity.md", "mutation.md", "promises.md")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Take menus away; put pages behind others in the search; join lines of Chinese."""
    if menus := WIDE.get(page.file.src_uri):
        page.meta["hide"] = menus
    if page.file.src_uri.startswith(LATER):
        page.meta["search"] = {"boost": 0.2}
    return BREAK.sub("", markdown) if page.file.src_uri.startswith(CHINESE) else markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Mark wide pages for style.css."""
    return f'<div class="wide">{html}</div>' if page.file.src_uri in WIDE else html


def on_page_context(context: Any, page: Any, config: Any, nav: Any) -> Any:
    """Set the language of a page; lead its language switch to its translation, or to the first page there."""
    urls = {one.file.src_uri: one.url for one in nav.pages}  # single decisions are not in the menu
    name = page.file.src_uri
    english = SAME.get(name, name.removeprefix(CHINESE))
    chinese = next((ours for ours, theirs in SAME.items() if theirs == english), CHINESE + english)
    start = next(iter(SAME))
    config.theme["language"] = "zh" if name.startswith(CHINESE) else "en"
    config.extra["alternate"] = [
        {"name": "English", "link": urls.get(english, page.url), "lang": "en"},
        {"name": "中文", "link": urls.get(chinese, urls[start]), "lang": "zh"},
    ]
    return context
