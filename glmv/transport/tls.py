"""The trusted certificates, as in `httpx`: of SSL_CERT_FILE or SSL_CERT_DIR, or of `certifi` if neither is set."""

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
    """The value of each variable, with the time of the last change and the size of the file or folder that it names.

    Time and size are 0 for SSLKEYLOGFILE, because its file changes with each connection.
    """
    return tuple(_state(name) for name in _VARIABLES)


def _state(name: str) -> tuple[str, int, int]:
    value = os.environ.get(name, "")
    # The key log file changes with each connection.
    if not value or name == "SSLKEYLOGFILE":
        return value, 0, 0
    try:
        info = Path(value).stat()
    except (OSError, ValueError):
        return value, -1, -1
    return value, info.st_mtime_ns, info.st_size


def tls_context() -> ssl.SSLContext:
    """The TLS context of all clients.

    It is cached until the environment's TLS settings change, because making a context takes longer than a call.

    Raises:
        InvalidRequestError: a variable names a file or folder that cannot be used.
    """
    return _context(tls_settings())


@functools.lru_cache(maxsize=1)
def _context(settings: TLSSettings) -> ssl.SSLContext:
    problem = _folder_problem()
    if problem is None:
        try:
            return httpx.create_ssl_context()
        except (OSError, ValueError) as error:  # `ssl.SSLError` is an OSError
            problem = _file_problem() or _log_problem(error)
    raise settings_failed(problem)


def _file_problem() -> str | None:
    value = os.environ.get("SSL_CERT_FILE")
    if not value:
        return None
    try:
        if Path(value).is_dir():
            return _variable_problem("SSL_CERT_FILE", value, "is a folder, not a file (SSL_CERT_DIR takes folders)")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=value)
    except FileNotFoundError:
        return _variable_problem("SSL_CERT_FILE", value, "does not exist")
    except ssl.SSLError:
        return _variable_problem("SSL_CERT_FILE", value, "has no certificates in PEM form")
    except (OSError, ValueError) as error:
        return _variable_problem("SSL_CERT_FILE", value, f"cannot be read ({_reason(error)})")
    return None


def _folder_problem() -> str | None:
    """The problem with SSL_CERT_DIR, or None. OpenSSL treats a missing folder as empty, and trusts no certificate."""
    value = os.environ.get("SSL_CERT_DIR")
    if not value or os.environ.get("SSL_CERT_FILE"):
        return None
    if any(Path(folder).is_dir() for folder in value.split(os.pathsep)):
        return None
    return _variable_problem("SSL_CERT_DIR", value, "is not a folder" if Path(value).exists() else "does not exist")


def _log_problem(error: Exception) -> str:
    if value := os.environ.get("SSLKEYLOGFILE"):
        return _variable_problem("SSLKEYLOGFILE", value, f"cannot be written ({_reason(error)})")
    return f"The list of trusted certificates cannot be loaded: {_reason(error)}."


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _variable_problem(variable: str, value: str, what: str) -> str:
    return f"{variable} names {value[:200]!r}, which {what}: correct the variable or unset it."


def trust_advice() -> str:
    """Advice for a certificate that is not trusted."""
    for name, is_a in (("SSL_CERT_FILE", "the file"), ("SSL_CERT_DIR", "the folder (hashed by `openssl rehash`)")):
        if value := os.environ.get(name):
            return (
                f"{name} names {value[:200]!r} as {is_a} of trusted certificates: add the certificate of the "
                "authority that signed the server's certificate (a company's proxy has its own authority)."
            )
    return (
        "If a company's proxy or firewall replaces certificates, set SSL_CERT_FILE to a PEM file with the company's "
        "certificate."
    )
