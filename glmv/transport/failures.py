"""Converts errors of the HTTP library, which is a parameter and not imported here, to failures for the flow.

The library's error objects are not passed on: they contain the request, and their tracebacks contain the key.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple
from urllib.parse import urlsplit

from glmv.credentials import Secrets
from glmv.errors import GLMVError, InvalidRequestError
from glmv.exchange.steps import Failure
from glmv.transport.proxies import Proxy, is_loopback
from glmv.transport.tls import trust_advice

# The most characters of the library's message in an error message.
_EXCERPT = 200
# Codes of `getaddrinfo` that mean "not now": of POSIX, and Windows' WSATRY_AGAIN and WSANO_RECOVERY. All others mean
# "no such name", which macOS and Windows also say while the machine has no network.
_NOT_NOW = {socket.EAI_AGAIN, socket.EAI_FAIL, 11002, 11003}
# Hosts that certainly exist, even if the name lookup fails.
_PLATFORM = ("bigmodel.cn", "z.ai")
# Other hosts that have answered in this process.
_answered: set[str] = set()
_MOST_ANSWERED = 1_000
_NO_WAY = {errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH, errno.EHOSTDOWN, 10050, 10051, 10064, 10065}
# This machine or process has no more open files, or buffers of the network; the numbers are Windows'.
_USED_UP = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, 10024, 10055}
# OpenSSL's reasons for a peer that does not speak TLS.
_PLAIN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL")
# Names of proxies in the header `server`, and headers that only responses of a proxy itself have.
_PROXY_SOFTWARE = ("squid", "tinyproxy", "privoxy", "mitmproxy", "polipo", "ccproxy", "3proxy")
_PROXY_MARKS = ("x-squid-error", "proxy-authenticate")
# Statuses for a request that is too large: reported as such, also from a proxy.
_TOO_LARGE = {413, 414, 431}
# Statuses with which a proxy refuses a host, or reports that it cannot reach it.
_PROXY_STATUSES = {403, 451, 500, 502, 503, 504}
# Codes of X509_V_ERR: not valid yet, expired; name or address of another host.
_DATES, _NAMES = {9, 10}, {62, 64}


class Way(NamedTuple):
    """The path of a request: the server, the proxy, and the stage of the connection.

    Attributes:
        base_url, host, named_by: see `Address`.
        proxy: the forward proxy, if there is one.
        ours: whether this package made the HTTP client; False if the user passed it in.
        stage, encrypts_with: see `NetworkCall`.
    """

    base_url: str
    host: str
    named_by: str
    proxy: Proxy | None
    ours: bool
    stage: str
    encrypts_with: str

    @property
    def tunnelled(self) -> bool:
        """Whether the proxy makes a tunnel, and does not read requests."""
        assert self.proxy is not None
        return self.proxy.scheme == "socks5" or self.base_url.lower().startswith("https:")

    @property
    def at_proxy(self) -> bool:
        """Whether this stage of the connection involves only the proxy, and not the server yet."""
        if self.proxy is None:
            return False
        match self.stage:
            case "connecting":
                return True
            case "connected":
                return self.tunnelled
            case "encrypting":
                return self.proxy.scheme == "https" and self.encrypts_with == self.proxy.host
            case "encrypted":
                return self.proxy.scheme == "https" and self.encrypts_with == self.proxy.host and self.tunnelled
            case _:
                return False

    @property
    def peer(self) -> str:
        """The server or proxy at the other end, for messages."""
        if self.proxy is None:
            return self.host
        return str(self.proxy) if self.at_proxy else f"{self.host} (through {self.proxy})"


def heard_from(host: str, proxy: Proxy | None) -> None:
    """Record that the server's host and the proxy exist, because they have answered."""
    if len(_answered) < _MOST_ANSWERED:
        _answered.add(host)
        if proxy is not None:
            _answered.add(proxy.place)


