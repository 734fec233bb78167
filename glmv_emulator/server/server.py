"""uvicorn in a thread with its own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from uvicorn import Config

T = TypeVar("T")

STARTS_WITHIN = 30.0
BACKLOG = 2048
# Iterations of the event loop until an accepted connection is registered, and until a closed one is removed: asyncio
# needs three for either (a task, `connection_made`, the task's end).
TURNS = 4


class Server:
    """Runs an ASGI application; `start` returns when it listens, `stop` when its thread has ended."""

    def __init__(
        self, application: Callable[[], Any], address: str, port: int, *, keep_alive: float, tls: tuple[str, str] | None
    ):
        self._application = application
        self._address = address
        self._keep_alive = keep_alive
        self._tls = tls
        self._socket = _bound(address, port)
        self.port: int = self._socket.getsockname()[1]
        self._ready = threading.Event()
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="glmv-emulator", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._listening: asyncio.Server | None = None
        self._config: Config | None = None

    def start(self) -> None:
        self._thread.start()
        if not self._ready.wait(STARTS_WITHIN):
            raise TimeoutError(f"the emulator did not start within {STARTS_WITHIN:g} s")
        if self._problem is not None:
            self._socket.close()
            raise self._problem

    def stop(self) -> None:
        if self._loop is not None and self._ending is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()

    def join(self) -> None:
        """Wait until the server ends."""
        self._thread.join()

    def call(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the server's event loop and return its result."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(STARTS_WITHIN)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as problem:  # noqa: BLE001 - it is raised again in the thread that started this one
            self._problem = problem
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        # Imported here, so that importing the emulator is fast.
        from uvicorn import Config
        from uvicorn.server import ServerState

        from glmv_emulator.server.connection import Connection

        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        config = Config(
            self._application(),
            http=Connection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            date_header=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=self._keep_alive,  # type: ignore[arg-type] # it only ever reaches loop.call_later
            ssl_certfile=self._tls[0] if self._tls else None,
            ssl_keyfile=self._tls[1] if self._tls else None,
        )
        config.load()
        state = ServerState()
        self._connection = functools.partial(Connection, config=config, server_state=state, app_state={})
        self._config, self._state = config, state
        await self.listen()
        self._ready.set()
        await self._ending.wait()
        await self.close()

    async def listen(self) -> None:
        """Accept new connections, for the first time or again after `stop_listening`."""
        assert self._config is not None
        assert self._loop is not None
        if self._listening is None:
            listener = self._socket if self._socket.fileno() != -1 else _bound(self._address, self.port)
            self._socket = listener
            self._listening = await self._loop.create_server(
                self._connection, sock=listener, ssl=self._config.ssl, backlog=BACKLOG
            )

    async def stop_listening(self) -> None:
        """Refuse new connections; open ones stay."""
        if self._listening is not None:
            # If the server closed while asyncio creates the transport of an accepted socket, the socket would leak.
            with contextlib.suppress(NotImplementedError):  # Windows accepts connections in another way
                asyncio.get_running_loop().remove_reader(self._socket)
            await _turns()
            self._listening.close()
            self._listening = None
            await asyncio.sleep(0)

    async def close_connections(self) -> None:
        """Close the open connections, like a machine that shuts down."""
        for connection in list(self._state.connections):
            connection.transport.close()
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Abort all connections and tasks at once."""
        await self.stop_listening()
        for connection in list(self._state.connections):
            with contextlib.suppress(Exception):
                connection.transport.abort()
        for task in list(self._state.tasks):
            task.cancel()
        await asyncio.gather(*self._state.tasks, return_exceptions=True)
        await _turns()

    async def connections(self) -> int:
        """The number of connections that are open after all closes that are scheduled on the event loop."""
        return len(self._state.connections)


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


def _bound(address: str, port: int) -> socket.socket:
    """A socket bound to an address, or to the first address of a name, IPv4 before IPv6."""
    try:
        addresses = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise OSError(f"cannot listen on {address}: it is not a valid address ({problem})") from problem
    family, *_, target = min(addresses, key=lambda one: one[0] != socket.AF_INET)
    # Only with an explicit protocol does asyncio disable Nagle's algorithm, which would delay small writes by 40 ms.
    result = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    result.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        result.bind(target)
    except OSError as problem:
        result.close()
        if problem.errno == errno.EADDRNOTAVAIL:
            raise OSError(f"cannot listen on {address}: it is not an address of this machine ({problem})") from problem
        raise OSError(f"cannot listen on port {port} of {address} ({problem}); port=0 uses a free one") from problem
    return result
