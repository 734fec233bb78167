"""What the codes, names and statuses of errors mean, as tables.

Sources of the platform's codes: docs.bigmodel.cn "错误码" and docs.z.ai "Errors" (codes, HTTP statuses),
docs.bigmodel.cn "安全审核" (1301). The retry column is our reading of the documented meaning. Messages differ by host
and language, so codes and names are looked up first; sentences count only where no known code came (`envelopes.py`).
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

_RECHARGE = "Recharge the account, or raise its limit."
_SHORTEN = "Shorten the conversation, or send fewer or smaller pictures."
_UNSAFE = "The server finds the input or the answer unsafe: change it."

_QUOTA = Code(QuotaError, Retry.NEVER, _RECHARGE)
_FILTERED = Code(ContentFilterError, Retry.NEVER, _UNSAFE)
OVERFLOW = Code(ContextLengthError, Retry.NEVER, _SHORTEN)
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
    "context_length_exceeded": OVERFLOW,
    "exceed_context_size_error": OVERFLOW,
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

# Codes by which content is refused or withdrawn that the app may judge itself (`on_sensitive="return"`). 1300, a
# policy's refusal, is not one.
WITHDRAWN = frozenset({"1301", *(name for name, known in NAMES.items() if known is _FILTERED)})


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


def reason_of(code: str | None) -> str:
    """The finish reason of an answer that was withdrawn by an error with this code, in the same server's words."""
    return "sensitive" if code == "1301" else "content_filter"
