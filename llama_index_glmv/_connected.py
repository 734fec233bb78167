"""The clients of a component: made for its settings when first used, or one that the user shares."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field, model_validator

import glmv

# What belongs to a client and not to its calls, with all the names that it may be given by.
OF_CLIENTS = frozenset(glmv.Settings.model_fields) - frozenset(glmv.Options.model_fields) - {"model"}
_THEIR_NAMES = OF_CLIENTS | {"api_base", "async_http_client"}


class Connected(glmv.Component):
    """Settings and the clients that they are for; one of them may be shared.

    Attributes:
        shares: the fields that are taken over from such a client.
        client: a `glmv.Client` or `glmv.AsyncClient` to share, which you close. Its settings hold here, too; calls
            of the other kind get a client of their own from them. It is not written down with the component.
    """

    shares: ClassVar[frozenset[str]] = frozenset(glmv.Settings.model_fields)
    client: Any = Field(default=None, exclude=True, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _as_the_client(cls, given: Any) -> Any:
        match given:
            case {"client": glmv.Client(settings=kept) | glmv.AsyncClient(settings=kept)}:
                if twice := sorted(_THEIR_NAMES & given.keys()):
                    raise ValueError(f"{', '.join(twice)}: the client that is shared has its own")
                return {**{name: getattr(kept, name) for name in kept.model_fields_set & cls.shares}, **given}
            case {"client": other} if other is not None:
                raise ValueError(f"client is a glmv.Client or a glmv.AsyncClient; got {type(other).__name__}")
        return given

    @property
    def _sync(self) -> glmv.Client:
        return self.client if isinstance(self.client, glmv.Client) else self.clients.sync

    @property
    def _asynchronous(self) -> glmv.AsyncClient:
        return self.client if isinstance(self.client, glmv.AsyncClient) else self.clients.asynchronous
