"""Shortens base64 to its length and digest in traces, logs and OpenTelemetry spans that other libraries write."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_CHARS = r"[A-Za-z0-9+/_-]"
# The end of a line, also as JSON and reprs write it: with a backslash, or several in JSON inside JSON.
_BREAK = r"(?:\r?\n|(?:\\+r)?\\+n)"
# Base64 in lines, as MIME and `base64.encodebytes` write it (76 characters) and PEM does (64).
_LINES = rf"(?:{_CHARS}{{64}}(?:{_CHARS}{{12}})?{_BREAK})"
# The base64 of a data URI, which may be percent-encoded; or lines of it, or a run of its characters that is longer than
# any word.
_BLOB = re.compile(
    rf"(?<=;base64,){_LINES}*(?:{_CHARS}+|%[0-9A-Fa-f]{{2}})+={{0,2}}"
    rf"|(?:{_CHARS}{{76}}{_BREAK}){{6,}}{_CHARS}*={{0,2}}"
    rf"|{_CHARS}{{512,}}={{0,2}}"
)
_LONG = 512  # shorter bytes stay as they are
# The keys of all kinds of blocks that hold base64, of any length.
_KEYS = ("base64", "data", "file_data")
_VALUE = rf"(?:{_LINES}+{_CHARS}*|{_CHARS}{{64,}})={{0,2}}"
_NAMED = re.compile(rf"(?:(?<=;base64,)|^){_VALUE}\s*$")
# The same keys, and LlamaIndex' for a picture, in JSON or a repr; JSON inside JSON has backslashes before its quotes.
_WRITTEN = re.compile(
    rf"""\b(base64|data|file_data|image)(\\*["']?(?:: ?|=)b?\\*["'])({_VALUE})(?:{_BREAK})?(?=\\*["'])"""
)


def redact(value: Any) -> Any:
    """Copies any trace, message, prompt, result or text, and shortens base64 and bytes in it to length and digest.

    Made for `langsmith.Client(hide_inputs=redact, hide_outputs=redact)` and for your own handlers; for spans there is
    `redact_spans`. The value itself is not changed: dicts, lists, tuples and pydantic objects are copied.
    """
    match value:
        case str():
            return _BLOB.sub(_shortened, value)
        case bytes() if len(value) >= _LONG:
            return f"<{len(value)} bytes, sha256 {hashlib.sha256(value).hexdigest()[:12]}>"
        case dict():
            return {
                key: _NAMED.sub(_shortened, inner) if key in _KEYS and isinstance(inner, str) else redact(inner)
                for key, inner in value.items()
            }
        case list():
            return [redact(inner) for inner in value]
        case tuple():
            return tuple(redact(inner) for inner in value)
        case BaseModel():
            return value.model_copy(update={name: redact(inner) for name, inner in vars(value).items()})
        case _:
            return value


def redact_spans(exporter: SpanExporter) -> SpanExporter:
    """Wraps an exporter of OpenTelemetry spans, so that base64 in the spans is shortened to its length and digest.

    Use it with OpenInference, whose spans hold the whole input of a call as JSON, and with any other tracer that writes
    messages into attributes of spans or of their events:
    `provider.add_span_processor(BatchSpanProcessor(redact_spans(OTLPSpanExporter(...))))`.

    A span with something to shorten is copied, so other exporters of the same provider get the original.

    Args:
        exporter: an `opentelemetry.sdk.trace.export.SpanExporter`.
    """
    from opentelemetry.sdk.trace.export import SpanExporter

    class RedactedSpans(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            return exporter.export([_redacted_span(span) for span in spans])

        def shutdown(self) -> None:
            exporter.shutdown()

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            return exporter.force_flush(timeout_millis)

    return RedactedSpans()


def _redacted_span(span: ReadableSpan) -> ReadableSpan:
    from opentelemetry.sdk.trace import Event, ReadableSpan

    attributes = _redacted_attributes(span.attributes)
    events = [_redacted_attributes(event.attributes) for event in span.events]
    if attributes is None and all(each is None for each in events):
        return span
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=span.attributes if attributes is None else attributes,
        events=[
            event if new is None else Event(event.name, new, event.timestamp)
            for event, new in zip(span.events, events, strict=True)
        ],
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _redacted_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The attributes with base64 shortened; None if they have no base64."""
    old = dict(attributes or {})
    new = {key: _redacted_attribute(value) for key, value in old.items()}
    return None if new == old else new


def _redacted_attribute(value: Any) -> Any:
    match value:
        case str():
            return redact(_WRITTEN.sub(lambda match: match[1] + match[2] + _short(match[3]), value))
        case tuple() | list():
            return tuple(_redacted_attribute(inner) for inner in value)
        case _:
            return value


def _shortened(match: re.Match[str]) -> str:
    return _short(match.group())


def _short(blob: str) -> str:
    return f"<{len(blob)} characters of base64, sha256 {hashlib.sha256(blob.encode()).hexdigest()[:12]}>"
