"""Tools that trace, mock or record httpx requests see one request for each attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
import vcr
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pytest_httpx import HTTPXMock
from sentry_sdk.integrations.httpx import HttpxIntegration
from sentry_sdk.transport import Transport

import glmv

KEY = "9f86d081884c7d65.a3bf4f1b2b0b822c"
ANSWER = {"choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}]}
Ask = Callable[[], glmv.Completion]


def busy_then_answered(server: Any) -> None:
    server.plays(lambda peer: peer.say(b"", 503), lambda peer: peer.say(ANSWER))


@pytest.fixture(params=["sync", "async"])
def twice(request: pytest.FixtureRequest, server: Any, no_pauses: list[float]) -> Ask:
    """A call that takes two attempts."""
    busy_then_answered(server)

    async def asynchronous() -> glmv.Completion:
        async with glmv.AsyncClient(KEY, base_url=server.base_url) as glm:
            return await glm.chat("hi")

    def call() -> glmv.Completion:
        if request.param == "async":
            return asyncio.run(asynchronous())
        with glmv.Client(KEY, base_url=server.base_url) as glm:
            return glm.chat("hi")

    return call


class Recorder(Transport):
    """Records what Sentry would send."""

    def __init__(self, payloads: list[Any]) -> None:
        super().__init__()
        self.payloads = payloads

    def capture_envelope(self, envelope: Any) -> None:
        self.payloads += [item.payload.json for item in envelope.items if item.payload.json]


@pytest.fixture
def sentry() -> Iterator[list[Any]]:
    payloads: list[Any] = []
    sentry_sdk.init(
        dsn="https://public@localhost/1", transport=Recorder(payloads), traces_sample_rate=1.0,
        default_integrations=False, auto_enabling_integrations=False, integrations=[HttpxIntegration()],
    )  # fmt: skip
    yield payloads
    sentry_sdk.init()


def test_sentry_records_a_span_for_each_attempt(sentry: list[Any], twice: Ask) -> None:
    with sentry_sdk.start_transaction(name="test"):
        assert twice().attempts == 2
    sentry_sdk.flush()
    spans = [span for event in sentry for span in event.get("spans", []) if span["op"] == "http.client"]
    assert len(spans) == 2


def test_a_sentry_report_about_a_refused_option_contains_no_key(sentry: list[Any]) -> None:
    try:
        glmv.Client(KEY, nonsense=1)
    except glmv.InvalidRequestError as error:
        sentry_sdk.capture_exception(error)
    sentry_sdk.flush()
    frames = [
        frame
        for event in sentry
        for value in event["exception"]["values"]
        for frame in value["stacktrace"]["frames"]
        if frame["module"].startswith("glmv")
    ]
    assert frames
    assert KEY not in str(frames)


def test_the_opentelemetry_instrumentor_records_a_span_for_each_attempt(twice: Ask) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor = HTTPXClientInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        assert twice().attempts == 2
    finally:
        instrumentor.uninstrument()
    assert [span.attributes["http.status_code"] for span in spans.get_finished_spans() if span.attributes] == [503, 200]


@pytest.mark.parametrize("awaited", [False, True])
def test_a_mock_of_pytest_httpx_answers_each_attempt(
    httpx_mock: HTTPXMock, no_pauses: list[float], awaited: bool
) -> None:
    httpx_mock.add_response(status_code=503)
    httpx_mock.add_response(json=ANSWER)

    async def ask() -> glmv.Completion:
        async with glmv.AsyncClient(KEY) as glm:
            return await glm.chat("hi")

    with glmv.Client(KEY) as glm:
        answer = asyncio.run(ask()) if awaited else glm.chat("hi")
    assert (answer.text, answer.attempts) == ("hello", 2)
    assert [str(request.url) for request in httpx_mock.get_requests()] == [
        "https://open.bigmodel.cn/api/paas/v4/chat/completions"
    ] * 2


def test_a_compressed_answer_mocked_by_pytest_httpx_is_read(httpx_mock: HTTPXMock) -> None:
    import gzip
    import json

    httpx_mock.add_response(content=gzip.compress(json.dumps(ANSWER).encode()), headers={"content-encoding": "gzip"})
    with glmv.Client(KEY) as glm:
        assert glm.chat("hi").text == "hello"


def test_vcrpy_records_and_replays_each_attempt(twice: Ask, server: Any, tmp_path: Path) -> None:
    cassette = tmp_path / "cassette.yaml"
    recorder = vcr.VCR(filter_headers=["authorization"])
    with recorder.use_cassette(str(cassette)) as recorded:
        assert twice().text == "hello"
        assert len(recorded) == 2
    with recorder.use_cassette(str(cassette), record_mode="none") as recorded:
        assert twice().text == "hello"
        assert recorded.play_count == 2
    assert len(server.requests) == 2
    assert KEY not in cassette.read_text()