def refused_by_proxy(status: int, headers: Mapping[str, str], way: Way) -> Failure | None:
    """The failure for a response that comes from the proxy itself, or None.

    Args:
        headers: the names are in lower case.
    """
    if way.proxy is None or way.tunnelled or status < 400:
        return None
    # tinyproxy answers 401 to a wrong password.
    software = headers.get("server", "").lower()
    if status == 407 or (status == 401 and software.startswith("tinyproxy")):
        return _wants_password(way.proxy)
    # Squid and RFC 9209 have special headers for their own responses; others only have their name in `server`.
    own = "proxy-status" in headers and (status >= 500 or "error=" in headers["proxy-status"])
    own = own or software.startswith(_PROXY_SOFTWARE) or any(name in headers for name in _PROXY_MARKS)
    if own and status not in _TOO_LARGE:
        return _not_let_through(status, way)
    return None


def perhaps_refused_by_proxy(status: int, headers: Mapping[str, str], way: Way) -> Failure | None:
    """The failure to report if the body turns out not to be JSON; None if no proxy can have sent the response.

    Args:
        headers: the names are in lower case.
    """
    if way.proxy is None or way.tunnelled or status not in _PROXY_STATUSES:
        return None
    # An empty response with `via`, which a proxy adds to passed responses (RFC 9110, 7.6.3), is from the server.
    if "via" in headers and headers.get("content-length") == "0":
        return None
    return _not_let_through(status, way, sure=False)


def _not_let_through(status: int, way: Way, *, sure: bool = True) -> Failure:
    proxy = way.proxy
    assert proxy is not None
    detail = f"HTTP {status}"
    if not sure:
        detail += ", with a page that is not in the server's format and perhaps came from a gateway of the server"
    if status < 500 and status not in (408, 429):
        return Failure("proxy_refused", f"{_name(proxy)} does not allow {way.host} ({detail}).{_around(proxy, way)}")
    failure = _not_passed_on(proxy, way.host, detail)
    return Failure(failure.kind, f"{failure}{_around(proxy, way)}")


def translated(
    error: Exception,
    library: ModuleType,
    way: Way,
    timeouts: Mapping[str, float | None],
    secrets: Secrets,
) -> Failure | GLMVError:
    """Converts an error of the HTTP library to a failure for the flow, or to the error to raise.

    The cause of a failure is a copy of the library's error that has only the masked message.

    Args:
        error: the error of the library.
        library: the module of the client object, `httpx` or `httpx2`.
        way: the path of the request.
        timeouts: seconds for each phase ("connect", "read", "write"), None for no limit.
        secrets: credentials to mask: the library's message may quote the server ("illegal status line: ...").
    """

    def masked(text: str) -> str:
        return secrets.mask_text(text if way.proxy is None else way.proxy.mask(text))

    text = masked(str(error))
    problem = _translated(error, text, library, way, timeouts)
    if isinstance(problem, Failure):
        try:
            copy = type(error)(text)
            problem.__cause__ = copy if masked(str(copy)) == str(copy) else None
        except Exception:  # noqa: BLE001, S110 - the class does not take a text: no copy
            pass
    return problem


