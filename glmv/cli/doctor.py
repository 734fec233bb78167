"""`glmv doctor`: prints settings, versions and which servers can be reached. It prints no secrets."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.text import Text

import glmv
from glmv.cli.terminal import out, print_note
from glmv.cli.words import in_words_of_the_shell

# Packages to look for -> their purpose, printed if the package is missing.
PACKAGES = {
    "glmv": "",
    "httpx": "",
    "pydantic": "",
    "langchain-core": 'LangChain: pip install "glmv[langchain]"',
    "langchain": "LangChain's agents: pip install langchain",
    "llama-index-core": 'LlamaIndex: pip install "glmv[llama-index]"',
    "jsonschema": 'answers that fit a JSON Schema: pip install "glmv[schema]"',
    "pillow": 'rotating, shrinking and converting pictures: pip install "glmv[images]"',
    "pillow-heif": 'HEIC pictures: pip install "glmv[heic]"',
    "av": 'frames of videos: pip install "glmv[video]"',
    "starlette": 'the emulator: pip install "glmv[emulator]"',
    "socksio": 'SOCKS proxies: pip install "glmv[socks]"',
    "rapidocr": 'an emulator that reads text: pip install "glmv[eyes]"',
    "pyarrow": 'Parquet tables: pip install "glmv[batch]"',
}
KEYS = ("ZHIPUAI_API_KEY", "ZAI_API_KEY")
BASES = ("GLMV_BASE_URL", "ZHIPUAI_BASE_URL", "ZAI_BASE_URL")
# Files of certificates, and one that secrets of TLS are logged into.
CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "SSLKEYLOGFILE")
PATIENCE = 3.0

Asking = Annotated[bool, typer.Option("--ask", help="Send one short question, which costs a few tokens.")]


def doctor(asking: Asking = False) -> None:
    """Check keys, base URL, network and versions; exit with 1 if a call would fail."""
    out.print(Text(f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"))
    for name, purpose in PACKAGES.items():
        try:
            out.print(Text(f"  {name:<17} {version(name)}"))
        except PackageNotFoundError:
            out.print(Text(f"  {name:<17} not installed; {purpose}", "dim"))
    sound = True
    for good, line in _findings(asking):
        sound = sound and good is not False
        mark, style = {True: ("ok  ", "green"), False: ("bad ", "red"), None: ("    ", "dim")}[good]
        out.print(Text.assemble((mark, style), line), soft_wrap=not out.is_terminal)
    if not sound:
        print_note("A call would fail: see the lines marked 'bad'. To ask without a key: glmv ask --emulator.", "")
        raise typer.Exit(1)


def _findings(asking: bool) -> Iterator[tuple[bool | None, str]]:
    for name in KEYS:
        if key := os.environ.get(name):
            yield None, f"{name} is set: {len(key.strip())} characters, {_shape(key.strip())}"
    for name in BASES:
        if value := os.environ.get(name):
            yield None, f"{name} is set: {_without_user(value)}"
    client = glmv.Client()
    for line in client.proxy_variables():
        yield None, line
    for name in CERTIFICATES:
        if value := os.environ.get(name):
            yield None, f"{name} is set: {_without_user(value)}"
    try:
        where = client.address
    except glmv.GLMVError as error:
        yield False, in_words_of_the_shell(str(error))
        return
    yield True, f"requests go to {where.base_url} ({where.dialect.name})"
    yield _reachable(client)
    if asking:
        try:
            answer = client.chat("Say yes.", max_tokens=16, max_retries=0, deadline=60)
            yield True, f"{answer.model} answered ({answer.usage.total_tokens if answer.usage else '?'} tokens)"
        except glmv.GLMVError as error:
            yield False, in_words_of_the_shell(str(error))


def _shape(key: str) -> str:
    head, dot, tail = key.partition(".")
    return "of the form id.secret" if head and dot and tail and "." not in tail else "not of the form id.secret"


def _without_user(url: str) -> str:
    """A URL without user name and password, which the URLs of proxies often have."""
    return url.rpartition("@")[2] if "@" in url else url


def _reachable(client: glmv.Client) -> tuple[bool, str]:
    """Whether a call could connect, and a line that says so. The test uses the proxy and certificates of a call."""
    url = urlsplit(client.address.base_url)
    place = f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"
    try:
        through = client.reach(PATIENCE)
    except glmv.GLMVError as error:
        return False, f"{place} is not reachable: {in_words_of_the_shell(str(error))}"
    return True, f"{place} is reachable" + (f" through {through}" if through else "")
