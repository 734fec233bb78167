"""Callback and instrumentation handlers get every event once, in order, without the key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ImageBlock, TextBlock
from llama_index.core.callbacks import (
    CallbackManager,
    CBEventType,
    EventPayload,
    LlamaDebugHandler,
    TokenCountingHandler,
)
from llama_index.core.llms import ChatMessage

import glmv
from glmv_emulator import Emulator, Reply
from llama_index_glmv import GLMV, GLMVMultiModal
from tests.support.fake_server import DONE, Server, chunk

ASK = [ChatMessage(content="what colour?")]
URL = "http://127.0.0.1:9/never-fetched.png"
USAGE = {"prompt_tokens": 100, "completion_tokens": 5}
RED = Reply(chunking=["a ", "red"], usage=USAGE)

CHAT = ["LLMChatStartEvent", "LLMChatEndEvent"]
STREAMED_CHAT = ["LLMChatStartEvent", *["LLMChatInProgressEvent"] * 3, "LLMChatEndEvent"]
COMPLETION = ["LLMCompletionStartEvent", "LLMCompletionEndEvent"]
STREAMED_COMPLETION = ["LLMCompletionStartEvent", *["LLMCompletionInProgressEvent"] * 3, "LLMCompletionEndEvent"]


def drained(make: Callable[[], Any]) -> list[Any]:
    """Run an async endpoint in a new event loop; a stream is read to its end."""

    async def run() -> list[Any]:
        result = await make()
        return [item async for item in result] if hasattr(result, "__aiter__") else [result]

    return asyncio.run(run())


WAYS: list[tuple[str, Callable[[GLMV], Any], list[str]]] = [
    ("chat", lambda llm: llm.chat(ASK), CHAT),
    ("stream_chat", lambda llm: list(llm.stream_chat(ASK)), STREAMED_CHAT),
    ("achat", lambda llm: drained(lambda: llm.achat(ASK)), CHAT),
    ("astream_chat", lambda llm: drained(lambda: llm.astream_chat(ASK)), STREAMED_CHAT),
    ("complete", lambda llm: llm.complete("x"), COMPLETION),
    ("complete with a picture", lambda llm: llm.complete("x", [ImageBlock(url=URL)]), COMPLETION),
    ("stream_complete", lambda llm: list(llm.stream_complete("x")), STREAMED_COMPLETION),
    ("acomplete", lambda llm: drained(lambda: llm.acomplete("x")), COMPLETION),
    ("astream_complete", lambda llm: drained(lambda: llm.astream_complete("x")), STREAMED_COMPLETION),
]
EVERY_WAY = pytest.mark.parametrize(("ask", "expected"), [way[1:] for way in WAYS], ids=[way[0] for way in WAYS])
BOTH_FACES = pytest.mark.parametrize("kind", [GLMV, GLMVMultiModal])


@BOTH_FACES
@EVERY_WAY
def test_each_call_emits_its_events_once_and_in_order(
    kind: type[GLMV],
    ask: Callable[[GLMV], Any],
    expected: list[str],
    emu: Emulator,
    connect: Callable[..., GLMV],
    events: Any,
) -> None:
    emu.say(RED)
    ask(connect(kind))
    assert events.names == expected


@BOTH_FACES
@EVERY_WAY
def test_the_callback_manager_gets_one_event_per_call_and_counts_tokens_once(
    kind: type[GLMV],
    ask: Callable[[GLMV], Any],
    expected: list[str],
    emu: Emulator,
    connect: Callable[..., GLMV],
) -> None:
    counter = TokenCountingHandler(tokenizer=lambda text: pytest.fail("it estimates instead of counting"))
    debug = LlamaDebugHandler(print_trace_on_end=False)
    emu.say(RED)
    ask(connect(kind, callback_manager=CallbackManager([counter, debug])))
    assert (counter.prompt_llm_token_count, counter.completion_llm_token_count) == (100, 5)
    assert len(debug.get_event_pairs(CBEventType.LLM)) == 1


def test_counting_tokens_of_a_picture_url_does_not_fetch_it(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    counter = TokenCountingHandler(tokenizer=lambda text: pytest.fail("it estimates instead of counting"))
    emu.say(RED)
    llm = connect(callback_manager=CallbackManager([counter]))
    list(llm.stream_chat([ChatMessage(blocks=[TextBlock(text="what?"), ImageBlock(url=URL)])]))
    assert counter.prompt_llm_token_count == 100


def test_events_and_payload_contain_the_options_that_affect_the_answer(
    emu: Emulator, connect: Callable[..., GLMV], events: Any
) -> None:
    emu.say("red")
    llm = connect(temperature=0.2, top_p=0.5, max_tokens=64, model="glm-4.5v")
    llm.chat(ASK)
    values = {**llm.to_payload(), **events.seen[0].model_dict}
    assert values["model"] == "glm-4.5v"
    assert (values["temperature"], values["top_p"], values["max_tokens"]) == (0.2, 0.5, 64)


def test_a_payload_has_the_metadata_of_the_model_but_not_the_password_of_its_url() -> None:
    payload = GLMVMultiModal(model="glm-4.5v", base_url="https://u:p@example.com/v1?k=1").to_payload()
    assert payload["class_name"] == "glmv_multi_modal_llm"
    assert payload["context_window"] == 65536
    assert payload["base_url_host"] == "example.com"
    assert "u:p" not in json.dumps(payload)


@BOTH_FACES
@EVERY_WAY
def test_no_event_and_no_payload_holds_the_key(
    kind: type[GLMV],
    ask: Callable[[GLMV], Any],
    expected: list[str],
    emu: Emulator,
    connect: Callable[..., GLMV],
    events: Any,
) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    emu.say(RED)
    ask(connect(kind, callback_manager=CallbackManager([debug])))
    results = [repr(event.model_dump()) for event in events.seen]
    results += [repr(event.payload) for event in debug.get_events()]
    assert any(EventPayload.SERIALIZED in (event.payload or {}) for event in debug.get_events())
    assert emu.api_key.partition(".")[2] not in json.dumps(results)


def test_the_end_event_of_a_failed_call_holds_the_error(connect: Callable[..., GLMV]) -> None:
    debug = LlamaDebugHandler(print_trace_on_end=False)
    llm = connect(callback_manager=CallbackManager([debug]))
    with pytest.raises(glmv.UnsupportedContent):
        llm.chat([ChatMessage(blocks=[ImageBlock()])])
    ((_, end),) = debug.get_event_pairs(CBEventType.LLM)
    assert isinstance(end.payload[EventPayload.EXCEPTION], glmv.UnsupportedContent)


def test_a_stream_that_is_closed_early_yields_no_further_chunk(emu: Emulator, connect: Callable[..., GLMV]) -> None:
    emu.say(RED)
    responses = connect().stream_chat(ASK)
    assert next(responses).delta == "a "
    responses.close()
    with pytest.raises(StopIteration):
        next(responses)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_reasoning_reaches_agents_from_the_first_chunk_on(
    asynchronous: bool, emu: Emulator, connect: Callable[..., GLMV]
) -> None:
    emu.say(Reply("red", reasoning="I look", chunking=1))
    llm = connect()
    chunks = drained(lambda: llm.astream_chat(ASK)) if asynchronous else list(llm.stream_chat(ASK))
    assert [chunk.additional_kwargs.get("thinking_delta") for chunk in chunks] == ["I", " look", None, None]


def test_the_raw_field_of_a_streamed_response_is_the_dict_that_the_server_sent(server: Server) -> None:
    chunks = [chunk("red"), chunk("", "stop", usage={**USAGE, "total_tokens": 105})]
    server.plays(lambda peer: peer.stream(*chunks, DONE))
    with GLMV(api_key="test-id.test-secret", base_url=server.base_url) as llm:
        assert [response.raw for response in llm.stream_chat(ASK)] == chunks
