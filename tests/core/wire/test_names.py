"""Error codes, names and messages of servers other than the platform, and platform codes that gateways repeat."""

from __future__ import annotations

import time
from typing import Any

import pytest

import glmv
from glmv.wire.codes import NAMES, Retry, row
from glmv.wire.envelopes import envelope, error_from


def error(payload: object, status: int | None = 400) -> glmv.GLMVError:
    result = envelope(payload, refused=status is not None and status >= 300)
    assert result is not None
    return error_from(status, result)


def error_body(message: str, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


@pytest.mark.parametrize("status", [400, 402, 403, 429, 200, None])
@pytest.mark.parametrize(
    "fields",
    [
        {"code": "insufficient_quota", "type": "insufficient_quota"},
        {"code": None, "type": "insufficient_quota"},
        {"code": "429", "type": "insufficient_quota"},
        {"code": "credit_balance_exhausted", "type": "insufficient_quota"},
        {"code": "billing_hard_limit_reached", "type": "invalid_request_error"},
        {"code": "insufficient_user_quota", "type": "new_api_error"},
        {"code": "400", "type": "budget_exceeded"},
        {"code": "AccountOverdueError", "type": "Forbidden"},
        {"code": "Arrearage"},
    ],
)
def test_an_error_for_an_empty_account_is_a_quota_error_and_not_a_rate_limit(
    fields: dict[str, Any], status: int | None
) -> None:
    result = error(error_body("no", **fields), status)
    assert type(result) is glmv.QuotaError
    assert not result.retryable
    assert row(status, result.code).retry is Retry.NEVER


@pytest.mark.parametrize(
    ("status", "payload"),
    [
        (
            403,
            error_body(
                "该令牌额度已用尽 !token.UnlimitedQuota && token.RemainQuota = 0", type="one_api_error", code=""
            ),
        ),
        (401, error_body("该令牌额度已用尽 (request id: 2026)", type="new_api_error")),
        (403, {"code": 30001, "message": "Sorry, your account balance is insufficient", "data": None}),
        (400, {"code": "Arrearage", "message": "Access denied, your account is not in good standing."}),
        (
            400,
            error_body(
                "litellm.BadRequestError: DashscopeException - {'code': 'Arrearage', 'message': 'm'}", code="400"
            ),
        ),
    ],
)
def test_an_empty_account_is_recognized_in_error_messages_of_gateways(status: int, payload: Any) -> None:
    result = error(payload, status)
    assert (type(result), result.retryable) == (glmv.QuotaError, False)


@pytest.mark.parametrize(
    "payload",
    [
        error_body("litellm.ContentPolicyViolationError: litellm.BadRequestError: x", code="400"),
        {"code": "DataInspectionFailed", "message": "Input data may contain inappropriate content.", "request_id": "r"},
        error_body("upstream: code: data_inspection_failed", code="bad_response"),
    ],
)
def test_unsafe_content_is_recognized_in_error_messages_of_gateways(payload: Any) -> None:
    assert type(error(payload, 400)) is glmv.ContentFilterError


@pytest.mark.parametrize(
    "code",
    ["content_policy_violation", "content_filter", "moderation_blocked", "sensitive_words_detected", "prompt_blocked",
     "DataInspectionFailed", "data_inspection_failed"],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 200, None])
def test_a_code_for_unsafe_content_is_a_content_filter_error(code: str, status: int | None) -> None:
    assert type(error(error_body("flagged", code=code), status)) is glmv.ContentFilterError


