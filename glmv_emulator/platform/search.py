"""Results of the tool `web_search` of text models: invented pages, because nothing is fetched.

The fields of a page are documented at docs.bigmodel.cn, chat completion, `web_search` of the response. The pages are
sent only if the tool sets `search_result`, which is false by default (docs.z.ai, chat completion, WebSearchObject).
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


def search_results(
    tools: Sequence[Mapping[str, Any]], messages: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Any], ...]:
    """The pages that are sent with an answer; none unless a tool has `search_result` set."""
    for tool in tools:
        options = tool.get("web_search") if tool.get("type") == "web_search" else None
        if isinstance(options, dict) and options.get("enable", True) is True and options.get("search_result") is True:
            return _pages(_query(options, messages), options.get("count"))
    return ()


def _query(options: Mapping[str, Any], messages: Sequence[Mapping[str, Any]]) -> str:
    query = options.get("search_query")
    if isinstance(query, str) and query:
        return query[:LONGEST_QUERY]
    texts_of_user = [text for message in messages if message.get("role") == "user" for text in texts(message)]
    return texts_of_user[-1][:LONGEST_QUERY] if texts_of_user else ""


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
