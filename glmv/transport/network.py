"""Network streams for connection pools: every wait ends at the deadline of the call, and every socket is tracked.

The HTTP library's timeouts are for each read or write, so a call could go on forever if the server sends a byte a
second. These streams shorten each wait to the time until the deadline. They use httpcore's public `network_backend`
(www.encode.io/httpcore, "Network Backends").
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import httpcore

from glmv.credentials import Secrets

# The shortest wait in seconds, because 0 means "no timeout" for some socket functions.
_SHORTEST_WAIT = 0.0005


class NetworkCall:
    """The state that a call and its network streams share.

    Attributes:
        tunnels: whether each new connection needs a tunnel of a proxy.
        handshake_timeout: seconds that a proxy may take to make a tunnel, counted from the connection to the proxy;
            None for no limit. The HTTP library has no limit for the tunnels of SOCKS proxies; for the tunnels of other
            proxies it has the read timeout.
        secrets: credentials that are masked in received data. This happens here because the HTTP library logs the head
            of a response.
        until: the deadline in monotonic seconds, or None.
        stream: in an asynchronous client, the stream that the call used last; in a blocking client, the stream that
            the call opened last; None if there is no such stream.
        stage: the state of this attempt's connection: "kept" (it existed already), "connecting", "connected" (to the
            proxy, if there is one), "tunnelled" (by a SOCKS proxy), "encrypting", "encrypted".
        encrypts_with: the host of the last TLS handshake.
    """

    __slots__ = (
        "_connected_at",
        "encrypts_with",
        "handshake_timeout",
        "secrets",
        "stage",
        "stream",
        "tunnels",
        "until",
    )

    def __init__(self, secrets: Secrets, handshake_timeout: float | None) -> None:
        self.secrets = secrets
        self.tunnels = False
        self.handshake_timeout = handshake_timeout
        self._connected_at = 0.0
        self.until: float | None = None
        self.stream: Stream | AsyncStream | None = None
        self.stage = "kept"
        self.encrypts_with = ""

    def connected(self) -> None:
        """Report a new connection to the server, or to the proxy."""
        self.stage = "connected"
        self._connected_at = time.monotonic()

    def seconds(self, timeout: float | None) -> float | None:
        """A timeout in seconds, shortened if the call's deadline or the time limit for a proxy's tunnel is earlier."""
        ends = [] if self.until is None else [self.until]
        if self.tunnels and self.stage == "connected" and self.handshake_timeout is not None:
            ends.append(self._connected_at + self.handshake_timeout)
        if not ends:
            return timeout
        left = max(min(ends) - time.monotonic(), _SHORTEST_WAIT)
        return left if timeout is None else min(left, timeout)

    def writes_to_socks(self, first: bytes) -> None:
        """Report bytes for a SOCKS proxy. If they begin an HTTP request, the tunnel is complete."""
        if self.stage == "connected" and _is_http(first):
            self.stage = "tunnelled"

    async def abort(self) -> None:
        """Close the connection of this call, unless another call uses it now."""
        stream, self.stream = self.stream, None
        if isinstance(stream, AsyncStream) and stream.user is self:
            await stream.aclose()

    def close(self) -> None:
        """Close the connection that this call of a blocking client opened."""
        stream, self.stream = self.stream, None
        if isinstance(stream, Stream):
            stream.close()


# A placeholder outside of calls, for instance while a pool closes connections. It has no deadline.
NO_CALL = NetworkCall(Secrets(), None)
# The call of this thread or task.
CALL: ContextVar[NetworkCall] = ContextVar("call", default=NO_CALL)


# The most bytes of a response's head, as in h11, httpcore's parser (`DEFAULT_MAX_INCOMPLETE_EVENT_SIZE` is 16 KiB).
_LARGEST_HEAD = 16 * 1024
# A reply of a SOCKS proxy begins with its version (RFC 1928) or with that of the login (RFC 1929), and does not end
# with a blank line.
_SOCKS = (b"\x05", b"\x01")
# From this size of a write, in bytes, a response may arrive during it: servers may refuse a large request early.
_LISTEN_FROM = 64 * 1024


def _is_whole_head(data: bytes) -> bool:
    """Whether the first bytes of a response contain its whole head.

    The HTTP library logs the head, so credentials in it are masked. This needs the whole head, because a credential may
    be split over two pieces.
    """
    return b"\r\n\r\n" in data or len(data) > _LARGEST_HEAD or data[:1] in (b"", *_SOCKS)


def _is_http(data: bytes) -> bool:
    """Whether bytes begin with an HTTP method: then they are a request, and not a message for a SOCKS proxy."""
    return data[:1].isalpha()


class Stream(httpcore.NetworkStream):
    """A connection of the blocking client.

    A server may respond and close before it has read the whole request, for instance because the request is too large.
    So this connection stays open after a failed write of a request: the HTTP library still reads the response.

    Attributes:
        user: the call that wrote to this connection last; it reads the response.
    """

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self.user = CALL.get()
        self._before_head = True
        self._http = False
        self._socks = False

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        call = self.user
        try:
            data = self._stream.read(max_bytes, call.seconds(timeout))
            while self._before_head and not _is_whole_head(data):
                if not (more := self._stream.read(max_bytes, call.seconds(timeout))):
                    break
                data += more
        except Exception:
            self.close()  # the HTTP library does not close it during the SOCKS handshake
            raise
        self._before_head = False
        return call.secrets.mask(data)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:  # the HTTP library writes these at the end of a body
            return
        self.user = call = CALL.get()
        self._before_head = True
        if self._socks:
            call.writes_to_socks(buffer)
        self._http = self._http or _is_http(buffer)
        self._socks = self._socks or buffer[:1] == b"\x05"
        try:
            self._stream.write(buffer, call.seconds(timeout))
        except httpcore.WriteError:
            if not self._http:
                self.close()
            raise
        except httpcore.WriteTimeout as error:
            if self._http and self._stream.get_extra_info("is_readable"):
                raise httpcore.WriteError("The server responded before it had read the whole request.") from error
            self.close()
            raise
        except Exception:
            self.close()
            raise

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Stream:
        call = CALL.get()
        call.stage, call.encrypts_with = "encrypting", server_hostname or ""
        encrypted = Stream(self._stream.start_tls(ssl_context, server_hostname, call.seconds(timeout)))
        call.stage = "encrypted"
        self.user = NO_CALL  # the encrypted stream is used instead, and the call refers to this one
        return encrypted

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self.user = NO_CALL  # the call refers to this stream
        self._stream.close()


class Backend(httpcore.NetworkBackend):
    """Opens the connections of the blocking client."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> Stream:
        call = CALL.get()
        call.stage = "connecting"
        stream = Stream(self._backend.connect_tcp(host, port, call.seconds(timeout), local_address, socket_options))
        call.connected()
        call.stream = stream
        return stream


