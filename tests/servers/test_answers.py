"""Answers and errors through LiteLLM's proxy and nginx, in each client of glmv."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

import glmv
from glmv_emulator import Emulator
from tests.servers.ways import WAYS, Way

LITELLM = ["LiteLLM zai", "LiteLLM openai"]
NGINX = ["nginx buffered", "nginx unbuffered", "nginx gzip"]
ROUTES = [*LITELLM, *NGINX]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CALL = [("user", ["Call get_weather with city=Paris."])]

pytestmark = [pytest.mark.servers, pytest.mark.parametrize("way", WAYS)]


def through(*routes: str, **faults: str) -> pytest.MarkDecorator:
    """Run a test through these routes; `faults` lists known failures: LiteLLM="why", nginx="why"."""
    return pytest.mark.parametrize(
        "route",
        [
            pytest.param(route, marks=pytest.mark.xfail(strict=True, reason=why))
            if (why := faults.get(route.partition(" ")[0]))
            else route
            for route in routes
        ],
    )


EVERY_ROUTE = through(*ROUTES)
Draw = Callable[..., bytes]


class Seen(BaseModel):
    """Content of a picture."""

    colour: str
    width: int


def question(*parts: str | bytes) -> Any:
    return [("user", list(parts))]


@EVERY_ROUTE
def test_the_answer_names_the_colour_and_width_of_a_picture(client: Way, picture: Draw) -> None:
    text = client.ask(question(picture("red", (64, 48)), "Which colour has it, and what size?")).text
    assert "red" in text
    assert "64" in text


@EVERY_ROUTE
def test_a_large_picture_arrives_whole(client: Way, large: bytes) -> None:
    assert "1600" in client.ask(question(large, "Which size has it?")).text
    assert len(large) > 3_000_000


@EVERY_ROUTE
def test_all_turns_and_pictures_of_a_conversation_reach_the_model(client: Way, emu: Emulator, picture: Draw) -> None:
    turns: Any = [
        ("user", [picture("blue", (30, 20)), "Which colour has this one?"]),
        ("assistant", ["It is blue."]),
        ("user", [picture("red", (50, 40)), "And this one?"]),
    ]
    assert "red" in client.ask(turns).text
    assert len(emu.requests[-1].media) == 2
    assert [message["role"] for message in emu.requests[-1].body["messages"]] == ["user", "assistant", "user"]


@EVERY_ROUTE
def test_a_stream_has_several_deltas_and_the_text_of_the_whole_answer(client: Way, picture: Draw) -> None:
    first_question = question(picture(), "Which colour has it, and what size?")
    streamed = client.stream(first_question)
    assert streamed.pieces > 1
    assert streamed.text == client.ask(first_question).text
    assert streamed.finish_reason == "stop"


@EVERY_ROUTE
def test_a_tool_call_of_a_whole_answer_is_read(client: Way) -> None:
    answer = client.ask(CALL, tools=[WEATHER])
    assert answer.calls == [("get_weather", {"city": "Paris"})]
    assert answer.finish_reason == "tool_calls"


@EVERY_ROUTE
def test_a_tool_call_of_a_stream_is_read(client: Way) -> None:
    answer = client.stream(CALL, tools=[WEATHER])
    assert answer.calls == [("get_weather", {"city": "Paris"})]
    assert answer.finish_reason == "tool_calls"


@EVERY_ROUTE
def test_thinking_is_switched_on_and_off(client: Way) -> None:
    result = question("Good morning")
    assert client.ask(result, thinking=True).reasoning
    assert client.stream(result, thinking=True).reasoning
    assert not client.ask(result, thinking=False).reasoning


@through(*LITELLM)
def test_thinking_is_switched_on_and_off_for_a_model_without_allowed_openai_params(
    connect: Callable[..., Way], route: str
) -> None:
    client = connect(model=f"{route.partition(' ')[2]}/as-it-is", dialect="litellm", base_model="glm-4.6v")
    result = question("Good morning")
    assert client.ask(result, thinking=True).reasoning
    assert not client.ask(result, thinking=False).reasoning


@EVERY_ROUTE
def test_an_answer_is_read_as_an_object_of_the_requested_class(client: Way, picture: Draw) -> None:
    assert client.object(question(picture("red", (64, 48)), "Describe the picture."), Seen) == Seen(
        colour="red", width=64
    )


@EVERY_ROUTE
def test_a_whole_answer_has_token_counts(client: Way) -> None:
    tokens = client.ask(question("Good morning")).tokens
    assert tokens is not None
    assert min(tokens) > 0


@EVERY_ROUTE
def test_a_stream_has_token_counts(client: Way) -> None:
    result = question("Good morning")
    assert client.stream(result).tokens == client.ask(result).tokens is not None


@EVERY_ROUTE
def test_a_temperature_of_zero_is_accepted(client: Way) -> None:
    assert client.ask(question("Good morning"), temperature=0).text


@EVERY_ROUTE
def test_the_answer_names_the_colour_of_a_webp_picture(client: Way, picture: Draw) -> None:
    assert "red" in client.ask(question(picture("red", (64, 48), "WEBP"), "Which colour has it?")).text


@EVERY_ROUTE
def test_a_wrong_key_is_an_authentication_error(connect: Callable[..., Way], route: str) -> None:
    kind = route.partition(" ")[2]
    wrong = {"model": f"{kind}/wrong-key"} if route in LITELLM else {"api_key": f"{'0' * 32}.{'x' * 16}"}
    with pytest.raises(glmv.AuthenticationError):
        connect(**wrong).ask(question("Good morning"))


@EVERY_ROUTE
def test_an_unknown_model_is_an_invalid_request(connect: Callable[..., Way], emu: Emulator, route: str) -> None:
    kind = route.partition(" ")[2]
    unknown = f"{kind}/unknown-model" if route in LITELLM else "glm-99v"
    with pytest.raises(glmv.InvalidRequestError) as caught:
        connect(model=unknown).ask(question("Good morning"))
    assert not caught.value.retryable


@through(*LITELLM)
def test_a_model_that_the_proxy_does_not_have_is_an_invalid_request(connect: Callable[..., Way]) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="no-such-model"):
        connect(model="no-such-model").ask(question("Good morning"))


@EVERY_ROUTE
def test_an_account_in_arrears_is_a_quota_error(client: Way, emu: Emulator) -> None:
    emu.fail(times=None, code=1113)
    with pytest.raises(glmv.QuotaError) as caught:
        client.ask(question("Good morning"))
    assert not caught.value.retryable


@through(*ROUTES)
def test_refused_content_is_a_content_filter_error(client: Way, emu: Emulator) -> None:
    emu.fail(times=None, code=1301)
    with pytest.raises(glmv.ContentFilterError):
        client.ask(question("Good morning"))


@through(*ROUTES)
def test_a_prompt_that_is_too_long_is_a_context_length_error(client: Way, emu: Emulator) -> None:
    emu.fail(times=None, code=1261)
    with pytest.raises(glmv.ContextLengthError):
        client.ask(question("Good morning"))


@EVERY_ROUTE
def test_a_busy_platform_is_a_rate_limit_error(client: Way, emu: Emulator) -> None:
    emu.fail(times=None, code=1302)
    with pytest.raises(glmv.RateLimitError) as caught:
        client.ask(question("Good morning"))
    assert caught.value.retryable


@EVERY_ROUTE
def test_an_answer_that_is_withdrawn_is_a_content_filter_error(client: Way, emu: Emulator) -> None:
    emu.inject("withdrawn", times=None)
    with pytest.raises(glmv.ContentFilterError):
        client.stream(question("Good morning"))


@EVERY_ROUTE
@pytest.mark.parametrize("call", ["ask", "stream"])
def test_a_call_without_an_answer_ends_at_its_deadline(connect: Callable[..., Way], emu: Emulator, call: str) -> None:
    emu.stall(times=None)
    with pytest.raises(glmv.DeadlineExceeded):
        getattr(connect(deadline=0.4), call)(question("Good morning"))
