"""Validate requests by the classes of an engine's server: `python classes.py vllm`, in the engines' environment.

Reads {name: request body} from its input. Writes, as JSON on its last line, the engine's version, for each body the
fields that the engine does not know or why it refuses it, and answers made by the engine's own classes.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from typing import Any

MODULES = {
    "vllm": ("vllm.entrypoints.openai.chat_completion.protocol", "vllm.entrypoints.generate.base.protocol"),
    "sglang": ("sglang.srt.entrypoints.openai.protocol",),
}
ID = {"id": "chatcmpl-1", "created": 1, "model": "zai-org/GLM-4.6V"}
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def verdict(request: Any, body: dict[str, Any]) -> str:
    """The error of a body; "" if it is valid."""
    field_names = {name for key, field in request.model_fields.items() for name in (key, field.alias) if name}
    if unknown := sorted(set(body) - field_names):
        return f"fields that the server does not know: {', '.join(unknown)}"
    try:
        for message in request.model_validate(body).messages:
            if isinstance(message, dict) and not isinstance(parts := message.get("content"), str | None):
                list(parts)  # pydantic judges these only when they are read
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:500]
    return ""


def answers(protocol: Any) -> dict[str, Any]:
    """A whole answer and streams, serialized by the engine's classes."""
    stream = protocol.ChatCompletionStreamResponse

    def chunk(delta: dict[str, Any] | None, finish: str | None = None, usage: Any = None) -> str:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        result = stream.model_validate({**ID, "choices": choices, "usage": usage})
        return str(result.model_dump_json(exclude_unset=True))

    def call(**function: str) -> dict[str, Any]:
        named = {"id": "call_1", "type": "function"} if "name" in function else {}
        return {"tool_calls": [{"index": 0, **named, "function": function}]}

    whole = protocol.ChatCompletionResponse.model_validate(
        {
            **ID,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "A red cat.", reasoning_field(protocol): "I look."},
                    "finish_reason": "stop",
                }
            ],
            "usage": USAGE,
        }
    )
    last = chunk(None, usage=USAGE)
    return {
        "whole": json.loads(whole.model_dump_json()),
        "words": [
            chunk({"role": "assistant", "content": ""}),
            chunk({reasoning_field(protocol): "I "}),
            chunk({reasoning_field(protocol): "look."}),
            chunk({"content": "A red"}),
            chunk({"content": " cat."}),
            chunk({"content": ""}, "stop"),
            last,
        ],
        "call": [
            chunk({"role": "assistant", "content": ""}),
            chunk(call(name="get_weather", arguments="")),
            chunk(call(arguments='{"ci')),
            chunk(call(arguments='ty": "Paris"}')),
            chunk({}, "tool_calls"),
            last,
        ],
    }


def reasoning_field(protocol: Any) -> str:
    """The field in which this version of the engine sends reasoning."""
    try:
        fields = protocol.DeltaMessage.model_fields
    except AttributeError:
        fields = protocol.ChatMessage.model_fields
    return "reasoning_content" if "reasoning_content" in fields else "reasoning"


def main(engine: str) -> None:
    protocol = importlib.import_module(MODULES[engine][0])
    bodies = json.load(sys.stdin)
    values = {
        "version": importlib.metadata.version(engine),
        "verdicts": {name: verdict(protocol.ChatCompletionRequest, body) for name, body in bodies.items()},
        "answers": answers(protocol),
    }
    sys.stdout.write(f"\n{json.dumps(values)}\n")


if __name__ == "__main__":
    main(sys.argv[1])
