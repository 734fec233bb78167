"""Cost of OpenTelemetry support for a call and a chunk: prints the table of docs/telemetry.md."""

from __future__ import annotations

import timeit
from collections.abc import Callable, Generator
from typing import Any

import glmv
from glmv.exchange.steps import Enter, Hand
from glmv.telemetry import Operation, watched

CHUNKS = 1000
ADDRESS = glmv.Client("test-id.test-secret").address
OPERATION = Operation("chat", "glm-4.6v", stream=True, options={"temperature": 0.5})
HAND = Hand([])


def flow(chunks: int) -> Generator[Any, Any, glmv.Completion]:
    """A call that only yields chunks."""
    yield Enter(None)
    for _ in range(chunks):
        yield HAND
    return glmv.Completion("", model="glm-4.6v", usage=glmv.Usage(1000, 100, 1100))


def flow_with_telemetry(chunks: int) -> Generator[Any, Any, glmv.Completion]:
    """The call of `flow` with telemetry."""
    return watched(flow(chunks), OPERATION, ADDRESS)


def microseconds(work: Callable[[], object], number: int) -> float:
    return min(timeit.repeat(work, number=number, repeat=7)) / number * 1e6


def report(name: str) -> None:
    """One row: the time that telemetry adds to a call and to each of its chunks."""
    call = microseconds(lambda: list(flow_with_telemetry(0)), 1000) - microseconds(lambda: list(flow(0)), 1000)
    more = microseconds(lambda: list(flow_with_telemetry(CHUNKS)), 100) - microseconds(lambda: list(flow(CHUNKS)), 100)
    print(f"{name:25} {call:8.1f} us a call {(more - call) / CHUNKS:8.3f} us a chunk")


def main() -> None:
    """Measure without OpenTelemetry, with its API and with its SDK, in this order, because imports cannot be undone."""
    report("not imported")
    from opentelemetry import metrics, trace

    report("the API, no provider")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    trace.set_tracer_provider(TracerProvider())
    metrics.set_meter_provider(MeterProvider())
    report("the SDK")


if __name__ == "__main__":
    main()
