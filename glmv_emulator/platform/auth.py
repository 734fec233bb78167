"""Checks of the key or the signed token of a request (docs.bigmodel.cn, "HTTP API calls")."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from typing import Any

from glmv_emulator.platform.errors import Refusal


class HiddenKey:
    """A key that tracebacks with variables do not print."""

    __slots__ = ("value",)

    def __init__(self, value: str) -> None:
        self.value = value

    def __repr__(self) -> str:
        return "HiddenKey(...)"


def new_key() -> str:
    """Create a key in the platform's form, id and secret joined by a dot."""
    return f"{secrets.token_hex(16)}.{secrets.token_urlsafe(12).replace('.', '-')}"


def check(header: str | None, key: str, now: float) -> None:
    """Raise the platform's refusal of a wrong `Authorization` header. `now` is in seconds since the epoch."""
    if not header or not header.strip():
        raise Refusal("1001")
    # Early clients sent the bare token, so the scheme is optional.
    scheme, _, rest = header.strip().partition(" ")
    credential = rest.strip() if scheme.lower() == "bearer" else header.strip()
    if not credential:
        raise Refusal("1001")
    if hmac.compare_digest(credential.encode(), key.encode()):
        return
    if credential.count(".") == 2:
        _check_token(credential, key, now)
        return
    raise Refusal("1002")


def _check_token(token: str, key: str, now: float) -> None:
    identity, _, secret = key.partition(".")
    signed, _, signature = token.rpartition(".")
    head, payload = (_json(piece) for piece in signed.split("."))
    good = hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest()
    if head.get("alg") != "HS256" or head.get("sign_type") != "SIGN" or payload.get("api_key") != identity:
        raise Refusal("1002")
    if not hmac.compare_digest(good, _decoded(signature)):
        raise Refusal("1004")
    expires, signed_at = payload.get("exp"), payload.get("timestamp")
    if not isinstance(expires, int) or not isinstance(signed_at, int):
        raise Refusal("1002")
    # Both are in milliseconds; a token with seconds counts as expired, as on the platform.
    if expires <= now * 1000:
        raise Refusal("1003")


def _decoded(piece: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4))
    except (binascii.Error, ValueError):
        raise Refusal("1002") from None


def _json(piece: str) -> dict[str, Any]:
    try:
        value = json.loads(_decoded(piece))
    except (ValueError, RecursionError):
        raise Refusal("1002") from None
    if not isinstance(value, dict):
        raise Refusal("1002")
    return value
