"""A cache of clients: a blocking and an asynchronous client for each pair of key and connection settings."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from pydantic import SecretStr

import glmv

# Loads the client's modules, and so httpx, with this package: the first call may run on an event loop, which loading
# them would block for tenths of a second.
glmv.Clients()

# The most pairs. Without a limit, a proxy whose users send their own keys would keep connections for all of them.
MOST = 64

# Variables that `glmv.Settings` reads for a missing key or base URL. They select the clients, too, because a client
# does not read them again.
_VARIABLES = ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL")

_Place = tuple[SecretStr | None, str, tuple[SecretStr, ...]]


class ClientCache:
    """Pairs of clients by key and connection settings. Safe to share between threads and event loops.

    Args:
        most: the maximum number of pairs. If there are more, the least recently used pair is removed; its connections
            are closed when the calls that use it have ended.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._pairs: OrderedDict[_Place, glmv.Clients] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._pairs)

    def of(self, api_key: str | None, connection: Mapping[str, Any]) -> glmv.Clients:
        """The pair of clients for a key and connection settings; it is created if there is none.

        Args:
            api_key: the key; None means the key that is in the environment at the time of this call.
            connection: keywords of `glmv.Settings` whose values are strings, numbers or booleans.

        Raises:
            InvalidRequestError: a connection setting has an invalid value.
        """
        environment = tuple(SecretStr(os.environ.get(name, "")) for name in _VARIABLES)
        place = (SecretStr(api_key) if api_key else None, repr(sorted(connection.items())), environment)
        with self._lock:
            clients = self._pairs.get(place)
            if clients is None:
                clients = self._pairs[place] = glmv.Clients(glmv.Settings(api_key=place[0], **connection))
            self._pairs.move_to_end(place)
            if len(self._pairs) > self._most:
                self._pairs.popitem(last=False)
            return clients

    def _remove_all(self) -> list[glmv.Clients]:
        with self._lock:
            pairs = list(self._pairs.values())
            self._pairs.clear()
            return pairs

    def close(self) -> None:
        """Close the blocking clients. The next call creates new ones."""
        for clients in self._remove_all():
            clients.close()

    async def aclose(self) -> None:
        """Close the blocking clients, and the connections of the asynchronous clients in the running event loop."""
        for clients in self._remove_all():
            await clients.aclose()