def test_a_moderation_refusal_of_openrouter_is_a_content_filter_error() -> None:
    flagged = {"reasons": ["violence"], "flagged_input": "how to ...", "provider_name": "OpenAI"}
    assert type(error(error_body("requires moderation", code=403, metadata=flagged), 403)) is glmv.ContentFilterError
    assert type(error(error_body("guardrail", code=403, metadata={}), 403)) is glmv.PermissionDeniedError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("invalid_api_key", glmv.AuthenticationError),
        ("model_not_found", glmv.NotFoundError),
        ("rate_limit_exceeded", glmv.RateLimitError),
        ("overloaded_error", glmv.ServerError),
        ("invalid_request_error", glmv.InvalidRequestError),
        ("request_too_large", glmv.LimitExceeded),
        ("server_error", glmv.ServerError),
    ],
)
def test_an_error_name_decides_the_error_class_if_there_is_no_error_status(
    code: str, kind: type[glmv.GLMVError]
) -> None:
    assert type(error(error_body("m", code=code), None)) is kind
    assert type(error({"type": "error", **error_body("m", type=code)}, 200)) is kind


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("model_not_found", 400, glmv.NotFoundError),  # some gateways answer 400 to everything
        ("model_not_found", 503, glmv.ServerError),  # new-api: no channel for it at the moment
        ("rate_limit_exceeded", 413, glmv.LimitExceeded),  # Groq: the request is larger than a minute's tokens
        ("invalid_api_key", 401, glmv.AuthenticationError),
        ("server_error", 429, glmv.RateLimitError),
    ],
)
def test_a_specific_status_takes_precedence_over_an_error_name(
    code: str, status: int, kind: type[glmv.GLMVError]
) -> None:
    assert type(error(error_body("m", code=code), status)) is kind


OVERFLOWS = {
    "OpenAI": error_body("too long", code="context_length_exceeded", type="invalid_request_error", param="messages"),
    "llama.cpp": error_body(
        "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it",
        code=400, type="exceed_context_size_error", n_prompt_tokens=9412, n_ctx=8192,
    ),
    "llama.cpp of before": error_body(
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        code=500, type="server_error",
    ),
    "vLLM": {
        "object": "error", "type": "BadRequestError", "param": None, "code": 400,
        "message": "This model's maximum context length is 16384 tokens. However, you requested 19591 tokens (9591 in "
        "the messages, 10000 in the completion). Please reduce the length of the messages or completion.",
    },
    "vLLM, engine": error_body(
        "The decoder prompt (length 17772) is longer than the maximum model length of 16384. Make sure that "
        "`max_model_len` is no smaller than the number of text tokens plus multimodal tokens.",
        type="BadRequestError", code=400,
    ),
    "vLLM with pictures": error_body(
        "The prompt (total length 25938) is too long to fit into the model (context length 4096)."
    ),
    "vLLM, tokens": error_body(
        "You passed 44001 input tokens and requested 0 output tokens. However, the model's context length is only "
        "4096 tokens, resulting in a maximum input length of 4096 tokens. Please reduce the length of the input "
        "prompt. (parameter=input_tokens, value=44001)",
        type="BadRequestError", param="input_tokens", code=400,
    ),
    "vLLM, characters": error_body(
        "You passed 190001 input characters. However, the model's context length is only 4096 tokens (at most 131072 "
        "characters). Please reduce the length of the input prompt.",
        type="BadRequestError", code=400,
    ),
    "SGLang with pictures": {
        "object": "error", "type": "BadRequestError", "param": None, "code": 400,
        "message": "Multimodal prompt is too long after expanding multimodal tokens. After expanding "
        "len(req.origin_input_ids_unpadded)=3 => 9000 >= 8192.",
    },
    "SiliconFlow": {
        "code": 20015, "data": None,
        "message": "length of prompt_tokens (70000) must be less than max_seq_len (65536).",
    },
    "vLLM behind LiteLLM": error_body(
        'litellm.BadRequestError: OpenAIException - {"error":{"message":"You passed 98305 input tokens and requested '
        "32768 output tokens. However, the model's context length is only 131072 tokens, resulting in a maximum input "
        'length of 98304 tokens.","type":"BadRequestError","code":400}}',
        code="400",
    ),
    "SGLang": {
        "object": "error", "type": "BadRequestError", "param": None, "code": 400,
        "message": "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
    },
    "SGLang with max_tokens": {
        "object": "error", "type": "BadRequest", "code": 400,
        "message": "Requested token count exceeds the model's maximum context length of 8192 tokens.",
    },
    "Ollama": {"error": "the input length exceeds the context length"},
    "LiteLLM": error_body(
        "litellm.ContextWindowExceededError: litellm.BadRequestError: ContextWindowExceededError: too many",
        code="400", type="invalid_request_error",
    ),
    "LiteLLM, text kept": error_body(
        "litellm.BadRequestError: OpenAIException - {'error': {'code': 'context_length_exceeded', 'message': 'm'}}",
        code="400",
    ),
    "a gateway that wraps": {"detail": '{"error":{"code":400,"message":"m","type":"exceed_context_size_error"}}'},
    "the platform's text behind a gateway": error_body(
        "litellm.BadRequestError: ZaiException - Prompt exceeds max length"
    ),
    "FastAPI": {"detail": "prompt is too long: 40000 tokens > 32768 maximum"},
}  # fmt: skip


