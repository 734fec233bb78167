"""Tests whether a server can be reached, with a request without a key."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from glmv.errors import GLMVError
from glmv.exchange.flow import fetch
from glmv.exchange.retry import Policy
from glmv.exchange.steps import Step
from glmv.request.prepare import Call
from glmv.sending import timeouts
from glmv.transport.address import Address


def reach(where: Address, timeout: float) -> Generator[Step, Any, None]:
    """Send one request. Any response shows that the server can be reached.

    Args:
        where: the server.
        timeout: seconds for each phase of the request.

    Raises:
        ConnectionFailed: the server did not answer.
    """
    call = Call("GET", "", lambda _: None, secrets=where.secrets, request_id="")
    try:
        yield from fetch(call, Policy(0, timeouts=timeouts(timeout), host=where.host), raw=True)
    except GLMVError as error:
        if error.status_code is None:
            raise