def _translated(
    error: Exception, text: str, library: ModuleType, way: Way, timeouts: Mapping[str, float | None]
) -> Failure | GLMVError:
    reason = text[:_EXCERPT].rstrip(".") or type(error).__name__
    host, proxy = way.peer, way.proxy

    def within(phase: str) -> str:
        seconds = timeouts.get(phase)
        return f"{seconds:g} s ({phase} timeout)" if seconds is not None else f"the {phase} timeout"

    match error:
        case GLMVError():
            return error
        case library.ProxyError():
            return _refused(reason, way)
        case library.ConnectTimeout():
            return Failure("connect_timeout", f"No connection to {host} within {within('connect')}.")
        case TimeoutError() | library.ReadTimeout() | library.WriteTimeout() if way.at_proxy and proxy is not None:
            other = f" If it is an HTTP proxy, write http:// in {proxy.named_by}." if proxy.scheme == "socks5" else ""
            return Failure(
                "connect_timeout",
                f"{_capital(host)} did not connect to {way.host} within {within('connect')}: check that it "
                f"speaks {_protocol(proxy)} and can reach that host.{other}",
            )
        case library.WriteTimeout():
            return Failure("write_timeout", f"The request could not be sent to {host} within {within('write')}.")
        case TimeoutError() | library.ReadTimeout():
            return Failure("read_timeout", f"{_capital(host)} sent nothing within {within('read')}.")
        case library.TimeoutException():
            return Failure("read_timeout", f"The HTTP client waited for {host} without success: {reason}.")
        case library.ConnectError():
            return _not_connected(error, reason, way)
        case library.NetworkError() | library.RemoteProtocolError() if proxy is not None and way.at_proxy:
            return Failure(
                "proxy",
                f"{_capital(host)} made no connection to {way.host}: {reason}. Does it speak {_protocol(proxy)}?",
            )
        case library.NetworkError() | library.RemoteProtocolError():
            return Failure("reset", f"{_capital(host)} broke the connection: {reason}.")
        case library.InvalidURL() | library.UnsupportedProtocol() | library.LocalProtocolError():
            return _not_sendable(reason)
        case library.HTTPStatusError():
            return Failure("closed", f"A hook of the HTTP client raised an error for the response of {host}: {reason}.")
        case library.HTTPError():
            return Failure("reset", f"The response of {host} cannot be read: {reason}.")
        case _ if proxy is not None and proxy.scheme == "socks5" and way.stage == "connected":
            # socksio has its own error classes, and httpcore asserts what it received.
            return Failure(
                "proxy", f"{_capital(str(proxy))} made no connection to {way.host}: it does not speak SOCKS5."
            )
        case library.StreamError() | RuntimeError() if isinstance(error, library.StreamError) or "closed" in text:
            return Failure("closed", f"The connection to {host} was closed on this side: {reason}.")
        case ValueError() | TypeError():
            return _not_sendable(reason)
        case _:
            return Failure("closed", f"The HTTP client failed ({type(error).__name__}): {reason}.")


def _not_sendable(reason: str) -> InvalidRequestError:
    # "Illegal header value b'...'": drop the value, which may be a secret.
    return InvalidRequestError(f"The request cannot be sent: {reason.partition(' b' + chr(39))[0]}.")


def _capital(text: str) -> str:
    return f"T{text[1:]}" if text.startswith("the proxy ") else text


def _protocol(proxy: Proxy) -> str:
    return "SOCKS5" if proxy.scheme == "socks5" else "HTTP"


def _refused(reason: str, way: Way) -> Failure:
    """The failure for a proxy that refuses a connection.

    Args:
        reason: the proxy's HTTP status and its text, or httpcore's text for a refusal by SOCKS5.
    """
    proxy = way.proxy
    status = int(reason[:3]) if re.match(r"[1-5]\d\d\b", reason) else None
    if status in (401, 407) or "username/password" in reason or reason.startswith("Requested "):
        return _wants_password(proxy)
    if status == 403 or "not allowed by ruleset" in reason:
        return Failure(
            "proxy_refused", f"{_name(proxy)} does not allow connections to {way.host} ({reason}).{_around(proxy, way)}"
        )
    if status is not None and status < 500 and status not in (408, 429):
        return Failure(
            "proxy_refused", f"{_name(proxy)} refused to connect to {way.host} ({reason}): is it a proxy for HTTPS?"
        )
    return _not_passed_on(proxy, way.host, reason)


def _not_passed_on(proxy: Proxy | None, host: str, reason: str) -> Failure:
    return Failure(
        "proxy", f"{_name(proxy)} could not connect to {host}: {reason}. Check that the proxy can reach that host."
    )


def _wants_password(proxy: Proxy | None) -> Failure:
    encoded = "with special characters of the password percent-encoded (@ is %40, : is %3A, / is %2F, # is %23)"
    if proxy is None:
        advice = f"requires a correct user name and password: write them into its URL, {encoded}."
    elif proxy.has_user:
        advice = f"does not accept the user name and password in {proxy.named_by}: correct them, {encoded}."
    else:
        scheme = proxy.scheme
        advice = (
            "requires a user name and a password: write them into its URL, "
            f"{proxy.named_by}={scheme}://user:password@{proxy.place}, {encoded}."
        )
    return Failure("proxy_auth", f"{_name(proxy)} {advice}")


