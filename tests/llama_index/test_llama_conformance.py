"""The models pass the conformance suite, and the suite detects common mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.callbacks import llm_completion_callback

from glmv_emulator import Emulator, Reply
from llama_index_glmv import GLMV, GLMVMultiModal
from llama_index_glmv.responses import as_completion
from tests.llama_index.conformance import LLMConformance


class TestGLMV(LLMConformance):
    kind = GLMV


class TestGLMVMultiModal(LLMConformance):
    kind = GLMVMultiModal


class DoubleGLMV(GLMV):
    """A model with a common mistake: one public method calls another."""

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: Any = False, **kwargs: Any) -> Any:
        return as_completion(self.chat([ChatMessage(content=prompt)], **kwargs))


class ChangingGLMV(GLMV):
    """A model with another common mistake: all chunks share one message."""

    def _stream(self, request: Any, made: Any) -> Any:
        text = None
        for response in super()._stream(request, made):
            text = text or response
            text.message.blocks = response.message.blocks
            yield text


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (
            DoubleGLMV,
            lambda tests, llm, events: tests.test_each_call_emits_its_events_once_and_in_order(llm, "complete", events),
        ),
        (
            DoubleGLMV,
            lambda tests, llm, events: tests.test_token_counting_handler_reads_the_usage_of_the_answer(llm, "complete"),
        ),
        (ChangingGLMV, lambda tests, llm, events: tests.test_a_stored_chunk_does_not_change_later(llm, "stream_chat")),
    ],
)
def test_the_conformance_suite_fails_for_double_events_and_changing_chunks(
    kind: type[GLMV], check: Any, emu: Emulator, connect: Callable[..., GLMV], events: Any
) -> None:
    emu.say(Reply(chunking=["a ", "red"]))
    with pytest.raises(AssertionError):
        check(LLMConformance(), connect(kind), events)
