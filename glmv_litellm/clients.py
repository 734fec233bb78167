"""Clients that are kept between calls: one pair for each key and set of connection settings."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from pydantic import SecretStr

import glmv

# The most pairs. Without a limit, a proxy whose users send their own keys would keep connections for all of them.
MOST = 64

# Variables that `glmv.Settings` reads for a missing key or base URL. They select the clients, too, because a client
# does not read them again.
_VARIABLES = ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL")

_Place = tuple[SecretStr | None, str, tuple[SecretStr, ...]]


class KeptClients:
    """A cache of clients by key and connection settings. Safe to share between threads and event loops.

    Args:
        most: the most pairs that are kept. Beyond that the least recently used pair is removed; its connections are
            closed when the calls that use it have ended.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[_Place, glmv.Clients] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, api_key: str | None, connection: Mapping[str, Any]) -> glmv.Clients:
        """The pair of clients for a key and connection settings; it is created if there is none.

        Args:
            api_key: None takes the key from the environment, as it is at this call.
            connection: keywords of `glmv.Settings` whose values are strings, numbers or booleans.

        Raises:
            InvalidRequestError: the settings refuse a value.
        """
        environment = tuple(SecretStr(os.environ.get(name, "")) for name in _VARIABLES)
        place = (SecretStr(api_key) if api_key else None, repr(sorted(connection.items())), environment)
        with self._lock:
            clients = self._kept.get(place)
            if clients is None:
                clients = self._kept[place] = glmv.Clients(glmv.Settings(api_key=place[0], **connection))
            self._kept.move_to_end(place)
            if len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return clients

    def _remove_all(self) -> list[glmv.Clients]:
        with self._lock:
            kept = list(self._kept.values())
            self._kept.clear()
            return kept

    def close(self) -> None:
        """Close the blocking clients. The next call creates new ones."""
        for clients in self._remove_all():
            clients.close()

    async def aclose(self) -> None:
        """Close all clients; of the asynchronous ones, the connections of the running event loop."""
        for clients in self._remove_all():
            await clients.aclose()
