"""What the tool `web_search` of text models finds: invented pages, since nothing is fetched.

Fields: docs.bigmodel.cn, chat completion, `web_search` of the response. Whether they are sent: the tool's own
`search_result`, false where it is absent (docs.z.ai, chat completion, WebSearchObject).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from glmv_emulator.platform.usage import texts

# docs.z.ai, WebSearchObject, `count`.
COUNTS = range(1, 51)
DEFAULT_COUNT = 10
LONGEST_QUERY = 70  # docs.bigmodel.cn, web search, `search_query`


def found(tools: Sequence[Mapping[str, Any]], messages: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """The pages that are shown beside an answer; none unless a tool asks to have them shown."""
    for tool in tools:
        asked = tool.get("web_search") if tool.get("type") == "web_search" else None
        if isinstance(asked, dict) and asked.get("enable", True) is True and asked.get("search_result") is True:
            return _pages(_query(asked, messages), asked.get("count"))
    return ()


def _query(asked: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> str:
    given = asked.get("search_query")
    if isinstance(given, str) and given:
        return given[:LONGEST_QUERY]
    written = [text for message in messages if message.get("role") == "user" for text in texts(message)]
    return written[-1][:LONGEST_QUERY] if written else ""


def _pages(query: str, count: Any) -> tuple[dict[str, Any], ...]:
    many = count if isinstance(count, int) and count in COUNTS else DEFAULT_COUNT
    return tuple(
        {
            "refer": f"ref_{number}",
            "title": f"Page {number} of the emulator about: {query}",
            "link": f"https://example.com/search/{number}?q={quote(query)}",
            "content": f"The emulator searches nothing; this is page {number} about: {query}",
            "media": "glmv emulator",
            "icon": "",
            "publish_date": "",
        }
        for number in range(1, many + 1)
    )
