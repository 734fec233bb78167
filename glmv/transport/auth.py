"""Makes the Authorization header: it contains the key, or a short-lived token signed with the key.

The time is a parameter.

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
    "No API key: pass api_key=..., or set ZHIPUAI_API_KEY (bigmodel.cn) or ZAI_API_KEY (z.ai). Pickles do not contain "
    "the key: for worker processes, set one of these variables."
)
# A token is replaced when this share of its lifetime is left, so that no request has a token that is about to expire.
_EARLY = 0.15


def checked_key(key: SecretStr) -> SecretStr:
    """Checks that a key is valid in a header, and returns it without surrounding spaces.

    Raises:
        AuthenticationError: the key is invalid; the message does not contain it.
    """
    key = SecretStr(key.get_secret_value().strip())
    if not key:
        raise AuthenticationError(NO_KEY)
    if re.fullmatch("[!-~]+", key.get_secret_value()) is None:
        raise AuthenticationError("The API key contains spaces, line breaks or non-ASCII characters: copy it again.")
    return key


def sign(key: SecretStr, now: float, ttl: float) -> str:
    """Returns a token that is signed with the key "id.secret" and valid from `now` (epoch seconds) for `ttl` seconds.

    Raises:
        AuthenticationError: the key does not have two parts with one dot between them.
    """
    if re.fullmatch(r"[^.]+\.[^.]+", key.get_secret_value()) is None:
        raise AuthenticationError(
            "auth='token' needs a key of the form id.secret, with one dot. This key has another form."
        )
    key_id, _, secret = key.get_secret_value().partition(".")
    stamp = int(now * 1000)
    header = {"alg": "HS256", "sign_type": "SIGN", "typ": "JWT"}
    payload = {"api_key": key_id, "exp": stamp + int(ttl * 1000), "timestamp": stamp}
    head = b".".join(_segment(json.dumps(part, separators=(",", ":")).encode()) for part in (header, payload))
    return (head + b"." + _segment(hmac.new(secret.encode(), head, hashlib.sha256).digest())).decode()


def _segment(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


class Signer:
    """A key and the token signed with it. Its repr shows neither."""

    __slots__ = ("_key", "_signed_at", "_token", "_ttl", "account")

    def __init__(self, key: SecretStr, *, signed: bool, ttl: float) -> None:
        self._ttl = ttl if signed and ttl > 0 else 0.0
        self._key = checked_key(key)
        self._token = ""
        self._signed_at = 0.0
        # A name for the account, which does not reveal the key: calls with one key share a gate.
        self.account = hashlib.sha256(self._key.get_secret_value().encode()).hexdigest()[:16]

    @property
    def signs(self) -> bool:
        """Whether requests have signed tokens: an expired token can be replaced, a key cannot."""
        return self._ttl > 0

    def header(self, now: float) -> str:
        """The value of `Authorization` for a request at the time `now`, in seconds since the epoch."""
        if not self._ttl:
            return f"Bearer {self._key.get_secret_value()}"
        age = now - self._signed_at
        if not self._token or not 0 <= age < self._ttl * (1 - _EARLY):
            self._token, self._signed_at = sign(self._key, now, self._ttl), now
        return f"Bearer {self._token}"

    def forget(self) -> None:
        """Drop the token: the next request has a new one."""
        self._token = ""

    def is_of(self, key: SecretStr) -> bool:
        """Whether `key` is the key of this signer."""
        return self._key.get_secret_value() == key.get_secret_value().strip()

    def register(self, keys: NewKeys) -> None:
        """Add the key to `keys`, which are masked in responses."""
        keys.add(self._key.get_secret_value())

    def __repr__(self) -> str:
        return f"Signer({'token' if self._ttl else 'key'})"
