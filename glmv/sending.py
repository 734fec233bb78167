"""How requests are sent: what `timeout`, `http_client` and `http_async_client` may be, and the defaults."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator

from glmv.errors import InvalidRequestError

# Retries that all calls of a client may make while no call succeeds: botocore's standard mode has 500 tokens, and a
# retry costs 14.
RETRY_BUDGET = 35
# The platform's own SDKs connect for 8 s and read for 300 s (zhipuai `_constants.py`): thinking models are slow.
TIMEOUTS = {"connect": 8.0, "read": 300.0, "write": 60.0}


def timeouts(timeout: Any) -> dict[str, float | None]:
    """The seconds for each phase of a request, from a number of seconds, an `httpx.Timeout` or None (the defaults).

    Raises:
        InvalidRequestError: for anything else, and for a number that is not above 0.
    """
    match timeout:
        case None:
            return {**TIMEOUTS, "pool": None}
        case bool():
            raise InvalidRequestError("timeout must be a number of seconds or an httpx.Timeout; got bool.")
        case int() | float() if not 0 < timeout < math.inf:
            raise InvalidRequestError(
                f"timeout must be a number of seconds above 0; got {timeout!r}. None means the default timeouts."
            )
        case int() | float():
            return {"connect": float(timeout), "read": float(timeout), "write": float(timeout), "pool": None}
        case _ if hasattr(timeout, "connect") and hasattr(timeout, "read"):
            return {"connect": timeout.connect, "read": timeout.read, "write": timeout.write, "pool": None}
        case _:
            raise InvalidRequestError(
                f"timeout must be a number of seconds or an httpx.Timeout; got {type(timeout).__name__}."
            )


def _timeout(value: object) -> object:
    timeouts(value)
    return value


def _asynchronous(value: object) -> object:
    return _http_client("http_async_client", "AsyncClient", value)


def _blocking(value: object) -> object:
    return _http_client("http_client", "Client", value)


def _http_client(name: str, expected: str, value: object) -> object:
    """Returns the value if it is None or an HTTP client of the right kind; raises InvalidRequestError if not.

    An object of a class from outside httpx is accepted if it has the methods `build_request` and `send`.
    """
    if value is None:
        return None
    bases = {base.__name__ for base in type(value).__mro__ if base.__module__.partition(".")[0] in ("httpx", "httpx2")}
    other = "Client" if expected == "AsyncClient" else "AsyncClient"
    sends = all(hasattr(value, method) for method in ("build_request", "send")) and not isinstance(value, type)
    if sends and other not in bases:
        return value
    what = f"the class {value.__qualname__}" if isinstance(value, type) else _name(type(value))
    where = f"; pass it as {'http_client' if other == 'Client' else 'http_async_client'}" if other in bases else ""
    raise InvalidRequestError(f"{name} must be an httpx.{expected} or an httpx2.{expected}; got {what}{where}.")


def _name(kind: type) -> str:
    module = kind.__module__.partition(".")[0]
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


Timeout = Annotated[Any, BeforeValidator(_timeout)]
HTTPClient = Annotated[Any, BeforeValidator(_blocking)]
AsyncHTTPClient = Annotated[Any, BeforeValidator(_asynchronous)]
