"""A function that returns keys, and the keys that a server received."""

from __future__ import annotations

import re
import threading

from tests.support.fake_server import Server


class Vault:
    """Returns another key each time; it cannot be copied or pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked = 0

    def key(self) -> str:
        self.asked += 1
        return f"id-{self.asked}.secret-number-{self.asked}"

    async def akey(self) -> str:
        return self.key()


def keys_at(server: Server) -> list[str]:
    return re.findall(r"(?i)authorization: Bearer (\S+)", "\n".join(head for head, _ in server.requests))
