"""Our own models pass the tests that we offer for every model of LlamaIndex."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from llama_index.core.llms import ChatMessage
from llama_index.core.llms.callbacks import llm_completion_callback

import glmv
from llama_index_glmv import GLMV, GLMVMultiModal
from llama_index_glmv.responses import as_completion
from llama_index_glmv.testing import LLMConformance

KEY = "test-id.test-secret"


class OverTheEmulator(LLMConformance):
    """Both faces differ in their class only."""

    secret: ClassVar[str | None] = "test-secret"
    kind: ClassVar[type[GLMV]]

    @pytest.fixture
    def llm(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
        from glmv_emulator import Emulator

        # Copies have no key of their own: they find it where the first one could have.
        monkeypatch.setenv("ZHIPUAI_API_KEY", KEY)
        with Emulator(api_key=KEY) as emulator, self.kind(api_key=KEY, base_url=emulator.base_url) as llm:
            yield llm


class TestGLMV(OverTheEmulator):
    kind = GLMV


class TestGLMVMultiModal(OverTheEmulator):
    kind = GLMVMultiModal


class DoubleGLMV(GLMV):
    """A model with the usual mistake: one public method calls another."""

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: Any = False, **kwargs: Any) -> Any:
        return as_completion(self.chat([ChatMessage(content=prompt)], **kwargs))


def test_a_script_says_when_nothing_is_queued(script: Any) -> None:
    with pytest.raises(glmv.InvalidRequestError, match="No answer is queued"):
        script.llm().complete("hello")
    assert len(script.requests) == 1


class ChangingGLMV(GLMV):
    """A model with another usual mistake: all chunks share one message."""

    def _stream(self, request: Any, made: Any) -> Any:
        kept = None
        for response in super()._stream(request, made):
            kept = kept or response
            kept.message.blocks = response.message.blocks
            yield kept


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (DoubleGLMV, lambda tests, llm, events: tests.test_events_come_once_and_in_order(llm, "complete", events)),
        (DoubleGLMV, lambda tests, llm, events: tests.test_tokens_are_counted_and_not_guessed(llm, "complete")),
        (ChangingGLMV, lambda tests, llm, events: tests.test_a_chunk_does_not_change_afterwards(llm, "stream_chat")),
    ],
)
def test_the_usual_mistakes_are_found(kind: type[GLMV], check: Any, script: Any, events: Any) -> None:
    llm = script.say("a ", "red").llm(kind)
    with pytest.raises(AssertionError):
        check(LLMConformance(), llm, events.seen)
