"""A key -> the Authorization header: the key as it is, or a short-lived token signed with it. Pure: time is given.

Source: the official SDKs (zhipuai and zai `_jwt_token.py`, Java `TokenManager`): HS256, header
`{"alg":"HS256","sign_type":"SIGN"}`, payload `{"api_key", "exp", "timestamp"}` in **milliseconds**, signed with the
part of the key after the dot.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import urlsafe_b64encode

from pydantic import SecretStr

from glmv.credentials import NewKeys
from glmv.errors import AuthenticationError

NO_KEY = (
    "No API key: give api_key=..., or set ZHIPUAI_API_KEY (bigmodel.cn) or ZAI_API_KEY (z.ai). Pickles hold no key: "
    "for worker processes, set the variable."
)
# Signed anew this share of its lifetime before it ends, so that no request leaves with a token about to expire.
_EARLY = 0.15


def checked_key(key: SecretStr) -> SecretStr:
    """A key that can stand in a header, spaces around it removed.

    Raises:
        AuthenticationError: naming the shape that is wrong, never the key.
    """
    key = SecretStr(key.get_secret_value().strip())
    if not key:
        raise AuthenticationError(NO_KEY)
    if re.fullmatch("[!-~]+", key.get_secret_value()) is None:
        raise AuthenticationError("The API key holds spaces, line breaks or characters beyond ASCII: copy it anew.")
    return key


def sign(key: SecretStr, now: float, ttl: float) -> str:
    """A key "id.secret" and the time in seconds -> a token valid for `ttl` seconds.

    Raises:
        AuthenticationError: when the key is not of two parts with one dot between them.
    """
    if re.fullmatch(r"[^.]+\.[^.]+", key.get_secret_value()) is None:
        raise AuthenticationError("auth='token' needs a key of the form id.secret, with one dot. This key has another.")
    key_id, _, secret = key.get_secret_value().partition(".")
    stamp = int(now * 1000)
    header = {"alg": "HS256", "sign_type": "SIGN", "typ": "JWT"}
    payload = {"api_key": key_id, "exp": stamp + int(ttl * 1000), "timestamp": stamp}
    head = b".".join(_segment(json.dumps(part, separators=(",", ":")).encode()) for part in (header, payload))
    return (head + b"." + _segment(hmac.new(secret.encode(), head, hashlib.sha256).digest())).decode()


def _segment(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


class Signer:
    """Keeps a key and the token made of it. Its repr never shows either."""

    __slots__ = ("_key", "_made", "_token", "_ttl", "account")

    def __init__(self, key: SecretStr, *, signed: bool, ttl: float) -> None:
        self._ttl = ttl if signed and ttl > 0 else 0.0
        self._key = checked_key(key)
        self._token = ""
        self._made = 0.0
        # A name for the account that tells nothing of the key: calls of one key share a gate.
        self.account = hashlib.sha256(self._key.get_secret_value().encode()).hexdigest()[:16]

    @property
    def signs(self) -> bool:
        """Whether tokens are signed, so that an expired one can be made anew."""
        return self._ttl > 0

    def header(self, now: float) -> str:
        """The value of `Authorization` at a time in seconds since the epoch."""
        if not self._ttl:
            return f"Bearer {self._key.get_secret_value()}"
        age = now - self._made
        if not self._token or not 0 <= age < self._ttl * (1 - _EARLY):
            self._token, self._made = sign(self._key, now, self._ttl), now
        return f"Bearer {self._token}"

    def forget(self) -> None:
        """Sign anew at the next request."""
        self._token = ""

    def is_of(self, key: SecretStr) -> bool:
        """Whether it was made for this key."""
        return self._key.get_secret_value() == key.get_secret_value().strip()

    def register(self, keys: NewKeys) -> None:
        """Have the key masked from now on."""
        keys.add(self._key.get_secret_value())

    def __repr__(self) -> str:
        return f"Signer({'token' if self._ttl else 'key'})"
