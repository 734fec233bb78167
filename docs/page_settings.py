"""MkDocs hook: settings of single pages, most of which scripts write.

Pages whose tables have many columns use the space of the menus, so that no column is cut off. In the search, guides
come before records of decisions and lists of tests. A page in two languages has a switch to the other one. Code in
tables breaks between words, options of commands not behind their hyphens, and a picture leads to itself in full size.
"""

from __future__ import annotations

import re
from typing import Any

# A page -> the menus that it does without.
WIDE = {
    "compare-langchain.md": ["toc"],
    "compare-llama-index.md": ["toc"],
    "fidelity.md": ["toc"],
    "reliability.md": ["navigation", "toc"],
}
# A Chinese page -> the English page; every other has the same name.
CHINESE = "zh/"
SAME = {"zh/quickstart.md": "index.md"}
# A line break is a space in HTML, which does not belong between Chinese characters or behind their punctuation.
_HAN = r"[\u3000-\u9fff\uff00-\uffef]"
BREAK = re.compile(rf"(?<={_HAN})\n {{0,3}}(?={_HAN})|(?<=[，。；：、])\n {{0,3}}(?!\d+\. )(?=[`\w\[])")
# The sample messages of errors are filled to 88 columns for readers of the file. On the page the browser fills them.
SAMPLE = re.compile(r"(?<=<!-- sample: )\w+ -->\n```text\n.*?(?=\n```)", re.DOTALL)
# Code in HTML: in blocks, in tables and in sentences.
_BLOCK = re.compile(r"(<pre\b.*?</pre>)", re.DOTALL)
_CELL = re.compile(r"<td\b.*?</td>", re.DOTALL)
_CODE = re.compile(r"<code>.*?</code>", re.DOTALL)
_TEXT = re.compile(r"(?<=>)[^<]+")
_OPTION = re.compile(r"(?<![\w-])--?[A-Za-z]+(?![^<>]*>)")  # not inside a tag; `--max-tokens` may break after `max-`
_WORD = re.compile(
    r"(?<=[A-Za-z])(?=[A-Z][a-z]{2})|(?<=[A-Za-z0-9]_)(?=[A-Za-z0-9])|(?<=[\w)\]:][./=(:\[])(?=[A-Za-z_\[{&])"
)
# A docstring describes several attributes at once, "total, failed: numbers": the reader of docstrings takes the names
# behind the first one for its type.
_SEVERAL = re.compile(
    r"<td><code>(?:<[^>]*>)?(\w+),(?:<[^>]*>)?</code></td>\s*<td>\s*<code>(.*?)</code>\s*</td>", re.DOTALL
)
_PICTURE = re.compile(r'<p>(<img [^>]*?src="([^"]+)"[^>]*>)</p>')
LATER = ("adr/", "coverage.md", "fidelity.md", "mutation.md", "promises.md")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Take menus away; put pages behind others in the search; join lines of Chinese and of sample messages."""
    if menus := WIDE.get(page.file.src_uri):
        page.meta["hide"] = menus
    if page.file.src_uri.startswith(LATER):
        page.meta["search"] = {"boost": 0.2}
    markdown = SAMPLE.sub(lambda found: found[0].replace("\n    ", " "), markdown)
    return BREAK.sub("", markdown) if page.file.src_uri.startswith(CHINESE) else markdown


def on_page_content(html: str, page: Any, **_: Any) -> str:
    """Say where lines may break; lead pictures to themselves; mark wide pages for style.css."""
    html = _SEVERAL.sub(_names, html)
    parts = _BLOCK.split(html)  # text and blocks of code, in turns
    html = "".join(_whole_options(part) if index % 2 else _breaks(part) for index, part in enumerate(parts))
    if page.file.src_uri.startswith(CHINESE):  # a quotation mark in code would keep the line together
        html = re.sub(r"(?<=[，；：、])<code>", "<wbr><code>", html)
    html = _PICTURE.sub(r'<p><a href="\2">\1</a></p>', html)
    return f'<div class="wide">{html}</div>' if page.file.src_uri in WIDE else html


def _names(row: re.Match[str]) -> str:
    names = [row[1], *re.findall(r"\w+", re.sub(r"<[^>]*>", "", row[2]))]
    return f"<td>{', '.join(f'<code>{name}</code>' for name in names)}</td><td></td>"


def _breaks(html: str) -> str:
    """Let code in tables break between words, and options of commands not behind their hyphens."""
    html = _CELL.sub(lambda cell: _CODE.sub(lambda code: _TEXT.sub(_words, code[0]), cell[0]), html)
    return _CODE.sub(lambda code: _whole_options(code[0]), html)


def _words(text: re.Match[str]) -> str:
    return _WORD.sub("<wbr>", text[0])


def _whole_options(html: str) -> str:
    return _OPTION.sub(r'<span class="option">\g<0></span>', html)


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
