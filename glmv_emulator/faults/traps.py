"""Ports on loopback where a connection goes wrong before there is HTTP to speak of."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

ADDRESS = "127.0.0.1"


class Trap:
    """A listening port; `base_url` leads a client into it."""

    def __init__(self, scheme: str, backlog: int) -> None:
        self._socket = socket.socket()
        self._socket.bind((ADDRESS, 0))
        self._socket.listen(backlog)
        self.others: list[socket.socket] = []
        self.caught = 0
        self.address = self._socket.getsockname()
        self.base_url = f"{scheme}://{ADDRESS}:{self.address[1]}/api/paas/v4"

    def close(self) -> None:
        # A thread that waits in accept() wakes up by a shutdown, not by a close.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for opened in (*self.others, self._socket):
            opened.close()

    def serve(self, meet: Callable[[socket.socket], None]) -> None:
        """Let `meet` do with each connection what it does; on a thread of its own."""
        threading.Thread(target=self._serve, args=(meet,), name="glmv-emulator-trap", daemon=True).start()

    def _serve(self, meet: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                met, _ = self._socket.accept()
            except OSError:
                return
            self.caught += 1
            with met, contextlib.suppress(OSError):
                met.settimeout(10)
                meet(met)


def blackhole() -> Trap:
    """Nobody accepts, and the queue of those who wait is full: the kernel drops what else comes."""
    trap = Trap("http", 0)
    for _ in range(4):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(trap.address)
        trap.others.append(waiting)
    return trap


def tls_reset() -> Trap:
    """The connection is reset once the client has said hello."""
    trap = Trap("https", 16)
    trap.serve(_reset)
    return trap


def _reset(met: socket.socket) -> None:
    met.recv(1)
    met.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def tls_self_signed() -> Trap:
    """A certificate that nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*self_signed(Path(folder)))
    trap = Trap("https", 16)

    def meet(met: socket.socket) -> None:
        context.wrap_socket(met, server_side=True).close()

    trap.serve(meet)
    return trap


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for this machine and its key, made for the moment.

    Raises:
        OSError: where there is no `openssl`.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*making, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)  # noqa: S603 - no word of it comes from outside
    return certificate, key


TRAPS: dict[str, Callable[[], Trap]] = {
    "blackhole": blackhole,
    "tls-reset": tls_reset,
    "tls-self-signed": tls_self_signed,
}
