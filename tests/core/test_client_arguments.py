"""A client checks its HTTP client and its retry budget when it is made."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import glmv
from glmv.exchange.retry import RetryBudget


@pytest.mark.parametrize("kind", [glmv.Client, glmv.AsyncClient])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"http_client": httpx.AsyncClient()}, "got httpx.AsyncClient; pass it as http_async_client"),
        ({"http_async_client": httpx.Client()}, "got httpx.Client; pass it as http_client"),
        ({"http_client": "http://127.0.0.1:3128"}, "http_client must be an httpx.Client or an httpx2.Client; got str"),
        ({"http_async_client": httpx.AsyncClient}, "got the class AsyncClient"),
        ({"http_client": object()}, "got object"),
    ],
)
def test_an_http_client_of_the_wrong_class_is_refused(kind: Any, arguments: Any, message: str) -> None:
    with pytest.raises(glmv.InvalidRequestError) as raised:
        kind("id.secret", **arguments)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_user_defined_http_client_classes_are_accepted() -> None:
    class Own(httpx.Client):
        pass

    class Alike:
        def build_request(self) -> None: ...
        def send(self) -> None: ...

    for http in (Own(), httpx.Client(), Alike()):
        assert glmv.Client("id.secret", http_client=http).settings.http_client is http


@pytest.mark.parametrize(("arguments", "capacity"), [({}, RetryBudget.CAPACITY), ({"retry_budget": 2}, 28.0)])
def test_the_argument_retry_budget_sets_the_capacity_of_the_budget(arguments: Any, capacity: float) -> None:
    assert glmv.Client("id.secret", **arguments)._budget.capacity == capacity


def test_with_retry_budget_0_a_failed_call_is_not_retried_and_the_error_says_so() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(500)

    requests: list[httpx.Request] = []
    http = httpx.Client(transport=httpx.MockTransport(answer))
    with pytest.raises(glmv.ServerError, match=r"retry_budget=0"):
        glmv.Client("id.secret", base_url="http://127.0.0.1:9/v4", http_client=http, retry_budget=0).chat("hi")
    assert len(requests) == 1


def test_a_client_with_only_the_http_client_for_the_other_client_class_is_refused() -> None:
    with httpx.Client() as http:
        http_async = httpx.AsyncClient()
        with pytest.raises(glmv.InvalidRequestError, match=r"^AsyncClient sends with http_async_client; got only"):
            glmv.AsyncClient("a.b", http_client=http)
        with pytest.raises(glmv.InvalidRequestError, match=r"^Client sends with http_client; got only"):
            glmv.Client("a.b", http_async_client=http_async)
        for kind in (glmv.Client, glmv.AsyncClient):
            kind("a.b", http_client=http, http_async_client=http_async)
            kind.of(glmv.Settings(http_client=http))