@pytest.mark.parametrize("status", [400, 413, 422, 500, None, 200])
@pytest.mark.parametrize("name", OVERFLOWS)
def test_a_prompt_that_is_too_long_is_recognized_on_every_server(name: str, status: int | None) -> None:
    result = error(OVERFLOWS[name], status)
    # A 422 may quote the request, so nothing in its text is taken for a code.
    by_code_in_text = name in ("LiteLLM, text kept", "a gateway that wraps", "the platform's text behind a gateway")
    assert type(result) is (glmv.InvalidRequestError if status == 422 and by_code_in_text else glmv.ContextLengthError)
    assert not result.retryable


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (429, "Tokens per minute: the maximum context length counts twice", glmv.RateLimitError),
        (401, "This key's maximum context length is 4096", glmv.AuthenticationError),
        (404, "No model with a maximum context length of 1M", glmv.NotFoundError),
        (503, "the request exceeds the available context size of this node", glmv.ServerError),
        (400, "max_tokens must be at least 1", glmv.InvalidRequestError),
        (400, "Your file name is too long", glmv.InvalidRequestError),
        (400, "the context of this tool is unknown", glmv.InvalidRequestError),
    ],
)
def test_errors_that_only_mention_a_length_are_not_context_length_errors(
    status: int, message: str, kind: type[glmv.GLMVError]
) -> None:
    assert type(error(error_body(message), status)) is kind


REPEATED = {
    "JSON": ('litellm.RateLimitError: ZaiException - {"error":{"code":"1113","message":"余额不足"}}', "1113"),
    "escaped JSON": (r"upstream said {\"error\":{\"code\":\"1301\",\"message\":\"m\"}}", "1301"),
    "a number": ('upstream: {"error": {"code": 1302, "message": "m"}}', "1302"),
    "repr": ("Error code: 429 - {'error': {'code': '1305', 'message': 'm'}}", "1305"),
    "prose": ("Zhipu refused this, error code: 1211, model unknown", "1211"),
    "Chinese": ("上游错误码：1308", "1308"),
    "arrears by the text": ("litellm.RateLimitError: RateLimitError: 余额不足或无可用资源包,请充值。", "1113"),
    "arrears in English": ("Insufficient balance or no resource package. Please recharge.", "1113"),
    "unsafe by the text": ("系统检测到输入或生成内容可能包含不安全或敏感内容，请您避免输入", "1301"),
    "busy by the text": ("ZaiException - 该模型当前访问量过大，请您稍后再试", "1305"),
    "a name": ("OpenAIException - {'error': {'type': 'insufficient_quota', 'code': None}}", "insufficient_quota"),
    "OpenAI by the text": (
        "litellm.RateLimitError: You exceeded your current quota, please check your plan and billing details.",
        "insufficient_quota",
    ),
}


@pytest.mark.parametrize("status", [400, 429, 500, None])
@pytest.mark.parametrize("own", [None, "429", "400", "internal"])
@pytest.mark.parametrize("name", REPEATED)
def test_an_upstream_error_code_in_a_gateways_message_is_read(name: str, own: str | None, status: int | None) -> None:
    message, code = REPEATED[name]
    result = error(error_body(message, code=own), status)
    assert result.code == code
    assert type(result) is row(status, code).kind
    assert result.retryable is (row(status, code).retry in (Retry.BUSY, Retry.TRANSIENT))


