"""What both clients share: settings, server, retry budget, and how messages become a call. Nothing waits here."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from typing import Any, Self

from glmv._embed import Embeddings, embed
from glmv._endpoint import Desk
from glmv._flow import Call, Step, exchange
from glmv._gate import Gate, gate
from glmv._messages import Messages
from glmv._prepare import chat_call, row_of
from glmv._request import ChatRequest, Settings
from glmv._retry import Budget
from glmv._secrets import without_values
from glmv._telemetry import Asked, watched
from glmv._types import Completion
from glmv._where import Place, place


class Base:
    """What both clients are: settings, a server, a retry budget; and how messages become a call."""

    def __init__(self, api_key: str | None = None, **options: Any) -> None:
        given = {"api_key": api_key, **options}
        del api_key
        options.clear()
        self._begin(without_values(lambda: Settings(**given), given))

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A client for settings that are made already; they are read at each call."""
        client = cls.__new__(cls)
        client._begin(settings)  # noqa: SLF001 - our own, before anyone has seen it
        return client

    def _begin(self, settings: Settings) -> None:
        self.settings = settings
        self._budget = Budget()
        self._place: Place | None = None

    @property
    def place(self) -> Place:
        """Where requests go; decided when first needed, so that no key is asked for before."""
        if self._place is None:
            self._place = place(self.settings, os.environ)
        return self._place

    def request(self, messages: Messages, *, model: str | None = None, **options: Any) -> ChatRequest:
        """Messages and options -> the request that `run` and `run_stream` take."""
        return self._request(messages, model, options)

    def _request(self, messages: Messages, model: str | None, options: dict[str, Any]) -> ChatRequest:
        """Messages and options -> the request. Empties `options`, which may hold headers with credentials."""
        if model:
            options["model"] = model
        return without_values(lambda: ChatRequest.of(messages, self.settings, options), options)

    def _call(self, request: ChatRequest, *, stream: bool) -> Call:
        return chat_call(request, self.settings, self.place, self._budget, stream=stream)

    def _exchange(self, request: ChatRequest, *, stream: bool) -> Generator[Step, Any, Completion]:
        flow = exchange(self._call(request, stream=stream), stream=stream)
        return watched(flow, Asked("chat", request.model, stream, request.options, request.messages), self.place)

    def _embedding(
        self, texts: str | Sequence[str], model: str, dimensions: int | None
    ) -> Generator[Step, Any, Embeddings]:
        return watched(embed(self._desk(), texts, model, dimensions), Asked("embeddings", model), self.place)

    def _desk(self) -> Desk:
        return Desk(self.settings, self.place, self._budget)

    def slots(self, model: str) -> Gate:
        """The gate that calls of this model pass."""
        where = self.place
        row = row_of(model, where.dialect)
        return gate(where.account, where.host, model, self.settings.max_concurrency, row.concurrency if row else None)

    def __repr__(self) -> str:
        settings = getattr(self, "settings", None)  # absent when the constructor refused its arguments
        return f"{type(self).__name__}({f'model={settings.model!r}' if settings else ''})"

    def __reduce__(self) -> tuple[Any, ...]:
        # Neither connections nor the key go into a pickle: the key is read from the environment again.
        return type(self).of, (self.settings,)

    def __copy__(self) -> Self:
        return type(self).of(self.settings)

    def __deepcopy__(self, memo: object) -> Self:
        return type(self).of(self.settings)
