"""`ChatGLMV`: GLM-4V as a LangChain chat model."""

from __future__ import annotations

import builtins
import os
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.language_models.model_profile import ModelProfile
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

import glmv
from langchain_glmv.chunks import PROVIDER, ChunkMapper
from langchain_glmv.content import holds_reference
from langchain_glmv.errors import joined_errors
from langchain_glmv.messages import to_glmv, typed
from langchain_glmv.options import Tool, call_options, constructor_options, tool_options, traced_options, wire_tools
from langchain_glmv.profile import profile_for, profile_of
from langchain_glmv.tokens import tokens_of_messages, tokens_of_text

_OPTIONS = tuple(glmv.Options.model_fields)


def _store(value: Any) -> Any:
    """Returns the store in a folder if `value` is the folder's path, as in a loaded JSON file; else returns `value`."""
    return glmv.PictureStore(value) if isinstance(value, str | os.PathLike) else value


class ChatGLMV(glmv.Settings, glmv.Component, BaseChatModel):
    """GLM-4V, the vision model of Zhipu, as a LangChain chat model.

    All fields of `glmv.Settings` are fields here: `model` (also `model_name`), `api_key`, `base_url`, `temperature`,
    `max_tokens`, `thinking`, `timeout`, `max_retries`, ... Three fields are added:

    Attributes:
        streaming: True makes `invoke` use a streamed request; an explicit False makes `stream` yield one whole message.
        stream_usage: whether streams end with `usage_metadata`. If a server sends usage on request only, glmv requests
            usage.
        picture_store: a `glmv.PictureStore`, or its folder. Blocks that name a picture or a video by reference (made by
            `image("photo.jpg", store=store)`) are resolved from this store only, when they are sent. Copies, pickles
            and the output of `dumps` contain the path of its folder.

    A `ChatGLMV` opens no connection and needs no key before the first call. Pickles and the output of `dumps` contain
    no key: a loaded `ChatGLMV` reads the key from ZHIPUAI_API_KEY or ZAI_API_KEY. `close()`, `aclose()` and `with`
    blocks close the connections at once; otherwise they are closed when the object is garbage-collected.

    Examples:
        >>> from langchain_glmv import ChatGLMV, image
        >>> model = ChatGLMV(model="glm-4.6v")
        >>> question = [("human", ["What is this?", image("photo.jpg")])]
        >>> model.invoke(question).text  # doctest: +SKIP
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, populate_by_name=True)

    streaming: bool = False
    stream_usage: bool = True
    picture_store: Annotated[glmv.PictureStore | None, BeforeValidator(_store)] = None

    if not TYPE_CHECKING:  # type checkers use the signature that pydantic generates

        def __init__(self, **kwargs: Any) -> None:
            has_profile = kwargs.get("profile")
            with joined_errors():
                glmv.without_values(lambda: super(ChatGLMV, self).__init__(**constructor_options(kwargs)), kwargs)
            if has_profile:  # `configurable_fields` passes the profile of the original model
                self.profile = profile_for(self.model, self.base_model, self.profile)

    @model_validator(mode="after")
    def _set_glmv_version(self) -> Self:
        if hasattr(self, "_add_version"):  # langchain-core 1.5 and later
            self._add_version("langchain-glmv", glmv.__version__)
        return self

    @property
    def model_name(self) -> str:
        """The same as `model`; some of LangChain's code reads this name."""
        return self.model

    # ---- calls ----------------------------------------------------------------------------------------------

    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        with joined_errors():
            return typed(super()._convert_input(model_input))

    def _request(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[glmv.ChatRequest, ChunkMapper]:
        return glmv.without_values(lambda: self._mapped(messages, stop, kwargs), kwargs)

    def _mapped(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[glmv.ChatRequest, ChunkMapper]:
        overrides, usage = call_options(kwargs, self.stream_usage)
        if not usage:
            overrides.setdefault("stream_options", self.stream_options or False)  # ask for usage only if it is shown
        if stop is not None:
            overrides["stop"] = stop
        mapped, notes = to_glmv(messages, overrides.get("model") or self.model, self.picture_store)
        request = glmv.chat_request(mapped, self, overrides)
        mapper = ChunkMapper(usage=usage, may_replace=bool(request.call.get("may_replace")))
        return request.but(notes=request.notes + notes) if notes else request, mapper

    async def _arequest(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> tuple[glmv.ChatRequest, ChunkMapper]:
        """Runs `_request`; in a worker thread if the messages contain large content or references to stored files."""
        content = [message.content for message in messages]
        if not (glmv.is_large(content) or (self.picture_store is not None and holds_reference(content))):
            return self._request(messages, stop, kwargs)
        started = time.monotonic()
        deadline = kwargs.get("deadline", self.deadline)
        request, mapper = await glmv.in_worker(partial(self._request, messages, stop, kwargs), deadline=deadline)
        return request.after(time.monotonic() - started), mapper

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with joined_errors():
            request, mapper = self._request(messages, stop, kwargs)
            return _result(mapper.whole(self.clients.sync.run(request)))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with joined_errors():
            request, mapper = await self._arequest(messages, stop, kwargs)
            return _result(mapper.whole(await self.clients.asynchronous.run(request)))

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        with joined_errors():
            request, mapper = self._request(messages, stop, kwargs)
            with closing(self.clients.sync.run_stream(request)) as deltas:
                for delta in deltas:
                    message = mapper.feed(delta)
                    if message is None:
                        continue
                    chunk = ChatGenerationChunk(message=message)
                    # langchain-core passes no manager if it calls back itself, so no token is reported twice.
                    if run_manager:
                        run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                    yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with joined_errors():
            request, mapper = await self._arequest(messages, stop, kwargs)
            # If the consumer stops early, the event loop closes both this generator and the one below. Closing the
            # inner one here as well would fail when the loop closes both at its end (`shutdown_asyncgens`).
            async for delta in self.clients.asynchronous.run_stream(request):
                message = mapper.feed(delta)
                if message is None:
                    continue
                chunk = ChatGenerationChunk(message=message)
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    # ---- tools and structured output ------------------------------------------------------------------------
    # LangChain reads the return annotations at run time: `with_fallbacks(...).bind_tools(...)` keeps its fallbacks
    # only when the annotation is Runnable (langchain_core.runnables.fallbacks, `_returns_runnable`).

    def bind_tools(
        self,
        tools: Sequence[Tool],
        *,
        tool_choice: str | Mapping[str, Any] | bool | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Return the model with tools bound to it.

        Args:
            tools: LangChain tools, functions, pydantic classes, TypedDicts, JSON Schemas, or tool dicts of OpenAI or
                Anthropic; the platform's own tools (`{"type": "web_search", ...}`, `{"type": "retrieval", ...}`) pass
                unchanged.
            tool_choice: "auto", "none", a tool's name, or a dict that names a tool; "any", "required" and True each
                mean that the model must call some tool. The platform supports "auto" only. With "none" no tools are
                sent. For all other values glmv adds an instruction to the prompt, and repeats the request once if the
                answer has no tool call. glmv does not validate the arguments of tool calls: agents and tools validate
                them, and report errors to the model.
            strict: accepted and not sent.
            parallel_tool_calls: False keeps only the first tool call of an answer.
            kwargs: more options for each request, such as `response_format`. If an answer does not fit the
                `response_format`, the request is repeated once. If the second answer does not fit either, it is
                returned with a note in `response_metadata["notes"]`; `on_misfit="raise"` raises MalformedResponse
                instead.

        Raises:
            InvalidRequestError: `tools` contains a tool that only another provider runs.
        """
        with joined_errors():
            if tool_choice or "response_format" in kwargs:
                kwargs = {"on_misfit": "return", **kwargs}  # the caller, such as an agent, validates the answer
            return self.bind(**tool_options(tools, tool_choice, parallel_tool_calls), **kwargs)

    def with_structured_output(
        self,
        schema: Mapping[str, Any] | type | None = None,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, builtins.dict[str, Any] | BaseModel]:
        """Return a runnable that answers with data that fits a schema.

        Args:
            schema: a pydantic class (answers are instances), a TypedDict or a JSON Schema (answers are dicts).
            method: "json_schema" asks for JSON and shows the schema; "function_calling" forces a tool call;
                "json_mode" asks for JSON, and your prompt describes its structure.
            include_raw: answer `{"raw": message, "parsed": ..., "parsing_error": ...}` and do not raise for
                answers that do not fit.
            strict: accepted and ignored: answers are always validated. If an answer does not fit, the model gets it
                back once, with the validation error.
            kwargs: more options for each request. An answer that calls a tool of the option `tools` is parsed as
                None. With `on_misfit="raise"`, the runnable raises an error if the second answer does not fit a
                TypedDict or JSON Schema; for a pydantic class this is the default.

        Returns:
            A runnable. For a pydantic class it answers with a valid instance. Otherwise it answers with a dict. If the
            second answer is JSON that does not fit the TypedDict or JSON Schema, the runnable still returns the dict:
            LangChain expects callers to validate dicts. The model's message, which traces show, then has a note.

        Raises:
            OutputParserException: the runnable raises it when two answers in a row have neither JSON nor a tool call,
                or when the second answer does not fit the pydantic class.
            ModelRefusalError: the runnable raises it when the platform withdraws the answer, even if `on_sensitive` is
                "return". With `include_raw` this error is the `parsing_error`.
        """
        from langchain_glmv.structured import (
            structured_model,  # its parsers take a tenth of the package's import time, so they are imported here
        )

        with joined_errors():
            return structured_model(self, schema, method, include_raw=include_raw, strict=strict, extra=kwargs)

    # ---- facts that LangChain reads -------------------------------------------------------------------------

    @property
    def _llm_type(self) -> str:
        return "glmv-chat"

    def _combine_llm_outputs(self, llm_outputs: list[dict[str, Any] | None]) -> dict[str, Any]:
        return {"model_name": self.model}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "base_model": self.base_model,
            "base_url": self.base_url,
            "dialect": self.dialect,
            "on_sensitive": self.on_sensitive,
            "keep_pictures": self.keep_pictures,
            **{name: value for name in _OPTIONS if (value := self.__dict__[name]) is not None},
        }

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop or self.stop, **kwargs)
        # SummarizationMiddleware compares this with `response_metadata["model_provider"]`.
        params["ls_provider"] = PROVIDER
        return params

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        with joined_errors():
            return {**self.asdict(), "stop": stop, **glmv.without_values(lambda: traced_options(kwargs), kwargs)}

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        with joined_errors():
            options = glmv.without_values(lambda: traced_options(kwargs), kwargs)
            return super()._get_llm_string(stop=stop, **options)

    @property
    def _serialized(self) -> dict[str, Any]:
        # Traces and cache keys contain this. langchain-core's version caches it for good, and copies would inherit it.
        secrets = {name: {"lc": 1, "type": "secret", "id": [variable]} for name, variable in self.lc_secrets.items()}
        kwargs = {name: value for name, value in self._identifying_params.items() if value is not None}
        return {"lc": 1, "type": "constructor", "id": self.lc_id(), "kwargs": {**kwargs, **secrets}, "name": "ChatGLMV"}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """True: `langchain_core.load.dumps` writes the settings, and the name of the key's environment variable."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Fields that `dumps` replaces by the name of an environment variable."""
        return {"api_key": "ZHIPUAI_API_KEY"}

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """What `dumps` writes in place of a field's value: for `picture_store`, the path of its folder."""
        return {} if self.picture_store is None else {"picture_store": os.fspath(self.picture_store)}

    def _resolve_model_profile(self) -> ModelProfile | None:
        return profile_of(self.model, self.base_model)

    def get_token_ids(self, text: str) -> list[int]:
        """Placeholders for token ids, as many as `get_num_tokens` returns, because the tokenizer is not public."""
        return list(range(self.get_num_tokens(text)))

    def get_num_tokens(self, text: str) -> int:
        """Tokens of a text, estimated without the network; `glmv.Client.count_tokens` asks the platform."""
        if self.custom_get_token_ids is not None:
            return len(self.custom_get_token_ids(text))
        return tokens_of_text(text)

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[Tool] | None = None,
    ) -> int:
        """Tokens of messages and tools, estimated without the network. Pictures are counted by their size in pixels."""
        with joined_errors():
            mapped, _ = to_glmv(messages, self.model, self.picture_store, may_be_empty=True)
            request_messages = glmv.chat_request(mapped, self, {}).messages if mapped else ()
            tool_dicts = wire_tools(tools) if tools else []
        return tokens_of_messages(request_messages, tool_dicts, self.get_num_tokens, self.catalog_row())

    def __repr_args__(self) -> Any:
        arguments = [
            (name, value) for name, value in super().__repr_args__() if name not in ("model", "profile", "metadata")
        ]
        # A model whose constructor refused its arguments has no fields yet.
        return [("model", self.__dict__.get("model")), *arguments]

    # ---- copies ---------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _store(value) if name == "picture_store" else value)
        if name in ("model", "base_model"):
            self.profile = profile_for(self.model, self.base_model, self.profile)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with some fields changed. A new `model` gets its own profile, unless the user set a profile."""
        if update and "picture_store" in update:
            update = {**update, "picture_store": _store(update["picture_store"])}
        copied = super().model_copy(update=update, deep=deep)
        copied.profile = profile_for(copied.model, copied.base_model, copied.profile)
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # The user's rate limiters, handlers and clients hold locks and connections, so a copy shares them.
        shared = (self.http_client, self.http_async_client, self.callbacks, self.rate_limiter, self.cache)
        return super().__deepcopy__({**(memo or {}), **{id(one): one for one in shared}})


def _result(message: AIMessage) -> ChatResult:
    return ChatResult(generations=[ChatGeneration(message=message)])
