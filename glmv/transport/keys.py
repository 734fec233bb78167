"""Keys from a function, which is called before each attempt. The keys are checked, and masked from then on."""

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

# The most characters of the message of an error that the function raised.
_MOST_QUOTED = 300


class KeyFunction:
    """A function that returns the key. Drivers call it before each attempt, and get a `Signer` for the returned key.

    Args:
        function: takes no arguments; it returns a key, or an awaitable whose result is a key.
        signed, ttl: as for `Signer`.
        keys: the keys that are masked in responses; each key that the function returns is added.
    """

    __slots__ = ("_function", "_keys", "_signed", "_signer_in_use", "_ttl", "account")

    def __init__(self, function: Callable[[], Any], *, signed: bool, ttl: float, keys: NewKeys) -> None:
        self._function = function
        self._signed = signed
        self._ttl = ttl
        self._keys = keys
        self._signer_in_use: Signer | None = None
        self.account = name_of(function)

    @property
    def signs(self) -> bool:
        """See `Signer.signs`."""
        return self._signed and self._ttl > 0

    @property
    def is_asynchronous(self) -> bool:
        """Whether the function is an `async def` function, which must run in the event loop."""
        method = getattr(type(self._function), "__call__", None)  # noqa: B004 - of an object, its method is looked at
        return iscoroutinefunction(self._function) or iscoroutinefunction(method)

    def forget(self) -> None:
        """Drop the token: the next request has a new one."""
        self._signer_in_use = None

    def ask(self) -> Signer:
        """Call the function and return a signer for its key. Blocking drivers use this method.

        Raises:
            AuthenticationError: the function raised an error, did not return a key, or is asynchronous.
        """
        if self.is_asynchronous:
            raise _asynchronous()
        match signer := self.call():
            case Signer():
                return signer
            case _:
                if iscoroutine(signer):
                    signer.close()  # it will not be awaited
                raise _asynchronous()

    def call(self) -> Signer | Awaitable[Any]:
        """Call the function. Returns a signer, or an awaitable for `awaited` if the function returned an awaitable.

        Raises:
            AuthenticationError: the function raised an error, or did not return a key.
        """
        try:
            key = _secret(self._function())
        except GLMVError:
            raise
        except Exception as error:
            raise _failed(error) from error
        return self._signer(key) if isinstance(key, SecretStr) else key

    async def awaited(self, pending_key: Awaitable[Any]) -> Signer:
        """Await the awaitable that the function returned, and return a signer for its key.

        Raises:
            AuthenticationError: the function raised an error, or did not return a key.
        """
        try:
            key = _secret(await pending_key)
        except GLMVError:
            raise
        except Exception as error:
            raise _failed(error) from error
        if not isinstance(key, SecretStr):
            raise _not_a_string(key)
        return self._signer(key)

    def _signer(self, key: SecretStr) -> Signer:
        signer = self._signer_in_use
        if signer is None or not signer.is_of(key):
            signer = self._signer_in_use = Signer(key, signed=self._signed, ttl=self._ttl)
            signer.register(self._keys)
        return signer

    def __repr__(self) -> str:
        return "KeyFunction(...)"


def _secret(returned: Any) -> SecretStr | Awaitable[Any]:
    """What the function returned, in a form that tracebacks with variables do not print."""
    match returned:
        case SecretStr():
            key = returned
        case str():
            key = SecretStr(returned)
        case Awaitable():
            return returned
        case _:
            problem = _not_a_string(returned)
            del returned
            raise problem
    if not key.get_secret_value().strip():
        raise AuthenticationError("The api_key function returned an empty string.")
    return key


def _not_a_string(returned: object) -> AuthenticationError:
    return AuthenticationError(f"The api_key function returned {type(returned).__name__}; it must return a string.")


def _failed(error: Exception) -> AuthenticationError:
    """The error to raise for an exception of the user's function."""
    message = str(error)[:_MOST_QUOTED]
    return AuthenticationError(f"The api_key function raised {type(error).__name__}{message and f': {message}'}")


def _asynchronous() -> AuthenticationError:
    return AuthenticationError(
        "The api_key function is asynchronous, but this is a blocking call: pass a function that returns the "
        "key, or make asynchronous calls only."
    )


_numbers = count(1)
_owners: dict[int, int] = {}
_permanent: list[object] = []


def name_of(function: Callable[[], Any]) -> str:
    """The name of the account whose keys a function returns. A function or bound method has the same name each time."""
    owner = getattr(function, "__self__", function)  # each access to a method makes a new object
    number = _owners.get(id(owner))
    if number is None:
        number = _owners.setdefault(id(owner), next(_numbers))  # another thread may be first
        try:
            weakref.finalize(owner, _owners.pop, id(owner), None).atexit = False
        except TypeError:
            _permanent.append(owner)  # no weak references: keep it, so that its id is not reused
    return f"function {number} {getattr(function, '__name__', '')}".strip()
