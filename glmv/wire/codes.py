"""The platform's business codes as a table, and the eight envelopes they come in.

Sources: docs.bigmodel.cn "错误码" and docs.z.ai "Errors" (codes, HTTP statuses), docs.bigmodel.cn "安全审核" (1301).
The retry column is our reading of the documented meaning. Messages differ by host and language: match codes,
never texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from glmv.errors import (
    AuthenticationError,
    ContentFilterError,
    ContextLengthError,
    GLMVError,
    InvalidRequestError,
    LimitExceeded,
    MalformedResponse,
    NotFoundError,
    PermissionDeniedError,
    QuotaError,
    RateLimitError,
    RequestTimeout,
    ServerError,
)


class Retry(StrEnum):
    """When the same request may be sent again."""

    NEVER = "never"
    TRANSIENT = "transient"  # the platform stumbled: soon
    BUSY = "busy"  # too many at once: later, and fewer at a time
    TOKEN = "token"  # noqa: S105 - the name of a retry class, not a secret: sign anew, once


class Code(NamedTuple):
    """One row: which error it is, when to retry, and what a person should do."""

    kind: type[GLMVError]
    retry: Retry
    advice: str


# Frameworks that fall back to another model look for the words "invalid API key" and "rate limit" in a message.
_KEY = "Invalid API key, or one of another host: check ZHIPUAI_API_KEY (bigmodel.cn) or ZAI_API_KEY (z.ai)."
_ACCOUNT = "See the account's state in the platform's console."
_FIELD = "Compare the request with the model's documentation."
_PLAN = "Renew or change the plan, or use a key and base URL that pay by use."
_RESET = "Wait until the allowance is reset, or use another key."
_BUSY = "The rate limit is reached: fewer calls at once help, set max_concurrency."

CODES: dict[str, Code] = {
    "401": Code(AuthenticationError, Retry.TOKEN, _KEY),
    "500": Code(ServerError, Retry.TRANSIENT, "Try again later."),
    "1000": Code(AuthenticationError, Retry.NEVER, _KEY),
    "1001": Code(AuthenticationError, Retry.NEVER, _KEY),
    "1002": Code(AuthenticationError, Retry.NEVER, _KEY),
    "1003": Code(AuthenticationError, Retry.TOKEN, "The token has expired: is this machine's clock right?"),
    "1004": Code(AuthenticationError, Retry.NEVER, _KEY),
    "1100": Code(ServerError, Retry.NEVER, _ACCOUNT),
    "1110": Code(PermissionDeniedError, Retry.NEVER, _ACCOUNT),
    "1111": Code(PermissionDeniedError, Retry.NEVER, _ACCOUNT),
    "1112": Code(PermissionDeniedError, Retry.NEVER, _ACCOUNT),
    "1113": Code(QuotaError, Retry.NEVER, "Recharge the account, or use the base URL that the key's plan is for."),
    "1120": Code(ServerError, Retry.TRANSIENT, "Try again later."),
    "1121": Code(PermissionDeniedError, Retry.NEVER, _ACCOUNT),
    "1200": Code(InvalidRequestError, Retry.NEVER, _FIELD),
    "1210": Code(InvalidRequestError, Retry.NEVER, _FIELD),
    "1211": Code(NotFoundError, Retry.NEVER, "Check the model's name: `glmv models` lists those we know."),
    "1212": Code(InvalidRequestError, Retry.NEVER, "This model wants another way of calling."),
    "1213": Code(InvalidRequestError, Retry.NEVER, _FIELD),
    "1214": Code(InvalidRequestError, Retry.NEVER, _FIELD),
    "1215": Code(InvalidRequestError, Retry.NEVER, "These fields exclude each other."),
    "1220": Code(PermissionDeniedError, Retry.NEVER, "The account has no access to this model or endpoint."),
    "1221": Code(NotFoundError, Retry.NEVER, "This endpoint was taken down."),
    "1222": Code(NotFoundError, Retry.NEVER, "There is no such endpoint: check base_url."),
    "1230": Code(ServerError, Retry.TRANSIENT, "Try again later."),
    "1231": Code(InvalidRequestError, Retry.NEVER, "A call with this request_id is running: give each call its own."),
    "1234": Code(ServerError, Retry.TRANSIENT, "Try again later; give the request id to the platform's support."),
    "1261": Code(ContextLengthError, Retry.NEVER, "Shorten the conversation, or send fewer or smaller pictures."),
    "1300": Code(ContentFilterError, Retry.NEVER, "The call is blocked by policy."),
    "1301": Code(ContentFilterError, Retry.NEVER, "The platform finds the input or the answer unsafe: change it."),
    "1302": Code(RateLimitError, Retry.BUSY, _BUSY),
    "1303": Code(RateLimitError, Retry.BUSY, _BUSY),
    "1304": Code(QuotaError, Retry.NEVER, "The day's calls are used up: wait until tomorrow or ask for more."),
    "1305": Code(RateLimitError, Retry.BUSY, "The model is overloaded: try again later or use another model."),
    "1308": Code(QuotaError, Retry.NEVER, _RESET),
    "1309": Code(QuotaError, Retry.NEVER, _PLAN),
    "1310": Code(QuotaError, Retry.NEVER, _RESET),
    "1311": Code(QuotaError, Retry.NEVER, _PLAN),
    "1312": Code(RateLimitError, Retry.BUSY, "The model is overloaded: the message names another one to use."),
    "1313": Code(QuotaError, Retry.NEVER, "The account is throttled for its use: see the console."),
    "1316": Code(QuotaError, Retry.NEVER, _RESET),
    "1317": Code(QuotaError, Retry.NEVER, _RESET),
    "1318": Code(QuotaError, Retry.NEVER, _RESET),
    "1319": Code(QuotaError, Retry.NEVER, _RESET),
    "1320": Code(QuotaError, Retry.NEVER, _RESET),
    "1321": Code(QuotaError, Retry.NEVER, _RESET),
}

# What an HTTP status says when no known code comes with it. 434 and 435 are the platform's own:
# "no API permission (beta)" and "file larger than 100 MB".
STATUSES: dict[int, Code] = {
    400: Code(InvalidRequestError, Retry.NEVER, _FIELD),
    401: Code(AuthenticationError, Retry.TOKEN, _KEY),
    402: Code(QuotaError, Retry.NEVER, "Recharge the account."),
    403: Code(PermissionDeniedError, Retry.NEVER, "The key may not do this."),
    404: Code(NotFoundError, Retry.NEVER, "Check base_url and the model's name."),
    408: Code(RequestTimeout, Retry.TRANSIENT, "Try again later."),
    413: Code(LimitExceeded, Retry.NEVER, "The request is too large: send fewer or smaller pictures."),
    429: Code(RateLimitError, Retry.BUSY, _BUSY),
    434: Code(PermissionDeniedError, Retry.NEVER, "This endpoint is in beta: ask the platform for access."),
    435: Code(LimitExceeded, Retry.NEVER, "The file is larger than 100 MB."),
    503: Code(ServerError, Retry.BUSY, "Try again later."),
}
_CLIENT = Code(InvalidRequestError, Retry.NEVER, _FIELD)
_SERVER = Code(ServerError, Retry.TRANSIENT, "Try again later.")
_REDIRECT = Code(MalformedResponse, Retry.NEVER, "Redirects are not followed, so that nothing is sent elsewhere.")


def row(status: int | None, code: str | None) -> Code:
    """What a status and a business code mean; the code decides where there is one."""
    known = CODES.get(code or "")
    if known is not None:
        return known
    status = status or 200
    if status == 200 and code and re.fullmatch("[45][0-9]{2}", code):
        status = int(code)  # gateways name an HTTP status where the platform names its own code
    if status in STATUSES:
        return STATUSES[status]
    if 300 <= status < 400:
        return _REDIRECT
    return _CLIENT if 400 <= status < 500 else _SERVER


class Envelope(NamedTuple):
    """What an error body says."""

    code: str | None
    message: str
    request_id: str | None
    content_filter: list[dict[str, Any]] | None


# What a sentence of the platform may end with.
_STOPS = ".!?。！？"
# "[1308][已达到 5 小时的使用上限。…][202608301448…]": code, text and trace in one string.
_WRAPPED = re.compile(r"^\s*\[(\d{3,4})\]\[(.*?)\](?:\[([^\]]*)\])?\s*$", re.DOTALL)
# "您的限额将在 2026-08-24 00:27:12 重置": wall clock of Beijing, UTC+8.
_RESET_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")


def envelope(payload: object) -> Envelope | None:
    """A parsed body -> the error in it, or None when it is none.

    Knows `{"error": {...}}` (also with `request_id`, `contentFilter`), `{"error": "text"}`, the flat
    `{"code", "msg", "success": false}` that comes with HTTP 200, `{"code", "message"}`, and the Anthropic shape.
    """
    if not isinstance(payload, Mapping):
        return None
    code: object
    match payload:
        case {"error": Mapping() as error} if error:
            code, message = error.get("code"), error.get("message") or error.get("msg") or ""
        case {"error": str(message)} if message:
            code = payload.get("code")
        case (
            {"success": False} | {"code": int() | str(), "msg": str()} | {"code": int() | str(), "message": str()}
        ) if not (payload.get("choices") or payload.get("success")):
            code, message = payload.get("code"), payload.get("msg") or payload.get("message") or ""
        case _:
            return None
    code = str(code) if code not in (None, "") else None
    message = str(message)
    request_id = str(payload["request_id"]) if payload.get("request_id") else None
    if wrapped := _WRAPPED.match(message):
        code, message, request_id = wrapped[1], wrapped[2], request_id or wrapped[3] or None
    found = payload.get("contentFilter", payload.get("content_filter"))
    return Envelope(code, message, request_id, found if isinstance(found, list) else None)


def error_from(status: int | None, found: Envelope, *, retry_after: float | None = None) -> GLMVError:
    """An error body -> the error to raise, saying what the platform said and what to do."""
    # A flat code that is an HTTP status ({"code":500,"msg":"404 NOT_FOUND"}) says less than its text.
    known = row(
        404 if "404 NOT_FOUND" in found.message else status,
        None if "404 NOT_FOUND" in found.message else found.code,
    )
    said = "".join(c if c.isprintable() else " " for c in found.message)[:300] or "the platform gave no reason"
    reset = _RESET_TIME.search(found.message) if known.kind is QuotaError else None
    return known.kind(
        f"{said}{'' if said[-1] in _STOPS else '.'} {known.advice}",
        status_code=status,
        code=found.code,
        request_id=found.request_id,
        retryable=known.retry in (Retry.TRANSIENT, Retry.BUSY),
        retry_after=retry_after,
        content_filter=found.content_filter,
        reset_at=f"{reset[1]}T{reset[2]}+08:00" if reset else None,
    )
