"""Chooses the proxy of a request by HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY.

Requests to this machine use no proxy.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, getproxies_environment, proxy_bypass

from glmv.errors import InvalidRequestError

# Scheme of a proxy's URL -> the HTTP library's name for it, and the default port. GNOME, Clash and V2Ray write "socks".
# With the library, SOCKS proxies resolve host names themselves, as "socks5h" requires.
_SCHEMES = {
    "http": ("http", 80),
    "https": ("https", 443),
    "socks": ("socks5", 1080),
    "socks5": ("socks5", 1080),
    "socks5h": ("socks5", 1080),
}
# A shorter password is not masked: it may occur in other words.
_SHORTEST = 4
_SYSTEM = "the system's settings"
_PORTS = {"http": 80, "https": 443}
# Characters that are not allowed in a host name.
_NO_HOST = re.compile(r"""[\s\x00-\x1f\x7f<>"'`{}|^\\,;*?#]""")
# A scheme without two slashes after it; not a host of that name with a port.
_NO_SLASHES = re.compile(r"(?:https?|socks[45]?[ah]?):(?!\d+/?$)", re.IGNORECASE)
# Names of this machine in /etc/hosts, for which other programs do not use a proxy either.
_THIS_MACHINE = {
    "localhost.localdomain", "localhost4", "localhost4.localdomain4", "localhost6", "localhost6.localdomain6",
    "ip6-localhost", "ip6-loopback",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Proxy:
    """A forward proxy.

    Attributes:
        url: its URL, with user name and password, so the repr does not show it.
        place: host and port, for messages.
        scheme: "http", "https" or "socks5".
        named_by: its environment variable, or the operating system's settings.
    """

    url: str = field(repr=False)
    place: str
    scheme: str
    named_by: str

    def __str__(self) -> str:
        return f"the proxy {self.place} ({self.named_by})"

    @property
    def host(self) -> str:
        """The host name or address of the proxy, in lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def has_user(self) -> bool:
        """Whether the proxy's URL has a user name."""
        return "@" in urlsplit(self.url).netloc

    def mask(self, text: str) -> str:
        """A text with `***` in place of the proxy's password, whether the password is percent-encoded or decoded."""
        password = urlsplit(self.url).password or ""
        for secret in (password, unquote(password)):
            text = text.replace(secret, "***") if len(secret) >= _SHORTEST else text
        return text


def is_loopback(host: str) -> bool:
    """Whether a host is this machine: "localhost", a name below it, 127.0.0.0/8 or ::1 (RFC 6761, RFC 1122)."""
    host = host.lower().rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A short form of an address, such as "127.1", which the system accepts.
        return host.startswith("127.") and host.replace(".", "").isdigit()
    mapped = getattr(address, "ipv4_mapped", None)  # ::ffff:127.0.0.1
    return address.is_loopback or (mapped is not None and mapped.is_loopback)


def proxy_for(url: str) -> Proxy | None:
    """The proxy that the environment or the operating system's settings name for a URL, or None.

    Args:
        url: the server's URL. This machine is never reached through a proxy.

    Raises:
        InvalidRequestError: the configured proxy cannot be used.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if is_loopback(host) or host in ("0.0.0.0", "::", *_THIS_MACHINE):  # noqa: S104 - compared, not listened on
        return None
    proxy = _proxy_or_problem(parts.scheme, host, parts.port)
    if isinstance(proxy, str):
        raise settings_failed(proxy)
    return proxy


def _proxy_or_problem(scheme: str, host: str, port: int | None) -> Proxy | str | None:
    """The proxy, or the problem with it. The caller raises the error, so that no traceback shows the password."""
    proxies = getproxies()
    kind = scheme if proxies.get(scheme) else "all"
    value = proxies.get(kind, "").strip()
    if not value or _is_bypassed(scheme, host, port):
        return None
    return _read(value, _variable_of(f"{kind}_proxy") or _SYSTEM)


def _variable_of(name: str) -> str | None:
    """The name of the variable that is set, in upper or lower case, for a name such as "https_proxy"; or None.

    The variable in lower case takes precedence, as in `getproxies`: if it exists but is empty, the result is None.
    """
    if name in os.environ:
        return name if os.environ[name] else None
    return next((variable for variable in os.environ if variable.lower() == name and os.environ[variable]), None)


def _read(value: str, named_by: str) -> Proxy | str:
    unusable = f"The proxy that {named_by} names cannot be used"
    form = (
        "write it as http://host:port or http://user:password@host:port, with special characters of the password "
        "percent-encoded (# is %23, / is %2F, @ is %40)."
    )
    # Messages do not repeat the value: if it is parsed wrongly, the port may be a part of the password.
    if "://" not in value and _NO_SLASHES.match(value):
        return f"{unusable}: two slashes are missing after the scheme, as in http://; {form}"
    value = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        return f"{unusable}: its host cannot be read, or its port is not a number from 1 to 65535; {form}"
    if not host or "@" in value.partition("://")[2].removeprefix(parts.netloc):
        return f"{unusable}: it has no host; {form}"
    if _NO_HOST.search(host) or re.search(r"\s", value):
        return f"{unusable}: its host has characters that are not allowed; {form}"
    if port == 0:
        return f"{unusable}: its port is not a number from 1 to 65535; {form}"
    scheme, default = _SCHEMES.get(parts.scheme, ("", 0))
    if not scheme:
        supported = "http://, https://, socks5:// and socks5h:// are supported"
        return f"{unusable}: it begins with {parts.scheme[:20]}://, but {supported}."
    shown_host = f"[{host}]" if ":" in host else host
    return Proxy(f"{scheme}://{value.partition('://')[2]}", f"{shown_host}:{port or default}", scheme, named_by)


@dataclass(frozen=True, slots=True)
class _Bypass:
    """One value of NO_PROXY.

    Attributes:
        scheme: "http" or "https"; "" for both.
        host: a name in lower case; "" for all hosts.
        network: a range of addresses; None if the value is a host name.
        itself: whether the value covers the host itself.
        below: whether the value covers the subdomains of the host.
        port: the port of the host; None for all ports.
    """

    scheme: str = ""
    host: str = ""
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    itself: bool = True
    below: bool = True
    port: int | None = None

    def holds(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether this value covers a server: then the server is reached without a proxy."""
        if (self.scheme and self.scheme != scheme) or self.port not in (None, port or _PORTS.get(scheme)):
            return False
        if self.network is not None:
            address = _address(host)
            return address is not None and address in self.network
        if not self.host:
            return True
        return (self.itself and host == self.host) or (self.below and host.endswith(f".{self.host}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _bypass(value: str) -> _Bypass | None:
    """Parses one value of NO_PROXY. Returns None for a value that neither httpx nor curl nor requests accepts.

    Accepted are `host` and `.host` (the host and its subdomains), `*.host` (only its subdomains), `host:port`,
    addresses with or without brackets, networks such as 10.0.0.0/8, and the patterns of httpx: `https://host` (only
    that host), `all://*.host`.
    """
    scheme, slashes, rest = value.lower().rpartition("://")
    if slashes and scheme not in ("http", "https", "all"):
        return None
    scheme = "" if scheme == "all" else scheme
    rest = rest.rstrip("/") if slashes else rest
    if rest in ("", "*"):
        return _Bypass(scheme) if slashes or rest else None
    try:  # an IPv6 address without brackets has colons, too
        return _Bypass(scheme, network=ipaddress.ip_network(rest, strict=False))
    except ValueError:
        pass
    try:
        parts = urlsplit(f"//{rest}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    if parts.netloc != rest or "@" in rest or port == 0 or rest.endswith(":"):
        return None
    if (address := _address(host)) is not None:
        return _Bypass(scheme, network=ipaddress.ip_network(address), port=port)
    name = re.sub(r"^(\*\.|\*|\.)", "", host)
    if not name or name.startswith(".") or _NO_HOST.search(name) or ":" in name:
        return None
    below_alone = host.startswith("*.")
    exactly = bool(slashes) and host == name
    return _Bypass(scheme, name, itself=not below_alone, below=not exactly, port=port)


def _is_bypassed(scheme: str, host: str, port: int | None) -> bool:
    if not getproxies_environment():
        return bool(proxy_bypass(f"{host}:{port}" if port else host))  # the system's settings
    host = host.lower().rstrip(".")
    bypasses = (_bypass(value) for value in _no_proxy())
    return any(one is not None and one.holds(scheme, host, port) for one in bypasses)


def _no_proxy() -> list[str]:
    return [value for value in re.split(r"[,\s]+", getproxies_environment().get("no", "")) if value]


def proxy_variables() -> list[str]:
    """One sentence for each proxy variable of the environment: its value without password, or why it is not used."""
    sentences = []
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        variable = _variable_of(name.lower())
        if variable is not None:
            sentences.append(f"{variable} is set: {os.environ[variable].rpartition('@')[2]}")
        # Programs prefer the name in lower case, so the value of the other one may be ignored unexpectedly.
        if variable != name and os.environ.get(name):
            sentences.append(
                f"{name} is set, but not used: {name.lower()} takes precedence{'' if variable else ' and is empty'}"
            )
    no_proxy = _variable_of("no_proxy")
    ignored = [value for value in _no_proxy() if _bypass(value) is None]
    return sentences + [f"{no_proxy} contains {value[:100]!r}, which is not a host and is ignored" for value in ignored]


def settings_failed(message: str) -> InvalidRequestError:
    """The error for a setting of this machine that prevents connections."""
    error = InvalidRequestError(message)
    error.kind = "settings"
    return error
