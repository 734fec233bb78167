"""What a connection pool of the HTTP library has no public place for: an end to every wait, nothing lost, no copies.

httpcore (below httpx 0.28) and httpcore2 (below httpx2) name the fields used here alike; a pool without them is left
alone. tests/core/network/test_pools.py fails when they are renamed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

from glmv._bounds import BOUND, left

# Under this name a request's extensions tell whose it is, down to the pool.
MARK = "glmv"
# Bytes that are written at a time, the deadline being looked at before each. More is no faster, a quarter is slower.
PIECE = 1024 * 1024
# A head of a request waits for a body up to this size, to be written with it.
_SMALL = 64 * 1024


def bounded(http: Any) -> Any:
    """Let the call's deadline hold inside a read, too.

    Args:
        http: a client, ours or one that was passed in: nothing changes for what else it is used for. Connections that
            it has open already stay as they are.
    """
    for pool in _pools(http):
        backend = pool._network_backend  # noqa: SLF001 - see above
        if not isinstance(backend, _Backend):
            kind = _AsyncBackend if hasattr(pool, "handle_async_request") else _Backend
            pool._network_backend = kind(backend)  # noqa: SLF001 - see above
    return http


async def restored(http: Any, mark: object) -> None:
    """Give a pool back what a cancelled call took from it.

    httpcore passes locks between two of its steps, and asyncio delivers a cancellation there as anywhere else. The
    connection then stays "active" for ever with no request that uses it, or with one that nobody will end.

    Args:
        http: the client whose pool it is.
        mark: what the call's requests have under `MARK` in their extensions.
    """
    for pool in _pools(http):
        kept = [one for one in pool._requests if one.request.extensions.get(MARK) is not mark]  # noqa: SLF001
        pool._requests = _Requests(kept)  # noqa: SLF001 - see above
        used = {id(one.connection) for one in pool._requests}  # noqa: SLF001
        for connection in list(pool._connections):  # noqa: SLF001
            if id(connection) not in used and not (connection.is_idle() or connection.is_closed()):
                pool._connections.remove(connection)  # noqa: SLF001
                await connection.aclose()
        await pool._close_connections(pool._assign_requests_to_connections())  # noqa: SLF001 - others may wait for it


def _pools(http: Any) -> Iterator[Any]:
    for transport in (getattr(http, "_transport", None), *getattr(http, "_mounts", {}).values()):
        pool = getattr(transport, "_pool", None)
        if hasattr(pool, "_network_backend"):
            yield pool


class _Requests(list[Any]):
    """The requests of a pool, of which one may be taken away twice.

    A loop that ends closes a response's own generator while we end the call: it waits for its connection, and wants to
    take its request from the pool after we have.
    """

    def remove(self, one: Any) -> None:
        if one in self:
            super().remove(one)


class _Bounded:
    """A network stream on which the waits of our calls end at their deadline, and that copies nothing large.

    The library's own timeouts hold for one read or write each, so a server that drips a byte a second would never
    end. It writes the head of a request by itself, a packet more than a small request needs; and of a large body it
    copies what is left after each part that was sent.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._head = b""

    def _due(self, buffer: bytes) -> Iterable[bytes | memoryview]:
        """What is to be written now; the head of a call of ours waits for what comes next.

        Something always does: the library writes what h11 makes of the end of a request, which is b"" at least.
        """
        head, self._head = self._head, b""
        if not head and buffer[:5] == b"POST " and buffer[-4:] == b"\r\n\r\n" and BOUND.get() is not None:
            self._head = buffer
            return ()
        if len(buffer) <= _SMALL:
            return (head + buffer,)
        rest: Iterable[bytes | memoryview] = (buffer,)
        if len(buffer) > PIECE and BOUND.get() is not None:
            view = memoryview(buffer)
            rest = (view[start : start + PIECE] for start in range(0, len(view), PIECE))
        return chain((head,), rest) if head else rest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Stream(_Bounded):
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._head:
            self.write(b"", timeout)
        return self._stream.read(max_bytes, left(timeout))  # type: ignore[no-any-return]  # bytes

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for piece in self._due(buffer):
            self._stream.write(piece, left(timeout))

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, left(timeout)))


class _AsyncStream(_Bounded):
    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._head:
            await self.write(b"", timeout)
        return await self._stream.read(max_bytes, left(timeout))  # type: ignore[no-any-return]  # bytes

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for piece in self._due(buffer):
            await self._stream.write(piece, left(timeout))

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> Any:
        return _AsyncStream(await self._stream.start_tls(ssl_context, server_hostname, left(timeout)))


class _Backend:
    """Opens network streams for a pool; these are bounded."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        return _Stream(self._backend.connect_tcp(*args, **_cut(kwargs)))

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> Any:
        return _Stream(self._backend.connect_unix_socket(*args, **_cut(kwargs)))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class _AsyncBackend(_Backend):
    async def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        return _AsyncStream(await self._backend.connect_tcp(*args, **_cut(kwargs)))

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> Any:
        return _AsyncStream(await self._backend.connect_unix_socket(*args, **_cut(kwargs)))


def _cut(kwargs: dict[str, Any]) -> dict[str, Any]:
    return kwargs | {"timeout": left(kwargs.get("timeout"))}
