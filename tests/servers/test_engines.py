"""Servers for the open weights: transformers serve, and the classes of vLLM's and SGLang's servers."""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image as Pillow

from tests.servers import software
from tests.servers.software import ENGINES, Software
from tests.servers.ways import WAYS, Answer, Way
from tests.support.fake_server import DONE, WHOLE, Peer, Server, chunk

pytestmark = [pytest.mark.engines, pytest.mark.parametrize("way", WAYS)]

MODEL = "zai-org/GLM-4.6V"
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SCHEMA = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}


def png(size: tuple[int, int] = (64, 48), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Pillow.new("RGB", size, "red").save(out, kind)
    return out.getvalue()


HELLO: Any = [("user", ["Good morning"])]
SEEN: Any = [("user", [png(), "Which colour has it?"])]
TURNS: Any = [*SEEN, ("assistant", ["It is red."]), ("user", [png((30, 20)), "And this one?"])]

# Case -> conversation, options, whether it is streamed.
CASES: dict[str, tuple[Any, dict[str, Any], bool]] = {
    "words": (HELLO, {}, False),
    "words streamed": (HELLO, {}, True),
    "a picture": (SEEN, {}, False),
    "several turns": (TURNS, {}, False),
    "several turns streamed": (TURNS, {}, True),
    "tools": (HELLO, {"tools": [WEATHER]}, False),
    "tools streamed": (HELLO, {"tools": [WEATHER]}, True),
    "a tool that must be called": (HELLO, {"tools": [WEATHER], "tool_choice": "required"}, False),
    "thinking": (HELLO, {"thinking": True}, False),
    "no thinking": (HELLO, {"thinking": False}, False),
    "JSON": (HELLO, {"response_format": {"type": "json_object"}}, False),
    "a JSON Schema": (
        HELLO,
        {"response_format": {"type": "json_schema", "json_schema": {"name": "seen", "schema": SCHEMA}}},
        False,
    ),
    "a temperature of zero": (HELLO, {"temperature": 0}, False),
    "sampling": (HELLO, {"temperature": 0.7, "top_p": 0.9, "max_tokens": 20, "stop": ["END"]}, False),
    "a user": (HELLO, {"user_id": "user-123456"}, False),
}


def send_answer(peer: Peer) -> None:
    """Send an answer, whole or streamed as requested."""
    if peer.streaming:
        peer.stream(chunk('{"colour": "red"}'), chunk("", "stop", usage=WHOLE["usage"]), DONE)
    else:
        message = {"role": "assistant", "content": '{"colour": "red"}'}
        peer.say(WHOLE | {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]})


@pytest.fixture(scope="module")
def bodies() -> dict[str, dict[str, Any]]:
    """Name of the client and the case -> the request body that the client sends."""
    server = Server().plays(send_answer)
    values = {}
    try:
        for name, kind in WAYS.items():
            client = kind(client_settings(f"http://127.0.0.1:{server.port}/v1"))
            for case, (turns, options, streamed) in CASES.items():
                (client.stream if streamed else client.ask)(turns, **options)
                values[f"{name}: {case}"] = json.loads(server.requests[-1][1])
    finally:
        server.stop()
    return values


def client_settings(base_url: str) -> dict[str, Any]:
    return {"base_url": base_url, "api_key": "none", "model": MODEL, "dialect": "vllm", "max_retries": 0}


