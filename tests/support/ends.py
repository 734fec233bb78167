"""Failed answers of other servers, and the errors expected in `glmv`, LangChain and LlamaIndex."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

import glmv

STREAMED = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}


class _Bytes(httpx.SyncByteStream, httpx.AsyncByteStream):
    """An unread body: bytes, then an optional error that interrupts it."""

    def __init__(self, pieces: tuple[bytes | Exception, ...]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@dataclass(frozen=True)
class Reply:
    """A response of a server."""

    pieces: tuple[bytes | Exception, ...]
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> httpx.Response:
        return httpx.Response(self.status, headers=dict(self.headers), stream=_Bytes(self.pieces))


def chunk(text: str, reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": reason}
    return event({"id": "1", "model": "glm-4.6v", "choices": [choice]})


def event(payload: object) -> bytes:
    return b"data: " + json.dumps(payload, ensure_ascii=False).encode() + b"\n\n"


def whole(text: str, reason: str) -> bytes:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": reason, "message": message}
    return json.dumps({"id": "1", "model": "glm-4.6v", "choices": [choice]}).encode()


def answered(text: str, reason: str = "stop", *, stream: bool) -> Reply:
    """A complete answer."""
    if not stream:
        return Reply((whole(text, reason),), headers=JSON)
    result = (chunk(text),) if text else ()
    return Reply((*result, chunk("", reason), b"data: [DONE]\n\n"), headers=STREAMED)


def refused(status: int, payload: object, **headers: str) -> Reply:
    """A refusal as JSON."""
    return Reply((json.dumps(payload, ensure_ascii=False).encode(),), status, {**JSON, **headers})


@dataclass(frozen=True)
class End:
    """One failed answer.

    Attributes:
        kind: the error's class in `glmv`.
        whole, streamed: the server's responses, without and with a stream.
        words: words that the error's text has to contain.
        passes: whether the call is retried, and then returns the answer to the second attempt.
        code: the code that the error must have; None is any code.
    """

    kind: type[glmv.GLMVError]
    whole: Reply
    streamed: Reply
    words: str = ""
    passes: bool = False
    code: str | None = None

    def reply(self, *, stream: bool) -> Reply:
        return self.streamed if stream else self.whole


def _refusal(
    kind: type[glmv.GLMVError], status: int, payload: object, words: str = "", code: str | None = None, **more: Any
) -> End:
    return End(kind, refused(status, payload), refused(status, payload), words, code=code, **more)


def _reason(kind: type[glmv.GLMVError], reason: str, text: str = "", **more: Any) -> End:
    replies = [answered(text, reason, stream=stream) for stream in (False, True)]
    return End(kind, *replies, reason, **more)


def _error(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


_UNREAD = {"content-encoding": "br", "retry-after-ms": "1"}
_CUT = End(
    glmv.ConnectionFailed, Reply((whole("hello", "stop")[:40],), headers=JSON),
    Reply((whole("hello", "stop")[:40],), headers=JSON), "in the middle of its JSON", passes=True,
)  # fmt: skip

ENDS: dict[str, End] = {
    "content_filter": _reason(glmv.ContentFilterError, "content_filter", "bad"),
    "sensitive": _reason(glmv.ContentFilterError, "sensitive", "bad"),
    "error": _reason(glmv.StreamInterrupted, "error", passes=True),
    "abort": _reason(glmv.StreamInterrupted, "abort", passes=True),
    "repetition": _reason(glmv.MalformedResponse, "repetition", "la la la"),
    "no space in the window": _reason(glmv.ContextLengthError, "model_context_window_exceeded"),
    "vLLM's overflow": _refusal(
        glmv.ContextLengthError, 400,
        {"object": "error", "type": "BadRequestError", "code": 400,
         "message": "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens."},
        "4096 tokens",
    ),
    "SGLang's overflow": _refusal(
        glmv.ContextLengthError, 400,
        {"object": "error", "message": "The input (61709 tokens) is longer than the model's context length (40960 "
         "tokens).", "type": "BadRequestError", "code": 400},
    ),
    "llama.cpp's overflow": _refusal(
        glmv.ContextLengthError, 500, _error("m", code=500, type="exceed_context_size_error"),
        code="exceed_context_size_error",
    ),
    "OpenAI's overflow": _refusal(
        glmv.ContextLengthError, 400, _error("m", code="context_length_exceeded"), code="context_length_exceeded"
    ),
    "insufficient_quota": _refusal(
        glmv.QuotaError, 429, _error("m", code="insufficient_quota"), code="insufficient_quota"
    ),
    "one-api's quota": _refusal(
        glmv.QuotaError, 403, _error("用户额度不足", code="insufficient_user_quota", type="one_api_error"),
        code="insufficient_user_quota",
    ),
    "OpenRouter's credits": _refusal(glmv.QuotaError, 402, _error("Insufficient credits", code=402), "credits"),
    "content_policy_violation": _refusal(
        glmv.ContentFilterError, 400, _error("m", code="content_policy_violation"), code="content_policy_violation"
    ),
    "invalid_api_key": _refusal(glmv.AuthenticationError, 401, _error("m", code="invalid_api_key")),
    "model_not_found": _refusal(glmv.NotFoundError, 404, _error("m", code="model_not_found")),
    "1113 behind LiteLLM": _refusal(
        glmv.QuotaError, 429,
        _error('litellm.RateLimitError: ZaiException - {"error":{"code":"1113","message":"余额不足"}}', code="429"),
        "余额不足", "1113",
    ),
    "1301 behind LiteLLM": _refusal(
        glmv.ContentFilterError, 400, _error("litellm.BadRequestError: {'error': {'code': '1301'}}", code="400"),
        code="1301",
    ),
    "1113 by its text": _refusal(
        glmv.QuotaError, 429, _error("litellm.RateLimitError: 余额不足或无可用资源包,请充值。", code="429"), code="1113"
    ),
    "FastAPI's detail": _refusal(
        glmv.InvalidRequestError, 422, {"detail": [{"loc": ["body", "n"], "msg": "Extra inputs"}]}, "n: Extra inputs"
    ),
    "errors": _refusal(glmv.InvalidRequestError, 400, {"errors": ["one", {"message": "two"}]}, "one; two"),
    "401 whose body is br": End(
        glmv.AuthenticationError, Reply((b"zz",), 401, _UNREAD), Reply((b"zz",), 401, _UNREAD), "401"
    ),
    "502 whose body is br": End(
        glmv.ServerError, Reply((b"zz",), 502, _UNREAD), Reply((b"zz",), 502, _UNREAD), "502", passes=True
    ),
    "429 whose body breaks": End(
        glmv.RateLimitError,
        *[Reply((b'{"err', httpx.ReadError("reset")), 429, {"retry-after-ms": "1"})] * 2,
        "429", passes=True,
    ),
    "half a body": _CUT,
    "half a first event": End(
        glmv.StreamTruncated, _CUT.whole, Reply((chunk("hello")[:40],), headers=STREAMED), passes=True
    ),
    "an error without a code": End(
        glmv.ServerError,
        refused(200, {"error": "upstream connect error"}),
        Reply((event({"error": "upstream connect error"}),), headers=STREAMED),
        "upstream connect error", passes=True,
    ),
    "an error event of plain text": End(
        glmv.ServerError,
        refused(500, {"detail": "worker died"}),
        Reply((b"event: error\ndata: worker died\n\n",), headers=STREAMED),
        "worker died", passes=True,
    ),
}  # fmt: skip


class Script:
    """A transport that sends replies in order."""

    def __init__(self, *replies: Reply) -> None:
        self.requests = 0
        self._replies = list(replies)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests += 1
        return self._replies.pop(0).response()

    def clients(self) -> tuple[httpx.Client, httpx.AsyncClient]:
        transport = httpx.MockTransport(self)
        return httpx.Client(transport=transport), httpx.AsyncClient(transport=transport)


def kind_of(end: End, *, stream: bool) -> type[glmv.GLMVError]:
    """The class of the error: a truncated body that is not a stream is a broken connection."""
    if end.kind is glmv.StreamTruncated and not stream:
        return glmv.ConnectionFailed
    return end.kind
