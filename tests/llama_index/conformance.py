"""What any LlamaIndex model should do, as tests to inherit: LlamaIndex itself ships none.

    class TestMyModel(LLMConformance):
        secret = "sk-test"

        @pytest.fixture
        def llm(self) -> LLM:
            return MyModel(api_key=self.secret, base_url=...)

Needs pytest. Set `sees`, `calls_tools`, `answers_objects` or `counts` to False for what a model does not claim.

`Script` says what a test tells it to, in the place of the platform; `glmv_emulator` answers by looking.
"""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

import httpx
import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, MessageRole, TextBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.instrumentation.event_handlers import BaseEventHandler
from llama_index.core.llms import LLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.loading import load_llm
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index_instrumentation import get_dispatcher
from llama_index_instrumentation.base import BaseEvent
from pydantic import BaseModel

from llama_index_glmv.llm import GLMV

QUESTION = "What is the dominant colour of this picture?"


def red_png(side: int = 32) -> bytes:
    """A red picture of 8-bit RGB, made without an image library."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + b"\xff\0\0" * side) * side
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


class Script:
    """A server without a network: call after call gets the deltas that were queued, streamed or whole as it asks.

    script = Script().say({"reasoning_content": "Hm."}, "It is ", "red.")
    script.llm().complete("What colour?").text      # "It is red."
    script.requests[0]["messages"]                  # what was sent

    Attributes:
        answers: the deltas of the answers to come; a call beyond them is an InvalidRequestError.
        requests: the bodies that came.
        usage: what each answer says it cost.
    """

    usage: ClassVar[dict[str, int]] = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}

    def __init__(self) -> None:
        self.answers: list[list[dict[str, Any]]] = []
        self.requests: list[dict[str, Any]] = []

    def say(self, *deltas: dict[str, Any] | str) -> Self:
        """Queue an answer: deltas as the wire has them, or a str for one of visible text."""
        self.answers.append([{"content": delta} if isinstance(delta, str) else delta for delta in deltas])
        return self

    def handle(self, request: httpx.Request) -> httpx.Response:
        """Answer a request; for an `httpx.MockTransport`."""
        self.requests.append(json.loads(request.content))
        if not self.answers:
            return httpx.Response(400, json={"error": {"message": "No answer is queued: say() one more."}})
        deltas = self.answers.pop(0)
        reason = "tool_calls" if any("tool_calls" in delta for delta in deltas) else "stop"
        if not self.requests[-1].get("stream"):
            message = {"role": "assistant", **_joined(deltas)}
            choice = {"index": 0, "finish_reason": reason, "message": message}
            return httpx.Response(200, json={"id": "1", "choices": [choice], "usage": self.usage})
        chunks: list[dict[str, Any]] = [{"id": "1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
        last = {"index": 0, "finish_reason": reason, "delta": {"role": "assistant", "content": ""}}
        chunks.append({"id": "1", "choices": [last], "usage": self.usage})
        text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
        return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})

    def llm(self, kind: type[GLMV] = GLMV, **settings: Any) -> GLMV:
        """A model that talks to this server."""
        transport = httpx.MockTransport(self.handle)
        place = {"api_key": "test-id.test-secret", "base_url": "http://localhost/api/paas/v4"}
        clients = {"http_client": httpx.Client(transport=transport)}
        asynchronous = {"http_async_client": httpx.AsyncClient(transport=transport)}
        return kind(**{**place, **clients, **asynchronous, **settings})


def _joined(deltas: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for delta in deltas:
        for name, value in delta.items():
            whole[name] = whole[name] + value if name in whole else value
    return whole


def _read(make: Callable[[], Any]) -> list[Any]:
    """Run an asynchronous endpoint in a loop of its own -> its responses, of a stream or the only one."""

    async def run() -> list[Any]:
        result = await make()
        return [item async for item in result] if hasattr(result, "__aiter__") else [result]

    return asyncio.run(run())


def _chat() -> list[ChatMessage]:
    return [ChatMessage(role="user", content="Say hello.")]


WAYS: dict[str, Callable[[LLM], list[Any]]] = {
    "chat": lambda llm: [llm.chat(_chat())],
    "stream_chat": lambda llm: list(llm.stream_chat(_chat())),
    "achat": lambda llm: _read(lambda: llm.achat(_chat())),
    "astream_chat": lambda llm: _read(lambda: llm.astream_chat(_chat())),
    "complete": lambda llm: [llm.complete("Say hello.")],
    "stream_complete": lambda llm: list(llm.stream_complete("Say hello.")),
    "acomplete": lambda llm: _read(lambda: llm.acomplete("Say hello.")),
    "astream_complete": lambda llm: _read(lambda: llm.astream_complete("Say hello.")),
}
_EVERY_WAY = pytest.mark.parametrize("way", list(WAYS))
_STREAMS = pytest.mark.parametrize("way", [name for name in WAYS if "stream" in name])


class Colour(BaseModel):
    """A colour."""

    name: str


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class _Events(BaseEventHandler):
    seen: list[Any] = []  # noqa: RUF012 - pydantic copies it for each instance

    def handle(self, event: BaseEvent, **_: Any) -> None:
        self.seen.append(event)


def _words(response: Any) -> str:
    text = response.message.content if isinstance(response, ChatResponse) else response.text
    return text or ""


class LLMConformance:
    """Inherit it, give the fixture `llm`, and say by the class attributes what the model does not claim.

    Attributes:
        secret: the key that the model is made with; it must show up nowhere.
        sees: whether the model takes pictures.
        calls_tools: whether the model calls tools, required ones always.
        answers_objects: whether `structured_predict` works.
        counts: whether answers tell their tokens.
    """

    secret: ClassVar[str | None] = None
    sees: ClassVar[bool] = True
    calls_tools: ClassVar[bool] = True
    answers_objects: ClassVar[bool] = True
    counts: ClassVar[bool] = True

    @pytest.fixture
    def llm(self) -> LLM:
        """The model under test, new for each test."""
        raise NotImplementedError("give a fixture `llm` that makes the model")

    @pytest.fixture
    def events(self) -> Iterator[list[Any]]:
        """Everything that is told to instrumentation during a test."""
        handler, root = _Events(), get_dispatcher()
        root.add_event_handler(handler)
        yield handler.seen
        root.event_handlers.remove(handler)

    def _needs(self, claim: str) -> None:
        if not getattr(self, claim):
            pytest.skip(f"the model does not claim: {claim}")

    # ---- answers

    @_EVERY_WAY
    def test_it_answers_in_every_way(self, llm: LLM, way: str) -> None:
        """Chat and completion, whole and streamed, blocking and asynchronous."""
        last = WAYS[way](llm)[-1]
        assert _words(last).strip()
        if isinstance(last, ChatResponse):
            assert last.message.role == MessageRole.ASSISTANT

    @_STREAMS
    def test_a_stream_grows_by_its_deltas(self, llm: LLM, way: str) -> None:
        """`delta` is the new text, the response all of it."""
        so_far = ""
        for response in WAYS[way](llm):
            so_far += response.delta or ""
            assert _words(response) == so_far

    @_STREAMS
    def test_a_chunk_does_not_change_afterwards(self, llm: LLM, way: str) -> None:
        """Whoever keeps a chunk keeps what it said."""
        responses = WAYS[way](llm)
        lengths = [len(_words(response)) for response in responses]
        assert lengths == sorted(lengths)
        assert len(responses) < 2 or lengths[0] < lengths[-1]

    @pytest.mark.parametrize("way", ["achat", "astream_chat"])
    def test_it_outlives_its_event_loop(self, llm: LLM, way: str) -> None:
        """Three loops, one after the other."""
        assert all(_words(WAYS[way](llm)[-1]) for _ in range(3))

    def test_a_stream_may_be_closed_early(self, llm: LLM) -> None:
        """And the model still answers afterwards."""
        stream = llm.stream_chat(_chat())
        next(stream)
        stream.close()
        assert _words(llm.chat(_chat()))

    def test_an_empty_system_message_does_no_harm(self, llm: LLM) -> None:
        """Chat engines send one."""
        assert _words(llm.chat([ChatMessage(role="system", content=None), *_chat()]))

    def test_a_history_is_not_written_to(self, llm: LLM) -> None:
        """Neither its messages nor their blocks."""
        history = [ChatMessage(role="system", content="Be brief."), *_chat()]
        before = copy.deepcopy(history)
        llm.chat(history)
        list(llm.stream_chat(history))
        assert history == before

    def test_an_answer_goes_back_as_history(self, llm: LLM) -> None:
        """With all the blocks it has."""
        first = llm.chat(_chat()).message
        assert _words(llm.chat([*_chat(), first, *_chat()]))

    # ---- what is told about an answer

    @_EVERY_WAY
    def test_events_come_once_and_in_order(self, llm: LLM, way: str, events: list[Any]) -> None:
        """Start, one for each chunk, end; no matter how one method calls another."""
        responses = WAYS[way](llm)
        kind = "LLMCompletion" if "complete" in way else "LLMChat"
        within = len(responses) if "stream" in way else 0
        names = [event.class_name() for event in events if event.class_name().startswith(("LLMChat", "LLMCompletion"))]
        assert names == [f"{kind}StartEvent", *[f"{kind}InProgressEvent"] * within, f"{kind}EndEvent"]

    @_EVERY_WAY
    def test_tokens_are_counted_and_not_guessed(self, llm: LLM, way: str) -> None:
        """LlamaIndex' counter finds the usage, also on the last chunk."""
        self._needs("counts")
        counter = TokenCountingHandler(tokenizer=lambda text: pytest.fail("it estimates"))
        llm.callback_manager = CallbackManager([counter])
        WAYS[way](llm)
        assert len(counter.llm_token_counts) == 1
        assert counter.prompt_llm_token_count > 0
        assert counter.completion_llm_token_count > 0

    @_EVERY_WAY
    def test_raw_is_plain_data(self, llm: LLM, way: str) -> None:
        """Agents put it into their events, which are stored as JSON."""
        for response in WAYS[way](llm):
            json.dumps(response.raw.model_dump() if isinstance(response.raw, BaseModel) else response.raw)

    @_EVERY_WAY
    def test_the_key_shows_up_nowhere(self, llm: LLM, way: str, events: list[Any]) -> None:
        """Not in events, dumps, reprs or pickles."""
        WAYS[way](llm)
        told = [repr(event.model_dump()) for event in events]
        told += [repr(llm), str(llm), json.dumps(llm.to_dict(), default=str), repr(pickle.dumps(llm))]
        assert self.secret is None or self.secret not in "".join(told)

    # ---- what it is

    def test_metadata_is_told_without_a_call(self, llm: LLM) -> None:
        """It is asked for on every call."""
        metadata = llm.metadata
        assert metadata.model_name
        assert metadata.is_chat_model
        assert metadata.context_window > max(metadata.num_output, 0)

    def test_settings_take_it(self, llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
        """`Settings.llm` checks the class."""
        monkeypatch.setattr(Settings, "_llm", None)
        Settings.llm = llm
        assert Settings.llm is llm

    def test_it_is_stored_and_loaded_by_name(self, llm: LLM) -> None:
        """`load_llm` knows its `class_name`."""
        loaded = load_llm(llm.to_dict())
        assert type(loaded) is type(llm)
        assert loaded.metadata == llm.metadata

    def test_it_is_copied_after_use(self, llm: LLM) -> None:
        """Open connections do not stand in the way."""
        llm.chat(_chat())
        assert _words(copy.deepcopy(llm).chat(_chat()))

    # ---- pictures, tools, objects

    @pytest.mark.parametrize("streamed", [False, True])
    def test_it_sees_a_picture(self, llm: LLM, streamed: bool) -> None:
        """The dominant colour of a red square."""
        self._needs("sees")
        messages = [ChatMessage(blocks=[ImageBlock(image=red_png()), TextBlock(text=QUESTION)])]
        last = list(llm.stream_chat(messages))[-1] if streamed else llm.chat(messages)
        assert "red" in _words(last).lower()

    def test_words_are_no_tool_call(self, llm: LLM) -> None:
        """Agents look for calls in every chunk."""
        if not isinstance(llm, FunctionCallingLLM):
            pytest.skip("the model takes no tools")
        for response in llm.stream_chat(_chat()):
            assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []

    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_required_tool_is_called(self, llm: LLM, streamed: bool) -> None:
        """With a dict of arguments, and without writing to the history."""
        self._needs("calls_tools")
        assert isinstance(llm, FunctionCallingLLM)
        tools, history = [FunctionTool.from_defaults(add)], _chat()
        ask = llm.stream_chat_with_tools if streamed else llm.chat_with_tools
        answer: Any = ask(tools, user_msg="Add 2 and 3.", chat_history=history, tool_required=True)
        (call,) = llm.get_tool_calls_from_response(list(answer)[-1] if streamed else answer)
        assert call.tool_name == "add"
        assert set(call.tool_kwargs) == {"a", "b"}
        assert len(history) == 1

    @pytest.mark.parametrize("streamed", [False, True])
    def test_an_answer_is_an_object(self, llm: LLM, streamed: bool) -> None:
        """`structured_predict` and its stream."""
        self._needs("answers_objects")
        prompt = PromptTemplate("Name a {what}.")
        if streamed:
            found = list(llm.stream_structured_predict(Colour, prompt, what="colour"))[-1]
        else:
            found = llm.structured_predict(Colour, prompt, what="colour")
        assert isinstance(found, Colour)
