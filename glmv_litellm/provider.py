"""`GLMVProvider`: LiteLLM calls its methods for models named `glmv/...`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, closing
from typing import Any

import litellm
from litellm.llms.custom_llm import CustomLLM
from litellm.types.utils import ModelResponse, ModelResponseStream

import glmv
from glmv_litellm.clients import ClientCache
from glmv_litellm.errors import litellm_errors
from glmv_litellm.messages import to_glmv
from glmv_litellm.options import CallSettings, call_settings
from glmv_litellm.responses import StreamMapper, response_of


class GLMVProvider(CustomLLM):
    """A custom provider of LiteLLM that uses `glmv` to fit pictures, force tool calls and make answers fit a schema.

    LiteLLM calls its methods with the arguments of `litellm.completion`, after checking them. Besides OpenAI's options,
    a call may have those of `glmv.Client.chat` (`do_sample`, `deadline`, `keep_pictures`, ...), and `auth`, `dialect`,
    `max_concurrency` and `allow_http` of `glmv.Settings`. LiteLLM refuses `thinking` and `reasoning_effort` unless they
    are in `extra_body` or listed in `allowed_openai_params`.

    Calls with the same key and connection settings share clients. A call without a key uses the key in
    ZHIPUAI_API_KEY or ZAI_API_KEY.

    `glmv` retries calls (`max_retries`, by default 3), unless `num_retries` is set or LiteLLM's router makes the call;
    in these two cases LiteLLM retries. An HTTP client passed to the call is ignored.

    Calls raise LiteLLM's exceptions, whose `__cause__` is the error of `glmv`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._clients = ClientCache()

    def completion(
        self, *, model: str, messages: Sequence[Any], model_response: ModelResponse, **arguments: Any
    ) -> ModelResponse:
        """Send a request, and return the whole answer."""
        with litellm_errors(model):
            clients, options = self._call(arguments)
            answer = clients.sync.chat(to_glmv(messages), model=model, **options)
            return response_of(answer, model_response, model)

    def streaming(self, *, model: str, messages: Sequence[Any], **arguments: Any) -> Iterator[ModelResponseStream]:
        """Stream an answer in chunks. The call waits for the first chunk, and raises an error that comes before it."""
        with litellm_errors(model):
            clients, options = self._call(arguments)
            deltas = clients.sync.stream(to_glmv(messages), model=model, **options)
            first = next(deltas, None)
        return _chunks(first, deltas, model)

    async def acompletion(
        self, *, model: str, messages: Sequence[Any], model_response: ModelResponse, **arguments: Any
    ) -> ModelResponse:
        """The asynchronous form of `completion`."""
        with litellm_errors(model):
            clients, options = self._call(arguments)
            answer = await clients.asynchronous.chat(to_glmv(messages), model=model, **options)
            return response_of(answer, model_response, model)

    async def astreaming(
        self, *, model: str, messages: Sequence[Any], **arguments: Any
    ) -> AsyncIterator[ModelResponseStream]:
        """The asynchronous form of `streaming`. An error before the first chunk is raised in place of that chunk."""
        with litellm_errors(model):
            clients, options = self._call(arguments)
            mapper = StreamMapper(model)
            async with aclosing(clients.asynchronous.stream(to_glmv(messages), model=model, **options)) as deltas:
                async for delta in deltas:
                    for chunk in mapper.feed(delta):
                        yield chunk

    def _call(self, arguments: Mapping[str, Any]) -> tuple[glmv.Clients, dict[str, Any]]:
        of_litellm = arguments.get("litellm_params") or {}
        settings: CallSettings = call_settings(
            arguments.get("optional_params") or {},
            api_base=arguments.get("api_base"),
            headers=arguments.get("headers"),
            timeout=arguments.get("timeout"),
            base_model=of_litellm.get("base_model"),
            drop=bool(litellm.drop_params or of_litellm.get("drop_params")),
        )
        return self._clients.of(arguments.get("api_key"), settings.connection), settings.options

    def close(self) -> None:
        """Close the connections of blocking calls. The next call opens new ones."""
        self._clients.close()

    async def aclose(self) -> None:
        """Close all connections, except those in other event loops. The next call opens new ones."""
        await self._clients.aclose()


def _chunks(
    first: glmv.Delta | None, rest: Generator[glmv.Delta, None, None], model: str
) -> Iterator[ModelResponseStream]:
    mapper = StreamMapper(model)
    with litellm_errors(model), closing(rest):
        if first is not None:
            yield from mapper.feed(first)
        for delta in rest:
            yield from mapper.feed(delta)


provider = GLMVProvider()
"""The provider that `register` adds, for `custom_handler` in the YAML of LiteLLM's proxy."""
