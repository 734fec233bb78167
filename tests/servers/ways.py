"""One question through `glmv`, LangChain and LlamaIndex, with the answers in the same form."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ImageBlock, TextBlock, ThinkingBlock
from llama_index.core.prompts import ChatPromptTemplate
from pydantic import BaseModel

import glmv
from langchain_glmv import ChatGLMV
from llama_index_glmv import GLMV

Turn = tuple[str, list[str | bytes]]
"""A role and its parts: text, or the bytes of a picture."""

Object = TypeVar("Object", bound=BaseModel)
T = TypeVar("T")


@dataclass
class Answer:
    """An answer as an application gets it.

    Attributes:
        tokens: of the prompt and of the answer; None if nothing was counted.
        pieces: number of chunks with text.
    """

    text: str
    reasoning: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tokens: tuple[int, int] | None = None
    finish_reason: str | None = None
    pieces: int = 1


@dataclass
class Way:
    """A client of glmv with one base URL.

    Attributes:
        settings: arguments of the client's constructor: `base_url`, `api_key`, `model` and others.
    """

    settings: dict[str, Any]

    def ask(self, turns: list[Turn], **options: Any) -> Answer:
        """The answer to a conversation, without streaming."""
        raise NotImplementedError

    def stream(self, turns: list[Turn], **options: Any) -> Answer:
        """The sum of a streamed answer to a conversation."""
        raise NotImplementedError

    def object(self, turns: list[Turn], schema: type[Object]) -> Object:
        """The answer as an object of a pydantic class."""
        raise NotImplementedError


def _core_messages(turns: list[Turn]) -> list[glmv.Message]:
    return [
        glmv.Message(role, [part if isinstance(part, str) else glmv.Image.from_bytes(part) for part in parts])  # type: ignore[arg-type]
        for role, parts in turns
    ]


def _core_answer(answer: glmv.Completion) -> Answer:
    usage = answer.usage
    return Answer(
        answer.text,
        answer.reasoning or "",
        [(call.name, json.loads(call.arguments)) for call in answer.tool_calls],
        None if usage is None else (usage.prompt_tokens, usage.completion_tokens),
        answer.finish_reason,
    )


def _core_total(deltas: Iterable[glmv.Delta]) -> Answer:
    total = glmv.Accumulator()
    pieces = 0
    for delta in deltas:
        total.add(delta)
        pieces += bool(delta.text)
    answer = _core_answer(total.completion())
    answer.pieces = pieces
    return answer


def _response_format(schema: type[BaseModel]) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": schema.__name__, "schema": schema.model_json_schema()},
    }


class Core(Way):
    def ask(self, turns: list[Turn], **options: Any) -> Answer:
        with glmv.Client(**self.settings) as client:
            return _core_answer(client.chat(_core_messages(turns), **options))

    def stream(self, turns: list[Turn], **options: Any) -> Answer:
        with glmv.Client(**self.settings) as client:
            return _core_total(client.stream(_core_messages(turns), **options))

    def object(self, turns: list[Turn], schema: type[Object]) -> Object:
        return schema.model_validate_json(self.ask(turns, response_format=_response_format(schema)).text)


class AsyncCore(Core):
    def ask(self, turns: list[Turn], **options: Any) -> Answer:
        async def ask() -> Answer:
            async with glmv.AsyncClient(**self.settings) as client:
                return _core_answer(await client.chat(_core_messages(turns), **options))

        return asyncio.run(ask())

    def stream(self, turns: list[Turn], **options: Any) -> Answer:
        async def stream() -> list[glmv.Delta]:
            async with glmv.AsyncClient(**self.settings) as client:
                return [delta async for delta in client.stream(_core_messages(turns), **options)]

        return _core_total(asyncio.run(stream()))


class LangChain(Way):
    def ask(self, turns: list[Turn], **options: Any) -> Answer:
        return self._run(lambda model: _langchain_answer(model.invoke(_langchain_messages(turns), **options)))

    def stream(self, turns: list[Turn], **options: Any) -> Answer:
        def stream(model: ChatGLMV) -> Answer:
            chunks = list(model.stream(_langchain_messages(turns), **options))
            total = chunks[0]
            for chunk in chunks[1:]:
                total += chunk  # type: ignore[assignment]
            answer = _langchain_answer(total)
            answer.pieces = sum(bool(chunk.text) for chunk in chunks)
            return answer

        return self._run(stream)

    def object(self, turns: list[Turn], schema: type[Object]) -> Object:
        def ask(model: ChatGLMV) -> Object:
            answer = model.with_structured_output(schema).invoke(_langchain_messages(turns))
            assert isinstance(answer, schema)
            return answer

        return self._run(ask)

    def _run(self, call: Callable[[ChatGLMV], T]) -> T:
        model = ChatGLMV(**self.settings)
        try:
            return call(model)
        finally:
            model.close()


def _langchain_messages(turns: list[Turn]) -> list[AnyMessage]:
    return [(AIMessage if role == "assistant" else HumanMessage)(_langchain_blocks(parts)) for role, parts in turns]


def _langchain_blocks(parts: list[str | bytes]) -> list[str | dict[str, Any]]:
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image", "base64": b64encode(part).decode(), "mime_type": "image/png"}
        for part in parts
    ]


def _langchain_answer(message: AIMessage | AIMessageChunk) -> Answer:
    usage = message.usage_metadata
    return Answer(
        message.text,
        message.additional_kwargs.get("reasoning_content", ""),
        [(call["name"], call["args"]) for call in message.tool_calls],
        None if usage is None else (usage["input_tokens"], usage["output_tokens"]),
        message.response_metadata.get("finish_reason"),
    )


class LlamaIndex(Way):
    def ask(self, turns: list[Turn], **options: Any) -> Answer:
        return self._run(lambda llm: self._answer(llm, llm.chat(_llama_messages(turns), **options)))

    def stream(self, turns: list[Turn], **options: Any) -> Answer:
        def stream(llm: GLMV) -> Answer:
            responses = list(llm.stream_chat(_llama_messages(turns), **options))
            answer = self._answer(llm, responses[-1])
            answer.pieces = sum(bool(response.delta) for response in responses)
            return answer

        return self._run(stream)

    def object(self, turns: list[Turn], schema: type[Object]) -> Object:
        prompt = ChatPromptTemplate(message_templates=_llama_messages(turns))
        return self._run(lambda llm: llm.structured_predict(schema, prompt))

    def _run(self, call: Callable[[GLMV], T]) -> T:
        llm = GLMV(**self.settings)
        try:
            return call(llm)
        finally:
            llm.close()

    def _answer(self, llm: GLMV, response: ChatResponse) -> Answer:
        facts = response.additional_kwargs
        calls = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        thoughts = [block.content or "" for block in response.message.blocks if isinstance(block, ThinkingBlock)]
        return Answer(
            response.message.content or "",
            "".join(thoughts),
            [(call.tool_name, call.tool_kwargs) for call in calls],
            (facts["prompt_tokens"], facts["completion_tokens"]) if "prompt_tokens" in facts else None,
            facts.get("finish_reason"),
        )


def _llama_messages(turns: list[Turn]) -> list[ChatMessage]:
    return [
        ChatMessage(
            role=role,
            blocks=[TextBlock(text=part) if isinstance(part, str) else ImageBlock(image=part) for part in parts],
        )
        for role, parts in turns
    ]


WAYS: dict[str, type[Way]] = {"Client": Core, "AsyncClient": AsyncCore, "ChatGLMV": LangChain, "GLMV": LlamaIndex}
