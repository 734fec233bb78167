"""Keys that a function returns: asked before each attempt, checked, and masked from then on."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable
from inspect import iscoroutine, iscoroutinefunction
from itertools import count
from typing import Any

from pydantic import SecretStr

from glmv.credentials import NewKeys
from glmv.errors import AuthenticationError, GLMVError
from glmv.transport.auth import Signer

# Characters of the message of an error that a key's function raised.
_MOST_TOLD = 300


class KeyFunction:
    """A function that returns the key. Drivers call it before each attempt, and get a `Signer` for what it returned.

    Args:
        function: without parameters; it returns a key, or an awaitable that has one.
        signed, ttl: as `Signer`.
        keys: gets each key, to be masked in what the server sends.
    """

    __slots__ = ("_function", "_keys", "_made", "_signed", "_ttl", "account")

    def __init__(self, function: Callable[[], Any], *, signed: bool, ttl: float, keys: NewKeys) -> None:
        self._function = function
        self._signed = signed
        self._ttl = ttl
        self._keys = keys
        self._made: Signer | None = None
        self.account = name_of(function)

    @property
    def signs(self) -> bool:
        """As `Signer.signs`."""
        return self._signed and self._ttl > 0

    @property
    def is_asynchronous(self) -> bool:
        """Whether it is an `async def` function: what it does before it waits belongs on the event loop."""
        called = getattr(type(self._function), "__call__", None)  # noqa: B004 - of an object, its method is looked at
        return iscoroutinefunction(self._function) or iscoroutinefunction(called)

    def forget(self) -> None:
        """Sign anew at the next request."""
        self._made = None

    def ask(self) -> Signer:
        """Call it, blocking.

        Raises:
            AuthenticationError: it raised an error, returned no key, or is asynchronous.
        """
        if self.is_asynchronous:
            raise _asynchronous()
        match found := self.call():
            case Signer():
                return found
            case _:
                if iscoroutine(found):
                    found.close()  # nobody will await it
                raise _asynchronous()

    def call(self) -> Signer | Awaitable[Any]:
        """Call it -> a signer, or the awaitable that it returned, for `awaited`.

        Raises:
            AuthenticationError: it raised an error, or returned no key.
        """
        try:
            found = self._function()
        except GLMVError:
            raise
        except Exception as error:
            raise _failed(error) from error
        return found if isinstance(found, Awaitable) else self._signer(_secret(found))

    async def awaited(self, found: Awaitable[Any]) -> Signer:
        """What an asynchronous function returned -> a signer.

        Raises:
            AuthenticationError: it raised an error, or returned no key.
        """
        try:
            key = _secret(await found)
        except GLMVError:
            raise
        except Exception as error:
            raise _failed(error) from error
        return self._signer(key)

    def _signer(self, key: SecretStr) -> Signer:
        made = self._made
        if made is None or not made.is_of(key):
            made = self._made = Signer(key, signed=self._signed, ttl=self._ttl)
            made.register(self._keys)
        return made

    def __repr__(self) -> str:
        return "KeyFunction(...)"


def _secret(found: Any) -> SecretStr:
    match found:
        case SecretStr():
            key = found
        case str():
            key = SecretStr(found)
        case _:
            kind = type(found).__name__
            del found
            raise AuthenticationError(f"The function given as api_key returned {kind}; it has to return a string.")
    if not key.get_secret_value().strip():
        raise AuthenticationError("The function given as api_key returned an empty string.")
    return key


def _failed(error: Exception) -> AuthenticationError:
    """What the user's function raised -> one error."""
    told = str(error)[:_MOST_TOLD]
    return AuthenticationError(f"The function given as api_key raised {type(error).__name__}{told and f': {told}'}")


def _asynchronous() -> AuthenticationError:
    return AuthenticationError(
        "The function given as api_key is asynchronous, and this is a blocking call: give a function that returns the "
        "key, or make asynchronous calls only."
    )


_numbers = count(1)
_owners: dict[int, int] = {}
_kept: list[object] = []


def name_of(function: Callable[[], Any]) -> str:
    """A name for the account whose key a function returns: the same for the same function, or method of an object."""
    owner = getattr(function, "__self__", function)  # each access to a method makes a new object
    number = _owners.get(id(owner))
    if number is None:
        number = _owners.setdefault(id(owner), next(_numbers))  # another thread may have been first
        try:
            weakref.finalize(owner, _owners.pop, id(owner), None).atexit = False
        except TypeError:
            _kept.append(owner)  # without weak references it has to live, so that none other gets its id
    return f"function {number} {getattr(function, '__name__', '')}".strip()