def _name(proxy: Proxy | None) -> str:
    return "The HTTP client's own proxy" if proxy is None else _capital(str(proxy))


def _around(proxy: Proxy | None, way: Way) -> str:
    name = urlsplit(way.base_url).hostname
    return f" If {name} can be reached without a proxy, add it to NO_PROXY." if proxy is not None else ""


def _not_connected(error: Exception, reason: str, way: Way) -> Failure:
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ssl.SSLCertVerificationError():
                return _not_trusted(cause, way)
            case ssl.SSLError() if way.proxy is not None and way.at_proxy and cause.reason in _PLAIN:
                return Failure(
                    "tls",
                    f"{_capital(str(way.proxy))} does not speak TLS: write http:// instead of https:// in "
                    f"{way.proxy.named_by}.",
                )
            case socket.gaierror():
                return _not_found(cause, way)
            case OSError() if cause.errno in _USED_UP:
                return Failure(
                    "connect",
                    f"No connection to {way.peer}: {cause.strerror}. This machine or process has reached its limit of "
                    "open connections or files: make fewer concurrent calls (max_concurrency), or raise that limit.",
                )
            case OSError() if cause.errno in _NO_WAY:
                return Failure("connect", f"No connection to {way.peer}: {cause.strerror}. Check the network and VPN.")
            case BaseExceptionGroup():
                cause = cause.exceptions[0]  # one for each address of the host
            case _:
                # anyio's own words, "All connection attempts failed", hide why.
                if isinstance(cause, OSError) and cause.errno and reason.startswith("All "):
                    reason = f"[Errno {cause.errno}] {os.strerror(cause.errno)}"
                cause = cause.__cause__ or cause.__context__
    if way.proxy is not None and way.at_proxy:
        return Failure(
            "connect",
            f"No connection to {way.peer}: {reason}. Start the proxy, or correct or unset its setting."
            f"{_around(way.proxy, way)}",
        )
    if way.named_by or is_loopback(urlsplit(way.base_url).hostname or ""):
        return Failure(
            "connect", f"No connection to {way.peer}: {reason}. Is the server (or the emulator) running there?"
        )
    return Failure("connect", f"No connection to {way.peer}: {reason}. Check the network, VPN and firewall.")


def _not_trusted(cause: ssl.SSLCertVerificationError, way: Way) -> Failure:
    if cause.verify_code in _DATES:
        advice = " Is this machine's clock right?"
    elif cause.verify_code in _NAMES:
        advice = ""
    elif way.ours:
        advice = f" {trust_advice()}"
    else:
        advice = " Your own HTTP client decides which certificates are trusted."
    return Failure("tls", f"The certificate of {way.peer} is not accepted: {cause.verify_message}.{advice}")


def _not_found(cause: socket.gaierror, way: Way) -> Failure:
    """The failure for a name that cannot be looked up: "dns" if the host is known to exist, else "no_such_host"."""
    proxy, name = way.proxy, urlsplit(way.base_url).hostname or ""
    if proxy is not None:
        label, exists, named_by = str(proxy), proxy.place in _answered, proxy.named_by
    else:
        label, exists, named_by = name, way.host in _answered or _is_platform(name), way.named_by
    if cause.errno in _NOT_NOW or exists:
        check = "Check the network, DNS and VPN"
        also = f", and {named_by}" if named_by and not exists else ""
        return Failure("dns", f"The name of {label} cannot be looked up at the moment. {check}{also}.")
    also = f"check {named_by}, the network, DNS and VPN" if named_by else "check the network, DNS and VPN"
    return Failure(
        "no_such_host",
        f"No address was found for {label}: the name does not exist, or this machine is offline; {also}.",
    )


def _is_platform(name: str) -> bool:
    name = name.lower().rstrip(".")
    return any(name == home or name.endswith(f".{home}") for home in _PLATFORM)
