"""Each fault by its name, as a plain HTTP client observes it."""

from __future__ import annotations

import asyncio
import json
import re
import runpy
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from glmv_emulator import Emulator

DOCUMENTS = Path(__file__).parents[3] / "docs"


def text_of(frames: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for frame in frames
        if isinstance(frame, dict)
        for choice in frame["choices"]
    )


REFUSALS = {
    "retry-after": (429, "1302"),
    "long-retry-after": (429, "1302"),
    "busy": (429, "1302"),
    "overloaded": (429, "1305"),
    "arrears": (429, "1113"),
    "content-filter": (400, "1301"),
    "token-expired": (401, "1003"),
    "clock-skew": (401, "1003"),
    "error-in-200": (200, "1302"),
    "code-1234": (500, "1234"),
    "code-1308": (429, "1308"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_sent_once_with_its_status_and_code(glm: Any, name: str) -> None:
    glm.emu.inject(name)
    first, second = glm.chat("Hello"), glm.chat("Hello")
    assert (first.status_code, first.json()["error"]["code"]) == REFUSALS[name]
    assert second.status_code == 200
    assert second.json()["choices"]


def test_a_fault_with_times_set_to_2_occurs_twice(glm: Any) -> None:
    glm.emu.fail(times=2, code=1302, retry_after=0.5)
    answers = [glm.chat("Hello") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "0.5"
    assert [one.code for one in glm.emu.requests] == ["1302", "1302", None]


def test_a_fault_with_a_status_and_no_code_sends_an_html_page_of_a_gateway(glm: Any) -> None:
    glm.emu.fail(status=503)
    answer = glm.chat("Hello")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "text/html; charset=utf-8")
    assert "Service Unavailable" in answer.text


@pytest.mark.parametrize(
    ("knobs", "name", "value"),
    [({"value": "nan"}, "retry-after", "nan"), ({"value": "", "ms": "1500"}, "retry-after-ms", "1500")],
)
def test_an_unusual_retry_after_header_is_sent_unchanged(glm: Any, knobs: Any, name: str, value: str) -> None:
    glm.emu.inject("odd-retry-after", **knobs)
    assert glm.chat("Hello").headers[name] == value


def test_an_html_page_of_a_gateway_has_the_requested_size(glm: Any) -> None:
    glm.emu.inject("gateway-page", status=504)
    answer = glm.chat("Hello")
    assert answer.status_code == 504
    assert 19_000 < len(answer.content) < 21_000


@pytest.mark.parametrize("text", ["", "null", "[]"])
def test_the_fault_empty_body_sends_status_200_and_a_body_without_an_answer(glm: Any, text: str) -> None:
    glm.emu.inject("empty-body", text=text)
    answer = glm.chat("Hello")
    assert (answer.status_code, answer.text) == (200, text)


def test_the_fault_login_page_sends_an_html_page_with_status_200(glm: Any) -> None:
    glm.emu.inject("login-page")
    answer = glm.chat("Hello")
    assert answer.status_code == 200
    assert answer.text.startswith("<!DOCTYPE html>")


def test_a_request_for_a_stream_can_be_answered_with_a_json_error(glm: Any) -> None:
    glm.emu.inject("error-for-stream")
    answer = glm.chat("Hello", stream=True)
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"]["code"] == "1113"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_request_that_follows_a_redirect_to_a_second_origin_is_in_the_journal(glm: Any, status: int) -> None:
    glm.emu.inject("redirect", status=status)
    answer = glm.chat("Hello")
    assert answer.status_code == status
    assert answer.headers["location"].startswith("http://localhost:")
    httpx.post(answer.headers["location"], content=b"picture")
    assert (glm.emu.requests[-1].path, glm.emu.requests[-1].size) == ("/redirected", 7)


BREAKS = {
    "reset-in-headers": httpx.ReadError,
    "no-answer": httpx.RemoteProtocolError,
    "reset-in-body": httpx.ReadError,
    "half-body": httpx.RemoteProtocolError,
    "garbage": httpx.RemoteProtocolError,
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_connection_breaks_where_the_fault_name_says(glm: Any, name: str) -> None:
    glm.emu.inject(name)
    with pytest.raises(BREAKS[name]):
        glm.chat("Hello")
    assert glm.chat("Hello").status_code == 200
    assert [one.fault for one in glm.emu.requests] == [name, None]


def test_the_fault_stale_connection_breaks_only_a_reused_connection(glm: Any) -> None:
    glm.emu.inject("stale-connection")
    assert glm.chat("Hello").status_code == 200
    with pytest.raises(httpx.RemoteProtocolError, match="disconnected without sending"):
        glm.chat("Hello")
    assert [(one.connection, one.nth) for one in glm.emu.requests] == [(1, 1), (1, 2)]


@pytest.mark.parametrize("stream", [False, True])
def test_the_fault_idle_close_closes_the_connection_after_the_answer(glm: Any, stream: bool) -> None:
    glm.emu.inject("idle-close")
    assert glm.chat("Hello", stream=stream).status_code == 200
    while glm.emu.connections:
        time.sleep(0.001)
    assert glm.chat("Hello", stream=stream).status_code == 200
    assert [one.connection for one in glm.emu.requests] == [1, 2]


@pytest.mark.parametrize("name", ["stall-before-headers", "stall-in-body"])
def test_a_stalled_answer_continues_when_the_test_releases_it(glm: Any, name: str) -> None:
    glm.emu.inject(name)
    with pytest.raises(httpx.ReadTimeout):
        glm.post(glm.hello(), timeout=httpx.Timeout(10, read=0.3))
    glm.emu.inject(name)
    threading.Timer(0.2, glm.emu.release).start()
    assert glm.post(glm.hello(), timeout=10).json()["choices"]


def test_a_stream_stalls_after_two_chunks_until_the_test_releases_it(glm: Any) -> None:
    calm = glm.frames("Hello")
    glm.emu.stall(after=2)
    got = b""
    with glm.streaming() as answer:
        pieces = answer.iter_raw()
        while got.count(b"\n\n") < 2:
            got += next(pieces)
        assert glm.emu.requests[-1].chunks == 2
        glm.emu.release()
        got += b"".join(pieces)
    assert got.count(b"\n\n") == len(calm)


def test_the_fault_drip_sends_a_slow_body_that_causes_no_read_timeout(glm: Any) -> None:
    glm.emu.inject("drip", every=0.002)
    began = time.monotonic()
    answer = glm.post(glm.hello(), timeout=httpx.Timeout(10, read=1))
    assert answer.json()["choices"]
    assert time.monotonic() - began > 0.002 * len(answer.content)


def test_after_slow_each_request_is_delayed_until_a_reset_whether_it_fails_or_not(glm: Any) -> None:
    glm.emu.slow(first=0.2)
    glm.emu.fail(code=1305)
    began = time.monotonic()
    assert glm.chat("Hello").status_code == 429
    assert glm.chat("Hello").status_code == 200
    assert time.monotonic() - began > 0.4
    glm.emu.reset()
    glm.chat("Hello")
    assert glm.emu.requests[0].fault is None


def test_a_truncated_stream_ends_without_a_finish_reason_or_a_done_event(glm: Any) -> None:
    glm.emu.inject("truncated", after=2)
    frames = glm.frames("Hello")
    assert len(frames) == 2
    assert "[DONE]" not in frames
    assert not any(choice.get("finish_reason") for frame in frames for choice in frame["choices"])


@pytest.mark.parametrize(("how", "kind"), [("fin", httpx.RemoteProtocolError), ("rst", httpx.ReadError)])
def test_the_fault_cut_breaks_the_connection_during_a_stream(glm: Any, how: str, kind: type[Exception]) -> None:
    glm.emu.inject("cut", how=how)
    with pytest.raises(kind):
        glm.chat("Hello", stream=True)


def test_a_complete_stream_can_end_without_a_done_event(glm: Any) -> None:
    calm = glm.frames("Hello")
    glm.emu.inject("no-done")
    frames = glm.frames("Hello")
    assert text_of(frames) == text_of(calm)
    assert "[DONE]" not in frames


@pytest.mark.parametrize(("name", "chunks"), [("busy-event", 0), ("filtered-midway", 3)])
def test_an_error_can_be_sent_as_an_event_of_a_stream(glm: Any, name: str, chunks: int) -> None:
    glm.emu.inject(name)
    answer = glm.chat("Hello", stream=True)
    assert answer.status_code == 200
    events = [json.loads(event[6:]) for event in answer.text.split("\n\n") if event]
    assert ["choices" in event for event in events] == [True] * chunks + [False]
    assert events[-1]["error"]["code"] == {"busy-event": "1302", "filtered-midway": "1301"}[name]


@pytest.mark.parametrize(("name", "reason"), [("withdrawn", "sensitive"), ("network-error", "network_error")])
def test_a_stream_can_end_with_a_finish_reason_that_reports_a_failure(glm: Any, name: str, reason: str) -> None:
    glm.emu.inject(name, after=2)
    *_, last, done = glm.frames("Hello")
    assert (last["choices"][0]["finish_reason"], done) == (reason, "[DONE]")


def test_a_stream_can_contain_invalid_utf_8(glm: Any) -> None:
    glm.emu.inject("invalid-utf8")
    with pytest.raises(UnicodeDecodeError):
        glm.chat("Hello", stream=True).content.decode()


def test_an_event_of_a_stream_can_contain_invalid_json(glm: Any) -> None:
    glm.emu.inject("invalid-json", after=1)
    events = glm.chat("Hello", stream=True).text.split("\n\n")
    with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
        json.loads(events[1].removeprefix("data: "))
    assert json.loads(events[2].removeprefix("data: "))["choices"]


def test_a_stream_can_contain_two_done_events_with_a_chunk_between_them(glm: Any) -> None:
    glm.emu.inject("double-done")
    frames = glm.frames("Hello")
    assert frames[-1] == frames[-3] == "[DONE]"
    assert isinstance(frames[-2], dict)


def test_a_connection_can_stay_open_after_the_done_event(glm: Any) -> None:
    glm.emu.inject("open-after-done")
    got: list[bytes] = []
    with pytest.raises(httpx.ReadTimeout), glm.streaming(timeout=httpx.Timeout(10, read=1)) as answer:
        got.extend(answer.iter_raw())
    assert b"".join(got).endswith(b"data: [DONE]\n\n")


def test_unusual_framing_of_events_does_not_change_the_text_of_a_stream(glm: Any) -> None:
    calm = text_of(glm.frames("Hello"))
    glm.emu.inject("odd-framing")
    body = glm.chat("Hello", stream=True).content
    assert body.startswith(b"\xef\xbb\xbf")
    blocks = re.split("\n\n", body.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n"))
    datas = ["".join(line[5:] for line in block.split("\n") if line.startswith("data:")) for block in blocks]
    assert text_of([json.loads(data) for data in datas if data and data != "[DONE]"]) == calm
    assert "\u2028" in body.decode()


def test_the_fault_gzip_bomb_sends_a_small_body_that_is_large_when_unpacked(glm: Any) -> None:
    glm.emu.inject("gzip-bomb", megabytes=8)
    answer = glm.chat("Hello")
    assert len(answer.content) > 8 * 1024 * 1024
    assert answer.num_bytes_downloaded < 20_000
    assert json.loads(answer.content)["choices"]


@pytest.mark.parametrize(("name", "stream"), [("huge-body", False), ("endless-line", True)])
def test_the_faults_huge_body_and_endless_line_send_the_requested_size(glm: Any, name: str, stream: bool) -> None:
    glm.emu.inject(name, megabytes=3)
    assert len(glm.chat("Hello", stream=stream).content) > 3 * 1024 * 1024


def test_a_server_that_is_down_refuses_connections_until_the_reset(glm: Any) -> None:
    glm.chat("Hello")
    glm.emu.refuse()
    with pytest.raises((httpx.ConnectError, httpx.RemoteProtocolError)):
        glm.chat("Hello")
    with pytest.raises(httpx.ConnectError):
        glm.chat("Hello")
    glm.emu.reset()
    assert glm.chat("Hello").status_code == 200


def test_the_address_of_the_trap_blackhole_accepts_no_connection(glm: Any) -> None:
    with pytest.raises(httpx.ConnectTimeout):
        glm.http.post(glm.emu.trap("blackhole"), timeout=0.3)


def test_a_tls_handshake_can_fail_with_a_reset_or_an_untrusted_certificate(glm: Any) -> None:
    with pytest.raises(httpx.ConnectError):
        glm.http.post(glm.emu.trap("tls-reset"))
    with pytest.raises(httpx.ConnectError, match="self-signed certificate"):
        glm.http.post(glm.emu.trap("tls-self-signed"))


def test_a_request_can_ask_for_a_fault_by_a_header(glm: Any) -> None:
    def send_with(fault: str, **more: Any) -> httpx.Response:
        return glm.post(glm.hello(**more), headers={"x-glmv-fault": fault})

    assert send_with("busy; retry_after=7").headers["retry-after"] == "7"
    assert len(send_with("truncated; after=1", stream=True).text.split("\n\n")) == 2
    assert glm.chat("Hello").status_code == 200


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("bussy", "there is no fault 'bussy'"),
        ("busy; after=3", "'busy' has no option after; its options are retry_after"),
        ("truncated", "truncated is for requests that are streamed"),
        ("cut; after=x", "after of 'cut' must be a value like 3; got 'x'"),
        ("cut; after", "'after' is not written as option=value"),
        ("dns-failure", "no response can cause"),
    ],
)
def test_the_error_for_an_impossible_fault_says_why_it_is_impossible(glm: Any, fault: str, says: str) -> None:
    answer = glm.post(glm.hello(), headers={"x-glmv-fault": fault, "accept-language": "en"})
    assert answer.status_code == 400
    assert says in answer.json()["error"]["message"]
    if fault != "truncated":
        with pytest.raises(ValueError, match=re.escape(says)):
            Emulator(faults=[fault])


def test_faults_given_to_the_constructor_occur_in_order_and_again_after_a_reset(emulate: Any) -> None:
    glm = emulate(faults=["busy", "code-1234"])
    assert [glm.chat("Hello").status_code for _ in range(3)] == [429, 500, 200]
    glm.emu.reset()
    assert [glm.chat("Hello").status_code for _ in range(3)] == [429, 500, 200]


def test_random_faults_are_the_same_for_the_same_seed(emulate: Any) -> None:
    def weather(seed: int) -> list[int]:
        glm = emulate(faults=["busy", "code-1234"], chance=0.5, seed=seed)
        return [glm.chat("Hello").status_code for _ in range(40)]

    first = weather(7)
    assert first == weather(7)
    assert first != weather(8)
    assert set(first) == {200, 429, 500}


@pytest.mark.parametrize("profile", Emulator.PROFILES)
def test_a_profile_causes_faults_for_some_requests_and_answers_the_others(emulate: Any, profile: str) -> None:
    glm = emulate(profile=profile, seed=1)

    def outcome(stream: bool) -> str:
        try:
            answer = glm.post(glm.hello(stream=stream), timeout=5)
        except httpx.TransportError:
            return "broken"
        return "good" if answer.status_code == 200 and b"choices" in answer.content else "bad"

    got = {outcome(stream=bool(number % 2)) for number in range(20)}
    assert "good" in got
    assert any(one.fault not in (None, "slow") for one in glm.emu.requests)


def test_the_profile_busy_evening_allows_two_concurrent_calls_of_a_model(emulate: Any) -> None:
    glm = emulate(profile="busy evening", chance=0.0)
    body = {"model": "glm-4v-flash", "messages": glm.hello()["messages"]}

    async def at_once() -> list[int]:
        async with httpx.AsyncClient(headers={"authorization": glm.emu.api_key}, trust_env=False) as http:
            url = f"{glm.emu.base_url}/chat/completions"
            return [got.status_code for got in await asyncio.gather(*[http.post(url, json=body) for _ in range(6)])]

    assert sorted(asyncio.run(at_once())) == [200, 200, 429, 429, 429, 429]


@pytest.mark.parametrize("settings", [{"profile": "sunny"}, {"chance": 2.0}])
def test_an_unknown_profile_or_an_invalid_chance_is_refused(settings: Any) -> None:
    with pytest.raises(ValueError, match=r"the profiles are busy evening|from 0 to 1"):
        Emulator(**settings)


def test_an_invalid_request_is_refused_and_leaves_the_fault_to_the_next_request(glm: Any) -> None:
    glm.emu.fail(code=1302)
    assert glm.code("Hello", temperature=7) == "1214"
    assert glm.code("Hello") == "1302"


def test_a_fault_applies_to_chat_requests_or_to_the_path_that_the_fault_names(glm: Any) -> None:
    glm.emu.fail(code=1302)
    glm.emu.inject("code-1234", path="/models")
    assert glm.get("/models").status_code == 500
    assert glm.get("/models").status_code == 200
    assert glm.chat("Hello").status_code == 429


def test_a_reset_clears_all_faults(glm: Any) -> None:
    glm.emu.fail(times=None, code=1302)
    glm.emu.slow(between=5)
    glm.chat("Hello")
    glm.emu.reset()
    assert glm.chat("Hello").status_code == 200
    assert len(glm.emu.requests) == 1


def test_the_manual_names_each_of_the_44_faults_of_the_emulator() -> None:
    rows = Emulator.FAULTS
    assert {row.number for row in rows.values()} - {0} == set(range(1, 45))
    manual = (DOCUMENTS / "testing.md").read_text("utf-8")
    assert [name for name in rows if f"`{name}`" not in manual] == []


def test_the_tables_of_the_manual_are_up_to_date_with_the_emulator() -> None:
    manual = (DOCUMENTS / "testing.md").read_text("utf-8")
    assert runpy.run_path(str(DOCUMENTS / "testing.py"))["rendered"](manual) == manual


def _of(names: Callable[[Any], bool]) -> list[str]:
    return [name for name, row in Emulator.FAULTS.items() if names(row)]


@pytest.mark.parametrize("name", _of(lambda row: row.apply is None))
def test_the_error_for_a_fault_that_inject_cannot_cause_says_what_to_do_instead(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(Emulator.FAULTS[name].instead[:30])):
        Emulator().inject(name)
