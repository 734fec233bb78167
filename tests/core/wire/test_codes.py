"""The platform's error codes and the envelopes they come in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import glmv
from glmv.wire.codes import CODES, Retry, row
from glmv.wire.envelopes import Envelope, envelope, error_from

# docs.bigmodel.cn and docs.z.ai, error codes: code -> (HTTP status it comes with, what it is, when it helps to retry).
DOCUMENTED: dict[str, tuple[int, type[glmv.GLMVError], Retry]] = {
    "401": (401, glmv.AuthenticationError, Retry.TOKEN),
    "500": (500, glmv.ServerError, Retry.TRANSIENT),
    "1000": (401, glmv.AuthenticationError, Retry.NEVER),
    "1001": (401, glmv.AuthenticationError, Retry.NEVER),
    "1002": (401, glmv.AuthenticationError, Retry.NEVER),
    "1003": (401, glmv.AuthenticationError, Retry.TOKEN),
    "1004": (401, glmv.AuthenticationError, Retry.NEVER),
    "1100": (429, glmv.ServerError, Retry.NEVER),
    "1110": (429, glmv.PermissionDeniedError, Retry.NEVER),
    "1111": (429, glmv.PermissionDeniedError, Retry.NEVER),
    "1112": (429, glmv.PermissionDeniedError, Retry.NEVER),
    "1113": (429, glmv.QuotaError, Retry.NEVER),
    "1120": (500, glmv.ServerError, Retry.TRANSIENT),
    "1121": (429, glmv.PermissionDeniedError, Retry.NEVER),
    "1200": (400, glmv.InvalidRequestError, Retry.NEVER),
    "1210": (400, glmv.InvalidRequestError, Retry.NEVER),
    "1211": (400, glmv.NotFoundError, Retry.NEVER),
    "1212": (400, glmv.InvalidRequestError, Retry.NEVER),
    "1213": (400, glmv.InvalidRequestError, Retry.NEVER),
    "1214": (400, glmv.InvalidRequestError, Retry.NEVER),
    "1215": (400, glmv.InvalidRequestError, Retry.NEVER),
    "1220": (403, glmv.PermissionDeniedError, Retry.NEVER),
    "1221": (404, glmv.NotFoundError, Retry.NEVER),
    "1222": (404, glmv.NotFoundError, Retry.NEVER),
    "1230": (500, glmv.ServerError, Retry.TRANSIENT),
    "1231": (400, glmv.InvalidRequestError, Retry.NEVER),
    "1234": (500, glmv.ServerError, Retry.TRANSIENT),
    "1261": (400, glmv.ContextLengthError, Retry.NEVER),
    "1300": (400, glmv.ContentFilterError, Retry.NEVER),
    "1301": (400, glmv.ContentFilterError, Retry.NEVER),
    "1302": (429, glmv.RateLimitError, Retry.BUSY),
    "1303": (429, glmv.RateLimitError, Retry.BUSY),
    "1304": (429, glmv.QuotaError, Retry.NEVER),
    "1305": (429, glmv.RateLimitError, Retry.BUSY),
    "1308": (429, glmv.QuotaError, Retry.NEVER),
    "1309": (429, glmv.QuotaError, Retry.NEVER),
    "1310": (429, glmv.QuotaError, Retry.NEVER),
    "1311": (429, glmv.QuotaError, Retry.NEVER),
    "1312": (429, glmv.RateLimitError, Retry.BUSY),
    "1313": (429, glmv.QuotaError, Retry.NEVER),
    "1316": (429, glmv.QuotaError, Retry.NEVER),
    "1317": (429, glmv.QuotaError, Retry.NEVER),
    "1318": (429, glmv.QuotaError, Retry.NEVER),
    "1319": (429, glmv.QuotaError, Retry.NEVER),
    "1320": (429, glmv.QuotaError, Retry.NEVER),
    "1321": (429, glmv.QuotaError, Retry.NEVER),
}


def error(payload: object, status: int | None = 400) -> glmv.GLMVError:
    result = envelope(payload)
    assert result is not None
    return error_from(status, result)


@pytest.mark.parametrize("code", DOCUMENTED)
def test_every_documented_error_code_raises_its_class_with_advice(code: str) -> None:
    status, kind, retry = DOCUMENTED[code]
    raised = error({"error": {"code": code, "message": "m"}}, status)
    assert type(raised) is kind
    assert (raised.code, raised.status_code) == (code, status)
    assert raised.retryable is (retry in (Retry.BUSY, Retry.TRANSIENT))
    assert row(status, code).retry is retry
    assert raised.message.startswith("m. ")
    assert len(raised.message) > 12  # the advice: what a person should do


def test_the_table_of_error_codes_has_exactly_the_documented_codes() -> None:
    assert set(CODES) == set(DOCUMENTED)


@pytest.mark.parametrize("code", DOCUMENTED)
def test_an_error_code_decides_the_class_in_a_stream_event_and_in_an_http_200_body(code: str) -> None:
    _, kind, retry = DOCUMENTED[code]
    for status in (None, 200):
        raised = error({"error": {"code": code, "message": "m"}}, status)
        assert (type(raised), row(status, code).retry) == (kind, retry)


ENVELOPES: dict[str, tuple[object, Envelope]] = {
    "code as a string": ({"error": {"code": "1214", "message": "m"}}, Envelope("1214", "m", None, None)),
    "code as a number": ({"error": {"code": 1214, "message": "m"}}, Envelope("1214", "m", None, None)),
    "with request_id": (
        {"error": {"code": "1302", "message": "m"}, "request_id": "r1"},
        Envelope("1302", "m", "r1", None),
    ),
    "1301 with contentFilter": (
        {"contentFilter": [{"level": 1, "role": "user"}], "error": {"code": "1301", "message": "m"}},
        Envelope("1301", "m", None, [{"level": 1, "role": "user"}]),
    ),
    "1301 with content_filter, its level a string": (
        {"content_filter": [{"level": "1", "role": "user"}], "error": {"code": "1301", "message": "m"}},
        Envelope("1301", "m", None, [{"level": "1", "role": "user"}]),
    ),
    "contentFilter empty": (
        {"contentFilter": [], "error": {"code": "1301", "message": "m"}},
        Envelope("1301", "m", None, []),
    ),
    "flat, of HTTP 200": ({"code": 1001, "msg": "m", "success": False}, Envelope("1001", "m", None, None)),
    "flat with message": ({"code": "1210", "message": "m"}, Envelope("1210", "m", None, None)),
    "only success: false": ({"success": False}, Envelope(None, "", None, None)),
    "error as a text": ({"error": "Too many requests"}, Envelope(None, "Too many requests", None, None)),
    "Anthropic": (
        {
            "type": "error",
            "error": {"type": "invalid_request_error", "code": "1210", "message": "[1210][m][trace]"},
            "request_id": "r2",
        },
        Envelope("1210", "m", "r2", None),
    ),
    "code, text and trace in one string": (
        {"error": {"message": "[1308][m [5] hours][2026083014]"}},
        Envelope("1308", "m [5] hours", "2026083014", None),
    ),
    "no code": ({"error": {"message": "m"}}, Envelope(None, "m", None, None)),
    "code null": (
        {"error": {"code": None, "message": None}, "request_id": None},
        Envelope(None, "", None, None),
    ),
    "msg inside": ({"error": {"code": "1", "msg": "m"}}, Envelope("1", "m", None, None)),
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_every_known_form_of_an_error_body_is_recognized(name: str) -> None:
    payload, expected = ENVELOPES[name]
    assert envelope(payload) == expected


@pytest.mark.parametrize(
    "payload",
    [
        {"id": "1", "choices": [{"message": {"content": "x"}}]},
        {"id": "1", "choices": [], "error": None},
        {"id": "1", "choices": [{"delta": {}}], "error": {}},
        {"choices": [{"delta": {}}], "code": 200, "msg": "ok"},
        {"code": 200, "msg": "ok", "success": True, "data": {}},
        {"error": {}},
        {"error": ""},
        {},
        None,
        [],
        "error",
        [{"error": {"code": "1302"}}],
    ],
)
def test_an_answer_is_not_taken_for_an_error(payload: object) -> None:
    assert envelope(payload) is None


@pytest.mark.parametrize(
    ("status", "kind", "retry"),
    [
        (400, glmv.InvalidRequestError, Retry.NEVER),
        (401, glmv.AuthenticationError, Retry.TOKEN),
        (402, glmv.QuotaError, Retry.NEVER),
        (403, glmv.PermissionDeniedError, Retry.NEVER),
        (404, glmv.NotFoundError, Retry.NEVER),
        (408, glmv.RequestTimeout, Retry.TRANSIENT),
        (413, glmv.LimitExceeded, Retry.NEVER),
        (418, glmv.InvalidRequestError, Retry.NEVER),
        (429, glmv.RateLimitError, Retry.BUSY),
        (434, glmv.PermissionDeniedError, Retry.NEVER),
        (435, glmv.LimitExceeded, Retry.NEVER),
        (500, glmv.ServerError, Retry.TRANSIENT),
        (502, glmv.ServerError, Retry.TRANSIENT),
        (503, glmv.ServerError, Retry.BUSY),
        (504, glmv.ServerError, Retry.TRANSIENT),
        (307, glmv.MalformedResponse, Retry.NEVER),
    ],
)
@pytest.mark.parametrize("code", [None, "9999", "rate_limit_exceeded"])
def test_without_a_known_code_the_http_status_decides_the_error_class(
    status: int, kind: type[glmv.GLMVError], retry: Retry, code: str | None
) -> None:
    assert row(status, code)[:2] == (kind, retry)


@pytest.mark.parametrize(
    ("code", "kind"), [("429", glmv.RateLimitError), ("404", glmv.NotFoundError), ("503", glmv.ServerError)]
)
@pytest.mark.parametrize("status", [None, 200])
def test_a_code_such_as_429_decides_the_error_class_if_no_error_status_is_given(
    code: str, kind: type[glmv.GLMVError], status: int | None
) -> None:
    assert type(error({"error": {"code": code, "message": "m"}}, status)) is kind


def test_code_500_with_the_message_not_found_raises_not_found_error() -> None:
    assert type(error({"code": 500, "msg": "404 NOT_FOUND", "success": False}, 200)) is glmv.NotFoundError


def test_the_error_for_an_exhausted_quota_has_the_reset_time_in_beijing_time() -> None:
    raised = error(
        {
            "error": {
                "code": "1308",
                "message": "已达到 5 小时的使用上限。您的限额将在 2026-08-24 00:27:12 重置。",
            }
        },
        429,
    )
    assert raised.reset_at == "2026-08-24T00:27:12+08:00"


def test_a_content_filter_error_has_role_and_level() -> None:
    raised = error({"contentFilter": [{"level": 1, "role": "user"}], "error": {"code": "1301", "message": "m"}})
    assert raised.content_filter == [{"level": 1, "role": "user"}]


def test_a_long_error_message_is_cut_and_its_control_characters_are_escaped() -> None:
    raised = error({"error": {"code": "1234", "message": "\x1b[2J\r\n" + "x" * 5000}})
    assert "\x1b" not in str(raised)
    assert "\r" not in str(raised)
    assert len(str(raised)) < 500


def test_the_error_for_a_body_without_a_reason_has_the_words_no_reason() -> None:
    assert "no reason" in str(error({"success": False}, 200))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)),
    max_leaves=6,
)
words = st.sampled_from(["error", "code", "msg", "message", "success", "request_id", "contentFilter", "choices"])


@given(st.dictionaries(words, st.one_of(json_values, st.dictionaries(words, json_values, max_size=3)), max_size=5),
       st.one_of(st.none(), st.integers(100, 599)))  # fmt: skip
def test_any_json_body_is_read_as_a_glmv_error_or_as_none(payload: dict[str, Any], status: int | None) -> None:
    result = envelope(payload)
    if result is not None:
        assert isinstance(error_from(status, result), glmv.GLMVError)


@pytest.mark.parametrize(("status", "words"), [(401, "invalid api key"), (429, "rate limit")])
def test_errors_contain_the_words_that_trigger_framework_fallbacks(status: int, words: str) -> None:
    assert words in str(error({"error": {"code": "", "message": "不"}}, status)).lower()
