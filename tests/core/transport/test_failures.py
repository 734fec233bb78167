"""The message of a connection error says what to do."""

from __future__ import annotations

import contextlib
import errno
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import glmv

# `openssl ca` is the only command of OpenSSL 3.0 that makes a certificate with dates in the past.
AUTHORITY = """
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
x509_extensions = leaf
[any]
commonName = supplied
[leaf]
subjectAltName = DNS:localhost
"""
PAST = ("-startdate", "200101000000Z", "-enddate", "200201000000Z")


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)


@pytest.fixture
def expired(tmp_path: Path) -> Path:
    """A folder with `cert.pem`, an expired certificate for localhost, and `key.pem`, its key."""
    (tmp_path / "ca.cnf").write_text(AUTHORITY)
    (tmp_path / "index.txt").touch()
    (tmp_path / "serial").write_text("01\n")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem")
    openssl(tmp_path, "req", "-new", *key, "-subj", "/CN=localhost", "-out", "request.pem")
    signed = ("-selfsign", "-keyfile", "key.pem", "-in", "request.pem", "-out", "cert.pem")
    openssl(tmp_path, "ca", "-batch", "-notext", "-config", "ca.cnf", *signed, *PAST)
    return tmp_path


@contextlib.contextmanager
def tls_server(certificate: Path) -> Iterator[int]:
    """The port of a TLS server that uses `cert.pem` and `key.pem` of this folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(10)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command to make a certificate")
def test_an_expired_certificate_is_reported_and_not_retried(expired: Path) -> None:
    trusting = ssl.create_default_context(cafile=expired / "cert.pem")  # so that its age alone is wrong
    with (
        tls_server(expired) as port,
        httpx.Client(verify=trusting) as http,
        glmv.Client("test-id.test-secret", base_url=f"https://localhost:{port}/v1", http_client=http) as glm,
        pytest.raises(glmv.ConnectionFailed, match=r"certificate of localhost.* has expired") as raised,
    ):
        glm.chat("hi")
    assert raised.value.attempts == 1
    assert not raised.value.retryable


@pytest.mark.parametrize("streamed", [False, True])
def test_an_error_about_too_many_open_files_does_not_blame_the_server(
    monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(socket, "create_connection", refused)
    with (
        glmv.Client("test-id.test-secret", base_url="http://127.0.0.1:9/v1", max_retries=0) as glm,
        pytest.raises(glmv.ConnectionFailed, match="Too many open files") as raised,
    ):
        list(glm.stream("hi")) if streamed else glm.chat("hi")
    assert "max_concurrency" in str(raised.value)
    assert "Is the server" not in str(raised.value)


def test_an_error_of_a_hook_is_not_called_a_closed_connection() -> None:
    def hook(_: httpx.Request) -> None:
        raise RuntimeError("no quota left")

    with (
        httpx.Client(event_hooks={"request": [hook]}) as http,
        pytest.raises(glmv.ConnectionFailed, match=r"^The HTTP client failed \(RuntimeError\): no quota left\.$"),
    ):
        glmv.Client("test-id.test-secret", base_url="http://127.0.0.1:9/v1", http_client=http).chat("hi")
    with pytest.raises(glmv.ConnectionFailed, match="was closed on this side"):
        glmv.Client("test-id.test-secret", base_url="http://127.0.0.1:9/v1", http_client=http).chat("hi")
