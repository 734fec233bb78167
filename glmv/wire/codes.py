"""What codes, names, sentences and finish reasons mean, as tables, and the envelopes that errors come in.

Sources of the platform's codes: docs.bigmodel.cn "错误码" and docs.z.ai "Errors" (codes, HTTP statuses),
docs.bigmodel.cn "安全审核" (1301). The retry column is our reading of the documented meaning. Messages differ by host
and language, so codes and names are looked up first; sentences count only where no known code came.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic_core import from_json

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
from glmv.wire.sentences import code_meant, own_words, quoted_codes, says_overflow


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
    """What a status and a code mean; the code decides where it is a known one that says more."""
    code = code or ""
    known = CODES.get(code) or NAMES.get(code)
    if known is None and (status in (None, 200) or (status == 400 and code in _ABOVE_400)):
        known = STATUS_NAMES.get(code)
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


_RECHARGE = "Recharge the account, or raise its limit."
_SHORTEN = "Shorten the conversation, or send fewer or smaller pictures."
_UNSAFE = "The server finds the input or the answer unsafe: change it."

_QUOTA = Code(QuotaError, Retry.NEVER, _RECHARGE)
_FILTERED = Code(ContentFilterError, Retry.NEVER, _UNSAFE)
_OVERFLOW = Code(ContextLengthError, Retry.NEVER, _SHORTEN)
_OVERLOADED = Code(ServerError, Retry.BUSY, "Try again later.")

# Names of other servers, as `code` or `type`, that say more than the HTTP status that they come with.
NAMES: dict[str, Code] = {
    # platform.openai.com, "Error codes": 429, yet waiting does not help; "inspect error.code", the `type` of all is
    # insufficient_quota. The last three are of 2026.
    "insufficient_quota": _QUOTA,
    "billing_hard_limit_reached": _QUOTA,
    "billing_not_active": _QUOTA,
    "credit_balance_exhausted": _QUOTA,
    "organization_spend_limit_exceeded": _QUOTA,
    "project_spend_limit_exceeded": _QUOTA,
    # github.com/songquanpeng/one-api and QuantumNous/new-api, relay controllers: 403.
    "insufficient_user_quota": _QUOTA,
    "pre_consume_token_quota_failed": _QUOTA,
    # Volcengine Ark, volcengine.com/docs/82379, "错误码": 403. DashScope, help.aliyun.com, "错误信息": 400.
    "AccountOverdueError": _QUOTA,
    "Arrearage": _QUOTA,
    # docs.litellm.ai, "Budgets, Rate Limits": a key's own budget, `type`, 400.
    "budget_exceeded": _QUOTA,
    # OpenAI's and Azure's filters (learn.microsoft.com, "Content filtering": `code` content_filter, 400).
    "content_policy_violation": _FILTERED,
    "content_filter": _FILTERED,
    # OpenAI's pictures: `code`, 400.
    "moderation_blocked": _FILTERED,
    # QuantumNous/new-api, types/error.go: 400.
    "sensitive_words_detected": _FILTERED,
    "prompt_blocked": _FILTERED,
    # DashScope, as above, and how its OpenAI-compatible endpoint writes it.
    "DataInspectionFailed": _FILTERED,
    "data_inspection_failed": _FILTERED,
    # OpenAI: `code`, 400. llama.cpp (ggml-org/llama.cpp#15780): `type`, 400 or 500.
    "context_length_exceeded": _OVERFLOW,
    "exceed_context_size_error": _OVERFLOW,
}
# These say the same as the status that they come with, so they count where none came, as inside a stream.
# Sources: platform.openai.com, "Error codes"; docs.anthropic.com, "Errors"; new-api (model_not_found).
STATUS_NAMES: dict[str, Code] = {
    "invalid_api_key": Code(AuthenticationError, Retry.NEVER, _KEY),
    "authentication_error": Code(AuthenticationError, Retry.NEVER, _KEY),
    "permission_error": STATUSES[403],
    "model_not_found": STATUSES[404],
    "not_found_error": STATUSES[404],
    "invalid_request_error": STATUSES[400],
    "request_too_large": STATUSES[413],
    "rate_limit_exceeded": STATUSES[429],
    "rate_limit_error": STATUSES[429],
    "slow_down": STATUSES[429],
    "overloaded_error": _OVERLOADED,
    "server_is_overloaded": _OVERLOADED,
    "server_error": _SERVER,
    "api_error": _SERVER,
}
# Of these, the 400 that some gateways answer to everything says less than the name.
_ABOVE_400 = ("invalid_api_key", "model_not_found")

# Statuses under which words may say that a prompt is too long: a rate limit or a missing key may name lengths, too.
_OVERFLOW_STATUSES = (400, 413, 422, 500)

# A server that refuses a request's form may quote the request, so that what looks like a code is the user's.
_QUOTES_REQUEST = 422
# These say enough; a name in their message is what somebody quotes.
_SURE_STATUSES = (401, 403, 404)
# How much of a message is searched.
_SEARCHED = 2048


class Ending(StrEnum):
    """What a finish reason says about an answer."""

    WITHDRAWN = "withdrawn"  # found unsafe
    BROKEN = "broken"  # the server gave up: another try may succeed
    LOOPED = "looped"  # the server stopped the answer for what it was: it would be so again
    FULL = "full"  # the model's window is full: an answer that is cut, or none


# Finish reasons that are not success. All others are, known or not, and stand in the answer as they came. Case and
# hyphens do not matter, see `ending_of`.
ENDINGS: dict[str, Ending] = {
    "sensitive": Ending.WITHDRAWN,  # docs.bigmodel.cn "安全审核"
    "content_filter": Ending.WITHDRAWN,  # OpenAI's API reference; LiteLLM's word for "sensitive"
    "safety": Ending.WITHDRAWN,  # ai.google.dev, FinishReason; gateways hand it on in capitals
    "prohibited_content": Ending.WITHDRAWN,  # as above
    "refusal": Ending.WITHDRAWN,  # docs.anthropic.com, "Handling stop reasons": a classifier ended the answer
    "network_error": Ending.BROKEN,  # docs.bigmodel.cn "对话补全"
    "error": Ending.BROKEN,  # vLLM (vllm/v1/engine, FINISH_REASON_STRINGS); openrouter.ai, "Errors"
    "abort": Ending.BROKEN,  # vLLM, as above; SGLang
    "insufficient_system_resource": Ending.BROKEN,  # api-docs.deepseek.com, "Create Chat Completion"
    # Not from a document:
    "cancelled": Ending.BROKEN,
    "timeout": Ending.BROKEN,
    "repetition": Ending.LOOPED,  # vLLM, as above: it stopped the answer since it went round in circles
    "model_context_window_exceeded": Ending.FULL,  # docs.z.ai, "Chat Completion", unstreamed answers
}


def ending_of(finish_reason: str | None) -> Ending | None:
    """What a finish reason says, however it is spelled ("CONTENT_FILTER", "content-filter", "contentFilter").

    Returns:
        None for a success.
    """
    if not finish_reason or len(finish_reason) > _LONGEST_REASON:
        return None
    words = _HUMP.sub("_", finish_reason.strip())
    return ENDINGS.get(_GAP.sub("_", words).lower())


_LONGEST_REASON = 64
_HUMP, _GAP = re.compile("(?<=[a-z])(?=[A-Z])"), re.compile(r"[\s-]+")
# Codes by which content is refused or withdrawn that the app may judge itself (`on_sensitive="return"`). 1300, a
# policy's refusal, is not one.
WITHDRAWN = frozenset({"1301", *(name for name, known in NAMES.items() if known is _FILTERED)})


def reason_of(code: str | None) -> str:
    """The finish reason of an answer that was withdrawn by an error with this code, in the same server's words."""
    return "sensitive" if code == "1301" else "content_filter"


