"""Verdicts: small clients that each break one rule, and one that breaks none."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from glmv_emulator import Emulator
from glmv_emulator.faults.verdicts import judge
from glmv_emulator.http.journal import Exchange


class Client:
    """A client without the checks of `glmv`; the tests use it to break one rule each."""

    def __init__(self, emu: Emulator) -> None:
        self.emu = emu
        self.http = httpx.Client(headers={"Authorization": emu.api_key}, timeout=5, trust_env=False)

    def post(self, text: str = "Hello", model: str = "glm-4v-plus-0111", **options: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]}
        return self.http.post(f"{self.emu.base_url}/chat/completions", json=body | options.pop("more", {}), **options)

    def retrying(self, pauses: list[float], **options: Any) -> httpx.Response:
        answer = self.post(**options)
        for pause in pauses:
            if answer.status_code == 200:
                break
            time.sleep(pause)
            answer = self.post(**options)
        return answer

    def text(self, answer: httpx.Response) -> str:
        """The text of a streamed answer, read without a check that the stream is complete."""
        events = [event[6:] for event in answer.text.split("\n\n") if event]
        chunks = [json.loads(event) for event in events if event != "[DONE]"]
        return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


@pytest.fixture
def emu() -> Any:
    with Emulator(concurrency={"glm-4v-flash": 3}) as running:
        yield running


@pytest.fixture
def client(emu: Emulator) -> Any:
    result = Client(emu)
    yield result
    result.http.close()


def names(emu: Emulator, errors: int = 0) -> list[str]:
    return [verdict.name for verdict in emu.report(errors).verdicts]


def test_a_correct_client_gets_no_verdict(emu: Emulator, client: Client) -> None:
    emu.fail(times=2, code=1302)
    client.retrying([0.05, 0.1])
    client.post("Another", more={"stream": True})
    emu.fail(code=1113)
    assert client.post("A third").status_code == 429
    report = emu.report(errors=1)
    assert report.verdicts == []
    assert [len(call.attempts) for call in report.calls] == [3, 1, 1]
    report.assert_resilient()


def test_too_many_retries_are_reported_as_a_retry_storm(emu: Emulator, client: Client) -> None:
    emu.fail(times=None, code=1302)
    client.retrying([0.05] * 7)
    assert names(emu, errors=1) == ["retry-storm"]


def test_retries_without_a_pause_are_reported_as_a_retry_storm(emu: Emulator, client: Client) -> None:
    emu.fail(times=4, code=1302)
    client.retrying([0.0] * 4)
    assert names(emu) == ["retry-storm"]


def test_a_retry_before_the_time_in_the_header_retry_after_is_detected(emu: Emulator, client: Client) -> None:
    emu.fail(code=1302, retry_after=1)
    client.retrying([0.2])
    assert names(emu) == ["ignored-retry-after"]


def exchange_at(begin: float, end: float, code: str | None = None, retry_after: float | None = None) -> Exchange:
    """A request with its start and end in seconds; all have the same body."""
    exchange = Exchange("POST", "/chat/completions", {}, begin, body={"messages": "Hello"}, status=429 if code else 200)
    exchange.ended, exchange.ended_by, exchange.code, exchange.retry_after = end, "server", code, retry_after
    return exchange


@pytest.mark.parametrize(
    ("requests", "attempts"),
    [
        pytest.param(
            [exchange_at(0, 0.5), exchange_at(0.1, 0.2, "1302", 1), exchange_at(0.25, 0.6), exchange_at(1.25, 1.5)],
            [1, 2, 1],
            id="another call comes soon after the refusal of one",
        ),
        pytest.param(
            [
                exchange_at(0, 0.1, "1302", 1),
                exchange_at(0.05, 0.3, "1302"),
                exchange_at(0.5, 0.6),
                exchange_at(1.2, 1.3),
            ],
            [2, 2],
            id="both are refused and the other comes back first",
        ),
        pytest.param(
            [exchange_at(0, 0.1, "1113"), exchange_at(0.05, 0.3, "1113"), exchange_at(0.5, 0.6, "1113")],
            [1, 1, 1],
            id="none is worth another try",
        ),
    ],
)
def test_two_equal_concurrent_calls_are_not_a_retry(requests: list[Exchange], attempts: list[int]) -> None:
    report = judge(requests, {}, errors=3)
    assert report.verdicts == []
    assert [len(call.attempts) for call in report.calls] == attempts


def test_a_retry_that_comes_too_soon_is_detected_if_no_other_call_was_running() -> None:
    requests = [exchange_at(0, 0.1, "1302", 1), exchange_at(0.3, 0.4)]
    assert [verdict.name for verdict in judge(requests, {}, errors=0).verdicts] == ["ignored-retry-after"]


@pytest.mark.parametrize("code", ["1113", "1301", "1211", "1261", "1304"])
def test_retrying_a_permanent_error_is_detected(emu: Emulator, client: Client, code: str) -> None:
    emu.fail(times=2, code=code)
    client.retrying([0.05])
    assert names(emu, errors=1) == ["retried-unretryable"]


def test_too_many_concurrent_calls_are_detected(emu: Emulator, client: Client) -> None:
    emu.slow(first=0.3)
    with ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda number: client.post(f"Call {number}", model="glm-4v-flash"), range(5)))
    assert "too-many-at-once" in names(emu, errors=2)


@pytest.mark.parametrize("fault", ["truncated", "withdrawn"])
def test_taking_a_broken_stream_for_an_answer_is_detected(emu: Emulator, client: Client, fault: str) -> None:
    emu.inject(fault)
    assert client.text(client.post(more={"stream": True}))
    assert names(emu) == ["trusted-truncated-stream"]


def test_a_broken_stream_that_the_application_notices_gets_no_verdict(emu: Emulator, client: Client) -> None:
    emu.inject("cut")
    with pytest.raises(httpx.RemoteProtocolError):
        client.post(more={"stream": True})
    assert names(emu, errors=1) == []


def test_following_a_redirect_with_the_body_of_the_request_is_detected(emu: Emulator, client: Client) -> None:
    emu.inject("redirect")
    client.post(follow_redirects=True)
    report = emu.report(errors=1)
    assert "followed-redirect" in [verdict.name for verdict in report.verdicts]
    assert "bytes of body" in str(report)


def test_the_same_request_id_in_two_calls_is_detected(emu: Emulator, client: Client) -> None:
    for text in ("One", "Two"):
        client.post(text, more={"request_id": "request-1"})
    assert names(emu) == ["reused-request-id"]


def test_a_key_in_the_text_of_a_message_is_detected(emu: Emulator, client: Client) -> None:
    client.post(f"My key is {emu.api_key}.")
    assert names(emu) == ["key-in-body"]


@pytest.mark.parametrize("key", ["test", "abc.def", "sk-test"])
@pytest.mark.parametrize("text", ["This is a test. abc.def, sk-test!", "{}", "Zm9vdef8test4"])
def test_a_prompt_that_contains_a_short_key_gets_no_verdict(key: str, text: str) -> None:
    prompt = text.replace("{}", key)
    with Emulator(api_key=key) as emu:
        client = Client(emu)
        client.post(prompt)
        client.http.close()
        assert names(emu) == []
        assert emu.requests[0].body["messages"][0]["content"][0]["text"] == prompt


@pytest.mark.parametrize(
    "more",
    [
        {"messages": [{"role": "user", "content": "curl -H 'Authorization: Bearer {}'"}]},
        {"messages": [{"role": "user", "content": "my api_key={} is here"}]},
        {"api_key": "{}"},
    ],
)
@pytest.mark.parametrize("key", ["test", "abc.def", "0123456789abcdef.0123456789abcdef"])
def test_a_key_of_any_length_that_the_body_sends_as_a_credential_is_detected(key: str, more: dict[str, Any]) -> None:
    with Emulator(api_key=key) as emu:
        client = Client(emu)
        client.post(model="glm-4.6v", more=json.loads(json.dumps(more).replace("{}", key)))
        client.http.close()
        assert names(emu) == ["key-in-body"]


@pytest.mark.parametrize("text", ["{}", "({})", "x={}", "密钥是{}。", "{}\n"])
def test_a_long_key_or_its_secret_half_is_detected_anywhere_in_a_text(emu: Emulator, client: Client, text: str) -> None:
    for secret in (emu.api_key, emu.api_key.partition(".")[2]):
        emu.reset()
        client.post(text.format(secret))
        assert names(emu) == ["key-in-body"]
        assert secret not in repr(emu.requests)


def test_requests_with_different_keys_are_not_retries_of_each_other(emu: Emulator) -> None:
    for key in ("wrong-id.wrong-secret-1", "wrong-id.wrong-secret-2", "wrong-id.wrong-secret-3"):
        client = Client(emu)
        client.http.headers["Authorization"] = f"Bearer {key}"
        assert client.post().status_code == 401
        client.http.close()
        assert key not in repr(emu.requests)
    report = emu.report(errors=3)
    assert [len(call.attempts) for call in report.calls] == [1, 1, 1]
    assert report.verdicts == []


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ({"request_id": ""}, {}),
        ({"request_id": "x" * 500}, {"request_id": "five-and-more"}),
        ({"user_id": "short"}, {}),
        ({"top_p": 5}, {"top_p": 0.5}),
    ],
)
def test_a_corrected_request_counts_as_a_new_call(
    emu: Emulator, client: Client, wrong: dict[str, Any], right: dict[str, Any]
) -> None:
    assert client.post(more=wrong).status_code == 400
    assert client.post(more=right).status_code == 200
    report = emu.report(errors=1)
    assert [len(call.attempts) for call in report.calls] == [1, 1]
    assert report.verdicts == []


def test_requests_are_two_calls_if_they_differ_only_in_text_that_the_journal_omits(
    emu: Emulator, client: Client
) -> None:
    assert client.post("x" * 5000 + " EMU-SENSITIVE-INPUT").status_code == 400
    assert client.post("x" * 5000 + " and all is very good").status_code == 200
    assert names(emu, errors=1) == []


def test_a_request_sent_again_with_a_new_request_id_counts_as_a_retry(emu: Emulator, client: Client) -> None:
    emu.fail(times=2, code=1113)
    for number in range(2):
        client.post(more={"request_id": f"request-{number}"})
    assert names(emu, errors=1) == ["retried-unretryable"]


def test_sending_a_wrong_key_again_is_detected_as_a_retry(emu: Emulator, client: Client) -> None:
    client.http.headers["Authorization"] = "Bearer wrong-id.wrong-secret"
    client.retrying([0.05])
    assert names(emu, errors=1) == ["retried-unretryable"]


def test_a_stream_that_the_client_leaves_open_is_detected(emu: Emulator, client: Client) -> None:
    emu.slow(between=1.0)
    body = {
        "model": "glm-4v",
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
        "stream": True,
    }
    with client.http.stream("POST", f"{emu.base_url}/chat/completions", json=body):
        assert names(emu) == ["left-open"]


def test_giving_up_at_the_first_temporary_error_is_detected(emu: Emulator, client: Client) -> None:
    emu.inject("status-503")
    client.post()
    assert names(emu, errors=1) == ["gave-up"]


@pytest.mark.parametrize("fault", ["error-in-200", "empty-body", "login-page"])
def test_taking_an_error_for_an_answer_is_detected(emu: Emulator, client: Client, fault: str) -> None:
    emu.inject(fault)
    client.post()
    assert names(emu) == ["swallowed-error"]


def test_a_client_that_keeps_waiting_after_the_done_event_is_detected(emu: Emulator, client: Client) -> None:
    emu.inject("open-after-done")
    with pytest.raises(httpx.ReadTimeout):
        client.post(more={"stream": True}, timeout=1.2)
    assert names(emu) == ["hung-after-done"]


def test_a_report_lists_the_attempts_of_a_call_in_order(emu: Emulator, client: Client) -> None:
    emu.fail(code=1302, retry_after=2)
    client.retrying([0.1])
    text = str(emu.report())
    assert text.startswith("1 call, 2 requests; the application noticed 0 errors\n")
    assert "2 attempts: 0.00 s HTTP 429 code 1302 retry after 2 s (refusal); 0.1" in text
    assert "! ignored-retry-after: retried after 0.1" in text
    with pytest.raises(AssertionError, match="ignored-retry-after"):
        emu.report().assert_resilient()


def test_equal_concurrent_requests_are_separate_calls(emu: Emulator, client: Client) -> None:
    emu.slow(first=0.2)
    threads = [threading.Thread(target=client.post) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(call.attempts) for call in emu.report().calls] == [1, 1, 1]
