"""GLM-4V as a LlamaIndex LLM: public methods emit the events, private ones make and send requests."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Unpack
from urllib.parse import urlsplit

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection
from pydantic import AliasChoices, BeforeValidator, Field

import glmv
from llama_index_glmv.clients import SharesClient
from llama_index_glmv.intake import Intake, LocalFiles, OnUnsupported, folders, in_our_terms
from llama_index_glmv.messages import (
    ImageDocuments,
    chat_arguments,
    parts_of_documents,
    reads_files,
    to_glmv,
    with_linked,
)
from llama_index_glmv.metadata import LLMS, GLMVMetadata, metadata_of, register_name, written_metadata
from llama_index_glmv.responses import Answer, as_chat, as_completion, first_only, selections, whole
from llama_index_glmv.structured import Schema, StructuredOutput

if TYPE_CHECKING:
    from llama_index.core.chat_engine.types import AgentChatResponse
    from llama_index.core.tools.types import BaseTool

R = TypeVar("R", ChatResponse, CompletionResponse)
F = TypeVar("F", bound=Callable[..., Any])


class AskKeywords(glmv.CallKeywords, total=False):
    """Options of one call: those of `glmv.Client.chat`, plus `model`, `image_url` and `video_url`.

    The base classes accept any keyword. This class lists the valid ones, so that a misspelt one is a type error.
    """

    model: str | None
    image_url: Any
    video_url: Any


# LlamaIndex's decorators lose the types of the methods they decorate; these functions restore them. The signatures are
# those of LlamaIndex, because its instrumentation binds the arguments by them and puts them into events.
def _chat_events(method: F) -> F:
    decorated: F = llm_chat_callback()(method)
    return decorated


def _completion_events(method: F) -> F:
    decorated: F = llm_completion_callback()(method)
    return decorated


Formatted = bool | ImageDocuments | None
"""The type of `formatted` in `complete`: a bool; or pictures, because they are the second argument of
`MultiModalLLM.complete` in LlamaIndex."""


class GLMV(glmv.Settings, SharesClient, StructuredOutput):
    """GLM-4V in LlamaIndex: chat, completion, streaming, tools and structured output, with pictures.

    All fields of `glmv.Settings` are fields here: `GLMV(model="glm-4.6v", temperature=0.2)`. The key comes
    from `api_key` or the environment and is read at the first call.

    Attributes:
        context_window: size of the model's context window in tokens; overrides the catalogue.
        extra_body: further keys of the request body; `additional_kwargs` is its older name.
        client: a `glmv.Client` or `glmv.AsyncClient` to share.
        local_files: which files typed fields (`ImageBlock.path`, `image_path`, paths in `image_documents`) may name:
            True allows any file; False allows no file; a list of folders allows the files that are inside these
            folders after links are resolved. Paths in metadata are never opened.
        on_unsupported: "raise", or "warn" to leave out blocks that cannot be sent, with a warning and a note.

    Every method raises `glmv.GLMVError` and nothing else when a call fails.

    Examples:
        >>> llm = GLMV(model="glm-4.6v")
        >>> llm.complete("What is this?", image_documents=["photo.jpg"]).text
    """

    context_window: int | None = Field(default=None, gt=0)
    extra_body: dict[str, Any] | None = Field(
        default=None, validation_alias=AliasChoices("extra_body", "additional_kwargs")
    )
    local_files: Annotated[LocalFiles, BeforeValidator(folders)] = True
    on_unsupported: OnUnsupported = "raise"

    @classmethod
    def class_name(cls) -> str:
        """The name of the class in serialized objects."""
        return "glmv_llm"

    @property
    def metadata(self) -> GLMVMetadata:
        """Context window, length of an answer and support of tools, from the fields and the model's catalogue row."""
        return metadata_of(
            self.model,
            base_model=self.base_model,
            context_window=self.context_window,
            max_tokens=self.max_tokens,
        )

    def to_payload(self) -> dict[str, Any]:
        """The settings that tracers receive: no key, no header, and only the host of the base URL."""
        return {
            "class_name": self.class_name(),
            **written_metadata(self.model, self.base_model, self.context_window, self.max_tokens),
            "model": self.model,
            "base_model": self.base_model,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "thinking": self.thinking,
            "base_url_host": urlsplit(self.base_url or "").hostname,
        }

    # ---- chat

    @_chat_events
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Unpack[AskKeywords]) -> ChatResponse:
        """Answer a conversation.

        Args:
            messages: messages with roles and blocks of any kind; see `messages.py` for how each is sent.
            kwargs: options of this call, by the names of `glmv.Options`; they override the fields.
        """
        with in_our_terms():
            return whole(self._sync.run(self._request(messages, kwargs)))

    @_chat_events
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Unpack[AskKeywords]) -> ChatResponseGen:
        """Stream the answer to a conversation; the last response has the usage. Closing the generator ends the call."""
        return self._stream(self._request(messages, kwargs), as_chat)

    @_chat_events
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Unpack[AskKeywords]) -> ChatResponse:
        """`chat`, asynchronously."""
        with in_our_terms():
            return whole(await self._asynchronous.run(await self._arequest(messages, kwargs)))

    @_chat_events
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Unpack[AskKeywords]
    ) -> ChatResponseAsyncGen:
        """`stream_chat`, asynchronously."""
        return self._astream(await self._arequest(messages, kwargs), as_chat)

    # ---- completion

    @_completion_events
    def complete(
        self,
        prompt: str,
        formatted: Formatted = False,
        image_documents: ImageDocuments | None = None,
        **kwargs: Unpack[AskKeywords],
    ) -> CompletionResponse:
        """Answer a prompt about pictures.

        Args:
            prompt: the text; it is sent after the pictures.
            formatted: whether `completion_to_prompt` was already applied to the prompt. Pictures are also
                accepted as second argument, because LlamaIndex's `MultiModalLLM.complete` has them there.
            image_documents: pictures of any kind; see `messages.ImageSource`.
            kwargs: options of this call.
        """
        with in_our_terms():
            return as_completion(whole(self._sync.run(self._prompt(prompt, formatted, image_documents, kwargs))))

    @_completion_events
    def stream_complete(
        self,
        prompt: str,
        formatted: Formatted = False,
        image_documents: ImageDocuments | None = None,
        **kwargs: Unpack[AskKeywords],
    ) -> CompletionResponseGen:
        """`complete`, streamed."""
        return self._stream(self._prompt(prompt, formatted, image_documents, kwargs), as_completion)

    @_completion_events
    async def acomplete(
        self,
        prompt: str,
        formatted: Formatted = False,
        image_documents: ImageDocuments | None = None,
        **kwargs: Unpack[AskKeywords],
    ) -> CompletionResponse:
        """`complete`, asynchronously."""
        with in_our_terms():
            request = await self._aprompt(prompt, formatted, image_documents, kwargs)
            return as_completion(whole(await self._asynchronous.run(request)))

    @_completion_events
    async def astream_complete(
        self,
        prompt: str,
        formatted: Formatted = False,
        image_documents: ImageDocuments | None = None,
        **kwargs: Unpack[AskKeywords],
    ) -> CompletionResponseAsyncGen:
        """`stream_complete`, asynchronously."""
        return self._astream(await self._aprompt(prompt, formatted, image_documents, kwargs), as_completion)

    # ---- tools

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        return chat_arguments(
            tools,
            user_msg,
            chat_history,
            parallel=allow_parallel_tool_calls,
            required=tool_required,
            options=kwargs,
        )

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        return response if allow_parallel_tool_calls else first_only(response)

    def predict_and_call(self, *args: Any, **kwargs: Any) -> AgentChatResponse:
        """Let the model call a tool, and run the tool.

        LlamaIndex does not report invalid arguments to the model in this method. So if `tool_required` or
        `tool_choice` forces a tool call, glmv validates the arguments, and repeats the request once if they do not fit.

        Args:
            args: `tools`, `user_msg` and `chat_history`, as in LlamaIndex's method.
            kwargs: the other arguments of LlamaIndex's method, and options of the request.

        Raises:
            MalformedResponse: a tool call is forced, and two answers in a row have no tool call with valid arguments.
            ValueError: the answer has no tool call and `error_on_no_tool_call` is set.
        """
        return super().predict_and_call(*args, **{"on_misfit": "raise", **kwargs})

    async def apredict_and_call(self, *args: Any, **kwargs: Any) -> AgentChatResponse:
        """`predict_and_call`, asynchronously."""
        return await super().apredict_and_call(*args, **{"on_misfit": "raise", **kwargs})

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The tool calls of an answer, or of a chunk.

        Raises:
            ValueError: there is no tool call and `error_on_no_tool_call` is set.
        """
        return selections(response, required=error_on_no_tool_call)

    # ---- requests. These methods emit no events, since the public ones do.

    def _intake(self, kwargs: Any) -> Intake:
        model = kwargs.get("model") or self.model
        row = glmv.find_model(kwargs["base_model"]) if kwargs.get("base_model") else self.catalog_row(model)
        return Intake(model, row=row, local_files=self.local_files, on_unsupported=self.on_unsupported)

    def _request(self, messages: Sequence[ChatMessage], kwargs: Any) -> glmv.ChatRequest:
        intake = self._intake(kwargs)
        return self._chat_request(to_glmv(messages, intake), intake, kwargs)

    async def _arequest(self, messages: Sequence[ChatMessage], kwargs: Any) -> glmv.ChatRequest:
        if reads_files(messages) or glmv.is_large([message.blocks for message in messages]):
            return await self._in_worker(partial(self._request, messages, kwargs), kwargs)
        return self._request(messages, kwargs)

    async def _in_worker(self, make: Callable[[], glmv.ChatRequest], kwargs: dict[str, Any]) -> glmv.ChatRequest:
        """Make a request in a worker thread; the time it takes counts against the call's deadline."""
        started = time.monotonic()
        request = await glmv.in_worker(make, deadline=kwargs.get("deadline", self.deadline))
        return request.after(time.monotonic() - started)

    def _prompt(
        self, prompt: str, formatted: Formatted, image_documents: ImageDocuments | None, kwargs: Any
    ) -> glmv.ChatRequest:
        intake = self._intake(kwargs)
        if not isinstance(formatted, bool):
            image_documents = formatted if image_documents is None else image_documents
            formatted = False
        if not isinstance(prompt, str):
            raise glmv.InvalidRequestError(
                f"a prompt must be a str; got {type(prompt).__name__}. For a ChatMessage use chat([message])."
            )
        if not formatted and self.completion_to_prompt is not None:
            prompt = self.completion_to_prompt(prompt)
        parts = parts_of_documents(image_documents, intake)
        return self._chat_request([glmv.Message("user", [*parts, glmv.Text(prompt)])], intake, kwargs)

    async def _aprompt(
        self, prompt: str, formatted: Formatted, image_documents: ImageDocuments | None, kwargs: Any
    ) -> glmv.ChatRequest:
        if isinstance(formatted, bool) and image_documents is None:
            return self._prompt(prompt, formatted, None, kwargs)
        return await self._in_worker(partial(self._prompt, prompt, formatted, image_documents, kwargs), kwargs)

    def _chat_request(
        self, messages: Sequence[glmv.Message], intake: Intake, kwargs: dict[str, Any]
    ) -> glmv.ChatRequest:
        match kwargs.get("response_format"):
            case Schema() as schema:
                kwargs = {"validate": schema.validate, **kwargs}
        overrides = dict(kwargs)

        def make() -> glmv.ChatRequest:
            return glmv.chat_request(with_linked(messages, overrides, intake), self, overrides)

        request = glmv.without_values(make, overrides, kwargs)
        return request.but(notes=(*request.notes, *intake.notes)) if intake.notes else request

    def _stream(self, request: glmv.ChatRequest, convert: Callable[[ChatResponse], R]) -> Generator[R, None, None]:
        answer = Answer()
        with in_our_terms(), closing(self._sync.run_stream(request)) as deltas:
            for delta in deltas:
                yield convert(answer.add(delta))

    async def _astream(
        self, request: glmv.ChatRequest, convert: Callable[[ChatResponse], R]
    ) -> AsyncGenerator[R, None]:
        answer = Answer()
        # Without `aclosing`: if the event loop ends right after the consumer stops, it closes all generators at once
        # and would log an error, because the inner one is already being closed. The loop closes it anyway.
        with in_our_terms():
            async for delta in self._asynchronous.run_stream(request):
                yield convert(answer.add(delta))


register_name(GLMV, LLMS)
