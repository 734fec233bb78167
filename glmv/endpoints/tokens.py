"""How many tokens messages have, counted by the platform. Source: docs.bigmodel.cn, "文本分词器" (POST /tokenizer)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

from glmv.endpoints.context import Context
from glmv.errors import MalformedResponse
from glmv.exchange.steps import Step
from glmv.options import ChatRequest
from glmv.request.check import check
from glmv.wire.encode import encode


def count_tokens(context: Context, request: ChatRequest) -> Generator[Step, Any, int]:
    """Messages and tools of a request -> tokens of the prompt, pictures and videos included."""
    row = context.row(request)
    tools = {name: value for name, value in request.options.items() if name == "tools"}
    asked = check(request.but(options=tools), row, context.address.dialect)
    body = encode(asked, context.address.dialect, stream=False, lists=row is not None and not row.string_content)
    return _count((yield from context.fetch("POST", "/tokenizer", body)))


def _count(answer: Mapping[str, Any]) -> int:
    usage = answer.get("usage")
    # The reference has `usage`; a client in the field reads `tokens` at the top.
    for found in (usage if isinstance(usage, Mapping) else {}, {"total_tokens": answer.get("tokens")}):
        for name in ("prompt_tokens", "total_tokens"):
            if isinstance(count := found.get(name), int):
                return count
    raise MalformedResponse(f"The tokenizer's answer holds no count; it has {sorted(answer)}.")