class AsyncStream(httpcore.AsyncNetworkStream):
    """A connection of the asynchronous client.

    A response that arrives before the whole request is written is read immediately, because the response would
    be lost when the server closes the connection.

    Args:
        opened: the open streams of the backend; this stream removes itself from the set when it is closed.

    Attributes:
        user: the call that used this connection last.
    """

    def __init__(self, stream: httpcore.AsyncNetworkStream, opened: set[AsyncStream]) -> None:
        self._stream = stream
        self._opened = opened
        self._before_head = True
        self._early = b""
        self._socks = False
        self.user = CALL.get()
        self.user.stream = self
        opened.add(self)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.user = call = CALL.get()
        call.stream = self
        try:
            data = await self._receive(max_bytes, call.seconds(timeout))
            while self._before_head and not _is_whole_head(data):
                if not (more := await self._receive(max_bytes, call.seconds(timeout))):
                    break
                data += more
        except Exception:
            await self.aclose()
            raise
        self._before_head = False
        return call.secrets.mask(data)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if not buffer:
            return
        self.user = call = CALL.get()
        call.stream = self
        self._before_head = True
        if self._socks:
            call.writes_to_socks(buffer)
        self._socks = self._socks or buffer[:1] == b"\x05"
        try:
            if len(buffer) < _LISTEN_FROM:
                await self._stream.write(buffer, call.seconds(timeout))
            else:
                await self._write_and_listen(buffer, call.seconds(timeout))
        except (httpcore.WriteError, httpcore.WriteTimeout) as error:
            if self._early:
                raise httpcore.WriteError("The server responded before it had read the whole request.") from error
            await self.aclose()
            raise
        except Exception:
            await self.aclose()
            raise

    async def _receive(self, max_bytes: int, timeout: float | None) -> bytes:
        if self._early:
            data, self._early = self._early[:max_bytes], self._early[max_bytes:]
            return data
        return await self._stream.read(max_bytes, timeout)

    async def _write_and_listen(self, buffer: bytes, timeout: float | None) -> None:
        listening = asyncio.ensure_future(self._stream.read(_LARGEST_HEAD, None))
        try:
            await self._stream.write(buffer, timeout)
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            if not listening.cancelled() and listening.exception() is None:
                self._early += listening.result()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> AsyncStream:
        call = CALL.get()
        call.stage, call.encrypts_with = "encrypting", server_hostname or ""
        encrypted = await self._stream.start_tls(ssl_context, server_hostname, call.seconds(timeout))
        call.stage = "encrypted"
        self._opened.discard(self)  # the encrypted stream closes this one
        return AsyncStream(encrypted, self._opened)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    async def aclose(self) -> None:
        self._opened.discard(self)
        await self._stream.aclose()


class AsyncBackend(httpcore.AsyncNetworkBackend):
    """Opens the connections of the asynchronous client, and closes them even if the pool no longer tracks them."""

    def __init__(self) -> None:
        self._backend = httpcore.AnyIOBackend()
        self.opened: set[AsyncStream] = set()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncStream:
        call = CALL.get()
        call.stage = "connecting"
        stream = await self._backend.connect_tcp(host, port, call.seconds(timeout), local_address, socket_options)
        call.connected()
        return AsyncStream(stream, self.opened)

    async def aclose(self) -> None:
        """Close every stream that is still open."""
        for stream in list(self.opened):
            await stream.aclose()
