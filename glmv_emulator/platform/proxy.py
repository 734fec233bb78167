"""Rules of `/v1`, which behaves like an OpenAI-compatible server (vLLM, SGLang, llama.cpp, proxies).

Source: OpenAI's API reference, chat completions; vLLM 0.33, `ChatCompletionRequest`; `transformers serve` 5.24, which
refuses unknown fields of a body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glmv_emulator.platform.errors import Refusal
from glmv_emulator.platform.settings import Settings

ROLES = ("system", "developer", "user", "assistant", "tool")
HIGHEST_TEMPERATURE = 2.0
# The fields of OpenAI's request, and the field by which vLLM and SGLang pass values to a chat template.
FIELDS = frozenset({
    "audio", "chat_template_kwargs", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs",
    "max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model", "moderation", "n",
    "parallel_tool_calls", "prediction", "presence_penalty", "prompt_cache_key", "prompt_cache_options",
    "prompt_cache_retention", "reasoning_effort", "response_format", "safety_identifier", "seed", "service_tier",
    "stop", "store", "stream", "stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p",
    "user", "verbosity", "web_search_options",
})  # fmt: skip


class UnexpectedFields(Refusal):
    """HTTP 422 for unknown fields, as strict servers answer: `{"detail": ...}`."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__("1210", status=422)
        self._names = "{" + ", ".join(repr(name) for name in sorted(names)) + "}"

    def openai_envelope(self) -> dict[str, Any]:
        return {"detail": f"Unexpected fields in the request: {self._names}"}


def check_fields(body: Mapping[str, Any], settings: Settings) -> None:
    """Raise `Refusal` if the body has unknown fields and the emulator has `strict={"fields"}`."""
    if "fields" in settings.strict and (unknown := body.keys() - FIELDS):
        raise UnexpectedFields([str(name) for name in unknown])


def tool_choice(value: Any, tools: Sequence[Mapping[str, Any]]) -> Any:
    """`tool_choice`, unchanged; raises 1214 if it is invalid or names a tool that the request does not have."""
    names = [tool["function"]["name"] for tool in tools if tool.get("type") == "function"]
    match value:
        case None | "none" | "auto":
            return value
        case "required" if tools:
            return value
        case {"type": "function", "function": {"name": str(name)}} if name in names:
            return value
    raise Refusal("1214", "tool_choice")


def response_format(value: Any) -> dict[str, Any] | None:
    """`response_format`, unchanged, or None for plain text; raises 1214 if it is invalid."""
    match value:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"} | {"type": "json_schema", "json_schema": {"schema": dict()}}:
            result: dict[str, Any] = value
            return result
    raise Refusal("1214", "response_format")


def include_usage(options: Any, *, stream: bool) -> bool:
    """Whether a stream ends with its usage; raises 1214 if there are options, but the request is not streamed."""
    if options is None:
        return False
    if not stream or not isinstance(options, dict):
        raise Refusal("1214", "stream_options（stream=true）", "stream_options (it needs stream=true)")
    return options.get("include_usage") is True
