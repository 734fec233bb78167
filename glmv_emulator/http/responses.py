"""HTTP responses: JSON bodies and event streams."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from typing import Any

from glmv_emulator.http.playback import DONE, Pause, Response, Step

JSON = "application/json"


def encoded(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def whole(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response that is sent at once, with a `content-length`."""
    return data(encoded(value), JSON, status, headers)


def data(body: bytes, kind: str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of bytes, with their media type and a `content-length`."""
    head = {"content-type": kind, "content-length": str(len(body))} | dict(headers or {})
    return Response(status, head, [body])


def events(chunks: Iterable[dict[str, Any]], kind: str, pace: float) -> Response:
    """A stream of server-sent events, ended by `[DONE]`; each chunk is a separate write.

    `pace` is the time in seconds between two chunks.
    """
    return Response(200, {"content-type": kind, "cache-control": "no-cache"}, _steps(chunks, pace))


def live(steps: AsyncGenerator[Step, None], kind: str) -> Response:
    """A stream whose steps are made while it is sent."""
    return Response(200, {"content-type": kind, "cache-control": "no-cache"}, (), live=steps)


def event(value: Any) -> bytes:
    """A value as one event of a stream."""
    return b"data: " + encoded(value) + b"\n\n"


def _steps(chunks: Iterable[dict[str, Any]], pace: float) -> Iterator[Step]:
    for number, chunk in enumerate(chunks):
        if pace and number:
            yield Pause(pace)
        yield event(chunk)
    yield DONE
