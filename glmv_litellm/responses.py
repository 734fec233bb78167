"""Converts completions and deltas of `glmv` to responses and chunks of LiteLLM."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from litellm.types.utils import Choices, Delta, Message, ModelResponse, ModelResponseStream, StreamingChoices, Usage

import glmv

# A finish reason that LiteLLM maps to the wrong one of OpenAI's. LiteLLM maps the others correctly.
_FULL = "model_context_window_exceeded"


def response_of(answer: glmv.Completion, response: ModelResponse, model: str) -> ModelResponse:
    """Write a whole answer into the response that LiteLLM has created for the call, and return it.

    Args:
        answer: the answer from `glmv`.
        response: LiteLLM's response; it is changed and returned.
        model: the name of the requested model.
    """
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in answer.tool_calls
    ]
    message = Message(
        content=answer.text if answer.text or not calls else None,
        tool_calls=calls or None,
        reasoning_content=answer.reasoning or None,
        provider_specific_fields=_facts(answer) or None,
    )
    response.choices = [Choices(finish_reason=_finish_reason(answer), index=0, message=message)]
    response.id = answer.id or response.id
    response.created = answer.created or response.created
    response.model = answer.model or model
    if answer.usage is not None:
        response.usage = _usage(answer.usage)  # type: ignore[attr-defined]  # LiteLLM's models take further fields
    return response


class StreamMapper:
    """Converts the deltas of one answer, in order, to LiteLLM's chunks.

    If a chunk has a finish reason, LiteLLM drops everything else in it, so usage and facts come in earlier chunks.

    Args:
        model: the name of the requested model.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._id: str | None = None
        self._created: int | None = None
        self._called = False

    def feed(self, delta: glmv.Delta) -> Iterator[ModelResponseStream]:
        """The chunks for one delta. The last delta also has chunks with the facts, the usage and the finish reason."""
        self._id = self._id or delta.id
        self._created = self._created or delta.created
        if delta.text or delta.reasoning or delta.tool_calls:
            self._called = self._called or bool(delta.tool_calls)
            yield self._chunk(
                Delta(
                    role="assistant",
                    content=delta.text or None,
                    reasoning_content=delta.reasoning or None,
                    tool_calls=[_call(piece) for piece in delta.tool_calls] or None,
                )
            )
        if delta.last:
            facts = _facts(delta)
            if facts:
                yield self._chunk(Delta(role="assistant", provider_specific_fields=facts))
            if delta.usage is not None:
                yield self._chunk(Delta(), usage=_usage(delta.usage))
            yield self._chunk(Delta(), finish_reason=_finish_reason(delta, called=self._called))

    def _chunk(self, delta: Delta, finish_reason: str | None = None, usage: Usage | None = None) -> ModelResponseStream:
        choice = StreamingChoices(index=0, delta=delta, finish_reason=finish_reason)
        more: dict[str, Any] = {} if usage is None else {"usage": usage}
        return ModelResponseStream(id=self._id, created=self._created, model=self._model, choices=[choice], **more)


def _call(piece: glmv.ToolCallDelta) -> dict[str, Any]:
    function = {"name": piece.name or None, "arguments": piece.arguments}
    return {"index": piece.index, "id": piece.id or None, "type": "function", "function": function}


def _finish_reason(answer: glmv.Completion | glmv.Delta, *, called: bool = False) -> str:
    reason = answer.finish_reason
    if glmv.is_withdrawn(reason):
        return "content_filter"
    if reason == _FULL:
        return "length"
    return reason or ("tool_calls" if called or answer.tool_calls else "stop")


def _usage(usage: glmv.Usage) -> Usage:
    cached, thought = usage.cached_tokens, usage.reasoning_tokens
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=None if cached is None else {"cached_tokens": cached},
        completion_tokens_details=None if thought is None else {"reasoning_tokens": thought},
    )


def _facts(answer: glmv.Completion | glmv.Delta) -> dict[str, Any]:
    """Values of an answer that have no field in LiteLLM. They are plain data for `provider_specific_fields`."""
    facts: dict[str, Any] = {
        "request_id": answer.request_id,
        "notes": list(answer.notes),
        "boxes": [asdict(box) for box in answer.boxes],
        "web_search": answer.web_search,
        "content_filter": answer.content_filter,
        "attempts": answer.attempts if answer.attempts > 1 else None,
    }
    if answer.finish_reason and answer.finish_reason != _finish_reason(answer):
        facts["finish_reason"] = answer.finish_reason
    return {name: value for name, value in facts.items() if value}
