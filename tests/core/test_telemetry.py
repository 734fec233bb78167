"""OpenTelemetry data of a call: spans and metrics by the GenAI conventions, with content only on request."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry import context, metrics, trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from PIL import Image as Pillow

import glmv
from glmv.exchange.flow import exchange
from glmv.exchange.retry import Policy
from glmv.telemetry import Operation, watched
from glmv_batch import Job
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV
from llama_index_glmv import GLMV

ROOT = Path(__file__).parents[2]
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
QUESTION = "the tortoise wears a hat"


class Recorder:
    """Records the spans and metrics that the code under test emits."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.measuring = MeterProvider([self._reader])

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        """The only span; the test fails if there are none or several."""
        (span,) = self.spans
        return span

    @property
    def facts(self) -> dict[str, Any]:
        """Attributes of the only span."""
        return dict(self.span.attributes or {})

    def points(self, name: str) -> list[tuple[dict[str, Any], Any]]:
        """Attributes and sum (or last value) of each time series of a metric."""
        data = self._reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), getattr(point, "sum", None) or getattr(point, "value", 0))
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    def text(self) -> str:
        """All spans as one text of JSON."""
        return "".join(span.to_json() for span in self.spans)


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Sets OpenTelemetry up for one test."""
    result = Recorder()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: result.tracing)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: result.measuring)
    monkeypatch.delenv(CAPTURE, raising=False)
    return result


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(concurrency={"glm-4.6v": 5}) as running:
        yield running


@pytest.fixture
def glm(emulator: Emulator) -> Iterator[glmv.Client]:
    with glmv.Client(emulator.api_key, base_url=emulator.base_url) as client:
        yield client


def png() -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", (64, 48), "red").save(out, "PNG")
    return out.getvalue()


def whole(emulator: Emulator) -> None:
    with glmv.Client(emulator.api_key, base_url=emulator.base_url) as glm:
        glm.chat("hello", temperature=0.25, max_tokens=500)


def streamed(emulator: Emulator) -> None:
    with glmv.Client(emulator.api_key, base_url=emulator.base_url) as glm:
        list(glm.stream("hello", temperature=0.25, max_tokens=500))


def awaited(emulator: Emulator) -> None:
    async def ask() -> None:
        async with glmv.AsyncClient(emulator.api_key, base_url=emulator.base_url) as glm:
            await glm.chat("hello", temperature=0.25, max_tokens=500)

    asyncio.run(ask())


def awaited_stream(emulator: Emulator) -> None:
    async def ask() -> None:
        async with glmv.AsyncClient(emulator.api_key, base_url=emulator.base_url) as glm:
            assert [delta async for delta in glm.stream("hello", temperature=0.25, max_tokens=500)]

    asyncio.run(ask())


def langchain(emulator: Emulator) -> None:
    from langchain_glmv import ChatGLMV

    model = ChatGLMV(api_key=emulator.api_key, base_url=emulator.base_url, temperature=0.25, max_tokens=500)
    model.invoke("hello")


def llama_index(emulator: Emulator) -> None:
    from llama_index_glmv import GLMV

    llm = GLMV(api_key=emulator.api_key, base_url=emulator.base_url, temperature=0.25, max_tokens=500)
    for _ in llm.stream_complete("hello"):
        pass


WAYS = [whole, streamed, awaited, awaited_stream, langchain, llama_index]


@pytest.mark.parametrize("ask", WAYS)
def test_every_entry_point_makes_one_span_by_the_opentelemetry_conventions(
    ask: Callable[[Emulator], None], recorder: Recorder, emulator: Emulator
) -> None:
    ask(emulator)
    facts = recorder.facts
    port = int(emulator.base_url.split(":")[2].split("/")[0])
    values = {name: facts[name] for name in facts if "response" not in name and "usage" not in name}
    assert recorder.span.name == "chat glm-4.6v"
    assert recorder.span.kind is SpanKind.CLIENT
    assert recorder.span.status.status_code is StatusCode.UNSET
    assert values.pop("glmv.gate.duration") < 5
    assert values.pop("glmv.request_id") == emulator.requests[-1].request_id
    assert values == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "zhipu_ai",
        "gen_ai.request.model": "glm-4.6v",
        "gen_ai.request.temperature": 0.25,
        "gen_ai.request.max_tokens": 500,
        "server.address": "127.0.0.1",
        "server.port": port,
        "glmv.retries": 0,
    } | ({"gen_ai.request.stream": True} if facts.get("gen_ai.request.stream") else {})
    assert facts["gen_ai.response.model"] == "glm-4.6v"
    assert facts["gen_ai.response.id"]
    assert list(facts["gen_ai.response.finish_reasons"]) == ["stop"]
    assert facts["gen_ai.usage.input_tokens"] > 0
    assert facts["gen_ai.usage.output_tokens"] > 0


@pytest.mark.parametrize("ask", WAYS)
def test_the_duration_and_the_tokens_of_a_call_are_measured_once(
    ask: Callable[[Emulator], None], recorder: Recorder, emulator: Emulator
) -> None:
    ask(emulator)
    ((series, seconds),) = recorder.points("gen_ai.client.operation.duration")
    tokens = {series["gen_ai.token.type"]: count for series, count in recorder.points("gen_ai.client.token.usage")}
    assert 0 < seconds < 30
    assert series["gen_ai.operation.name"] == "chat"
    assert series["gen_ai.response.model"] == "glm-4.6v"
    assert "error.type" not in series
    assert tokens["input"] == recorder.facts["gen_ai.usage.input_tokens"]
    assert tokens["output"] == recorder.facts["gen_ai.usage.output_tokens"]
    assert len(recorder.points("glmv.client.gate.duration")) == 1
    assert recorder.points("glmv.client.retries") == []


@pytest.mark.parametrize("ask", [streamed, awaited_stream])
def test_a_stream_records_the_time_of_its_first_chunk(
    ask: Callable[[Emulator], None], recorder: Recorder, emulator: Emulator
) -> None:
    ask(emulator)
    ((_, seconds),) = recorder.points("gen_ai.client.operation.time_to_first_chunk")
    assert seconds == pytest.approx(recorder.facts["gen_ai.response.time_to_first_chunk"])
    assert 0 < seconds < recorder.points("gen_ai.client.operation.duration")[0][1]


def test_an_unstreamed_answer_records_no_time_of_a_first_chunk(recorder: Recorder, glm: glmv.Client) -> None:
    glm.chat("hello")
    assert recorder.points("gen_ai.client.operation.time_to_first_chunk") == []


def test_an_error_is_recorded_by_class_and_code_without_its_message(recorder: Recorder, emulator: Emulator) -> None:
    emulator.fail(code=1301)
    with (
        glmv.Client(emulator.api_key, base_url=emulator.base_url) as glm,
        pytest.raises(glmv.ContentFilterError) as caught,
    ):
        glm.chat("hello")
    assert recorder.facts["error.type"] == "ContentFilterError"
    assert recorder.facts["glmv.error.code"] == "1301"
    assert recorder.facts["http.response.status_code"] == 400
    assert recorder.span.status.status_code is StatusCode.ERROR
    assert caught.value.message not in recorder.text()
    ((series, _),) = recorder.points("gen_ai.client.operation.duration")
    assert series["error.type"] == "ContentFilterError"


def test_a_retry_is_counted_with_its_reason(recorder: Recorder, emulator: Emulator, glm: glmv.Client) -> None:
    emulator.fail(code=1302, retry_after=0.01)
    assert glm.chat("hello").attempts == 2
    assert recorder.facts["glmv.retries"] == 1
    assert [(event.name, dict(event.attributes or {})) for event in recorder.span.events] == [
        ("glmv.retry", {"error.type": "429"})
    ]
    assert [count for _, count in recorder.points("glmv.client.retries")] == [1]


def test_a_stream_that_is_left_early_is_not_an_error(recorder: Recorder, glm: glmv.Client) -> None:
    stream = glm.stream("hello")
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert recorder.facts["glmv.left_early"] is True
    assert recorder.span.status.status_code is StatusCode.UNSET
    assert "gen_ai.response.finish_reasons" not in recorder.facts


async def test_a_cancelled_call_is_recorded_as_cancelled(recorder: Recorder, emulator: Emulator) -> None:
    emulator.stall()
    async with glmv.AsyncClient(emulator.api_key, base_url=emulator.base_url) as glm:
        call = asyncio.create_task(glm.chat("hello"))
        async with asyncio.timeout(20):
            while not emulator.requests:
                await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert recorder.facts["error.type"] == "cancelled"


def test_waiting_for_a_slot_is_measured(recorder: Recorder, emulator: Emulator) -> None:
    with glmv.Client(emulator.api_key, base_url=emulator.base_url, max_concurrency=1) as glm:
        stream = iter(glm.stream("hello"))
        next(stream)
        with pytest.raises(glmv.GateTimeout):
            glm.chat("hello", deadline=0.2)
        list(stream)
    waits = {series.get("error.type"): seconds for series, seconds in recorder.points("glmv.client.gate.duration")}
    assert waits["GateTimeout"] >= 0.2
    assert waits[None] < 0.2


def test_a_second_turn_is_a_separate_span(recorder: Recorder) -> None:
    with (
        Emulator(stubborn=True) as emulator,
        glmv.Client(emulator.api_key, base_url=emulator.base_url, model="glm-4v-flash") as glm,
    ):
        answer = glm.chat("Count to three, as JSON.", response_format={"type": "json_object"})
    usages = [dict(span.attributes or {})["gen_ai.usage.input_tokens"] for span in recorder.spans]
    assert len(usages) == 2
    assert answer.usage is not None
    assert sum(usages) == answer.usage.prompt_tokens  # type: ignore[arg-type]  # they are numbers


def test_the_span_of_a_call_for_json_records_the_output_type_json(recorder: Recorder, glm: glmv.Client) -> None:
    glm.chat("Count to three, as JSON.", model="glm-4.6", response_format={"type": "json_object"})
    assert recorder.facts["gen_ai.output.type"] == "json"


def test_embed_makes_one_span_for_all_its_requests(recorder: Recorder, glm: glmv.Client) -> None:
    answer = glm.embed(["one text"] * 70)  # two requests
    assert recorder.span.name == "embeddings embedding-3"
    assert recorder.facts["gen_ai.operation.name"] == "embeddings"
    assert recorder.facts["gen_ai.usage.input_tokens"] == answer.usage.prompt_tokens
    assert recorder.facts["glmv.retries"] == 0


def test_questions_and_answers_are_not_recorded_by_default(recorder: Recorder, glm: glmv.Client) -> None:
    answer = glm.chat([QUESTION, glmv.Image.from_bytes(png())])
    assert answer.text
    assert QUESTION not in recorder.text()
    assert answer.text not in recorder.text()


def test_content_is_recorded_on_request_but_pictures_are_never_recorded(
    recorder: Recorder, glm: glmv.Client, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CAPTURE, "true")
    picture = glmv.Image.from_bytes(png())
    link = emulator.host(png())
    answer = glm.chat([QUESTION, picture, glmv.Image.from_url(link + "?signature=hidden")])
    data = json.loads(recorder.facts["gen_ai.input.messages"])
    output = json.loads(recorder.facts["gen_ai.output.messages"])
    assert data == [
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": QUESTION},
                {
                    "type": "blob",
                    "modality": "image",
                    "mime_type": "image/png",
                    "content": "",
                    "bytes": len(png()),
                    "sha256": picture.digest,
                },
                {"type": "uri", "modality": "image", "mime_type": None, "uri": link},
            ],
        }
    ]
    thought = {"type": "reasoning", "content": answer.reasoning}
    values = {"type": "text", "content": answer.text}
    assert output == [{"role": "assistant", "parts": [thought, values], "finish_reason": "stop"}]
    assert picture.base64().decode() not in recorder.text()
    assert "hidden" not in recorder.text()


def test_the_key_is_never_recorded(recorder: Recorder, glm: glmv.Client, emulator: Emulator) -> None:
    glm.chat("hello")
    assert emulator.api_key not in recorder.text()
    assert emulator.api_key.partition(".")[2] not in recorder.text()


def test_a_call_is_a_child_of_the_outer_span_and_parent_of_http_spans(recorder: Recorder, emulator: Emulator) -> None:
    inside: list[Any] = []
    tracer = recorder.tracing.get_tracer("app")
    hooks = {"request": [lambda _: inside.append(trace.get_current_span())]}
    with (
        httpx.Client(event_hooks=hooks) as http,
        glmv.Client(emulator.api_key, base_url=emulator.base_url, http_client=http) as glm,
        tracer.start_as_current_span("app") as outer,
    ):
        for _ in glm.stream("hello"):
            assert trace.get_current_span() is outer
    ours = next(span for span in recorder.spans if span.name != "app")
    assert ours.parent is not None
    assert ours.parent.span_id == outer.get_span_context().span_id
    assert [span.get_span_context().span_id for span in inside] == [ours.context.span_id]


def test_metrics_work_without_traces(monkeypatch: pytest.MonkeyPatch, recorder: Recorder, glm: glmv.Client) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    glm.chat("hello")
    assert recorder.spans == []
    assert len(recorder.points("gen_ai.client.operation.duration")) == 1


def make_calls(emulator: Emulator, **options: Any) -> None:
    """Make a call, a stream and an embedding request."""
    with glmv.Client(emulator.api_key, base_url=emulator.base_url, **options) as glm:
        glm.chat("hello")
        list(glm.stream("hello"))
        glm.embed("hello")


SUPPRESSED = {
    "by opentelemetry-instrumentation": suppress_instrumentation,
    "by its plain name": lambda: in_context("suppress_instrumentation"),
    "by a key that was created from its name": lambda: in_context(context.create_key("suppress_instrumentation")),
    "by OpenInference": lambda: pytest.importorskip("openinference.instrumentation").suppress_tracing(),
}


@contextmanager
def in_context(key: str) -> Iterator[None]:
    token = context.attach(context.set_value(key, True))
    try:
        yield
    finally:
        context.detach(token)


@pytest.mark.parametrize("suppressed", SUPPRESSED.values(), ids=SUPPRESSED)
def test_nothing_is_recorded_while_instrumentation_is_suppressed(
    recorder: Recorder, emulator: Emulator, suppressed: Callable[[], AbstractContextManager[None]]
) -> None:
    with suppressed():
        make_calls(emulator)
    assert recorder.spans == []
    assert recorder.points("gen_ai.client.token.usage") == []
    make_calls(emulator)
    assert [span.name.split()[0] for span in recorder.spans] == ["chat", "chat", "embeddings"]


def test_a_job_makes_no_spans_while_its_caller_suppresses_instrumentation(
    recorder: Recorder, emulator: Emulator, tmp_path: Path
) -> None:
    shutil.copy(ROOT / "examples" / "pictures" / "coffee.jpg", tmp_path)
    job = Job(tmp_path, "What is it?", api_key=emulator.api_key, base_url=emulator.base_url)
    with suppress_instrumentation():
        assert [row.ok for row in job.rows()] == [True]
    assert recorder.spans == []
    with recorder.tracing.get_tracer("app").start_as_current_span("app") as outer:
        list(job.rows())
    (ours,) = [span for span in recorder.spans if span.name != "app"]
    assert ours.parent is not None
    assert ours.parent.span_id == outer.get_span_context().span_id


@pytest.mark.parametrize(
    ("setting", "variable", "has_spans"),
    [
        (False, None, False),
        (False, "on", False),
        (None, "off", False),
        (None, "OFF", False),
        (None, "0", False),
        (None, "false", False),
        (None, "", True),
        (None, "on", True),
        (True, "off", True),
        (None, None, True),
    ],
)
def test_spans_can_be_switched_off_without_switching_off_metrics(
    recorder: Recorder,
    emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    setting: bool | None,
    variable: str | None,
    has_spans: bool,
) -> None:
    monkeypatch.delenv("GLMV_TRACING", raising=False)
    if variable is not None:
        monkeypatch.setenv("GLMV_TRACING", variable)
    make_calls(emulator, tracing=setting)
    assert len(recorder.spans) == (3 if has_spans else 0)
    assert sum(count for _, count in recorder.points("gen_ai.client.token.usage")) > 0


@pytest.mark.parametrize("make", [ChatGLMV, GLMV])
def test_an_adapter_with_tracing_false_records_no_spans(recorder: Recorder, emulator: Emulator, make: Any) -> None:
    model = make(api_key=emulator.api_key, base_url=emulator.base_url, tracing=False)
    model.invoke("hello") if isinstance(model, ChatGLMV) else model.complete("hello")
    assert recorder.spans == []


def test_without_spans_the_http_spans_are_children_of_the_callers_span(recorder: Recorder, emulator: Emulator) -> None:
    inside: list[Any] = []
    hooks = {"request": [lambda _: inside.append(trace.get_current_span())]}
    with (
        httpx.Client(event_hooks=hooks) as http,
        recorder.tracing.get_tracer("app").start_as_current_span("app") as outer,
    ):
        make_calls(emulator, tracing=False, http_client=http)
        assert trace.get_current_span() is outer
    assert inside == [outer] * 3


def test_without_spans_and_metrics_the_telemetry_does_not_wrap_a_call(
    monkeypatch: pytest.MonkeyPatch, recorder: Recorder, glm: glmv.Client
) -> None:
    monkeypatch.setattr(metrics, "get_meter_provider", metrics.NoOpMeterProvider)
    flow = exchange(glm._context().chat(glm.request("hello"), stream=True)[0], Policy(), stream=True)
    assert watched(flow, Operation("chat", "glm-4.6v"), glm.address, tracing=False) is flow
    flow.close()


def test_the_example_of_the_page_about_telemetry_runs(emulator: Emulator, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "telemetry.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    shutil.copy(ROOT / "examples" / "pictures" / "coffee.jpg", tmp_path / "photo.jpg")
    ours = {"ZHIPUAI_API_KEY": emulator.api_key, "ZHIPUAI_BASE_URL": emulator.base_url}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **ours}, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    for name in re.findall(r"^\| `(gen_ai\.client[^`]*\.(?:duration|usage))`", page, re.MULTILINE):
        assert f'"{name}"' in run.stdout
    assert '"chat glm-4.6v"' in run.stdout


WITHOUT_OPENTELEMETRY = """
import sys
import glmv
from glmv_emulator import Emulator
with Emulator() as emulator, glmv.Client(emulator.api_key, base_url=emulator.base_url) as glm:
    glm.chat("hello")
    list(glm.stream("hello"))
print([name for name in sys.modules if name.partition(".")[0] == "opentelemetry"])
"""


def test_opentelemetry_is_not_imported_unless_it_is_set_up() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPENTELEMETRY], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.strip() == "[]"


def test_without_a_tracer_provider_the_telemetry_does_not_wrap_a_call(glm: glmv.Client) -> None:
    flow = exchange(glm._context().chat(glm.request("hello"), stream=True)[0], Policy(), stream=True)
    assert watched(flow, Operation("chat", "glm-4.6v", stream=True), glm.address) is flow
