"""The clients of a component: created from its settings on first use, or one that the user passes in."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

import glmv

# The settings of a connection; then what belongs to a client and not to its calls, with older names.
CLIENT_FIELDS = frozenset(glmv.Connection.model_fields)
_CLIENT_NAMES = CLIENT_FIELDS | {"on_sensitive", "api_base", "async_http_client"}


class SharesClient(glmv.Component):
    """Settings and the clients that are created from them; one of the clients may be shared.

    Attributes:
        shares: the fields that are copied from a shared client.
        client: a `glmv.Client` or `glmv.AsyncClient` to share, which you close. Its settings hold here, too; calls
            of the other kind get a client of their own from them. It is not serialized with the component.
    """

    shares: ClassVar[frozenset[str]] = frozenset(glmv.Settings.model_fields)
    client: Any = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _as_the_client(cls, given: Any) -> Any:
        match given:
            case {"client": glmv.Client(settings=settings) | glmv.AsyncClient(settings=settings)}:
                if given_twice := sorted(_CLIENT_NAMES & given.keys()):
                    raise ValueError(f"{', '.join(given_twice)}: the client that is shared has its own")
                return {**{name: getattr(settings, name) for name in settings.model_fields_set & cls.shares}, **given}
            case {"client": other} if other is not None:
                raise ValueError(f"client is a glmv.Client or a glmv.AsyncClient; got {type(other).__name__}")
        return given

    @property
    def _sync(self) -> glmv.Client:
        return self.client if isinstance(self.client, glmv.Client) else self.clients.sync

    @property
    def _asynchronous(self) -> glmv.AsyncClient:
        return self.client if isinstance(self.client, glmv.AsyncClient) else self.clients.asynchronous