@pytest.mark.parametrize(
    "message",
    [
        "the picture has 1113 pixels",
        "model glm-1301 is not there",
        "listening on port 1302",
        '{"max_tokens": "1301"}',
        "code 1301x is unknown",
        '{"code": "11130"}',
        '{"code": "1999"}',
        "the barcode: 1113",
        "at 2026-11-13 13:01",
        "request 1301 failed",
    ],
)
def test_unlabelled_numbers_and_unknown_codes_in_a_message_are_not_error_codes(message: str) -> None:
    result = error(error_body(message, code="400"))
    assert (type(result), result.code) == (glmv.InvalidRequestError, "400")


def test_numbers_in_a_quoted_request_are_not_codes() -> None:
    quoted = 'input {"role": "user", "content": "what is \\"code\\": \\"1113\\"?"} is not valid'
    assert type(error({"detail": quoted}, 422)) is glmv.InvalidRequestError
    listed = {"detail": [{"loc": ["body", "messages", 0], "msg": "no", "input": 'my "code": "1301"'}]}
    result = error(listed, 400)
    assert (type(result), result.code) == (glmv.InvalidRequestError, None)


USERS_WORDS = {
    "pydantic's repr": "[{'type': 'missing', 'loc': ('body', 'messages'), 'msg': 'Field required', 'input': "
    "{'messages': [{'role': 'user', 'content': \"This model's maximum context length is 8192 tokens\"}]}}]",
    "in Chinese": "1 validation error: {'type': 'literal_error', 'loc': ('body', 'tool_choice'), 'input': "
    "{'messages': [{'role': 'user', 'content': '为什么提示余额不足?'}]}}",
    "pydantic's text": "1 validation error for Request\nmessages\n  Input should be a list [type=list_type, "
    "input_value='Prompt exceeds max length', input_type=str]",
    "a field of the body": 'cannot read {"content": "error code: 1113"}',
    "JSON in JSON": r"cannot read {\"messages\": [{\"content\": \"code: 1301\"}]}",
    "single": "Jinja error in 'the user wrote: 余额不足'",
    "double": 'Template error near "余额不足"',
    "Chinese marks": "模板错误：“余额不足”",
    "a code": "Invalid value for content: 'error code: 1301 in my log'",
    "an apostrophe": "Jinja error in 'the user's text: it may contain unsafe or sensitive content'",
    "not closed": "Jinja error in 'the prompt is too long: 40000 tokens and so on",
}


@pytest.mark.parametrize("status", [400, 500, None])
@pytest.mark.parametrize("name", USERS_WORDS)
def test_quoted_user_text_does_not_decide_the_error_class(name: str, status: int | None) -> None:
    result = error(error_body(USERS_WORDS[name], code=400), status)
    assert type(result) is row(status, "400").kind
    assert result.code == "400"


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (401, "bad key; error type: content_filter", glmv.AuthenticationError),
        (403, "not yours: {'code': 'context_length_exceeded'}", glmv.PermissionDeniedError),
        (404, "no such model; code: insufficient_quota", glmv.NotFoundError),
        (403, "upstream: {'error': {'code': '1113', 'message': 'm'}}", glmv.QuotaError),
        (400, "Error code: 400 - {'error': {'message': 'Insufficient balance or no resource package.'}}",
         glmv.QuotaError),
        (400, 'upstream: {"error": {"message": "The prompt is too long: 9000 tokens"}}', glmv.ContextLengthError),
        (400, "b'{\"error\":{\"code\":\"1301\"}}'", glmv.ContentFilterError),
        (400, "The users' \"model\" has a maximum context length of 5", glmv.ContextLengthError),
    ],
)  # fmt: skip
def test_a_specific_status_or_the_servers_own_words_decide_the_error_class(
    status: int, message: str, kind: type[glmv.GLMVError]
) -> None:
    assert type(error(error_body(message), status)) is kind


