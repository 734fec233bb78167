"""Starts third-party forward proxies on loopback: squid, tinyproxy, microsocks and mitmproxy."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.servers.software import ROOT, free_port

MITMDUMP = ROOT / ".venv-mitmproxy" / "bin" / "mitmdump"
STARTS_WITHIN = 60  # seconds
USER, PASSWORD, ENCODED = "user", "p@ss/w#rd", "p%40ss%2Fw%23rd"


@dataclass(frozen=True)
class ForwardProxy:
    """A running proxy.

    Attributes:
        url: without user and password.
        folder: its files.
    """

    url: str
    folder: Path

    @property
    def place(self) -> str:
        """Host and port."""
        return self.url.rpartition("/")[2]

    def with_user(self, password: str = ENCODED) -> str:
        """The proxy's URL with user and password."""
        return self.url.replace("://", f"://{USER}:{password}@")


def program(name: str) -> str | None:
    """The path of a program; /usr/sbin is not always on PATH."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


@contextlib.contextmanager
def running(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a proxy during the block; the block starts when the proxy accepts connections."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            end = time.monotonic() + STARTS_WITHIN
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError(f"{command} does not start: {log.read_text(errors='replace')[-2000:]}")
                time.sleep(0.05)
            yield
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def tinyproxy(folder: Path, *, password: bool = False, forbids: str = "") -> Iterator[ForwardProxy]:
    """tinyproxy, which refuses the host `forbids`; its configuration allows only letters in a password."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    config = folder / "tinyproxy.conf"
    login = f"BasicAuth {USER} letters\n" if password else ""
    filtering = f'Filter "{folder / "filter"}"\n' if forbids else ""
    (folder / "filter").write_text(f"{forbids}\n")
    config.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nAllow 127.0.0.1\n{login}{filtering}")
    with running([program("tinyproxy") or "", "-d", "-c", str(config)], port, folder / "log"):
        yield ForwardProxy(f"http://127.0.0.1:{port}", folder)


SQUID = """
http_port 127.0.0.1:{port}
pid_filename {folder}/squid.pid
cache deny all
access_log stdio:{folder}/access.log
cache_log {folder}/cache.log
coredump_dir {folder}
dns_nameservers 127.0.0.1
dns_timeout 1 seconds
connect_timeout 5 seconds
shutdown_lifetime 0 seconds
visible_hostname squid.test
netdb_filename none
pinger_enable off
{user}
{login}
acl forbidden dstdomain forbidden.example
http_access deny forbidden
{access}
http_access deny all
"""


@contextlib.contextmanager
def squid(folder: Path, *, password: bool = False, allows: str = "allow") -> Iterator[ForwardProxy]:
    """squid, which accepts all requests or none ("allow", "deny").

    Its name server does not answer: it can reach only IP addresses and names in /etc/hosts.
    """
    with tempfile.TemporaryDirectory() as own:
        # Squid does not run as root, and its own user may not enter the folders of the tests.
        as_root = os.geteuid() == 0
        home = Path(own)
        home.chmod(0o777 if as_root else 0o700)
        with _squid(
            home, password=password, allows=allows, user="cache_effective_user proxy" if as_root else ""
        ) as url:
            yield ForwardProxy(url, folder)


@contextlib.contextmanager
def _squid(folder: Path, *, password: bool, allows: str, user: str) -> Iterator[str]:
    port = free_port()
    login, access = "", f"http_access {allows} all"
    if password:
        users = folder / "users"
        crypted = subprocess.run(
            ["openssl", "passwd", "-apr1", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
        ).stdout.strip()
        users.write_text(f"{USER}:{crypted}\n")
        login = (
            f"auth_param basic program /usr/lib/squid/basic_ncsa_auth {users}\nauth_param basic children 1\n"
            "acl known proxy_auth REQUIRED"
        )
        access = "http_access allow known"
    config = folder / "squid.conf"
    config.write_text(SQUID.format(port=port, folder=folder, user=user, login=login, access=access))
    # Its shared memory has the name of the service, so two of them need two names.
    with running([program("squid") or "", "-N", "-n", f"glmv{port}", "-f", str(config)], port, folder / "log"):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def microsocks(folder: Path, *, password: bool = False) -> Iterator[ForwardProxy]:
    """microsocks, a SOCKS5 proxy."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    login = ["-u", USER, "-P", PASSWORD] if password else []
    command = [program("microsocks") or "", "-i", "127.0.0.1", "-p", str(port), *login]
    with running(command, port, folder / "log"):
        yield ForwardProxy(f"socks5://127.0.0.1:{port}", folder)


@contextlib.contextmanager
def mitmproxy(folder: Path) -> Iterator[ForwardProxy]:
    """mitmproxy, which signs each connection by its own certificate authority: `folder/mitmproxy-ca-cert.pem`."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = [
        str(MITMDUMP), "--listen-host", "127.0.0.1", "--listen-port", str(port), "--set", f"confdir={folder}",
        "--set", "ssl_insecure=true", "--set", "connection_strategy=lazy",
    ]  # fmt: skip
    with running(command, port, folder / "log"):
        yield ForwardProxy(f"http://127.0.0.1:{port}", folder)