def is_withdrawn(finish_reason: str | None) -> bool:
    """Whether a finish reason says that the content was found unsafe."""
    return ending_of(finish_reason) is Ending.WITHDRAWN


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


# Fields in which servers say what is wrong, in the order in which they are asked.
_REASONS = ("message", "msg", "detail", "details", "error", "errors", "error_msg", "error_message", "reason", "title")
# What else an error body may hold besides its reason. An answer of any endpoint has other fields.
_BESIDE_REASONS = frozenset(
    (*_REASONS, "code", "error_code", "error_type", "instance", "object", "param", "path", "request_id", "requestId",
     "status", "statusCode", "status_code", "success", "timestamp", "trace_id", "type")
)  # fmt: skip
# Characters of a message that are kept, and how deep and wide a reason is looked into.
_REASON_LENGTH = 300
_DEPTH = 4
_ITEMS = 5


def envelope(payload: object, *, refused: bool = False) -> Envelope | None:
    """A parsed body -> the error in it, or None when it is none.

    Knows `{"error": {...}}` (also with `request_id`, `contentFilter`), `{"error": "text"}`, the flat
    `{"code", "msg", "success": false}` that comes with HTTP 200, `{"code", "message"}`, the Anthropic shape, and
    bodies that hold nothing but a reason: FastAPI's `{"detail": ...}`, `{"errors": [...]}`, `{"error": [...]}`.

    Args:
        payload: parsed JSON.
        refused: whether it came with an error status, so that a lone `message` is an error, too.
    """
    if refused and isinstance(payload, list) and len(payload) == 1:
        payload = payload[0]  # Google's gateway puts it into a list
    if not isinstance(payload, dict):
        return None
    code: object
    match payload:
        case {"error": Mapping() as error} if error:
            code, message = _code(error), _reason(error)
            if not _is_telling(str(code)) and (cause := _cause(error)):
                code, message = cause.code if _is_telling(cause.code) else code, f"{message}: {cause.message}"
        case {"error": str() | list() as reason} if reason:
            code, message = payload.get("code"), _reason(reason)
        case (
            {"success": False} | {"code": int() | str(), "msg": str()} | {"code": int() | str(), "message": str()}
        ) if not (payload.get("choices") or payload.get("success")):
            code, message = _code(payload), _reason(payload)
        case _ if lone := _lone_reason(payload, refused=refused):
            code, message = _code(payload), lone
        case _:
            return None
    code = str(code) if code not in (None, "") else None
    request_id = str(payload["request_id"]) if payload.get("request_id") else None
    if wrapped := _WRAPPED.match(message):
        code, message, request_id = wrapped[1], wrapped[2], request_id or wrapped[3] or None
    found = payload.get("contentFilter", payload.get("content_filter"))
    return Envelope(code, message, request_id, found if isinstance(found, list) else None)


