"""Answers as pydantic objects: the request asks for JSON that fits the class's schema, and pydantic validates it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import Any, Union

from llama_index.core.base.llms.types import ChatMessage, ChatResponse
from llama_index.core.instrumentation.events.llm import (
    LLMStructuredPredictEndEvent,
    LLMStructuredPredictStartEvent,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.program.utils import FlexibleModel, create_flexible_model
from llama_index.core.prompts import BasePromptTemplate, PromptTemplate
from llama_index.core.types import Model, PydanticProgramMode
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

import glmv

dispatcher = get_dispatcher(__name__)

Objects = Union[Model, list[Model], FlexibleModel, list[FlexibleModel]]  # noqa: UP007 - mypy knows this one as an alias
"""The types that LlamaIndex's streams of objects may yield; the streams here yield one object at a time."""


class Schema(dict[str, Any]):
    """A `response_format` dict that also refers to its pydantic class.

    It is a dict because call options are copied into events, where they must be plain data.
    """

    def __init__(self, output_cls: type[BaseModel]) -> None:
        if not (isinstance(output_cls, type) and issubclass(output_cls, BaseModel)):
            raise glmv.InvalidRequestError(
                f"the class of the object must be a pydantic class; got {glmv.shown(output_cls)}. "
                "For a list of objects use a class with a field for the list."
            )
        schema = {"name": output_cls.__name__, "schema": output_cls.model_json_schema()}
        super().__init__(type="json_schema", json_schema=schema)
        self.validate = output_cls
        """glmv validates answers with this class instead of the schema."""


class StructuredOutput(FunctionCallingLLM):
    """`structured_predict` and its three variants: the request asks for JSON that fits the schema of the class.

    If `pydantic_program_mode` is not DEFAULT, LlamaIndex's own programs run. These use a tool call, or text with a
    parser.
    """

    def _messages_and_options(
        self,
        output_cls: type[BaseModel],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None,
        args: Any,
    ) -> tuple[list[ChatMessage], dict[str, Any]]:
        if not isinstance(prompt, BasePromptTemplate):
            raise glmv.InvalidRequestError(
                f"prompt must be a template, such as PromptTemplate(...); got {type(prompt).__name__}."
            )
        messages = self._extend_messages(prompt.format_messages(llm=self, **args))
        options = {"response_format": Schema(output_cls), **(llm_kwargs or {})}
        if isinstance(headers := options.get("extra_headers"), dict):
            options["extra_headers"] = glmv.SecretHeaders(headers)
        return messages, options

    def _checked_by(self, output_cls: type[BaseModel], llm_kwargs: dict[str, Any] | None) -> dict[str, Any] | None:
        """The options for LlamaIndex's own program. If the mode is FUNCTION, `output_cls` validates the tool call."""
        if self.pydantic_program_mode is not PydanticProgramMode.FUNCTION:
            return llm_kwargs
        return {"validate": output_cls, **(llm_kwargs or {})}

    @property
    def _by_schema(self) -> bool:
        return self.pydantic_program_mode is PydanticProgramMode.DEFAULT

    @dispatcher.span
    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """The model's answer as an object of `output_cls`.

        Args:
            output_cls: the class of the object; its validators run, too.
            prompt: a template; its messages may contain pictures.
            llm_kwargs: options of the call.
            prompt_args: the template's variables.

        Raises:
            MalformedResponse: two answers in a row are invalid; `partial` is the second answer.
        """
        if not self._by_schema:
            options = self._checked_by(output_cls, llm_kwargs)
            other: Model = super().structured_predict(output_cls, prompt, options, **prompt_args)
            return other
        messages, options = self._messages_and_options(output_cls, prompt, llm_kwargs, prompt_args)
        llm_kwargs = None  # tracebacks may show this frame's variables, and headers may contain credentials
        _started(output_cls, prompt, prompt_args)
        return _ended(_parsed(self.chat(messages, **options), output_cls))

    @dispatcher.span
    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        """`structured_predict`, asynchronously."""
        if not self._by_schema:
            options = self._checked_by(output_cls, llm_kwargs)
            other: Model = await super().astructured_predict(output_cls, prompt, options, **prompt_args)
            return other
        messages, options = self._messages_and_options(output_cls, prompt, llm_kwargs, prompt_args)
        llm_kwargs = None  # tracebacks may show this frame's variables, and headers may contain credentials
        _started(output_cls, prompt, prompt_args)
        return _ended(_parsed(await self.achat(messages, **options), output_cls))

    def _structured_stream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Objects[Model], None, None]:
        if not self._by_schema:
            yield from super()._structured_stream_call(output_cls, prompt, llm_kwargs, **prompt_args)
            return
        messages, options = self._messages_and_options(output_cls, prompt, llm_kwargs, prompt_args)
        llm_kwargs = None  # tracebacks may show this frame's variables, and headers may contain credentials
        current: Model | FlexibleModel | None = None
        for response in self.stream_chat(messages, **{"may_replace": True, **options}):
            current = _next_object(response, output_cls, current)
            yield current

    async def _structured_astream_call(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Objects[Model], None]:
        if not self._by_schema:
            return await super()._structured_astream_call(output_cls, prompt, llm_kwargs, **prompt_args)
        messages, options = self._messages_and_options(output_cls, prompt, llm_kwargs, prompt_args)
        llm_kwargs = None  # tracebacks may show this frame's variables, and headers may contain credentials

        async def objects() -> AsyncGenerator[Objects[Model], None]:
            current: Model | FlexibleModel | None = None
            async for response in await self.astream_chat(messages, **{"may_replace": True, **options}):
                current = _next_object(response, output_cls, current)
                yield current

        return objects()


def _started(output_cls: type[BaseModel], prompt: PromptTemplate, args: dict[str, Any]) -> None:
    dispatcher.event(LLMStructuredPredictStartEvent(output_cls=output_cls, template=prompt, template_args=args))


def _ended(output: Model) -> Model:
    dispatcher.event(LLMStructuredPredictEndEvent(output=output))
    return output


def _parsed(response: ChatResponse, output_cls: type[Model]) -> Model:
    return output_cls.model_validate_json(response.message.content or "")


def _next_object(
    response: ChatResponse, output_cls: type[Model], current: Model | FlexibleModel | None
) -> Model | FlexibleModel:
    """The object for the answer so far, with the fields received. For the whole answer it is a complete `output_cls`.

    A field that was set stays set, and strings and lists only get longer, at any depth. If the response has
    `replaces`, a new answer begins, and with it a new object.
    """
    if response.additional_kwargs.get("replaces"):
        current = None
    if "finish_reason" in response.additional_kwargs:
        return _parsed(response, output_cls)
    new, value = _so_far(response.message.content or "", output_cls)
    if current is None:
        return new
    # The class may convert values, such as a string to a date. If the object before was plain JSON, compare the JSON.
    after = new if isinstance(current, output_cls) else value
    return new if glmv.grows(current, after) else current


def _so_far(text: str, output_cls: type[Model]) -> tuple[Model | FlexibleModel, dict[str, Any]]:
    """Unfinished JSON -> (object, JSON as a dict); a flexible class is used if `output_cls` refuses the JSON.

    A flexible class is also used if an unfinished string could be taken for another value, see `glmv.partial_object`.
    """
    flexible: type[FlexibleModel] = create_flexible_model(output_cls)
    whole, value = glmv.partial_object(text, output_cls)
    fields = value if isinstance(value, dict) else {}
    return flexible.model_validate(fields) if whole is None else whole, fields
