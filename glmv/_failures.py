"""What the HTTP library raises -> what the flow knows. The library is given, so that none is imported here.

Its own error objects go no further: they hold the request, and their tracebacks hold the header with the key.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any

from glmv._errors import GLMVError, InvalidRequestError
from glmv._flow import Failure


def translated(error: Exception, library: Any, host: str) -> Failure | GLMVError:
    """An error of the library -> a failure on the way, or the error to raise; its cause is a bare copy of the original.

    Args:
        library: the module that the client object comes from, `httpx` or `httpx2`.
        host: for the message.
    """
    problem = _translated(error, library, host)
    if isinstance(problem, Failure):
        try:
            problem.__cause__ = type(error)(str(error))
        except Exception:  # noqa: BLE001, S110 - a class that is not made of a text has no copy
            pass
    return problem


def _translated(error: Exception, library: Any, host: str) -> Failure | GLMVError:
    match error:
        case GLMVError():
            return error
        case TimeoutError():
            return Failure("read_timeout", "Nothing came in time.")
        case library.ConnectTimeout():
            return Failure("connect_timeout", f"No connection to {host} in time: {_said(error)}.")
        case library.WriteTimeout():
            return Failure("write_timeout", "The request could not be sent in time.")
        case library.TimeoutException():
            return Failure("read_timeout", "Nothing came in time.")
        case library.ConnectError() | library.ProxyError():
            return _not_connected(error, host)
        case library.NetworkError() | library.RemoteProtocolError():
            return Failure("reset", f"The server broke the connection: {_said(error)}.")
        case library.InvalidURL() | library.UnsupportedProtocol() | library.LocalProtocolError():
            return _not_sendable(error)
        case library.HTTPStatusError():
            return Failure("closed", f"A hook of the HTTP client refused the answer: {_said(error)}.")
        case library.HTTPError():
            return Failure("reset", f"The answer cannot be read: {_said(error)}.")
        case library.StreamError() | RuntimeError():
            return Failure("closed", f"The connection was closed on this side: {_said(error)}.")
        case ValueError() | TypeError():
            return _not_sendable(error)
        case _:
            return Failure("closed", f"The HTTP client failed ({type(error).__name__}): {_said(error)}.")


def _not_sendable(error: Exception) -> InvalidRequestError:
    # "Illegal header value b'...'": which header it was is no secret, what stood in it may be one.
    return InvalidRequestError(f"The request cannot be sent: {_said(error).partition(' b' + chr(39))[0]}.")


def _not_connected(error: Exception, host: str) -> Failure:
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ssl.SSLCertVerificationError():
                return Failure("tls", f"The certificate of {host} is not accepted: {cause.verify_message}.")
            case socket.gaierror(errno=socket.EAI_AGAIN):
                return Failure("dns", f"The name of {host} cannot be looked up just now.")
            case socket.gaierror():
                return Failure("no_such_host", f"There is no host {host}: check base_url.")
            case _:
                cause = cause.__cause__ or cause.__context__
    return Failure(
        "connect", f"No connection to {host}: {_said(error)}. Is the server (or the emulator) running there?"
    )


def _said(error: Exception) -> str:
    return str(error)[:200].rstrip(".") or type(error).__name__
