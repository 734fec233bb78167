"""The clients of a component: created from its settings at first use, or passed in by the user."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

import glmv

# The settings of a connection; below, all settings that belong to a client rather than to a call, with older names.
CLIENT_FIELDS = frozenset(glmv.Connection.model_fields)
_CLIENT_NAMES = CLIENT_FIELDS | {"on_sensitive", "api_base", "async_http_client"}


class SharesClient(glmv.Component):
    """Settings, and the clients that are created from them; the user can pass in one of the clients.

    Attributes:
        shares: the fields that are copied from a client that the user passes in.
        client: a `glmv.Client` or `glmv.AsyncClient` to share; the user closes it. The component copies the
            client's settings. From these it creates a client of the other kind when one is needed. The client is not
            serialized.
    """

    shares: ClassVar[frozenset[str]] = frozenset(glmv.Settings.model_fields)
    client: Any = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _as_the_client(cls, values: Any) -> Any:
        match values:
            case {"client": glmv.Client(settings=settings) | glmv.AsyncClient(settings=settings)}:
                if duplicates := sorted(_CLIENT_NAMES & values.keys()):
                    raise ValueError(f"{', '.join(duplicates)}: cannot be set together with client, which sets them")
                return {**{name: getattr(settings, name) for name in settings.model_fields_set & cls.shares}, **values}
            case {"client": other} if other is not None:
                raise ValueError(f"client must be a glmv.Client or a glmv.AsyncClient; got {type(other).__name__}")
        return values

    @property
    def _sync(self) -> glmv.Client:
        return self.client if isinstance(self.client, glmv.Client) else self.clients.sync

    @property
    def _asynchronous(self) -> glmv.AsyncClient:
        return self.client if isinstance(self.client, glmv.AsyncClient) else self.clients.asynchronous
