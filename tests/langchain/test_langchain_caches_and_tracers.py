"""ChatGLMV with LangChain's caches, rate limiters, batches, configuration and tracers, over the emulator."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from glmv_emulator import Emulator
from langchain_glmv import ChatGLMV, redact


def question(picture: str) -> list[HumanMessage]:
    return [HumanMessage(["What is the main colour?", {"type": "image", "base64": picture, "mime_type": "image/png"}])]


def cached(model: ChatGLMV, cache: InMemoryCache, **changes: Any) -> ChatGLMV:
    return model.model_copy(update={"cache": cache, **changes})


def test_the_cache_key_depends_on_pictures_and_settings_but_not_the_api_key(
    model: ChatGLMV, emulator: Emulator, red: str, blue: str
) -> None:
    cache = InMemoryCache()
    first = cached(model, cache).invoke(question(red))
    assert cached(model, cache).invoke(question(red)).text == first.text
    assert len(emulator.requests) == 1
    assert "blue" in cached(model, cache).invoke(question(blue)).text
    cached(model, cache, temperature=0.3).invoke(question(red))
    cached(model, cache).invoke(question(red), model="glm-4.5v")
    assert len(emulator.requests) == 4
    assert emulator.api_key not in repr(cache._cache)


def test_a_repeated_structured_call_is_answered_from_the_cache(model: ChatGLMV, emulator: Emulator, red: str) -> None:
    schema = {"title": "Seen", "type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
    cache = InMemoryCache()
    answers = [cached(model, cache).with_structured_output(schema).invoke(question(red)) for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(emulator.requests) == 1


class CountingLimiter(BaseRateLimiter):
    """A rate limiter that counts calls."""

    def __init__(self) -> None:
        self.passed = 0

    def acquire(self, *, blocking: bool = True) -> bool:
        self.passed += 1
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        return self.acquire()


async def test_every_call_of_invoke_and_stream_and_ainvoke_passes_the_rate_limiter(model: ChatGLMV) -> None:
    limiter = CountingLimiter()
    limited = model.model_copy(update={"rate_limiter": limiter})
    limited.invoke("Hi")
    list(limited.stream("Hi"))
    await limited.ainvoke("Hi")
    assert limiter.passed == 3


@pytest.mark.parametrize("workers", [None, 2, 16])
async def test_batches_stay_within_the_platforms_concurrency_limit(workers: int | None) -> None:
    with Emulator(concurrency={"glm-4.6v": 3}, pace=0.005) as emulator:
        model = ChatGLMV(
            model="glm-4.6v", base_url=emulator.base_url, api_key=emulator.api_key, max_concurrency=3, max_retries=0
        )
        config: Any = {"max_concurrency": workers}
        questions: list[Any] = [f"What is {number} plus 2?" for number in range(7)]
        whole = model.batch(questions, config)
        assert [message.text for message in await model.abatch(questions, config)] == [m.text for m in whole]
        assert {request.code for request in emulator.requests} == {None}


def test_one_invalid_item_of_a_batch_does_not_affect_the_others(model: ChatGLMV) -> None:
    good, bad = model.batch(["Hi", ""], return_exceptions=True)
    assert isinstance(good, AIMessage)
    assert isinstance(bad, ValueError)


def test_configurable_fields_set_the_model_and_max_tokens_of_one_call(model: ChatGLMV, emulator: Emulator) -> None:
    configurable = model.configurable_fields(
        model=ConfigurableField(id="model"), max_tokens=ConfigurableField(id="most")
    )
    answer = configurable.invoke("Hi", {"configurable": {"model": "glm-4.5v", "most": 77}})
    assert answer.response_metadata["model_name"] == "glm-4.5v"
    assert emulator.requests[0].body["max_tokens"] == 77


def test_options_of_one_call_reach_the_platform_and_the_trace(model: ChatGLMV, emulator: Emulator) -> None:
    runs = RunCollectorCallbackHandler()
    model.with_config(tags=["demo"]).bind(temperature=0.25, stop=["x"]).invoke(
        "Hi", {"callbacks": [runs]}, model="glm-4.5v"
    )
    [run] = runs.traced_runs
    assert (emulator.requests[0].body["temperature"], emulator.requests[0].body["model"]) == (0.25, "glm-4.5v")
    assert run.extra["metadata"]["ls_model_name"] == "glm-4.5v"
    assert run.extra["metadata"]["ls_provider"] == "glmv"
    assert run.extra["invocation_params"]["temperature"] == 0.25
    assert emulator.api_key not in repr(run.extra) + repr(run.serialized) + repr(run.outputs)


class Starts(BaseCallbackHandler):
    def __init__(self) -> None:
        self.messages: list[Any] = []

    def on_chat_model_start(self, serialized: Any, messages: list[list[Any]], **_: Any) -> None:
        self.messages += messages[0]


def test_a_trace_contains_the_whole_picture_and_redact_removes_it(model: ChatGLMV, red: str) -> None:
    """LangChain hands messages to tracers before it calls a model, so no model can keep pictures out of them."""
    starts = Starts()
    model.invoke(question(red), {"callbacks": [starts]})
    inputs = {"messages": [[dumpd(message) for message in starts.messages]]}
    assert red in repr(inputs)
    assert red not in repr(redact(inputs))
    assert "What is the main colour?" in repr(redact(inputs))


def test_redact_as_hide_inputs_of_a_langsmith_client_removes_the_base64(red: str) -> None:
    from langsmith import Client

    client = Client(api_key="test", hide_inputs=redact, hide_outputs=redact, auto_batch_tracing=False)
    hidden = client._hide_run_inputs({"messages": [{"base64": red}]})
    assert red not in repr(hidden)
