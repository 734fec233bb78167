"""Third-party servers as a client sees them: allowed body fields, and when a stream has usage."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx

MESSAGES = {"model", "messages"}
# The fields of OpenAI's reference that a client may use, and what engines add to them.
OPENAI = MESSAGES | {
    "temperature", "top_p", "max_tokens", "stop", "seed", "stream", "stream_options", "tools", "tool_choice", "user",
    "response_format",
}  # fmt: skip
ENGINE = OPENAI | {"chat_template_kwargs"}
USAGE = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}


class OtherServer:
    """Answers "Hi" or the given message, and refuses unknown fields, as `transformers serve` does.

    Args:
        knows: the allowed fields of a body.
        message: of the answer.
        base_url, model: settings of the client.

    Attributes:
        bodies, headers: of the requests so far.
    """

    def __init__(
        self,
        knows: Iterable[str] = ENGINE,
        message: dict[str, Any] | None = None,
        *,
        base_url: str = "https://server.example/v1",
        model: str = "ours",
    ) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[httpx.Headers] = []
        self._knows = set(knows)
        self._message = message or {"role": "assistant", "content": "Hi"}
        self._address = {"api_key": "any", "base_url": base_url, "model": model, "max_retries": 0}

    @property
    def body(self) -> dict[str, Any]:
        """The body of the last request."""
        return self.bodies[-1]

    def options(self, **more: Any) -> dict[str, Any]:
        """Settings of a client of any class that calls this server."""
        answers = httpx.MockTransport(self._answer)
        clients = {"http_client": httpx.Client(transport=answers)}
        clients["http_async_client"] = httpx.AsyncClient(transport=answers)  # type: ignore[assignment]  # both kinds
        return {**self._address, **clients, **more}

    def _answer(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        self.bodies.append(body)
        self.headers.append(request.headers)
        if unknown := sorted(body.keys() - self._knows):
            return httpx.Response(422, json={"detail": f"Unexpected fields in the request: {unknown}"})
        if not body.get("stream"):
            if "stream_options" in body:  # vllm/entrypoints/openai/chat_completion/protocol.py checks it
                return httpx.Response(400, json={"error": {"message": "stream_options only when stream", "code": 400}})
            choice = {"index": 0, "finish_reason": "stop", "message": self._message}
            return httpx.Response(200, json={"id": "1", "model": body["model"], "choices": [choice], "usage": USAGE})
        head = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}
        events: list[dict[str, Any]] = [
            {**head, "choices": [{"index": 0, "delta": self._message}]},
            {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        ]
        if (body.get("stream_options") or {}).get("include_usage"):
            events.append({**head, "choices": [], "usage": USAGE})
        lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=lines.encode())