def _code(error: Mapping[str, Any]) -> object:
    """The code of an error; its type where that says more."""
    code, kind, metadata = error.get("code", error.get("error_code")), error.get("type"), error.get("metadata")
    if _is_telling(str(code)):
        return code
    if isinstance(metadata, Mapping) and "flagged_input" in metadata:
        return "content_filter"  # openrouter.ai, "Errors": a moderation's 403
    if isinstance(kind, str) and (kind in NAMES or (code in (None, "") and kind in STATUS_NAMES)):
        return kind
    return code


# The longest text of an upstream's error that is looked into, and what its JSON may not hold: ASCII letters, digits and
# marks as escapes, behind which a credential would not be seen. Go escapes "&", "<", ">" and quotes.
_RAW_LENGTH = 64 * 1024
_HIDDEN = re.compile(r"\\u00(?!22|26|27|3[cCeE])[2-7]")


def _cause(error: Mapping[str, Any]) -> Envelope | None:
    """What the upstream of OpenRouter said: `metadata.raw`, its error as JSON or text (openrouter.ai, "Errors")."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if isinstance(raw, str):
        if not raw.strip() or len(raw) > _RAW_LENGTH or _HIDDEN.search(raw):
            return None
        try:
            parsed = from_json(raw)
        except ValueError:
            return Envelope(None, raw, None, None)
        if not isinstance(parsed, Mapping | list):
            return Envelope(None, raw, None, None)
        raw = parsed
    if isinstance(raw, Mapping) and isinstance(inner := raw.get("error"), Mapping) and "metadata" in inner:
        raw = {"error": {name: value for name, value in inner.items() if name != "metadata"}}  # one level is enough
    found = envelope(raw, refused=True)
    return found if found is not None and found.message else None


def _is_telling(code: str | None) -> bool:
    """Whether a code says more than a status: the platform's "401" and "500" are what any server may call a status."""
    return code in NAMES or (code in CODES and code not in ("401", "500"))


