"""Checks whether the name in a `Host` header is a name of the emulator.

A web page can make a browser connect to this machine under the page's host name (DNS rebinding). Only the `Host` header
of a request shows that this has happened.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

LOOPBACK = "127.0.0.1"
# Every address of this machine.
WILDCARDS = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - compared, not listened on
# RFC 6762, RFC 6761 and ICANN's resolution 2024.07.29.06 keep these from the public DNS.
LOCAL = (".local", ".localhost", ".internal")
DEFAULT_PORTS = (80, 443)


class Hosts:
    """The names of an emulator that listens on an address and a port.

    On loopback these are the loopback names with that port. On another address they are the address itself and all
    names that nobody can register: IP addresses, names without a dot, and local names. There the port is not checked,
    because containers and routers change it.
    """

    def __init__(self, address: str = LOOPBACK, port: int = 0) -> None:
        self.address, self.port = address.lower(), port
        self.is_loopback = loopback(address)

    def __contains__(self, netloc: str) -> bool:
        name, port = _split(netloc)
        if not name:
            return False
        if self.is_loopback:
            same = port == self.port or (port is None and self.port in DEFAULT_PORTS)
            return same and name in {LOOPBACK, "localhost", self.address}
        return name == self.address or _is_address(name) or "." not in name or name.endswith(LOCAL)

    def __str__(self) -> str:
        if self.is_loopback:
            names = sorted({LOOPBACK, "localhost", self.address})
            return "one of " + ", ".join(f"{bracketed(name)}:{self.port}" for name in names)
        return f"an IP address, a name without a dot, or a name that ends in {', '.join(LOCAL)}"

    def of_page(self, origin: str, netloc: str) -> bool:
        """Whether a request with this `Origin` to this host comes from the emulator's own page."""
        asking = urlsplit(origin).netloc.lower()
        return bool(asking) and (asking == netloc.lower() or (self.is_loopback and asking in self))


def loopback(address: str) -> bool:
    """Whether only programs on this machine can reach an address."""
    return address.lower() == "localhost" or (_is_address(address) and ipaddress.ip_address(address).is_loopback)


def bracketed(address: str) -> str:
    """An address as written in a URL: IPv6 in brackets."""
    return f"[{address}]" if ":" in address else address


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _split(netloc: str) -> tuple[str, int | None]:
    """The name in a netloc ("" if it is invalid) and the port."""
    try:
        parts = urlsplit(f"//{netloc}")
        name, port = parts.hostname, parts.port
    except ValueError:
        return "", None
    return (name, port) if name and "@" not in netloc else ("", None)
