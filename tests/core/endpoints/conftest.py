"""A small fake platform: it answers and records requests, and its clock needs no real time."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import Any

import httpx
import pytest

import glmv
from glmv.endpoints.context import Context
from glmv.exchange.retry import RetryBudget
from glmv.exchange.steps import Drop, Enter, Finish, Opened, Pause, Read, Send, Step
from glmv.options import Settings
from glmv.transport.address import address_of

KEY = "test-id.test-secret"
Answer = Callable[[httpx.Request], Any]


class Wire:
    """Sends back what `answer` returns for a request: a response, bytes, or any JSON value."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []
        self.now = 1000.0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        result = self.answer(request)
        match result:
            case httpx.Response():
                return result
            case bytes():
                return httpx.Response(200, content=result)
            case _:
                return httpx.Response(200, json=result)

    def client(self, key: str | None = KEY, **options: Any) -> glmv.Client:
        return glmv.Client(key, http_client=httpx.Client(transport=httpx.MockTransport(self)), **options)

    def async_client(self, key: str | None = KEY, **options: Any) -> glmv.AsyncClient:
        http = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return glmv.AsyncClient(key, http_async_client=http, **options)

    def context(self, **options: Any) -> Context:
        settings = Settings(api_key=KEY, **options)
        return Context(settings, address_of(settings, {}), RetryBudget(), lambda: self.now)

    def run(self, flow: Generator[Step, Any, Any]) -> Any:
        """Run the steps of a flow and return its result; a pause moves the clock."""
        base = "https://open.bigmodel.cn/api/paas/v4"
        reply: Any = None
        body = b""
        while True:
            try:
                step = flow.send(reply)
            except StopIteration as end:
                return end.value
            reply = None
            match step:
                case Send():
                    content = None if step.body is None else bytes(step.body)
                    request = httpx.Request(step.method, base + step.path, headers=step.headers, content=content)
                    response = self(request)
                    reply, body = Opened(response.status_code, dict(response.headers)), response.read()
                case Read():
                    reply, body = body, b""
                case Pause():
                    self.pauses.append(step.seconds)
                    self.now += step.seconds
                case Enter() | Finish() | Drop():
                    pass
                case _:
                    raise AssertionError(f"no such step: {step!r}")

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests if request.content]

    @property
    def lines(self) -> list[str]:
        """Method and path of each request, below the base URL."""
        return [f"{request.method} {request.url.raw_path.decode().split('/v4', 1)[-1]}" for request in self.requests]


@pytest.fixture
def wire() -> Callable[[Answer], Wire]:
    return Wire
