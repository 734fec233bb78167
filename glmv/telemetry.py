"""Spans and metrics of calls, for programs that have configured OpenTelemetry (the extra `otel`).

Names and units are those of the GenAI semantic conventions (github.com/open-telemetry/semantic-conventions-genai,
docs/gen-ai: gen-ai-spans.md and gen-ai-metrics.md, status "Development"); names that the conventions do not have begin
with `glmv.`. As the conventions require, a span covers one exchange with all its retries; a second turn that asks for
better JSON is a separate exchange. Content is recorded only if `CAPTURE` is set; the bytes of a picture are never
recorded.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

from glmv._version import __version__
from glmv.errors import GLMVError
from glmv.exchange.steps import Drop, Enter, Failure, Hand, Opened, Send, Step
from glmv.media import File, Image, Video
from glmv.media.urls import public_url
from glmv.transport.address import Address
from glmv.types import Completion, Message, Part, Text, ToolCall, Usage, modality

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram
    from opentelemetry.trace import Span, Tracer

# This variable turns the recording of content on (gen-ai-spans.md, "Capturing instructions, inputs, and outputs"; the
# values other than "true" are those of opentelemetry-util-genai).
CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
_CAPTURES = ("true", "span_only", "span_and_event")
SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
# The variable that turns spans off when the setting `tracing` is None, for programs with another tracer for LLM calls.
TRACING = "GLMV_TRACING"
_OFF = ("off", "false", "no", "0")
# OpenTelemetry's own switch, in the context of a call: a key of this name, or the name with "-" and a random id, as
# `create_key` makes it (opentelemetry.instrumentation.utils looks for both).
_SUPPRESSED = "suppress_instrumentation"

# "This metric SHOULD be specified with ExplicitBucketBoundaries of" (gen-ai-metrics.md).
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))

# Options of a request, with their names in the conventions.
_OPTIONS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "max_tokens": "gen_ai.request.max_tokens",
    "stop": "gen_ai.request.stop_sequences",
    "seed": "gen_ai.request.seed",
}

_T = TypeVar("_T")


class Operation(NamedTuple):
    """What is known about a call before it begins."""

    name: str
    model: str
    stream: bool = False
    options: Mapping[str, Any] = {}
    messages: Sequence[Message] = ()


def watched(
    flow: Generator[Step, Any, _T], operation: Operation, where: Address, *, tracing: bool | None = None
) -> Generator[Step, Any, _T]:
    """Returns a flow that also records a span and metrics; `flow` itself if OpenTelemetry is off or not configured.

    Args:
        tracing: whether to make a span. None means that the variable `TRACING` decides. Metrics are always recorded.
    """
    if "opentelemetry.trace" not in sys.modules and "opentelemetry.metrics" not in sys.modules:
        return flow  # a program that configures a provider has imported one of the two: do not import them for nothing
    from opentelemetry import metrics, trace

    providers = trace.get_tracer_provider(), metrics.get_meter_provider()
    if tracing is None:
        tracing = os.environ.get(TRACING, "").strip().lower() not in _OFF
    idle = [type(provider).__module__.startswith(_IDLE) for provider in providers]
    if all(idle) or (idle[1] and not tracing) or _is_suppressed():
        return flow
    return _watch_flow(flow, _Watch(_tools(*providers), operation, where, tracing=tracing))


def _is_suppressed() -> bool:
    """Whether the program has called `suppress_instrumentation()` around this call."""
    from opentelemetry.context import get_current

    return any(value for key, value in get_current().items() if key.partition("-")[0] == _SUPPRESSED)


# The providers of the API package record nothing; those of an SDK do.
_IDLE = ("opentelemetry.trace", "opentelemetry.metrics")


class _Tools(NamedTuple):
    tracer: Tracer
    duration: Histogram
    first_chunk: Histogram
    tokens: Histogram
    waiting: Histogram
    retries: Counter


@functools.lru_cache(maxsize=4)
def _tools(tracing: Any, measuring: Any) -> _Tools:
    meter = measuring.get_meter("glmv", __version__, SCHEMA)

    def histogram(name: str, unit: str, description: str, bounds: tuple[float, ...]) -> Histogram:
        instrument: Histogram = meter.create_histogram(
            name, unit, description, explicit_bucket_boundaries_advisory=bounds
        )
        return instrument

    return _Tools(
        tracing.get_tracer("glmv", __version__, schema_url=SCHEMA),
        histogram("gen_ai.client.operation.duration", "s", "GenAI operation duration.", _SECONDS),
        histogram(
            "gen_ai.client.operation.time_to_first_chunk",
            "s",
            "Time from sending a streamed request to the first chunk of its answer.",
            _SECONDS,
        ),
        histogram("gen_ai.client.token.usage", "{token}", "Number of input and output tokens used.", _TOKENS),
        histogram("glmv.client.gate.duration", "s", "Time that a call waited for a free slot of the gate.", _SECONDS),
        meter.create_counter("glmv.client.retries", "{retry}", "Requests that were sent again."),
    )


def _watch_flow(flow: Generator[Step, Any, _T], watch: _Watch) -> Generator[Step, Any, _T]:
    try:
        answer = yield from _steps(flow, watch)
    except GeneratorExit:
        watch.left()
        raise
    except BaseException as error:
        watch.failed(error)
        raise
    finally:
        flow.close()
    watch.answered(answer)
    return answer


def _steps(flow: Generator[Step, Any, _T], watch: _Watch) -> Generator[Step, Any, _T]:
    """Passes the steps to the driver and the results to the flow. Records the steps before the first chunk."""
    result: Any = None
    problem: Exception | None = None
    while True:
        try:
            step = flow.send(result) if problem is None else flow.throw(problem)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what the flow returned
        if isinstance(step, Hand):
            watch.first()
            yield step
            return (yield from flow)
        result = problem = None
        watch.begins(step)
        try:
            result = yield step
        except Exception as caught:  # noqa: BLE001 - thrown into the flow
            problem = caught
        finally:
            watch.ends(step, result, problem)


class _Watch:
    """Records the span and the metrics of one exchange."""

    def __init__(self, tools: _Tools, operation: Operation, where: Address, *, tracing: bool) -> None:
        self._tools = tools
        self._operation = operation
        address = urlsplit(where.base_url)
        self._common: dict[str, Any] = {
            "gen_ai.operation.name": operation.name,
            "gen_ai.provider.name": _provider(where),
            "gen_ai.request.model": operation.model,
            "server.address": address.hostname or "",
            "server.port": address.port or (443 if address.scheme == "https" else 80),
        }
        self._started = self._since = time.monotonic()
        self._waited = 0.0
        self._sent_at = 0.0
        self._retries = 0
        self._dropped = False
        self._trouble = "_OTHER"
        self._handed = False
        self._context: Any = None
        self._token: Any = None
        self._span = self._begun() if tracing else _no_span()
        self._captures = self._span.is_recording() and os.environ.get(CAPTURE, "").lower() in _CAPTURES
        if self._captures and operation.messages:
            self._span.set_attribute("gen_ai.input.messages", _json(map(_message, operation.messages)))

    def _begun(self) -> Span:
        from opentelemetry.trace import SpanKind, set_span_in_context

        facts = dict(self._common)
        if self._operation.stream:
            facts["gen_ai.request.stream"] = True
        if self._operation.options.get("response_format"):
            facts["gen_ai.output.type"] = "json"
        for name, attribute in _OPTIONS.items():
            if (value := self._operation.options.get(name)) is not None:
                facts[attribute] = value
        name = f"{self._operation.name} {self._operation.model}"
        span = self._tools.tracer.start_span(name, kind=SpanKind.CLIENT, attributes=facts)
        self._context = set_span_in_context(span)
        return span

    def begins(self, step: Step) -> None:
        """Records that the driver begins a step."""
        self._since = time.monotonic()
        if isinstance(step, Send):
            if self._dropped:
                self._retries += 1
                self._span.add_event("glmv.retry", {"error.type": self._trouble})
            self._sent_at, self._dropped, self._trouble = self._since, False, "_OTHER"
            if self._context is None:
                return  # without a span of this client, the caller's span stays the current one
            # So the span of an instrumented HTTP library becomes a child of this one.
            from opentelemetry.context import attach

            self._token = attach(self._context)

    def ends(self, step: Step, result: Any, problem: Exception | None) -> None:
        """Records that a step ended or failed, or that the caller left during the step."""
        match step:
            case Enter():
                self._waited += time.monotonic() - self._since
            case Send():
                self._detach()
            case Drop():
                self._dropped = True
            case _:
                pass
        if problem is not None:
            self._trouble = problem.kind if isinstance(problem, Failure) else type(problem).__name__
        elif isinstance(result, Opened) and result.status >= 300:
            # Only the flow knows of an error in the body of a 200: a retry after one has the error type "_OTHER".
            self._trouble = str(result.status)

    def _detach(self) -> None:
        from opentelemetry.context import detach, get_current

        # Garbage collection may close a call in another context, which must not be changed.
        if self._context is not None and get_current() is self._context:
            detach(self._token)

    def first(self) -> None:
        """Records that the caller is about to get the first chunk."""
        self._handed = True
        seconds = time.monotonic() - self._sent_at
        self._tools.first_chunk.record(seconds, self._common)
        self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)

    def answered(self, answer: Any) -> None:
        """Records that the exchange succeeded."""
        self._facts(answer)
        self._end(None)

    def failed(self, error: BaseException) -> None:
        """Records that the exchange failed, and what a partial answer contains, because a partial answer is billed."""
        if isinstance(error, GLMVError):
            if error.partial is not None:
                self._facts(error.partial)
            for name, value in (("http.response.status_code", error.status_code), ("glmv.error.code", error.code)):
                if value is not None:
                    self._span.set_attribute(name, value)
            if error.request_id:
                self._span.set_attribute("glmv.request_id", error.request_id)
        self._end(type(error).__name__)

    def left(self) -> None:
        """Records that the caller ended the call early: after the first chunk of a stream, or before an answer."""
        if self._handed:
            self._span.set_attribute("glmv.left_early", True)
        self._end(None if self._handed else "cancelled")

    def _facts(self, answer: Any) -> None:
        """Records the attributes of an answer, of a chat or any other operation, and the metric for the tokens used."""
        facts: dict[str, Any] = {}
        if answer.model:
            self._common["gen_ai.response.model"] = facts["gen_ai.response.model"] = answer.model
        if isinstance(answer, Completion):
            if answer.id:
                facts["gen_ai.response.id"] = answer.id
            if answer.request_id:
                facts["glmv.request_id"] = answer.request_id
            if answer.finish_reason:
                facts["gen_ai.response.finish_reasons"] = [answer.finish_reason]
            if self._captures:
                message = _message(answer.message()) | {"finish_reason": answer.finish_reason}
                facts["gen_ai.output.messages"] = _json([message])
        usage: Usage | None = answer.usage
        if usage is not None:
            facts["gen_ai.usage.input_tokens"] = usage.prompt_tokens
            facts["gen_ai.usage.output_tokens"] = usage.completion_tokens
            if usage.cached_tokens is not None:
                facts["gen_ai.usage.cache_read.input_tokens"] = usage.cached_tokens
            if usage.reasoning_tokens is not None:
                facts["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning_tokens
            for kind, count in (("input", usage.prompt_tokens), ("output", usage.completion_tokens)):
                if count or kind == "input":
                    self._tools.tokens.record(count, {**self._common, "gen_ai.token.type": kind})
        self._span.set_attributes(facts)

    def _end(self, error: str | None) -> None:
        from opentelemetry.trace import StatusCode

        facts = {"glmv.gate.duration": self._waited, "glmv.retries": self._retries}
        self._span.set_attributes(facts)
        if error is not None:
            self._common["error.type"] = error
            self._span.set_attribute("error.type", error)
            # No description: the messages of errors may quote the answer.
            self._span.set_status(StatusCode.ERROR)
        tools = self._tools
        tools.waiting.record(self._waited, self._common)
        if self._retries:
            tools.retries.add(self._retries, self._common)
        tools.duration.record(time.monotonic() - self._started, self._common)
        self._span.end()


def _no_span() -> Span:
    """A span that records nothing."""
    from opentelemetry.trace import INVALID_SPAN

    return INVALID_SPAN


def _provider(where: Address) -> str:
    """The name of the provider. The conventions do not list this platform yet, but allow custom names."""
    if where.dialect.name not in ("platform", "openai"):
        return where.dialect.name
    host = urlsplit(where.base_url).hostname or ""
    return "z_ai" if host == "z.ai" or host.endswith(".z.ai") else "zhipu_ai"


def _message(message: Message) -> dict[str, Any]:
    """A message in the form of gen-ai-input-messages.json."""
    if message.role == "tool":
        answer = {"type": "tool_call_response", "id": message.tool_call_id, "response": message.text}
        return {"role": "tool", "parts": [answer]}
    reasoning = [{"type": "reasoning", "content": message.reasoning}] if message.reasoning else []
    return {"role": message.role, "parts": [*reasoning, *map(_part, message.content), *map(_call, message.tool_calls)]}


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "content": part.text}
        case Image() | Video() | File():
            kind = {"modality": modality(part), "mime_type": part.mime}
            if part.url is not None:
                return {"type": "uri", **kind, "uri": public_url(part.url)}
            # Without the bytes, whatever the settings; the digest identifies the picture.
            return {"type": "blob", **kind, "content": "", "bytes": part.size, "sha256": part.digest}
        case _:
            raise TypeError(f"not a content part: {part!r}")


def _call(call: ToolCall) -> dict[str, Any]:
    return {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}


def _json(values: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps(list(values), ensure_ascii=False)
