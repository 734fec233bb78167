"""Converts error bodies to errors, by the form of the body and by the code, name or sentence in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from glmv.errors import GLMVError, QuotaError
from glmv.wire.codes import CODES, NAMES, OVERFLOW, STATUS_NAMES, Code, Retry, row
from glmv.wire.sentences import code_meant, own_words, quoted_codes, says_overflow

# Statuses for which a sentence about length means that a prompt is too long; other errors may mention lengths, too.
_OVERFLOW_STATUSES = (400, 413, 422, 500)

# The status for an invalid form: the message may quote the request, with codes in the user's text.
_QUOTES_REQUEST = 422
# These statuses are clear; names in their message are ignored.
_SURE_STATUSES = (401, 403, 404)
# Characters of a message that are searched.
_SEARCHED = 2048


class Envelope(NamedTuple):
    """What an error body says."""

    code: str | None
    message: str
    request_id: str | None
    content_filter: list[dict[str, Any]] | None


# The last character of a complete sentence.
_STOPS = ".!?。！？"
# "[1308][已达到 5 小时的使用上限。…][202608301448…]": code, text and trace in one string.
_WRAPPED = re.compile(r"^\s*\[(\d{3,4})\]\[(.*?)\](?:\[([^\]]*)\])?\s*$", re.DOTALL)
# "您的限额将在 2026-08-24 00:27:12 重置": wall clock of Beijing, UTC+8.
_RESET_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)")


# Fields with the reason of an error, in the order in which they are read.
_REASONS = ("message", "msg", "detail", "details", "error", "errors", "error_msg", "error_message", "reason", "title")
# All fields of an error body. A successful response of any endpoint has other ones.
_BESIDE_REASONS = frozenset(
    (*_REASONS, "code", "error_code", "error_type", "instance", "object", "param", "path", "request_id", "requestId",
     "status", "statusCode", "status_code", "success", "timestamp", "trace_id", "type")
)  # fmt: skip
# The most characters of a reason, and the depth and number of items that are searched for it.
_REASON_LENGTH = 300
_DEPTH = 4
_ITEMS = 5


def envelope(payload: object, *, refused: bool = False) -> Envelope | None:
    """The error in a parsed body, or None.

    Forms: `{"error": {...}}` (also with `request_id`, `contentFilter`), `{"error": "text"}`, the flat
    `{"code", "msg", "success": false}` that comes with HTTP 200, `{"code", "message"}`, Anthropic's form,
    OpenRouter's `{"choices": [{"error": {...}}]}`,
    and bodies with only a reason: FastAPI's `{"detail": ...}`, `{"errors": [...]}`, `{"error": [...]}`.

    Args:
        payload: parsed JSON.
        refused: whether the response has an error status. If so, a body with only a `message` is an error, too.
    """
    if refused and isinstance(payload, list) and len(payload) == 1:
        payload = payload[0]  # Google's gateway puts it into a list
    if not isinstance(payload, dict):
        return None
    if payload.get("choices") and not (refused or payload.get("error")):
        error = _error_of_choice(payload)
        if not error:
            return None
        payload = {"error": error, "request_id": payload.get("request_id")}
    code: object
    match payload:
        case {"error": Mapping() as error} if error:
            code, message = _code(error), _reason(error)
            if not _is_specific(str(code)) and (cause := _cause(error)):
                code, message = cause.code if _is_specific(cause.code) else code, f"{message}: {cause.message}"
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
    content_filter = payload.get("contentFilter", payload.get("content_filter"))
    return Envelope(code, message, request_id, content_filter if isinstance(content_filter, list) else None)


def _error_of_choice(payload: Mapping[str, Any]) -> object:
    """The error in the first choice, where OpenRouter reports a failed provider (openrouter.ai, "Errors"); or None."""
    match payload.get("choices"):
        case [{"error": Mapping() | str() as error}, *_]:
            return error
        case _:
            return None


def _code(error: Mapping[str, Any]) -> object:
    """The code of an error; or its type, if the tables have a row for the type but not for the code."""
    code, kind, metadata = error.get("code", error.get("error_code")), error.get("type"), error.get("metadata")
    if _is_specific(str(code)):
        return code
    if isinstance(metadata, Mapping) and "flagged_input" in metadata:
        return "content_filter"  # openrouter.ai, "Errors": a moderation's 403
    if isinstance(kind, str) and (kind in NAMES or (code in (None, "") and kind in STATUS_NAMES)):
        return kind
    return code


# The most characters of an upstream's error text, and escapes that its JSON must not contain: with ASCII characters as
# escapes, a credential would not be masked. Allowed are those that Go writes: "&", "<", ">" and quotes.
_RAW_LENGTH = 64 * 1024
_HIDDEN = re.compile(r"\\u00(?!22|26|27|3[cCeE])[2-7]")


def _cause(error: Mapping[str, Any]) -> Envelope | None:
    """The error of OpenRouter's upstream in `metadata.raw`, as JSON or text (openrouter.ai, "Errors"); or None."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, Mapping) else None
    if isinstance(raw, str):
        if not raw.strip() or len(raw) > _RAW_LENGTH or _HIDDEN.search(raw):
            return None
        try:
            value = from_json(raw)
        except ValueError:
            return Envelope(None, raw, None, None)
        if not isinstance(value, Mapping | list):
            return Envelope(None, raw, None, None)
        raw = value
    if isinstance(raw, Mapping) and isinstance(inner := raw.get("error"), Mapping) and "metadata" in inner:
        raw = {"error": {name: value for name, value in inner.items() if name != "metadata"}}  # one level is enough
    upstream = envelope(raw, refused=True)
    return upstream if upstream is not None and upstream.message else None


