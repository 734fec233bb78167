"""Creates HTTP clients: httpx with this package's network streams and limits, and the proxy of the environment.

Requests go through `httpx.Client.send`, and the transports inherit `handle_request`, so that tracers, mocks, recorders
and logs see every request (ADR-0013).
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import httpcore
import httpx

from glmv._version import __version__
from glmv.transport.network import AsyncBackend, Backend
from glmv.transport.proxies import Proxy, proxy_for, settings_failed
from glmv.transport.tls import TLSSettings, tls_context, tls_settings

# The gate limits concurrent calls, so the pool has no limit, and no call waits in it. The time of httpx's pool grows
# with the square of its idle connections, hence the second limit; 5 s of idleness is httpx's default.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=5.0)

# Headers of every request.
HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "content-type": "application/json; charset=UTF-8",
    "user-agent": f"glmv/{__version__}",
}
T = TypeVar("T")


class NetworkSettings(NamedTuple):
    """The proxy and the TLS settings that the environment sets for one server.

    Attributes:
        proxy: the forward proxy, or None.
        tls: the TLS settings; None if the connection is not encrypted.
    """

    proxy: Proxy | None
    tls: TLSSettings | None


def network_settings(base_url: str) -> NetworkSettings:
    """Read the settings for a server from the environment.

    Raises:
        InvalidRequestError: the environment names a proxy that cannot be used.
    """
    proxy = proxy_for(base_url)
    encrypted = base_url.lower().startswith("https:") or (proxy is not None and proxy.scheme == "https")
    return NetworkSettings(proxy, tls_settings() if encrypted else None)


class Transport(httpx.HTTPTransport):
    """httpx's transport with a pool whose waits end at the deadline of the call.

    Args:
        proxy: the forward proxy, or None.
        context: the TLS settings.

    Attributes:
        keeps_deadlines: False if this version of httpx stores its pool elsewhere than expected. Then httpx's own pool
            is used, and deadlines are checked only between reads.
    """

    def __init__(self, proxy: Proxy | None, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, limits=LIMITS, proxy=_library_proxy(proxy, context))
        self.keeps_deadlines = isinstance(getattr(self, "_pool", None), httpcore.ConnectionPool)
        if self.keeps_deadlines:
            self._pool = _pool("", proxy, context, Backend())  # the only private name that this project sets


class AsyncTransport(httpx.AsyncHTTPTransport):
    """`Transport` for the asynchronous client. It also closes connections that its pool no longer tracks."""

    def __init__(self, proxy: Proxy | None, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, limits=LIMITS, proxy=_library_proxy(proxy, context))
        self.backend = AsyncBackend()
        self.keeps_deadlines = isinstance(getattr(self, "_pool", None), httpcore.AsyncConnectionPool)
        if self.keeps_deadlines:
            self._pool = _pool("Async", proxy, context, self.backend)

    async def aclose(self) -> None:
        """Close all connections, including those of cancelled calls, which the pool may no longer track."""
        try:
            await super().aclose()
        finally:
            await self.backend.aclose()


def _context(settings: NetworkSettings) -> ssl.SSLContext:
    """The TLS context. For unencrypted connections it is an empty context, which needs no certificate file."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if settings.tls is None else tls_context()


def _library_proxy(proxy: Proxy | None, context: ssl.SSLContext) -> httpx.Proxy | None:
    if proxy is None:
        return None
    # Without this context, the encrypted connection to the proxy would ignore SSL_CERT_FILE.
    return httpx.Proxy(proxy.url, ssl_context=context if proxy.scheme == "https" else None)


def _pool(kind: str, proxy: Proxy | None, context: ssl.SSLContext, backend: Backend | AsyncBackend) -> Any:
    """A connection pool of httpcore, as httpx makes it, but with another backend. `kind` is "" or "Async"."""
    options: dict[str, Any] = {
        "ssl_context": context,
        "max_connections": LIMITS.max_connections,
        "max_keepalive_connections": LIMITS.max_keepalive_connections,
        "keepalive_expiry": LIMITS.keepalive_expiry,
        "network_backend": backend,
    }
    if proxy is None:
        return getattr(httpcore, f"{kind}ConnectionPool")(**options)
    through = _library_proxy(proxy, context)
    assert through is not None
    url = httpcore.URL(
        scheme=through.url.raw_scheme, host=through.url.raw_host, port=through.url.port, target=through.url.raw_path
    )
    name = "SOCKSProxy" if proxy.scheme == "socks5" else "HTTPProxy"
    if proxy.scheme == "https":
        options["proxy_ssl_context"] = through.ssl_context
    return getattr(httpcore, kind + name)(proxy_url=url, proxy_auth=through.raw_auth, **options)


def http_client(settings: NetworkSettings) -> tuple[httpx.Client, Transport]:
    """An HTTP client with these settings, and its transport.

    Raises:
        InvalidRequestError: the proxy or the list of trusted certificates cannot be used.
    """
    transport = _transport(Transport, settings)
    return _Client(transport=transport, headers=HEADERS, trust_env=False), transport


def async_http_client(settings: NetworkSettings) -> tuple[httpx.AsyncClient, AsyncTransport]:
    """An asynchronous HTTP client with these settings, and its transport.

    Raises:
        InvalidRequestError: see `http_client`.
    """
    transport = _transport(AsyncTransport, settings)
    return _AsyncClient(transport=transport, headers=HEADERS, trust_env=False), transport


class _NoCookies(httpx.Cookies):
    """Cookies that stay empty: a server's cookie for one call must not be sent with calls of other threads."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Ignore the cookies of a response."""


_NO_COOKIES = _NoCookies()


class _Client(httpx.Client):
    @property  # type: ignore[misc]  # nothing sets the cookies of this client
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES


class _AsyncClient(httpx.AsyncClient):
    @property  # type: ignore[misc]  # as in `_Client`
    def cookies(self) -> httpx.Cookies:
        return _NO_COOKIES


def _transport(kind: Callable[[Proxy | None, ssl.SSLContext], T], settings: NetworkSettings) -> T:
    proxy, context = settings.proxy, _context(settings)
    try:
        return kind(proxy, context)
    except ImportError:
        needs = 'needs the package socksio: pip install "glmv[socks]"'
    except (ValueError, httpx.InvalidURL):
        needs = "cannot be used: write it as http://user:password@host:port"
    # Without the library's message, which may contain a password of the URL.
    raise settings_failed(f"T{str(proxy)[1:]} {needs}.")


def library_of(http: Any) -> ModuleType:
    """The library of an HTTP client: `httpx`, or its successor `httpx2`.

    Args:
        http: a client of this package or of the user.
    """
    for base in type(http).__mro__:
        name = base.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    return httpx
