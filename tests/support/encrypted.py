"""The fake server over HTTPS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

from tests.support.fake_server import Peer, Server


class Encrypted(Server):
    """The fake server over HTTPS, as `localhost`, with the certificate of a context."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._serving: list[threading.Thread] = []
        super().__init__()
        self.base_url = self.base_url.replace("http://127.0.0.1", "https://localhost")

    def _serve(self, peer: Peer) -> None:
        self._serving.append(threading.current_thread())
        try:
            peer.sock = self._context.wrap_socket(peer.sock, server_side=True)
        except OSError:
            peer.sock.close()
        else:
            super()._serve(peer)

    def stop(self) -> None:
        # OpenSSL uses the descriptor's number: no other code may close it, because the number is reused.
        self.over.set()
        for peer in self.peers:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(peer.sock, socket.SHUT_RDWR)
        for thread in self._serving:
            thread.join(5)
        super().stop()
