"""Answers of an upstream model are forwarded in the platform's shapes as they arrive."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import glmv
from tests.emulator.upstream.conftest import delta, request_body, says, streams, whole
from tests.support.fake_server import Peer, Server

USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}
WITHIN = 10.0  # seconds, until something is taken to never come


def tool_call(name: str, arguments: str, index: int | None = 0, identity: str = "call_x") -> dict[str, Any]:
    call = {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
    return call if index is None else {"index": index} | call


def test_an_answer_of_an_upstream_server_is_sent_in_the_format_of_the_platform(before: Any) -> None:
    result = USAGE | {"prompt_tokens_details": {"cached_tokens": 4}}
    glm = before(says(whole("A red cat.", usage=result)))
    body = glm.chat("What?", (glm.base64(glm.drawn()),), model="glm-4.6v", request_id="request-1").json()
    assert body["id"].startswith("emu-")
    assert (body["request_id"], body["model"], body["object"]) == ("request-1", "glm-4.6v", "chat.completion")
    message = {"role": "assistant", "content": "A red cat."}
    assert body["choices"] == [{"index": 0, "finish_reason": "stop", "message": message}]
    assert (body["usage"]["prompt_tokens"], body["usage"]["total_tokens"]) == (100, 120)
    assert body["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}


@pytest.mark.parametrize("era", ["2024", "2025", "2026"])
def test_the_option_era_sets_the_format_of_a_stream_from_an_upstream_server(
    before: Any, emulate: Any, era: str
) -> None:
    streamed = streams(delta(role="assistant", content=""), delta(content="A "), delta(content="cat."), delta("stop"))
    glm, own = before(streamed, era=era), emulate(era=era)
    got, usual = glm.frames("Hello"), own.frames("Hello")
    assert got[-1] == "[DONE]"
    assert [frame.keys() for frame in got[:1] + got[-2:-1]] == [frame.keys() for frame in usual[:1] + usual[-2:-1]]
    assert got[0]["choices"][0]["delta"] == {"role": "assistant", "content": "A "}
    assert ("role" in got[1]["choices"][0]["delta"]) == ("role" in usual[1]["choices"][0]["delta"])
    assert got[-2]["choices"] == usual[-2]["choices"]
    assert got[-2]["usage"].keys() == usual[-2]["usage"].keys()


def test_the_emulator_counts_tokens_if_the_upstream_server_does_not_count_them(before: Any, emulate: Any) -> None:
    usage = before().chat("Hello").json()["usage"]
    assert usage["prompt_tokens"] == emulate().chat("Hello").json()["usage"]["prompt_tokens"]
    assert usage["completion_tokens"] == 3


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("content_filter", "sensitive"),
        ("function_call", "tool_calls"),
        ("abort", "stop"),
        (None, "stop"),
    ],
)
def test_finish_reasons_of_an_upstream_server_become_those_of_the_platform(
    before: Any, reason: str, expected: str
) -> None:
    glm = before(says(whole("A", reason)), streams(delta(content="A"), delta(reason), b"data: [DONE]\n\n"))
    body = glm.chat("Hello").json()
    assert body["choices"][0]["finish_reason"] == expected
    assert ("content_filter" in body) == (expected == "sensitive")
    assert glm.frames("Hello")[-2]["choices"][0]["finish_reason"] == expected


@pytest.mark.parametrize(
    "message",
    [
        {"reasoning_content": "I look."},
        {"reasoning": "I look."},
        {"text": "\n<think>\nI look.</think>\n\nA cat."},
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_is_recognized_in_two_fields_and_between_think_tags(before: Any, message: Any, stream: bool) -> None:
    text = message.get("text", "A cat.")
    message = {name: value for name, value in message.items() if name != "text"}
    frames = [delta(**message)] if message else []
    frames += [delta(content=letter) for letter in text]
    glm = before(streams(*frames, delta("stop")) if stream else says(whole(text, **message)))
    assert text_and_reasoning(glm, model="glm-4.6v", stream=stream) == ("A cat.", "I look.")


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_of_an_upstream_server_is_left_out_if_thinking_is_off(before: Any, stream: bool) -> None:
    glm = before(
        streams(delta(reasoning="I look."), delta(content="A cat."), delta("stop"))
        if stream
        else says(whole(reasoning="I look."))
    )
    assert text_and_reasoning(glm, model="glm-4.6v", stream=stream, thinking={"type": "disabled"}) == ("A cat.", "")


def text_and_reasoning(glm: Any, **options: Any) -> tuple[str, str]:
    """Text and reasoning of an answer."""
    if options.pop("stream"):
        deltas = [frame["choices"][0]["delta"] for frame in glm.frames("Hello", **options)[:-1]]
    else:
        deltas = [glm.chat("Hello", **options).json()["choices"][0]["message"]]
    return tuple("".join(one.get(name) or "" for one in deltas) for name in ("content", "reasoning_content"))  # type: ignore[return-value]


def test_the_first_chunk_arrives_before_the_upstream_server_has_finished(before: Any) -> None:
    result = threading.Event()

    def script(peer: Peer) -> None:
        peer.stream(delta(role="assistant"), delta(content="A "), end=False)
        assert result.wait(WITHIN)
        peer.stream(delta(content="cat."), delta("stop"), b"data: [DONE]\n\n", head=False)

    glm = before(script)
    with glm.streaming() as answer:
        lines = (line for line in answer.iter_lines() if line)
        first = json.loads(next(lines).removeprefix("data: "))
        assert first["choices"][0]["delta"]["content"] == "A "
        result.set()
        assert [json.loads(line[6:])["choices"][0]["delta"].get("content") for line in list(lines)[:-1]] == ["cat.", ""]


def test_a_stream_ends_with_the_usage_that_the_upstream_server_counted(before: Any, server: Server) -> None:
    values = {"choices": [], "usage": USAGE}
    glm = before(streams(delta(content="A"), delta("stop"), values, b"data: [DONE]\n\n"))
    assert glm.frames("Hello")[-2]["usage"]["total_tokens"] == 120
    assert request_body(server)["stream_options"] == {"include_usage": True}
    body = {"model": "glm-4.6v", "messages": [glm.user("Hello")], "stream": True}
    plain = glm.http.post(f"{glm.emu.proxy_url}/chat/completions", json=body).text
    assert "usage" not in plain
    answer = glm.http.post(
        f"{glm.emu.proxy_url}/chat/completions", json=body | {"stream_options": {"include_usage": True}}
    ).text
    last = json.loads(answer.split("\n\n")[-3].removeprefix("data: "))
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 120)


def test_a_tool_call_of_an_upstream_server_is_sent_in_the_format_of_the_platform(before: Any) -> None:
    glm = before(says(whole(None, "tool_calls", tool_calls=[tool_call("get_weather", '{"city":"Berlin"}')])))
    choice = glm.chat("Weather?", model="glm-4.6v", tools=[WEATHER]).json()["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert choice["finish_reason"] == "tool_calls"
    assert call["id"].startswith("call_emu-")
    assert json.loads(call["function"]["arguments"]) == {"city": "Berlin"}


def test_a_tool_call_has_finish_reason_tool_calls_although_the_server_says_stop(before: Any) -> None:
    glm = before(says(whole("", "stop", tool_calls=[tool_call("get_weather", "{}")])))
    body = glm.chat("Weather?", model="glm-4.6v", tools=[WEATHER]).json()
    assert body["choices"][0]["finish_reason"] == "tool_calls"


def test_tool_call_arguments_that_are_not_json_are_passed_on_unchanged(before: Any) -> None:
    glm = before(says(whole(None, "tool_calls", tool_calls=[tool_call("get_weather", '{"city": "Ber')])))
    message = glm.chat("Weather?", model="glm-4.6v", tools=[WEATHER]).json()["choices"][0]["message"]
    assert message["tool_calls"][0]["function"]["arguments"] == '{"city": "Ber'


FRAGMENTS = [
    delta(tool_calls=[tool_call("get_weather", "", 0, "a")]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '{"city": '}}]),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '"Berlin"}'}}]),
    delta(tool_calls=[tool_call("get_time", "{}", 1, "b")]),
    delta("tool_calls"),
]
ALL_OF_INDEX_0 = [
    delta(tool_calls=[tool_call("get_weather", '{"city": "Berlin"}', 0, "a")]),
    delta(tool_calls=[tool_call("get_time", "{}", 0, "b")]),
    delta("tool_calls"),
]
WITHOUT_INDEX = [
    delta(tool_calls=[tool_call("get_weather", '{"city": ', None, "a")]),
    delta(tool_calls=[{"function": {"arguments": '"Berlin"}'}}, tool_call("get_time", "{}", None, "b")]),
    delta("tool_calls"),
]


@pytest.mark.parametrize("frames", [FRAGMENTS, ALL_OF_INDEX_0, WITHOUT_INDEX])
@pytest.mark.parametrize("way", ["in one chunk", "in fragments", "behind v1"])
def test_fragments_of_streamed_tool_calls_are_put_together(before: Any, frames: list[Any], way: str) -> None:
    glm = before(streams(*frames))
    body = {"model": "glm-4.6", "messages": [glm.user("Weather?")], "tools": [WEATHER], "stream": True}
    base = glm.emu.proxy_url if way == "behind v1" else glm.emu.base_url
    body |= {"tool_stream": True} if way == "in fragments" else {}
    text = glm.http.post(f"{base}/chat/completions", json=body).text
    chunks = [json.loads(line[6:]) for line in text.split("\n\n")[:-2]]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"][0]["delta"].get("tool_calls")]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    calls: dict[int, list[str]] = {}
    for call in (call for one in deltas for call in one["tool_calls"]):
        result = calls.setdefault(call["index"], ["", ""])
        result[0] += call["function"].get("name", "")
        result[1] += call["function"]["arguments"]
    assert [(name, json.loads(arguments)) for name, arguments in calls.values()] == [
        ("get_weather", {"city": "Berlin"}),
        ("get_time", {}),
    ]
    assert (len(deltas) > 1) == (way != "in one chunk")


def test_a_prompt_that_triggers_the_content_filter_is_not_sent_upstream(before: Any, server: Server) -> None:
    assert before().chat("EMU-SENSITIVE-OUTPUT").json()["choices"][0]["finish_reason"] == "sensitive"
    assert server.requests == []


def test_the_answer_of_a_server_that_does_not_stream_is_sent_as_a_stream(before: Any) -> None:
    frames = before(says(whole("A cat."))).frames("Hello")
    assert [frame["choices"][0]["delta"]["content"] for frame in frames[:-1]] == ["A cat.", ""]


def test_an_asynchronous_task_is_answered_by_the_upstream_server(before: Any, server: Server) -> None:
    glm = before(async_polls=0)
    body = {"model": "glm-4.6v", "messages": [glm.user("Hello")]}
    ticket = glm.post(body, "/async/chat/completions").json()
    result = glm.get(f"/async-result/{ticket['id']}").json()
    assert (result["task_status"], result["choices"][0]["message"]["content"]) == ("SUCCESS", "A cat.")
    assert len(server.requests) == 1


def test_the_lines_of_a_batch_are_answered_by_the_upstream_server(before: Any) -> None:
    glm = before(says(whole("A cat.")), says({"error": {"message": "boom"}}, 500))
    lines = [
        {
            "custom_id": f"request-{number}",
            "method": "POST",
            "url": "/v4/chat/completions",
            "body": {"model": "glm-4v-plus", "messages": [glm.user("Hello")]},
        }
        for number in range(2)
    ]
    data = "\n".join(json.dumps(line) for line in lines).encode()
    url = f"{glm.emu.base_url}/files"
    file = glm.http.post(url, data={"purpose": "batch"}, files={"file": ("a.jsonl", data)}).json()["id"]
    body = {"input_file_id": file, "endpoint": "/v4/chat/completions"}
    identity = glm.post(body, "/batches").json()["id"]
    done = until(lambda: glm.get(f"/batches/{identity}").json(), lambda batch: batch["status"] == "completed")
    assert done["request_counts"] == {"total": 2, "completed": 1, "failed": 1}
    good = json.loads(glm.get(f"/files/{done['output_file_id']}/content").text)
    bad = json.loads(glm.get(f"/files/{done['error_file_id']}/content").text)
    assert good["response"]["body"]["choices"][0]["message"]["content"] == "A cat."
    assert "boom" in bad["response"]["body"]["error"]["message"]


def until(what: Callable[[], Any], done: Callable[[Any], bool]) -> Any:
    """Poll until the answer is as expected."""
    end = time.monotonic() + WITHIN
    while not done(got := what()):
        assert time.monotonic() < end, got
    return got


def test_the_upstream_request_ends_when_the_client_closes_the_stream(before: Any, server: Server) -> None:
    def script(peer: Peer) -> None:
        peer.stream(delta(content="A "), end=False)
        peer.stall()

    glm = before(script)
    with glm.streaming() as answer:
        next(answer.iter_lines())
    assert server.peers[0].left.wait(WITHIN)
    until(lambda: glm.emu.requests[0].ended_by, lambda ended: ended == "client")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_upstream_request_ends_when_the_client_disconnects_before_the_answer(
    before: Any, server: Server, stream: bool
) -> None:
    arrived = threading.Event()

    def script(peer: Peer) -> None:
        arrived.set()
        peer.stall()

    glm = before(script)
    url, headers = f"{glm.emu.base_url}/chat/completions", {"Authorization": f"Bearer {glm.emu.api_key}"}
    async with httpx.AsyncClient(trust_env=False) as http:
        waiting = asyncio.ensure_future(http.post(url, json=glm.hello(stream=stream), headers=headers, timeout=WITHIN))
        assert await asyncio.to_thread(arrived.wait, WITHIN)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    assert server.peers[0].left.wait(WITHIN)
    until(lambda: glm.emu.requests[0].ended_by, lambda ended: ended == "client")


def test_the_upstream_request_ends_when_the_emulator_stops(before: Any, server: Server) -> None:
    def script(peer: Peer) -> None:
        peer.stream(delta(content="A "), end=False)
        peer.stall()

    glm = before(script)
    with glm.streaming() as answer:
        next(answer.iter_lines())
        glm.emu.stop()
    assert server.peers[0].left.wait(WITHIN)


def test_injected_faults_apply_to_answers_of_an_upstream_server(before: Any, server: Server) -> None:
    frames = [delta(content=f"{number} ") for number in range(6)]
    glm = before(streams(*frames, delta("stop")), says(whole("0 1 2 3 4 5")))
    glm.emu.inject("withdrawn", after=1)
    glm.emu.fail(code=1302)
    assert glm.frames("Hello")[-2]["choices"][0]["finish_reason"] == "sensitive"
    assert glm.code("Hello") == "1302"
    assert glm.chat("Hello").json()["choices"][0]["message"]["content"] == "0 1 2 3 4 5"


def test_an_emulator_sends_a_picture_unchanged_to_an_emulator_that_is_its_upstream(emulate: Any) -> None:
    behind = emulate()
    front = emulate(upstream=behind.emu.proxy_url, upstream_model="glm-4.6v", upstream_key="sk-any")
    picture = glmv.Image.from_bytes(front.drawn(size=(61, 43)))
    with glmv.Client(front.emu.api_key, base_url=front.emu.base_url, model="glm-4.6v") as client:
        messages = [glmv.Message("user", ["What size is the picture?", picture])]
        answer = client.chat(messages)
        streamed = list(client.stream(messages))
    assert "61 x 43" in answer.text
    assert "".join(one.text or "" for one in streamed) == answer.text
    assert behind.emu.requests[0].media[0].width == 61
