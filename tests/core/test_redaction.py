"""OpenTelemetry spans are exported with shortened base64, from any tracer and in any form."""

from __future__ import annotations

import io
import json
import time
from base64 import b64encode, encodebytes, urlsafe_b64encode
from collections.abc import Callable
from hashlib import sha256
from random import Random
from typing import Any
from urllib.parse import quote

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    ConsoleSpanExporter,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanKind, Status, StatusCode

import glmv
from glmv import redact, redact_spans

DATA = Random(3).randbytes(3000)
LONG = b64encode(DATA).decode()
SHORT = b64encode(DATA[:99]).decode()


def spans_of(write: Callable[[Any], None]) -> tuple[ReadableSpan, ReadableSpan]:
    """The same span, as exported without and with `redact_spans`."""
    whole, shortened = InMemorySpanExporter(), InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(redact_spans(shortened)))
    provider.add_span_processor(SimpleSpanProcessor(whole))
    with provider.get_tracer("tests", "1.0").start_as_current_span("chat", kind=SpanKind.CLIENT) as span:
        write(span)
    return whole.get_finished_spans()[0], shortened.get_finished_spans()[0]


@pytest.mark.parametrize("blob", [LONG, SHORT, urlsafe_b64encode(DATA).decode()])
@pytest.mark.parametrize(
    "form",
    [
        lambda blob: f"data:image/png;base64,{blob}",
        lambda blob: json.dumps({"messages": [[{"type": "image", "base64": blob, "mime_type": "image/png"}]]}),
        lambda blob: json.dumps({"type": "image", "source": {"type": "base64", "data": blob}}, indent=2),
        lambda blob: json.dumps({"input": json.dumps({"file_data": blob})}),
        lambda blob: json.dumps([json.dumps(json.dumps({"image": blob}))], separators=(",", ":")),
        lambda blob: repr([{"type": "image", "base64": blob}]),
        lambda blob: f"ImageBlock(block_type='image', image={blob.encode()!r}, path=None)",
        lambda blob: json.dumps({"image_url": {"url": f"data:image/jpeg;base64,{blob}"}}),
        lambda blob: ("What?", f"data:image/png;base64,{blob}"),
    ],
)
def test_base64_in_an_attribute_is_exported_as_its_length_and_digest(form: Any, blob: str) -> None:
    whole, shortened = spans_of(lambda span: span.set_attribute("input.value", form(blob)))
    assert blob.rstrip("=") in repr(whole.attributes)
    text = repr(shortened.attributes)
    assert blob[8:40] not in text
    assert f"<{len(blob)} characters of base64, sha256 " in text
    assert len(text) < 400


IN_LINES = encodebytes(DATA).decode()
PEM = "\r\n".join(LONG[start : start + 64] for start in range(0, len(LONG), 64))


@pytest.mark.parametrize("lines", [IN_LINES, IN_LINES.replace("\n", "\r\n"), PEM])
@pytest.mark.parametrize(
    "form",
    [
        lambda lines: json.dumps({"type": "image", "base64": lines}),
        lambda lines: json.dumps({"input": json.dumps({"source": {"data": lines}})}),
        lambda lines: repr({"file_data": lines}),
        lambda lines: json.dumps({"image_url": {"url": f"data:image/png;base64,{lines}"}}),
    ],
)
def test_base64_with_line_breaks_is_shortened_in_an_attribute(form: Any, lines: str) -> None:
    _, shortened = spans_of(lambda span: span.set_attribute("input.value", form(lines)))
    text = repr(shortened.attributes)
    assert not any(line in text for line in lines.split())
    assert len(text) < 300


