"""Conformance tests for any LlamaIndex model, to be inherited: LlamaIndex itself ships none."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from llama_index.core import Settings
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, MessageRole, TextBlock
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import LLM
from llama_index.core.llms.loading import load_llm
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from pydantic import BaseModel

from glmv_emulator import Emulator
from llama_index_glmv import GLMV

QUESTION = "What is the dominant colour of this picture?"


def _read(make: Callable[[], Any]) -> list[Any]:
    """Run an async endpoint in a new event loop -> its responses: those of a stream, or the only one."""

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


def _words(response: Any) -> str:
    text = response.message.content if isinstance(response, ChatResponse) else response.text
    return text or ""


class LLMConformance:
    """Behaviour of any LlamaIndex model. The emulator answers; answers that need a model's judgement are scripted.

    Attributes:
        kind: the class of the model.
    """

    kind: ClassVar[type[GLMV]]

    @pytest.fixture
    def llm(self, glmv_emulator: Emulator, connect: Callable[..., GLMV], monkeypatch: pytest.MonkeyPatch) -> GLMV:
        """The model under test, new for each test."""
        # Copies do not contain the key: they read it from the environment.
        monkeypatch.setenv("ZHIPUAI_API_KEY", glmv_emulator.api_key)
        return connect(self.kind)

    # ---- answers

    @_EVERY_WAY
    def test_every_entry_point_returns_a_text(self, llm: LLM, way: str) -> None:
        """Chat and completion, whole and streamed, sync and async."""
        last = WAYS[way](llm)[-1]
        assert _words(last).strip()
        if isinstance(last, ChatResponse):
            assert last.message.role == MessageRole.ASSISTANT

    @_STREAMS
    def test_the_text_of_each_streamed_response_is_the_sum_of_its_deltas(self, llm: LLM, way: str) -> None:
        """`delta` is the new text; the response has the whole text so far."""
        so_far = ""
        for response in WAYS[way](llm):
            so_far += response.delta or ""
            assert _words(response) == so_far

    @_STREAMS
    def test_a_stored_chunk_does_not_change_later(self, llm: LLM, way: str) -> None:
        """A stored chunk keeps its content."""
        responses = WAYS[way](llm)
        lengths = [len(_words(response)) for response in responses]
        assert lengths == sorted(lengths)
        assert len(responses) < 2 or lengths[0] < lengths[-1]

    @pytest.mark.parametrize("way", ["achat", "astream_chat"])
    def test_a_model_answers_in_three_event_loops_in_a_row(self, llm: LLM, way: str) -> None:
        """Three event loops in a row."""
        assert all(_words(WAYS[way](llm)[-1]) for _ in range(3))

    def test_a_model_answers_after_its_stream_was_closed_early(self, llm: LLM) -> None:
        """The model still answers afterwards."""
        stream = llm.stream_chat(_chat())
        next(stream)
        stream.close()
        assert _words(llm.chat(_chat()))

    def test_an_empty_system_message_is_accepted(self, llm: LLM) -> None:
        """Chat engines send one."""
        assert _words(llm.chat([ChatMessage(role="system", content=None), *_chat()]))

    def test_chat_and_stream_chat_do_not_modify_the_history(self, llm: LLM) -> None:
        """A call changes neither the messages nor their blocks."""
        history = [ChatMessage(role="system", content="Be brief."), *_chat()]
        before = copy.deepcopy(history)
        llm.chat(history)
        list(llm.stream_chat(history))
        assert history == before

    def test_an_answer_is_accepted_in_the_history_of_the_next_call(self, llm: LLM) -> None:
        """The answer is sent with all its blocks in a later conversation."""
        first = llm.chat(_chat()).message
        assert _words(llm.chat([*_chat(), first, *_chat()]))

    # ---- metadata of an answer

    @_EVERY_WAY
    def test_each_call_emits_its_events_once_and_in_order(self, llm: LLM, way: str, events: Any) -> None:
        """A start event, one event per chunk and an end event, even if one method of the model calls another."""
        responses = WAYS[way](llm)
        kind = "LLMCompletion" if "complete" in way else "LLMChat"
        within = len(responses) if "stream" in way else 0
        names = [name for name in events.names if name.startswith(("LLMChat", "LLMCompletion"))]
        assert names == [f"{kind}StartEvent", *[f"{kind}InProgressEvent"] * within, f"{kind}EndEvent"]

    @_EVERY_WAY
    def test_token_counting_handler_reads_the_usage_of_the_answer(self, llm: LLM, way: str) -> None:
        """LlamaIndex's counter reads the usage, also from the last chunk."""
        counter = TokenCountingHandler(tokenizer=lambda text: pytest.fail("it estimates"))
        llm.callback_manager = CallbackManager([counter])
        WAYS[way](llm)
        assert len(counter.llm_token_counts) == 1
        assert counter.prompt_llm_token_count > 0
        assert counter.completion_llm_token_count > 0

    @_EVERY_WAY
    def test_the_raw_field_of_a_response_can_be_written_as_json(self, llm: LLM, way: str) -> None:
        """Agents store `raw` in their events as JSON."""
        for response in WAYS[way](llm):
            json.dumps(response.raw.model_dump() if isinstance(response.raw, BaseModel) else response.raw)

    @_EVERY_WAY
    def test_the_key_is_in_no_event_repr_dict_or_pickle_of_the_model(
        self, llm: LLM, way: str, events: Any, glmv_emulator: Emulator
    ) -> None:
        """Not in events, dumps, reprs or pickles."""
        WAYS[way](llm)
        results = [repr(event.model_dump()) for event in events.seen]
        results += [repr(llm), str(llm), json.dumps(llm.to_dict(), default=str), repr(pickle.dumps(llm))]
        assert glmv_emulator.api_key.partition(".")[2] not in "".join(results)

    # ---- the model itself

    def test_metadata_has_a_model_name_and_a_context_window_before_any_call(self, llm: LLM) -> None:
        """LlamaIndex reads it for every call."""
        metadata = llm.metadata
        assert metadata.model_name
        assert metadata.is_chat_model
        assert metadata.context_window > max(metadata.num_output, 0)

    def test_settings_llm_accepts_the_model(self, llm: LLM, monkeypatch: pytest.MonkeyPatch) -> None:
        """`Settings.llm` checks the class."""
        monkeypatch.setattr(Settings, "_llm", None)
        Settings.llm = llm
        assert Settings.llm is llm

    def test_load_llm_restores_a_model_from_its_dict(self, llm: LLM) -> None:
        """`load_llm` finds the class by its `class_name`."""
        loaded = load_llm(llm.to_dict())
        assert type(loaded) is type(llm)
        assert loaded.metadata == llm.metadata

    def test_a_deep_copy_of_a_used_model_answers(self, llm: LLM) -> None:
        """Open connections do not prevent a copy."""
        llm.chat(_chat())
        assert _words(copy.deepcopy(llm).chat(_chat()))

    # ---- pictures, tools, objects

    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_picture_reaches_the_model(self, llm: LLM, red: bytes, streamed: bool) -> None:
        """The emulator measures the red picture and answers with its colour."""
        messages = [ChatMessage(blocks=[ImageBlock(image=red), TextBlock(text=QUESTION)])]
        last = list(llm.stream_chat(messages))[-1] if streamed else llm.chat(messages)
        assert "red" in _words(last).lower()

    def test_a_text_answer_contains_no_tool_call(self, llm: GLMV) -> None:
        """Agents look for calls in every chunk."""
        for response in llm.stream_chat(_chat()):
            assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []

    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_required_tool_is_called_with_a_dict_of_arguments(
        self, llm: GLMV, glmv_emulator: Emulator, streamed: bool
    ) -> None:
        """The call has a dict of arguments, and the history is not modified."""
        glmv_emulator.call("add", a=2, b=3)
        tools, history = [FunctionTool.from_defaults(add)], _chat()
        ask = llm.stream_chat_with_tools if streamed else llm.chat_with_tools
        answer: Any = ask(tools, user_msg="Add 2 and 3.", chat_history=history, tool_required=True)
        (call,) = llm.get_tool_calls_from_response(list(answer)[-1] if streamed else answer)
        assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 2, "b": 3})
        assert len(history) == 1

    @pytest.mark.parametrize("streamed", [False, True])
    def test_structured_predict_returns_an_object_of_the_class(
        self, llm: LLM, glmv_emulator: Emulator, streamed: bool
    ) -> None:
        """Both `structured_predict` and `stream_structured_predict` return an object of the class."""
        glmv_emulator.say('{"name": "red"}')
        prompt = PromptTemplate("Name a {what}.")
        if streamed:
            result = list(llm.stream_structured_predict(Colour, prompt, what="colour"))[-1]
        else:
            result = llm.structured_predict(Colour, prompt, what="colour")
        assert result == Colour(name="red")