@pytest.fixture(scope="module")
def judge(bodies: dict[str, dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    """judge("vLLM") -> what the engine's classes say about all bodies; they run once per engine."""
    return functools.cache(lambda engine: software.judged(engine.lower(), bodies))


@pytest.fixture
def engine_results(
    request: pytest.FixtureRequest, judge: Callable[[str], dict[str, Any]], route: str
) -> dict[str, Any]:
    result = judge(route)
    request.node.user_properties.append(("version", (route, result["version"])))
    return result


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("route", ["vLLM", "SGLang"])
def test_the_engine_accepts_a_recorded_request(way: str, engine_results: dict[str, Any], case: str) -> None:
    assert engine_results["verdicts"][f"{way}: {case}"] == ""


@pytest.mark.parametrize("case", ["whole", "words", "call"])
@pytest.mark.parametrize("route", ["vLLM", "SGLang"])
def test_a_recorded_answer_of_the_engine_is_read(way: str, engine_results: dict[str, Any], case: str) -> None:
    result = engine_results["answers"][case]
    with_answer = Server().plays(
        lambda peer: (
            peer.say(result)
            if case == "whole"
            else peer.stream(*(b"data: " + event.encode() + b"\n\n" for event in result), DONE)
        )
    )
    try:
        client = WAYS[way](client_settings(f"http://127.0.0.1:{with_answer.port}/v1"))
        answer: Answer = client.ask(HELLO) if case == "whole" else client.stream(HELLO)
    finally:
        with_answer.stop()
    assert answer.tokens == (11, 7)
    if case == "call":
        assert answer.calls == [("get_weather", {"city": "Paris"})]
        assert answer.finish_reason == "tool_calls"
    else:
        assert (answer.text, answer.reasoning, answer.finish_reason) == ("A red cat.", "I look.", "stop")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Software]:
    """transformers serve."""
    assert ENGINES.exists(), "make test-engines runs the tests with engines"
    with software.transformers(tmp_path_factory.mktemp("transformers")) as running:
        yield running


@pytest.fixture
def client(request: pytest.FixtureRequest, serving: Software, way: str, route: str) -> Way:
    request.node.user_properties.append(("version", (route, serving.version)))
    return WAYS[way](
        client_settings(serving.bases[route]) | {"model": serving.model, "dialect": "transformers", "max_tokens": 8}
    )


TRANSFORMERS = pytest.mark.parametrize("route", ["transformers"])


@TRANSFORMERS
def test_a_text_question_is_answered(client: Way) -> None:
    answer = client.ask(HELLO)
    assert answer.text
    assert answer.tokens is not None
    assert answer.tokens[1] == 8
    assert answer.finish_reason == "length"


@TRANSFORMERS
@pytest.mark.parametrize("case", ["PNG", "WEBP", "BMP"])
def test_a_picture_adds_at_least_100_tokens_to_the_prompt(client: Way, case: str) -> None:
    requests = [("user", [png((280, 280), case), "Good morning"])]
    words, seen = client.ask(HELLO).tokens, client.ask(requests).tokens  # type: ignore[arg-type]
    assert words is not None
    assert seen is not None
    assert seen[0] >= words[0] + 100  # 28 x 28 pixels a token


@TRANSFORMERS
def test_several_turns_with_pictures_have_more_prompt_tokens_than_one_turn(client: Way) -> None:
    one, all_of_them = client.ask(SEEN).tokens, client.ask(TURNS).tokens
    assert one is not None
    assert all_of_them is not None
    assert all_of_them[0] > one[0]


@TRANSFORMERS
def test_a_stream_has_the_text_and_usage_of_the_whole_answer(client: Way) -> None:
    streamed, whole = client.stream(SEEN, temperature=0), client.ask(SEEN, temperature=0)
    assert streamed.text == whole.text
    assert streamed.tokens == whole.tokens is not None


@TRANSFORMERS
def test_thinking_false_adds_an_empty_thought_to_the_prompt(client: Way) -> None:
    # The template then writes an empty thought, of a byte a token.
    with_it, without = client.ask(HELLO, thinking=True).tokens, client.ask(HELLO, thinking=False).tokens
    assert with_it is not None
    assert without is not None
    assert without[0] - with_it[0] == len("<think></think>")


@TRANSFORMERS
def test_a_request_with_tools_is_answered(client: Way) -> None:
    assert client.ask(HELLO, tools=[WEATHER]).finish_reason == "length"


@TRANSFORMERS
def test_a_request_with_user_id_and_top_p_is_answered(client: Way) -> None:
    assert client.ask(HELLO, user_id="user-123456", top_p=0.9).text
