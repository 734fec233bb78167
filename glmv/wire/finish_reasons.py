"""The meaning of finish reasons of the platform and of other servers."""

from __future__ import annotations

import functools
import re
from enum import StrEnum


class Ending(StrEnum):
    """The kinds of finish reasons that are not a success."""

    WITHDRAWN = "withdrawn"  # the server flagged the content
    BROKEN = "broken"  # the server failed: a retry may succeed
    LOOPED = "looped"  # the server stopped a repetitive answer: a retry would give the same
    FULL = "full"  # the context window is full: the answer is cut off or empty


# Finish reasons that are not a success. All other finish reasons, even unknown ones, are a success, and are returned
# unchanged. Case and hyphens do not matter, see `ending_of`.
ENDINGS: dict[str, Ending] = {
    "sensitive": Ending.WITHDRAWN,  # docs.bigmodel.cn "安全审核"
    "content_filter": Ending.WITHDRAWN,  # OpenAI's API reference; LiteLLM's word for "sensitive"
    "safety": Ending.WITHDRAWN,  # ai.google.dev, FinishReason; gateways send it in capitals
    "prohibited_content": Ending.WITHDRAWN,  # as above
    "blocklist": Ending.WITHDRAWN,  # as above
    "spii": Ending.WITHDRAWN,  # as above: personal data
    "guardrail_intervened": Ending.WITHDRAWN,  # Amazon Bedrock, Converse, stopReason
    "content_filtered": Ending.WITHDRAWN,  # as above
    "refusal": Ending.WITHDRAWN,  # docs.anthropic.com, "Handling stop reasons": a classifier ended the answer
    "network_error": Ending.BROKEN,  # docs.bigmodel.cn "对话补全"
    "error": Ending.BROKEN,  # vLLM (vllm/v1/engine, FINISH_REASON_STRINGS); openrouter.ai, "Errors"
    "abort": Ending.BROKEN,  # vLLM, as above; SGLang
    "insufficient_system_resource": Ending.BROKEN,  # api-docs.deepseek.com, "Create Chat Completion"
    # Not from a document:
    "cancelled": Ending.BROKEN,
    "timeout": Ending.BROKEN,
    "repetition": Ending.LOOPED,  # vLLM, as above: it stopped a repetitive answer
    "model_context_window_exceeded": Ending.FULL,  # docs.z.ai, "Chat Completion", unstreamed answers
}


@functools.lru_cache(maxsize=64)
def ending_of(finish_reason: str | None) -> Ending | None:
    """The kind of a finish reason in any spelling ("CONTENT_FILTER", "content-filter", "contentFilter").

    Returns:
        The kind; None if the finish reason means success.
    """
    if not finish_reason or len(finish_reason) > _LONGEST_REASON:
        return None
    words = _HUMP.sub("_", finish_reason.strip())
    return ENDINGS.get(_GAP.sub("_", words).lower())


_LONGEST_REASON = 64
_HUMP, _GAP = re.compile("(?<=[a-z])(?=[A-Z])"), re.compile(r"[\s-]+")


def is_withdrawn(finish_reason: str | None) -> bool:
    """Whether a finish reason of any server means that content was flagged and withdrawn."""
    return ending_of(finish_reason) is Ending.WITHDRAWN