@pytest.mark.parametrize("lines", [IN_LINES, PEM])
@pytest.mark.parametrize(
    "form",
    [
        lambda lines: {"type": "image", "base64": lines, "mime_type": "image/png"},
        lambda lines: [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{lines}"}}],
        lambda lines: {"source": {"data": f"data:image/png;base64,{lines}"}},
    ],
)
def test_redact_shortens_base64_with_line_breaks(form: Any, lines: str) -> None:
    text = repr(redact(form(lines)))
    assert not any(line in text for line in lines.split())


def test_redact_shortens_bytes_and_percent_encoded_base64() -> None:
    escaped = quote(LONG, safe="")
    assert len(redact(f"data:image/png;base64,{escaped}, and on")) < 100
    assert redact(f"data:image/png;base64,{escaped}, and on").endswith(", and on")
    assert redact({"upload": DATA, "token": b"short"}) == {
        "upload": f"<3000 bytes, sha256 {sha256(DATA).hexdigest()[:12]}>",
        "token": b"short",
    }


def test_lines_of_prose_and_of_digests_are_unchanged() -> None:
    digests = "\n".join(sha256(bytes([number])).hexdigest() for number in range(40))
    words = "\n".join(["several words that are together just as long as lines of base64 in MIME are."] * 40)
    for text in (digests, words, f"data:image/png;base64,AAAA\n{words}"):
        assert redact({"text": text})["text"].endswith(text[-60:])
    assert redact({"text": digests}) == {"text": digests}


def test_shortened_json_is_still_valid_json() -> None:
    text = json.dumps({"messages": [{"base64": LONG}, json.dumps({"data": SHORT}), "What is this?"]})
    _, shortened = spans_of(lambda span: span.set_attribute("input.value", text))
    data = json.loads(shortened.attributes["input.value"])  # type: ignore[index, arg-type]
    assert data["messages"][2] == "What is this?"
    assert list(json.loads(data["messages"][1])) == ["data"]


def test_base64_in_an_event_is_shortened() -> None:
    _, shortened = spans_of(lambda span: span.add_event("message", {"content": json.dumps({"base64": LONG}), "n": 3}))
    (event,) = shortened.events
    assert event.name == "message"
    assert event.attributes is not None
    assert event.attributes["n"] == 3
    assert LONG[:40] not in repr(event.attributes)


def test_a_redacted_span_differs_only_in_its_base64() -> None:
    def write(span: Any) -> None:
        span.set_attributes({"input.value": LONG, "n": 7, "rate": 0.5, "ok": True, "words": ("a", "b"), "ids": (1, 2)})
        span.add_event("first", {"a": 1})
        span.add_link(span.get_span_context(), {"why": "itself"})
        span.set_status(Status(StatusCode.ERROR, "broken"))

    whole, shortened = spans_of(write)
    same = ("name", "context", "parent", "resource", "kind", "status", "start_time", "end_time", "links")
    for name in (*same, "instrumentation_scope"):
        assert getattr(shortened, name) == getattr(whole, name), name
    assert isinstance(shortened.links[0], Link)
    before, after = json.loads(whole.to_json()), json.loads(shortened.to_json())
    assert before["attributes"].pop("input.value") != after["attributes"].pop("input.value")
    assert before == after


def test_a_span_without_base64_is_exported_as_the_same_object() -> None:
    whole, shortened = spans_of(
        lambda span: span.set_attributes(
            {"input.value": "What is this? " * 200, "url": "https://example.com/" + "a" * 300, "image": "cat.png",
             "reference": "glmv-sha256-" + "0f" * 32}
        )
    )  # fmt: skip
    assert shortened is whole


def test_the_exporter_made_by_redact_spans_forwards_calls_and_returns_their_results() -> None:
    calls: list[Any] = []

    class Exporter(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:
            calls.append(len(spans))
            return SpanExportResult.FAILURE

        def shutdown(self) -> None:
            calls.append("shutdown")

        def force_flush(self, timeout_millis: int = 30_000) -> bool:
            calls.append(timeout_millis)
            return False

    exporter = redact_spans(Exporter())
    assert isinstance(exporter, SpanExporter)
    assert exporter.export([]) is SpanExportResult.FAILURE
    assert exporter.force_flush(5) is False
    exporter.shutdown()
    assert calls == [0, 5, "shutdown"]


def test_a_json_exporter_behind_a_batch_processor_gets_redacted_spans() -> None:
    out = io.StringIO()
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(redact_spans(ConsoleSpanExporter(out=out))))
    with provider.get_tracer("tests").start_as_current_span("chat") as span:
        span.set_attribute("input.value", json.dumps({"base64": LONG}))
    provider.shutdown()
    result = out.getvalue()
    assert LONG[:40] not in result
    assert "characters of base64" in result


def test_the_time_to_redact_a_large_picture_grows_linearly_with_its_size() -> None:
    def seconds(size: int) -> float:
        text = json.dumps({"messages": [{"base64": b64encode(Random(5).randbytes(size)).decode()}, "words, " * size]})
        start = time.process_time()
        spans_of(lambda span: span.set_attribute("input.value", text))
        return time.process_time() - start

    seconds(1_000)
    assert seconds(800_000) < 40 * max(seconds(80_000), 0.002)


def test_langchain_glmv_exports_the_same_redact_functions_as_glmv() -> None:
    import langchain_glmv

    assert (langchain_glmv.redact, langchain_glmv.redact_spans) == (redact, redact_spans)
    assert glmv.redact({"base64": SHORT}) == {"base64": redact({"data": SHORT})["data"]}
