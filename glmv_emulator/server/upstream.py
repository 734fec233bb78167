"""Asks the upstream model: the only requests that the emulator sends."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import AsyncGenerator, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx

from glmv_emulator.answers.upstream import DONE, Events
from glmv_emulator.platform.upstream import refused, unreachable, unreadable

CONNECTS_WITHIN = 10.0
# Servers that check no key are given a word, as "ollama" or "EMPTY", which is no secret.
SHORTEST_SECRET = 8
PASSED_ON = ("retry-after", "retry-after-ms")


class HttpUpstream:
    """An OpenAI-compatible server.

    Args:
        base_url: up to `/v1`, http or https; `/chat/completions` is put behind it.
        model: the model to ask for; None asks for the request's own.
        key: sent as a bearer token; None sends none. It is in no message.
        timeout: seconds that the server may be silent.

    Raises:
        ValueError: for an address that is none, or a key that no header can hold.
    """

    def __init__(self, base_url: str, model: str | None, key: str | None, timeout: float) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("upstream is the base URL of a server, as http://127.0.0.1:11434/v1")
        if key is not None and not (key.isascii() and key.isprintable() and key):
            raise ValueError("upstream_key has characters that no header can hold")
        host = parts.netloc.rpartition("@")[2]
        self.name = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
        self.model = model
        self._url = httpx.URL(base_url).copy_with(path=f"{parts.path.rstrip('/')}/chat/completions")
        self._key = key
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, CONNECTS_WITHIN))
        # A proxy of the environment is for other machines.
        self._environment = not _loopback(parts.hostname)

    @cached_property
    def _verify(self) -> Any:
        """Made once: loading certificates takes longer than asking a server on this machine."""
        return httpx.create_ssl_context(trust_env=self._environment)

    async def ask(self, body: Mapping[str, Any]) -> AsyncGenerator[Any, None]:
        """The JSON values of an answer as they arrive, see `platform.upstream.Upstream`."""
        headers = {"content-type": "application/json", "user-agent": "glmv-emulator"}
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key}"
        # In ASCII, so that half a surrogate pair in a text is no error here.
        content = json.dumps(body).encode()
        try:
            async with (
                httpx.AsyncClient(timeout=self._timeout, verify=self._verify, trust_env=self._environment) as http,
                http.stream("POST", self._url, content=content, headers=headers) as response,
            ):
                if response.status_code != 200:
                    told = {name: response.headers[name] for name in PASSED_ON if name in response.headers}
                    said = self._read(await response.aread())
                    raise refused(self.name, response.status_code, said, str(body["model"]), told)
                if response.headers.get("content-type", "").startswith("text/event-stream"):
                    async for event in _events(response):
                        if event == DONE:
                            yield DONE
                            return
                        yield self._parsed(event)
                else:
                    yield self._parsed((await response.aread()).decode("utf-8", "replace"))
        except httpx.TimeoutException as problem:
            raise unreachable(self.name, f"silent for too long ({type(problem).__name__})") from None
        except httpx.HTTPError as problem:
            said = self._without_key(str(problem)) or "the connection broke"
            raise unreachable(self.name, f"{said} ({type(problem).__name__})") from None

    def _parsed(self, text: str) -> Any:
        """An answer, or a chunk of one. An error in its place may repeat the key, a text is left as it is."""
        try:
            value = json.loads(text)
            return json.loads(self._without_key(text)) if isinstance(value, dict) and "error" in value else value
        except (ValueError, RecursionError):
            raise unreadable(self.name, f"the answer is no JSON: {self._without_key(text)[:80]}") from None

    def _read(self, data: bytes) -> Any:
        """The body of an error: its JSON, or its text."""
        text = self._without_key(data.decode("utf-8", "replace"))
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "<key>") if self._key and len(self._key) >= SHORTEST_SECRET else text


async def _events(response: httpx.Response) -> AsyncGenerator[str, None]:
    events = Events()
    async for data in response.aiter_bytes():
        for event in events.feed(data):
            yield event
    for event in events.end():
        yield event


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