def _lone_reason(payload: Mapping[str, Any], *, refused: bool) -> str:
    """The reason in a body that holds little else; "" where it is no error."""
    if not (refused or _BESIDE_REASONS.issuperset(payload)):
        return ""
    reasons = {name: value for name in _REASONS if (value := payload.get(name))}
    if not refused and reasons.keys() <= {"message", "msg", "title", "reason"}:
        return ""  # a server may say so that it is at work
    return _reason(reasons)


def lone_message(payload: Mapping[str, Any]) -> Envelope | None:
    """What a body with nothing but a message says: an error, if nothing else comes."""
    message = _reason(payload) if payload and _BESIDE_REASONS.issuperset(payload) else ""
    return Envelope(None, message, None, None) if message else None


def _reason(value: object, depth: int = _DEPTH) -> str:
    """What is wrong, wherever it stands in a value: text, a list of errors, FastAPI's `loc` and `msg`."""
    match value:
        case str():
            return value
        case list() if depth:
            told = [text for item in value[:_ITEMS] if (text := _reason(item, depth - 1))]
            return "; ".join(dict.fromkeys(told))
        case {"loc": list() as loc, "msg": str(message)}:
            return f"{'.'.join(str(step)[:40] for step in loc[:_ITEMS])}: {message}"
        case Mapping() if depth:
            return next((text for name in _REASONS if (text := _reason(value.get(name), depth - 1))), "")
        case _:
            return ""


def error_from(status: int | None, found: Envelope, *, retry_after: float | None = None) -> GLMVError:
    """An error body -> the error to raise, saying what the server said and what to do."""
    known, code = meaning(status, found)
    said = "".join(c if c.isprintable() else " " for c in found.message[: 2 * _REASON_LENGTH])[:_REASON_LENGTH].strip()
    said = said or "the platform gave no reason"
    reset = _RESET_TIME.search(found.message) if known.kind is QuotaError else None
    return known.kind(
        f"{said}{'' if said[-1] in _STOPS else '.'} {known.advice}",
        status_code=status,
        code=code,
        request_id=found.request_id,
        retryable=known.retry in (Retry.TRANSIENT, Retry.BUSY),
        retry_after=retry_after,
        content_filter=found.content_filter,
        reset_at=f"{reset[1]}T{reset[2]}+08:00" if reset else None,
    )


def meaning(status: int | None, found: Envelope) -> tuple[Code, str | None]:
    """What an error body means, and its code: its own, or a known one that a gateway repeats in the message."""
    code, message = found.code, own_words(found.message[:_SEARCHED])
    if "404 NOT_FOUND" in message:
        return row(404, None), code  # a code that is an HTTP status ({"code":500,"msg":"404 NOT_FOUND"}) says less
    if _is_telling(code):
        return row(status, code), code
    if status != _QUOTES_REQUEST and (repeated := _repeated(message, names=status not in _SURE_STATUSES)):
        return row(status, repeated), repeated
    named = status
    if status in (None, 200):
        named = int(code) if code and re.fullmatch("[45][0-9]{2}", code) else 400
    if named in _OVERFLOW_STATUSES and says_overflow(message):
        return _OVERFLOW, code
    return row(status, code), code


def _repeated(message: str, *, names: bool) -> str | None:
    """A known code in the message of a gateway, quoted or meant by a server's own sentence.

    Args:
        names: whether names count beside the platform's codes.
    """
    for quoted in quoted_codes(message):
        if _is_telling(quoted) and (names or quoted in CODES):
            return quoted
    return code_meant(message)
