"""Keeps keys out of servers' texts, printed values, and tracebacks that print variables.

`Secrets` masks known values in bytes and text. `SecretHeaders` and `SecretBytes` hold values that are sent and never
printed. `without_values` calls a function that may raise, and raises its error from a frame without the arguments.
"""

from __future__ import annotations

import binascii
import html
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

from pydantic import GetCoreSchemaHandler, SecretStr
from pydantic_core import CoreSchema, core_schema

from glmv._public import public_class

T = TypeVar("T")

# Parts of the names of options and headers whose values are credentials; "max_tokens" does not match.
_SECRET_NAME = re.compile("key|header|client|secret|auth|cookie|token(?!s)|password|session|signature")
# Headers whose values are masked when a server repeats them. Request ids, protocols and dates are not credentials.
_SECRET_HEADER = re.compile("key|secret|auth|cookie|token(?!s)|password|signature|credential|session(-id)?$")
# What separates the parts of a header's value: "Bearer x", "session=x; lang=y", "Credential=x, Signature=y".
_PARTS = re.compile(r"[\s;,=]+")
# A shorter value, or one of letters only, is a placeholder such as "EMPTY" or "not-needed" (vLLM, LM Studio, Ollama):
# masking it would damage answers that contain the word. The platform's keys have 49 characters.
_SHORTEST = 8
_SHORTEST_WITHOUT_DIGITS = 16
# How many keys that a function returned are masked: running calls may still use one of the last few.
_NEWEST = 32
# The first segment of every token that `transport.auth.sign` makes: {"alg":"HS256","sign_type":"SIGN","typ":"JWT"}.
_TOKEN_HEAD = b"eyJhbGciOiJIUzI1NiIsInNpZ25fdHlwZSI6IlNJR04iLCJ0eXAiOiJKV1QifQ"
_TOKEN = re.compile(_TOKEN_HEAD + rb"[A-Za-z0-9_.-]*")


def is_secret(name: str) -> bool:
    """Whether an option or a header of this name holds a credential."""
    return _SECRET_NAME.search(name.lower()) is not None


class SecretBytes(bytes):
    """A header's value for the HTTP library: it is sent, but its repr does not show it."""

    def __repr__(self) -> str:
        return "SecretBytes(...)"

    __str__ = __repr__