def _is_specific(code: str | None) -> bool:
    """Whether a code says more than the status. The platform's "401" and "500" do not: any server may use them."""
    return code in NAMES or (code in CODES and code not in ("401", "500"))


def _lone_reason(payload: Mapping[str, Any], *, refused: bool) -> str:
    """The reason in a body that has none of the other known forms; "" if the body is not an error or has no reason."""
    if not (refused or _BESIDE_REASONS.issuperset(payload)):
        return ""
    reasons = {name: value for name in _REASONS if (value := payload.get(name))}
    if not refused and reasons.keys() <= {"message", "msg", "title", "reason"}:
        return ""  # it may be a progress message
    return _reason(reasons)


def lone_message(payload: Mapping[str, Any]) -> Envelope | None:
    """The message of an event that has no other fields; None for other events.

    The message is an error if no answer follows in the stream.
    """
    message = _reason(payload) if payload and _BESIDE_REASONS.issuperset(payload) else ""
    return Envelope(None, message, None, None) if message else None


def _reason(value: object, depth: int = _DEPTH) -> str:
    """The reason in a value of any form: text, a list of errors, FastAPI's `loc` and `msg`."""
    match value:
        case str():
            return value
        case list() if depth:
            reasons = [text for item in value[:_ITEMS] if (text := _reason(item, depth - 1))]
            return "; ".join(dict.fromkeys(reasons))
        case {"loc": list() as loc, "msg": str(message)}:
            return f"{'.'.join(str(step)[:40] for step in loc[:_ITEMS])}: {message}"
        case Mapping() if depth:
            return next((text for name in _REASONS if (text := _reason(value.get(name), depth - 1))), "")
        case _:
            return ""


def error_from(status: int | None, reported: Envelope, *, retry_after: float | None = None) -> GLMVError:
    """The error to raise for an error body. Its message has the server's reason, and advice."""
    entry, code = meaning(status, reported)
    reason = "".join(c if c.isprintable() else " " for c in reported.message[: 2 * _REASON_LENGTH])[
        :_REASON_LENGTH
    ].strip()
    reason = reason or "the platform gave no reason"
    reset = _RESET_TIME.search(reported.message) if entry.kind is QuotaError else None
    return entry.kind(
        f"{reason}{'' if reason[-1] in _STOPS else '.'} {entry.advice}",
        status_code=status,
        code=code,
        request_id=reported.request_id,
        retryable=entry.retry in (Retry.TRANSIENT, Retry.BUSY),
        retry_after=retry_after,
        content_filter=reported.content_filter,
        reset_at=f"{reset[1]}T{reset[2]}+08:00" if reset else None,
    )


def meaning(status: int | None, reported: Envelope) -> tuple[Code, str | None]:
    """The row of the tables for an error, and the error's code: that of the body, or a known code in its message."""
    code, message = reported.code, own_words(reported.message[:_SEARCHED])
    if "404 NOT_FOUND" in message:
        return row(404, None), code  # the code ({"code":500,"msg":"404 NOT_FOUND"}) says less
    if _is_specific(code):
        return row(status, code), code
    if status != _QUOTES_REQUEST and (repeated := _repeated(message, names=status not in _SURE_STATUSES)):
        return row(status, repeated), repeated
    effective_status = status
    if status in (None, 200):
        effective_status = int(code) if code and re.fullmatch("[45][0-9]{2}", code) else 400
    if effective_status in _OVERFLOW_STATUSES and says_overflow(message):
        return OVERFLOW, code
    return row(status, code), code


def _repeated(message: str, *, names: bool) -> str | None:
    """A known code in the message of a gateway, or the code for a known sentence in it; or None.

    Args:
        names: whether names are accepted in addition to the platform's codes.
    """
    for quoted in quoted_codes(message):
        if _is_specific(quoted) and (names or quoted in CODES):
            return quoted
    return code_meant(message)
