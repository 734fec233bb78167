"""Finds the server's address and key in the settings and in the environment, which is a parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from pydantic import SecretStr

from glmv.credentials import NewKeys, Secrets
from glmv.errors import AuthenticationError, InvalidRequestError
from glmv.media.text import shortened
from glmv.options import Connection
from glmv.transport.auth import NO_KEY, Signer
from glmv.transport.keys import KeyFunction
from glmv.transport.proxies import is_loopback
from glmv.wire.dialect import Dialect, dialect_of

BIGMODEL = "https://open.bigmodel.cn/api/paas/v4"
ZAI = "https://api.z.ai/api/paas/v4"

# The variables of the official SDKs (zhipuai and zai `_client.py`), and the default base URL for each key.
_KEYS = (("ZHIPUAI_API_KEY", "ZHIPUAI_BASE_URL", BIGMODEL), ("ZAI_API_KEY", "ZAI_BASE_URL", ZAI))


@dataclass(frozen=True, slots=True)
class Address:
    """The address of a server, with the key for it.

    Attributes:
        base_url: without a slash at its end.
        host: host and port, for messages and gates.
        signer: makes the Authorization header; None without a key.
        dialect: the dialect of the server.
        secrets: the credentials in every request.
        named_by: the source of the address: "base_url" or the name of an environment variable; "" for the platform's
            default address.
    """

    base_url: str
    host: str
    signer: Signer | KeyFunction | None
    dialect: Dialect
    secrets: Secrets
    named_by: str = ""

    @property
    def account(self) -> str:
        """A name for the account, which does not reveal the key."""
        return self.signer.account if self.signer else ""

    def renew(self) -> bool:
        """Drop the signed token, so that the next request gets a new one. Returns False if requests have no token."""
        if self.signer is None or not self.signer.signs:
            return False
        self.signer.forget()
        return True


def _variables(environ: Mapping[str, str]) -> dict[str, SecretStr]:
    """The environment variables for addresses and keys, as secrets, so that tracebacks do not print them."""
    names = {"GLMV_BASE_URL", *(name for row in _KEYS for name in row[:2])}
    return {name: SecretStr(value) for name, value in environ.items() if name in names}


def address_of(settings: Connection, environ: Mapping[str, str]) -> Address:
    """The server's address and key, from the settings and the environment.

    Raises:
        AuthenticationError: there is no key for the platform.
        InvalidRequestError: the base URL is not http(s), or is `http://` for another machine without `allow_http`.
    """
    variables = _variables(environ)
    del environ  # a traceback with variables would print all of it
    function: Callable[[], object] | None = None
    own: SecretStr | None = None
    match settings.api_key:
        case None | SecretStr() as key:
            own = key
        case str() as plain:  # pydantic's `model_copy(update=...)` does not validate
            own = SecretStr(plain)
            del plain
        case callable_key:
            function = callable_key
    variable, base_variable, home = _belonging(own, variables) if function is None else _likely(variables)
    key = variables.get(variable, SecretStr("")) if own is None else own
    named_by, base_url = "base_url", settings.base_url or ""
    if not base_url:
        named_by = next((name for name in ("GLMV_BASE_URL", base_variable) if variables.get(name)), "")
        base_url = variables[named_by].get_secret_value() if named_by else home
    base_url = base_url.strip().rstrip("/")
    host = _check_base_url(base_url, settings.allow_http)
    dialect = dialect_of(base_url, settings.dialect)
    if settings.base64_as is not None:
        dialect = replace(dialect, base64=settings.base64_as)
    if function is not None:
        keys = NewKeys()
        key_function = KeyFunction(function, signed=settings.auth == "token", ttl=settings.token_ttl, keys=keys)
        return Address(base_url, host, key_function, dialect, Secrets(headers=_headers(settings), keys=keys), named_by)
    if not key.get_secret_value().strip() and dialect.name == "platform":
        raise AuthenticationError(NO_KEY)
    signer = None
    if key.get_secret_value().strip():
        signer = Signer(key, signed=settings.auth == "token", ttl=settings.token_ttl)
    secrets = Secrets(key.get_secret_value().strip(), _headers(settings))
    return Address(base_url, host, signer, dialect, secrets, named_by)


def _headers(settings: Connection) -> Iterator[tuple[str, str]]:
    """The headers of every request: those of the settings and of the user's HTTP clients."""
    yield from (settings.default_headers or {}).items()
    for http in (settings.http_client, settings.http_async_client):
        # `raw`, because `items` would set the encoding of the headers, and the user's client must not be modified.
        for name, value in getattr(getattr(http, "headers", None), "raw", ()):
            yield name.decode("latin-1"), value.decode("latin-1")


def _belonging(key: SecretStr | None, environ: Mapping[str, SecretStr]) -> tuple[str, str, str]:
    """Chooses the entry of `_KEYS` to use with a key.

    It is the entry whose key variable has this key as its value. If there is none, it is the first entry whose base URL
    variable is set and whose key variable is not. If the key is None, it is the first entry whose key variable is set.
    If no entry qualifies, it is the first entry.
    """
    if key is None:
        return next((row for row in _KEYS if environ.get(row[0])), _KEYS[0])
    same = (row for row in _KEYS if environ.get(row[0]) == key)
    # A base URL whose key variable has another key belongs to that key.
    free = (row for row in _KEYS if environ.get(row[1]) and not environ.get(row[0]))
    return next(same, None) or next(free, None) or _KEYS[0]


def _likely(environ: Mapping[str, SecretStr]) -> tuple[str, str, str]:
    """Chooses the entry of `_KEYS` to use with an api_key function, before the function has returned a key.

    It is the first entry whose base URL variable is set and whose key variable is not. If there is none, it is the
    first entry whose key variable is set, or the first entry if no key variable is set.
    """
    alone = (row for row in _KEYS if environ.get(row[1]) and not environ.get(row[0]))
    return next(alone, None) or next((row for row in _KEYS if environ.get(row[0])), _KEYS[0])


def _check_base_url(base_url: str, allow_http: bool) -> str:
    if "@" in base_url:  # first, because the other messages repeat parts of the URL
        raise InvalidRequestError("base_url contains a user name or password; pass the key as api_key instead.")
    try:
        url = urlsplit(base_url)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise InvalidRequestError(
            f"base_url is not a URL such as {BIGMODEL}: its host or its port (0 to 65535) cannot be read."
        ) from None
    if url.scheme not in ("http", "https") or not host:
        raise InvalidRequestError(
            f"base_url must begin with https:// and a host, such as {BIGMODEL}; its scheme is {url.scheme!r}."
        )
    # The bases ending in /api/anthropic speak Anthropic's Messages API (docs.bigmodel.cn, "Claude API 兼容").
    for end, instead in (("/chat/completions", ""), ("/api/anthropic", "/api/paas/v4")):
        if url.path.endswith(end):
            raise InvalidRequestError(f"base_url ends with {end}: pass {base_url.removesuffix(end)}{instead} instead.")
    if url.scheme == "http" and not allow_http and not is_loopback(host):
        raise InvalidRequestError(
            f"base_url would send the key and the pictures unencrypted to {shortened(host)}: use https://, or pass "
            "allow_http=True if you trust that network (containers, for instance)."
        )
    return f"{host}:{port}" if port else host