@pytest.mark.parametrize("mark", ['"', "'", "“", "x '", " 'a", "input=", "\\'", "'{"])
def test_an_error_message_with_many_unclosed_quotation_marks_is_read_in_linear_time(mark: str) -> None:
    begun = time.perf_counter()
    error(error_body(mark * 100_000), 400)
    assert time.perf_counter() - begun < 1


UPSTREAM: dict[str, tuple[Any, int, type[glmv.GLMVError], str]] = {
    "1261": ('{"error":{"code":"1261","message":"Prompt exceeds max length"}}', 400, glmv.ContextLengthError,
             "Provider returned error: Prompt exceeds max length"),
    "1113": ('{"error":{"code":"1113","message":"余额不足"}}', 429, glmv.QuotaError, "余额不足"),
    "1113, escaped": (r'{"error":{"code":"1113","message":"\u4f59\u989d"}}', 429, glmv.QuotaError, "余额"),
    "vLLM": ('{"object":"error","message":"This model\'s maximum context length is 8192 tokens.","code":400}', 400,
             glmv.ContextLengthError, "8192"),
    "an object": ({"error": {"code": "1301", "message": "unsafe"}}, 400, glmv.ContentFilterError, "unsafe"),
    "a name": ('{"error":{"code":"insufficient_quota","message":"m"}}', 429, glmv.QuotaError, ": m"),
    "busy": ('{"error":{"code":"1302","message":"slow"}}', 429, glmv.RateLimitError, "slow"),
    "text": ("upstream connect error", 502, glmv.ServerError, "Provider returned error: upstream connect error"),
    "a string of JSON": ('"timeout"', 502, glmv.ServerError, "timeout"),
    "no reason": ('{"a": 1}', 400, glmv.InvalidRequestError, "Provider returned error."),
    "empty": ("", 400, glmv.InvalidRequestError, "Provider returned error."),
    "a list": ('[{"error": {"code": "1211", "message": "no model"}}]', 400, glmv.NotFoundError, "no model"),
    "broken": ('{"error": {"co', 400, glmv.InvalidRequestError, '{"error": {"co'),
    "in itself": ('{"error":{"message":"deep","code":400,"metadata":{"raw":"{}"}}}', 400, glmv.InvalidRequestError,
                  "deep"),
    "long": ('{"error":{"message":"' + "x" * 9_000 + '"}}', 400, glmv.InvalidRequestError, "xxx"),
    "very long": ("x" * 900_000, 400, glmv.InvalidRequestError, "Provider returned error."),
    "with hidden letters": (r'{"error":{"code":"1113","message":"\u0061"}}', 429, glmv.RateLimitError, "error."),
}  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", UPSTREAM)
def test_the_error_class_follows_the_cause_that_openrouter_quotes(name: str, stream: bool) -> None:
    raw, status, kind, words = UPSTREAM[name]
    result = error(
        error_body("Provider returned error", code=status, metadata={"raw": raw, "provider_name": "Z.AI"}),
        None if stream else status,
    )
    assert type(result) is kind
    assert words in str(result)
    assert len(str(result)) < 600
    assert result.retryable is (kind in (glmv.RateLimitError, glmv.ServerError))


def test_a_code_field_takes_precedence_over_a_code_in_the_message() -> None:
    assert error(error_body('see {"code": "1113"}', code="1302"), 429).code == "1302"
    assert error(error_body('see {"code": "1113"}', code="insufficient_quota"), 429).code == "insufficient_quota"


