"""Which certificates are trusted: SSL_CERT_FILE or SSL_CERT_DIR, else those of `certifi`; as `httpx` reads them."""

from __future__ import annotations

import functools
import os
import ssl
from pathlib import Path

import httpx

from glmv.transport.proxies import settings_failed

_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")

TLSSettings = tuple[tuple[str, int, int], ...]


def tls_settings() -> TLSSettings:
    """What the TLS settings are made of: the variables, and of what they name the time of the last change and size."""
    return tuple(_state(name) for name in _VARIABLES)


def _state(name: str) -> tuple[str, int, int]:
    value = os.environ.get(name, "")
    # What is logged into a file of keys changes it all the time.
    if not value or name == "SSLKEYLOGFILE":
        return value, 0, 0
    try:
        found = Path(value).stat()
    except (OSError, ValueError):
        return value, -1, -1
    return value, found.st_mtime_ns, found.st_size


def tls_context() -> ssl.SSLContext:
    """The TLS settings of all clients: making them takes longer than a call. They follow the environment.

    Raises:
        InvalidRequestError: a variable names what cannot be used.
    """
    return _context(tls_settings())


@functools.lru_cache(maxsize=1)
def _context(settings: TLSSettings) -> ssl.SSLContext:
    wrong = _folder_problem()
    if wrong is None:
        try:
            return httpx.create_ssl_context()
        except (OSError, ValueError) as error:  # `ssl.SSLError` is an OSError
            wrong = _file_problem() or _log_problem(error)
    raise settings_failed(wrong)


def _file_problem() -> str | None:
    value = os.environ.get("SSL_CERT_FILE")
    if not value:
        return None
    try:
        if Path(value).is_dir():
            return _told("SSL_CERT_FILE", value, "is a folder, not a file (SSL_CERT_DIR takes folders)")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
    except FileNotFoundError:
        return _told("SSL_CERT_FILE", value, "does not exist")
    except ssl.SSLError:
        return _told("SSL_CERT_FILE", value, "holds no certificates in PEM form")
    except (OSError, ValueError) as error:
        return _told("SSL_CERT_FILE", value, f"cannot be read ({_reason(error)})")
    return None


def _folder_problem() -> str | None:
    """OpenSSL takes a folder that does not exist for one without certificates, and trusts nobody."""
    value = os.environ.get("SSL_CERT_DIR")
    if not value or os.environ.get("SSL_CERT_FILE"):
        return None
    if any(Path(folder).is_dir() for folder in value.split(os.pathsep)):
        return None
    return _told("SSL_CERT_DIR", value, "is not a folder" if Path(value).exists() else "does not exist")


def _log_problem(error: Exception) -> str:
    if value := os.environ.get("SSLKEYLOGFILE"):
        return _told("SSLKEYLOGFILE", value, f"cannot be written ({_reason(error)})")
    return f"The list of trusted certificates cannot be loaded: {_reason(error)}."


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _told(variable: str, value: str, what: str) -> str:
    return f"{variable} names {value[:200]!r}, which {what}: correct the variable or unset it."


def trust_advice() -> str:
    """What may help where a certificate is not trusted."""
    for name, is_a in (("SSL_CERT_FILE", "the file"), ("SSL_CERT_DIR", "the folder (hashed by `openssl rehash`)")):
        if value := os.environ.get(name):
            return (
                f"{name} names {value[:200]!r} as {is_a} of trusted certificates: the authority that signed this one "
                "(a company's proxy has its own) has to be there."
            )
    return (
        "Where a company's proxy or firewall signs connections anew, set SSL_CERT_FILE to a PEM file with its "
        "certificate."
    )
