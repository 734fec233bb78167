"""Errors of servers other than the platform, and their classes: one table for `glmv` and the frameworks."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx

import glmv

KEY = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6.SECRETofTheUser1"


@dataclass(frozen=True)
class Refusal:
    """A server's response: an HTTP status and JSON, or status 200 with a finish reason and no error in the body."""

    status: int
    payload: Any
    kind: type[glmv.GLMVError]
    words: str = ""
    requests: int = 1


def error_body(message: str, **more: Any) -> dict[str, Any]:
    """OpenAI's envelope."""
    return {"error": {"message": message, **more}}


def _openrouter(raw: Any, code: int) -> dict[str, Any]:
    return error_body("Provider returned error", code=code, metadata={"raw": raw, "provider_name": "Z.AI"})


REFUSALS = {
    "vLLM, too long": Refusal(
        400,
        error_body(
            "You passed 44001 input tokens and requested 0 output tokens. However, the model's context length is only "
            "4096 tokens, resulting in a maximum input length of 4096 tokens.",
            type="BadRequestError", code=400,
        ),
        glmv.ContextLengthError, "44001",
    ),
    "SGLang with pictures, too long": Refusal(
        400,
        {"object": "error", "code": 400, "message": "Multimodal prompt is too long after expanding multimodal tokens."},
        glmv.ContextLengthError,
    ),
    "OpenRouter, too long": Refusal(
        400, _openrouter('{"error":{"code":"1261","message":"Prompt exceeds max length"}}', 400),
        glmv.ContextLengthError, "Provider returned error: Prompt exceeds max length",
    ),
    "OpenRouter, arrears": Refusal(
        429, _openrouter('{"error":{"code":"1113","message":"余额不足"}}', 429), glmv.QuotaError, "余额不足"
    ),
    "OpenRouter, a key in its cause": Refusal(
        400, _openrouter(f"the upstream got Bearer {KEY}", 400), glmv.InvalidRequestError, "the upstream got Bearer"
    ),
    "new-api, sensitive": Refusal(
        400, error_body("sensitive words detected", code="sensitive_words_detected"), glmv.ContentFilterError
    ),
    "one-api, a key without money": Refusal(403, error_body("该令牌额度已用尽", code=""), glmv.QuotaError),
    "LiteLLM, a policy": Refusal(
        400, error_body("litellm.ContentPolicyViolationError: x", code="400"), glmv.ContentFilterError
    ),
    "a quoted question": Refusal(
        400,
        error_body("[{'msg': 'no', 'input': {'content': '为什么提示余额不足?'}}]", code=400),
        glmv.InvalidRequestError,
    ),
    "a sure status": Refusal(401, error_body("bad key; error type: content_filter"), glmv.AuthenticationError),
    "an answer that repeats itself": Refusal(200, "repetition", glmv.MalformedResponse, "repeats itself"),
    "an answer withdrawn in capitals": Refusal(200, "CONTENT_FILTER", glmv.ContentFilterError),
    "an answer given up": Refusal(200, "insufficient_system_resource", glmv.StreamInterrupted, requests=3),
}  # fmt: skip


class Refusing(httpx.MockTransport):
    """Answers every request with one refusal.

    Attributes:
        count: of the requests.
    """

    def __init__(self, refusal: Refusal) -> None:
        self.count = 0
        self._refusal = refusal
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.count += 1
        if self._refusal.status != 200:
            return httpx.Response(self._refusal.status, json=self._refusal.payload, headers={"retry-after-ms": "1"})
        head: dict[str, Any] = {"id": "1", "created": 1, "model": "m"}
        end = {"index": 0, "finish_reason": self._refusal.payload}
        if json.loads(request.content).get("stream"):
            chunks: Iterable[dict[str, Any]] = ({**head, "choices": [{**end, "delta": {}}]},)
            text = "".join(f"data: {json.dumps(each)}\n\n" for each in chunks) + "data: [DONE]\n\n"
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, text=text)
        return httpx.Response(200, json={**head, "choices": [{**end, "message": {"content": "la la"}}]})


def options(transport: Refusing, **more: Any) -> dict[str, Any]:
    """Settings of a client of any class that uses this transport."""
    return {
        "api_key": KEY, "base_url": "https://server.example/v1", "model": "glm-4.6v", "max_retries": 2,
        "http_client": httpx.Client(transport=transport),
        "http_async_client": httpx.AsyncClient(transport=transport),
        **more,
    }  # fmt: skip


def check(error: glmv.GLMVError, refusal: Refusal, transport: Refusing) -> None:
    """Assert class and words of the error, that it shows no key, and the number of requests."""
    assert isinstance(error, refusal.kind)
    assert refusal.words in str(error)
    assert KEY not in str(error)
    assert KEY.partition(".")[2] not in str(error)
    assert transport.count == refusal.requests
