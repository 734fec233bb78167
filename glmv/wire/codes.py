"""Tables for the codes, names and HTTP statuses of errors.

Sources of the platform's codes: docs.bigmodel.cn "错误码" and docs.z.ai "Errors" (codes, HTTP statuses),
docs.bigmodel.cn "安全审核" (1301). The retry column follows from the documented meaning. Messages differ by host and
language, so they are searched for known sentences only if the code or name of the error is not known (`envelopes.py`).
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import NamedTuple

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
    """Whether and how to retry a request."""

    NEVER = "never"
    TRANSIENT = "transient"  # a temporary failure: soon
    BUSY = "busy"  # too many concurrent calls: later, and fewer at a time
    TOKEN = "token"  # noqa: S105 - not a secret: retry once with a new token


class Code(NamedTuple):
    """One row of the tables: the error class, whether to retry, and advice for the user."""

    kind: type[GLMVError]
    retry: Retry
    advice: str


# Frameworks that fall back to another model look for the words "invalid API key" and "rate limit" in a message.
_KEY = "Invalid API key, or a key for another host: check ZHIPUAI_API_KEY (bigmodel.cn) or ZAI_API_KEY (z.ai)."
_ACCOUNT = "See the account's state in the platform's console."
_FIELD = "Compare the request with the model's documentation."
_PLAN = "Renew or change the plan, or use a key and base URL with pay-as-you-go billing."
_RESET = "Wait until the allowance is reset, or use another key."
_BUSY = "The rate limit is reached: make fewer concurrent calls (max_concurrency)."

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
    "1113": Code(QuotaError, Retry.NEVER, "Recharge the account, or use the base URL of the key's plan."),
    "1120": Code(ServerError, Retry.TRANSIENT, "Try again later."),
    "1121": Code(PermissionDeniedError, Retry.NEVER, _ACCOUNT),
    "1200": Code(InvalidRequestError, Retry.NEVER, _FIELD),
    "1210": Code(InvalidRequestError, Retry.NEVER, _FIELD),
    "1211": Code(NotFoundError, Retry.NEVER, "Check the model's name: `glmv models` lists the known ones."),
    "1212": Code(InvalidRequestError, Retry.NEVER, "Use a method of calling that the model's documentation names."),
    "1213": Code(InvalidRequestError, Retry.NEVER, _FIELD),
    "1214": Code(InvalidRequestError, Retry.NEVER, _FIELD),
    "1215": Code(InvalidRequestError, Retry.NEVER, "These fields exclude each other."),
    "1220": Code(PermissionDeniedError, Retry.NEVER, "The account has no access to this model or endpoint."),
    "1221": Code(NotFoundError, Retry.NEVER, "This endpoint was taken down."),
    "1222": Code(NotFoundError, Retry.NEVER, "There is no such endpoint: check base_url."),
    "1230": Code(ServerError, Retry.TRANSIENT, "Try again later."),
    "1231": Code(InvalidRequestError, Retry.NEVER, "Another call with this request_id is running: use each id once."),
    "1234": Code(ServerError, Retry.TRANSIENT, "Try again later; give the request id to the platform's support."),
    "1261": Code(ContextLengthError, Retry.NEVER, "Shorten the conversation, or send fewer or smaller pictures."),
    "1300": Code(ContentFilterError, Retry.NEVER, "The call is blocked by policy."),
    "1301": Code(ContentFilterError, Retry.NEVER, "The platform flagged input or answer as unsafe: change the input."),
    "1302": Code(RateLimitError, Retry.BUSY, _BUSY),
    "1303": Code(RateLimitError, Retry.BUSY, _BUSY),
    "1304": Code(QuotaError, Retry.NEVER, "Today's calls are used up: wait until tomorrow, or ask for a higher limit."),
    "1305": Code(RateLimitError, Retry.BUSY, "The model is overloaded: try again later or use another model."),
    "1308": Code(QuotaError, Retry.NEVER, _RESET),
    "1309": Code(QuotaError, Retry.NEVER, _PLAN),
    "1310": Code(QuotaError, Retry.NEVER, _RESET),
    "1311": Code(QuotaError, Retry.NEVER, _PLAN),
    "1312": Code(RateLimitError, Retry.BUSY, "The model is overloaded: use the model that the message names."),
    "1313": Code(QuotaError, Retry.NEVER, "The account is throttled because of its use: see the console."),
    "1316": Code(QuotaError, Retry.NEVER, _RESET),
    "1317": Code(QuotaError, Retry.NEVER, _RESET),
    "1318": Code(QuotaError, Retry.NEVER, _RESET),
    "1319": Code(QuotaError, Retry.NEVER, _RESET),
    "1320": Code(QuotaError, Retry.NEVER, _RESET),
    "1321": Code(QuotaError, Retry.NEVER, _RESET),
}

# Rows for HTTP statuses without a known code. 434 and 435 are the platform's own:
# "no API permission (beta)" and "file larger than 100 MB".
STATUSES: dict[int, Code] = {
    400: Code(InvalidRequestError, Retry.NEVER, _FIELD),
    401: Code(AuthenticationError, Retry.TOKEN, _KEY),
    402: Code(QuotaError, Retry.NEVER, "Recharge the account."),
    403: Code(PermissionDeniedError, Retry.NEVER, "The key does not permit this request."),
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
_REDIRECT = Code(MalformedResponse, Retry.NEVER, "Redirects are not followed, so that nothing is sent to another host.")

_RECHARGE = "Recharge the account, or raise its limit."
_SHORTEN = "Shorten the conversation, or send fewer or smaller pictures."
_UNSAFE = "The server flagged input or answer as unsafe: change the input."

_QUOTA = Code(QuotaError, Retry.NEVER, _RECHARGE)
_FILTERED = Code(ContentFilterError, Retry.NEVER, _UNSAFE)
OVERFLOW = Code(ContextLengthError, Retry.NEVER, _SHORTEN)
_OVERLOADED = Code(ServerError, Retry.BUSY, "Try again later.")

# Names that other servers send as `code` or `type`, and that say more than the HTTP status.
NAMES: dict[str, Code] = {
    # platform.openai.com, "Error codes": 429, but waiting does not help; "inspect error.code": the `type` of all is
    # insufficient_quota. The last three are from 2026.
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
    # DashScope, as above; the second is the spelling of its OpenAI-compatible endpoint.
    "DataInspectionFailed": _FILTERED,
    "data_inspection_failed": _FILTERED,
    # OpenAI: `code`, 400. llama.cpp (ggml-org/llama.cpp#15780): `type`, 400 or 500.
    "context_length_exceeded": OVERFLOW,
    "exceed_context_size_error": OVERFLOW,
}
# Names that mean the same as their HTTP status. They are used without a status, as inside a stream.
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
# For these, the name is used instead of the status 400, which some gateways send for all errors.
_ABOVE_400 = ("invalid_api_key", "model_not_found")

# Codes for flagged content, which `on_sensitive="return"` returns as an answer. 1300, a refusal by policy, is not one.
WITHDRAWN = frozenset({"1301", *(name for name, entry in NAMES.items() if entry is _FILTERED)})


def row(status: int | None, code: str | None) -> Code:
    """The row of the tables for an error: by its code if the code is known, otherwise by its HTTP status."""
    code = code or ""
    entry = CODES.get(code) or NAMES.get(code)
    if entry is None and (status in (None, 200) or (status == 400 and code in _ABOVE_400)):
        entry = STATUS_NAMES.get(code)
    if entry is not None:
        return entry
    status = status or 200
    if status == 200 and code and re.fullmatch("[45][0-9]{2}", code):
        status = int(code)  # some gateways send an HTTP status as the code
    if status in STATUSES:
        return STATUSES[status]
    if 300 <= status < 400:
        return _REDIRECT
    return _CLIENT if 400 <= status < 500 else _SERVER


def reason_of(code: str | None) -> str:
    """The finish reason for flagged content: "sensitive" if the code is the platform's 1301, else "content_filter"."""
    return "sensitive" if code == "1301" else "content_filter"
