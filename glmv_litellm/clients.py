"""Clients that are kept between calls, one pair for each key and place."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from pydantic import SecretStr

import glmv

# Pairs at most. A proxy whose users bring keys of their own would keep connections for each of them.
MOST = 64

# What `glmv.Settings` without a key or a base URL reads. Clients read it once, and these are kept.
_VARIABLES = ("ZHIPUAI_API_KEY", "ZAI_API_KEY", "GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL")

_Place = tuple[SecretStr | None, str, tuple[SecretStr, ...]]


class KeptClients:
    """Clients by key and place, those used last first to stay. Safe to share between threads and event loops.

    Args:
        most: pairs that are kept. The one that was used longest ago is let go; its connections are closed when the
            calls that use it have ended.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[_Place, glmv.Clients] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, api_key: str | None, connection: Mapping[str, Any]) -> glmv.Clients:
        """The pair for a key and a place, made when there is none.

        Args:
            api_key: None is that of the environment, as it is now.
            connection: keywords of `glmv.Settings`, which are strings, numbers and truth values.

        Raises:
            InvalidRequestError: for a value that the settings refuse.
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

    def _taken(self) -> list[glmv.Clients]:
        with self._lock:
            kept = list(self._kept.values())
            self._kept.clear()
            return kept

    def close(self) -> None:
        """Close the blocking clients. The next call makes new ones."""
        for clients in self._taken():
            clients.close()

    async def aclose(self) -> None:
        """Close all clients, of asynchronous ones the connections of the running loop."""
        for clients in self._taken():
            await clients.aclose()
