"""Spans that OpenInference exports for calls with pictures, in LangChain and LlamaIndex."""

from __future__ import annotations

import io
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from llama_index.core.base.llms.types import ChatMessage, ImageBlock, TextBlock
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from PIL import Image as Pillow

from glmv import PictureStore, redact_spans
from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, image
from llama_index_glmv import GLMV

pytest.importorskip("openinference.instrumentation.langchain")
pytest.importorskip("openinference.instrumentation.llama_index")

# Its handlers use what pydantic is about to remove; LlamaIndex swallows the errors that warnings would become.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def png(side: int) -> bytes:
    """A picture of noise."""
    out = io.BytesIO()
    Pillow.frombytes("RGB", (side, side), Random(side).randbytes(side * side * 3)).save(out, "PNG")
    return out.getvalue()


class Spans:
    """One provider with two exporters: `whole` gets complete spans, `shortened` gets them through `redact_spans`."""

    def __init__(self) -> None:
        self.whole, self.shortened = InMemorySpanExporter(), InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.whole))
        self.provider.add_span_processor(SimpleSpanProcessor(redact_spans(self.shortened)))

    @staticmethod
    def text(exporter: InMemorySpanExporter) -> str:
        spans = [span.to_json() for span in exporter.get_finished_spans()]
        assert spans
        return "".join(spans)


@pytest.fixture
def langchain_spans() -> Iterator[Spans]:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    spans = Spans()
    LangChainInstrumentor().instrument(tracer_provider=spans.provider)
    yield spans
    LangChainInstrumentor().uninstrument()


@pytest.fixture
def llama_index_spans() -> Iterator[Spans]:
    from openinference.instrumentation.llama_index import LlamaIndexInstrumentor

    spans = Spans()
    LlamaIndexInstrumentor().instrument(tracer_provider=spans.provider)
    yield spans
    LlamaIndexInstrumentor().uninstrument()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> PictureStore:
    return PictureStore(tmp_path / "store")


@pytest.mark.parametrize("side", [16, 300])
def test_spans_of_langchain_hold_a_picture_unless_they_are_redacted(
    langchain_spans: Spans, emulator: Emulator, side: int
) -> None:
    data = png(side)
    model = ChatGLMV(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key)
    model.invoke([HumanMessage(["How large is it?", image(data)])])
    encoded = b64encode(data).decode()
    assert encoded[40:80] in Spans.text(langchain_spans.whole)
    shown = Spans.text(langchain_spans.shortened)
    assert encoded[40:80] not in shown
    assert "How large is it?" in shown
    assert len(shown) < 10_000


def test_spans_of_langchain_hold_a_reference_and_no_picture(
    langchain_spans: Spans, emulator: Emulator, store: PictureStore
) -> None:
    data = png(300)
    model = ChatGLMV(
        model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key, picture_store=store
    )  # fmt: skip
    model.invoke([HumanMessage(["How large is it?", image(data, store=store)])])
    shown = Spans.text(langchain_spans.whole)
    assert store.add(data) in shown
    assert b64encode(data).decode()[40:80] not in shown
    assert len(shown) < 10_000


@pytest.mark.parametrize("side", [16, 300])
def test_spans_of_llama_index_hold_a_picture_unless_they_are_redacted(
    llama_index_spans: Spans, emulator: Emulator, side: int
) -> None:
    data = png(side)
    ask_llama_index(emulator, ImageBlock(image=data))
    encoded = b64encode(data).decode()
    assert encoded[40:80] in Spans.text(llama_index_spans.whole)
    shown = Spans.text(llama_index_spans.shortened)
    assert encoded[40:80] not in shown
    assert "How large is it?" in shown
    assert len(shown) < 10_000


def test_spans_of_llama_index_hold_a_path_and_no_picture(
    llama_index_spans: Spans, emulator: Emulator, store: PictureStore
) -> None:
    data = png(300)
    path = store.path(store.add(data))
    assert "300" in ask_llama_index(emulator, ImageBlock(path=path), local_files=[store])
    answer = Spans.text(llama_index_spans.whole)
    assert json.dumps(str(path))[1:-1] in answer
    assert b64encode(data).decode()[40:80] not in answer
    assert len(answer) < 10_000


def ask_llama_index(emulator: Emulator, picture: ImageBlock, **options: Any) -> str:
    llm = GLMV(model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key, **options)
    return llm.chat([ChatMessage(blocks=[TextBlock(text="How large is it?"), picture])]).message.content or ""


def token_counts(spans: Spans) -> list[tuple[str, Any]]:
    """Spans of models with their number of input tokens."""
    names = ("llm.token_count.prompt", "gen_ai.usage.input_tokens")
    return [
        (str(span.instrumentation_scope and span.instrumentation_scope.name).partition(".")[0], facts[name])
        for span in spans.whole.get_finished_spans()
        if (facts := span.attributes or {}) is not None
        for name in names
        if name in facts
    ]


@pytest.mark.parametrize("switch", ["setting", "variable"])
@pytest.mark.parametrize("framework", ["langchain", "llama_index"])
def test_only_openinference_counts_tokens_if_tracing_of_glmv_is_off(
    request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, framework: str, switch: str
) -> None:
    spans: Spans = request.getfixturevalue(f"{framework}_spans")
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: spans.provider)

    def ask(**options: Any) -> None:
        settings = {"base_url": emulator.base_url, "api_key": emulator.api_key, **options}
        ChatGLMV(**settings).invoke("hello") if framework == "langchain" else GLMV(**settings).chat(
            [ChatMessage("hello")]
        )

    ask()
    result = token_counts(spans)
    assert {scope for scope, _ in result} == {"openinference", "glmv"}
    assert len({count for _, count in result}) == 1
    spans.whole.clear()
    if switch == "variable":
        monkeypatch.setenv("GLMV_TRACING", "off")
    ask(**({"tracing": False} if switch == "setting" else {}))
    ((scope, _),) = token_counts(spans)
    assert scope == "openinference"
