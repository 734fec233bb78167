"""The blocking and the asynchronous client of a component, created when first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self

from pydantic import PrivateAttr

from glmv._public import public_class
from glmv.options import Connection, Settings

if TYPE_CHECKING:
    from glmv.client import AsyncClient, Client

# Fields that decide where to connect and with which key: when one of them changes, new clients are needed.
_CONNECTION = (
    "api_key", "base_url", "auth", "token_ttl", "max_concurrency", "http_client", "http_async_client",
    "default_headers", "allow_http", "dialect", "base64_as",
)  # fmt: skip
_values: Callable[[Mapping[str, Any]], tuple[Any, ...]] = itemgetter(*_CONNECTION)


@cache  # imported once: imports fail while the interpreter shuts down, and a model may be closed at that time
def _kinds() -> tuple[type[Client], type[AsyncClient]]:
    """Both client classes. They are imported with the first component, because importing httpx takes long."""
    from glmv.client import AsyncClient, Client

    return Client, AsyncClient


@public_class
class Clients:
    """Both clients for the same settings, created when first used. Before that, no key is read and nothing is sent.

    A component has one `Clients` object. Before each request the component calls the method `of` of this object,
    because a copy of the component may have another key or base URL than the original.

    Copies and pickles of `Clients` begin without connections.
    """

    def __init__(self, settings: Connection | None = None) -> None:
        _kinds()
        self._settings = settings
        self._made_for = settings and _connection(settings)
        self._sync: Client | None = None
        self._async: AsyncClient | None = None

    def of(self, settings: Connection) -> Clients:
        """Returns this object, or new `Clients` if it was made for other settings or the connection changed."""
        return self if self._settings is settings and self._made_for == _connection(settings) else Clients(settings)

    # pydantic compares private attributes, too: components are equal when their settings are.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Clients)

    __hash__ = None  # type: ignore[assignment]  # as in every mutable class that defines equality

    def __copy__(self) -> Clients:
        return Clients(self._settings)

    def __deepcopy__(self, memo: object) -> Clients:
        return Clients()

    def __reduce__(self) -> tuple[Any, ...]:
        return Clients, ()

    @property
    def sync(self) -> Client:
        """The blocking client."""
        if self._sync is None:
            self._sync = _kinds()[0].of(_settings(self._settings))
        return self._sync

    @property
    def asynchronous(self) -> AsyncClient:
        """The asynchronous client."""
        if self._async is None:
            self._async = _kinds()[1].of(_settings(self._settings))
        return self._async

    def close(self) -> None:
        """Close the blocking client."""
        if self._sync is not None:
            self._sync.close()

    async def aclose(self) -> None:
        """Close both clients."""
        self.close()
        if self._async is not None:
            await self._async.aclose()


@public_class
class Component(Connection):
    """Settings and the clients made from them: the base class of the chat models and embeddings of both adapters.

    A component can be closed, or used in a `with` or `async with` block. If it is never closed, no connection leaks.
    """

    _clients: Clients = PrivateAttr(default_factory=Clients)

    @property
    def clients(self) -> Clients:
        """The pair of clients for the settings as they are now; no connection is made before a call."""
        current = self._clients
        clients = current.of(self)
        if clients is not current:
            self._clients = clients
        return clients

    def close(self) -> None:
        """Close the connections of blocking calls. The next call opens new ones."""
        clients, self._clients = self.clients, Clients()  # a copy has clients of its own
        clients.close()

    async def aclose(self) -> None:
        """Close all connections. The next call opens new ones."""
        clients, self._clients = self.clients, Clients()  # a copy has clients of its own
        await clients.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _connection(settings: Connection) -> tuple[Any, ...]:
    """The values of the fields that require new clients when they change.

    These fields are `_CONNECTION` for `Settings`, and all fields for a `Connection` that is not `Settings`.
    """
    fields = vars(settings)
    return _values(fields) if isinstance(settings, Settings) else tuple(map(fields.get, Connection.model_fields))


def _settings(connection: Connection | None) -> Settings:
    match connection:
        case Settings():
            return connection
        case None:
            return Settings()
        case _:
            return Settings.model_construct(**vars(connection))