REASONS: dict[str, tuple[object, str]] = {
    "FastAPI": ({"detail": "Unexpected fields in the request: {'request_id'}"}, "Unexpected fields"),
    "FastAPI's list": (
        {"detail": [{"type": "missing", "loc": ["body", "messages"], "msg": "Field required", "input": {}}]},
        "body.messages: Field required",
    ),
    "two of them": ({"detail": [{"loc": ["a"], "msg": "one"}, {"loc": ["b"], "msg": "two"}]}, "a: one; b: two"),
    "detail with an object": ({"detail": {"error": {"message": "deep"}}}, "deep"),
    "errors": ({"errors": [{"message": "first"}, {"message": "second"}]}, "first; second"),
    "errors by field": ({"errors": {"detail": "field"}}, "field"),
    "error as a list": ({"error": ["one", "two"]}, "one; two"),
    "error with detail": ({"error": {"detail": "inside"}}, "inside"),
    "error_msg": ({"error_code": 18, "error_msg": "Open api qps request limit reached"}, "qps"),
    "error beside a message": ({"error": "Bad Request", "message": "m", "statusCode": 400}, "Bad Request"),
    "message in a message": ({"error": {"message": {"error": "nested"}}}, "nested"),
    "in a list": ([{"error": {"code": 400, "message": "of Google's"}}], "of Google's"),
    "problem details": ({"title": "Bad Gateway", "status": 502, "detail": "no upstream"}, "no upstream"),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_of_an_error_is_read_from_any_known_field(name: str) -> None:
    payload, words = REASONS[name]
    assert words in str(error(payload, 400))


def test_a_body_with_the_single_field_message_is_an_error_only_with_an_error_status() -> None:
    assert envelope({"message": "working on it"}) is None
    assert "no upstream" in str(error({"message": "no upstream"}, 502))


@pytest.mark.parametrize(
    "payload",
    [
        {"id": "batch_1", "object": "batch", "errors": {"data": [{"message": "m"}]}, "status": "failed"},
        {"id": "file-1", "detail": "low", "bytes": 3},
        {"data": [], "errors": ["one of many"]},
        {"choices": [{"message": {"content": "x"}}], "detail": "m"},
        {"detail": ""},
        {"detail": []},
        {"errors": [5, None]},
        {"detail": {"unknown": {"shape": "x"}}},
    ],
)
def test_a_field_named_detail_or_errors_is_not_enough_to_make_a_body_an_error(payload: object) -> None:
    assert envelope(payload) is None


def test_a_very_long_reason_of_an_error_is_cut() -> None:
    deep: Any = "x" * 100_000
    for _ in range(50):
        deep = {"detail": [deep] * 3}
    assert len(str(error(deep | {"message": "y" * 100_000}, 400))) < 600
    assert len(str(error({"detail": [{"loc": ["z" * 9_000] * 90, "msg": "\x1b[2J" * 900}] * 900}, 400))) < 600


@pytest.mark.parametrize("name", NAMES)
def test_every_error_name_has_advice_and_is_never_retried(name: str) -> None:
    assert len(NAMES[name].advice) > 12
    assert NAMES[name].retry is Retry.NEVER


@pytest.mark.parametrize("status", [400, 413, 422, 500, None])
@pytest.mark.parametrize(
    "payload",
    [
        {
            "error": "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded "
            "with context length of only 4096 tokens, which is not enough."
        },
        {
            "error": "The number of tokens to keep from the initial prompt is greater than the context length "
            "(n_keep: 9000>= n_ctx: 4096)."
        },
        error_body("prompt too long; exceeded max context length by 12 tokens"),
        error_body("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", code=400),
        error_body("The input token count exceeds the maximum number of tokens allowed 1048576.", code=400),
        error_body("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 129024]"),
    ],
    ids=["LM Studio", "LM Studio, first turn", "Ollama", "Gemini", "Gemini without a number", "DashScope"],
)
def test_a_prompt_that_is_too_long_is_recognized_from_local_servers_and_gateways(
    payload: dict[str, Any], status: int | None
) -> None:
    result = error(payload, status)
    assert type(result) is glmv.ContextLengthError
    assert not result.retryable


@pytest.mark.parametrize(
    "message",
    [
        "The number of tokens to keep must not be negative",
        "Range of max_tokens should be [1, 8192]",
        "The output token count exceeds the quota of this minute",
    ],
)
def test_a_token_error_that_is_not_about_the_prompt_is_an_invalid_request(message: str) -> None:
    assert type(error(error_body(message))) is glmv.InvalidRequestError
