"""The HTTP clients that we make ourselves: httpx with our network streams, our limits and the environment's proxy.

Requests go through `httpx.Client.send`, and our transports inherit `handle_request`, so that tracers, mocks, recorders
and logs see every request (ADR-0013).
"""

from __future__ import annotations

import functools
import ssl
import sys
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import ModuleType
from typing import Any, TypeVar

import httpcore
import httpx

from glmv._version import __version__
from glmv.errors import InvalidRequestError
from glmv.transport.network import AsyncBackend, Backend
from glmv.transport.proxies import proxy_for

# The gate bounds how many calls run at once, so that no call ever waits inside a pool. httpx's pool takes time with
# the square of its idle connections, hence the second bound; 5 s of idleness is httpx's own default.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=5.0)

# What every request of ours says beside its own headers.
HEADERS = {
    "accept": "application/json",
    "accept-encoding": "identity",
    "content-type": "application/json; charset=UTF-8",
    "user-agent": f"glmv/{__version__}",
}
T = TypeVar("T")


@functools.cache
def tls_context() -> ssl.SSLContext:
    """The TLS settings of all clients: making them takes longer than a call."""
    return httpx.create_ssl_context()


class Transport(httpx.HTTPTransport):
    """httpx's transport over a pool whose waits end at the call's deadline.

    Args:
        proxy: URL of a proxy, or None.

    Attributes:
        keeps_deadlines: False when httpx keeps its pool elsewhere than this version expects. The pool is httpx's own
            then, and a deadline is looked at between reads only.
    """

    def __init__(self, proxy: str | None) -> None:
        super().__init__(verify=tls_context(), limits=LIMITS, proxy=proxy)
        self.keeps_deadlines = isinstance(getattr(self, "_pool", None), httpcore.ConnectionPool)
        if self.keeps_deadlines:
            self._pool = _pool("", proxy, Backend())  # the one private name that this project sets


class AsyncTransport(httpx.AsyncHTTPTransport):
    """`Transport` for the asynchronous client. It also closes connections that its pool has lost."""

    def __init__(self, proxy: str | None) -> None:
        super().__init__(verify=tls_context(), limits=LIMITS, proxy=proxy)
        self.backend = AsyncBackend()
        self.keeps_deadlines = isinstance(getattr(self, "_pool", None), httpcore.AsyncConnectionPool)
        if self.keeps_deadlines:
            self._pool = _pool("Async", proxy, self.backend)

    async def aclose(self) -> None:
        """Close all connections. A cancelled call can leave one that the pool does not know any more."""
        try:
            await super().aclose()
        finally:
            await self.backend.aclose()


def _pool(kind: str, proxy: str | None, backend: Backend | AsyncBackend) -> Any:
    """A connection pool of httpcore, as httpx makes it, with our network streams. `kind` is "" or "Async"."""
    options: dict[str, Any] = {
        "ssl_context": tls_context(),
        "max_connections": LIMITS.max_connections,
        "max_keepalive_connections": LIMITS.max_keepalive_connections,
        "keepalive_expiry": LIMITS.keepalive_expiry,
        "network_backend": backend,
    }
    if proxy is None:
        return getattr(httpcore, f"{kind}ConnectionPool")(**options)
    through = httpx.Proxy(proxy)
    url = httpcore.URL(
        scheme=through.url.raw_scheme, host=through.url.raw_host, port=through.url.port, target=through.url.raw_path
    )
    name = "SOCKSProxy" if through.url.scheme.startswith("socks") else "HTTPProxy"
    return getattr(httpcore, kind + name)(proxy_url=url, proxy_auth=through.raw_auth, **options)


def http_client(base_url: str) -> tuple[httpx.Client, Transport]:
    """A client for one server, through the proxy that the environment names for it; and its transport.

    Raises:
        InvalidRequestError: the proxy cannot be used.
    """
    transport = _through_proxy(Transport, base_url)
    return httpx.Client(transport=transport, headers=HEADERS, cookies=_no_cookies(), trust_env=False), transport


def async_http_client(base_url: str) -> tuple[httpx.AsyncClient, AsyncTransport]:
    """`http_client` for the asynchronous client.

    Raises:
        InvalidRequestError: the proxy cannot be used.
    """
    transport = _through_proxy(AsyncTransport, base_url)
    return httpx.AsyncClient(transport=transport, headers=HEADERS, cookies=_no_cookies(), trust_env=False), transport


def _no_cookies() -> CookieJar:
    """A jar that takes nothing: a session that a server starts in one call is not for the calls of other threads."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def _through_proxy(kind: Callable[[str | None], T], base_url: str) -> T:
    try:
        return kind(proxy_for(base_url))
    except (ValueError, ImportError, httpx.InvalidURL) as error:
        reason = str(error)
    raise InvalidRequestError(
        f"The HTTP client cannot be created: {reason} Check HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."
    )


def library_of(http: Any) -> ModuleType:
    """The library that a client comes from: `httpx`, or `httpx2`, its continuation.

    Args:
        http: a client, ours or one that was passed in.
    """
    for base in type(http).__mro__:
        name = base.__module__.partition(".")[0]
        if name in ("httpx", "httpx2"):
            return sys.modules[name]
    return httpx
