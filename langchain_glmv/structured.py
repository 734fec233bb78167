"""`with_structured_output`: a `ChatGLMV` that requests structured output, piped into a parser of its answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.outputs import Generation
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableLambda,
    RunnableMap,
    RunnablePassthrough,
)
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ValidationError

import glmv
from langchain_glmv.chunks import ChunkMapper
from langchain_glmv.errors import ContentWithdrawnError, MalformedResponse
from langchain_glmv.growing import GrowingJson, GrowingObject
from langchain_glmv.options import is_model, response_format, titled, tool_options, validation

if TYPE_CHECKING:
    from langchain_glmv.chat_models import ChatGLMV

METHODS = ("json_schema", "function_calling", "json_mode")


def structured_model(
    model: ChatGLMV,
    schema: Mapping[str, Any] | type | None,
    method: str,
    *,
    include_raw: bool,
    strict: bool | None,
    extra: dict[str, Any],
) -> Runnable[LanguageModelInput, Any]:
    """A model, a schema and a method -> a runnable that answers with data; see `ChatGLMV.with_structured_output`."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {glmv.shown(method)}.")
    if schema is None and method != "json_mode":
        raise ValueError(f"method {method!r} needs a schema: a pydantic class, a TypedDict or a JSON Schema.")
    if tools := extra.pop("tools", None):
        extra |= tool_options(tools, extra.pop("tool_choice", None), extra.pop("parallel_tool_calls", None))
    glmv.chat_request("-", glmv.Options(), extra)  # raises for a misspelt option now, not at the first call
    schema = titled(schema)
    if schema is not None:
        method_options = {"method": method} | ({} if strict is None else {"strict": strict})
        extra["ls_structured_output_format"] = {"kwargs": method_options, "schema": schema}
    if not include_raw:
        extra["may_replace"] = True  # an object that grows may begin again; a streamed message may not
        extra["on_sensitive"] = "raise"  # a withdrawn answer is not an object
    # LangChain documents that classes validate the answer, and that dicts are not validated: their callers do it.
    extra.setdefault("on_misfit", "raise" if include_raw or schema is None or is_model(schema) else "return_value")
    parser: Runnable[Any, Any]
    if method == "function_calling":
        assert schema is not None
        name = convert_to_openai_tool(schema)["function"]["name"]
        checks: dict[str, Any] = {**validation(schema)}
        llm = model.bind_tools([schema], tool_choice=name, parallel_tool_calls=False, **checks, **extra)
        parser = _call_parser(schema, name)
    else:
        answer_format = response_format(schema) if method == "json_schema" and schema else {"type": "json_object"}
        llm = model.bind(response_format=answer_format, **validation(schema), **extra)
        parser = GrowingObject(pydantic_object=schema) if is_model(schema) else GrowingJson()
    if "tools" in extra:
        parser = _unless_called(parser)
    return _with_raw(llm, _unless_withdrawn(parser)) if include_raw else llm | parser


def _unless_withdrawn(parser: Runnable[Any, Any]) -> Runnable[AIMessage, Any]:
    """A parser that raises ContentWithdrawnError for a message whose content was withdrawn."""

    def parse(message: AIMessage) -> Any:
        reason = message.response_metadata.get("finish_reason")
        if glmv.is_withdrawn(reason):
            error = ContentWithdrawnError(
                f"The server judged the content unsafe and withdrew it (finish_reason {reason})."
            )
            error.raw_message = message
            raise error
        return parser.invoke(message)

    return RunnableLambda(parse)


def _unless_called(parser: Runnable[Any, Any]) -> Runnable[AIMessage, Any]:
    """A parser that returns None for a message that calls one of the user's tools instead of answering."""

    def parse(message: AIMessage) -> Any:
        return None if message.tool_calls else parser.invoke(message)

    return RunnableLambda(parse)


class _CallRequired:
    """Parses a tool call. Raises OutputParserException if the call is missing, or if its arguments do not fit."""

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        try:
            value = super().parse_result(result, partial=partial)  # type: ignore[misc]  # a mixin of parsers
        except ValidationError as error:
            raise OutputParserException(str(error), llm_output=result[0].text) from error
        if value is None and not partial:
            raise OutputParserException(
                "The model did not call the tool that the schema describes.", llm_output=result[0].text
            )
        return value


def _call_parser(schema: Any, name: str) -> Runnable[Any, Any]:
    if not is_model(schema):
        return _JsonCall(key_name=name)
    return _ObjectCall(key_name=name, model=schema) if issubclass(schema, BaseModel) else _PydanticCall(tools=[schema])


class _PydanticCall(_CallRequired, PydanticToolsParser):
    first_tool_only: bool = True


class _JsonCall(_CallRequired, JsonOutputKeyToolsParser):
    first_tool_only: bool = True


class _ObjectCall(_JsonCall):
    """The arguments of a call as an object of a pydantic class, validated by the class's own rules for JSON."""

    model: type[BaseModel]

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        arguments = super().parse_result(result, partial=partial)
        if arguments is None:
            return None
        try:
            return self.model.model_validate_json(json.dumps(arguments))
        except ValidationError as error:
            if partial:
                return None
            raise OutputParserException(str(error), llm_output=json.dumps(arguments, ensure_ascii=False)) from error


def _with_raw(llm: Runnable[LanguageModelInput, AIMessage], parser: Runnable[Any, Any]) -> Runnable[Any, Any]:
    parsed = RunnablePassthrough.assign(parsed=itemgetter("raw") | parser, parsing_error=_none)
    failed = RunnablePassthrough.assign(parsed=_none)
    return _IncludeRaw(RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error"))


def _none(_: object) -> None:
    return None


class _IncludeRaw(Runnable[LanguageModelInput, Any]):
    """Runs a chain; if two answers in a row do not fit, it returns the second with the error instead of raising."""

    def __init__(self, chain: Runnable[LanguageModelInput, Any]) -> None:
        self.chain = chain

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002  # the Runnable's own name
        try:
            return self.chain.invoke(input, config, **kwargs)
        except MalformedResponse as error:
            return _unfit(error)

    async def ainvoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:  # noqa: A002  # the Runnable's own name
        try:
            return await self.chain.ainvoke(input, config, **kwargs)
        except MalformedResponse as error:
            return _unfit(error)

    def stream(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002  # the Runnable's own name
        streamed = False
        try:
            for part in self.chain.stream(input, config, **kwargs):
                streamed = True
                yield part
        except MalformedResponse as error:
            yield _unfit(error, streamed=streamed)

    async def astream(
        self,
        input: LanguageModelInput,  # noqa: A002  # the Runnable's own name
        config: RunnableConfig | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        streamed = False
        try:
            async for part in self.chain.astream(input, config, **kwargs):
                streamed = True
                yield part
        except MalformedResponse as error:
            yield _unfit(error, streamed=streamed)


def _unfit(error: MalformedResponse, *, streamed: bool = False) -> AddableDict:
    """The result for an answer that did not fit; without the message if its chunks were already yielded."""
    if error.partial is None:
        raise error
    result = AddableDict(parsed=None, parsing_error=error)
    if not streamed:
        result["raw"] = ChunkMapper().whole(error.partial)
    return result
