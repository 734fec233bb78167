"""Error bodies -> errors: which envelope it is, what its code, its name or its sentence means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic_core import from_json

from glmv.errors import GLMVError, QuotaError
from glmv.wire.codes import CODES, NAMES, OVERFLOW, STATUS_NAMES, Code, Retry, row
from glmv.wire.sentences import code_meant, own_words, quoted_codes, says_overflow

# Statuses under which words may say that a prompt is too long: a rate limit or a missing key may name lengths, too.
_OVERFLOW_STATUSES = (400, 413, 422, 500)

# A server that refuses a request's form may quote the request, so that what looks like a code is the user's.
_QUOTES_REQUEST = 422
# These say enough; a name in their message is what somebody quotes.
_SURE_STATUSES = (401, 403, 404)
# How much of a message is searched.
_SEARCHED = 2048


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
        return OVERFLOW, code
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
