"""What the HTTP library raises -> what the flow knows. The library is given, so that none is imported here.

Its own error objects go no further: they hold the request, and their tracebacks hold the header with the key.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from types import ModuleType

from glmv.credentials import Secrets
from glmv.errors import GLMVError, InvalidRequestError
from glmv.exchange.steps import Failure

# Characters of the library's own message that are repeated in ours.
_EXCERPT = 200


def translated(
    error: Exception,
    library: ModuleType,
    host: str,
    timeouts: Mapping[str, float | None],
    secrets: Secrets,
) -> Failure | GLMVError:
    """An error of the library -> a failure on the way, or the error to raise; its cause is a bare copy of the original.

    Args:
        error: what the library raised.
        library: the module that the client object comes from, `httpx` or `httpx2`.
        host: where the request went.
        timeouts: seconds for each phase ("connect", "read", "write"), None for no limit.
        secrets: credentials, which the library repeats when a server does ("illegal status line: ...").
    """
    text = secrets.mask_text(str(error))
    problem = _translated(error, text, library, host, timeouts)
    if isinstance(problem, Failure):
        try:
            copy = type(error)(text)
            problem.__cause__ = copy if secrets.mask_text(str(copy)) == str(copy) else None
        except Exception:  # noqa: BLE001, S110 - a class that is not made of a text has no copy
            pass
    return problem


def _translated(
    error: Exception, text: str, library: ModuleType, host: str, timeouts: Mapping[str, float | None]
) -> Failure | GLMVError:
    reason = text[:_EXCERPT].rstrip(".") or type(error).__name__

    def within(phase: str) -> str:
        seconds = timeouts.get(phase)
        return f"{seconds:g} s ({phase} timeout)" if seconds is not None else f"the {phase} timeout"

    match error:
        case GLMVError():
            return error
        case library.ConnectTimeout():
            return Failure("connect_timeout", f"No connection to {host} within {within('connect')}.")
        case library.WriteTimeout():
            return Failure("write_timeout", f"The request could not be sent to {host} within {within('write')}.")
        case TimeoutError() | library.ReadTimeout():
            return Failure("read_timeout", f"{host} sent nothing within {within('read')}.")
        case library.TimeoutException():
            return Failure("read_timeout", f"The HTTP client waited for {host} in vain: {reason}.")
        case library.ConnectError() | library.ProxyError():
            return _not_connected(error, reason, host)
        case library.NetworkError() | library.RemoteProtocolError():
            return Failure("reset", f"{host} broke the connection: {reason}.")
        case library.InvalidURL() | library.UnsupportedProtocol() | library.LocalProtocolError():
            return _not_sendable(reason)
        case library.HTTPStatusError():
            return Failure("closed", f"A hook of the HTTP client refused the answer of {host}: {reason}.")
        case library.HTTPError():
            return Failure("reset", f"The answer of {host} cannot be read: {reason}.")
        case library.StreamError() | RuntimeError():
            return Failure("closed", f"The connection to {host} was closed on this side: {reason}.")
        case ValueError() | TypeError():
            return _not_sendable(reason)
        case _:
            return Failure("closed", f"The HTTP client failed ({type(error).__name__}): {reason}.")


def _not_sendable(reason: str) -> InvalidRequestError:
    # "Illegal header value b'...'": which header it was is not a secret, what was in it may be one.
    return InvalidRequestError(f"The request cannot be sent: {reason.partition(' b' + chr(39))[0]}.")


def _not_connected(error: Exception, reason: str, host: str) -> Failure:
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ssl.SSLCertVerificationError():
                return Failure("tls", f"The certificate of {host} is not accepted: {cause.verify_message}.")
            case socket.gaierror(errno=socket.EAI_AGAIN):
                return Failure("dns", f"The name of {host} cannot be looked up at the moment.")
            case socket.gaierror():
                return Failure("no_such_host", f"There is no host {host}: check base_url.")
            case _:
                cause = cause.__cause__ or cause.__context__
    return Failure("connect", f"No connection to {host}: {reason}. Is the server (or the emulator) running there?")
