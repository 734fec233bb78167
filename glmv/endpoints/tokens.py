"""The platform's count of the tokens of messages. Source: docs.bigmodel.cn, "文本分词器" (POST /tokenizer)."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

from glmv.endpoints.context import Context
from glmv.errors import MalformedResponse
from glmv.exchange.flow import worked
from glmv.exchange.steps import Step
from glmv.request.check import check
from glmv.request.messages import Messages
from glmv.request.size import is_large
from glmv.wire.encode import Body, encode


def count_tokens(
    context: Context, messages: Messages, model: str | None, tools: list[dict[str, Any]] | None
) -> Generator[Step, Any, int]:
    """Returns the number of tokens of a prompt with these messages and tools, including pictures and videos."""
    policy = context.policy()
    make = partial(_body, context, messages, model, tools)
    body = (yield from worked(make, policy)) if is_large(messages) else make()
    return _count((yield from context.fetch("POST", "/tokenizer", body, spent=policy.spent)))


def _body(context: Context, messages: Messages, model: str | None, tools: list[dict[str, Any]] | None) -> Body:
    request = context.request(messages, model, {"tools": tools})
    row = context.row(request)
    options = {name: value for name, value in request.options.items() if name == "tools"}
    keep = context.settings.picture_cache_bytes
    checked = check(request.but(options=options), row, context.address.dialect, keep=keep)
    return encode(checked, context.address.dialect, stream=False, lists=row is not None and not row.string_content)


def _count(answer: Mapping[str, Any]) -> int:
    usage = answer.get("usage")
    # The reference has `usage`; another client reads `tokens` at the top level.
    for counts in (usage if isinstance(usage, Mapping) else {}, {"total_tokens": answer.get("tokens")}):
        for name in ("prompt_tokens", "total_tokens"):
            if isinstance(count := counts.get(name), int):
                return count
    raise MalformedResponse(f"The tokenizer's response has no token count; its fields are {sorted(answer)}.")