@public_class
class SecretHeaders:
    """Headers of one request. They may hold credentials, so only their names are printed.

    `extra_headers` of a call may be `SecretHeaders` instead of a dict.

    It is not a mapping, because tools that print variables print the values of mappings.
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def items(self) -> Iterable[tuple[str, str]]:
        """The names and values of the headers."""
        return self._values.items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretHeaders) and self._values == other._values

    def __hash__(self) -> int:
        return hash(tuple(self._values))

    def __repr__(self) -> str:
        return f"SecretHeaders({', '.join(self._values)})"


class NewKeys:
    """The newest keys that an `api_key` function has returned. A key is masked from the moment when it is added.

    Attributes:
        masks: pairs of two values: a form in which a key may be written, and asterisks of the same length.
    """

    __slots__ = ("_values", "masks")

    def __init__(self) -> None:
        self._values: tuple[SecretBytes, ...] = ()
        self.masks: tuple[tuple[bytes, bytes], ...] = ()

    def add(self, key: str) -> None:
        """Mask a key from now on."""
        value = SecretBytes(key, "ascii")
        if value not in self._values:
            self._values = (*self._values, value)[-_NEWEST:]
            self.masks = _masks(
                {credential for each in self._values for credential in _credentials(bytes(each).decode())}
            )

    def __repr__(self) -> str:
        return "NewKeys(...)"


class Secrets:
    """The credentials of one client or call, which are masked wherever a server repeats them.

    Args:
        key: an API key, or "". If it has the platform's form "id.secret", the secret half alone is masked, too.
        headers: headers of the request. If the name of a header says that it holds a credential, its value is masked,
            whole and in parts. For Basic authentication (RFC 7617), the decoded "user:password" and the password alone
            are masked, too.
        keys: holds the keys that are added later. The sum `a + b` shares the `NewKeys` object of `a`, or that of `b`
            if `a` has none.
    """

    __slots__ = ("_keys", "_masks")

    def __init__(self, key: str = "", headers: Iterable[tuple[str, str]] = (), *, keys: NewKeys | None = None) -> None:
        self._keys = keys
        values = _credentials(key)
        for name, value in headers:
            if _SECRET_HEADER.search(name.lower()):
                values |= {part for part in _parts(value) if _is_credential(part)}
        self._masks = _masks(values)

    def mask(self, data: bytes) -> bytes:
        """Bytes with every credential replaced by asterisks of the same length."""
        masks = self._masks if self._keys is None else (*self._keys.masks, *self._masks)
        for secret, stars in masks:
            if secret in data:
                data = data.replace(secret, stars)
        if _TOKEN_HEAD in data:
            data = _TOKEN.sub(lambda match: b"*" * len(match[0]), data)
        return data

    def mask_text(self, text: str) -> str:
        """Text with every credential replaced by asterisks of the same length."""
        return self.mask(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def mask_values(self, payload: Any) -> Any:
        """Parsed JSON with every credential in its keys and strings replaced.

        JSON can write any character as `\\uXXXX`, so masking the bytes does not find every credential.
        """
        match payload:
            case str():
                return self.mask_text(payload)
            case list():
                return [self.mask_values(value) for value in payload]
            case dict():
                return {self.mask_text(name): self.mask_values(value) for name, value in payload.items()}
            case _:
                return payload

    def __add__(self, other: Secrets) -> Secrets:
        both = Secrets(keys=self._keys or other._keys)
        both._masks = tuple(sorted({*self._masks, *other._masks}, key=lambda mask: -len(mask[0])))
        return both

    def __repr__(self) -> str:
        return "Secrets(...)"


def _credentials(key: str) -> set[str]:
    """The key, and its secret half if it has the form "id.secret"; an empty set for a placeholder."""
    values = {key} if _is_credential(key) else set()
    if values and key.count(".") == 1 and len(half := key.partition(".")[2]) >= _SHORTEST:
        values.add(half)
    return values


def _masks(values: Iterable[str]) -> tuple[tuple[bytes, bytes], ...]:
    """Each form in which a value may be written, with asterisks of the same length; the longest forms first."""
    forms = {form.encode() for value in values for form in _forms(value)}
    return tuple((form, b"*" * len(form)) for form in sorted(forms, key=len, reverse=True))


def _is_credential(value: str) -> bool:
    enough = _SHORTEST if any(map(str.isdigit, value)) else _SHORTEST_WITHOUT_DIGITS
    return len(value) >= enough


def _parts(value: str) -> set[str]:
    """A header's value and its parts; for Basic authentication also the decoded "user:password" and the password."""
    parts = {value, *_PARTS.split(value)}
    scheme, _, encoded = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            login = binascii.a2b_base64(encoded).decode()
        except ValueError:
            return parts
        parts |= {encoded, login, login.partition(":")[2]}
    return parts


def _forms(value: str) -> set[str]:
    """A value as servers repeat it: plain, in JSON (with and without escaped slashes), in a URL, in HTML."""
    in_json = json.dumps(value)[1:-1]
    quoted = {quote(value, safe=""), quote(value)}
    escaped = html.escape(value)
    return {
        value,
        in_json,
        in_json.replace("/", "\\/"),
        *quoted,
        *(re.sub("%..", lambda match: match[0].lower(), each) for each in quoted),
        escaped,
        escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
    }


def without_values(make: Callable[[], T], *arguments: dict[str, Any]) -> T:
    """Call a function, and raise its ValueError without the frames that hold its arguments.

    Args:
        make: a function without parameters, which uses the values in `arguments`.
        arguments: dictionaries with the arguments. They are emptied in any case.

    Raises:
        ValueError: the one that `make` raised, such as `glmv.InvalidRequestError`; its traceback begins here.
    """
    try:
        return make()
    except ValueError as refusal:
        problem = refusal
    finally:
        del make
        for values in arguments:
            values.clear()
    problem.__context__ = None
    raise problem.with_traceback(None)


ApiKey = str | SecretStr | Callable[[], str | SecretStr]
"""A key, or a function that returns it, which is called before each attempt."""
AsyncApiKey = ApiKey | Callable[[], Awaitable[str | SecretStr]]
"""`ApiKey`, or an asynchronous function, which only the asynchronous client accepts."""


@dataclass(frozen=True, slots=True)
class KeyOrFunction:
    """Validates a key as `SecretStr`, and leaves a function as it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(self._check, handler.generate_schema(SecretStr))

    @staticmethod
    def _check(value: Any, handler: Callable[[Any], Any]) -> Any:
        return value if callable(value) else handler(value)
