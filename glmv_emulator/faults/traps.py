"""Ports on loopback whose connections fail before any HTTP."""

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
    """A listening port; `base_url` leads clients to it."""

    def __init__(self, scheme: str, backlog: int) -> None:
        self._socket = socket.socket()
        self._socket.bind((ADDRESS, 0))
        self._socket.listen(backlog)
        self.others: list[socket.socket] = []
        self.caught = 0
        self.address = self._socket.getsockname()
        self.base_url = f"{scheme}://{ADDRESS}:{self.address[1]}/api/paas/v4"

    def close(self) -> None:
        # A shutdown wakes a thread that waits in accept(); a close does not.
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for opened in (*self.others, self._socket):
            opened.close()

    def serve(self, meet: Callable[[socket.socket], None]) -> None:
        """Start a thread that calls `meet` with each connection."""
        threading.Thread(target=self._serve, args=(meet,), name="glmv-emulator-trap", daemon=True).start()

    def _serve(self, meet: Callable[[socket.socket], None]) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.caught += 1
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                meet(connection)


def blackhole() -> Trap:
    """A port that accepts no connections. Its queue is full, so the kernel drops new ones."""
    trap = Trap("http", 0)
    for _ in range(4):
        waiting = socket.socket()
        waiting.setblocking(False)
        waiting.connect_ex(trap.address)
        trap.others.append(waiting)
    return trap


def tls_reset() -> Trap:
    """A port that resets the connection after the client's TLS hello."""
    trap = Trap("https", 16)
    trap.serve(_reset)
    return trap


def _reset(connection: socket.socket) -> None:
    connection.recv(1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def tls_self_signed() -> Trap:
    """A port with a self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        context.load_cert_chain(*self_signed(Path(folder)))
    trap = Trap("https", 16)

    def meet(connection: socket.socket) -> None:
        context.wrap_socket(connection, server_side=True).close()

    trap.serve(meet)
    return trap


def self_signed(folder: Path) -> tuple[Path, Path]:
    """Create a self-signed certificate for this machine, valid for two days, and the certificate's key.

    Raises:
        OSError: `openssl` is not installed.
    """
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    making = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", *names]
    subprocess.run([*making, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)  # noqa: S603 - all arguments are constants or paths made here
    return certificate, key


TRAPS: dict[str, Callable[[], Trap]] = {
    "blackhole": blackhole,
    "tls-reset": tls_reset,
    "tls-self-signed": tls_self_signed,
}
