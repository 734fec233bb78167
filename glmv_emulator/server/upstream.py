"""Requests to the upstream server, the only ones that the emulator sends."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import AsyncGenerator, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx

from glmv_emulator.answers.upstream import DONE, Events
from glmv_emulator.platform.auth import HiddenKey
from glmv_emulator.platform.upstream import refused, unreachable, unreadable

CONNECTS_WITHIN = 10.0
# For servers without keys, users pass a word such as "ollama" or "EMPTY", which is not a secret.
SHORTEST_SECRET = 8
PASSED_ON = ("retry-after", "retry-after-ms")
# A body that begins with one of these is a stream, even if its content type does not say so.
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")


class HttpUpstream:
    """An OpenAI-compatible server.

    Args:
        base_url: the URL up to `/v1`, http or https; `/chat/completions` is appended.
        model: the model to request; None requests the model that the client names.
        key: sent as a bearer token; None sends no key. It does not appear in messages.
        timeout: the longest time in seconds in which the server may send nothing.

    Raises:
        ValueError: the URL is invalid, or the key cannot be sent in a header.
    """

    def __init__(self, base_url: str, model: str | None, key: HiddenKey | None, timeout: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("upstream must be the base URL of a server, such as http://127.0.0.1:11434/v1")
        if key is not None and not _fits_a_header(key.value):
            raise ValueError("upstream_key has characters that a header cannot contain")
        host = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self.model = model
        self._url = httpx.URL(base_url).copy_with(path=f"{parts.path.rstrip('/')}/chat/completions")
        self._key = key  # `HiddenKey` hides it from tracebacks with variables
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, CONNECTS_WITHIN))
        # Proxies from the environment are not used for servers on this machine.
        self._environment = not _loopback(parts.hostname)

    @cached_property
    def _verify(self) -> Any:
        """The TLS context, created once, because loading certificates is slow."""
        return httpx.create_ssl_context(trust_env=self._environment)

    async def ask(self, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The JSON values of an answer as they arrive, see `platform.upstream.Upstream`."""
        headers = {"content-type": "application/json", "user-agent": "glmv-emulator"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key.value}"
        # In ASCII, which can represent half of a surrogate pair.
        content = json.dumps(body).encode()
        try:
            async with (
                httpx.AsyncClient(timeout=self._timeout, verify=self._verify, trust_env=self._environment) as http,
                http.stream("POST", self._url, content=content, headers=headers) as response,
            ):
                if response.status_code != 200:
                    headers_to_pass = {name: response.headers[name] for name in PASSED_ON if name in response.headers}
                    message = self._read(await response.aread())
                    raise refused(self.name, response.status_code, message, str(body["model"]), headers_to_pass)
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    async for event in _events(response):
                        if event == DONE:
                            yield DONE
                            return
                        yield self._parsed(event)
                else:
                    data = await response.aread()
                    if not data.lstrip().startswith(_FIELDS):
                        yield self._parsed(data.decode("utf-8", "replace"))
                        return
                    events = Events()
                    for event in (*events.feed(data), *events.end()):
                        if event == DONE:
                            yield DONE
                            return
                        yield self._parsed(event)
        except httpx.TimeoutException as problem:
            raise unreachable(self.name, f"it sent nothing within the timeout ({type(problem).__name__})") from None
        except httpx.HTTPError as problem:
            message = self._without_key(str(problem)) or "the connection broke"
            raise unreachable(self.name, f"{message} ({type(problem).__name__})") from None

    def _parsed(self, text: str) -> Any:
        """Parse an answer or a chunk. If it is an error, mask the API key, which the server may have quoted."""
        try:
            value = json.loads(text)
            return json.loads(self._without_key(text)) if isinstance(value, dict) and "error" in value else value
        except (ValueError, RecursionError):
            raise unreadable(self.name, f"the answer is not JSON: {self._without_key(text)[:80]}") from None

    def _read(self, data: bytes) -> Any:
        """The body of an error, parsed if it is JSON."""
        text = self._without_key(data.decode("utf-8", "replace"))
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    def _without_key(self, text: str) -> str:
        if self._key is None or len(self._key.value) < SHORTEST_SECRET:
            return text
        return text.replace(self._key.value, "<key>")


async def _events(response: httpx.Response) -> AsyncGenerator[str, None]:
    events = Events()
    async for data in response.aiter_bytes():
        for event in events.feed(data):
            yield event
    for event in events.end():
        yield event


def _fits_a_header(key: str) -> bool:
    return key != "" and key.isascii() and key.isprintable()


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
