"""A request, settings and a place -> the call that the flow runs. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from glmv._bounds import timeouts
from glmv._catalog import find
from glmv._check import check
from glmv._dialect import Dialect
from glmv._errors import InvalidRequestError
from glmv._flow import Call
from glmv._media import Image
from glmv._model import Model
from glmv._request import ChatRequest, Settings
from glmv._retry import Budget, Policy
from glmv._secrets import SecretHeaders, Secrets
from glmv._where import Place
from glmv._wire import Body, encode


def chat_call(request: ChatRequest, settings: Settings, where: Place, budget: Budget, *, stream: bool) -> Call:
    """A request -> the call, with everything that can be refused before sending refused.

    Raises:
        LimitExceeded, UnsupportedContent, InvalidRequestError: see `_check` and `_wire`; or there is no such picture.
    """
    row = row_of(request.model, where.dialect)
    asked = request.messages  # boxes are told in pixels of the caller's pictures, not of those fitted for the wire
    request = check(request, row)
    own = request.options.get("request_id")
    lists = row is not None and not row.string_content

    def body(request_id: str) -> Body:
        return encode(request, where.dialect, stream=stream, lists=lists, request_id=request_id)

    sizes = tuple(
        (part.width, part.height) if part.width and part.height else None
        for message in asked
        for part in message.content
        if isinstance(part, Image)
    )
    headers = request.call.get("extra_headers") or SecretHeaders()
    boxes_of = request.call.get("boxes_of")
    if boxes_of is not None and boxes_of >= len(sizes):
        raise InvalidRequestError(f"boxes_of={boxes_of}: pictures count from 0 over all turns; here are {len(sizes)}.")
    return Call(
        "POST",
        "/chat/completions",
        body,
        policy_of(settings, where, budget, request.call),
        headers=headers,
        secrets=where.secrets + Secrets(headers=headers.items()) if headers else where.secrets,
        request_id=own,
        renew=lambda: renewed(where),
        sensitive=request.call.get("on_sensitive") or settings.on_sensitive,
        cut=request.cut,
        notes=request.notes,
        sizes=sizes,
        boxes_of=boxes_of,
    )


def row_of(model: str, dialect: Dialect) -> Model | None:
    """The catalogue row that holds for a model at a server."""
    return find(model) if dialect.limits else None


def policy_of(settings: Settings, where: Place, budget: Budget, call: Mapping[str, Any]) -> Policy:
    """The patience of one call: the call's own figures before the client's."""

    def chosen(name: str) -> Any:
        return call[name] if name in call else getattr(settings, name)

    retries = settings.max_retries if call.get("max_retries") is None else call["max_retries"]
    read = timeouts(call.get("timeout") or settings.timeout)["read"]
    idle = chosen("idle_timeout") or read
    return Policy(retries, chosen("deadline"), idle, budget, read_timeout=read, host=where.host)


def renewed(where: Place) -> bool:
    """Forget a signed token; False when none is signed."""
    if where.signer is None or not where.signer.signs:
        return False
    where.signer.forget()
    return True
